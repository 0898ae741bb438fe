SELECT m.login_id, m.project_id, m.role
FROM memberships AS m JOIN projects AS p ON p.id = m.project_id AND p.deleted_at IS NULL
ORDER BY m.login_id, m.project_id
LIMIT $1
