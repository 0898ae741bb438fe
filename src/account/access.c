/*
 * access - the newest snapshot of who may do what, and the thread that renews it. See access.h.
 *
 * A look: have the rows changed (another link committed)? Is the ring in the file of token keys
 * another one than ours? Then all is read and a snapshot made. Looks are one at a time, under
 * look_lock, by the watcher or by who has changed something; publishing is a few instructions under
 * `lock`.
 */
#include "account/access.h"

#include "account/access_inside.h"
#include "account/access_plans.h"
#include "base/mem.h"
#include "base/thread.h"
#include <assert.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define WATCH_MS 250
#define RING_EVERY 4      /* looks: the file of token keys is read once a second */
#define USES_EVERY 240    /* looks: uses of keys are written down once a minute */
#define SWEEP_EVERY 14400 /* looks: an hour */
#define USES_MAX 1000     /* written at once */
#define NS_PER_MS INT64_C(1000000)
#define US_PER_S INT64_C(1000000)
#define SESSION_KEPT_US                                                                            \
    (7 * US_PER_DAY) /* ended sessions, so that reuse is told apart from rubbish */

struct access_table {
    struct access_source source; /* under look_lock */
    struct access_config config;
    pthread_mutex_t look_lock; /* one look at the rows at a time; held while reading them */
    bool is_stale;             /* under look_lock: a change was seen and not read yet */
    bool is_expired_told;      /* under look_lock */
    bool is_ring_failing;      /* under look_lock: the sink has heard of it */
    struct key_ring *ring;     /* under look_lock; NULL: none is used */
    _Atomic bool is_failing;   /* written under look_lock: the sink has heard of it */
    _Atomic int64_t good_ns;   /* steady: when the rows were last known to be as they were read */

    pthread_mutex_t lock; /* short: the newest snapshot, is_stopping */
    pthread_cond_t has_stopped;
    bool is_stopping;
    struct access_snapshot *newest;
    _Atomic uint64_t generation; /* of the newest */
    struct thread *watcher;
};

/* --- the link of account.h as a source --------------------------------------------------------*/

struct link {
    struct account *account;
    const struct log_sink *sink;
    struct access_plans plans; /* of the last look */
};

static enum err
link_read_plans(struct link *link, struct access_plans *ret_plans, struct diag *diag)
{
    struct access_plans plans = {0};
    enum err err = access_plans_read(link->account, link->sink, &link->plans, &plans, diag);

    if (err != ERR_OK)
        return err;
    access_plans_free(&link->plans);
    link->plans = plans;
    return access_plans_copy(&link->plans, ret_plans);
}

static enum err
link_read(void *state, int64_t revoked_since_us, struct access_rows *ret_rows, struct diag *diag)
{
    CLEANUP(access_rows_free) struct access_rows rows = {0};
    struct link *link = state;
    /* Several looks, each as of one moment: a change between them is seen by the next has_changed.
     */
    enum err err = account_list(link->account, &rows.keys, diag);

    if (err == ERR_OK)
        err = login_list(link->account, &rows.logins, diag);
    if (err == ERR_OK)
        err = session_list_revoked(link->account, revoked_since_us, ACCESS_REVOKED_MAX,
                                   &rows.revoked, &rows.revoked_count, diag);
    if (err == ERR_OK)
        err = link_read_plans(link, &rows.plans, diag);
    if (err != ERR_OK)
        return err;
    *ret_rows = rows;
    memset(&rows, 0, sizeof(rows)); /* they are the caller's */
    return ERR_OK;
}

static enum err
link_has_changed(void *state, bool *ret_has_changed, struct diag *diag)
{
    return account_has_changed(((struct link *)state)->account, ret_has_changed, diag);
}

static enum err
link_keys_used(void *state, const struct account_key_use *uses, size_t count, struct diag *diag)
{
    return account_keys_used(((struct link *)state)->account, uses, count, diag);
}

static enum err
link_sweep(void *state, struct diag *diag)
{
    return session_sweep(((struct link *)state)->account, SESSION_KEPT_US, diag);
}

static void
link_close(void *state)
{
    struct link *link = state;

    account_close(&link->account);
    access_plans_free(&link->plans);
    mem_free(link);
}

