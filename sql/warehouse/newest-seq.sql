-- The seqs of the newest rows.
SELECT seq FROM read_parquet({files}) ORDER BY seq DESC LIMIT {limit}
