-- $1 the node. The oldest job of which it has not done its part. A dry run has no part but the store's.
SELECT id, project_id, reason, kind, state, person, person_hash, from_at, to_at, seq_max, received_max, position, frees_ids,
       is_dry_run, events, done, total, error, requested_at, finished_at
FROM erasures AS e
WHERE finished_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM erasure_nodes AS n WHERE n.erasure_id = e.id AND n.node = $1)
ORDER BY id
LIMIT 1
