-- $1 login, $2 now, $3 the session that stays ('': none).
UPDATE sessions SET revoked_at = $2 WHERE login_id = $1 AND revoked_at IS NULL AND id <> $3
