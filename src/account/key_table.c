/*
 * key_table - a counted, immutable snapshot of the keys in force, and the thread that renews it.
 * See key_table.h.
 *
 * Slots hold 1 + the index of a key; a free slot is 0. The table is at most half full, the hashes
 * are SHA-256, so a search looks at one or two slots. Keys are secrets of 160 random bits: what the
 * time of a search tells about the first bytes of a hash is worth nothing without the text that
 * makes it; the whole hash is compared in constant time all the same.
 */
#include "account/key_table.h"

#include "base/mem.h"
#include "base/thread.h"
#include "codec/hash.h"
#include <assert.h>
#include <sodium.h>
#include <stdatomic.h>
#include <time.h>

#define WATCH_MS 250
#define NS_PER_MS INT64_C(1000000)

struct known_key {
    uint8_t hash[ACCOUNT_HASH_BYTES];
    struct key_found found;
};

struct key_snapshot {
    _Atomic uint32_t holders;
    uint64_t generation; /* 1, 2 … */
    struct known_key *keys;
    uint32_t *slots;
    size_t slot_mask;
    struct account_project *projects; /* by id */
    size_t project_count;
};

struct key_table {
    struct account *account; /* under look_lock */
    struct key_table_config config;
    pthread_mutex_t look_lock; /* one look at the rows at a time; held while reading them */
    bool is_stale;             /* under look_lock: a change was seen and not read yet */
    bool is_expired_told;      /* under look_lock */
    _Atomic bool is_failing;   /* written under look_lock: the sink has heard of it */
    _Atomic int64_t good_ns;   /* steady: when the rows were last known to be as they were read */

    pthread_mutex_t lock; /* short: the newest snapshot, is_stopping */
    pthread_cond_t has_stopped;
    bool is_stopping;
    struct key_snapshot *newest;
    _Atomic uint64_t generation; /* of the newest */
    struct thread *watcher;
};

static void
snapshot_free(struct key_snapshot **snapshot)
{
    struct key_snapshot *s = *snapshot;

    if (s == NULL)
        return;
    mem_free(s->keys);
    mem_free(s->slots);
    mem_free(s->projects);
    mem_free(s);
    *snapshot = NULL;
}

static size_t
slot_of(const struct key_snapshot *snapshot, const uint8_t hash[ACCOUNT_HASH_BYTES])
{
    uint64_t first;

    memcpy(&first, hash, sizeof(first));
    return (size_t)first & snapshot->slot_mask;
}

static void
enter(struct key_snapshot *snapshot, size_t index, const struct account_key *key)
{
    size_t slot = slot_of(snapshot, key->hash);

    memcpy(snapshot->keys[index].hash, key->hash, ACCOUNT_HASH_BYTES);
    snapshot->keys[index].found = (struct key_found){key->id, key->project_id, key->kind};
    while (snapshot->slots[slot] != 0)
        slot = (slot + 1) & snapshot->slot_mask;
    snapshot->slots[slot] = (uint32_t)index + 1;
}

/* Takes the list's projects. */
static enum err
snapshot_new(struct account_list *list, uint64_t generation, struct key_snapshot **ret_snapshot)
{
    CLEANUP(snapshot_free) struct key_snapshot *snapshot = MEM_NEW(struct key_snapshot, 1);
    size_t slots = 16, count = 0;

    if (snapshot == NULL)
        return ERR_NOMEM;
    while (slots < list->key_count * 2)
        slots *= 2;
    snapshot->keys = MEM_NEW(struct known_key, list->key_count);
    snapshot->slots = MEM_NEW(uint32_t, slots);
    if (snapshot->keys == NULL || snapshot->slots == NULL)
        return ERR_NOMEM;
    snapshot->slot_mask = slots - 1;
    atomic_init(&snapshot->holders, 1);
    snapshot->generation = generation;
    for (size_t i = 0; i < list->key_count; i++) {
        if (list->keys[i].revoked_at_us == 0)
            enter(snapshot, count++, &list->keys[i]);
    }
    snapshot->projects = MOVE(list->projects);
    snapshot->project_count = list->project_count;
    list->project_count = 0;
    *ret_snapshot = MOVE(snapshot);
    return ERR_OK;
}

