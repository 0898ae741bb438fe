-- One person's rows before (occurred_at, seq), newest first.
SELECT person, occurred_at, seq, type_id, received_at, event_id, event_type, user_id, anonymous_id,
       session_id, properties
FROM read_parquet({files})
WHERE person = {person}
  AND (occurred_at < make_timestamp({before_us})
       OR (occurred_at = make_timestamp({before_us}) AND seq < {before_seq}))
ORDER BY occurred_at DESC, seq DESC
LIMIT {limit}
