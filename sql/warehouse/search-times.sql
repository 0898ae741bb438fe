-- What an erasure by time looks at in one file: only rows within its bounds are decoded.
SELECT seq, received_at, occurred_at, NULL::VARCHAR AS event_id, NULL::VARCHAR AS user_id,
       NULL::VARCHAR AS anonymous_id
FROM read_parquet({files})
WHERE seq <= {seq_max}::UBIGINT
  AND received_at >= make_timestamp({received_from}) AND received_at < make_timestamp({received_to})
  AND occurred_at >= make_timestamp({occurred_from}) AND occurred_at < make_timestamp({occurred_to})
