-- $1 id, $2 login, $3 now, $4 expires_at.
INSERT INTO sessions (id, login_id, created_at, used_at, expires_at)
VALUES ($1, $2, $3, $3, $4)