/* --- looking ----------------------------------------------------------------------------------*/

static int64_t
revoked_since_us(const struct access_table *table)
{
    int64_t life_s =
        table->config.token_life_s != 0 ? table->config.token_life_s : TOKEN_LIFE_S_MAX;

    return clock_wall_us(table->config.clock) - (life_s + TOKEN_LEEWAY_S) * US_PER_S;
}

static enum err
read_rows(struct access_table *table, struct diag *diag)
{
    CLEANUP(access_rows_free) struct access_rows rows = {0};
    struct access_snapshot *snapshot = NULL, *before;
    enum err err = table->source.read(table->source.state, revoked_since_us(table), &rows, diag);

    if (err == ERR_OK)
        err = access_snapshot_new(&rows, table->ring, atomic_load(&table->generation) + 1,
                                  table->newest, &snapshot);
    if (err != ERR_OK)
        return err;
    pthread_mutex_lock(&table->lock);
    before = table->newest;
    table->newest = snapshot;
    atomic_store_explicit(&table->generation, access_generation(snapshot), memory_order_release);
    pthread_mutex_unlock(&table->lock);
    access_release(&before);
    return ERR_OK;
}

/* Under look_lock: another process may have turned the ring. What cannot be read stays as it was.
 */
static void
look_at_ring(struct access_table *table)
{
    struct key_ring_config config = table->config.ring;
    struct key_ring *ring = NULL;
    struct diag diag = DIAG_INIT;
    enum err err;

    config.may_create = false;
    err = key_ring_open(&config, clock_wall_us(table->config.clock) / US_PER_S, &ring, &diag);
    if (err != ERR_OK) {
        if (!table->is_ring_failing)
            SINK(table->config.sink, LOG_LEVEL_ERROR, "account.token_keys",
                 LOG_TEXT("reason", diag.message),
                 LOG_TEXT("next", "tokens stay as they were; looked at again soon"));
        table->is_ring_failing = true;
        return;
    }
    table->is_ring_failing = false;
    if (sodium_memcmp(ring, table->ring, sizeof(*ring)) != 0) {
        struct key_ring *old = table->ring;

        table->ring = ring;
        ring = old;
        table->is_stale = true;
    }
    key_ring_close(&ring);
}

bool
access_is_usable(const struct access_table *table)
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
note(struct access_table *table, enum err err, const struct diag *diag)
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
             LOG_TEXT("next", "keys and accounts stay as they were; looked at again soon"));
    if (!table->is_expired_told && !access_is_usable(table)) {
        table->is_expired_told = true;
        SINK(table->config.sink, LOG_LEVEL_ERROR, "account.expired",
             LOG_TEXT("reason", "keys were last read longer ago than --auth-cache-max"),
             LOG_TEXT("next", "every key is answered 503 until they can be read again"));
    }
}

/* Under look_lock. What cannot be written now is written a minute later. */
static void
write_uses(struct access_table *table)
{
    struct account_key_use uses[USES_MAX];
    size_t count;

    do {
        count = access_take_uses(table->newest, uses, USES_MAX);
        if (count != 0 &&
            table->source.keys_used(table->source.state, uses, count, NULL) != ERR_OK) {
            access_give_back_uses(table->newest, uses, count);
            return;
        }
    } while (count == USES_MAX);
}

/* Under look_lock. */
static enum err
look(struct access_table *table, bool with_ring, struct diag *diag)
{
    bool has_changed = false;
    enum err err = table->source.has_changed(table->source.state, &has_changed, diag);

    table->is_stale = table->is_stale || has_changed;
    if (with_ring && table->ring != NULL)
        look_at_ring(table);
    if (err == ERR_OK && table->is_stale) {
        if (table->newest != NULL)
            write_uses(table); /* of a key that is revoked now, these are the last */
        err = read_rows(table, diag);
        table->is_stale = err != ERR_OK;
    }
    note(table, err, diag);
    return err;
}

