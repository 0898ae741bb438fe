DELETE FROM memberships WHERE login_id = $1 AND project_id = $2 RETURNING role
