-- As key-revoke asks for it, revoked or not.
SELECT id FROM keys WHERE (($1 <> 0 AND id = $1) OR ($1 = 0 AND hash = $2)) AND ($3 = 0 OR project_id = $3)
