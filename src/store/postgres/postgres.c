/*
 * postgres - the store on PostgreSQL: opened and closed, who is away, how far things are committed.
 *
 * Layer 3 (store/postgres). Open and close come from the main thread, before and after all others;
 * what links tell comes from their loops; the rest as store_postgres.h says. See postgres.h.
 */
#include "base/counter.h"
#include "base/random.h"
#include "base/resolver.h"
#include "codec/hash.h"
#include "postgres_sql.h"
#include "store/postgres/store_postgres.h"
#include <sodium.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LINKS_PER_LOOP 2
#define LOCK_TIMEOUT_MS_MAX 5000
#define BATCH_TOLD_EVERY_NS (10 * NS_PER_S)
/* A full disk is believed so long after it was last met: the next batch asks again. */
#define FULL_BELIEVED_NS (10 * NS_PER_S)

GAUGE_DEFINE(connections_gauge, "potik_store_connections", "connections to PostgreSQL");
COUNTER_DEFINE(reconnects_total, "potik_store_reconnects_total",
               "connections to PostgreSQL that had to be made again, or tried to be");
static atomic_int connections;

/* --- what is known to be committed ----------------------------------------------------------- */

struct store_position
postgres_committed(struct postgres *store)
{
    struct store_position committed;

    pthread_mutex_lock(&store->notice.lock);
    committed = store->notice.committed;
    pthread_mutex_unlock(&store->notice.lock);
    return committed;
}

void
postgres_forget_committed(struct postgres *store)
{
    pthread_mutex_lock(&store->notice.lock);
    store->notice.committed = (struct store_position){0};
    pthread_mutex_unlock(&store->notice.lock);
}

void
postgres_limit_committed(struct postgres *store, struct store_position seen,
                         struct store_position limit)
{
    pthread_mutex_lock(&store->notice.lock);
    if (seen.generation == limit.generation && !store_position_at_or_before(seen, limit) &&
        store_position_at_or_before(store->notice.committed, seen))
        store->notice.committed = limit;
    pthread_mutex_unlock(&store->notice.lock);
}

void
postgres_wake_reader(struct postgres *store)
{
    const uint64_t one = 1;

    if (atomic_exchange(&store->notice.is_waiting, false))
        (void)!write(store->notice.wake_fd, &one, sizeof(one));
}

void
postgres_note_committed(struct postgres *store, struct store_position position)
{
    bool is_news = false;

    pthread_mutex_lock(&store->notice.lock);
    is_news = !store_position_at_or_before(position, store->notice.committed);
    if (is_news)
        store->notice.committed = position;
    pthread_mutex_unlock(&store->notice.lock);
    if (is_news)
        postgres_wake_reader(store);
}

/* --- who is away ----------------------------------------------------------------------------- */

void
postgres_connections_add(int delta)
{
    gauge_set(&connections_gauge, (double)(atomic_fetch_add(&connections, delta) + delta));
}

void
postgres_reconnects_add(void)
{
    counter_add(&reconnects_total, 1);
}

/* Under health.lock. Without links the reader alone decides (a rebuild, a start). */
static bool
is_away(const struct postgres_health *health)
{
    return health->links > 0 ? health->links_away == health->links : health->is_reader_away;
}

/* Under health.lock, after a change: the first to go logs, and the last to be back. */
static void
tell_change(struct postgres *store, bool has_gone)
{
    struct postgres_health *health = &store->health;

    if (health->is_quiet)
        return;
    if (has_gone && !health->is_told) {
        SINK(store->config.sink, LOG_LEVEL_ERROR, "store.away", LOG_TEXT("why", health->sentence),
             LOG_TEXT("next", "connecting goes on; events are refused until it is back"));
        health->is_told = true;
    } else if (health->is_told && health->links_away == 0 && !health->is_reader_away) {
        SINK(store->config.sink, LOG_LEVEL_INFO, "store.back");
        health->is_told = false;
    }
}

