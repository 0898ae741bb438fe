-- $1 id, $2 now. What named persons and events is gone with it. A row if it was not finished yet.
UPDATE erasures SET state = 'done', person = NULL, error = '', finished_at = $2 WHERE id = $1 AND finished_at IS NULL
RETURNING project_id, person_hash, events, CASE WHEN is_dry_run THEN 1 ELSE 0 END
