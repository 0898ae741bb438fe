/*
 * print_parquet - every value of Parquet files, and every least and greatest value their footers
 * tell, for tests that look for what must not stand there: files are compressed, so that looking
 * through their bytes finds nothing. Read by DuckDB, with none of this program's own code.
 *
 *     print_parquet FILE…        a row a line, its values separated by tabs; "file NAME" before
 * each
 */
#include <duckdb.h>
#include <stdio.h>
#include <string.h>

static int
print(duckdb_connection connection, const char *what, const char *reader, const char *path)
{
    char sql[4096];
    duckdb_result result;
    int is_bad = 1;

    if (strchr(path, '\'') == NULL && snprintf(sql, sizeof(sql), "SELECT %s FROM %s('%s')", what,
                                               reader, path) < (int)sizeof(sql)) {
        is_bad = duckdb_query(connection, sql, &result) != DuckDBSuccess;
        if (is_bad)
            fprintf(stderr, "print_parquet: %s\n", duckdb_result_error(&result));
        for (idx_t row = 0; !is_bad && row < duckdb_row_count(&result); row++) {
            for (idx_t column = 0; column < duckdb_column_count(&result); column++) {
                char *value = duckdb_value_varchar(&result, column, row);

                printf("%s%s", column == 0 ? "" : "\t", value != NULL ? value : "");
                duckdb_free(value);
            }
            putchar('\n');
        }
        duckdb_destroy_result(&result);
    }
    return is_bad;
}

int
main(int argc, char **argv)
{
    duckdb_database database;
    duckdb_connection connection;
    int is_bad = 0;

    if (duckdb_open(NULL, &database) != DuckDBSuccess ||
        duckdb_connect(database, &connection) != DuckDBSuccess)
        return 1;
    for (int i = 1; i < argc; i++) {
        printf("file %s\n", argv[i]);
        is_bad |= print(connection, "*", "read_parquet", argv[i]);
        is_bad |= print(connection,
                        "path_in_schema, stats_min_value, stats_max_value, stats_min, stats_max",
                        "parquet_metadata", argv[i]);
        is_bad |= print(connection, "key::VARCHAR, value::VARCHAR", "parquet_kv_metadata", argv[i]);
    }
    duckdb_disconnect(&connection);
    duckdb_close(&database);
    return is_bad;
}
