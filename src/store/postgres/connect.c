/*
 * connect - connections of threads of our own: made, set up and asked, each within a deadline.
 *
 * Layer 3 (store/postgres); called by the reader, by migrations, by account/postgres.c. The calls
 * block in poll(2), never in libpq: a server that falls silent costs the time given, no more. After
 * an answer that did not come the connection is closed by its owner; nothing is known of it then.
 * (Links speak to libpq without blocking: link.c.) Sentences for what went wrong: explain.c.
 */
#include "postgres_sql.h"
#include "store/postgres/store_postgres.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>

/* The columns of session.sql. */
enum { SESSION_ENCODING = 7, SESSION_READ_ONLY, SESSION_IN_RECOVERY, SESSION_SCHEMA };

#define PARAMETERS_MAX 16

void
postgres_disconnect(PGconn **conn)
{
    if (*conn != NULL)
        PQfinish(*conn);
    *conn = NULL;
}

void
postgres_clear(PGresult **result)
{
    PQclear(*result);
    *result = NULL;
}

/* --- waiting --------------------------------------------------------------------------------- */

static int64_t
now_ns(void)
{
    return clock_steady_ns(clock_system());
}

/* Until the socket is ready for `events`. false: the time is over (or poll fails). */
static bool
wait_socket(const PGconn *conn, short events, int64_t until_ns)
{
    for (;;) {
        struct pollfd fd = {.fd = PQsocket(conn), .events = events};
        const int64_t left_ms = (until_ns - now_ns() + 999999) / 1000000;
        int count = 0;

        if (fd.fd < 0 || left_ms <= 0)
            return false;
        count = poll(&fd, 1, (int)(left_ms < 60000 ? left_ms : 60000));
        if (count > 0)
            return true;
        if (count < 0 && errno != EINTR)
            return false;
    }
}

static enum err
silent(int64_t timeout_ms, struct diag *diag)
{
    diag_set(diag,
             "PostgreSQL gave no answer within %" PRId64
             " ms: it is overloaded, or the network between is down",
             timeout_ms);
    return ERR_NOT_READY;
}

/* --- statements ------------------------------------------------------------------------------ */

static enum err
lost(const PGconn *conn, struct diag *diag)
{
    postgres_explain_connection(conn, NULL, diag);
    return ERR_NOT_READY;
}

/* All that was sent leaves, then one result comes. NULL: there is no more. */
static enum err
next_result(PGconn *conn, int64_t timeout_ms, int64_t until_ns, PGresult **ret_result,
            struct diag *diag)
{
    for (;;) {
        const int left = PQflush(conn);

        if (left < 0)
            return lost(conn, diag);
        if (left == 0 && !PQisBusy(conn))
            break;
        if (!wait_socket(conn, left != 0 ? POLLIN | POLLOUT : POLLIN, until_ns))
            return silent(timeout_ms, diag);
        if (!PQconsumeInput(conn))
            return lost(conn, diag);
    }
    *ret_result = PQgetResult(conn);
    return ERR_OK;
}

/* Takes results to the end; the first failure is the answer, else the last result. */
static enum err
take_results(PGconn *conn, int64_t timeout_ms, PGresult **ret_result, struct diag *diag)
{
    const int64_t until_ns = now_ns() + timeout_ms * 1000000;
    CLEANUP(postgres_clear) PGresult *last = NULL;
    enum err answer = ERR_OK;

    for (;;) {
        CLEANUP(postgres_clear) PGresult *result = NULL;
        enum err err = next_result(conn, timeout_ms, until_ns, &result, diag);

        if (err != ERR_OK)
            return err;
        if (result == NULL)
            break;
        if (answer != ERR_OK)
            continue;
        if (PQresultStatus(result) == PGRES_TUPLES_OK ||
            PQresultStatus(result) == PGRES_COMMAND_OK) {
            postgres_clear(&last);
            last = MOVE(result);
        } else {
            answer = postgres_explain(result, diag);
        }
    }
    if (PQstatus(conn) != CONNECTION_OK && answer == ERR_OK)
        return lost(conn, diag);
    if (answer == ERR_OK && ret_result != NULL)
        *ret_result = MOVE(last);
    return answer;
}

static int
send_query(PGconn *conn, const char *sql, const struct postgres_parameter *parameters, int count)
{
    Oid types[PARAMETERS_MAX];
    const char *values[PARAMETERS_MAX];
    int lens[PARAMETERS_MAX];
    int formats[PARAMETERS_MAX];

    if (count > PARAMETERS_MAX)
        return 0;
    for (int i = 0; i < count; i++) {
        types[i] = parameters[i].type;
        values[i] = parameters[i].bytes;
        lens[i] = parameters[i].len;
        formats[i] = 1;
    }
    return PQsendQueryParams(conn, sql, count, types, values, lens, formats, 1);
}

enum err
postgres_query(PGconn *conn, const char *sql, const struct postgres_parameter *parameters,
               int parameter_count, int64_t timeout_ms, PGresult **ret_result, struct diag *diag)
{
    if (!send_query(conn, sql, parameters, parameter_count))
        return lost(conn, diag);
    return take_results(conn, timeout_ms, ret_result, diag);
}

enum err
postgres_run(PGconn *conn, const char *sql, int64_t timeout_ms, struct diag *diag)
{
    if (!PQsendQuery(conn, sql))
        return lost(conn, diag);
    return take_results(conn, timeout_ms, NULL, diag);
}

enum err
postgres_prepare(PGconn *conn, const char *name, const char *sql, int64_t timeout_ms,
                 struct diag *diag)
{
    if (!PQsendPrepare(conn, name, sql, 0, NULL))
        return lost(conn, diag);
    return take_results(conn, timeout_ms, NULL, diag);
}

