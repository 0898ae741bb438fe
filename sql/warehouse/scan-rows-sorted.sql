-- Several files' rows in one order, for a fold over more files than are merged at once.
SELECT person, occurred_at, type_id
FROM read_parquet({files})
WHERE person >= {person_from} AND person < {person_to}
  AND occurred_at >= make_timestamp({from_us}) AND occurred_at < make_timestamp({to_us})
  AND {types}
ORDER BY person, occurred_at, seq
