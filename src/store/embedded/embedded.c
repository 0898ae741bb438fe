/*
 * embedded - the ledger and its id index as a store: opening, reading, waiting, upkeep. See
 * embedded.h, store.h.
 *
 * Layer 3. Start: secret, ledger (recovery), runs, then the ids of what the runs do not cover yet
 * are read from the ledger.
 */
#include "store/embedded/embedded.h"
#include "base/mem.h"
#include "store/embedded/erase.h"
#include "store/embedded/store_embedded.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <time.h>

#define SPACE_CHECK_NS (NS_PER_S / 10)

struct store_position
embedded_position(const struct embedded *store, uint64_t seq)
{
    return (struct store_position){.generation = store->generation, .minor = seq};
}

void
embedded_fail(struct embedded *store, const char *reason)
{
    atomic_store(&store->is_fatal, true);
    if (atomic_exchange(&store->is_fatal_told, true))
        return;
    if (reason[0] == '\0') /* another link's sync has failed, and this one is the first to tell */
        reason = "the ledger could not be synced";
    SINK(store->config.sink, LOG_LEVEL_ERROR, "ledger.failed", LOG_TEXT("reason", reason));
    if (store->config.fatal != NULL)
        store->config.fatal(store->config.fatal_state, reason);
}

bool
embedded_is_disk_full(struct embedded *store)
{
    const int64_t now_ns = clock_steady_ns(store->config.clock);
    int64_t checked_ns = atomic_load(&store->space_checked_ns);
    uint64_t free_bytes = 0;
    uint64_t total_bytes = 0;

    if (now_ns - checked_ns >= SPACE_CHECK_NS &&
        atomic_compare_exchange_strong(&store->space_checked_ns, &checked_ns, now_ns) &&
        file_disk_space(store->data_dir, &free_bytes, &total_bytes, NULL) == ERR_OK)
        atomic_store(&store->is_disk_full, free_bytes < store->config.free_bytes_min);
    return atomic_load(&store->is_disk_full);
}

/* --- links --------------------------------------------------------------------------------- */

static enum err
embedded_link_open(struct store *base, struct store_link **ret_link, struct diag *diag)
{
    struct embedded_link *link = MEM_NEW(struct embedded_link, 1);

    (void)diag;
    if (link == NULL)
        return ERR_NOMEM;
    link->base.vtable = base->vtable;
    link->store = (struct embedded *)base;
    *ret_link = &link->base;
    return ERR_OK;
}

static void
embedded_link_close(struct store_link *base)
{
    struct embedded_link *link = (struct embedded_link *)base;

    embedded_link_free(&link);
}

static int
embedded_link_fd(struct store_link *link)
{
    (void)link;
    return -1;
}

static uint32_t
embedded_link_events(struct store_link *link)
{
    (void)link;
    return 0;
}

static void
embedded_link_ready(struct store_link *link, uint32_t events)
{
    (void)link;
    (void)events;
}

/* --- reading and waiting ------------------------------------------------------------------- */

static enum err
embedded_read_after(struct store *base, struct store_position after, uint32_t rows_max,
                    size_t bytes_max, struct arena *arena, struct store_page *ret_page,
                    struct diag *diag)
{
    struct embedded *store = (struct embedded *)base;
    enum err err = ERR_OK;

    if (after.generation != store->generation && (after.generation | after.major | after.minor)) {
        diag_set(diag, "the position belongs to another ledger");
        return ERR_INVALID;
    }
    err = ledger_read(store->ledger, after.minor, rows_max, bytes_max, arena, ret_page, diag);
    if (err != ERR_OK)
        return err;
    ret_page->next.generation = store->generation;
    for (uint32_t i = 0; i < ret_page->count; i++)
        ret_page->rows[i].position = embedded_position(store, ret_page->rows[i].seq);
    return ERR_OK;
}

/* After durable_seq has been stored. */
void
embedded_tell_waiters(struct embedded *store)
{
    if (atomic_load(&store->waiters) == 0)
        return;
    pthread_mutex_lock(&store->wait_lock);
    pthread_cond_broadcast(&store->wait_cond);
    pthread_mutex_unlock(&store->wait_lock);
}

