/*
 * guard - is it still the database we knew, in a state no older than what we have read?
 *
 * Layer 3 (store/postgres), the reader's thread: at open and on each connection it makes.
 *
 * The order of reading is (generation, xid, seq). Within a generation xids only rise, as long as
 * one server lives on. They fall when a dump is restored into another cluster, when a replica is
 * promoted that lagged behind, when a cluster goes back to a point in time; and, by a few, when the
 * server crashes: xids without a flushed record (of what was undone, of a NOTIFY) are given once
 * more, although a cursor, (generation, xmin, 0), may stand behind them already. Then:
 *
 * A new generation begins if the cluster's system identifier or its timeline is not the one of the
 * present generation (in potik_state), or if the server has recovered from a crash (the unlogged
 * table potik_uncrashed is empty), or if rows of this generation have xids that the cluster has not
 * given yet, or if the state is older than what this node has read. It is raised under a lock
 * that no insert shares, so that no row of the old generation can come later: older generations are
 * read whole, without asking for xmin. What was restored is thus read on as if nothing had
 * happened.
 *
 * What this node has read may be gone, though. It keeps a row in potik_nodes with a counter, raised
 * every few seconds and after each connect, and a copy of it in a file (node.c). Everything read
 * before the row was touched was committed before it, so it stands before it in the WAL, too: a
 * state that has our counter has all that. An older counter, or none, is an older state. What was
 * read since the last touch is counted (rows, sum of xids, sum of seqs) and counted again in the
 * database. Rows that were erased meanwhile are missing, too: the transaction that deletes them
 * raises potik_state.erasures, and if that is not what it was at the touch the sums say nothing, so
 * that they are not compared. All other checks hold. (What slips through: a state that went back by
 * less than the seconds since the touch, in the same cluster and timeline, while rows were erased.)
 * A process that was killed has lost that count: it trusts the state only if cluster and
 * timeline are the same. If something is gone the node is stale: that is written down first, then
 * read_after says ERR_STALE until the warehouse begins anew.
 */
#include "codec/uuid.h"
#include "postgres_sql.h"
#include "store/postgres/store_postgres.h"
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define COUNT_AGAIN_TIMEOUT_MS 60000

enum {
    COLUMN_SYSTEM_IDENTIFIER,
    COLUMN_TIMELINE,
    COLUMN_GENERATION,
    COLUMN_STORE_ID,
    COLUMN_KNOWN_SYSTEM_IDENTIFIER,
    COLUMN_KNOWN_TIMELINE,
    COLUMN_HASH_SECRET,
    COLUMN_COUNTER,
    COLUMN_NEWEST_XID,
    COLUMN_OLDEST_XID,
    COLUMN_NEXT_XID,
    COLUMN_FSYNC,
    COLUMN_HAS_CRASHED,
    COLUMN_UNBROKEN_SINCE,
};

/* What identity.sql tells. */
struct found {
    struct postgres_identity identity; /* counter: of our row */
    uint64_t known_system_identifier;
    uint32_t known_timeline;
    bool has_row;
    uint64_t newest_xid; /* 0: no rows of this generation */
    uint64_t oldest_xid;
    uint64_t next_xid;
    char store_id[POSTGRES_NODE_TEXT];
    uint8_t hash_secret[POSTGRES_HASH_SECRET_BYTES];
    bool is_fsync_off;
    bool has_crashed; /* since the generation began, or the last crash that was met */
};

/* 16 bytes from the text of a uuid of ours. */
static void
uuid_bytes(const char *text, char ret_bytes[UUID_BYTES])
{
    size_t count = 0;
    unsigned high = 0;

    for (size_t digits = 0; *text != '\0' && count < UUID_BYTES; text++) {
        const unsigned digit =
            *text >= 'a' ? (unsigned)(*text - 'a') + 10U : (unsigned)(*text - '0');

        if (*text == '-')
            continue;
        if (digits++ % 2 == 0)
            high = digit;
        else
            ret_bytes[count++] = (char)(high << 4 | digit);
    }
}

/* --- asking ---------------------------------------------------------------------------------- */

