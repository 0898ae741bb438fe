/*
 * load - the loader: reads the store on, gives rows to the tails of their projects, publishes page
 * by page.
 *
 * Layer 4, the loader's thread. A page is applied whole before anyone sees a row of it; a row is
 * known by its seq, so a page that failed half way (out of memory) can be applied again.
 *
 * `cursor` is where the store is read; `loaded` is how far every project is loaded that is not
 * being rebuilt. They are equal but for a rebuild: then the cursor goes back to the start, rows
 * that a project has already are skipped, and the project that is rebuilt counts as loaded only up
 * to the cursor, until it has met `loaded`.
 */
#include "base/counter.h"
#include "warehouse/inside.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE_ROWS 8192
#define PAGE_BYTES ((size_t)4 << 20)
#define DUE_CHECK_NS (NS_PER_S / 2)
#define SEAL_AGAIN_NS (5 * NS_PER_S)
#define BEHIND_ROWS 2000000
#define BEHIND_BYTES (UINT64_C(1) << 30)
#define IDLE_UNREAD_FACTOR                                                                         \
    12 /* a project that nobody reads is sealed hourly rather than every 5 minutes */

COUNTER_DEFINE(loaded_total, "potik_loaded_events_total", "events loaded into the warehouse");
COUNTER_DEFINE(seal_failed_total, "potik_seal_failed_total",
               "seals that failed and are tried again");
GAUGE_DEFINE(lag_seconds, "potik_load_lag_seconds",
             "age of the oldest stored event not yet loaded");
GAUGE_DEFINE(tail_bytes_gauge, "potik_tail_bytes", "memory of the rows not yet sealed");

/* --- the checkpoint -------------------------------------------------------------------------- */

/* Every project is sealed up to here: the least of the tails' beginnings, or the cursor. */
static struct store_position
sealed_position(const struct warehouse *warehouse)
{
    struct store_position least = warehouse->cursor;

    for (const struct project *project = warehouse->active; project != NULL;
         project = project->next_active) {
        if (position_reached(project->tail_floor, least))
            least = project->tail_floor;
    }
    return least;
}

static int
compare_projects(const void *a, const void *b)
{
    const uint32_t left = ((const struct checkpoint_project *)a)->project_id;
    const uint32_t right = ((const struct checkpoint_project *)b)->project_id;

    return (left > right) - (left < right);
}

/* Projects that are open, and those the last checkpoint knew that are not. Under projects_lock. */
static enum err
list_projects(struct warehouse *warehouse, struct checkpoint *checkpoint)
{
    const struct checkpoint *old = warehouse->checkpoint;
    const size_t most = (size_t)warehouse->project_count + (old != NULL ? old->project_count : 0);
    struct checkpoint_project *projects = MEM_NEW(struct checkpoint_project, most + 1);
    uint32_t count = 0;

    if (projects == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < warehouse->project_slots; i++) {
        const struct project *project = warehouse->projects[i];

        if (project != NULL && project->manifest.number != 0)
            projects[count++] = (struct checkpoint_project){project->id, project->manifest.number,
                                                            project->manifest.rows};
    }
    for (uint32_t i = 0; old != NULL && i < old->project_count; i++) {
        bool is_open = false;

        for (uint32_t k = 0; k < warehouse->project_slots && !is_open; k++)
            is_open = warehouse->projects[k] != NULL &&
                      warehouse->projects[k]->id == old->projects[i].project_id;
        if (!is_open)
            projects[count++] = old->projects[i];
    }
    qsort(projects, count, sizeof(*projects), compare_projects);
    checkpoint->projects = projects;
    checkpoint->project_count = count;
    return ERR_OK;
}

enum err
checkpoint_write(struct warehouse *warehouse, struct diag *diag)
{
    CLEANUP(checkpoint_free) struct checkpoint *checkpoint = MEM_NEW(struct checkpoint, 1);
    char path[FILE_PATH_MAX];
    struct buf buf;
    enum err err = ERR_NOMEM;

    if (checkpoint == NULL)
        return ERR_NOMEM;
    checkpoint->position = sealed_position(warehouse);
    pthread_mutex_lock(&warehouse->projects_lock);
    err = list_projects(warehouse, checkpoint);
    pthread_mutex_unlock(&warehouse->projects_lock);
    if (err != ERR_OK)
        return err;
    if (!file_path(path, warehouse->dir, "checkpoint.json"))
        return ERR_INVALID;
    buf_init(&buf, SIZE_MAX);
    checkpoint_format(checkpoint, &buf);
    err = buf_failed(&buf) ? ERR_NOMEM : file_replace_whole(path, buf_slice(&buf), diag);
    buf_fini(&buf);
    return err;
}

/* --- a page ---------------------------------------------------------------------------------- */

