/*
 * view - what a query reads: one consistent set of files and tail rows, held until it is closed.
 *
 * Layer 4, any thread. The watermark is read before the rows are pinned, so a view never lacks what
 * its watermark promises.
 */
#include "warehouse/inside.h"
#include <time.h>

static int64_t
monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* How far a project is loaded; see struct warehouse for the three. */
struct progress {
    struct store_position loaded;
    struct store_position current;
    int64_t waiting_us;
};

/* Of all projects that are not being rebuilt. Under progress_lock. */
static struct progress
progress_of_all(const struct warehouse *warehouse)
{
    return (struct progress){warehouse->loaded, warehouse->current, warehouse->oldest_waiting_us};
}

/* Under progress_lock and with the project's lock free. */
static struct progress
progress_of(const struct warehouse *warehouse, struct project *project)
{
    struct progress progress = progress_of_all(warehouse);

    pthread_mutex_lock(&project->lock);
    if (project->is_rebuilding)
        progress = (struct progress){project->covered, project->covered, project->waiting_us};
    pthread_mutex_unlock(&project->lock);
    return progress;
}

static int64_t
lag_us(const struct warehouse *warehouse, const struct progress *progress)
{
    const struct store_position durable = store_durable(warehouse->config.store);
    int64_t lag = 0;

    if (durable.major == 0 && durable.minor == 0)
        return 0; /* a ledger in which nothing stands yet */
    if (position_reached(durable, progress->loaded) || position_reached(durable, progress->current))
        return 0;
    lag = clock_wall_us(warehouse->config.clock) - progress->waiting_us;
    return lag > 0 ? lag : 1;
}

int64_t
warehouse_lag_us(struct warehouse *warehouse)
{
    struct progress progress;
    int64_t lag = 0;

    pthread_mutex_lock(&warehouse->progress_lock);
    progress = progress_of_all(warehouse);
    lag = lag_us(warehouse, &progress);
    pthread_mutex_unlock(&warehouse->progress_lock);
    return lag;
}

/*
 * A position that may have been told of events that are not here. Of embedded stores (major 0): the
 * generation is the name of another ledger. Of others: it was told before the store was restored or
 * failed over, and whether what it stood for came along nobody knows. A later generation than the
 * store's is one that this node has not met yet: it waits.
 */
static bool
is_of_another_life(const struct warehouse *warehouse, const struct store_position *wanted)
{
    const struct store_position durable = store_durable(warehouse->config.store);

    if (wanted->generation == 0 || durable.generation == 0)
        return false;
    if (wanted->major == 0 || durable.major == 0)
        return wanted->generation != durable.generation;
    return wanted->generation < store_unbroken_since(warehouse->config.store);
}

static void
say_another_life(const struct store_position *wanted, struct diag *diag)
{
    if (wanted->major == 0)
        diag_set_field(diag, "min_position",
                       "min_position: a position of another ledger; ask without min_position");
    else
        diag_set_field(diag, "min_position",
                       "min_position: a position of another store, or from before it was restored; "
                       "ask without min_position");
}

/* Waits until `wanted` (NULL: nothing) is loaded for this project, and takes the watermark. */
static enum err
wait_for(struct warehouse *warehouse, struct project *project, const struct store_position *wanted,
         int64_t until_ns, struct warehouse_watermark *ret_watermark)
{
    enum err err = ERR_OK;

    pthread_mutex_lock(&warehouse->progress_lock);
    for (;;) {
        const struct progress progress = progress_of(warehouse, project);
        const struct timespec until = {until_ns / NS_PER_S, until_ns % NS_PER_S};

        if (wanted != NULL && is_of_another_life(warehouse, wanted)) {
            err = ERR_INVALID_PARAMETER;
            break;
        }
        if (wanted == NULL || position_reached(*wanted, progress.loaded)) {
            ret_watermark->position = progress.loaded;
            ret_watermark->received_at_us = warehouse->newest_received_us;
            ret_watermark->lag_ms = (lag_us(warehouse, &progress) + 999) / 1000;
            break;
        }
        if (monotonic_ns() >= until_ns) {
            err = ERR_BEHIND;
            break;
        }
        pthread_cond_timedwait(&warehouse->progress_changed, &warehouse->progress_lock, &until);
    }
    pthread_mutex_unlock(&warehouse->progress_lock);
    return err;
}

static struct lexicon *
hold_lexicon(struct project *project)
{
    struct lexicon *lexicon = NULL;

    pthread_mutex_lock(&project->lock);
    lexicon = lexicon_hold(project->lexicon);
    pthread_mutex_unlock(&project->lock);
    return lexicon;
}

/* What the project is made of now, if that is still of the time of `lexicon`. *ret_broken: why
 * nothing may be read of it. */
static bool
pin(struct warehouse_view *view, struct project *project, const struct lexicon *lexicon,
    enum err *ret_broken)
{
    bool is_same = false;

    pthread_mutex_lock(&project->lock);
    is_same = project->lexicon == lexicon;
    if (is_same) {
        *ret_broken = project->is_withheld ? ERR_NOT_READY : project->broken;
        view->set = file_set_hold(project->set);
        view->lexicon = lexicon_hold(project->lexicon);
        view->types = types_hold(project->lexicon->types);
        view->tail = tail_hold(project->tail);
        view->tail_rows = project->tail_rows;
        view->type_count = project->type_count;
        view->person_count = project->person_count;
        view->history_from_us = project->received_min_us;
    }
    pthread_mutex_unlock(&project->lock);
    return is_same;
}

