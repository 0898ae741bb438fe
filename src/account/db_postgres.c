/*
 * db_postgres - rows in the database that holds the events. See db.h.
 *
 * Each link is a connection of its own, made and asked by the blocking calls of
 * store/postgres/connect.c: a server that has gone silent costs the deadline of one statement, and
 * then the connection. The next call makes a new one, but not within a transaction. The tables are
 * made by sql/postgres/0002_accounts.sql and 0003_people.sql together with the store's. Values
 * travel in binary: integers big-endian; a timestamptz is microseconds since 2000-01-01
 * (PostgreSQL's documentation, "COPY", binary format; src/include/datatype/timestamp.h).
 *
 * Changes take one advisory lock of the schema, so that they wait for one another as in SQLite.
 * Triggers on the tables that loops know of tell the channel potik_accounts at each commit. A link
 * listens there; has_changed asks the server only where something was told, and every 5 s besides,
 * for what was changed by hand: a print of all such rows is compared (print.sql). While the server
 * is away, has_changed tries again after 100 ms, then later and later up to 2 s.
 */
#include "account/db.h"

#include "account_postgres_sql.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/postgres/store_postgres.h"

#include <assert.h>
#include <string.h>

#define LOOK_NS (5 * NS_PER_S)
#define RETRY_MIN_NS (NS_PER_S / 10)
#define RETRY_MAX_NS (2 * NS_PER_S)
#define PRINT_BYTES 320
#define OID_TIMESTAMPTZ 1184

struct db_postgres {
    struct db db; /* first */
    struct postgres_url *url;
    int64_t connect_timeout_ms;
    int64_t statement_timeout_ms;
    PGconn *connection;      /* NULL: made by the next call */
    bool is_in_transaction;  /* then no new connection is made */
    bool is_listening;       /* on this connection */
    int64_t look_at_ns;      /* at the rows, told or not */
    char print[PRINT_BYTES]; /* of the rows, when last looked at */
    int64_t retry_at_ns;
    int64_t retry_pause_ns;
    struct diag why; /* the last attempt of has_changed failed */
};

static struct db_postgres *
of(struct db *db)
{
    return (struct db_postgres *)db;
}

#define RESULT CLEANUP(postgres_clear) PGresult *

/* --- the connection ---------------------------------------------------------------------------*/

static enum err
connect_if_away(struct db_postgres *link, struct diag *diag)
{
    const struct postgres_session session = {
        .statement_timeout_ms = link->statement_timeout_ms,
        .lock_timeout_ms = link->statement_timeout_ms,
    };

    if (link->connection != NULL)
        return ERR_OK;
    if (link->is_in_transaction) {
        diag_set(diag, "the connection to PostgreSQL was lost within a transaction");
        return ERR_NOT_READY;
    }
    link->is_listening = false;
    return postgres_connect(link->url, link->connect_timeout_ms, &session, &link->connection, diag);
}

/* A connection that was lost, or still owes an answer, is given up: the next call makes another. */
static enum err
keep_or_drop(struct db_postgres *link, enum err err)
{
    if (err != ERR_OK && link->connection != NULL &&
        (PQstatus(link->connection) == CONNECTION_BAD ||
         PQtransactionStatus(link->connection) == PQTRANS_ACTIVE))
        postgres_disconnect(&link->connection);
    return err;
}

static enum err
run(struct db_postgres *link, const char *sql, struct diag *diag)
{
    enum err err = connect_if_away(link, diag);

    if (err == ERR_OK)
        err = postgres_run(link->connection, sql, link->statement_timeout_ms, diag);
    return keep_or_drop(link, err);
}

