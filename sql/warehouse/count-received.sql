-- How many rows were received in [{from_us}, {to_us}).
SELECT count(*)
FROM read_parquet({files})
WHERE received_at >= make_timestamp({from_us}) AND received_at < make_timestamp({to_us})