static enum err
read_rows(struct key_table *table, struct diag *diag)
{
    CLEANUP(account_list_free) struct account_list list = {NULL, 0, NULL, 0};
    struct key_snapshot *snapshot = NULL, *before;
    enum err err = account_list(table->account, &list, diag);

    if (err == ERR_OK)
        err = snapshot_new(&list, atomic_load(&table->generation) + 1, &snapshot);
    if (err != ERR_OK)
        return err;
    pthread_mutex_lock(&table->lock);
    before = table->newest;
    table->newest = snapshot;
    atomic_store_explicit(&table->generation, snapshot->generation, memory_order_release);
    pthread_mutex_unlock(&table->lock);
    key_snapshot_release(&before);
    return ERR_OK;
}

bool
key_table_is_usable(const struct key_table *table)
{
    int64_t max_ms = table->config.cache_ms_max;

    if (max_ms == 0 || !atomic_load_explicit(&table->is_failing, memory_order_relaxed))
        return true;
    return clock_steady_ns(table->config.clock) -
               atomic_load_explicit(&table->good_ns, memory_order_relaxed) <=
           max_ms * NS_PER_MS;
}

/* Under look_lock: what a look ended with. Each change is told once. */
static void
note(struct key_table *table, enum err err, const struct diag *diag)
{
    bool was_failing = atomic_load(&table->is_failing);

    if (err == ERR_OK) {
        atomic_store(&table->good_ns, clock_steady_ns(table->config.clock));
        atomic_store(&table->is_failing, false);
        table->is_expired_told = false;
        if (was_failing)
            SINK(table->config.sink, LOG_LEVEL_INFO, "account.readable");
        return;
    }
    atomic_store(&table->is_failing, true);
    if (!was_failing)
        SINK(table->config.sink, LOG_LEVEL_ERROR, "account.unreadable",
             LOG_TEXT("reason", diag->message),
             LOG_TEXT("next", "keys stay as they were; looked at again soon"));
    if (!table->is_expired_told && !key_table_is_usable(table)) {
        table->is_expired_told = true;
        SINK(table->config.sink, LOG_LEVEL_ERROR, "account.expired",
             LOG_TEXT("reason", "keys were last read longer ago than --auth-cache-max"),
             LOG_TEXT("next", "every key is answered 503 until they can be read again"));
    }
}

enum err
key_table_refresh(struct key_table *table, struct diag *diag)
{
    struct diag own = DIAG_INIT;
    bool has_changed = false;
    enum err err;

    pthread_mutex_lock(&table->look_lock);
    err = account_has_changed(table->account, &has_changed, &own);
    table->is_stale = table->is_stale || has_changed;
    if (err == ERR_OK && table->is_stale) {
        err = read_rows(table, &own);
        table->is_stale = err != ERR_OK;
    }
    note(table, err, &own);
    pthread_mutex_unlock(&table->look_lock);
    if (err != ERR_OK && diag != NULL)
        *diag = own;
    return err;
}

/* Until WATCH_MS from now, or the stop: true. */
static bool
wait_a_while(struct key_table *table)
{
    struct timespec until;
    bool is_stopping;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WATCH_MS * 1000000L;
    until.tv_sec += until.tv_nsec / NS_PER_S;
    until.tv_nsec %= NS_PER_S;
    pthread_mutex_lock(&table->lock);
    while (!table->is_stopping &&
           pthread_cond_timedwait(&table->has_stopped, &table->lock, &until) == 0)
        continue;
    is_stopping = table->is_stopping;
    pthread_mutex_unlock(&table->lock);
    return is_stopping;
}

static void
watch(void *arg)
{
    struct key_table *table = (struct key_table *)arg;

    while (!wait_a_while(table)) {
        enum err err = key_table_refresh(table, NULL);

        (void)err; /* the sink has heard of it; the next round tries again */
    }
}

