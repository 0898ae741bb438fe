/*
 * erase_vacuum - after an erasure: VACUUM, so that what was erased leaves the table's pages soon.
 *
 * Layer 3 (store/postgres), the keeper's thread; the last phase of erase.c. Autovacuum would come
 * only when a fifth of the table is dead, which after one person's erasure is never. VACUUM may
 * take long, so it is sent without waiting, and looked at in each step; the session's
 * statement_timeout is off meanwhile. Only the table's owner may; for others, and where it fails,
 * a line in the log says that it is left to the database's owner: the events are erased anyway.
 * An erasure that is closed cancels it, by a connection of its own, which has a deadline (PQcancel
 * has none).
 */
#include "postgres_sql.h"
#include "store/postgres/erase_inside.h"
#include <poll.h>

#define WAIT_MS 1000
#define CANCEL_TIMEOUT_MS 2000

static void
tell_left(struct postgres_erase *erase, const char *why)
{
    SINK(erase->store->config.sink, LOG_LEVEL_WARN, "store.erase_vacuum", LOG_TEXT("why", why),
         LOG_TEXT("next", "the erased rows' bytes stay in the table's file until it is vacuumed: "
                          "VACUUM events"));
}

static bool
begin(struct postgres_erase *erase)
{
    CLEANUP(postgres_clear) PGresult *result = NULL;
    struct diag diag = DIAG_INIT;
    enum err err = postgres_query(erase->conn, sql_erase_owner, NULL, 0, erase_timeout_ms(erase),
                                  &result, &diag);

    if (err == ERR_OK && (PQntuples(result) != 1 || PQgetvalue(result, 0, 0)[0] == 0)) {
        tell_left(erase, "the role does not own the table events");
        return false;
    }
    if (err == ERR_OK)
        err =
            postgres_run(erase->conn, "SET statement_timeout = 0", erase_timeout_ms(erase), &diag);
    if (err != ERR_OK) {
        tell_left(erase, diag.message);
        return false;
    }
    erase->vacuum_pid = postgres_get_u32(PQgetvalue(result, 0, 1));
    if (!PQsendQuery(erase->conn, sql_erase_vacuum)) {
        postgres_explain_connection(erase->conn, NULL, &diag);
        tell_left(erase, diag.message);
        return false;
    }
    erase->is_vacuum_sent = true;
    return true;
}

/* Until an answer can be taken, or WAIT_MS. false: the connection is lost. */
static bool
wait_answer(struct postgres_erase *erase, bool *ret_is_there)
{
    const int left = PQflush(erase->conn);
    struct pollfd fd = {.fd = PQsocket(erase->conn),
                        .events = left > 0 ? POLLIN | POLLOUT : POLLIN};

    if (left < 0)
        return false;
    (void)!poll(&fd, 1, WAIT_MS);
    if (!PQconsumeInput(erase->conn))
        return false;
    *ret_is_there = !PQisBusy(erase->conn);
    return true;
}

void
erase_vacuum_step(struct postgres_erase *erase, bool *ret_is_done)
{
    struct diag diag = DIAG_INIT;
    bool is_there = false;

    *ret_is_done = true;
    if (!erase->is_vacuum_sent && !begin(erase))
        return;
    if (!wait_answer(erase, &is_there)) {
        postgres_explain_connection(erase->conn, NULL, &diag);
        tell_left(erase, diag.message);
    } else if (is_there) {
        CLEANUP(postgres_clear) PGresult *result = PQgetResult(erase->conn);

        if (PQresultStatus(result) != PGRES_COMMAND_OK) {
            (void)!postgres_explain(result, &diag);
            tell_left(erase, diag.message);
        }
    } else {
        *ret_is_done = false;
        return;
    }
    erase->is_vacuum_sent = false;
    erase_disconnect(erase); /* it was the last */
}

void
erase_vacuum_stop(struct postgres_erase *erase)
{
    const struct postgres_session session = {.statement_timeout_ms = CANCEL_TIMEOUT_MS};
    char pid[4];
    const struct postgres_parameter parameters[] = {{POSTGRES_OID_INT4, pid, sizeof(pid)}};
    CLEANUP(postgres_disconnect) PGconn *conn = NULL;

    if (!erase->is_vacuum_sent)
        return;
    erase->is_vacuum_sent = false;
    postgres_put_u32(pid, erase->vacuum_pid);
    /* Where the server is away there is nothing to cancel. */
    if (postgres_connect(erase->store->url, CANCEL_TIMEOUT_MS, &session, &conn, NULL) == ERR_OK)
        (void)!postgres_query(conn, sql_erase_cancel, parameters, COUNT_OF(parameters),
                              CANCEL_TIMEOUT_MS, NULL, NULL);
}
