-- The types that files have rows of, by their minima.
SELECT DISTINCT type_id FROM read_parquet({files})
