-- By id ($1), or by hash ($2) where the id is 0; of one project ($3), or of any where that is 0. One that is revoked already is
-- not touched: it keeps its first time ($4).
UPDATE keys
SET revoked_at = $4
WHERE (($1 <> 0 AND id = $1) OR ($1 = 0 AND hash = $2)) AND ($3 = 0 OR project_id = $3) AND revoked_at IS NULL
RETURNING id, project_id, kind, name, last4
