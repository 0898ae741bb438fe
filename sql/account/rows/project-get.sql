SELECT id, name, time_zone, week_start, retention_days, created_at
FROM projects
WHERE id = $1 AND deleted_at IS NULL
