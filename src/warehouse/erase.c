/*
 * erase - what was erased in the store goes from the warehouse, too. See warehouse.h.
 *
 * Layer 4, the keeper's thread. States of one erasure:
 *
 *   loading   the loader has not come to the position yet, or the project is being rebuilt
 *   sealing   the tail was asked for: from here on all selected rows stand in files
 *   looking   each file is looked through, one a step, and written anew if it has selected rows
 *             (compact_erase); merges of the keeper may replace files meanwhile, so the list is
 *             taken anew each time, and a file is known by its number
 *   waiting   the old files are held by queries, or by merges: they go with the last holder
 *
 * A file is passed over where its facts say that nothing in it can be selected. Of a person they
 * cannot: rows under a user_id may have the person's anonymous_id, and stand with another person.
 *
 * A type of event that only an erased person had would stand by name in the dictionary. Its rows
 * are gone, so a person's erasure that rewrote files ends by looking which types the files still
 * have; if one is gone, the project is loaded again from the store, with a dictionary of its own.
 *
 * A project whose rows are all gone is not looked through: the loader forgets it as a whole.
 */
#include "base/counter.h"
#include "warehouse/compact.h"
#include "warehouse/source.h"
#include "warehouse/sql.h"
#include <string.h>

COUNTER_DEFINE(erased_rows, "potik_warehouse_erased_rows_total", "rows erased from Parquet files");
COUNTER_DEFINE(rewritten_files, "potik_warehouse_erased_files_total",
               "Parquet files written anew to erase rows");

enum erase_state { LOADING, SEALING, LOOKING, TYPES, WAITING };

struct warehouse_erase {
    struct warehouse *warehouse;
    struct warehouse_erasure erasure;
    struct project *project;
    enum erase_state state;
    uint32_t *clean; /* numbers of files without selected rows */
    uint32_t clean_count;
    uint32_t clean_max;
    struct data_file **old; /* rewritten, held until nobody else does */
    uint32_t old_count;
    uint32_t old_max;
    struct warehouse_erasure_progress progress;
};

enum err
warehouse_erase_open(struct warehouse *warehouse, const struct warehouse_erasure *erasure,
                     struct warehouse_erase **ret_erase, struct diag *diag)
{
    struct warehouse_erase *erase = MEM_NEW(struct warehouse_erase, 1);
    enum err err;

    if (erase == NULL)
        return ERR_NOMEM;
    erase->warehouse = warehouse;
    erase->erasure = *erasure;
    err = project_get(warehouse, erasure->selection.project_id, &erase->project, diag);
    if (err != ERR_OK) {
        mem_free(erase);
        return err;
    }
    *ret_erase = erase;
    return ERR_OK;
}

void
warehouse_erase_close(struct warehouse_erase **place)
{
    struct warehouse_erase *erase = *place;

    if (erase == NULL)
        return;
    for (uint32_t i = 0; i < erase->old_count; i++)
        data_file_release(&erase->old[i]);
    mem_free(erase->old);
    mem_free(erase->clean);
    mem_free(erase);
    *place = NULL;
}

/* --- loading and sealing ----------------------------------------------------------------------*/

static bool
is_loaded(struct warehouse_erase *erase)
{
    struct warehouse *warehouse = erase->warehouse;
    struct project *project = erase->project;
    bool is_there;

    pthread_mutex_lock(&warehouse->progress_lock);
    is_there = position_reached(erase->erasure.position, warehouse->loaded) ||
               position_reached(erase->erasure.position, warehouse->current);
    pthread_mutex_unlock(&warehouse->progress_lock);
    pthread_mutex_lock(&project->lock);
    is_there = is_there && !project->is_rebuilding;
    pthread_mutex_unlock(&project->lock);
    return is_there && !atomic_load(&project->needs_rebuild);
}

static void
ask_loader(struct warehouse_erase *erase, enum project_request request)
{
    atomic_store(&erase->project->request, request);
    atomic_store(&erase->warehouse->has_request, true);
    store_wake(erase->warehouse->config.store);
}

