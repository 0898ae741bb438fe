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

/* Under progress_lock and with the project's lock free. */
static struct store_position
position_of(struct warehouse *warehouse, struct project *project, int64_t *ret_waiting_us)
{
    struct store_position position = warehouse->loaded;

    *ret_waiting_us = warehouse->oldest_waiting_us;
    pthread_mutex_lock(&project->lock);
    if (project->is_rebuilding) {
        position = project->covered;
        *ret_waiting_us = project->waiting_us;
    }
    pthread_mutex_unlock(&project->lock);
    return position;
}

static int64_t
lag_us(struct warehouse *warehouse, struct store_position position, int64_t waiting_us)
{
    const struct store_position durable = store_durable(warehouse->config.store);
    int64_t lag = 0;

    if (position_reached(durable, position))
        return 0;
    lag = clock_wall_us(warehouse->config.clock) - waiting_us;
    return lag > 0 ? lag : 1;
}

int64_t
warehouse_lag_us(struct warehouse *warehouse)
{
    int64_t lag = 0;

    pthread_mutex_lock(&warehouse->progress_lock);
    lag = lag_us(warehouse, warehouse->loaded, warehouse->oldest_waiting_us);
    pthread_mutex_unlock(&warehouse->progress_lock);
    return lag;
}

/* A position that can never be reached here: positions of embedded stores (major 0) have the name
 * of their ledger as generation. */
static bool
is_of_another_ledger(struct warehouse *warehouse, const struct store_position *wanted)
{
    const struct store_position durable = store_durable(warehouse->config.store);

    return wanted->generation != 0 && durable.generation != 0 &&
           wanted->generation != durable.generation && (wanted->major == 0 || durable.major == 0);
}

/* Waits until `wanted` (NULL: nothing) is loaded for this project, and takes the watermark. */
static enum err
wait_for(struct warehouse *warehouse, struct project *project, const struct store_position *wanted,
         int64_t wait_ms, struct warehouse_watermark *ret_watermark)
{
    const int64_t until_ns = monotonic_ns() + wait_ms * 1000000;
    enum err err = ERR_OK;

    pthread_mutex_lock(&warehouse->progress_lock);
    for (;;) {
        int64_t waiting_us = 0;
        const struct store_position position = position_of(warehouse, project, &waiting_us);
        const struct timespec until = {until_ns / NS_PER_S, until_ns % NS_PER_S};

        if (wanted == NULL || position_reached(*wanted, position)) {
            ret_watermark->position = position;
            ret_watermark->received_at_us = warehouse->newest_received_us;
            ret_watermark->lag_ms = (lag_us(warehouse, position, waiting_us) + 999) / 1000;
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

enum err
warehouse_view_open(struct warehouse *warehouse, uint32_t project_id,
                    const struct store_position *min_position, int64_t wait_ms,
                    struct warehouse_view **ret_view, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct warehouse_view *view = MEM_NEW(struct warehouse_view, 1);
    struct project *project = NULL;
    enum err err = ERR_OK;

    if (view == NULL)
        return ERR_NOMEM;
    if (min_position != NULL && is_of_another_ledger(warehouse, min_position)) {
        diag_set_field(diag, "min_position",
                       "min_position: a position of another ledger; ask without min_position");
        return ERR_INVALID_PARAMETER;
    }
    err = project_get(warehouse, project_id, &project, diag);
    if (err == ERR_OK)
        err = wait_for(warehouse, project, min_position, wait_ms, &view->watermark);
    if (err == ERR_BEHIND)
        diag_set_field(diag, "min_position", "not loaded after %lld ms", (long long)wait_ms);
    if (err != ERR_OK)
        return err;
    view->warehouse = warehouse;
    view->project = project;
    atomic_store_explicit(&project->was_read, true, memory_order_relaxed);
    pthread_mutex_lock(&project->lock);
    err = project->broken;
    view->set = file_set_hold(project->set);
    view->lexicon = lexicon_hold(project->lexicon);
    view->tail = tail_hold(project->tail);
    view->tail_rows = project->tail_rows;
    view->type_count = project->type_count;
    view->person_count = project->person_count;
    view->history_from_us = project->received_min_us;
    pthread_mutex_unlock(&project->lock);
    *ret_view = MOVE(view);
    if (err != ERR_OK) {
        diag_set(diag, "the project holds more persons or event types than can be counted");
        warehouse_view_close(ret_view);
    }
    return err;
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

uint32_t
warehouse_view_type_count(const struct warehouse_view *view)
{
    return view->type_count;
}

struct slice
warehouse_view_type_name(const struct warehouse_view *view, uint32_t type_id)
{
    return types_name(&view->lexicon->types, type_id);
}

bool
warehouse_view_type_find(const struct warehouse_view *view, struct slice name,
                         uint32_t *ret_type_id)
{
    uint32_t id = 0;

    if (!types_find(&view->lexicon->types, name, &id) || id >= view->type_count)
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
    stats.lag_s = (double)lag_us(warehouse, warehouse->loaded, warehouse->oldest_waiting_us) /
                  (double)US_PER_S;
    pthread_mutex_unlock(&warehouse->progress_lock);
    *ret_stats = stats;
}
