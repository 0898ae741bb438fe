SELECT id, project_id, kind, name, last4, hash, created_at, revoked_at
FROM keys
ORDER BY id
LIMIT $1;
