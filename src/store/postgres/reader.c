/*
 * reader - reads events on in the order (generation, xid, seq).
 *
 * Layer 3 (store/postgres), the loader's thread, on a connection of its own.
 *
 * Transactions end in another order than they took their xids. So a page is asked for in two steps:
 * first how far everything has ended (xmin of a fresh snapshot: all xids below have committed or
 * are undone, and whoever looks later sees them), then the rows behind the cursor and below that
 * bound. A late committer holds the bound back, and is never skipped. Older generations have no
 * late committers (guard.c): they are read whole. A page that meets the bound has it as its `next`,
 * so that the cursor reaches every position that was ever told once its transactions have ended.
 *
 * A page is gathered from slices, so that one result stays small although rows may be large. When
 * the next page is read: wait.c.
 */
#include "postgres_sql.h"
#include "store/postgres/store_postgres.h"

#define SLICE_ROWS_MAX 1024
#define ROW_BYTES_GUESS 512
#define TOUCH_NS (5 * NS_PER_S)
#define TOUCH_IDLE_NS (60 * NS_PER_S)
#define TOUCH_ROWS 1000000
#define MS_NS INT64_C(1000000)

enum {
    ROW_GENERATION,
    ROW_XID,
    ROW_SEQ,
    ROW_PROJECT_ID,
    ROW_EVENT_ID,
    ROW_EVENT_TYPE,
    ROW_USER_ID,
    ROW_ANONYMOUS_ID,
    ROW_SESSION_ID,
    ROW_OCCURRED_AT,
    ROW_RECEIVED_AT,
    ROW_PROPERTIES,
    ROW_COLUMNS,
};

static int64_t
now_ns(void)
{
    return clock_steady_ns(clock_system());
}

static bool
is_start(struct store_position position)
{
    return (position.generation | position.major | position.minor) == 0;
}

static bool
is_equal(struct store_position a, struct store_position b)
{
    return a.generation == b.generation && a.major == b.major && a.minor == b.minor;
}

/* --- the connection -------------------------------------------------------------------------- */

void
postgres_reader_give_up(struct postgres *store, const struct diag *diag)
{
    struct postgres_reader *reader = &store->reader;

    if (reader->conn != NULL)
        postgres_connections_add(-1);
    postgres_disconnect(&reader->conn);
    reader->retry_ns = now_ns() + postgres_backoff(&reader->backoff_ms) * MS_NS;
    postgres_note_reader(store, true, diag->message);
}

static enum err
set_up(struct postgres *store, PGconn *conn, struct diag *diag)
{
    const int64_t timeout_ms = store->config.statement_timeout_ms;
    enum err err = postgres_migrate_connection(conn, false, NULL, NULL, diag);

    if (err == ERR_OK)
        err = postgres_run(conn, sql_reader_session, timeout_ms, diag);
    if (err == ERR_OK)
        err = postgres_prepare(conn, "bound", sql_read_bound, timeout_ms, diag);
    if (err == ERR_OK)
        err = postgres_prepare(conn, "page", sql_read_page, timeout_ms, diag);
    if (err == ERR_OK)
        err = postgres_guard(store, conn, diag);
    return err == ERR_OVERLOADED || err == ERR_STORAGE_FULL ? ERR_NOT_READY : err;
}

enum err
postgres_reader_connect(struct postgres *store, struct diag *diag)
{
    struct postgres_reader *reader = &store->reader;
    CLEANUP(postgres_disconnect) PGconn *conn = NULL;
    struct diag own = DIAG_INIT;
    enum err err = ERR_OK;

    diag = diag != NULL ? diag : &own;
    atomic_store(&store->is_check_wanted, false);
    err = postgres_connect(store->url, store->config.connect_timeout_ms, &store->session, &conn,
                           diag);
    if (err == ERR_OK)
        err = set_up(store, conn, diag);
    if (err != ERR_OK) {
        postgres_reader_give_up(store, diag);
        return err;
    }
    reader->conn = MOVE(conn);
    reader->backoff_ms = 0;
    reader->poll_ns = 0;
    postgres_connections_add(1);
    postgres_note_reader(store, false, NULL);
    return ERR_OK;
}

