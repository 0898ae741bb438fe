-- What tells whether a row is to be erased, of one file in its order.
SELECT seq, occurred_at, received_at, event_id, user_id, anonymous_id
FROM read_parquet({files})
