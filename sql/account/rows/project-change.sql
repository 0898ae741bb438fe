-- $1 id, $2 name, $3 time_zone, $4 week_start, $5 retention_days, $6 events_per_month.
UPDATE projects
SET name = $2, time_zone = $3, week_start = $4, retention_days = $5, events_per_month = $6
WHERE id = $1 AND deleted_at IS NULL
RETURNING id
