SELECT id, project_id, reason, kind, state, person, person_hash, from_at, to_at, seq_max, received_max, position, frees_ids,
       is_dry_run, events, done, total, error, requested_at, finished_at
FROM erasures
WHERE id = $1
