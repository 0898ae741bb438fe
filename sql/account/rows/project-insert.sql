-- $1 id, $2 name, $3 time_zone, $4 week_start, $5 retention_days, $6 created_at. No row where there is one of that id or name.
INSERT INTO projects (id, name, time_zone, week_start, retention_days, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING id