static enum err
begin(struct db *db, bool is_write, struct diag *diag)
{
    struct db_postgres *link = of(db);
    enum err err = run(
        link, is_write ? sql_postgres_begin : "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        diag);

    link->is_in_transaction = err == ERR_OK;
    if (err != ERR_OK && link->connection != NULL &&
        PQtransactionStatus(link->connection) != PQTRANS_IDLE)
        postgres_disconnect(&link->connection); /* the lock was not to be had in time */
    return err;
}

static enum err
commit(struct db *db, struct diag *diag)
{
    enum err err = run(of(db), "COMMIT", diag);

    if (err == ERR_OK)
        of(db)->is_in_transaction = false;
    return err;
}

/* A lost connection has taken it back already. */
static void
rollback(struct db *db)
{
    struct db_postgres *link = of(db);

    if (!link->is_in_transaction)
        return;
    link->is_in_transaction = false;
    if (link->connection != NULL && run(link, "ROLLBACK", NULL) != ERR_OK)
        postgres_disconnect(&link->connection);
}

/* The heap's bytes go with VACUUM. Where it cannot be done, autovacuum will come: nothing waits for
 * it. */
static enum err
scrub(struct db *db, bool *ret_is_done, struct diag *diag)
{
    const struct db_statement vacuum = {NULL, sql_postgres_vacuum};
    enum err err = db_run(db, &vacuum, NULL, diag);

    if (err == ERR_NOT_READY)
        return err;
    *ret_is_done = true;
    return ERR_OK;
}

/* --- a statement ------------------------------------------------------------------------------*/

struct sent {
    struct postgres_parameter list[DB_VALUES_MAX];
    char numbers[DB_VALUES_MAX][8];
};

static void
prepare_values(const struct db_values *values, struct sent *ret_sent)
{
    for (uint32_t i = 0; i < values->count; i++) {
        const struct db_value *value = &values->list[i];
        struct postgres_parameter *parameter = &ret_sent->list[i];
        static const Oid types[] = {[DB_NUMBER] = POSTGRES_OID_INT8,
                                    [DB_TIME] = OID_TIMESTAMPTZ,
                                    [DB_TEXT] = POSTGRES_OID_TEXT,
                                    [DB_BYTES] = POSTGRES_OID_BYTEA};
        int64_t number = value->type == DB_TIME ? value->number - POSTGRES_EPOCH_US : value->number;

        *parameter = (struct postgres_parameter){.type = types[value->type]};
        if (value->is_null)
            continue;
        if (value->type == DB_TEXT || value->type == DB_BYTES) {
            parameter->bytes = value->bytes.len != 0 ? value->bytes.ptr : "";
            parameter->len = (int)value->bytes.len;
            continue;
        }
        postgres_put_u64(ret_sent->numbers[i], (uint64_t)number);
        parameter->bytes = ret_sent->numbers[i];
        parameter->len = 8;
    }
}

static void
take_cell(const PGresult *result, int row, int column, struct db_cell *ret_cell)
{
    const char *bytes = PQgetvalue(result, row, column);
    int len = PQgetlength(result, row, column);
    Oid type = PQftype(result, column);

    *ret_cell = (struct db_cell){.bytes = slice_of(bytes, (size_t)len)};
    if (PQgetisnull(result, row, column)) {
        *ret_cell = (struct db_cell){.is_null = true, .bytes = SLICE_NONE};
        return;
    }
    if (type == OID_TIMESTAMPTZ && len == 8)
        ret_cell->number = (int64_t)postgres_get_u64(bytes) + POSTGRES_EPOCH_US;
    else if (type == POSTGRES_OID_TEXT || type == POSTGRES_OID_BYTEA)
        return;
    else if (len == 8)
        ret_cell->number = (int64_t)postgres_get_u64(bytes);
    else if (len == 4)
        ret_cell->number = (int32_t)postgres_get_u32(bytes);
    else if (len == 1)
        ret_cell->number = bytes[0] != 0;
}

static void
free_result(void *source)
{
    PQclear(source);
}

static enum err
take_rows(PGresult **result, struct db_rows **ret_rows)
{
    DB_ROWS rows = MEM_NEW(struct db_rows, 1);

    if (rows == NULL)
        return ERR_NOMEM;
    arena_init(&rows->arena, 64, 64);
    rows->columns = (uint32_t)PQnfields(*result);
    rows->cells = MEM_NEW(struct db_cell, (size_t)PQntuples(*result) * rows->columns + 1);
    if (rows->cells == NULL)
        return ERR_NOMEM;
    for (int row = 0; row < PQntuples(*result); row++) {
        for (uint32_t column = 0; column < rows->columns; column++)
            take_cell(*result, row, (int)column,
                      &rows->cells[(size_t)row * rows->columns + column]);
    }
    rows->count = (uint32_t)PQntuples(*result);
    rows->source = MOVE(*result);
    rows->free_source = free_result;
    *ret_rows = MOVE(rows);
    return ERR_OK;
}

static enum err
ask(struct db *db, const char *sql, const struct db_values *values, struct db_rows **ret_rows,
    struct diag *diag)
{
    struct db_postgres *link = of(db);
    RESULT result = NULL;
    struct sent sent;
    enum err err = connect_if_away(link, diag);

    if (err != ERR_OK)
        return err;
    prepare_values(values, &sent);
    err = postgres_query(link->connection, sql, sent.list, (int)values->count,
                         link->statement_timeout_ms, &result, diag);
    if (err != ERR_OK)
        return keep_or_drop(link, err);
    err = take_rows(&result, ret_rows);
    if (err != ERR_OK)
        diag_set(diag, "rows of PostgreSQL: out of memory");
    return err;
}

/* --- what others change -----------------------------------------------------------------------*/

/* What has arrived by itself: whether another link has told something. */
static bool
was_told(struct db_postgres *link)
{
    PGnotify *notice;
    bool is_told = false;

    /* A connection that was lost is noticed by the next statement. */
    if (link->connection == NULL || PQconsumeInput(link->connection) == 0)
        return true;
    while ((notice = PQnotifies(link->connection)) != NULL) {
        is_told = is_told || notice->be_pid != PQbackendPID(link->connection);
        PQfreemem(notice);
    }
    return is_told;
}

static enum err
look(struct db_postgres *link, bool *ret_has_changed, struct diag *diag)
{
    const struct db_statement statement = DB_BOTH(sql_postgres_print);
    DB_ROWS rows = NULL;
    char print[PRINT_BYTES];
    enum err err = db_ask(&link->db, &statement, NULL, &rows, diag);

    if (err != ERR_OK)
        return err;
    db_text(rows, 0, 0, print, sizeof(print));
    *ret_has_changed = strcmp(print, link->print) != 0;
    memcpy(link->print, print, sizeof(print));
    link->look_at_ns = clock_steady_ns(clock_system()) + LOOK_NS;
    return ERR_OK;
}

/* On a new connection listening comes first, then a look: what is told from then on is heard. */
static enum err
listen_and_look(struct db_postgres *link, bool *ret_has_changed, struct diag *diag)
{
    bool is_due = was_told(link) || clock_steady_ns(clock_system()) >= link->look_at_ns;
    enum err err = connect_if_away(link, diag);

    *ret_has_changed = false;
    if (err == ERR_OK && !link->is_listening) {
        err = run(link, "LISTEN potik_accounts", diag);
        link->is_listening = err == ERR_OK;
    }
    return err == ERR_OK && is_due ? look(link, ret_has_changed, diag) : err;
}

static enum err
has_changed(struct db *db, bool *ret_has_changed, struct diag *diag)
{
    struct db_postgres *link = of(db);
    struct diag why = DIAG_INIT;
    enum err err;

    if (link->connection == NULL && clock_steady_ns(clock_system()) < link->retry_at_ns) {
        if (diag != NULL)
            *diag = link->why;
        return ERR_NOT_READY;
    }
    err = listen_and_look(link, ret_has_changed, &why);
    if (err == ERR_OK) {
        link->retry_pause_ns = RETRY_MIN_NS;
        return ERR_OK;
    }
    link->why = why;
    link->retry_at_ns = clock_steady_ns(clock_system()) + link->retry_pause_ns;
    link->retry_pause_ns *= 2;
    if (link->retry_pause_ns > RETRY_MAX_NS)
        link->retry_pause_ns = RETRY_MAX_NS;
    if (diag != NULL)
        *diag = why;
    return err;
}

/* --- opening ----------------------------------------------------------------------------------*/

static void
close_link(struct db *db)
{
    struct db_postgres *link = of(db);

    postgres_disconnect(&link->connection);
    postgres_url_free(&link->url);
    mem_free(link);
}

static const struct db_driver driver = {
    .close = close_link,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .ask = ask,
    .has_changed = has_changed,
    .scrub = scrub,
};

static enum err
check_tables(struct db_postgres *link, struct diag *diag)
{
    const struct db_statement statement = DB_BOTH(sql_postgres_tables);
    DB_ROWS rows = NULL;
    enum err err = db_ask(&link->db, &statement, NULL, &rows, diag);

    if (err != ERR_OK)
        return err;
    if (db_count(rows) == 1 && db_number(rows, 0, 0) != 0)
        return ERR_OK;
    diag_set(diag,
             "%s: the tables of projects and keys are not there, or of an older layout: run `potik "
             "migrate`, or start `potik serve` on this database once",
             link->url->shown);
    return ERR_ABSENT;
}

enum err
db_postgres_open(const struct db_postgres_config *config, struct db **ret_db, struct diag *diag)
{
    struct db_postgres *link = MEM_NEW(struct db_postgres, 1);
    bool is_changed;
    enum err err;

    if (link == NULL)
        return ERR_NOMEM;
    link->db.driver = &driver;
    link->db.is_scrub_due = true; /* the last program may have been killed just before */
    link->connect_timeout_ms = config->connect_timeout_ms;
    link->statement_timeout_ms = config->statement_timeout_ms;
    link->retry_pause_ns = RETRY_MIN_NS;
    err = postgres_url_parse(config->url, config->connect_timeout_ms, &link->url, diag);
    if (err == ERR_OK)
        err = check_tables(link, diag);
    if (err == ERR_OK)
        err = listen_and_look(link, &is_changed, diag); /* the first print to compare with */
    if (err != ERR_OK) {
        close_link(&link->db);
        return err;
    }
    *ret_db = &link->db;
    return ERR_OK;
}
