/*
 * erase - events of a project are erased: wait until all of them are in files, write those files
 * anew, forget what only they had, wait until nobody holds the old ones.
 *
 * Layer 4, the keeper's thread. There is no state on disk: each step looks at the project as it is
 * and does the first thing that is not done yet, so that a merge, a seal, a rebuild or a crash
 * between two steps changes nothing but how much is left. In this order:
 *
 *   1. loaded    the loader has come to the erasure's position (a project being rebuilt, too)
 *   2. tail      has it selected rows, the loader is asked to seal it
 *   3. files     one a step: searched, and written anew if rows of it are selected
 *   4. types     names that no row has any more: the loader is asked to forget them
 *   5. unlinked  the files that gave way, here or in an earlier merge, are gone from the folder
 *   6. folder    SELECTION_ALL, and nothing came since: the loader is asked to let the project go
 *
 * Rows that come later are outside the selection by its bounds, so what was found clean stays so.
 */
#include "warehouse/erase_file.h"
#include <string.h>

struct warehouse_erase {
    struct warehouse *warehouse;
    struct warehouse_erasure erasure;
    struct project *project;
    uint64_t rows;
    uint8_t *looked; /* a bit a file number: found clean, or written by this erasure */
    uint32_t looked_bytes;
    uint8_t owner[RUN_OWNER_BYTES]; /* of the lexicon that the next two are true of */
    bool is_tail_clean;
    bool are_types_clean;
};

/* The project at the beginning of a step. */
struct look {
    struct file_set *set;
    uint32_t file_count;
    struct lexicon *lexicon;
    struct tail *tail;
    uint32_t tail_rows;
    uint32_t type_count;
};

/* What a step came to. */
enum outcome { WENT_ON, DID_WORK, WAITS };

static void
look_fini(struct look *look)
{
    file_set_release(&look->set);
    lexicon_release(&look->lexicon);
    tail_release(&look->tail);
}

/* --- 1: loaded ------------------------------------------------------------------------------- */

/* Nothing was stored when the erasure began: there is nothing to wait for, and while that is so the
 * loader's position is of no generation yet. */
static bool
comes_after_nothing(struct store_position position)
{
    return position.major == 0 && position.minor == 0;
}

/* Holds the project as it is, if it has all rows up to the erasure's position; else false. */
static bool
look_at(struct warehouse_erase *erase, struct look *ret_look)
{
    struct warehouse *warehouse = erase->warehouse;
    struct project *project = erase->project;
    struct store_position loaded;
    bool is_loaded = false;

    pthread_mutex_lock(&warehouse->progress_lock);
    loaded = warehouse->loaded;
    pthread_mutex_unlock(&warehouse->progress_lock);
    if (atomic_load(&project->needs_rebuild))
        return false;
    pthread_mutex_lock(&project->lock);
    if (project->is_rebuilding)
        loaded = project->covered;
    is_loaded = comes_after_nothing(erase->erasure.position) ||
                position_reached(erase->erasure.position, loaded);
    if (is_loaded) {
        ret_look->set = file_set_hold(project->set);
        ret_look->file_count = project->set->count;
        ret_look->lexicon = lexicon_hold(project->lexicon);
        ret_look->tail = tail_hold(project->tail);
        ret_look->tail_rows = project->tail_rows;
        ret_look->type_count = project->type_count;
    }
    pthread_mutex_unlock(&project->lock);
    if (is_loaded && memcmp(erase->owner, ret_look->lexicon->runs_owner, RUN_OWNER_BYTES) != 0) {
        memcpy(erase->owner, ret_look->lexicon->runs_owner, RUN_OWNER_BYTES);
        erase->is_tail_clean = erase->are_types_clean = false;
    }
    return is_loaded;
}

static void
post(const struct warehouse_erase *erase, const struct look *look, enum load_request_kind kind,
     struct load_request request)
{
    request.project = erase->project;
    request.lexicon = look->lexicon;
    load_request_post(erase->warehouse, kind, &request);
}

/* --- 2: tail --------------------------------------------------------------------------------- */

static bool
tail_has_selected(const struct warehouse_erase *erase, const struct look *look)
{
    const struct selection *selection = &erase->erasure.selection;

    for (const struct tail_block *block = look->tail->first;
         block != NULL && block->first_row < look->tail_rows; block = block->next) {
        for (uint32_t i = 0; i < block->capacity && block->first_row + i < look->tail_rows; i++) {
            struct event event;

            tail_row_event(block, i, &event);
            event.project_id = selection->project_id;
            if (selection_matches(selection, &event, block->seq[i]))
                return true;
        }
    }
    return false;
}

static enum outcome
clear_tail(struct warehouse_erase *erase, const struct look *look)
{
    if (!erase->is_tail_clean && tail_has_selected(erase, look)) {
        post(erase, look, REQUEST_SEAL, (struct load_request){0});
        return WAITS;
    }
    erase->is_tail_clean = true;
    return WENT_ON;
}

/* --- 3: files -------------------------------------------------------------------------------- */

