-- $1 project_id (0: all), $2 at most.
SELECT id, project_id, reason, kind, state, person, person_hash, from_at, to_at, seq_max, received_max, position, frees_ids,
       is_dry_run, events, done, total, error, requested_at, finished_at
FROM erasures
WHERE $1 = 0 OR project_id = $1
ORDER BY id DESC
LIMIT $2