void
postgres_reader_close(struct postgres *store)
{
    struct postgres_reader *reader = &store->reader;

    if (reader->conn == NULL)
        return;
    store->config.statement_timeout_ms = 2000; /* a stop waits no longer for a silent server */
    if (!store->node.is_stale)
        (void)!postgres_node_touch(store, reader->conn, store->node.read_to, true, NULL);
    postgres_connections_add(-1);
    postgres_disconnect(&reader->conn);
}

enum err
postgres_reader_be_connected(struct postgres *store, struct diag *diag)
{
    struct postgres_reader *reader = &store->reader;

    if (reader->conn != NULL && atomic_load(&store->is_check_wanted)) {
        postgres_connections_add(-1);
        postgres_disconnect(&reader->conn);
    }
    if (reader->conn != NULL)
        return ERR_OK;
    /* Where a link has met another state the server is there: no reason to wait. */
    if (now_ns() < reader->retry_ns && !atomic_load(&store->is_check_wanted)) {
        pthread_mutex_lock(&store->health.lock);
        diag_set(diag, "%s", store->health.sentence);
        pthread_mutex_unlock(&store->health.lock);
        return ERR_NOT_READY;
    }
    postgres_reconnects_add();
    return postgres_reader_connect(store, diag);
}

/* --- a page ---------------------------------------------------------------------------------- */

/* What the page being filled has, and may have. */
struct filling {
    struct arena *arena;
    struct store_row *rows;
    uint32_t count;
    uint32_t capacity;
    uint32_t rows_max;
    size_t bytes;
    size_t bytes_max;
    struct store_position after; /* the last row taken, or where the page begins */
    bool is_full;
};

static size_t
row_bytes(const PGresult *result, int row)
{
    size_t bytes = (size_t)PQgetlength(result, row, ROW_PROPERTIES);

    for (int column = ROW_EVENT_ID; column <= ROW_SESSION_ID; column++)
        bytes += (size_t)PQgetlength(result, row, column);
    return bytes;
}

/* The value's bytes less the first `skipped`, copied to *place, which moves on. */
static struct slice
take_text(const PGresult *result, int row, int column, size_t skipped, char **place)
{
    size_t len = (size_t)PQgetlength(result, row, column);
    struct slice text = {*place, 0};

    if (PQgetisnull(result, row, column))
        return SLICE_NONE;
    len = len > skipped ? len - skipped : 0;
    memcpy(*place, PQgetvalue(result, row, column) + skipped, len);
    text.len = len;
    *place += len;
    return text;
}

static void
take_row(const PGresult *result, int row, struct store_row *ret_row, char **place)
{
    struct event *event = &ret_row->event;

    *ret_row = (struct store_row){
        .position = {.generation = postgres_get_u32(PQgetvalue(result, row, ROW_GENERATION)),
                     .major = postgres_get_u64(PQgetvalue(result, row, ROW_XID)),
                     .minor = postgres_get_u64(PQgetvalue(result, row, ROW_SEQ))},
    };
    event->project_id = postgres_get_u32(PQgetvalue(result, row, ROW_PROJECT_ID));
    event->event_id = take_text(result, row, ROW_EVENT_ID, 0, place);
    event->event_type = take_text(result, row, ROW_EVENT_TYPE, 0, place);
    event->user_id = take_text(result, row, ROW_USER_ID, 0, place);
    event->anonymous_id = take_text(result, row, ROW_ANONYMOUS_ID, 0, place);
    event->session_id = take_text(result, row, ROW_SESSION_ID, 0, place);
    event->properties = take_text(result, row, ROW_PROPERTIES, 1, place); /* behind its version */
    event->occurred_at_us =
        (int64_t)postgres_get_u64(PQgetvalue(result, row, ROW_OCCURRED_AT)) + POSTGRES_EPOCH_US;
    event->received_at_us =
        (int64_t)postgres_get_u64(PQgetvalue(result, row, ROW_RECEIVED_AT)) + POSTGRES_EPOCH_US;
}

/* Room for `count` rows more: exactly, where the first slice is the last one, too. */
static bool
make_room(struct filling *filling, uint32_t count, bool is_last)
{
    struct store_row *rows = NULL;

    if (filling->count + count <= filling->capacity)
        return true;
    filling->capacity = is_last ? filling->count + count : filling->rows_max;
    rows = ARENA_NEW(filling->arena, struct store_row, filling->capacity);
    if (rows == NULL)
        return false;
    if (filling->count > 0)
        memcpy(rows, filling->rows, filling->count * sizeof(*rows));
    filling->rows = rows;
    return true;
}

