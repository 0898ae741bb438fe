/*
 * erase_file - see erase_file.h.
 *
 * Layer 4, the keeper's thread. First only the columns are read that tell whether a row is
 * selected, with the bounds of time and seq pushed down; most files have no such row and are left
 * alone. The question itself is asked in C, of each row (selection_matches): what a client sent is
 * never spliced into a statement, and store and warehouse cannot answer differently.
 *
 * Of a person every row is looked at, not only those of its dense id: an event with both ids
 * belongs to the person of its user_id, and names the other by its anonymous_id.
 */
#include "warehouse/erase_file.h"
#include "base/counter.h"
#include "warehouse/merge_feed.h"
#include "warehouse/replace.h"
#include "warehouse/sql.h"

#define TIME_END_US INT64_C(9000000000000000000)

COUNTER_DEFINE(erased_rows, "potik_warehouse_erased_rows_total", "rows erased from files");
COUNTER_DEFINE(erased_files, "potik_warehouse_erased_files_total",
               "files written anew, or dropped, because rows of theirs were erased");

bool
erase_may_hold(const struct selection *selection, const struct manifest_file *facts)
{
    if (facts->seq_min > selection->seq_max || facts->received_min_us > selection->received_max_us)
        return false;
    if (selection->kind == SELECTION_RECEIVED)
        return facts->received_min_us < selection->to_us;
    if (selection->kind == SELECTION_OCCURRED)
        return facts->time_max_us >= selection->from_us && facts->time_min_us < selection->to_us;
    return true;
}

/* --- the search ------------------------------------------------------------------------------ */

enum search_column {
    SEARCH_SEQ,
    SEARCH_RECEIVED_AT,
    SEARCH_OCCURRED_AT,
    SEARCH_EVENT_ID,
    SEARCH_USER_ID,
    SEARCH_ANONYMOUS_ID
};

/* A time in the range DuckDB's timestamps have. */
static int64_t
bounded(int64_t time_us)
{
    return time_us < 0 ? 0 : time_us > TIME_END_US ? TIME_END_US : time_us;
}

static enum err
search_open(const struct erase_file *erase, struct data_file *file,
            struct engine_stream **ret_stream, struct diag *diag)
{
    const struct selection *selection = erase->selection;
    const bool is_received = selection->kind == SELECTION_RECEIVED;
    const bool is_occurred = selection->kind == SELECTION_OCCURRED;
    const char *const paths[] = {file->rows_path};
    /* below a bound and not at it: one more than received_max_us */
    const int64_t received_to = bounded(
        selection->received_max_us < TIME_END_US ? selection->received_max_us + 1 : TIME_END_US);
    const int64_t to = bounded(selection->to_us);
    const struct sql_value values[] = {
        {.name = "files", .kind = SQL_PATHS, .paths = paths, .count = 1},
        SQL_FROM_U64("seq_max", selection->seq_max),
        SQL_FROM_I64("received_from", is_received ? bounded(selection->from_us) : 0),
        SQL_FROM_I64("received_to", is_received && to < received_to ? to : received_to),
        SQL_FROM_I64("occurred_from", is_occurred ? bounded(selection->from_us) : 0),
        SQL_FROM_I64("occurred_to", is_occurred ? to : TIME_END_US),
    };
    const char *statement = selection->kind == SELECTION_PERSON ? sql_search_persons_text
                            : selection->kind == SELECTION_IDS  ? sql_search_ids_text
                                                                : sql_search_times_text;
    struct buf sql;
    enum err err = data_file_check(file, diag);

    buf_init(&sql, SQL_BYTES_MAX);
    if (err == ERR_OK)
        err = sql_fill(&sql, statement, values, COUNT_OF(values));
    if (err == ERR_OK)
        err = engine_stream_open(erase->engine, erase->guard, sql.ptr, ret_stream, diag);
    buf_fini(&sql);
    return err;
}

static uint64_t
count_chunk(const struct selection *selection, const struct engine_chunk *chunk)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < chunk->rows; i++) {
        const struct event event = {
            .project_id = selection->project_id, /* no column: the folder tells it */
            .event_id = engine_text(chunk, SEARCH_EVENT_ID, i),
            .user_id = engine_text(chunk, SEARCH_USER_ID, i),
            .anonymous_id = engine_text(chunk, SEARCH_ANONYMOUS_ID, i),
            .received_at_us = ((const int64_t *)chunk->columns[SEARCH_RECEIVED_AT])[i],
            .occurred_at_us = ((const int64_t *)chunk->columns[SEARCH_OCCURRED_AT])[i],
        };

        if (selection_matches(selection, &event, ((const uint64_t *)chunk->columns[SEARCH_SEQ])[i]))
            count++;
    }
    return count;
}

