DELETE FROM memberships WHERE project_id = $1
