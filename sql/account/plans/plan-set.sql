-- $1 project_id, $2 revision, $3 document, $4 now.
INSERT INTO tracking_plans (project_id, revision, document, changed_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (project_id) DO UPDATE
SET revision = excluded.revision, document = excluded.document, changed_at = excluded.changed_at
