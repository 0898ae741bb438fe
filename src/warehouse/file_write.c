/*
 * file_write - see file_write.h.
 *
 * Layer 4. The minima of a file are those of its rows that are the first of their (person, type);
 * rows come in order of (person, occurred_at), so a mark a type, holding the person it was last
 * seen with, is all that is needed.
 */
#include "warehouse/file_write.h"
#include "warehouse/sql.h"
#include <stdio.h>
#include <string.h>

const struct engine_column row_columns[ROW_COLUMNS] = {
    [ROW_SEQ] = {"seq", ENGINE_U64},
    [ROW_EVENT_ID] = {"event_id", ENGINE_TEXT},
    [ROW_EVENT_TYPE] = {"event_type", ENGINE_TEXT},
    [ROW_TYPE_ID] = {"type_id", ENGINE_U32},
    [ROW_PERSON] = {"person", ENGINE_U32},
    [ROW_USER_ID] = {"user_id", ENGINE_TEXT},
    [ROW_ANONYMOUS_ID] = {"anonymous_id", ENGINE_TEXT},
    [ROW_SESSION_ID] = {"session_id", ENGINE_TEXT},
    [ROW_OCCURRED_AT] = {"occurred_at", ENGINE_TIME},
    [ROW_RECEIVED_AT] = {"received_at", ENGINE_TIME},
    [ROW_PROPERTIES] = {"properties", ENGINE_TEXT},
};

static const struct engine_column first_columns[] = {
    {"person", ENGINE_U32}, {"first_at", ENGINE_TIME}, {"type_id", ENGINE_U32}};

#define PACE_ROWS 65536

/* --- one COPY -------------------------------------------------------------------------------- */

static enum err
sync_path(const char *path, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    const enum err err = file_open(path, FILE_WRITE, &fd, diag);

    return err == ERR_OK ? file_sync_bulk(fd, path, diag) : err;
}

/*
 * Feeds the rows of another feed, and writes back meanwhile what DuckDB has put into the file: a
 * merge may take minutes, and the kernel would start on all of it at once, in the way of the
 * ledger's syncs.
 */
struct paced_feed {
    struct engine_feed feed;
    struct engine_feed *rows;
    const char *path;
    int fd; /* -1: not there yet */
    uint64_t written_back;
    uint64_t rows_since;
};

static enum err
paced_fill(struct engine_feed *feed, struct engine_sheet *sheet, struct diag *diag)
{
    struct paced_feed *paced = (struct paced_feed *)feed;
    enum err err = paced->rows->fill(paced->rows, sheet, diag);
    uint64_t bytes = 0;

    paced->rows_since += sheet->rows;
    if (err != ERR_OK || paced->rows_since < PACE_ROWS)
        return err;
    paced->rows_since = 0;
    if (paced->fd < 0 && file_open(paced->path, FILE_WRITE, &paced->fd, NULL) != ERR_OK)
        return ERR_OK; /* not made yet */
    err = file_size(paced->fd, paced->path, &bytes, diag);
    if (err == ERR_OK)
        err = file_write_back(paced->fd, paced->path, paced->written_back, bytes, diag);
    paced->written_back = bytes;
    return err;
}

/* The statement's COPY into path.tmp, synced, renamed, and read once for its checksum. */
static enum err
copy_to(struct engine *engine, struct engine_guard *guard, const char *statement,
        struct engine_feed *feed, const char *path, uint64_t *ret_bytes, uint32_t *ret_checksum,
        struct diag *diag)
{
    char temporary[FILE_PATH_MAX + 4];
    const char *const paths[] = {temporary};
    const struct sql_value values[] = {
        {.name = "path", .kind = SQL_PATH, .paths = paths, .count = 1}};
    struct paced_feed paced = {.feed = *feed, .rows = feed, .path = temporary, .fd = -1};
    struct buf sql;
    enum err err = ERR_OK;

    paced.feed.fill = paced_fill;
    snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    buf_init(&sql, SQL_BYTES_MAX);
    err = sql_fill(&sql, statement, values, COUNT_OF(values));
    if (err == ERR_OK)
        err = engine_execute_feed(engine, guard, sql.ptr, &paced.feed, diag);
    file_close(&paced.fd);
    buf_fini(&sql);
    if (err == ERR_OK)
        err = sync_path(temporary, diag);
    if (err == ERR_OK)
        err = checksum_file(temporary, ret_bytes, ret_checksum, diag);
    if (err == ERR_OK)
        err = file_rename(temporary, path, diag);
    if (err != ERR_OK)
        (void)!file_unlink(temporary, NULL); /* what stays is removed at the next opening */
    return err;
}

/* --- minima ---------------------------------------------------------------------------------- */

struct first_feed {
    struct engine_feed feed;
    struct source *source;
    uint64_t *seen; /* by type: the person it was last seen with, plus one */
    uint32_t type_count;
    uint64_t rows; /* gone by */
    uint64_t made;
    struct manifest_file *facts;
};

