SELECT count(*) FROM erasures WHERE finished_at IS NULL