static enum err
look(struct postgres *store, PGconn *conn, struct found *ret_found, struct diag *diag)
{
    char node[UUID_BYTES];
    const struct postgres_parameter parameters[] = {{POSTGRES_OID_UUID, node, sizeof(node)}};
    CLEANUP(postgres_clear) PGresult *result = NULL;
    struct found found = {0};
    enum err err = ERR_OK;

    uuid_bytes(store->node.uuid, node);
    err = postgres_query(conn, sql_identity, parameters, COUNT_OF(parameters),
                         store->config.statement_timeout_ms, &result, diag);
    if (err != ERR_OK)
        return err;
    if (PQntuples(result) != 1 ||
        PQgetlength(result, 0, COLUMN_HASH_SECRET) != POSTGRES_HASH_SECRET_BYTES) {
        diag_set(diag, "the table potik_state has lost its row: put it back from a backup");
        return ERR_NOT_READY;
    }
    found.identity.system_identifier =
        postgres_get_u64(PQgetvalue(result, 0, COLUMN_SYSTEM_IDENTIFIER));
    found.identity.timeline = postgres_get_u32(PQgetvalue(result, 0, COLUMN_TIMELINE));
    found.identity.generation = postgres_get_u32(PQgetvalue(result, 0, COLUMN_GENERATION));
    found.known_system_identifier =
        postgres_get_u64(PQgetvalue(result, 0, COLUMN_KNOWN_SYSTEM_IDENTIFIER));
    found.known_timeline = postgres_get_u32(PQgetvalue(result, 0, COLUMN_KNOWN_TIMELINE));
    found.has_row = !PQgetisnull(result, 0, COLUMN_COUNTER);
    if (found.has_row)
        found.identity.counter = postgres_get_u64(PQgetvalue(result, 0, COLUMN_COUNTER));
    if (!PQgetisnull(result, 0, COLUMN_NEWEST_XID))
        found.newest_xid = postgres_get_u64(PQgetvalue(result, 0, COLUMN_NEWEST_XID));
    found.oldest_xid = postgres_get_u64(PQgetvalue(result, 0, COLUMN_OLDEST_XID));
    found.next_xid = postgres_get_u64(PQgetvalue(result, 0, COLUMN_NEXT_XID));
    uuid_format((const uint8_t *)PQgetvalue(result, 0, COLUMN_STORE_ID), found.store_id);
    memcpy(found.hash_secret, PQgetvalue(result, 0, COLUMN_HASH_SECRET),
           POSTGRES_HASH_SECRET_BYTES);
    found.is_fsync_off = strcmp(PQgetvalue(result, 0, COLUMN_FSYNC), "on") != 0;
    found.has_crashed = PQgetvalue(result, 0, COLUMN_HAS_CRASHED)[0] != 0;
    found.identity.unbroken_since = postgres_get_u32(PQgetvalue(result, 0, COLUMN_UNBROKEN_SINCE));
    *ret_found = found;
    return ERR_OK;
}

/* Are the rows still there that were read since the last touch? Up to some millions, from a cold
 * disk perhaps: --store-timeout, made for statements that clients wait for, would end it each time
 * anew. On an error the connection is closed by the caller, and the setting with it. */
static enum err
count_again(struct postgres *store, PGconn *conn, bool *ret_are_there, struct diag *diag)
{
    const struct postgres_node *node = &store->node;
    const struct store_position bounds[2] = {node->cursor, node->read_to};
    char generation[2][4];
    char major[2][8];
    char minor[2][8];
    char set_timeout[80];
    struct postgres_parameter parameters[6];
    CLEANUP(postgres_clear) PGresult *result = NULL;
    enum err err = ERR_OK;

    *ret_are_there = true;
    if (node->read_count == 0)
        return ERR_OK;
    for (size_t i = 0; i < 2; i++) {
        postgres_put_u32(generation[i], (uint32_t)bounds[i].generation);
        postgres_put_u64(major[i], bounds[i].major);
        postgres_put_u64(minor[i], bounds[i].minor);
        parameters[i * 3] = (struct postgres_parameter){POSTGRES_OID_INT4, generation[i], 4};
        parameters[i * 3 + 1] = (struct postgres_parameter){POSTGRES_OID_XID8, major[i], 8};
        parameters[i * 3 + 2] = (struct postgres_parameter){POSTGRES_OID_INT8, minor[i], 8};
    }
    (void)snprintf(set_timeout, sizeof(set_timeout),
                   "BEGIN READ ONLY; SET LOCAL statement_timeout = %d", COUNT_AGAIN_TIMEOUT_MS);
    err = postgres_run(conn, set_timeout, store->config.statement_timeout_ms, diag);
    if (err == ERR_OK)
        err = postgres_query(conn, sql_rows_between, parameters, COUNT_OF(parameters),
                             COUNT_AGAIN_TIMEOUT_MS + 1000, &result, diag);
    if (err == ERR_OK)
        err = postgres_run(conn, "COMMIT", store->config.statement_timeout_ms, diag);
    if (err == ERR_OK)
        *ret_are_there = postgres_get_u64(PQgetvalue(result, 0, 3)) != node->erasures ||
                         (postgres_get_u64(PQgetvalue(result, 0, 0)) == node->read_count &&
                          postgres_get_u64(PQgetvalue(result, 0, 1)) == node->read_xid_sum &&
                          postgres_get_u64(PQgetvalue(result, 0, 2)) == node->read_seq_sum);
    return err;
}