/* As many rows of the slice as the page has room for; at least one a page. */
static enum err
take_slice(struct filling *filling, const PGresult *result, bool is_last, struct diag *diag)
{
    const int count = PQntuples(result);
    size_t bytes = 0;
    int taken = 0;
    char *place = NULL;

    for (; taken < count; taken++) {
        const size_t more = row_bytes(result, taken);

        if (filling->count + (uint32_t)taken > 0 &&
            filling->bytes + bytes + more > filling->bytes_max)
            break;
        bytes += more;
    }
    filling->is_full = taken < count || filling->count + (uint32_t)taken == filling->rows_max;
    if (taken == 0)
        return ERR_OK;
    place = arena_alloc(filling->arena, bytes);
    if (place == NULL || !make_room(filling, (uint32_t)taken, is_last || filling->is_full)) {
        diag_set(diag, "no memory for a page of %d events, %zu bytes", taken, bytes);
        return ERR_NOMEM;
    }
    for (int row = 0; row < taken; row++)
        take_row(result, row, &filling->rows[filling->count++], &place);
    filling->bytes += bytes;
    filling->after = filling->rows[filling->count - 1].position;
    return ERR_OK;
}

/* What the next slice asks for: what there is room for, if rows are as large as the last were. */
static uint32_t
slice_rows(const struct postgres_reader *reader, const struct filling *filling)
{
    const size_t left = filling->bytes_max - filling->bytes;
    size_t rows = left / (reader->row_bytes != 0 ? reader->row_bytes : ROW_BYTES_GUESS) + 1;

    if (rows > SLICE_ROWS_MAX)
        rows = SLICE_ROWS_MAX;
    if (rows > filling->rows_max - filling->count)
        rows = filling->rows_max - filling->count;
    return (uint32_t)rows;
}

/* Rows behind filling->after and below `bound`. *ret_is_end: all of them are taken. */
static enum err
read_slice(struct postgres *store, struct filling *filling, struct store_position bound,
           bool *ret_is_end, struct diag *diag)
{
    const uint32_t rows = slice_rows(&store->reader, filling);
    char numbers[6][8];
    const struct postgres_parameter parameters[] = {
        {POSTGRES_OID_INT4, numbers[0], 4}, {POSTGRES_OID_XID8, numbers[1], 8},
        {POSTGRES_OID_INT8, numbers[2], 8}, {POSTGRES_OID_INT4, numbers[3], 4},
        {POSTGRES_OID_XID8, numbers[4], 8}, {POSTGRES_OID_INT8, numbers[5], 8},
    };
    CLEANUP(postgres_clear) PGresult *result = NULL;
    enum err err = ERR_OK;

    postgres_put_u32(numbers[0], (uint32_t)filling->after.generation);
    postgres_put_u64(numbers[1], filling->after.major);
    postgres_put_u64(numbers[2], filling->after.minor);
    postgres_put_u32(numbers[3], (uint32_t)bound.generation);
    postgres_put_u64(numbers[4], bound.major);
    postgres_put_u64(numbers[5], rows);
    err = postgres_query_prepared(store->reader.conn, "page", parameters, COUNT_OF(parameters),
                                  store->config.statement_timeout_ms, &result, diag);
    if (err != ERR_OK) {
        postgres_reader_give_up(store, diag);
        return ERR_NOT_READY;
    }
    *ret_is_end = (uint32_t)PQntuples(result) < rows;
    err = take_slice(filling, result, *ret_is_end, diag);
    *ret_is_end = *ret_is_end && !filling->is_full;
    return err;
}

/* (generation, xmin, 0), below which everything has ended; and xmax. */
static enum err
read_bound(struct postgres *store, struct store_position *ret_bound, uint64_t *ret_next_xid,
           struct diag *diag)
{
    CLEANUP(postgres_clear) PGresult *result = NULL;
    enum err err = postgres_query_prepared(store->reader.conn, "bound", NULL, 0,
                                           store->config.statement_timeout_ms, &result, diag);

