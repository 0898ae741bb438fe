-- Rows after a seq, oldest first.
SELECT person, occurred_at, seq, type_id, received_at, event_id, event_type, user_id, anonymous_id,
       session_id, properties
FROM read_parquet({files})
WHERE seq > {seq_after}
ORDER BY seq
LIMIT {limit}