static struct key_table *
table_new(struct account **account, const struct key_table_config *config)
{
    struct key_table *table = MEM_NEW(struct key_table, 1);
    pthread_condattr_t attributes;

    if (table == NULL)
        return NULL;
    table->account = MOVE(*account);
    table->config = *config;
    atomic_init(&table->good_ns, clock_steady_ns(config->clock));
    (void)pthread_mutex_init(&table->look_lock, NULL);
    (void)pthread_mutex_init(&table->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&table->has_stopped, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return table;
}

enum err
key_table_start(struct account **account, const struct key_table_config *config,
                struct key_table **ret_table, struct diag *diag)
{
    CLEANUP(key_table_stop) struct key_table *table = table_new(account, config);
    enum err err;

    if (table == NULL) {
        account_close(account);
        diag_set(diag, "key table: out of memory");
        return ERR_NOMEM;
    }
    err = read_rows(table, diag);
    if (err == ERR_OK)
        err = thread_start("keys", THREAD_NORMAL, watch, table, &table->watcher, diag);
    if (err != ERR_OK)
        return err;
    *ret_table = MOVE(table);
    return ERR_OK;
}

void
key_table_stop(struct key_table **table)
{
    struct key_table *t = *table;

    if (t == NULL)
        return;
    pthread_mutex_lock(&t->lock);
    t->is_stopping = true;
    pthread_cond_signal(&t->has_stopped);
    pthread_mutex_unlock(&t->lock);
    thread_join(&t->watcher);
    key_snapshot_release(&t->newest);
    account_close(&t->account);
    (void)pthread_cond_destroy(&t->has_stopped);
    (void)pthread_mutex_destroy(&t->lock);
    (void)pthread_mutex_destroy(&t->look_lock);
    mem_free(t);
    *table = NULL;
}

struct key_snapshot *
key_table_get(struct key_table *table)
{
    struct key_snapshot *snapshot;

    pthread_mutex_lock(&table->lock);
    snapshot = table->newest;
    atomic_fetch_add_explicit(&snapshot->holders, 1, memory_order_relaxed);
    pthread_mutex_unlock(&table->lock);
    return snapshot;
}

void
key_table_renew(struct key_table *table, struct key_snapshot **held)
{
    uint64_t newest = atomic_load_explicit(&table->generation, memory_order_acquire);

    if (*held != NULL && (*held)->generation == newest)
        return;
    key_snapshot_release(held);
    *held = key_table_get(table);
}

void
key_snapshot_release(struct key_snapshot **snapshot)
{
    struct key_snapshot *s = *snapshot;

    if (s == NULL)
        return;
    *snapshot = NULL;
    if (atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel) == 1)
        snapshot_free(&s);
}

bool
key_snapshot_find(const struct key_snapshot *snapshot, struct slice text,
                  struct key_found *ret_found)
{
    uint8_t hash[ACCOUNT_HASH_BYTES];
    enum account_key_kind kind;

    if (!account_key_is_wellformed(text, &kind))
        return false;
    hash_sha256(text, hash);
    for (size_t slot = slot_of(snapshot, hash); snapshot->slots[slot] != 0;
         slot = (slot + 1) & snapshot->slot_mask) {
        const struct known_key *known = &snapshot->keys[snapshot->slots[slot] - 1];

        if (sodium_memcmp(known->hash, hash, sizeof(hash)) == 0) {
            *ret_found = known->found;
            return true;
        }
    }
    return false;
}

const struct account_project *
key_snapshot_project(const struct key_snapshot *snapshot, uint32_t project_id)
{
    size_t low = 0, high = snapshot->project_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (snapshot->projects[middle].id < project_id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == snapshot->project_count || snapshot->projects[low].id != project_id)
        return NULL;
    return &snapshot->projects[low];
}

const struct account_project *
key_snapshot_projects(const struct key_snapshot *snapshot, size_t *ret_count)
{
    *ret_count = snapshot->project_count;
    return snapshot->projects;
}