enum err
warehouse_view_open(struct warehouse *warehouse, uint32_t project_id,
                    const struct store_position *min_position, int64_t wait_ms,
                    struct warehouse_view **ret_view, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct warehouse_view *view = MEM_NEW(struct warehouse_view, 1);
    const int64_t until_ns = monotonic_ns() + wait_ms * 1000000;
    struct project *project = NULL;
    bool is_pinned = false;
    enum err broken = ERR_OK;
    enum err err = ERR_OK;

    if (view == NULL)
        return ERR_NOMEM;
    err = project_get(warehouse, project_id, &project, diag);
    while (err == ERR_OK && !is_pinned) {
        /* A reset between the watermark and the rows would leave it promising too much. */
        CLEANUP(lexicon_release) struct lexicon *lexicon = hold_lexicon(project);

        err = wait_for(warehouse, project, min_position, until_ns, &view->watermark);
        is_pinned = err == ERR_OK && pin(view, project, lexicon, &broken);
    }
    if (err == ERR_INVALID_PARAMETER)
        say_another_life(min_position, diag);
    if (err == ERR_BEHIND)
        diag_set_field(diag, "min_position", "not loaded after %lld ms", (long long)wait_ms);
    if (err != ERR_OK)
        return err;
    view->warehouse = warehouse;
    view->project = project;
    atomic_store_explicit(&project->was_read, true, memory_order_relaxed);
    *ret_view = MOVE(view);
    if (broken == ERR_NOT_READY)
        diag_set(diag, "the project is loaded again from the store: events were erased while this "
                       "node was away");
    else if (broken != ERR_OK)
        diag_set(diag, "the project holds more persons or event types than can be counted");
    if (broken != ERR_OK)
        warehouse_view_close(ret_view);
    return broken;
}

void
warehouse_view_close(struct warehouse_view **view_place)
{
    struct warehouse_view *view = *view_place;

    *view_place = NULL;
    if (view == NULL)
        return;
    file_set_release(&view->set);
    lexicon_release(&view->lexicon);
    types_release(&view->types);
    tail_release(&view->tail);
    mem_free(view);
}

struct warehouse_watermark
warehouse_view_watermark(const struct warehouse_view *view)
{
    return view->watermark;
}

int64_t
warehouse_view_history_from_us(const struct warehouse_view *view)
{
    return view->history_from_us;
}

uint64_t
warehouse_view_seq_max(const struct warehouse_view *view)
{
    uint64_t seq = 0;

    for (uint32_t i = 0; i < view->set->count; i++) {
        if (view->set->files[i]->facts.seq_max > seq)
            seq = view->set->files[i]->facts.seq_max;
    }
    for (const struct tail_block *block = view->tail->first;
         block != NULL && block->first_row < view->tail_rows; block = block->next) {
        const uint32_t left = view->tail_rows - block->first_row;

        seq = block->seq[(left < block->capacity ? left : block->capacity) - 1];
    }
    return seq;
}

uint64_t
warehouse_view_seq_at(const struct warehouse_view *view, struct store_position position)
{
    uint64_t seq = 0;
    uint32_t before = 0;

    if (position_reached(view->watermark.position, position))
        return warehouse_view_seq_max(view);
    for (uint32_t i = 0; i < view->set->count; i++) {
        const struct manifest_file *facts = &view->set->files[i]->facts;

        if (facts->seq_max > seq && position_reached(facts->covered, position))
            seq = facts->seq_max;
    }
    before = tail_rows_before(view->tail, view->tail_rows, position);
    return before != 0 ? view->tail->first->seq[0] + before - 1 : seq;
}

uint32_t
warehouse_view_type_count(const struct warehouse_view *view)
{
    return view->type_count;
}

struct slice
warehouse_view_type_name(const struct warehouse_view *view, uint32_t type_id)
{
    return types_name(view->types, type_id);
}

bool
warehouse_view_type_find(const struct warehouse_view *view, struct slice name,
                         uint32_t *ret_type_id)
{
    uint32_t id = 0;

    if (!types_find(view->types, name, &id) || id >= view->type_count)
        return false;
    *ret_type_id = id;
    return true;
}

void
warehouse_stats(struct warehouse *warehouse, struct warehouse_stats *ret_stats)
{
    struct warehouse_stats stats = {.rows = atomic_load(&warehouse->rows),
                                    .tail_rows = atomic_load(&warehouse->tail_rows),
                                    .tail_bytes = atomic_load(&warehouse->tail_bytes)};
    struct progress progress;

    pthread_mutex_lock(&warehouse->projects_lock);
    for (uint32_t i = 0; i < warehouse->project_slots; i++) {
        struct project *project = warehouse->projects[i];

        if (project == NULL)
            continue;
        pthread_mutex_lock(&project->lock);
        stats.persons += project->person_count;
        stats.files += project->set->count;
        for (uint32_t k = 0; k < project->set->count; k++)
            stats.file_bytes +=
                project->set->files[k]->facts.bytes + project->set->files[k]->facts.first_bytes;
        pthread_mutex_unlock(&project->lock);
    }
    pthread_mutex_unlock(&warehouse->projects_lock);
    pthread_mutex_lock(&warehouse->progress_lock);
    stats.loaded = warehouse->loaded;
    progress = progress_of_all(warehouse);
    stats.lag_s = (double)lag_us(warehouse, &progress) / (double)US_PER_S;
    pthread_mutex_unlock(&warehouse->progress_lock);
    *ret_stats = stats;
}

void
warehouse_learnt(struct warehouse_view *view, warehouse_learnt_fn *each, void *state)
{
    learnt_each(view->lexicon->learnt, view->types, view->type_count, each, state);
}