static bool
was_looked(const struct warehouse_erase *erase, uint32_t number)
{
    return number / 8 < erase->looked_bytes && (erase->looked[number / 8] >> (number % 8) & 1) != 0;
}

static enum err
note_looked(struct warehouse_erase *erase, uint32_t number)
{
    if (number / 8 >= erase->looked_bytes) {
        const uint32_t bytes = number / 8 * 2 + 64;
        uint8_t *larger = mem_realloc(erase->looked, bytes);

        if (larger == NULL)
            return ERR_NOMEM;
        memset(larger + erase->looked_bytes, 0, bytes - erase->looked_bytes);
        erase->looked = larger;
        erase->looked_bytes = bytes;
    }
    erase->looked[number / 8] |= (uint8_t)(1U << (number % 8));
    return ERR_OK;
}

static struct erase_file
file_work(const struct warehouse_erase *erase, const struct look *look, struct engine *engine)
{
    return (struct erase_file){.project = erase->project,
                               .lexicon = look->lexicon,
                               .engine = engine,
                               .guard = &erase->warehouse->keeper_guard,
                               .selection = &erase->erasure.selection,
                               .type_count = look->type_count};
}

static enum err
clear_file(struct warehouse_erase *erase, const struct look *look, struct data_file *file,
           struct diag *diag)
{
    struct engine *engine = NULL;
    uint64_t rows = 0;
    uint32_t number = 0;
    enum err err = keeper_engine(erase->warehouse, &engine, diag);

    if (err != ERR_OK)
        return err;
    const struct erase_file work = file_work(erase, look, engine);

    err = erase_file(&work, file, &rows, &number, diag);
    if (err != ERR_OK)
        return err;
    if (rows != 0) {
        erase->are_types_clean = false;
        erase->rows += rows;
    }
    if (number != 0)
        err = note_looked(erase, number);
    return err == ERR_OK ? note_looked(erase, file->facts.number) : err;
}

static enum err
clear_files(struct warehouse_erase *erase, const struct look *look, enum outcome *ret_outcome,
            struct diag *diag)
{
    enum err err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < look->set->count; i++) {
        struct data_file *file = look->set->files[i];

        if (was_looked(erase, file->facts.number))
            continue;
        if (erase_may_hold(&erase->erasure.selection, &file->facts)) {
            *ret_outcome = DID_WORK;
            return clear_file(erase, look, file, diag);
        }
        err = note_looked(erase, file->facts.number);
    }
    *ret_outcome = WENT_ON;
    return err;
}

/* --- 4: types -------------------------------------------------------------------------------- */

/* is_gone of the types that neither the files nor the tail have rows of; *ret_is_any: one of them
 * still has a name. */
static enum err
find_gone_types(const struct warehouse_erase *erase, const struct look *look, bool *is_gone,
                bool *ret_is_any, struct diag *diag)
{
    struct engine *engine = NULL;
    enum err err = keeper_engine(erase->warehouse, &engine, diag);
    const struct erase_file work = file_work(erase, look, engine);

    if (err == ERR_OK)
        err = erase_used_types(&work, look->set, is_gone, diag);
    for (const struct tail_block *block = look->tail->first;
         block != NULL && block->first_row < look->tail_rows; block = block->next) {
        for (uint32_t i = 0; i < block->capacity && block->first_row + i < look->tail_rows; i++)
            is_gone[block->type_id[i]] = true;
    }
    *ret_is_any = false;
    pthread_mutex_lock(&erase->project->lock);
    for (uint32_t id = 0; id < look->type_count; id++) {
        is_gone[id] = !is_gone[id]; /* "used" until here */
        *ret_is_any |= is_gone[id] && types_name(look->lexicon->types, id).len != 0;
    }
    pthread_mutex_unlock(&erase->project->lock);
    return err;
}

static enum err
clear_types(struct warehouse_erase *erase, const struct look *look, enum outcome *ret_outcome,
            struct diag *diag)
{
    CLEANUP(mem_free_ptr) bool *is_gone = NULL;
    uint64_t number = 0;
    bool is_any = false, is_same = false;
    enum err err = ERR_OK;

    *ret_outcome = WENT_ON;
    if (erase->are_types_clean)
        return ERR_OK;
    is_gone = MEM_NEW(bool, (size_t)look->type_count + 1);
    if (is_gone == NULL)
        return ERR_NOMEM;
    err = find_gone_types(erase, look, is_gone, &is_any, diag);
    if (err != ERR_OK)
        return err;
    if (!is_any) {
        erase->are_types_clean = true;
        return ERR_OK;
    }
    /* The loader looks only at its tail: what it seals meanwhile changes the number. */
    pthread_mutex_lock(&erase->project->seal_lock);
    number = erase->project->manifest.number;
    is_same = erase->project->set == look->set;
    pthread_mutex_unlock(&erase->project->seal_lock);
    *ret_outcome = is_same ? WAITS : DID_WORK;
    if (is_same)
        post(erase, look, REQUEST_TYPES,
             (struct load_request){.manifest_number = number,
                                   .type_count = look->type_count,
                                   .is_gone = MOVE(is_gone)});
    return ERR_OK;
}

/* --- 5: unlinked ----------------------------------------------------------------------------- */

