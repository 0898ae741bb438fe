-- $1 id, $2 name, $3 time_zone, $4 week_start, $5 retention_days, $6 created_at, $7 events_per_month. No row where there is one of that id or name.
INSERT INTO projects (id, name, time_zone, week_start, retention_days, created_at, events_per_month)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
RETURNING id