/* --- judging --------------------------------------------------------------------------------- */

/* NULL: all that this node has read is there. Else why not, in a word for the log. */
static const char *
why_stale(const struct postgres *store, const struct found *found, bool is_process_new,
          bool are_rows_there)
{
    const struct postgres_node *node = &store->node;

    if (node->is_new)
        return "this node is new to this folder";
    if (strcmp(node->store_id, found->store_id) != 0)
        return node->store_id[0] != '\0' ? "it is another database of Potik's" : NULL;
    if (!found->has_row)
        return "it does not know this node: it was restored from before";
    if (found->identity.counter < node->identity.counter)
        return "it went back to an older state";
    if (found->identity.generation < node->identity.generation)
        return "it went back to an older generation";
    if (!are_rows_there)
        return "events that were read are gone";
    if (is_process_new && !node->is_clean &&
        (found->identity.system_identifier != node->identity.system_identifier ||
         found->identity.timeline != node->identity.timeline))
        return "it is another cluster or timeline, and this node had not stopped in order";
    return NULL;
}

/* Rows may have gone, or xids have fallen far. */
static bool
has_moved(const struct found *found)
{
    return found->identity.system_identifier != found->known_system_identifier ||
           found->identity.timeline != found->known_timeline ||
           found->newest_xid >= found->next_xid;
}

static bool
needs_generation(const struct found *found)
{
    return has_moved(found) || found->has_crashed;
}

/* Takes the lock that inserts do not share, looks again (another node may have been here), raises.
 * `floor`: 0, or the generation it must be above. */
static enum err
raise_generation(struct postgres *store, PGconn *conn, uint32_t above, struct diag *diag)
{
    const int64_t timeout_ms = store->config.statement_timeout_ms;
    CLEANUP(postgres_clear) PGresult *result = NULL;
    struct found found = {0};
    char generation[4];
    char is_unbroken = 0;
    const struct postgres_parameter parameters[] = {
        {POSTGRES_OID_INT4, generation, sizeof(generation)},
        {POSTGRES_OID_BOOL, &is_unbroken, sizeof(is_unbroken)}};
    enum err err = postgres_run(conn, "BEGIN; LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE",
                                timeout_ms, diag);

    if (err == ERR_OK)
        err = look(store, conn, &found, diag);
    if (err == ERR_OK && (needs_generation(&found) || found.identity.generation <= above)) {
        postgres_put_u32(generation, above);
        is_unbroken = !has_moved(&found) && found.identity.generation > above;
        err = postgres_query(conn, sql_raise_generation, parameters, COUNT_OF(parameters),
                             timeout_ms, &result, diag);
        if (err == ERR_OK)
            SINK(store->config.sink, LOG_LEVEL_WARN, "store.generation_raised",
                 LOG_U64("generation", postgres_get_u32(PQgetvalue(result, 0, 0))),
                 LOG_TEXT("why", is_unbroken ? "PostgreSQL has recovered from a crash"
                                             : "the database was restored, or failed over"));
    }
    if (err == ERR_OK)
        err = postgres_run(conn, "COMMIT", timeout_ms, diag);
    return err;
}

/* --- the node's row -------------------------------------------------------------------------- */

