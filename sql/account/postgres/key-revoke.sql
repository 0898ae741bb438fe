-- By id ($1), or by hash ($2) where the id is 0. A key that is revoked already keeps its first time ($3).
UPDATE keys
SET revoked_at = coalesce(revoked_at, $3)
WHERE ($1 <> 0 AND id = $1) OR ($1 = 0 AND hash = $2)
RETURNING id, pg_notify('potik_accounts', '');
