SELECT k.id, k.project_id, k.kind, k.name, k.last4, k.hash, k.created_at, k.expires_at, u.used_at, k.revoked_at
FROM keys AS k
JOIN projects AS p ON p.id = k.project_id AND p.deleted_at IS NULL
LEFT JOIN key_uses AS u ON u.key_id = k.id
ORDER BY k.id
LIMIT $1