static void
activate(struct warehouse *warehouse, struct project *project)
{
    project->is_active = true;
    project->tail_floor = warehouse->cursor;
    project->tail_began_steady_ns = clock_steady_ns(warehouse->config.clock);
    project->tail_began_rows = warehouse->rows_read;
    project->tail_began_bytes = warehouse->bytes_read;
    project->next_active = warehouse->active;
    warehouse->active = project;
}

static void
deactivate(struct warehouse *warehouse, struct project *project)
{
    struct project **place = &warehouse->active;

    while (*place != NULL && *place != project)
        place = &(*place)->next_active;
    if (*place == project)
        *place = project->next_active;
    project->next_active = NULL;
    project->is_active = false;
}

static enum err
apply_row(struct warehouse *warehouse, struct project *project, const struct store_row *row,
          struct diag *diag)
{
    struct lexicon *lexicon = project->lexicon;
    struct tail *tail = project->tail;
    const uint64_t bytes_before = tail->bytes;
    const uint64_t input_before = tail->input_bytes;
    uint32_t person = 0, type_id = 0;
    enum err err = ERR_OK;

    if (row->seq <= project->loaded_seq || project->broken != ERR_OK)
        return ERR_OK;
    err = persons_resolve(&lexicon->persons, event_person_key(&row->event), &person, diag);
    if (err == ERR_OK)
        err = types_resolve(&lexicon->types, row->event.event_type, &type_id);
    if (err == ERR_OK)
        err = tail_append(tail, &row->event, row->seq, person, type_id);
    /* Also where no row was added: memory was taken, and is given back with the tail. */
    atomic_fetch_add_explicit(&warehouse->tail_bytes, tail->bytes - bytes_before,
                              memory_order_relaxed);
    if (err == ERR_FULL) { /* a bound of the project's own: the others go on */
        project->broken = err;
        SINK(warehouse->config.sink, LOG_LEVEL_ERROR, "warehouse.project_full",
             LOG_U64("project", project->id), LOG_TEXT("why", "too many persons or event types"));
        return ERR_OK;
    }
    if (err == ERR_CORRUPT) /* a run of persons went bad */
        project_report_damage(project, lexicon, diag);
    if (err != ERR_OK)
        return err;
    project->loaded_seq = row->seq;
    warehouse->bytes_read += tail->input_bytes - input_before;
    if (!project->is_active)
        activate(warehouse, project);
    if (!project->is_touched) {
        project->is_touched = true;
        project->next_touched = warehouse->touched;
        warehouse->touched = project;
    }
    return ERR_OK;
}

static enum err
apply_page(struct warehouse *warehouse, const struct store_page *page, struct diag *diag)
{
    struct project *project = NULL;
    enum err err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < page->count; i++) {
        const struct store_row *row = &page->rows[i];

        if (project == NULL || project->id != row->event.project_id)
            err = project_get(warehouse, row->event.project_id, &project, diag);
        if (err == ERR_OK)
            err = apply_row(warehouse, project, row, diag);
    }
    return err;
}

static void
publish_project(struct warehouse *warehouse, struct project *project)
{
    const uint32_t added = project->tail->rows - project->tail_rows;

    pthread_mutex_lock(&project->lock);
    project->tail_rows = project->tail->rows;
    project->type_count = project->lexicon->types.count;
    project->person_count = project->lexicon->persons.count;
    if (project->tail_rows != 0 && (project->received_min_us == 0 ||
                                    project->tail->received_min_us < project->received_min_us))
        project->received_min_us = project->tail->received_min_us;
    pthread_mutex_unlock(&project->lock);
    atomic_fetch_add_explicit(&warehouse->tail_rows, added, memory_order_relaxed);
    atomic_fetch_add_explicit(&warehouse->rows, added, memory_order_relaxed);
    counter_add(&loaded_total, added);
}

/* A project being rebuilt has come to the cursor; once that has met `loaded`, it is like the
 * others. */
static void
publish_rebuilds(struct warehouse *warehouse, struct store_position next, int64_t newest_us)
{
    const bool is_done = position_reached(warehouse->loaded, next);

    pthread_mutex_lock(&warehouse->projects_lock);
    for (uint32_t i = 0; i < warehouse->project_slots; i++) {
        struct project *project = warehouse->projects[i];

        if (project == NULL || atomic_load(&project->needs_rebuild))
            continue;
        pthread_mutex_lock(&project->lock);
        if (project->is_rebuilding) {
            project->covered = next;
            project->waiting_us = newest_us;
            project->is_rebuilding = !is_done;
        }
        pthread_mutex_unlock(&project->lock);
    }
    pthread_mutex_unlock(&warehouse->projects_lock);
}

