-- No row where there is no such project, or where as many keys are stored as may be.
INSERT INTO access_key (project_id, kind, name, hash, last4, created_at_us)
SELECT id, :kind, :name, :hash, :last4, :created_at_us
FROM project
WHERE id = :project_id AND (SELECT count(*) FROM access_key) < :keys_max;