static void
change_links(struct postgres *store, int links, int links_away, const char *sentence)
{
    struct postgres_health *health = &store->health;

    pthread_mutex_lock(&health->lock);
    if (sentence != NULL)
        snprintf(health->sentence, sizeof(health->sentence), "%s", sentence);
    health->links = (uint32_t)((int)health->links + links);
    health->links_away = (uint32_t)((int)health->links_away + links_away);
    tell_change(store, sentence != NULL);
    pthread_mutex_unlock(&health->lock);
}

void
postgres_note_link_opened(struct postgres *store)
{
    change_links(store, 1, 1, NULL); /* it has no connection yet: that is no news */
}

void
postgres_note_link_closed(struct postgres *store, bool was_away)
{
    change_links(store, -1, was_away ? -1 : 0, NULL);
}

void
postgres_note_away(struct postgres *store, const char *sentence)
{
    change_links(store, 0, 1, sentence);
}

void
postgres_note_back(struct postgres *store)
{
    change_links(store, 0, -1, NULL);
}

void
postgres_note_reader(struct postgres *store, bool is_reader_away, const char *sentence)
{
    struct postgres_health *health = &store->health;

    pthread_mutex_lock(&health->lock);
    if (sentence != NULL)
        snprintf(health->sentence, sizeof(health->sentence), "%s", sentence);
    health->is_reader_away = is_reader_away;
    tell_change(store, is_reader_away);
    pthread_mutex_unlock(&health->lock);
}

void
postgres_note_batch(struct postgres *store, enum err err, const char *sentence)
{
    struct postgres_health *health = &store->health;
    const int64_t now_ns = clock_steady_ns(store->config.clock);

    if (err == ERR_OK && !atomic_load(&store->is_batch_failing))
        return;
    pthread_mutex_lock(&health->lock);
    atomic_store(&store->is_batch_failing, err != ERR_OK);
    health->batch_err = err;
    if (err == ERR_OK && health->batch_err_told != ERR_OK) {
        health->batch_err_told = ERR_OK;
        SINK(store->config.sink, LOG_LEVEL_INFO, "store.batch_works");
    } else if (err != ERR_OK) {
        health->batch_failed_ns = now_ns;
        snprintf(health->batch_sentence, sizeof(health->batch_sentence), "%s", sentence);
        if (err != health->batch_err_told &&
            (health->batch_told_ns == 0 || now_ns - health->batch_told_ns >= BATCH_TOLD_EVERY_NS)) {
            health->batch_err_told = err;
            health->batch_told_ns = now_ns;
            SINK(store->config.sink, LOG_LEVEL_WARN, "store.batch_failed",
                 LOG_TEXT("code", err_code(err)), LOG_TEXT("why", sentence));
        }
    }
    pthread_mutex_unlock(&health->lock);
}

void
postgres_set_warning(struct postgres *store, const char *warning)
{
    pthread_mutex_lock(&store->health.lock);
    snprintf(store->health.warning, sizeof(store->health.warning), "%s", warning);
    pthread_mutex_unlock(&store->health.lock);
}

static enum err
postgres_is_ready(struct store *base, struct diag *diag)
{
    struct postgres *store = (struct postgres *)base;
    enum err err = ERR_OK;

    pthread_mutex_lock(&store->health.lock);
    if (is_away(&store->health)) {
        diag_set(diag, "%s",
                 store->health.sentence[0] != '\0' ? store->health.sentence
                                                   : "PostgreSQL is being connected to");
        err = ERR_NOT_READY;
    } else if (store->health.batch_err == ERR_STORAGE_FULL &&
               clock_steady_ns(store->config.clock) - store->health.batch_failed_ns <
                   FULL_BELIEVED_NS) {
        diag_set(diag, "%s", store->health.batch_sentence);
        err = ERR_STORAGE_FULL;
    }
    pthread_mutex_unlock(&store->health.lock);
    return err;
}

static bool
postgres_warning(struct store *base, struct diag *ret_words)
{
    struct postgres *store = (struct postgres *)base;
    const struct postgres_health *health = &store->health;
    bool is_any = true;

    pthread_mutex_lock(&store->health.lock);
    if (health->is_reader_away)
        diag_set(ret_words, "stats stand still, since the loader's connection is away: %.400s",
                 health->sentence);
    else if (health->warning[0] != '\0')
        diag_set(ret_words, "%s", health->warning);
    else
        is_any = false;
    pthread_mutex_unlock(&store->health.lock);
    return is_any;
}

