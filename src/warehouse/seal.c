/*
 * seal - a tail becomes a file, and the manifest names it.
 *
 * Layer 4, the loader's thread. In this order, each synced before the next, so that a crash at any
 * moment leaves a project that stands for some earlier position of the store: types, run of
 * persons, what was learnt, rows, minima, manifest. Only then do memory and views change.
 */
#include "warehouse/file_write.h"
#include "warehouse/sql.h"
#include <string.h>

struct tail_feed {
    struct row_feed rows; /* first */
    const struct tail_order *order;
    const struct tail_block **blocks;
    const struct types *types;
    uint32_t at;
};

#define PREFETCH_FAR 32  /* rows ahead: the place of the row's texts */
#define PREFETCH_NEAR 12 /* rows ahead: the texts */

/* Rows are met in another order than they lie in memory: what comes soon is fetched meanwhile. */
static void
prefetch_rows(const struct tail_feed *tail)
{
    if (tail->at + PREFETCH_FAR < tail->order->rows) {
        const uint32_t index = tail->order->index[tail->at + PREFETCH_FAR];
        const struct tail_block *block = tail->blocks[tail_block_of(index)];

        __builtin_prefetch(&block->row[index - block->first_row]);
        __builtin_prefetch(&block->seq[index - block->first_row]);
        __builtin_prefetch(&block->received_at_us[index - block->first_row]);
    }
    if (tail->at + PREFETCH_NEAR < tail->order->rows) {
        const uint32_t index = tail->order->index[tail->at + PREFETCH_NEAR];
        const struct tail_block *block = tail->blocks[tail_block_of(index)];
        const char *row = (const char *)block->row[index - block->first_row];

        __builtin_prefetch(row);
        __builtin_prefetch(row + 64);
    }
}

static enum err
tail_fill(struct engine_feed *feed, struct engine_sheet *sheet, struct diag *diag)
{
    struct tail_feed *tail = (struct tail_feed *)feed;
    const uint32_t left = tail->order->rows - tail->at;
    const uint32_t count = left < sheet->capacity ? left : sheet->capacity;

    (void)diag;
    for (uint32_t i = 0; i < count; i++, tail->at++) {
        const uint32_t index = tail->order->index[tail->at];
        const struct tail_block *block = tail->blocks[tail_block_of(index)];
        const uint32_t offset = index - block->first_row;
        struct event event;

        prefetch_rows(tail);
        tail_row_event(block, offset, &event);
        ((uint64_t *)sheet->columns[ROW_SEQ])[i] = block->seq[offset];
        ((uint32_t *)sheet->columns[ROW_TYPE_ID])[i] = block->type_id[offset];
        ((uint32_t *)sheet->columns[ROW_PERSON])[i] = block->person[offset];
        ((int64_t *)sheet->columns[ROW_OCCURRED_AT])[i] = event.occurred_at_us;
        ((int64_t *)sheet->columns[ROW_RECEIVED_AT])[i] = event.received_at_us;
        engine_put_text(sheet, ROW_EVENT_ID, i, event.event_id);
        engine_put_text(sheet, ROW_EVENT_TYPE, i, types_name(tail->types, block->type_id[offset]));
        engine_put_text(sheet, ROW_USER_ID, i, event.user_id);
        engine_put_text(sheet, ROW_ANONYMOUS_ID, i, event.anonymous_id);
        engine_put_text(sheet, ROW_SESSION_ID, i, event.session_id);
        engine_put_text(sheet, ROW_PROPERTIES, i, event.properties);
        row_facts_add(&tail->rows.facts, block->seq[offset], event.received_at_us);
    }
    sheet->rows = count;
    return ERR_OK;
}

static enum err
write_tail(struct project *project, struct manifest_file *facts, struct diag *diag)
{
    static const struct source_filter all = {
        .from_us = INT64_MIN, .to_us = INT64_MAX, .person_to = UINT64_C(1) << 32};
    struct tail *tail = project->tail;
    CLEANUP(source_free) struct source *again = NULL;
    CLEANUP(tail_order_release) struct tail_order *order = NULL;
    CLEANUP(mem_free_ptr) const struct tail_block **blocks = NULL;
    struct tail_feed feed = {.rows.feed = {.rows = tail->rows, .fill = tail_fill}};
    enum err err = tail_order_of(tail, tail->rows, &order);

    if (err == ERR_OK)
        err = source_of_tail(tail, tail->rows, &all, &again);
    if (err != ERR_OK)
        return err;
    blocks = tail_blocks(tail, tail->rows);
    if (blocks == NULL)
        return ERR_NOMEM;
    feed.order = order;
    feed.blocks = blocks;
    feed.types = project->lexicon->types;
    return file_write(project, project->warehouse->engine, NULL, sql_seal_rows_text, &feed.rows,
                      again, project->lexicon->types->count, facts, diag);
}

enum err
manifest_copy(const struct manifest *manifest, uint32_t room, struct manifest *ret_copy)
{
    struct manifest copy = *manifest;

    copy.files = MEM_NEW(struct manifest_file, (size_t)manifest->file_count + room + 1);
    if (copy.files == NULL)
        return ERR_NOMEM;
    if (manifest->file_count != 0)
        memcpy(copy.files, manifest->files, manifest->file_count * sizeof(*copy.files));
    *ret_copy = copy;
    return ERR_OK;
}

