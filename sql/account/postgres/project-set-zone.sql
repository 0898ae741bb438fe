-- $1 id, $2 time_zone.
UPDATE projects
SET time_zone = $2
WHERE id = $1
RETURNING id, pg_notify('potik_accounts', '');