/* --- looking ----------------------------------------------------------------------------------*/

static bool
may_have(const struct manifest_file *facts, const struct selection *selection)
{
    if (facts->seq_min > selection->seq_max || facts->received_min_us > selection->received_max_us)
        return false;
    switch (selection->kind) {
    case SELECTION_RECEIVED:
        return facts->received_min_us < selection->to_us;
    case SELECTION_OCCURRED:
        return facts->time_min_us < selection->to_us && facts->time_max_us >= selection->from_us;
    case SELECTION_PERSON:
    case SELECTION_IDS:
    case SELECTION_ALL:
        break;
    }
    return true;
}

enum look_column {
    LOOK_SEQ,
    LOOK_OCCURRED_AT,
    LOOK_RECEIVED_AT,
    LOOK_EVENT_ID,
    LOOK_USER_ID,
    LOOK_ANONYMOUS_ID
};

static bool
chunk_has(const struct engine_chunk *chunk, const struct selection *selection)
{
    for (uint32_t i = 0; i < chunk->rows; i++) {
        const struct event event = {
            .project_id = selection->project_id,
            .event_id = engine_text(chunk, LOOK_EVENT_ID, i),
            .user_id = engine_text(chunk, LOOK_USER_ID, i),
            .anonymous_id = engine_text(chunk, LOOK_ANONYMOUS_ID, i),
            .occurred_at_us = ((const int64_t *)chunk->columns[LOOK_OCCURRED_AT])[i],
            .received_at_us = ((const int64_t *)chunk->columns[LOOK_RECEIVED_AT])[i],
        };

        if (selection_matches(selection, &event, ((const uint64_t *)chunk->columns[LOOK_SEQ])[i]))
            return true;
    }
    return false;
}

static enum err
look(struct warehouse_erase *erase, struct engine *engine, struct data_file *file, bool *ret_has,
     struct diag *diag)
{
    const char *const paths[] = {file->rows_path};
    const struct sql_value values[] = {
        {.name = "files", .kind = SQL_PATHS, .paths = paths, .count = 1}};
    struct engine_stream *stream = NULL;
    struct engine_chunk chunk = {.rows = 1};
    struct buf sql;
    enum err err = data_file_check(file, diag);

    *ret_has = false;
    buf_init(&sql, SQL_BYTES_MAX);
    if (err == ERR_OK)
        err = sql_fill(&sql, sql_look_rows_text, values, COUNT_OF(values));
    if (err == ERR_OK)
        err = engine_stream_open(engine, &erase->warehouse->keeper_guard, sql.ptr, &stream, diag);
    while (err == ERR_OK && chunk.rows != 0 && !*ret_has) {
        err = engine_stream_next(stream, &chunk, diag);
        if (err == ERR_OK)
            *ret_has = chunk_has(&chunk, &erase->erasure.selection);
    }
    engine_stream_close(&stream);
    buf_fini(&sql);
    return err;
}

static bool
is_clean(const struct warehouse_erase *erase, uint32_t number)
{
    for (uint32_t i = 0; i < erase->clean_count; i++) {
        if (erase->clean[i] == number)
            return true;
    }
    return false;
}

static enum err
note_clean(struct warehouse_erase *erase, uint32_t number)
{
    if (erase->clean_count == erase->clean_max) {
        const uint32_t max = erase->clean_max == 0 ? 64 : erase->clean_max * 2;
        uint32_t *grown = mem_realloc(erase->clean, max * sizeof(*grown));

        if (grown == NULL)
            return ERR_NOMEM;
        erase->clean = grown;
        erase->clean_max = max;
    }
    erase->clean[erase->clean_count++] = number;
    return ERR_OK;
}