static enum err
search(const struct erase_file *erase, struct data_file *file, uint64_t *ret_rows,
       struct diag *diag)
{
    CLEANUP(engine_stream_close) struct engine_stream *stream = NULL;
    struct engine_chunk chunk;
    enum err err = search_open(erase, file, &stream, diag);

    *ret_rows = 0;
    while (err == ERR_OK) {
        err = engine_stream_next(stream, &chunk, diag);
        if (err != ERR_OK || chunk.rows == 0)
            break;
        *ret_rows += count_chunk(erase->selection, &chunk);
    }
    return err;
}

/* --- writing anew ---------------------------------------------------------------------------- */

/* The file without its `rows` selected ones. */
static enum err
write_rest(const struct erase_file *erase, struct data_file *file, uint64_t rows,
           struct manifest_file *ret_facts, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct merge_feed *feed = MEM_NEW(struct merge_feed, 1);
    struct manifest_file facts = {.number = replace_number(erase->project),
                                  .level = file->facts.level,
                                  .covered = file->facts.covered,
                                  .part_from_us = file->facts.part_from_us,
                                  .part_to_us = file->facts.part_to_us};
    enum err err = ERR_NOMEM;

    if (feed == NULL)
        return ERR_NOMEM;
    err = merge_feed_open(feed, erase->engine, erase->guard, &file, 1, 0, TIME_END_US, diag);
    feed->erased = erase->selection;
    feed->rows.feed.rows = file->facts.rows - rows;
    if (err == ERR_OK)
        err = file_write(erase->project, erase->engine, erase->guard, sql_merge_rows_text,
                         &feed->rows, NULL, erase->type_count, &facts, diag);
    merge_feed_close(feed);
    *ret_facts = facts;
    if (err == ERR_OK && (feed->erased_rows != rows || facts.rows != file->facts.rows - rows)) {
        diag_set(diag, "%s: writing it anew gave another number of rows", file->rows_path);
        err = ERR_CORRUPT;
    }
    return err;
}

enum err
erase_file(const struct erase_file *erase, struct data_file *file, uint64_t *ret_rows,
           uint32_t *ret_number, struct diag *diag)
{
    struct manifest_file facts = {0};
    struct replacement replacement = {.project = erase->project,
                                      .lexicon = erase->lexicon,
                                      .inputs = &file,
                                      .input_count = 1,
                                      .outputs = &facts};
    uint64_t rows = 0;
    enum err err = search(erase, file, &rows, diag);

    if (err == ERR_OK && rows != 0) {
        if (rows < file->facts.rows)
            err = write_rest(erase, file, rows, &facts, diag);
        replacement.output_count = facts.rows != 0 ? 1 : 0;
        if (err == ERR_OK)
            err = replace_files(&replacement, diag);
        if (err != ERR_OK)
            replace_drop_outputs(&replacement);
    }
    if (err != ERR_OK)
        return err;
    *ret_rows = rows;
    *ret_number = facts.number;
    if (rows != 0) {
        counter_add(&erased_rows, rows);
        counter_add(&erased_files, 1);
    }
    return ERR_OK;
}

/* --- types ----------------------------------------------------------------------------------- */

static enum err
used_open(const struct erase_file *erase, const struct file_set *set,
          struct engine_stream **ret_stream, struct diag *diag)
{
    CLEANUP(mem_free_ptr) const char **paths = MEM_NEW(const char *, (size_t)set->count + 1);
    struct buf sql;
    enum err err = paths != NULL ? ERR_OK : ERR_NOMEM;

    for (uint32_t i = 0; err == ERR_OK && i < set->count; i++) {
        paths[i] = set->files[i]->first_path;
        err = data_file_check(set->files[i], diag);
    }
    const struct sql_value values[] = {
        {.name = "files", .kind = SQL_PATHS, .paths = paths, .count = set->count}};

    buf_init(&sql, SQL_BYTES_MAX);
    if (err == ERR_OK)
        err = sql_fill(&sql, sql_used_types_text, values, COUNT_OF(values));
    if (err == ERR_OK)
        err = engine_stream_open(erase->engine, erase->guard, sql.ptr, ret_stream, diag);
    buf_fini(&sql);
    return err;
}

enum err
erase_used_types(const struct erase_file *erase, const struct file_set *set, bool *is_used,
                 struct diag *diag)
{
    CLEANUP(engine_stream_close) struct engine_stream *stream = NULL;
    struct engine_chunk chunk;
    enum err err = ERR_OK;

    if (set->count == 0)
        return ERR_OK;
    err = used_open(erase, set, &stream, diag);
    while (err == ERR_OK) {
        err = engine_stream_next(stream, &chunk, diag);
        if (err != ERR_OK || chunk.rows == 0)
            break;
        for (uint32_t i = 0; i < chunk.rows; i++) {
            const uint32_t type_id = ((const uint32_t *)chunk.columns[0])[i];

            if (type_id < erase->type_count)
                is_used[type_id] = true;
        }
    }
    return err;
}
