-- The newest rows, newest first; {seq_from} is the least of newest-seq.sql.
SELECT person, occurred_at, seq, type_id, received_at, event_id, event_type, user_id, anonymous_id,
       session_id, properties
FROM read_parquet({files})
WHERE seq >= {seq_from}
ORDER BY seq DESC
LIMIT {limit}
