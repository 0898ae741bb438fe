/*
 * engine_feed - our rows as a table function of DuckDB: `SELECT … FROM feed(<address>)`.
 *
 * Layer 4. Called back on the thread that runs the statement (one thread a feed, so rows keep their
 * order). Texts are handed over by address, not copied: DuckDB's string is 16 bytes, up to 12 of
 * them the text itself, else a length, the first four bytes and a pointer (duckdb.h,
 * duckdb_string_t).
 *
 * The number in the SQL is the address of the feed, written by engine_execute_feed alone; no text
 * of a client comes near these statements.
 */
#include "base/buf.h"
#include "warehouse/engine_inside.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static duckdb_type
type_of(enum engine_type type)
{
    switch (type) {
    case ENGINE_U32:
        return DUCKDB_TYPE_UINTEGER;
    case ENGINE_U64:
        return DUCKDB_TYPE_UBIGINT;
    case ENGINE_TIME:
        return DUCKDB_TYPE_TIMESTAMP;
    case ENGINE_TEXT:
        break;
    }
    return DUCKDB_TYPE_VARCHAR;
}

static void
feed_bind(duckdb_bind_info info)
{
    duckdb_value value = duckdb_bind_get_parameter(info, 0);
    struct engine_feed *feed = (struct engine_feed *)(uintptr_t)duckdb_get_uint64(value);

    duckdb_destroy_value(&value);
    for (uint32_t i = 0; i < feed->column_count; i++) {
        duckdb_logical_type type = duckdb_create_logical_type(type_of(feed->columns[i].type));

        duckdb_bind_add_result_column(info, feed->columns[i].name, type);
        duckdb_destroy_logical_type(&type);
    }
    duckdb_bind_set_cardinality(info, feed->rows, false);
    duckdb_bind_set_bind_data(info, feed, NULL);
}

static void
feed_init(duckdb_init_info info)
{
    duckdb_init_set_max_threads(info, 1);
}

static void
feed_fill(duckdb_function_info info, duckdb_data_chunk output)
{
    struct engine_feed *feed = duckdb_function_get_bind_data(info);
    const idx_t capacity = duckdb_vector_size();
    struct engine_sheet sheet = {.capacity = (uint32_t)capacity};

    for (uint32_t i = 0; i < feed->column_count; i++) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(output, i);

        sheet.vectors[i] = vector;
        sheet.columns[i] = duckdb_vector_get_data(vector);
        if (feed->columns[i].type == ENGINE_TEXT) {
            duckdb_vector_ensure_validity_writable(vector);
            sheet.nulls[i] = duckdb_vector_get_validity(vector);
            memset(sheet.nulls[i], 0xff, capacity / 8);
        }
    }
    if (feed->err == ERR_OK)
        feed->err = feed->fill(feed, &sheet, &feed->diag);
    if (feed->err != ERR_OK) {
        duckdb_function_set_error(info, "the feed ended early");
        return;
    }
    assert(sheet.rows <= sheet.capacity);
    duckdb_data_chunk_set_size(output, sheet.rows);
}

void
engine_put_text(struct engine_sheet *sheet, uint32_t column, uint32_t row, struct slice text)
{
    duckdb_string_t *place = (duckdb_string_t *)sheet->columns[column] + row;

    if (text.ptr == NULL) {
        sheet->nulls[column][row / 64] &= ~(UINT64_C(1) << (row % 64));
        return;
    }
    if (text.len <= sizeof(place->value.inlined.inlined)) {
        memset(place, 0, sizeof(*place));
        place->value.inlined.length = (uint32_t)text.len;
        memcpy(place->value.inlined.inlined, text.ptr, text.len);
        return;
    }
    place->value.pointer.length = (uint32_t)text.len;
    memcpy(place->value.pointer.prefix, text.ptr, sizeof(place->value.pointer.prefix));
    memcpy(&place->value.pointer.ptr, &text.ptr, sizeof(text.ptr));
}

void
engine_put_text_copy(struct engine_sheet *sheet, uint32_t column, uint32_t row, struct slice text)
{
    if (text.ptr == NULL || text.len <= sizeof(((duckdb_string_t *)NULL)->value.inlined.inlined))
        engine_put_text(sheet, column, row, text);
    else
        duckdb_vector_assign_string_element_len(sheet->vectors[column], row, text.ptr, text.len);
}

bool
engine_feed_register(duckdb_connection connection)
{
    duckdb_table_function function = duckdb_create_table_function();
    duckdb_logical_type number = duckdb_create_logical_type(DUCKDB_TYPE_UBIGINT);
    bool is_good = false;

    duckdb_table_function_set_name(function, "feed");
    duckdb_table_function_add_parameter(function, number);
    duckdb_table_function_set_bind(function, feed_bind);
    duckdb_table_function_set_init(function, feed_init);
    duckdb_table_function_set_function(function, feed_fill);
    is_good = duckdb_register_table_function(connection, function) == DuckDBSuccess;
    duckdb_destroy_logical_type(&number);
    duckdb_destroy_table_function(&function);
    return is_good;
}

enum err
engine_execute_feed(struct engine *engine, struct engine_guard *guard, const char *sql,
                    struct engine_feed *feed, struct diag *diag)
{
    static const char mark[] = "{feed}";
    const char *place = strstr(sql, mark);
    struct buf text;
    enum err err = ERR_NOMEM;

    assert(place != NULL);
    buf_init(&text, 1 << 16);
    buf_add(&text, sql, (size_t)(place - sql));
    buf_add_u64(&text, (uint64_t)(uintptr_t)feed);
    buf_add_text(&text, place + strlen(mark));
    buf_add_char(&text, '\0');
    feed->err = ERR_OK;
    if (!buf_failed(&text))
        err = engine_execute(engine, guard, text.ptr, diag);
    buf_fini(&text);
    if (feed->err != ERR_OK) {
        if (diag != NULL)
            *diag = feed->diag;
        return feed->err;
    }
    return err;
}
