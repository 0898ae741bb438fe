/*
 * delete_ids - see delete_ids.h.
 */
#include "cli/delete_ids.h"

#include "base/mem.h"
#include "cli/import_line.h"
#include "event/limits.h"
#include "event/selection.h"
#include <assert.h>

#define LINE_BYTES_MAX (16u * IMPORT_LINE_BYTES_MAX)
#define ARENA_BLOCK_BYTES ((size_t)1 << 20)

struct reading {
    struct import_file *file;
    enum err (*take)(void *state, const struct slice *ids, uint32_t count, struct diag *diag);
    void *state;
    struct delete_ids_counts counts;
    struct buf line;
    struct arena row;   /* of one row */
    struct arena texts; /* of the ids of the piece */
    struct slice *ids;
    uint32_t count;
    uint32_t max;
    bool has_taken_err; /* `take` failed: its words are not about the file */
};

static enum err
give_piece(struct reading *reading, struct diag *diag)
{
    enum err err;

    if (reading->count == 0)
        return ERR_OK;
    reading->count = selection_sort_ids(reading->ids, reading->count);
    err = reading->take(reading->state, reading->ids, reading->count, diag);
    reading->has_taken_err = err != ERR_OK;
    reading->count = 0;
    arena_clear(&reading->texts);
    return err;
}

static enum err
add_id(struct reading *reading, struct slice id, struct diag *diag)
{
    struct slice copy;

    reading->counts.ids++;
    if (reading->take == NULL)
        return ERR_OK;
    copy = arena_copy(&reading->texts, id);
    if (copy.ptr == NULL)
        return ERR_NOMEM;
    reading->ids[reading->count++] = copy;
    return reading->count == reading->max ? give_piece(reading, diag) : ERR_OK;
}

/* The line as it would have been sent, with its LF. */
static enum err
take_event(struct reading *reading, struct diag *diag)
{
    struct slice line = buf_slice(&reading->line);
    struct slice id;
    enum err err;

    if (line.len != 0 && line.ptr[line.len - 1] == '\n')
        line.len--;
    arena_clear(&reading->row);
    err = import_line_read_id(line, &reading->row, &id);
    if (err != ERR_OK)
        return err;
    if (id.ptr != NULL)
        return add_id(reading, id, diag);
    reading->counts.without++;
    return ERR_OK;
}

static enum err
take_row(void *state, const struct csv_row *row, struct diag *diag)
{
    struct reading *reading = (struct reading *)state;
    struct diag refused = DIAG_INIT;
    enum err err;

    buf_clear(&reading->line);
    err = import_row_csv(reading->file->columns, row->cells, row->count, reading->file->ids,
                         &reading->line, &refused);
    if (err == ERR_NOMEM || err == ERR_FULL)
        return err;
    if (err == ERR_OK)
        return take_event(reading, diag);
    reading->counts.without++; /* the import did not send it */
    return ERR_OK;
}

static enum err
take_line(void *state, const struct ndjson_line *line, struct diag *diag)
{
    struct reading *reading = (struct reading *)state;
    enum err err;

    if (line->len > IMPORT_LINE_BYTES_MAX) {
        reading->counts.without++;
        return ERR_OK;
    }
    buf_clear(&reading->line);
    err = import_row_ndjson(line->text, reading->file->ids, &reading->line);
    return err == ERR_OK ? take_event(reading, diag) : err;
}

/* What is wrong with the file is told with its name. */
static void
name_file(const struct reading *reading, const char *path, enum err err, struct diag *diag)
{
    struct diag why = *diag;

    if (reading->has_taken_err || reading->file->source.tells_path || err == ERR_CANCELLED)
        return;
    diag_set(diag, "%s: %s", path, why.message[0] != '\0' ? why.message : err_sentence(err));
}

enum err
delete_ids_read(const struct import_file *asked, const char *path, uint32_t ids_max,
                enum err (*take)(void *state, const struct slice *ids, uint32_t count,
                                 struct diag *diag),
                void *state, struct delete_ids_counts *ret_counts, struct diag *diag)
{
    struct import_file file = *asked; /* what was asked for; the callbacks are ours */
    struct reading reading = {.file = &file, .take = take, .state = state, .max = ids_max};
    struct diag words = DIAG_INIT;
    enum err err = ERR_OK;

    assert(ids_max >= 1);
    file.take_header = NULL;
    file.take_row = take_row;
    file.take_line = take_line;
    file.state = &reading;
    buf_init(&reading.line, LINE_BYTES_MAX);
    arena_init(&reading.row, 4096, LINE_BYTES_MAX);
    arena_init(&reading.texts, ARENA_BLOCK_BYTES,
               (size_t)ids_max * 2 * (LIMIT_EVENT_ID_BYTES + 16) + 2 * ARENA_BLOCK_BYTES);
    if (take != NULL)
        reading.ids = MEM_NEW(struct slice, ids_max);
    if (take != NULL && reading.ids == NULL)
        err = ERR_NOMEM;
    if (err == ERR_OK)
        err = import_file_run(&file, path, &words);
    if (err == ERR_OK && take != NULL)
        err = give_piece(&reading, &words);
    if (err != ERR_OK) {
        name_file(&reading, path, err, &words);
        *diag = words;
    }
    import_file_end(&file);
    buf_fini(&reading.line);
    arena_fini(&reading.row);
    arena_fini(&reading.texts);
    mem_free(reading.ids);
    if (err == ERR_OK)
        *ret_counts = reading.counts;
    return err;
}
