-- $1 project_id, $2 kind, $3 name, $4 hash, $5 last4, $6 created_at, $7 expires_at (NULL: no end).
INSERT INTO keys (project_id, kind, name, hash, last4, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING id