enum err
postgres_node_touch(struct postgres *store, PGconn *conn, struct store_position cursor,
                    bool is_clean, struct diag *diag)
{
    struct postgres_node *node = &store->node;
    char host[256] = "";
    char uuid[UUID_BYTES];
    char generation[4];
    char major[8];
    char minor[8];
    char counter[8];
    struct postgres_parameter parameters[] = {
        {POSTGRES_OID_UUID, uuid, sizeof(uuid)}, {POSTGRES_OID_TEXT, host, 0},
        {POSTGRES_OID_INT4, generation, 4},      {POSTGRES_OID_XID8, major, 8},
        {POSTGRES_OID_INT8, minor, 8},           {POSTGRES_OID_INT8, counter, 8},
    };
    CLEANUP(postgres_clear) PGresult *result = NULL;
    enum err err = ERR_OK;

    (void)!gethostname(host, sizeof(host) - 1);
    parameters[1].len = (int)strlen(host);
    uuid_bytes(node->uuid, uuid);
    postgres_put_u32(generation, (uint32_t)cursor.generation);
    postgres_put_u64(major, cursor.major);
    postgres_put_u64(minor, cursor.minor);
    postgres_put_u64(counter, node->identity.counter);
    err = postgres_query(conn, sql_node_touch, parameters, COUNT_OF(parameters),
                         store->config.statement_timeout_ms, &result, diag);
    if (err != ERR_OK)
        return err;
    node->identity.counter = postgres_get_u64(PQgetvalue(result, 0, 0));
    node->erasures = postgres_get_u64(PQgetvalue(result, 0, 1));
    node->cursor = cursor;
    node->read_to = cursor;
    node->read_count = 0;
    node->read_xid_sum = 0;
    node->read_seq_sum = 0;
    node->is_clean = is_clean;
    node->is_touched = true;
    node->touched_ns = clock_steady_ns(store->config.clock);
    err = postgres_node_save(store, diag);
    if (err == ERR_OK) {
        pthread_mutex_lock(&store->identity_lock);
        store->identity = node->identity;
        pthread_mutex_unlock(&store->identity_lock);
    }
    return err;
}

/* What was read before (a warehouse that reads from an earlier place again) is not counted twice.
 */
void
postgres_node_count(struct postgres_node *node, const struct store_page *page)
{
    for (uint32_t i = 0; i < page->count; i++) {
        const struct store_position position = page->rows[i].position;

        if (store_position_at_or_before(position, node->read_to))
            continue;
        node->read_count++;
        node->read_xid_sum += position.major;
        node->read_seq_sum += position.minor;
    }
    if (!store_position_at_or_before(page->next, node->read_to))
        node->read_to = page->next;
}

/* --- the guard ------------------------------------------------------------------------------- */

/* Of a node whose file is new there is nothing to say. */
static void
tell(struct postgres *store, const char *why)
{
    if (!store->node.is_new)
        SINK(store->config.sink, LOG_LEVEL_WARN, "store.went_back", LOG_TEXT("why", why),
             LOG_TEXT("next", "everything derived is made anew"));
}

enum err
postgres_guard(struct postgres *store, PGconn *conn, struct diag *diag)
{
    struct postgres_node *node = &store->node;
    const bool is_process_new = !node->is_touched;
    struct found found = {0};
    const char *why = NULL;
    bool are_rows_there = true;
    struct store_position read_to = {0};
    uint32_t above = 0;
    enum err err = look(store, conn, &found, diag);

    if (err == ERR_OK)
        err = count_again(store, conn, &are_rows_there, diag);
    if (err != ERR_OK)
        return err;
    if (found.is_fsync_off && is_process_new)
        SINK(store->config.sink, LOG_LEVEL_WARN, "store.fsync_off",
             LOG_TEXT("why", "fsync is off in PostgreSQL: events that were answered may be lost "
                             "when its machine stops"));
    why = why_stale(store, &found, is_process_new, are_rows_there);
    if (why != NULL) {
        tell(store, why);
        /* Older than what was read: the xids since then are given once more. */
        if (!node->is_new && strcmp(node->store_id, found.store_id) == 0)
            above = node->identity.generation;
        node->is_stale = true;
        postgres_forget_committed(store);
    }
    memcpy(node->store_id, found.store_id, sizeof(node->store_id));
    if (why != NULL)
        err = postgres_node_save(store, diag); /* before the row says that all is well */
    if (err == ERR_OK && (needs_generation(&found) || found.identity.generation <= above)) {
        err = raise_generation(store, conn, above, diag);
        if (err == ERR_OK)
            err = look(store, conn, &found, diag);
    }
    if (err != ERR_OK)
        return err;
    if (memcmp(store->hash_secret, found.hash_secret, sizeof(store->hash_secret)) != 0)
        memcpy(store->hash_secret, found.hash_secret, sizeof(store->hash_secret)); /* once */
    node->identity.system_identifier = found.identity.system_identifier;
    node->identity.timeline = found.identity.timeline;
    node->identity.generation = found.identity.generation;
    node->identity.unbroken_since = found.identity.unbroken_since;
    if (node->identity.counter < found.identity.counter)
        node->identity.counter = found.identity.counter;
    postgres_note_committed(store, (struct store_position){.generation = found.identity.generation,
                                                           .major = found.next_xid});
    /* Behind what was read, or from the start where that counts no more. */
    if (!node->is_stale)
        read_to = node->read_to;
    return postgres_node_touch(store, conn, read_to, false, diag);
}