static void
publish_page(struct warehouse *warehouse, const struct store_page *page)
{
    const int64_t newest = page->count != 0 ? page->rows[page->count - 1].event.received_at_us : 0;
    bool was_rebuilding = false;

    for (struct project *project = warehouse->touched, *next; project != NULL; project = next) {
        next = project->next_touched;
        project->is_touched = false;
        publish_project(warehouse, project);
    }
    warehouse->touched = NULL;
    warehouse->rows_read += page->count;
    warehouse->cursor = page->next;
    warehouse->is_behind = !page->is_caught_up;
    pthread_mutex_lock(&warehouse->progress_lock);
    was_rebuilding = warehouse->is_rebuilding;
    pthread_mutex_unlock(&warehouse->progress_lock);
    if (was_rebuilding)
        publish_rebuilds(warehouse, page->next, newest);
    pthread_mutex_lock(&warehouse->progress_lock);
    if (position_reached(warehouse->loaded, page->next)) {
        warehouse->loaded = page->next;
        warehouse->is_rebuilding = false;
    }
    if (newest > warehouse->newest_received_us)
        warehouse->newest_received_us = newest;
    warehouse->oldest_waiting_us =
        page->is_caught_up ? clock_wall_us(warehouse->config.clock) : newest;
    pthread_cond_broadcast(&warehouse->progress_changed);
    pthread_mutex_unlock(&warehouse->progress_lock);
}

/* --- sealing what is due --------------------------------------------------------------------- */

static void
count_tail_out(struct warehouse *warehouse, uint64_t bytes, uint64_t rows)
{
    atomic_fetch_sub_explicit(&warehouse->tail_bytes, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&warehouse->tail_rows, rows, memory_order_relaxed);
}

static enum err
seal_project(struct warehouse *warehouse, struct project *project, struct diag *diag)
{
    const uint64_t bytes = project->tail->bytes;
    const uint64_t rows = project->tail->rows;
    enum err err = ERR_OK;

    publish_project(warehouse, project); /* rows of a page that failed half way, if any */
    err = project_seal(project, diag);
    if (err != ERR_OK) {
        counter_add(&seal_failed_total, 1);
        return err;
    }
    count_tail_out(warehouse, bytes, rows);
    deactivate(warehouse, project);
    atomic_store(&project->was_read, false);
    return ERR_OK;
}

static bool
is_full(const struct warehouse *warehouse, const struct project *project)
{
    /* Loading costs a third of sealing: while rows wait, they are loaded first, and sealed in
     * larger files. */
    const uint64_t factor = warehouse->is_behind ? warehouse->behind_factor : 1;

    return project->tail_rows >= warehouse->config.seal_rows * factor ||
           project->tail->input_bytes >= warehouse->config.seal_bytes * factor;
}

static bool
is_due(const struct warehouse *warehouse, const struct project *project, int64_t now_ns)
{
    const int64_t idle_ms =
        warehouse->config.seal_idle_ms * (atomic_load(&project->was_read) ? 1 : IDLE_UNREAD_FACTOR);

    return is_full(warehouse, project) ||
           now_ns - project->tail_began_steady_ns >= idle_ms * 1000000 ||
           warehouse->rows_read - project->tail_began_rows >= BEHIND_ROWS ||
           warehouse->bytes_read - project->tail_began_bytes >= BEHIND_BYTES;
}

/* NULL: none is active. */
static struct project *
largest(const struct warehouse *warehouse)
{
    struct project *found = NULL;

    for (struct project *project = warehouse->active; project != NULL;
         project = project->next_active) {
        if (found == NULL || project->tail->bytes > found->tail->bytes)
            found = project;
    }
    return found;
}

/* After each page: what has grown full. Twice a second: what is idle or far behind. */
static enum err
seal_due(struct warehouse *warehouse, struct diag *diag)
{
    const int64_t now_ns = clock_steady_ns(warehouse->config.clock);
    const bool is_round = now_ns - warehouse->due_checked_ns >= DUE_CHECK_NS;
    bool did_seal = false;
    enum err err = ERR_OK;

    if (now_ns < warehouse->seal_again_ns)
        return ERR_OK;
    if (is_round)
        warehouse->due_checked_ns = now_ns;
    for (struct project *project = warehouse->active, *next; err == ERR_OK && project != NULL;
         project = next) {
        next = project->next_active;
        if (is_round ? is_due(warehouse, project, now_ns) : is_full(warehouse, project)) {
            err = seal_project(warehouse, project, diag);
            did_seal = true;
        }
    }
    while (err == ERR_OK &&
           atomic_load(&warehouse->tail_bytes) > warehouse->config.tail_bytes_max) {
        struct project *project = largest(warehouse);

        if (project == NULL)
            break;
        err = seal_project(warehouse, project, diag);
        did_seal = true;
    }
    if (err == ERR_OK && did_seal)
        err = checkpoint_write(warehouse, diag);
    if (err != ERR_OK) /* a full disk, say: work goes on as soon as there is room */
        warehouse->seal_again_ns = now_ns + SEAL_AGAIN_NS;
    return err;
}

