/*
 * db - what both drivers share: values on their way in, rows on their way out. See db.h.
 */
#include "account/db.h"

#include "base/mem.h"
#include <assert.h>
#include <string.h>

static struct db_value *
next_value(struct db_values *values, enum db_type type)
{
    struct db_value *value;

    assert(values->count < DB_VALUES_MAX);
    value = &values->list[values->count++];
    *value = (struct db_value){.type = type};
    return value;
}

void
db_add_number(struct db_values *values, int64_t number)
{
    next_value(values, DB_NUMBER)->number = number;
}

void
db_add_time(struct db_values *values, int64_t unix_us)
{
    struct db_value *value = next_value(values, DB_TIME);

    value->number = unix_us;
    value->is_null = unix_us == 0;
}

void
db_add_slice(struct db_values *values, struct slice text)
{
    struct db_value *value = next_value(values, DB_TEXT);

    value->bytes = text;
    value->is_null = text.ptr == NULL;
}

void
db_add_text(struct db_values *values, const char *text)
{
    db_add_slice(values, slice_of_text(text));
}

void
db_add_bytes(struct db_values *values, const void *bytes, size_t len)
{
    next_value(values, DB_BYTES)->bytes = slice_of(bytes, len);
}

enum err
db_ask(struct db *db, const struct db_statement *statement, const struct db_values *values,
       struct db_rows **ret_rows, struct diag *diag)
{
    static const struct db_values none;

    return db->driver->ask(db, db->driver->is_sqlite ? statement->sqlite : statement->postgres,
                           values != NULL ? values : &none, ret_rows, diag);
}

enum err
db_run(struct db *db, const struct db_statement *statement, const struct db_values *values,
       struct diag *diag)
{
    DB_ROWS rows = NULL;

    return db_ask(db, statement, values, &rows, diag);
}

enum err
db_begin(struct db *db, bool is_write, struct diag *diag)
{
    return db->driver->begin(db, is_write, diag);
}

enum err
db_end(struct db *db, enum err err, struct diag *diag)
{
    if (err == ERR_OK)
        err = db->driver->commit(db, diag);
    if (err != ERR_OK)
        db->driver->rollback(db);
    return err;
}

enum err
db_scrub(struct db *db, struct diag *diag)
{
    bool is_done = false;
    enum err err;

    if (!db->is_scrub_due)
        return ERR_OK;
    err = db->driver->scrub(db, &is_done, diag);
    if (err == ERR_OK)
        db->is_scrub_due = !is_done;
    return err;
}

/* --- rows -------------------------------------------------------------------------------------*/

static const struct db_cell *
cell_at(const struct db_rows *rows, uint32_t row, uint32_t column)
{
    assert(row < rows->count && column < rows->columns);
    return &rows->cells[(size_t)row * rows->columns + column];
}

uint32_t
db_count(const struct db_rows *rows)
{
    return rows->count;
}

bool
db_is_null(const struct db_rows *rows, uint32_t row, uint32_t column)
{
    return cell_at(rows, row, column)->is_null;
}

int64_t
db_number(const struct db_rows *rows, uint32_t row, uint32_t column)
{
    return cell_at(rows, row, column)->number;
}

int64_t
db_time(const struct db_rows *rows, uint32_t row, uint32_t column)
{
    return cell_at(rows, row, column)->number;
}

struct slice
db_bytes(const struct db_rows *rows, uint32_t row, uint32_t column)
{
    return cell_at(rows, row, column)->bytes;
}

void
db_text(const struct db_rows *rows, uint32_t row, uint32_t column, char *ret_text, size_t size)
{
    struct slice bytes = db_bytes(rows, row, column);
    size_t len = bytes.ptr != NULL ? bytes.len : 0;

    if (len >= size)
        len = size - 1;
    if (bytes.ptr != NULL && len != 0)
        memcpy(ret_text, bytes.ptr, len);
    ret_text[len] = '\0';
}

void
db_rows_free(struct db_rows **rows)
{
    struct db_rows *r = *rows;

    if (r == NULL)
        return;
    if (r->free_source != NULL)
        r->free_source(r->source);
    arena_fini(&r->arena);
    mem_free(r->cells);
    mem_free(r);
    *rows = NULL;
}
