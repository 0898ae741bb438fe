-- $1 the node. Of the first project of which it has not done its part of finished erasures: it was away for too long to be waited
-- for. `newest`: all up to that one; `is_deleted`: the project itself is gone.
SELECT e.project_id, max(e.id) AS newest, count(*) FILTER (WHERE e.kind = 'all') AS is_deleted
FROM erasures AS e
WHERE e.finished_at IS NOT NULL AND NOT e.is_dry_run
  AND NOT EXISTS (SELECT FROM erasure_nodes AS n WHERE n.erasure_id = e.id AND n.node = $1)
GROUP BY e.project_id
ORDER BY e.project_id
LIMIT 1