enum err
postgres_query_prepared(PGconn *conn, const char *name, const struct postgres_parameter *parameters,
                        int parameter_count, int64_t timeout_ms, PGresult **ret_result,
                        struct diag *diag)
{
    const char *values[PARAMETERS_MAX];
    int lens[PARAMETERS_MAX];
    int formats[PARAMETERS_MAX];

    for (int i = 0; i < parameter_count && i < PARAMETERS_MAX; i++) {
        values[i] = parameters[i].bytes;
        lens[i] = parameters[i].len;
        formats[i] = 1;
    }
    if (parameter_count > PARAMETERS_MAX ||
        !PQsendQueryPrepared(conn, name, parameter_count, values, lens, formats, 1))
        return lost(conn, diag);
    return take_results(conn, timeout_ms, ret_result, diag);
}

/* --- the session ----------------------------------------------------------------------------- */

int
postgres_session_send(PGconn *conn, const struct postgres_session *session)
{
    char timeouts[2][8];
    const struct postgres_parameter parameters[] = {
        {POSTGRES_OID_INT8, timeouts[0], sizeof(timeouts[0])},
        {POSTGRES_OID_INT8, timeouts[1], sizeof(timeouts[1])},
    };

    postgres_put_u64(timeouts[0], (uint64_t)session->statement_timeout_ms);
    postgres_put_u64(timeouts[1], (uint64_t)session->lock_timeout_ms);
    return send_query(conn, sql_session, parameters, COUNT_OF(parameters));
}

enum err
postgres_session_check(const PGconn *conn, const PGresult *result, struct diag *diag)
{
    const char *encoding = NULL;

    if (PQserverVersion(conn) < POSTGRES_SERVER_VERSION_MIN) {
        diag_set(diag, "PostgreSQL %d is too old: version 13 or newer is needed",
                 PQserverVersion(conn) / 10000);
        return ERR_NOT_READY;
    }
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        return postgres_explain(result, diag);
    if (PQntuples(result) != 1 || PQnfields(result) <= SESSION_SCHEMA) {
        diag_set(diag, "the server does not answer as PostgreSQL does");
        return ERR_NOT_READY;
    }
    encoding = PQgetvalue(result, 0, SESSION_ENCODING);
    if (strcmp(PQgetvalue(result, 0, SESSION_IN_RECOVERY), "true") == 0) {
        diag_set(diag, "the server is a read-only replica: name the primary in --store (or both "
                       "hosts, with a comma between)");
        return ERR_NOT_READY;
    }
    if (strcmp(PQgetvalue(result, 0, SESSION_READ_ONLY), "on") == 0) {
        diag_set(diag, "sessions are read-only here: ALTER ROLE … SET "
                       "default_transaction_read_only = off");
        return ERR_NOT_READY;
    }
    if (strcmp(encoding, "UTF8") != 0) {
        diag_set(
            diag,
            "the database's encoding is %.20s, which cannot hold every text: CREATE DATABASE … "
            "ENCODING 'UTF8' TEMPLATE template0",
            encoding);
        return ERR_NOT_READY;
    }
    if (PQgetvalue(result, 0, SESSION_SCHEMA)[0] == '\0') {
        diag_set(diag, "none of the schemas in search_path exists: CREATE SCHEMA, or ALTER ROLE … "
                       "SET search_path");
        return ERR_NOT_READY;
    }
    return ERR_OK;
}

/* --- connecting ------------------------------------------------------------------------------ */

static enum err
finish_connecting(PGconn *conn, const struct postgres_url *url, int64_t timeout_ms,
                  struct diag *diag)
{
    const int64_t until_ns = now_ns() + timeout_ms * 1000000;
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    while (status != PGRES_POLLING_OK) {
        if (status == PGRES_POLLING_FAILED) {
            postgres_explain_connection(conn, url, diag);
            return ERR_NOT_READY;
        }
        if (!wait_socket(conn, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, until_ns)) {
            diag_set(diag,
                     "%.200s: no answer within %" PRId64
                     " ms: check host and port, and that no firewall stands between",
                     url->shown, timeout_ms);
            return ERR_NOT_READY;
        }
        status = PQconnectPoll(conn);
    }
    return ERR_OK;
}

static void
pass_over_notice(void *arg, const PGresult *result)
{
    (void)arg; /* "table exists already, skipping" and the like: not for our log */
    (void)result;
}

enum err
postgres_connect(const struct postgres_url *url, int64_t timeout_ms,
                 const struct postgres_session *session, PGconn **ret_conn, struct diag *diag)
{
    CLEANUP(postgres_disconnect)
    PGconn *conn = PQconnectStartParams(url->keywords, url->values, 0);
    CLEANUP(postgres_clear) PGresult *result = NULL;
    struct diag reason = DIAG_INIT;
    enum err err = ERR_OK;

    if (conn == NULL)
        return ERR_NOMEM;
    if (PQstatus(conn) == CONNECTION_BAD) {
        postgres_explain_connection(conn, url, diag);
        return ERR_NOT_READY;
    }
    PQsetNoticeReceiver(conn, pass_over_notice, NULL);
    err = finish_connecting(conn, url, timeout_ms, diag);
    if (err != ERR_OK)
        return err;
    PQsetnonblocking(conn, 1);
    if (!postgres_session_send(conn, session))
        err = lost(conn, &reason);
    else
        err = take_results(conn, timeout_ms, &result, &reason);
    if (err == ERR_OK)
        err = postgres_session_check(conn, result, &reason);
    if (err != ERR_OK) {
        diag_set(diag, "%.150s: %s", url->shown, reason.message);
        return ERR_NOT_READY;
    }
    *ret_conn = MOVE(conn);
    return ERR_OK;
}
