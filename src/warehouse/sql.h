/*
 * sql - the statements of sql/warehouse, their placeholders filled.
 *
 * Layer 4. Values are numbers, our own paths (quoted) and lists of them: never a client's text,
 * which would be a bound parameter.
 */
#ifndef POTIK_WAREHOUSE_SQL_H
#define POTIK_WAREHOUSE_SQL_H

#include "base/buf.h"
#include "base/err.h"
#include <stdint.h>

struct sql_value {
    const char *name; /* without braces */
    enum { SQL_I64, SQL_U64, SQL_PATH, SQL_PATHS, SQL_TYPES } kind;
    int64_t i64;
    uint64_t u64;
    const char *const *paths; /* SQL_PATH: one; SQL_PATHS: count of them */
    const uint32_t *types;    /* SQL_TYPES: "type_id IN (…)"; NULL: "true" */
    uint32_t count;
};
#define SQL_FROM_I64(n, v) ((struct sql_value){.name = (n), .kind = SQL_I64, .i64 = (v)})
#define SQL_FROM_U64(n, v) ((struct sql_value){.name = (n), .kind = SQL_U64, .u64 = (v)})

/* `sql` becomes the statement, NUL-terminated. A placeholder without a value stays as it is.
 * ERR_NOMEM. */
MUST_USE enum err
sql_fill(struct buf *sql, const char *statement, const struct sql_value *values, uint32_t count);

#define SQL_BYTES_MAX ((size_t)64 << 20)

extern const char *const sql_scan_rows_text;
extern const char *const sql_scan_rows_sorted_text;
extern const char *const sql_scan_first_text;
extern const char *const sql_scan_first_sorted_text;
extern const char *const sql_seal_rows_text;
extern const char *const sql_merge_rows_text;
extern const char *const sql_write_first_text;
extern const char *const sql_read_all_text;
extern const char *const sql_newest_seq_text;
extern const char *const sql_newest_rows_text;
extern const char *const sql_rows_after_text;
extern const char *const sql_person_rows_text;
extern const char *const sql_search_times_text;
extern const char *const sql_search_persons_text;
extern const char *const sql_search_ids_text;
extern const char *const sql_used_types_text;
extern const char *const sql_count_received_text;

#endif
