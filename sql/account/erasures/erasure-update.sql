-- $1 id, $2 state, $3 person_hash, $4 seq_max, $5 received_max, $6 position, $7 events, $8 done, $9 total, $10 error. The bounds
-- are those of the node that began: no row where others stand there, or the job is done. A job that has come farther, on another
-- node, is not put back, and what one has counted is not lowered.
UPDATE erasures
SET state = CASE WHEN state = 'in_warehouse' AND $2 <> 'done' THEN state ELSE $2 END, person_hash = $3, seq_max = $4,
    received_max = $5, position = $6, events = CASE WHEN NOT is_dry_run AND events > $7 THEN events ELSE $7 END, done = $8,
    total = $9, error = $10
WHERE id = $1 AND finished_at IS NULL AND (position = '' OR position = $6)
RETURNING id
