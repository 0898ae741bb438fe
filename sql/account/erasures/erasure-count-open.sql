SELECT count(*) FROM erasures WHERE project_id = $1 AND finished_at IS NULL