enum err
access_refresh(struct access_table *table, struct diag *diag)
{
    struct diag own = DIAG_INIT;
    enum err err;

    pthread_mutex_lock(&table->look_lock);
    table->is_stale = true; /* the caller knows of a change; word of it may be on its way still */
    err = look(table, true, &own);
    pthread_mutex_unlock(&table->look_lock);
    if (err != ERR_OK && diag != NULL)
        *diag = own;
    return err;
}

/* --- the watcher ------------------------------------------------------------------------------*/

/* Until WATCH_MS from now, or the stop: true. */
static bool
wait_a_while(struct access_table *table)
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
    struct access_table *table = arg;

    for (uint64_t round = 1; !wait_a_while(table); round++) {
        struct diag diag = DIAG_INIT;
        enum err err;

        pthread_mutex_lock(&table->look_lock);
        /* What fails, the sink has heard of; the next round tries again. */
        err = look(table, round % RING_EVERY == 0, &diag);
        if (err == ERR_OK && round % USES_EVERY == 0)
            write_uses(table);
        if (err == ERR_OK && round % SWEEP_EVERY == 0)
            err = table->source.sweep(table->source.state, &diag);
        (void)err;
        pthread_mutex_unlock(&table->look_lock);
    }
}

/* --- start and stop ---------------------------------------------------------------------------*/

static struct access_table *
table_new(const struct access_source *source, const struct access_config *config)
{
    struct access_table *table = MEM_NEW(struct access_table, 1);
    pthread_condattr_t attributes;

    if (table == NULL)
        return NULL;
    table->source = *source;
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
access_start_over(const struct access_source *source, const struct access_config *config,
                  struct access_table **ret_table, struct diag *diag)
{
    CLEANUP(access_stop) struct access_table *table = table_new(source, config);
    enum err err = ERR_OK;

    if (table == NULL) {
        source->close(source->state);
        diag_set(diag, "access table: out of memory");
        return ERR_NOMEM;
    }
    if (config->ring.dir != NULL)
        err = key_ring_open(&config->ring, clock_wall_us(config->clock) / US_PER_S, &table->ring,
                            diag);
    if (err == ERR_OK)
        err = read_rows(table, diag);
    if (err == ERR_OK)
        err = thread_start("access", THREAD_NORMAL, watch, table, &table->watcher, diag);
    if (err != ERR_OK)
        return err;
    *ret_table = MOVE(table);
    return ERR_OK;
}

enum err
access_start(struct account **account, const struct access_config *config,
             struct access_table **ret_table, struct diag *diag)
{
    struct link *link = MEM_NEW(struct link, 1);
    const struct access_source source = {
        .read = link_read,
        .has_changed = link_has_changed,
        .keys_used = link_keys_used,
        .sweep = link_sweep,
        .close = link_close,
        .state = link,
    };

    if (link == NULL) {
        account_close(account);
        diag_set(diag, "access table: out of memory");
        return ERR_NOMEM;
    }
    link->account = MOVE(*account);
    link->sink = config->sink;
    return access_start_over(&source, config, ret_table, diag);
}

void
access_stop(struct access_table **table)
{
    struct access_table *t = *table;

    if (t == NULL)
        return;
    pthread_mutex_lock(&t->lock);
    t->is_stopping = true;
    pthread_cond_signal(&t->has_stopped);
    pthread_mutex_unlock(&t->lock);
    thread_join(&t->watcher);
    if (t->newest != NULL && !atomic_load(&t->is_failing))
        write_uses(t);
    access_release(&t->newest);
    t->source.close(t->source.state);
    key_ring_close(&t->ring);
    (void)pthread_cond_destroy(&t->has_stopped);
    (void)pthread_mutex_destroy(&t->lock);
    (void)pthread_mutex_destroy(&t->look_lock);
    mem_free(t);
    *table = NULL;
}

struct access_snapshot *
access_get(struct access_table *table)
{
    struct access_snapshot *snapshot;

    pthread_mutex_lock(&table->lock);
    snapshot = access_hold(table->newest);
    pthread_mutex_unlock(&table->lock);
    return snapshot;
}

void
access_renew(struct access_table *table, struct access_snapshot **held)
{
    uint64_t newest = atomic_load_explicit(&table->generation, memory_order_acquire);

    if (*held != NULL && access_generation(*held) == newest)
        return;
    access_release(held);
    *held = access_get(table);
}
