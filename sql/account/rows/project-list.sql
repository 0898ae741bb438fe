SELECT id, name, time_zone, week_start, retention_days, created_at, events_per_month
FROM projects
WHERE deleted_at IS NULL
ORDER BY id
LIMIT $1
