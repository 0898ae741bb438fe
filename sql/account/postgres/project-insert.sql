-- $1 id, $2 name, $3 time_zone, $4 created_at. A row where it was made, none where there is one of that id. No constraint is
-- named: of two who make it at once, the second may meet the first by its name.
INSERT INTO projects (id, name, time_zone, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING id, pg_notify('potik_accounts', '');
