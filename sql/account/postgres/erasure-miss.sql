-- $1 job, which ends. The nodes that have no part in it: their warehouses may hold what it erased. No dry run has parts.
INSERT INTO erasures_missed (node, project_id, erasure_id)
SELECT p.node::text, e.project_id, e.id
FROM erasures AS e, potik_nodes AS p
WHERE e.id = $1 AND NOT e.is_dry_run
  AND NOT EXISTS (SELECT FROM erasure_nodes AS n WHERE n.erasure_id = e.id AND n.node = p.node::text)
ON CONFLICT (node, project_id) DO UPDATE SET erasure_id = excluded.erasure_id