static bool
embedded_wait_after(struct store *base, struct store_position after, int64_t timeout_ms)
{
    struct embedded *store = (struct embedded *)base;
    const uint64_t seq = after.generation == store->generation ? after.minor : 0;
    struct timespec until;
    uint64_t wake_count = 0;
    bool is_there = false;
    int errno_value = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    timeout_ms = timeout_ms < 0 ? 0 : timeout_ms;
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&store->wait_lock);
    atomic_fetch_add(&store->waiters,
                     1); /* before looking: who commits looks the other way round */
    wake_count = store->wake_count;
    while (!(is_there = atomic_load(&store->ledger->durable_seq) > seq) &&
           store->wake_count == wake_count && errno_value != ETIMEDOUT)
        errno_value = pthread_cond_timedwait(&store->wait_cond, &store->wait_lock, &until);
    atomic_fetch_sub(&store->waiters, 1);
    pthread_mutex_unlock(&store->wait_lock);
    return is_there;
}

static void
embedded_wake(struct store *base)
{
    struct embedded *store = (struct embedded *)base;

    pthread_mutex_lock(&store->wait_lock);
    store->wake_count++;
    pthread_cond_broadcast(&store->wait_cond);
    pthread_mutex_unlock(&store->wait_lock);
}

static struct store_position
embedded_durable(struct store *base)
{
    struct embedded *store = (struct embedded *)base;

    return embedded_position(store, atomic_load(&store->ledger->durable_seq));
}

/* --- upkeep -------------------------------------------------------------------------------- */

static enum err
embedded_maintain_fast(struct store *base, bool *ret_did_work, struct diag *diag)
{
    struct embedded *store = (struct embedded *)base;

    return id_index_seal(&store->ids, &store->commit_lock, &store->ledger->durable_seq, false,
                         ret_did_work, diag);
}

static enum err
embedded_maintain_slow(struct store *base, bool *ret_did_work, struct diag *diag)
{
    struct embedded *store = (struct embedded *)base;
    struct diag scrub_diag = DIAG_INIT;
    enum err err = run_set_merge_step(store->ids.runs, ret_did_work, diag);

    /* A merge that meets a damaged run fails each time; what else is damaged is looked for all the
     * same. */
    if (err == ERR_OK && *ret_did_work)
        return ERR_OK;
    if (err == ERR_OK)
        return embedded_scrub(store, diag);
    if (embedded_scrub(store, &scrub_diag) != ERR_OK)
        SINK(store->config.sink, LOG_LEVEL_ERROR, "ledger.scrub_failed",
             LOG_TEXT("reason", scrub_diag.message));
    return err;
}

static enum err
embedded_is_ready(struct store *base, struct diag *diag)
{
    struct embedded *store = (struct embedded *)base;

    if (atomic_load(&store->is_fatal)) {
        diag_set(diag, "the ledger could not be synced; a restart recovers");
        return ERR_FATAL;
    }
    if (atomic_load(&store->is_index_damaged)) {
        diag_set(diag, "a run of the id index is damaged: stop the server, run `potik doctor "
                       "--repair`, start again");
        return ERR_NOT_READY;
    }
    if (embedded_is_disk_full(store)) {
        diag_set(diag, "less than %" PRIu64 " MiB are free on the disk of the data folder",
                 store->config.free_bytes_min >> 20);
        return ERR_STORAGE_FULL;
    }
    return ERR_OK;
}

static void
embedded_stats(struct store *base, struct store_stats *ret_stats)
{
    struct embedded *store = (struct embedded *)base;
    struct run_set_stats runs;
    uint64_t young = 0;

    run_set_stats(store->ids.runs, &runs);
    pthread_mutex_lock(&store->commit_lock);
    young = id_table_count(store->ids.young);
    if (store->ids.frozen != NULL)
        young += id_table_count(store->ids.frozen);
    pthread_mutex_unlock(&store->commit_lock);
    *ret_stats = (struct store_stats){
        .bytes = atomic_load(&store->ledger->bytes) + runs.file_bytes,
        .events = atomic_load(&store->ledger->rows),
        .index_memory_bytes = runs.memory_bytes + young * sizeof(struct run_key),
        .index_ids = runs.keys + young,
        .index_young_ids = young,
        .index_runs = runs.runs,
        .durable = embedded_durable(base),
    };
}

