-- A tail, sorted already, as one file. Version 2 encodings with LZ4_RAW read as fast as DuckDB's own format.
COPY (SELECT * FROM feed({feed}::UBIGINT))
TO {path} (FORMAT parquet, PARQUET_VERSION v2, COMPRESSION lz4_raw)
