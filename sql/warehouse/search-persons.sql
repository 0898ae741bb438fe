-- What the erasure of a person looks at in one file: an event may name the person beside another id.
SELECT seq, received_at, occurred_at, NULL::VARCHAR AS event_id, user_id, anonymous_id
FROM read_parquet({files})
WHERE seq <= {seq_max}::UBIGINT
  AND received_at >= make_timestamp({received_from}) AND received_at < make_timestamp({received_to})
  AND occurred_at >= make_timestamp({occurred_from}) AND occurred_at < make_timestamp({occurred_to})
