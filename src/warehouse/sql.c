/*
 * sql - see sql.h. The texts are embedded from sql/warehouse at build time.
 *
 * Layer 4, any thread, pure.
 */
#include "warehouse/sql.h"
#include "warehouse_sql.h"
#include <string.h>

const char *const sql_scan_rows_text = sql_scan_rows;
const char *const sql_scan_rows_sorted_text = sql_scan_rows_sorted;
const char *const sql_scan_first_text = sql_scan_first;
const char *const sql_scan_first_sorted_text = sql_scan_first_sorted;
const char *const sql_seal_rows_text = sql_seal_rows;
const char *const sql_merge_rows_text = sql_merge_rows;
const char *const sql_write_first_text = sql_write_first;
const char *const sql_read_all_text = sql_read_all;
const char *const sql_newest_seq_text = sql_newest_seq;
const char *const sql_newest_rows_text = sql_newest_rows;
const char *const sql_rows_after_text = sql_rows_after;
const char *const sql_person_rows_text = sql_person_rows;
const char *const sql_search_times_text = sql_search_times;
const char *const sql_search_persons_text = sql_search_persons;
const char *const sql_search_ids_text = sql_search_ids;
const char *const sql_used_types_text = sql_used_types;
const char *const sql_count_received_text = sql_count_received;

/* A string literal: quotes doubled, nothing else is special in one. */
static void
add_path(struct buf *sql, const char *path)
{
    buf_add_char(sql, '\'');
    for (const char *at = path; *at != '\0'; at++) {
        if (*at == '\'')
            buf_add_char(sql, '\'');
        buf_add_char(sql, *at);
    }
    buf_add_char(sql, '\'');
}

static void
add_value(struct buf *sql, const struct sql_value *value)
{
    switch (value->kind) {
    case SQL_I64:
        buf_add_i64(sql, value->i64);
        break;
    case SQL_U64:
        buf_add_u64(sql, value->u64);
        break;
    case SQL_PATH:
        add_path(sql, value->paths[0]);
        break;
    case SQL_PATHS:
        for (uint32_t i = 0; i < value->count; i++) {
            buf_add_char(sql, i == 0 ? '[' : ',');
            add_path(sql, value->paths[i]);
        }
        buf_add_char(sql, ']');
        break;
    case SQL_TYPES:
        if (value->types == NULL) {
            buf_add_text(sql, "true");
            break;
        }
        buf_add_text(sql, value->count == 0 ? "type_id IN (NULL" : "type_id IN (");
        for (uint32_t i = 0; i < value->count; i++) {
            if (i != 0)
                buf_add_char(sql, ',');
            buf_add_u64(sql, value->types[i]);
        }
        buf_add_char(sql, ')');
        break;
    }
}

static const struct sql_value *
find_value(const struct sql_value *values, uint32_t count, const char *name, size_t len)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strlen(values[i].name) == len && memcmp(values[i].name, name, len) == 0)
            return &values[i];
    }
    return NULL;
}

enum err
sql_fill(struct buf *sql, const char *statement, const struct sql_value *values, uint32_t count)
{
    const char *at = statement;

    buf_clear(sql);
    while (*at == '-') /* the comment at the top is for people */
        at = strchr(at, '\n') + 1;
    while (*at != '\0') {
        const char *open = strchr(at, '{');
        const char *end = open != NULL ? strchr(open, '}') : NULL;
        const struct sql_value *value =
            end != NULL ? find_value(values, count, open + 1, (size_t)(end - open - 1)) : NULL;

        if (end == NULL) {
            buf_add_text(sql, at);
            break;
        }
        buf_add(sql, at, (size_t)(open - at));
        if (value != NULL)
            add_value(sql, value);
        else
            buf_add(sql, open, (size_t)(end + 1 - open));
        at = end + 1;
    }
    buf_add_char(sql, '\0');
    return buf_failed(sql) ? ERR_NOMEM : ERR_OK;
}