static enum err
note_old(struct warehouse_erase *erase, struct data_file *file)
{
    if (erase->old_count == erase->old_max) {
        const uint32_t max = erase->old_max == 0 ? 64 : erase->old_max * 2;
        struct data_file **grown = mem_realloc(erase->old, max * sizeof(*grown));

        if (grown == NULL)
            return ERR_NOMEM;
        erase->old = grown;
        erase->old_max = max;
    }
    erase->old[erase->old_count++] = data_file_hold(file);
    return ERR_OK;
}

/* The next file that was not looked through; held. NULL: none is left. */
static struct data_file *
next_file(struct warehouse_erase *erase)
{
    struct project *project = erase->project;
    struct data_file *found = NULL;
    uint32_t done = 0;

    pthread_mutex_lock(&project->lock);
    for (uint32_t i = 0; i < project->set->count; i++) {
        struct data_file *file = project->set->files[i];

        if (!may_have(&file->facts, &erase->erasure.selection) ||
            is_clean(erase, file->facts.number))
            done++;
        else if (found == NULL)
            found = data_file_hold(file);
    }
    erase->progress.total = project->set->count;
    pthread_mutex_unlock(&project->lock);
    erase->progress.done = done;
    return found;
}

static enum err
erase_file(struct warehouse_erase *erase, struct data_file *file, struct diag *diag)
{
    struct engine *engine = NULL;
    uint64_t erased = 0;
    bool has = false;
    enum err err = keeper_engine(erase->warehouse, &engine, diag);

    if (err == ERR_OK)
        err = look(erase, engine, file, &has, diag);
    if (err == ERR_OK && !has)
        return note_clean(erase, file->facts.number);
    if (err == ERR_OK)
        err = compact_erase(erase->project, engine, &erase->warehouse->keeper_guard,
                            file->facts.number, &erase->erasure.selection, &erased, diag);
    if (err == ERR_OK)
        err = note_old(erase, file);
    if (err != ERR_OK)
        return err;
    counter_add(&erased_rows, erased);
    counter_add(&rewritten_files, 1);
    erase->progress.rows += erased;
    return ERR_OK;
}

/* --- types ------------------------------------------------------------------------------------*/

struct types_seen {
    uint32_t count;
    uint8_t seen[];
};

static enum err
note_types(void *state, const struct warehouse_rows *rows)
{
    struct types_seen *types = state;

    for (uint32_t i = 0; i < rows->count; i++) {
        if (rows->type_id[i] < types->count)
            types->seen[rows->type_id[i]] = 1;
    }
    return ERR_OK;
}

static enum err
look_at_types(struct warehouse_erase *erase, struct file_set *set, struct types_seen *types,
              struct diag *diag)
{
    const struct source_filter all = {
        .from_us = INT64_MIN, .to_us = INT64_MAX, .person_to = UINT64_C(1) << 32};
    struct engine *engine = NULL;
    enum err err = keeper_engine(erase->warehouse, &engine, diag);

    for (uint32_t i = 0; err == ERR_OK && i < set->count; i++) {
        CLEANUP(source_free) struct source *source = NULL;

        err = source_of_files(engine, &erase->warehouse->keeper_guard, &set->files[i], 1, true,
                              &all, &source, diag);
        if (err == ERR_OK)
            err = source_merge(&source, 1, true, &erase->warehouse->keeper_guard, note_types, types,
                               diag);
    }
    return err;
}

