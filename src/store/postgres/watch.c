/*
 * watch - what the reader looks at by the way: who holds reading back, and how much is stored.
 *
 * Layer 3 (store/postgres), the reader's thread and connection. Any transaction in the cluster that
 * has an xid and does not end (in another database, too; a prepared one that was forgotten) holds
 * xmin back, and with it all events committed since. Nothing is lost, but stats stand still: a
 * metric tells for how long, a warning names the pid, and the log has one line.
 */
#include "base/counter.h"
#include "postgres_sql.h"
#include "store/postgres/store_postgres.h"
#include <inttypes.h>

#define HELD_SHORT_NS NS_PER_S       /* under that nobody is asked anything */
#define HELD_WARN_NS (10 * NS_PER_S) /* from there on it is worth a word */
#define HELD_LOOK_NS (5 * NS_PER_S)  /* how often its holder is looked for */
#define MEASURE_NS (30 * NS_PER_S)

GAUGE_DEFINE(xmin_age_seconds, "potik_store_xmin_age_seconds",
             "for how long the oldest writing transaction has held back what can be read");

/* "pid 4711 (role app, program psql)", or a transaction that was prepared. */
static void
name_holder(struct postgres *store, uint64_t xid, char *ret_name, size_t size)
{
    char bytes[8];
    const struct postgres_parameter parameters[] = {{POSTGRES_OID_XID8, bytes, sizeof(bytes)}};
    CLEANUP(postgres_clear) PGresult *result = NULL;
    uint32_t pid = 0;

    snprintf(ret_name, size, "transaction %" PRIu64, xid);
    postgres_put_u64(bytes, xid);
    if (postgres_query(store->reader.conn, sql_holder, parameters, COUNT_OF(parameters),
                       store->config.statement_timeout_ms, &result, NULL) != ERR_OK ||
        PQntuples(result) != 1)
        return; /* not to be seen, or over just now */
    pid = postgres_get_u32(PQgetvalue(result, 0, 0));
    if (pid != 0)
        snprintf(ret_name, size, "pid %" PRIu32 " (role %.60s, program \"%.60s\")", pid,
                 PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2));
    else
        snprintf(ret_name, size, "the prepared transaction '%.60s' (role %.60s)",
                 PQgetvalue(result, 0, 2), PQgetvalue(result, 0, 1));
}

static void
warn(struct postgres *store, uint64_t xid, int64_t held_s)
{
    char holder[256];
    char warning[POSTGRES_SENTENCE_MAX];

    name_holder(store, xid, holder, sizeof(holder));
    snprintf(warning, sizeof(warning),
             "a transaction open for %" PRId64
             " s holds the loading of events back: %s; end it, or "
             "SELECT pg_terminate_backend(pid)",
             held_s, holder);
    postgres_set_warning(store, warning);
    if (!store->reader.is_held_told)
        SINK(store->config.sink, LOG_LEVEL_WARN, "store.held_back", LOG_TEXT("by", holder),
             LOG_I64("held_s", held_s), LOG_TEXT("next", "stats stand still until it ends"));
    store->reader.is_held_told = true;
}

static void
let_go(struct postgres *store, int64_t now_ns, uint64_t xid)
{
    struct postgres_reader *reader = &store->reader;

    if (reader->is_held_told) {
        postgres_set_warning(store, "");
        SINK(store->config.sink, LOG_LEVEL_INFO, "store.held_back", LOG_TEXT("by", "nobody"),
             LOG_I64("held_s", (now_ns - reader->held_since_ns) / NS_PER_S));
    }
    reader->is_held_told = false;
    reader->held_xid = xid;
    reader->held_since_ns = now_ns;
}

/* received_at of the oldest event that is committed and cannot be read yet; 0: none. */
static int64_t
oldest_held_us(struct postgres *store, uint64_t xid)
{
    char bytes[8];
    const struct postgres_parameter parameters[] = {{POSTGRES_OID_XID8, bytes, sizeof(bytes)}};
    CLEANUP(postgres_clear) PGresult *result = NULL;

    postgres_put_u64(bytes, xid);
    if (postgres_query(store->reader.conn, sql_oldest_held, parameters, COUNT_OF(parameters),
                       store->config.statement_timeout_ms, &result, NULL) != ERR_OK ||
        PQntuples(result) != 1)
        return 0;
    return (int64_t)postgres_get_u64(PQgetvalue(result, 0, 0)) + POSTGRES_EPOCH_US;
}

int64_t
postgres_watch(struct postgres *store, uint64_t oldest_xid, uint64_t next_xid)
{
    struct postgres_reader *reader = &store->reader;
    const int64_t now_ns = clock_steady_ns(store->config.clock);
    int64_t held_ns = 0;

    if (oldest_xid == next_xid || oldest_xid != reader->held_xid)
        let_go(store, now_ns, oldest_xid == next_xid ? 0 : oldest_xid);
    if (reader->held_xid != 0)
        held_ns = now_ns - reader->held_since_ns;
    gauge_set(&xmin_age_seconds, (double)held_ns / (double)NS_PER_S);
    if (held_ns < HELD_SHORT_NS)
        return 0;
    if (held_ns >= HELD_WARN_NS && now_ns - reader->held_looked_ns >= HELD_LOOK_NS) {
        reader->held_looked_ns = now_ns;
        warn(store, oldest_xid, held_ns / NS_PER_S);
    }
    return oldest_held_us(store, oldest_xid);
}

void
postgres_measure(struct postgres *store)
{
    const int64_t now_ns = clock_steady_ns(store->config.clock);
    CLEANUP(postgres_clear) PGresult *result = NULL;

    if (store->reader.sized_ns != 0 && now_ns - store->reader.sized_ns < MEASURE_NS)
        return;
    store->reader.sized_ns = now_ns;
    if (postgres_query(store->reader.conn, sql_size, NULL, 0, store->config.statement_timeout_ms,
                       &result, NULL) != ERR_OK ||
        PQntuples(result) != 1)
        return; /* a number for people; the next page finds out what is wrong */
    atomic_store(&store->bytes, postgres_get_u64(PQgetvalue(result, 0, 0)));
    atomic_store(&store->events, postgres_get_u64(PQgetvalue(result, 0, 1)));
}
