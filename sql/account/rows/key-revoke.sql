-- By id ($1), or by hash ($2) where the id is 0; of one project ($4), or of any where that is 0. A key that is revoked already
-- keeps its first time ($3).
UPDATE keys
SET revoked_at = coalesce(revoked_at, $3)
WHERE (($1 <> 0 AND id = $1) OR ($1 = 0 AND hash = $2)) AND ($4 = 0 OR project_id = $4)
RETURNING id, project_id, kind, name, last4