int64_t
postgres_backoff(int64_t *backoff_ms)
{
    return random_backoff_ms(backoff_ms, POSTGRES_BACKOFF_MS_MIN, POSTGRES_BACKOFF_MS_MAX);
}

/* --- the check of a new connection ----------------------------------------------------------- */

static struct postgres_identity
identity_of(struct postgres *store)
{
    struct postgres_identity identity;

    pthread_mutex_lock(&store->identity_lock);
    identity = store->identity;
    pthread_mutex_unlock(&store->identity_lock);
    return identity;
}

uint32_t
postgres_generation(struct postgres *store)
{
    return identity_of(store).generation;
}

static uint64_t
postgres_unbroken_since(struct store *base)
{
    return identity_of((struct postgres *)base).unbroken_since;
}

int
postgres_check_send(struct postgres *store, PGconn *conn)
{
    const struct postgres_identity identity = identity_of(store);
    char numbers[4][8];
    const Oid types[] = {POSTGRES_OID_UUID, POSTGRES_OID_INT8, POSTGRES_OID_INT4, POSTGRES_OID_INT4,
                         POSTGRES_OID_INT8};
    const char *values[] = {store->node.uuid, numbers[0], numbers[1], numbers[2], numbers[3]};
    const int lens[] = {POSTGRES_NODE_TEXT - 1, 8, 4, 4, 8};
    const int formats[] = {0, 1, 1, 1, 1};

    postgres_put_u64(numbers[0], identity.system_identifier);
    postgres_put_u32(numbers[1], identity.timeline);
    postgres_put_u32(numbers[2], identity.generation);
    postgres_put_u64(numbers[3], identity.counter);
    return PQsendQueryParams(conn, sql_check, COUNT_OF(types), types, values, lens, formats, 1);
}

bool
postgres_check_passed(struct postgres *store, const PGresult *result, struct diag *diag)
{
    const uint64_t one = 1;

    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        (void)!postgres_explain(result, diag);
        return false;
    }
    if (PQntuples(result) == 1 && PQgetvalue(result, 0, 0)[0] != 0)
        return true;
    diag_set(diag, "the database is another one, or in an older state, than before: it is being "
                   "looked at");
    atomic_store(&store->is_check_wanted, true);
    (void)!write(store->notice.wake_fd, &one, sizeof(one)); /* also while it yields */
    return false;
}

/* --- numbers --------------------------------------------------------------------------------- */

static struct store_position
postgres_durable(struct store *base)
{
    return postgres_committed((struct postgres *)base);
}

static void
postgres_stats(struct store *base, struct store_stats *ret_stats)
{
    struct postgres *store = (struct postgres *)base;

    *ret_stats = (struct store_stats){
        .bytes = atomic_load(&store->bytes),
        .events = atomic_load(&store->events),
        .durable = postgres_committed(store),
    };
}

static enum err
postgres_maintain_slow(struct store *base, bool *ret_did_work, struct diag *diag)
{
    (void)base;
    (void)diag;
    *ret_did_work = false; /* PostgreSQL keeps its own house */
    return ERR_OK;
}

/* --- opening and closing --------------------------------------------------------------------- */

static void
postgres_free(struct postgres **store_ptr)
{
    struct postgres *store = *store_ptr;

    *store_ptr = NULL;
    if (store == NULL)
        return;
    resolver_stop(&store->resolver);
    postgres_reader_close(store);
    file_close(&store->notice.wake_fd);
    postgres_url_free(&store->url);
    pthread_mutex_destroy(&store->identity_lock);
    pthread_mutex_destroy(&store->notice.lock);
    pthread_mutex_destroy(&store->health.lock);
    sodium_memzero(store->hash_secret, sizeof(store->hash_secret));
    mem_free(store->data_dir);
    mem_free(store);
}

