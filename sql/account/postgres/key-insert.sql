-- $1 project_id, $2 kind, $3 name, $4 hash, $5 last4, $6 created_at, $7 the most keys there may be. No row where there is no
-- such project, or where as many keys are stored as may be.
INSERT INTO keys (project_id, kind, name, hash, last4, created_at)
SELECT id, $2, $3, $4, $5, $6
FROM projects
WHERE id = $1 AND (SELECT count(*) FROM keys) < $7
RETURNING id, pg_notify('potik_accounts', '');
