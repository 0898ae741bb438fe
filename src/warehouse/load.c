/*
 * load - the loader: reads the store on, gives rows to the tails of their projects, publishes page
 * by page.
 *
 * Layer 4, the loader's thread. A page is applied whole before anyone sees a row of it; what a
 * project has already is known by its position, so a page that failed half way (out of memory) can
 * be applied again. Rows without a number of the store's are numbered here, per project: 1, 2, 3 …
 *
 * `cursor` is where the store is read; `loaded` is how far every project is loaded that is not
 * being rebuilt. They are equal but for a rebuild: then the cursor goes back to the start, rows
 * that a project has already are skipped, and the project that is rebuilt counts as loaded only up
 * to the cursor, until it has met `loaded`.
 *
 * Lag is the age of the oldest row that is known to be durable and is not loaded. While the store
 * is away nothing more becomes known: who was current stays so (0), and what had been acknowledged
 * but not loaded grows older, truly.
 */
#include "base/counter.h"
#include "warehouse/inside.h"
#include <string.h>
#include <time.h>

#define PAGE_ROWS 8192
#define PAGE_BYTES ((size_t)4 << 20)
#define DUE_CHECK_NS (NS_PER_S / 2)
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

/* row->position at or before project->loaded, with what that means across generations (store.h). */
static inline bool
has_row(const struct project *project, const struct store_row *row)
{
    const struct store_position *at = &row->position;
    const struct store_position *loaded = &project->loaded;

    if (at->generation != loaded->generation)
        return at->major != 0 && loaded->major != 0 && at->generation < loaded->generation;
    return at->major != loaded->major ? at->major < loaded->major : at->minor <= loaded->minor;
}

static enum err
apply_row(struct warehouse *warehouse, struct project *project, const struct store_row *row,
          struct diag *diag)
{
    struct lexicon *lexicon = project->lexicon;
    struct tail *tail = project->tail;
    const uint64_t bytes_before = tail->bytes;
    const uint64_t input_before = tail->input_bytes;
    const uint64_t seq = row->seq != 0 ? row->seq : project->loaded_seq + 1;
    uint32_t person = 0, type_id = 0;
    enum err err = ERR_OK;

    if (has_row(project, row) || project->broken != ERR_OK)
        return ERR_OK;
    err = persons_resolve(&lexicon->persons, event_person_key(&row->event), &person, diag);
    if (err == ERR_OK)
        err = types_resolve(lexicon->types, row->event.event_type, &type_id);
    if (err == ERR_OK)
        err = learnt_prepare(lexicon->learnt, type_id, &row->event);
    if (err == ERR_OK)
        err = tail_append(tail, &row->event, seq, person, type_id,
                          row->seq == 0 ? &row->position : NULL);
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
    learnt_add(lexicon->learnt, type_id, row->event.received_at_us);
    project->loaded = row->position;
    project->loaded_seq = seq;
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
    project->tail_received_min_us = project->tail->received_min_us;
    project->type_count = project->lexicon->types->count;
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

/* `durable`: what the store held at least when the page was read. Under progress_lock. */
static void
publish_lag(struct warehouse *warehouse, const struct store_page *page, int64_t newest_us,
            struct store_position durable)
{
    warehouse->is_held = page->is_caught_up && page->oldest_held_us != 0;
    if (warehouse->is_held) {
        warehouse->oldest_waiting_us = page->oldest_held_us;
    } else if (page->is_caught_up) {
        warehouse->current = durable;
        warehouse->oldest_waiting_us = clock_wall_us(warehouse->config.clock);
    } else if (page->count != 0) {
        warehouse->oldest_waiting_us = newest_us;
    }
}

static void
publish_page(struct warehouse *warehouse, const struct store_page *page,
             struct store_position durable)
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
    publish_lag(warehouse, page, newest, durable);
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

void
load_drop_tail(struct warehouse *warehouse, struct project *project)
{
    if (!project->is_active)
        return;
    count_tail_out(warehouse, project->tail->bytes, project->tail_rows);
    deactivate(warehouse, project);
}

enum err
load_seal_project(struct warehouse *warehouse, struct project *project, struct diag *diag)
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
            err = load_seal_project(warehouse, project, diag);
            did_seal = true;
        }
    }
    while (err == ERR_OK &&
           atomic_load(&warehouse->tail_bytes) > warehouse->config.tail_bytes_max) {
        struct project *project = largest(warehouse);

        if (project == NULL)
            break;
        err = load_seal_project(warehouse, project, diag);
        did_seal = true;
    }
    if (err == ERR_OK && did_seal)
        err = checkpoint_write(warehouse, diag);
    if (err != ERR_OK) /* a full disk, say: work goes on as soon as there is room */
        warehouse->seal_again_ns = now_ns + LOAD_SEAL_AGAIN_NS;
    return err;
}

