SELECT id FROM sessions WHERE revoked_at >= $1 ORDER BY revoked_at DESC LIMIT $2
