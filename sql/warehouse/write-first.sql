-- The minima of one file: the earliest occurred_at of each (person, type), in that order.
COPY (SELECT * FROM feed({feed}::UBIGINT))
TO {path} (FORMAT parquet, PARQUET_VERSION v2, COMPRESSION lz4_raw)