    if (err == ERR_OK && PQntuples(result) != 1) {
        diag_set(diag, "the table potik_state has lost its row: put it back from a backup");
        err = ERR_NOT_READY;
    }
    if (err != ERR_OK) {
        postgres_reader_give_up(store, diag);
        return ERR_NOT_READY;
    }
    ret_bound->generation = postgres_get_u32(PQgetvalue(result, 0, 0));
    ret_bound->major = postgres_get_u64(PQgetvalue(result, 0, 1));
    ret_bound->minor = 0;
    *ret_next_xid = postgres_get_u64(PQgetvalue(result, 0, 2));
    return ERR_OK;
}

/* ERR_STALE until the reading begins anew at the start. */
static enum err
ask_stale(struct postgres *store, struct store_position after, struct diag *diag)
{
    struct postgres_node *node = &store->node;

    if (!node->is_stale)
        return ERR_OK;
    if (!is_start(after)) {
        diag_set(diag, "the database is not the one, or not in the state, that was read before");
        return ERR_STALE;
    }
    node->is_stale = false;
    node->is_new = false;
    return postgres_node_save(store, diag);
}

enum err
postgres_read_after(struct store *base, struct store_position after, uint32_t rows_max,
                    size_t bytes_max, struct arena *arena, struct store_page *ret_page,
                    struct diag *diag)
{
    struct postgres *store = (struct postgres *)base;
    struct diag own = DIAG_INIT; /* what goes wrong is kept for /readyz, even if nobody asks */
    struct filling filling = {
        .arena = arena, .rows_max = rows_max, .bytes_max = bytes_max, .after = after};
    struct store_position bound = {0};
    struct store_position seen = {0};
    struct store_position limit = {0};
    struct store_page page = {0};
    uint64_t next_xid = 0;
    bool is_end = false;
    enum err err = ERR_OK;

    diag = diag != NULL ? diag : &own;
    store->reader.page_began_ns = now_ns();
    err = postgres_reader_be_connected(store, diag);
    if (err == ERR_OK)
        err = ask_stale(store, after, diag);
    if (err != ERR_OK)
        return err;
    seen = postgres_committed(store);
    err = read_bound(store, &bound, &next_xid, diag);
    if (err != ERR_OK)
        return err;
    if (!store_position_at_or_before(after, bound)) {
        store->node.is_stale = true; /* of another database, or of a later state of this one */
        err = postgres_node_save(store, diag);
        return err == ERR_OK ? ask_stale(store, after, diag) : err;
    }
    limit = (struct store_position){.generation = bound.generation, .major = next_xid};
    if (!store_position_at_or_before(seen, limit)) {
        postgres_limit_committed(store, seen, limit);
        seen = postgres_committed(store);
    }
    page.oldest_held_us = postgres_watch(store, bound.major, next_xid);
    is_end = is_equal(after, bound);
    while (err == ERR_OK && !is_end && !filling.is_full)
        err = read_slice(store, &filling, bound, &is_end, diag);
    if (err != ERR_OK)
        return err;
    page.rows = filling.rows;
    page.count = filling.count;
    page.next = is_end ? bound : filling.after;
    page.is_caught_up = is_end;
    if (page.count > 0)
        store->reader.row_bytes = filling.bytes / page.count + 1;
    postgres_node_count(&store->node, &page);
    postgres_plan_look(store, seen, &page);
    *ret_page = page;
    return ERR_OK;
}

/* --- upkeep ---------------------------------------------------------------------------------- */

enum err
postgres_maintain_fast(struct store *base, bool *ret_did_work, struct diag *diag)
{
    struct postgres *store = (struct postgres *)base;
    const struct postgres_node *node = &store->node;
    const int64_t age_ns = clock_steady_ns(store->config.clock) - node->touched_ns;
    struct diag own = DIAG_INIT;
    enum err err = ERR_OK;

    diag = diag != NULL ? diag : &own;
    *ret_did_work = false;
    if (store->reader.conn == NULL || node->is_stale)
        return ERR_OK;
    postgres_measure(store);
    if (store->reader.conn == NULL || (node->read_count < TOUCH_ROWS && age_ns < TOUCH_IDLE_NS &&
                                       (node->read_count == 0 || age_ns < TOUCH_NS)))
        return ERR_OK;
    err = postgres_node_touch(store, store->reader.conn, node->read_to, false, diag);
    if (err == ERR_NOT_READY || err == ERR_OVERLOADED) {
        postgres_reader_give_up(store, diag); /* told once, by the reader's health */
        return ERR_OK;
    }
    return err;
}
