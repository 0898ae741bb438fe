/*
 * source_file - Parquet files as a source: one stream of DuckDB, which decodes, filters and
 * projects.
 *
 * Layer 4. One file keeps the order it was written in; several are sorted by DuckDB (on disk, in
 * tmp/, where they are larger than its memory).
 */
#include "warehouse/source.h"
#include "warehouse/sql.h"

struct file_source {
    struct source source;
    struct engine_stream *stream;
};

static void
file_source_free(struct source *base)
{
    struct file_source *source = (struct file_source *)base;

    engine_stream_close(&source->stream);
    mem_free(source);
}

static enum err
file_source_next(struct source *base, struct diag *diag)
{
    struct file_source *source = (struct file_source *)base;
    struct engine_chunk chunk;
    enum err err = engine_stream_next(source->stream, &chunk, diag);

    if (err != ERR_OK)
        return err;
    base->person = chunk.columns[0];
    base->occurred_at_us = chunk.columns[1];
    base->type_id = chunk.columns[2];
    base->count = chunk.rows;
    base->at = 0;
    return ERR_OK;
}

/* Times are put into the range DuckDB's timestamps have; events lie well within it. */
static int64_t
bounded(int64_t time_us)
{
    const int64_t most = INT64_C(9000000000000000000);

    return time_us < 0 ? 0 : time_us > most ? most : time_us;
}

static enum err
statement(struct buf *sql, struct data_file *const *files, uint32_t count, bool is_first,
          const struct source_filter *filter)
{
    CLEANUP(mem_free_ptr) const char **paths = MEM_NEW(const char *, count);
    const char *text = is_first ? (count == 1 ? sql_scan_first_text : sql_scan_first_sorted_text)
                                : (count == 1 ? sql_scan_rows_text : sql_scan_rows_sorted_text);

    if (paths == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        paths[i] = is_first ? files[i]->first_path : files[i]->rows_path;
    const struct sql_value values[] = {
        {.name = "files", .kind = SQL_PATHS, .paths = paths, .count = count},
        {.name = "types", .kind = SQL_TYPES, .types = filter->types, .count = filter->type_count},
        SQL_FROM_U64("person_from", filter->person_from),
        SQL_FROM_U64("person_to", filter->person_to),
        SQL_FROM_I64("from_us", bounded(filter->from_us)),
        SQL_FROM_I64("to_us", bounded(filter->to_us)),
    };
    return sql_fill(sql, text, values, COUNT_OF(values));
}

enum err
source_of_files(struct engine *engine, struct engine_guard *guard, struct data_file *const *files,
                uint32_t count, bool is_first, const struct source_filter *filter,
                struct source **ret_source, struct diag *diag)
{
    struct file_source *source = MEM_NEW(struct file_source, 1);
    struct buf sql;
    enum err err = ERR_OK;

    if (source == NULL)
        return ERR_NOMEM;
    source->source.next = file_source_next;
    source->source.free = file_source_free;
    for (uint32_t i = 0; err == ERR_OK && i < count; i++)
        err = data_file_check(files[i], diag);
    buf_init(&sql, SQL_BYTES_MAX);
    if (err == ERR_OK)
        err = statement(&sql, files, count, is_first, filter);
    if (err == ERR_OK)
        err = engine_stream_open(engine, guard, sql.ptr, &source->stream, diag);
    buf_fini(&sql);
    if (err != ERR_OK) {
        file_source_free(&source->source);
        return err;
    }
    *ret_source = &source->source;
    return ERR_OK;
}