/* --- opening and closing ------------------------------------------------------------------- */

static void
embedded_free(struct embedded **store_ptr)
{
    struct embedded *store = *store_ptr;

    *store_ptr = NULL;
    if (store == NULL)
        return;
    embedded_scrub_close(store);
    id_index_close(&store->ids);
    freed_close(&store->freed);
    ledger_close(&store->ledger);
    pthread_cond_destroy(&store->wait_cond);
    pthread_mutex_destroy(&store->wait_lock);
    pthread_mutex_destroy(&store->commit_lock);
    mem_free(store->data_dir);
    mem_free(store);
}

static void
embedded_close(struct store *base)
{
    struct embedded *store = (struct embedded *)base;

    embedded_free(&store);
}

static const struct store_vtable embedded_vtable = {
    .links_per_loop = 1,
    .close = embedded_close,
    .link_open = embedded_link_open,
    .link_close = embedded_link_close,
    .link_fd = embedded_link_fd,
    .link_events = embedded_link_events,
    .link_ready = embedded_link_ready,
    .link_submit = embedded_submit,
    .read_after = embedded_read_after,
    .wait_after = embedded_wait_after,
    .wake = embedded_wake,
    .durable = embedded_durable,
    .maintain_fast = embedded_maintain_fast,
    .maintain_slow = embedded_maintain_slow,
    .is_ready = embedded_is_ready,
    .stats = embedded_stats,
    .hash_person = embedded_hash_person,
    .erase_bound = embedded_erase_bound,
    .erase_open = embedded_erase_open,
    .erase_step = embedded_erase_step,
    .erase_close = embedded_erase_close,
};

/* The secret of the data folder; a new one only where there is no ledger yet that needs the old. */
static enum err
open_secret(const char *data_dir, const char *ledger_dir, uint8_t ret_secret[SECRET_BYTES],
            struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    struct diag why = DIAG_INIT;
    enum err err = secret_read(data_dir, ret_secret, &why);

    if (err != ERR_ABSENT) {
        if (err != ERR_OK && diag != NULL)
            *diag = why;
        return err;
    }
    err = file_list_dir(ledger_dir, &list, NULL);
    if (err == ERR_OK && list.count != 0) {
        diag_set(diag,
                 "%s/secret is missing though there is a ledger; put it back from a backup, or run "
                 "`potik doctor --repair`",
                 data_dir);
        return ERR_CORRUPT;
    }
    return secret_make(data_dir, ret_secret, diag);
}

struct replay {
    struct id_index *index;
    uint64_t covered;
};

/* Enters the ids of one frame. */
static enum err
replay_frame(void *state, const struct segment_frame *frame, struct diag *diag)
{
    const struct replay *replay = state;
    const struct frame_header *header = &frame->header;
    const uint8_t *place = frame->payload;
    size_t left = header->payload_bytes;
    enum err err = ERR_OK;

    if (header->kind == FRAME_ROWS) {
        for (uint32_t i = 0; i < header->count && err == ERR_OK; i++) {
            struct event event;
            const size_t len = row_read(place, left, &event);

            place += len;
            left -= len;
            if (header->first_seq + i > replay->covered)
                err =
                    id_index_replay(replay->index, id_index_key(replay->index->secret,
                                                                event.project_id, event.event_id));
        }
        if (err == ERR_OK)
            err = id_index_replayed(replay->index, header->first_seq + header->count - 1, diag);
    } else if (header->kind == FRAME_TOMBSTONES) {
        for (uint32_t i = 0; i < header->count && err == ERR_OK; i++) {
            struct run_key key;

            memcpy(&key, place + (size_t)i * sizeof(key), sizeof(key));
            err = id_index_replay(replay->index, key);
        }
    } else if (header->kind == FRAME_GAP) { /* or tombstones alone would fill the table for ever */
        err = id_index_replayed(replay->index, header->first_seq + header->count - 1, diag);
    }
    return err;
}

