-- $1 project_id, $2 reason, $3 kind, $4 person, $5 from_at, $6 to_at, $7 frees_ids, $8 is_dry_run, $9 requested_at.
INSERT INTO erasures (project_id, reason, kind, state, person, from_at, to_at, frees_ids, is_dry_run, requested_at)
VALUES ($1, $2, $3, 'waiting', $4, $5, $6, $7 <> 0, $8 <> 0, $9)
RETURNING id
