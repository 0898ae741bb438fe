-- One file's minima, ordered by (person, type_id).
SELECT person, first_at, type_id
FROM read_parquet({files})
WHERE person >= {person_from} AND person < {person_to}
  AND {types}
