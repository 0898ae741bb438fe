-- Whole rows of one file in its order, for merging; {from_us} and {to_us} cut out one part of time.
SELECT person, occurred_at, seq, type_id, received_at, event_id, event_type, user_id, anonymous_id,
       session_id, properties
FROM read_parquet({files})
WHERE occurred_at >= make_timestamp({from_us}) AND occurred_at < make_timestamp({to_us})