void
load_seal_all(struct warehouse *warehouse, int64_t seal_ms_max)
{
    struct timespec now;
    int64_t until_ns = 0;

    clock_gettime(CLOCK_MONOTONIC, &now);
    until_ns = now.tv_sec * NS_PER_S + now.tv_nsec + seal_ms_max * 1000000;
    for (struct project *project = largest(warehouse); project != NULL && seal_ms_max > 0;
         project = largest(warehouse)) {
        struct diag diag = DIAG_INIT;

        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec * NS_PER_S + now.tv_nsec >= until_ns)
            break;
        if (seal_project(warehouse, project, &diag) != ERR_OK) {
            SINK(warehouse->config.sink, LOG_LEVEL_WARN, "warehouse.seal_failed",
                 LOG_TEXT("why", diag.message),
                 LOG_TEXT("next", "the rest is loaded again at the next start"));
            break;
        }
    }
    (void)!checkpoint_write(warehouse, NULL); /* an older one is as good: more is read again */
}

/* --- rebuilding ------------------------------------------------------------------------------ */

static enum err
rebuild_damaged(struct warehouse *warehouse, struct diag *diag)
{
    enum err err = ERR_OK;

    atomic_store(&warehouse->has_damage, false);
    /* First the checkpoint says that reading starts over: only then may a manifest go. */
    warehouse->cursor = (struct store_position){0};
    pthread_mutex_lock(&warehouse->progress_lock);
    warehouse->is_rebuilding = true;
    pthread_mutex_unlock(&warehouse->progress_lock);
    err = checkpoint_write(warehouse, diag);
    for (uint32_t i = 0; err == ERR_OK && i < warehouse->project_slots; i++) {
        struct project *project = warehouse->projects[i];

        if (project == NULL || !atomic_load(&project->needs_rebuild))
            continue;
        if (project->is_active) {
            count_tail_out(warehouse, project->tail->bytes, project->tail_rows);
            deactivate(warehouse, project);
        }
        err = project_reset(project, diag);
        if (err == ERR_OK)
            atomic_store(&project->needs_rebuild, false);
    }
    if (err != ERR_OK)
        atomic_store(&warehouse->has_damage, true);
    return err;
}

/* --- a step ---------------------------------------------------------------------------------- */

static void
rest(struct warehouse *warehouse, int64_t wait_ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= NS_PER_S) {
        until.tv_nsec -= NS_PER_S;
        until.tv_sec++;
    }
    pthread_mutex_lock(&warehouse->progress_lock);
    pthread_cond_timedwait(&warehouse->progress_changed, &warehouse->progress_lock, &until);
    pthread_mutex_unlock(&warehouse->progress_lock);
}

enum err
warehouse_load_step(struct warehouse *warehouse, int64_t wait_ms, struct diag *diag)
{
    struct store *store = warehouse->config.store;
    struct store_page page = {0};
    enum err err = ERR_OK;

    if (atomic_load(&warehouse->has_damage)) {
        err = rebuild_damaged(warehouse, diag);
        if (err != ERR_OK)
            return err;
    }
    if (atomic_load(&warehouse->tail_bytes) > warehouse->config.tail_bytes_max) {
        err = seal_due(warehouse, diag); /* at the cap nothing more is read */
        if (err != ERR_OK ||
            atomic_load(&warehouse->tail_bytes) > warehouse->config.tail_bytes_max) {
            rest(warehouse, wait_ms);
            return err;
        }
    }
    if (store_wait_after(store, warehouse->cursor, wait_ms)) {
        arena_clear(&warehouse->page_arena);
        err = store_read_after(store, warehouse->cursor, PAGE_ROWS, PAGE_BYTES,
                               &warehouse->page_arena, &page, diag);
        if (err == ERR_OK)
            err = apply_page(warehouse, &page, diag);
        if (err == ERR_OK)
            publish_page(warehouse, &page);
    } else {
        warehouse->is_behind = false;
        pthread_mutex_lock(&warehouse->progress_lock);
        warehouse->oldest_waiting_us = clock_wall_us(warehouse->config.clock);
        pthread_mutex_unlock(&warehouse->progress_lock);
    }
    if (err == ERR_OK)
        err = seal_due(warehouse, diag);
    gauge_set(&lag_seconds, (double)warehouse_lag_us(warehouse) / (double)US_PER_S);
    gauge_set(&tail_bytes_gauge, (double)atomic_load(&warehouse->tail_bytes));
    return err;
}
