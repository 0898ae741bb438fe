-- $1 id, $2 now, $3 expires_at.
UPDATE sessions SET refresh_count = refresh_count + 1, used_at = $2, expires_at = $3 WHERE id = $1
