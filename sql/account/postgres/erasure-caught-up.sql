-- $1 the node, $2 project, $3 the newest: it has done its part of all of them.
INSERT INTO erasure_nodes (erasure_id, node)
SELECT e.id, $1
FROM erasures AS e
WHERE e.project_id = $2 AND e.id <= $3 AND e.finished_at IS NOT NULL AND NOT e.is_dry_run
ON CONFLICT DO NOTHING
