-- Several files' minima in one order by person.
SELECT person, first_at, type_id
FROM read_parquet({files})
WHERE person >= {person_from} AND person < {person_to}
  AND {types}
ORDER BY person
