-- Beyond the newest used $3 of a login ($1) that are in force at $2.
SELECT id FROM sessions
WHERE login_id = $1 AND revoked_at IS NULL AND expires_at > $2
ORDER BY used_at DESC, id
LIMIT 1000 OFFSET $3