static enum err
open_index(struct embedded *store, const uint8_t secret[SECRET_BYTES], const char *dir,
           struct diag *diag)
{
    const struct id_index_config config = {
        .dir = dir,
        .secret = secret,
        .ledger_id = store->ledger->id,
        .last_seq = atomic_load(&store->ledger->durable_seq),
        .young_max = store->config.young_ids_max,
        .young_seal = store->config.young_ids_seal,
        .sink = store->config.sink,
    };
    struct replay replay = {.index = &store->ids};
    enum err err = id_index_open(&config, &store->ids, diag);

    if (err != ERR_OK)
        return err;
    err = erase_free_at_start(store, dir, diag);
    if (err != ERR_OK)
        return err;
    replay.covered = id_index_covered(&store->ids);
    return ledger_replay(store->ledger, replay.covered, replay_frame, &replay, diag);
}

static enum err
init_waiting(struct embedded *store)
{
    pthread_condattr_t attributes;

    if (pthread_condattr_init(&attributes) != 0)
        return ERR_NOMEM;
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&store->wait_cond, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&store->wait_lock, NULL);
    pthread_mutex_init(&store->commit_lock, NULL);
    return ERR_OK;
}

static enum err
check_config(const struct embedded_config *config, struct diag *diag)
{
    if (config->segment_bytes < LEDGER_SEGMENT_BYTES_MIN || config->segment_bytes > UINT64_C(4)
                                                                                        << 30) {
        diag_set_field(diag, "segment_bytes", "segment_bytes: from 1 MiB to 4 GiB");
        return ERR_INVALID;
    }
    if (config->young_ids_max < UINT32_C(1) << 10 || config->young_ids_max > UINT32_C(1) << 26 ||
        config->young_ids_seal == 0 || config->young_ids_seal > config->young_ids_max) {
        diag_set_field(diag, "young_ids_max",
                       "young_ids_max: from 2^10 to 2^26, and young_ids_seal not above it");
        return ERR_INVALID;
    }
    return ERR_OK;
}

enum err
embedded_open(const struct embedded_config *config, struct store **ret_store, struct diag *diag)
{
    CLEANUP(embedded_free) struct embedded *store = NULL;
    char ledger_dir[FILE_PATH_MAX];
    char ids_dir[FILE_PATH_MAX];
    uint8_t secret[SECRET_BYTES];
    struct ledger_config ledger = {.dir = ledger_dir};
    enum err err = check_config(config, diag);

    if (err != ERR_OK)
        return err;
    if (!file_path(ledger_dir, config->data_dir, "ledger") ||
        !file_path(ids_dir, config->data_dir, "ids")) {
        diag_set(diag, "%s: the path of the folder is too long", config->data_dir);
        return ERR_INVALID;
    }
    store = MEM_NEW(struct embedded, 1);
    if (store == NULL)
        return ERR_NOMEM;
    store->base.vtable = &embedded_vtable;
    store->freed.fd = -1;
    store->config = *config;
    if (store->config.sink == NULL)
        store->config.sink = log_sink_default();
    atomic_store(&store->space_checked_ns, clock_steady_ns(config->clock) - SPACE_CHECK_NS);
    err = init_waiting(store);
    if (err != ERR_OK)
        return err;
    store->data_dir = mem_strdup(config->data_dir);
    if (store->data_dir == NULL)
        return ERR_NOMEM;
    store->config.data_dir = store->data_dir;
    ledger.segment_bytes = config->segment_bytes;
    ledger.clock = config->clock;
    ledger.sink = store->config.sink;
    err = open_secret(store->data_dir, ledger_dir, secret, diag);
    if (err == ERR_OK)
        err = file_make_dir(ledger_dir, diag);
    if (err == ERR_OK)
        err =
            file_sync_dir(store->data_dir, diag); /* or a power cut could take the ledger's name */
    if (err == ERR_OK)
        err = ledger_open(&ledger, &store->ledger, diag);
    if (err == ERR_OK) {
        memcpy(&store->generation, store->ledger->id, sizeof(store->generation));
        err = open_index(store, secret, ids_dir, diag);
    }
    sodium_memzero(secret, sizeof(secret));
    if (err != ERR_OK)
        return err;
    embedded_show_bytes(store);
    *ret_store = &MOVE(store)->base;
    return ERR_OK;
}
