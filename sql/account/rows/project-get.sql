SELECT id, name, time_zone, week_start, retention_days, created_at, events_per_month
FROM projects
WHERE id = $1 AND deleted_at IS NULL
