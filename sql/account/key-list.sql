SELECT id, project_id, kind, name, last4, hash, created_at_us, coalesce(revoked_at_us, 0)
FROM access_key
ORDER BY id
LIMIT :rows_max;
