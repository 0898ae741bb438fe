INSERT INTO memberships (login_id, project_id, role)
VALUES ($1, $2, $3)
ON CONFLICT (login_id, project_id) DO UPDATE SET role = excluded.role
