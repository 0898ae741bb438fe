-- One file's rows in the order it is sorted by: (person, occurred_at, seq).
-- {files}: a list of paths; {types}: a condition on type_id, or true.
SELECT person, occurred_at, type_id
FROM read_parquet({files})
WHERE person >= {person_from} AND person < {person_to}
  AND occurred_at >= make_timestamp({from_us}) AND occurred_at < make_timestamp({to_us})
  AND {types}
