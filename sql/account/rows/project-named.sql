SELECT id FROM projects WHERE name = $1 AND deleted_at IS NULL