/* What the manifest says of a file beyond what the rows' feed saw: spread over time and persons. */
static void
note_row(struct first_feed *first, uint32_t person, int64_t time)
{
    struct manifest_file *facts = first->facts;

    if (first->rows == 0 || time < facts->time_min_us)
        facts->time_min_us = time;
    if (first->rows == 0 || time > facts->time_max_us)
        facts->time_max_us = time;
    facts->persons = (uint64_t)person + 1;
    for (uint32_t i = (uint32_t)(first->rows * (MANIFEST_MARKS + 1) / facts->rows);
         i < MANIFEST_MARKS && first->rows == facts->rows * (i + 1) / (MANIFEST_MARKS + 1); i++)
        facts->marks[i] = person;
    first->rows++;
}

static enum err
first_fill(struct engine_feed *feed, struct engine_sheet *sheet, struct diag *diag)
{
    struct first_feed *first = (struct first_feed *)feed;
    struct source *source = first->source;
    uint32_t *person = sheet->columns[0];
    int64_t *first_at = sheet->columns[1];
    uint32_t *type_id = sheet->columns[2];

    while (sheet->rows < sheet->capacity) {
        if (source->at == source->count) {
            const enum err err = source->next(source, diag);

            if (err != ERR_OK || source->count == 0)
                return err;
        }
        const uint32_t row_person = source->person[source->at];
        const uint32_t row_type = source->type_id[source->at];

        if (row_type >= first->type_count)
            return ERR_CORRUPT;
        note_row(first, row_person, source->occurred_at_us[source->at]);
        if (first->seen[row_type] != (uint64_t)row_person + 1) {
            first->seen[row_type] = (uint64_t)row_person + 1;
            person[sheet->rows] = row_person;
            first_at[sheet->rows] = source->occurred_at_us[source->at];
            type_id[sheet->rows] = row_type;
            sheet->rows++;
            first->made++;
        }
        source->at++;
    }
    return ERR_OK;
}

static enum err
write_first(const struct data_file *file, struct engine *engine, struct engine_guard *guard,
            struct source *source, uint32_t type_count, struct manifest_file *facts,
            struct diag *diag)
{
    CLEANUP(mem_free_ptr) uint64_t *seen = MEM_NEW(uint64_t, (size_t)type_count + 1);
    struct first_feed first = {.feed = {.columns = first_columns,
                                        .column_count = COUNT_OF(first_columns),
                                        .rows = facts->rows,
                                        .fill = first_fill},
                               .source = source,
                               .seen = seen,
                               .type_count = type_count,
                               .facts = facts};
    enum err err = ERR_NOMEM;

    if (seen != NULL)
        err = copy_to(engine, guard, sql_write_first_text, &first.feed, file->first_path,
                      &facts->first_bytes, &facts->first_checksum, diag);
    if (err == ERR_OK && first.rows != facts->rows) {
        diag_set(diag, "%s: read back with other rows than were written", file->rows_path);
        return ERR_CORRUPT;
    }
    facts->first_rows = first.made;
    return err;
}

/* --- both ------------------------------------------------------------------------------------ */

static enum err
first_of_file(struct data_file *file, struct engine *engine, struct engine_guard *guard,
              struct source *rows_again, uint32_t type_count, struct manifest_file *facts,
              struct diag *diag)
{
    const struct source_filter all = {
        .from_us = INT64_MIN, .to_us = INT64_MAX, .person_to = UINT64_C(1) << 32};
    CLEANUP(source_free) struct source *own = NULL;

    if (rows_again == NULL) {
        enum err err = ERR_OK;

        atomic_store(&file->check, FILE_SOUND); /* just written, and counted as it is read back */
        err = source_of_files(engine, guard, &file, 1, false, &all, &own, diag);
        if (err != ERR_OK)
            return err;
        rows_again = own;
    }
    return write_first(file, engine, guard, rows_again, type_count, facts, diag);
}

enum err
file_write(const struct project *project, struct engine *engine, struct engine_guard *guard,
           const char *statement, struct row_feed *rows, struct source *rows_again,
           uint32_t type_count, struct manifest_file *facts, struct diag *diag)
{
    CLEANUP(data_file_release) struct data_file *file = NULL;
    enum err err = data_file_new(project->dir, facts, &file);

    if (err != ERR_OK)
        return err;
    rows->feed.columns = row_columns;
    rows->feed.column_count = ROW_COLUMNS;
    err = copy_to(engine, guard, statement, &rows->feed, file->rows_path, &facts->bytes,
                  &facts->checksum, diag);
    facts->rows = rows->facts.rows;
    facts->seq_min = rows->facts.seq_min;
    facts->seq_max = rows->facts.seq_max;
    facts->received_min_us = rows->facts.received_min_us;
    if (err == ERR_OK && facts->rows != 0)
        err = first_of_file(file, engine, guard, rows_again, type_count, facts, diag);
    if (err == ERR_OK && facts->rows != 0)
        err = file_sync_dir(project->dir, diag);
    if (err != ERR_OK || facts->rows == 0)
        atomic_store(&file->is_dropped, true); /* unlinked as it is released */
    return err;
}
