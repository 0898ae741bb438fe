-- By the hash of a refresh token.
SELECT s.id, s.login_id, s.refresh_count, s.created_at, s.expires_at, s.revoked_at, t.used_at
FROM refresh_tokens AS t JOIN sessions AS s ON s.id = t.session_id
WHERE t.hash = $1