static void
postgres_close(struct store *base)
{
    struct postgres *store = (struct postgres *)base;

    postgres_free(&store);
}

static const char *
node_name(struct store *base)
{
    return ((const struct postgres *)base)->node.uuid;
}

/* No id of an event begins so: those have the length of the project's id first. */
static void
hash_person(struct store *base, uint32_t project_id, struct slice person,
            char ret_hash[STORE_PERSON_HASH_TEXT + 1])
{
    const struct postgres *store = (const struct postgres *)base;
    uint8_t input[1 + sizeof(project_id) + 256];
    uint8_t digest[HASH_SIPHASH_128_BYTES];
    size_t len = person.len < 256 ? person.len : 256;

    input[0] = 'p';
    memcpy(input + 1, &project_id, sizeof(project_id));
    memcpy(input + 1 + sizeof(project_id), person.ptr, len);
    hash_siphash_128(store->hash_secret,
                     slice_of((const char *)input, 1 + sizeof(project_id) + len), digest);
    hash_hex(digest, sizeof(digest), ret_hash);
    ret_hash[STORE_PERSON_HASH_TEXT] = '\0';
}

static const struct store_vtable postgres_vtable = {
    .not_ready_sentence = "the event store (PostgreSQL) is away: nothing is promised to be stored; "
                          "send the same again, with the same ids",
    .links_per_loop = LINKS_PER_LOOP,
    .close = postgres_close,
    .link_open = postgres_link_open,
    .link_close = postgres_link_close,
    .link_fd = postgres_link_fd,
    .link_events = postgres_link_events,
    .link_ready = postgres_link_ready,
    .link_is_ready = postgres_link_is_ready,
    .link_submit = postgres_link_submit,
    .read_after = postgres_read_after,
    .wait_after = postgres_wait_after,
    .wake = postgres_wake,
    .durable = postgres_durable,
    .unbroken_since = postgres_unbroken_since,
    .maintain_fast = postgres_maintain_fast,
    .maintain_slow = postgres_maintain_slow,
    .is_ready = postgres_is_ready,
    .warning = postgres_warning,
    .stats = postgres_stats,
    .node_name = node_name,
    .hash_person = hash_person,
    .erase_bound = postgres_erase_bound,
    .erase_open = postgres_erase_open,
    .erase_step = postgres_erase_step,
    .erase_close = postgres_erase_close,
};

enum err
postgres_open(const struct postgres_config *config, struct store **ret_store, struct diag *diag)
{
    CLEANUP(postgres_free) struct postgres *store = MEM_NEW(struct postgres, 1);
    enum err err = ERR_OK;

    if (store == NULL)
        return ERR_NOMEM;
    store->base.vtable = &postgres_vtable;
    store->config = *config;
    store->session = (struct postgres_session){
        .statement_timeout_ms = config->statement_timeout_ms,
        .lock_timeout_ms = config->statement_timeout_ms / 2 < LOCK_TIMEOUT_MS_MAX
                               ? config->statement_timeout_ms / 2
                               : LOCK_TIMEOUT_MS_MAX,
    };
    pthread_mutex_init(&store->identity_lock, NULL);
    pthread_mutex_init(&store->notice.lock, NULL);
    pthread_mutex_init(&store->health.lock, NULL);
    store->health.is_quiet = true;
    store->notice.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    store->data_dir = mem_strdup(config->data_dir);
    if (store->data_dir == NULL || store->notice.wake_fd < 0)
        return ERR_NOMEM;
    store->config.data_dir = store->data_dir;
    store->config.url = NULL; /* it may hold the password: parsed once, below */
    err = postgres_url_parse(config->url, config->connect_timeout_ms, &store->url, diag);
    if (err == ERR_OK)
        err = postgres_node_load(store, diag);
    if (err == ERR_OK)
        err = postgres_reader_connect(store, diag);
    if (err == ERR_OK)
        err = resolver_start(&store->resolver, diag);
    if (err != ERR_OK)
        return err;
    store->health.is_quiet = false;
    *ret_store = &store->base;
    store = NULL;
    return ERR_OK;
}
