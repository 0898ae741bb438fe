-- $1 at most so many.
SELECT p.project_id, p.revision
FROM tracking_plans AS p
JOIN projects AS o ON o.id = p.project_id
WHERE o.deleted_at IS NULL
ORDER BY p.project_id
LIMIT $1