static enum err
clear_dropped(struct warehouse_erase *erase, enum outcome *ret_outcome, struct diag *diag)
{
    struct project *project = erase->project;
    bool is_clean = true;
    enum err err = ERR_OK;

    pthread_mutex_lock(&project->seal_lock);
    if (file_exists(project->dir))
        err = erase_clear_folder(project, &is_clean, diag);
    pthread_mutex_unlock(&project->seal_lock);
    *ret_outcome = is_clean ? WENT_ON : WAITS;
    return err;
}

/* --- 6: folder ------------------------------------------------------------------------------- */

static enum err
clear_project(struct warehouse_erase *erase, const struct look *look, enum outcome *ret_outcome,
              struct diag *diag)
{
    struct project *project = erase->project;
    bool is_gone = true, has_manifest = false;
    enum err err = ERR_OK;

    *ret_outcome = WENT_ON;
    if (erase->erasure.selection.kind != SELECTION_ALL || look->file_count != 0 ||
        look->tail_rows != 0)
        return ERR_OK;
    pthread_mutex_lock(&project->seal_lock);
    has_manifest = project->manifest.number != 0;
    if (!has_manifest && file_exists(project->dir))
        err = erase_remove_folder(project, &is_gone, diag);
    pthread_mutex_unlock(&project->seal_lock);
    if (has_manifest)
        post(erase, look, REQUEST_REMOVE, (struct load_request){0});
    if (has_manifest || !is_gone)
        *ret_outcome = WAITS;
    return err;
}

/* --- calls ----------------------------------------------------------------------------------- */

enum err
warehouse_erase_open(struct warehouse *warehouse, const struct warehouse_erasure *erasure,
                     struct warehouse_erase **ret_erase, struct diag *diag)
{
    CLEANUP(warehouse_erase_close)
    struct warehouse_erase *erase = MEM_NEW(struct warehouse_erase, 1);
    enum err err = ERR_OK;

    if (erase == NULL)
        return ERR_NOMEM;
    erase->warehouse = warehouse;
    erase->erasure = *erasure;
    err = project_get(warehouse, erasure->selection.project_id, &erase->project, diag);
    if (err == ERR_OK)
        *ret_erase = MOVE(erase);
    return err;
}

static enum err
run_step(struct warehouse_erase *erase, const struct look *look, enum outcome *ret_outcome,
         struct diag *diag)
{
    enum err err = ERR_OK;

    *ret_outcome = clear_tail(erase, look);
    if (*ret_outcome == WENT_ON)
        err = clear_files(erase, look, ret_outcome, diag);
    if (err == ERR_OK && *ret_outcome == WENT_ON)
        err = clear_types(erase, look, ret_outcome, diag);
    return err;
}

static void
tell_progress(const struct warehouse_erase *erase, const struct look *look,
              struct warehouse_erasure_progress *ret_progress)
{
    *ret_progress = (struct warehouse_erasure_progress){.rows = erase->rows};
    if (look->set == NULL)
        return;
    ret_progress->total = look->set->count;
    for (uint32_t i = 0; i < look->set->count; i++)
        ret_progress->done += was_looked(erase, look->set->files[i]->facts.number) ? 1 : 0;
}

enum err
warehouse_erase_step(struct warehouse_erase *erase, bool *ret_did_work, bool *ret_is_done,
                     struct warehouse_erasure_progress *ret_progress, struct diag *diag)
{
    struct look look = {0};
    enum outcome outcome = WAITS;
    enum err err = (enum err)atomic_load(&erase->warehouse->keeper_guard.err);

    *ret_did_work = *ret_is_done = false;
    if (err != ERR_OK)
        return err;
    if (!load_request_is_pending(erase->warehouse) && look_at(erase, &look)) {
        err = run_step(erase, &look, &outcome, diag);
        if (err == ERR_CORRUPT) { /* it is loaded again, from a store that has erased already */
            project_report_damage(erase->project, look.lexicon, diag);
            outcome = WAITS;
            err = ERR_OK;
        } else if (err == ERR_CANCELLED &&
                   atomic_load(&erase->warehouse->keeper_guard.err) == ERR_OK) {
            outcome = DID_WORK; /* the project was discarded under it: look again */
            err = ERR_OK;
        }
    }
    tell_progress(erase, &look, ret_progress);
    file_set_release(&look.set); /* else files that gave way would be held by ourselves */
    *ret_did_work = err == ERR_OK && outcome == DID_WORK;
    if (err == ERR_OK && outcome == WENT_ON)
        err = clear_dropped(erase, &outcome, diag);
    if (err == ERR_OK && outcome == WENT_ON)
        err = clear_project(erase, &look, &outcome, diag);
    *ret_is_done = err == ERR_OK && outcome == WENT_ON;
    look_fini(&look);
    return err;
}

void
warehouse_erase_close(struct warehouse_erase **erase_place)
{
    struct warehouse_erase *erase = *erase_place;

    *erase_place = NULL;
    if (erase == NULL)
        return;
    load_request_cancel(erase->warehouse);
    mem_free(erase->looked);
    mem_free(erase);
}