void
load_seal_all(struct warehouse *warehouse, int64_t seal_ms_max)
{
    struct timespec now;
    int64_t until_ns = 0;

    if (warehouse->is_stale) /* the checkpoint is void and stays so */
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    until_ns = now.tv_sec * NS_PER_S + now.tv_nsec + seal_ms_max * 1000000;
    for (struct project *project = largest(warehouse); project != NULL && seal_ms_max > 0;
         project = largest(warehouse)) {
        struct diag diag = DIAG_INIT;

        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec * NS_PER_S + now.tv_nsec >= until_ns)
            break;
        if (load_seal_project(warehouse, project, &diag) != ERR_OK) {
            SINK(warehouse->config.sink, LOG_LEVEL_WARN, "warehouse.seal_failed",
                 LOG_TEXT("why", diag.message),
                 LOG_TEXT("next", "the rest is loaded again at the next start"));
            break;
        }
    }
    (void)!checkpoint_write(warehouse, NULL); /* an older one is as good: more is read again */
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

/* Nothing came: whatever is known to be durable is loaded, or cannot be read now. */
static void
note_idle(struct warehouse *warehouse)
{
    const struct store_position durable = store_durable(warehouse->config.store);

    warehouse->is_behind = false;
    pthread_mutex_lock(&warehouse->progress_lock);
    if (!warehouse->is_held && (position_reached(durable, warehouse->loaded) ||
                                position_reached(durable, warehouse->current)))
        warehouse->oldest_waiting_us = clock_wall_us(warehouse->config.clock);
    pthread_mutex_unlock(&warehouse->progress_lock);
}

/* ERR_NOT_READY: the store is away; ERR_STALE: it went back. */
static enum err
load_page(struct warehouse *warehouse, struct diag *diag)
{
    struct store *store = warehouse->config.store;
    struct store_position durable = store_durable(store);
    struct store_page page = {0};
    enum err err = ERR_OK;

    arena_clear(&warehouse->page_arena);
    err = store_read_after(store, warehouse->cursor, PAGE_ROWS, PAGE_BYTES, &warehouse->page_arena,
                           &page, diag);
    if (err == ERR_OK)
        err = apply_page(warehouse, &page, diag);
    /* The store may have learnt meanwhile that what it was told was never given. */
    if (err == ERR_OK && position_reached(store_durable(store), durable))
        durable = store_durable(store);
    if (err == ERR_OK)
        publish_page(warehouse, &page, durable);
    return err;
}

static enum err
load_or_wait(struct warehouse *warehouse, int64_t wait_ms, struct diag *diag)
{
    enum err err = ERR_OK;

    if (!store_wait_after(warehouse->config.store, warehouse->cursor, wait_ms)) {
        note_idle(warehouse);
        return ERR_OK;
    }
    err = load_page(warehouse, diag);
    if (err == ERR_NOT_READY) { /* told by the store itself; what is loaded serves on */
        rest(warehouse, wait_ms);
        return ERR_OK;
    }
    if (err == ERR_STALE) {
        SINK(warehouse->config.sink, LOG_LEVEL_WARN, "warehouse.store_went_back",
             LOG_TEXT("why", diag != NULL ? diag->message : ""),
             LOG_TEXT("next", "everything is loaded again from the store"));
        warehouse->is_stale = true;
        err = load_discard_all(warehouse, diag);
    }
    return err;
}

enum err
warehouse_load_step(struct warehouse *warehouse, int64_t wait_ms, struct diag *diag)
{
    enum err err = ERR_OK;

    if (warehouse->is_stale)
        err = load_discard_all(warehouse, diag);
    else if (atomic_load(&warehouse->has_damage))
        err = load_rebuild_damaged(warehouse, diag);
    if (err == ERR_OK)
        err = load_request_serve(warehouse, diag);
    if (err != ERR_OK)
        return err;
    if (atomic_load(&warehouse->tail_bytes) > warehouse->config.tail_bytes_max) {
        err = seal_due(warehouse, diag); /* at the cap nothing more is read */
        if (err != ERR_OK ||
            atomic_load(&warehouse->tail_bytes) > warehouse->config.tail_bytes_max) {
            rest(warehouse, wait_ms);
            return err;
        }
    }
    err = load_or_wait(warehouse, wait_ms, diag);
    if (err == ERR_OK)
        err = seal_due(warehouse, diag);
    gauge_set(&lag_seconds, (double)warehouse_lag_us(warehouse) / (double)US_PER_S);
    gauge_set(&tail_bytes_gauge, (double)atomic_load(&warehouse->tail_bytes));
    return err;
}