enum err
project_publish(struct project *project, struct manifest *manifest, struct file_set **set,
                struct tail **tail, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    struct buf buf;
    enum err err = ERR_NOMEM;

    manifest->number++;
    if (!file_path(path, project->dir, "manifest.json"))
        return ERR_INVALID;
    buf_init(&buf, MANIFEST_BYTES_MAX);
    manifest_write(manifest, &buf);
    if (!buf_failed(&buf))
        err = file_replace_whole(path, buf_slice(&buf), diag);
    buf_fini(&buf);
    if (err != ERR_OK)
        return err;
    manifest_fini(&project->manifest);
    project->manifest = *manifest;
    *manifest = (struct manifest){0};
    pthread_mutex_lock(&project->lock);
    struct file_set *old_set = project->set;
    project->set = *set;
    *set = old_set;
    project->sealed_rows = project->manifest.rows;
    project->received_min_us = project->manifest.received_min_us;
    if (tail != NULL) {
        struct tail *old_tail = project->tail;
        project->tail = *tail;
        *tail = old_tail;
        project->tail_rows = 0;
    } else if (project->tail_rows != 0 &&
               (project->received_min_us == 0 ||
                project->tail_received_min_us < project->received_min_us)) {
        project->received_min_us = project->tail_received_min_us;
    }
    pthread_mutex_unlock(&project->lock);
    return ERR_OK;
}

/* The project's files and one more. */
static enum err
set_with(const struct project *project, const struct manifest_file *facts,
         struct file_set **ret_set)
{
    const struct file_set *old = project->set;
    CLEANUP(mem_free_ptr)
    struct data_file **files = MEM_NEW(struct data_file *, (size_t)old->count + 1);
    enum err err = ERR_NOMEM;

    if (files == NULL)
        return ERR_NOMEM;
    memcpy(files, old->files, old->count * sizeof(*files));
    err = data_file_new(project->dir, facts, &files[old->count]);
    if (err != ERR_OK)
        return err;
    atomic_store(&files[old->count]->check, FILE_SOUND); /* written and summed just now */
    err = file_set_new(files, old->count + 1, ret_set);
    data_file_release(&files[old->count]);
    return err;
}

/* The project's rows up to here are in the tail or in files: up to the cursor, and beyond it where
 * a page was applied in part, or where the cursor went back to rebuild another project. */
static struct store_position
covered_position(const struct project *project)
{
    const struct store_position cursor = project->warehouse->cursor;

    return position_reached(cursor, project->loaded) ? project->loaded : cursor;
}

/* Everything but the manifest; the new file's facts stand last in it. */
static enum err
write_all(struct project *project, struct manifest *manifest, struct diag *diag)
{
    struct lexicon *lexicon = project->lexicon;
    const struct persons_runs runs = {lexicon->runs_dir, lexicon->runs_owner};
    struct manifest_file facts = {.covered = project->loaded};
    enum err err = lexicon_write_types(lexicon->types, project->dir, manifest, diag);

    if (err == ERR_OK)
        err = persons_seal(&lexicon->persons, &runs, diag);
    if (err == ERR_OK)
        err = learnt_write(lexicon->learnt, project->dir, manifest, diag);
    facts.number = manifest->next_number++;
    if (err == ERR_OK)
        err = write_tail(project, &facts, diag);
    if (err != ERR_OK)
        return err;
    manifest->files[manifest->file_count++] = facts;
    manifest->persons = lexicon->persons.count;
    manifest->rows += facts.rows;
    manifest->covered = covered_position(project);
    manifest->seq_max = facts.seq_max;
    if (manifest->file_count == 1 || facts.received_min_us < manifest->received_min_us)
        manifest->received_min_us = facts.received_min_us;
    return ERR_OK;
}

enum err
project_seal(struct project *project, struct diag *diag)
{
    CLEANUP(tail_release) struct tail *tail = NULL;
    CLEANUP(file_set_release) struct file_set *set = NULL;
    CLEANUP(manifest_fini) struct manifest manifest = {0};
    struct manifest old = {0}; /* its learnt; nothing else is looked at */
    enum err err = tail_new(&tail);

    if (err != ERR_OK)
        return err;
    pthread_mutex_lock(&project->seal_lock);
    err = file_make_dir(project->dir, diag); /* an empty project's may go meanwhile */
    if (err == ERR_OK)
        err = manifest_copy(&project->manifest, 1, &manifest);
    if (err == ERR_OK) {
        manifest.next_number = project->next_number;
        err = write_all(project, &manifest, diag);
        project->next_number = manifest.next_number; /* a number is spent, sealed or not */
    }
    if (err == ERR_OK)
        err = set_with(project, &manifest.files[manifest.file_count - 1], &set);
    old = project->manifest;
    if (err == ERR_OK)
        err = project_publish(project, &manifest, &set, &tail, diag);
    if (err == ERR_OK) /* else it is removed when the project is opened next */
        (void)!learnt_unlink(project->dir, &old, NULL);
    pthread_mutex_unlock(&project->seal_lock);
    return err;
}