/* Types that came after the files are the tail's. */
static enum err
check_types(struct warehouse_erase *erase, struct diag *diag)
{
    struct project *project = erase->project;
    CLEANUP(file_set_release) struct file_set *set = NULL;
    CLEANUP(mem_free_ptr) struct types_seen *types = NULL;
    uint32_t count = 0;
    bool is_one_gone = false;
    enum err err;

    pthread_mutex_lock(&project->seal_lock);
    count = project->manifest.type_count;
    pthread_mutex_unlock(&project->seal_lock);
    pthread_mutex_lock(&project->lock);
    set = file_set_hold(project->set);
    pthread_mutex_unlock(&project->lock);
    types = mem_zalloc(1, sizeof(*types) + count);
    if (types == NULL)
        return ERR_NOMEM;
    types->count = count;
    err = look_at_types(erase, set, types, diag);
    for (uint32_t i = 0; err == ERR_OK && i < count; i++)
        is_one_gone = is_one_gone || types->seen[i] == 0;
    if (err != ERR_OK || !is_one_gone)
        return err;
    SINK(erase->warehouse->config.sink, LOG_LEVEL_INFO, "warehouse.types_forgotten",
         LOG_U64("project", project->id),
         LOG_TEXT("why", "a type of event was an erased person's alone"),
         LOG_TEXT("next", "the project is loaded again from the store"));
    atomic_store(&project->needs_rebuild, true);
    atomic_store(&erase->warehouse->has_damage, true);
    store_wake(erase->warehouse->config.store);
    return ERR_OK;
}

/* --- the steps --------------------------------------------------------------------------------*/

/* Old files that somebody else holds still stand on the disk. */
static bool
are_gone(struct warehouse_erase *erase)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < erase->old_count; i++) {
        if (atomic_load(&erase->old[i]->references) == 1)
            data_file_release(&erase->old[i]);
        else
            erase->old[kept++] = erase->old[i];
    }
    erase->old_count = kept;
    return kept == 0;
}

static enum err
step_looking(struct warehouse_erase *erase, struct diag *diag)
{
    struct data_file *file = next_file(erase);
    enum err err = ERR_OK;

    if (file != NULL)
        err = erase_file(erase, file, diag);
    else
        erase->state =
            erase->erasure.selection.kind == SELECTION_PERSON && erase->progress.rows != 0
                ? TYPES
                : WAITING;
    data_file_release(&file);
    if (err == ERR_CORRUPT) {
        /* It is reported, and the project is loaded again from a store that has lost the events. */
        struct lexicon *lexicon = NULL;

        pthread_mutex_lock(&erase->project->lock);
        lexicon = lexicon_hold(erase->project->lexicon);
        pthread_mutex_unlock(&erase->project->lock);
        project_report_damage(erase->project, lexicon, diag);
        lexicon_release(&lexicon);
        erase->state = LOADING;
        erase->clean_count = 0;
        return ERR_OK;
    }
    return err;
}

static void
step_loading(struct warehouse_erase *erase, bool *ret_did_work)
{
    const bool is_all = erase->erasure.selection.kind == SELECTION_ALL;

    if (!is_loaded(erase))
        return;
    ask_loader(erase, is_all ? PROJECT_EMPTY : PROJECT_SEAL);
    erase->state = SEALING;
    *ret_did_work = true;
}

enum err
warehouse_erase_step(struct warehouse_erase *erase, bool *ret_did_work, bool *ret_is_done,
                     struct warehouse_erasure_progress *ret_progress, struct diag *diag)
{
    enum err err = (enum err)atomic_load(&erase->warehouse->keeper_guard.err);

    *ret_did_work = false;
    *ret_is_done = false;
    if (err != ERR_OK)
        return err;
    switch (erase->state) {
    case LOADING:
        step_loading(erase, ret_did_work);
        break;
    case SEALING:
        if (atomic_load(&erase->project->request) != PROJECT_NO_REQUEST)
            break;
        erase->state = erase->erasure.selection.kind == SELECTION_ALL ? WAITING : LOOKING;
        *ret_did_work = true;
        break;
    case LOOKING:
        err = step_looking(erase, diag);
        *ret_did_work = err == ERR_OK;
        break;
    case TYPES:
        err = check_types(erase, diag);
        if (err == ERR_OK)
            erase->state = WAITING;
        *ret_did_work = err == ERR_OK;
        break;
    case WAITING:
        *ret_is_done = are_gone(erase) && is_loaded(erase);
        break;
    }
    *ret_progress = erase->progress;
    return err;
}
