UPDATE keys SET revoked_at = $2 WHERE project_id = $1 AND revoked_at IS NULL
