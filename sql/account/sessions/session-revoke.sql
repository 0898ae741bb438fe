-- $1 id, $2 now. A row if it was in force.
UPDATE sessions SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING login_id
