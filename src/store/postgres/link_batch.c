/*
 * link_batch - one batch under way on a link: sent in pieces, decided at its sync, answered.
 *
 * Layer 3 (store/postgres). On the link's loop; libpq never blocks here. A batch is one pipeline,
 * and so one transaction, up to its Sync:
 *
 *     potik_append_probe …     which of the ids of probes are taken (only where there are probes,
 *                              before anything is stored)
 *     potik_append …           a piece of the rows each, ≤ 2 MiB; RETURNING tells the new ones
 *     potik_append_position    generation and major
 *     Sync                     COMMIT
 *
 * A piece is made when the one before it has left libpq, so that what is held is two pieces and not
 * the batch twice. Nothing is believed before the sync's answer has come without an error since the
 * sync before: an error of the COMMIT itself comes after the last row. Where the link is lost
 * before that, nobody knows: ERR_NOT_READY, never a second attempt of ours; the client's decides.
 *
 * 40P01 and 40001 undo the transaction and tell so: it is done again at once, a few times.
 *
 * NOTIFY for other nodes is a small transaction of its own, at most 20 a second a link, since
 * commits that carry one queue behind a lock of the whole cluster.
 */
#include "base/counter.h"
#include "postgres_sql.h"
#include "store/postgres/link_inside.h"
#include <assert.h>
#include <sys/epoll.h>

#define ATTEMPTS_MAX 5
#define NOTIFY_EVERY_NS (NS_PER_S / 20)
/* The server's own statement_timeout ends a slow statement and leaves the connection whole; ours is
 * for a server that is silent, and closes it. Each piece sent and each answer begins it anew: a
 * batch of many pieces may take longer. */
#define DEADLINE_SLACK_MS 1000

COUNTER_DEFINE(deadlocks, "potik_store_deadlocks_total",
               "batches undone by PostgreSQL for a conflict with another transaction");

/* --- sending --------------------------------------------------------------------------------- */

static void
extend_deadline(struct postgres_link *link)
{
    link->deadline_ns =
        link_now_ns(link) +
        (link->store->config.statement_timeout_ms + DEADLINE_SLACK_MS) * (NS_PER_S / 1000);
}

static bool
send_piece(struct postgres_link *link, const char *statement)
{
    const char *const values[1] = {link->rows.piece.ptr};
    const int lens[1] = {(int)link->rows.piece.len};
    static const int formats[1] = {1};

    return PQsendQueryPrepared(link->conn, statement, 1, values, lens, formats, 1) == 1;
}

static bool
send_rows(struct postgres_link *link, enum link_row_kind kind)
{
    const bool is_ask = kind == LINK_ROW_ASK;
    uint32_t count = 0;

    if ((is_ask ? link->rows.ask_count : link->rows.store_count) != 0 &&
        link_rows_next(&link->rows, kind, link->row_type, &count) != ERR_OK) {
        /* What was sent must not be committed: only the end of the connection undoes it. */
        diag_set(&link->diag, "out of memory for a batch");
        return false;
    }
    if (count == 0) {
        link->stage = is_ask ? LINK_STAGE_STORE : LINK_STAGE_POSITION;
        return true;
    }
    if (is_ask)
        link->pieces_asked++;
    else
        link->pieces_stored++;
    extend_deadline(link);
    return send_piece(link, is_ask ? LINK_STATEMENT_PROBE : LINK_STATEMENT_APPEND);
}

static bool
send_next(struct postgres_link *link)
{
    if (link->err != ERR_OK && link->stage != LINK_STAGE_SENT)
        link->stage = LINK_STAGE_SYNC; /* the server passes over all the rest */
    switch (link->stage) {
    case LINK_STAGE_ASK:
        return send_rows(link, LINK_ROW_ASK);
    case LINK_STAGE_STORE:
        return send_rows(link, LINK_ROW_STORE);
    case LINK_STAGE_POSITION:
        link->stage = LINK_STAGE_SYNC;
        return PQsendQueryPrepared(link->conn, LINK_STATEMENT_POSITION, 0, NULL, NULL, NULL, 1) ==
               1;
    case LINK_STAGE_SYNC:
        link->stage = LINK_STAGE_SENT;
        return PQpipelineSync(link->conn) == 1;
    case LINK_STAGE_SENT:
        break;
    }
    return true;
}

void
link_pump(struct postgres_link *link)
{
    for (;;) {
        const bool has_more = link->state == LINK_BUSY && link->stage != LINK_STAGE_SENT;
        const int left = PQflush(link->conn);

        if (left < 0) {
            link_lose_connection(link);
            return;
        }
        if (left != 0 || !has_more) {
            link_watch_socket(link, left != 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
            return;
        }
        if (!send_next(link)) {
            if (link->diag.message[0] != 0)
                link_lose(link, link->diag.message);
            else
                link_lose_connection(link);
            return;
        }
    }
}

/* --- NOTIFY ---------------------------------------------------------------------------------- */

static void
note_commit(struct postgres_link *link, struct store_position position)
{
    postgres_note_committed(link->store, position);
    link->notify_position = position;
    link->is_notify_wanted = true;
}

void
link_notify(struct postgres_link *link)
{
    char position[STORE_POSITION_TEXT];
    char text[POSTGRES_NODE_TEXT + STORE_POSITION_TEXT];
    const char *const values[1] = {text};
    static const Oid types[1] = {POSTGRES_OID_TEXT};
    const int64_t now_ns = link_now_ns(link);

    if (!link->is_notify_wanted || link->is_notify_under_way || link->state != LINK_IDLE)
        return;
    if (now_ns < link->notify_after_ns) {
        link_arm(link);
        return;
    }
    store_position_format(link->notify_position, position);
    (void)snprintf(text, sizeof(text), "%s %s", link->store->node.uuid, position);
    if (PQsendQueryParams(link->conn, "SELECT pg_notify('" POSTGRES_CHANNEL "', $1)", 1, types,
                          values, NULL, NULL, 1) != 1 ||
        PQpipelineSync(link->conn) != 1) {
        link_lose_connection(link);
        return;
    }
    link->is_notify_wanted = false;
    link->is_notify_under_way = true;
    link->notify_after_ns = now_ns + NOTIFY_EVERY_NS;
    link_pump(link);
}

/* --- a batch begins ------------------------------------------------------------------------ */

static void
begin_attempt(struct postgres_link *link)
{
    link->stage = LINK_STAGE_ASK;
    link->pieces_asked = 0;
    link->pieces_stored = 0;
    link->results = 0;
    link->is_position_known = false;
    link->err = ERR_OK;
    diag_clear(&link->diag); /* of the attempt before */
    link->is_retryable = false;
    link->is_connection_useless = false;
    link->is_replication_unsure = false;
    link->attempts++;
}

void
link_begin_batch(struct postgres_link *link, struct store_batch *batch)
{
    enum err err = ERR_OK;

    assert(link->batch == NULL && link->state == LINK_IDLE);
    link_notify(link); /* under load there is no other moment */
    if (link->state != LINK_IDLE) {
        link->batch = batch;
        link_answer(link, ERR_NOT_READY);
        return;
    }
    for (uint32_t i = 0; i < batch->count; i++)
        batch->items[i].verdict = STORE_PENDING;
    batch->accepted_count = 0;
    batch->position = (struct store_position){0};
    link->batch = batch;
    link->began_ns = link_now_ns(link);
    link->attempts = 0;
    err = link_rows_take(&link->rows, batch);
    if (err != ERR_OK) {
        postgres_note_batch(link->store, err, "out of memory for a batch");
        link_answer(link, err);
        return;
    }
    link_enter(link, LINK_BUSY);
    extend_deadline(link);
    link_arm(link);
    begin_attempt(link);
    link_pump(link);
}

/* --- answers --------------------------------------------------------------------------------- */

void
link_answer(struct postgres_link *link, enum err err)
{
    struct store_batch *batch = link->batch;

    link->batch = NULL;
    batch->err = err;
    if (err == ERR_OK) {
        batch->accepted_count = link_rows_judge(&link->rows, batch);
        batch->position = link->position;
        if (batch->accepted_count != 0) {
            store_count_commit(batch->accepted_count,
                               (double)(link_now_ns(link) - link->began_ns) / 1e9);
            note_commit(link, batch->position);
        }
    }
    link->rows.batch = NULL;
    batch->done(batch); /* may submit the next */
}

/* Rows of (project_id, event_id). */
static bool
take_rows(struct postgres_link *link, const PGresult *result, enum link_row_kind kind)
{
    const int count = PQntuples(result);

    if (PQnfields(result) != 2)
        return false;
    for (int i = 0; i < count; i++) {
        const struct slice id =
            slice_of(PQgetvalue(result, i, 1), (size_t)PQgetlength(result, i, 1));

        if (PQgetlength(result, i, 0) != 4 ||
            !link_rows_tell(&link->rows, kind, postgres_get_u32(PQgetvalue(result, i, 0)), id))
            return false;
    }
    return true;
}

static bool
take_position(struct postgres_link *link, const PGresult *result)
{
    if (PQntuples(result) != 1 || PQnfields(result) != 2 || PQgetlength(result, 0, 0) != 8 ||
        PQgetlength(result, 0, 1) != 8)
        return false;
    link->position = (struct store_position){
        .generation = postgres_get_u64(PQgetvalue(result, 0, 0)),
        .major = postgres_get_u64(PQgetvalue(result, 0, 1)),
    };
    link->is_position_known = true;
    return true;
}

static bool
take_tuples(struct postgres_link *link, const PGresult *result)
{
    const uint32_t number = link->results++;

    extend_deadline(link); /* the timer looks at it when it goes off */
    if (number < link->pieces_asked)
        return take_rows(link, result, LINK_ROW_ASK);
    if (number < link->pieces_asked + link->pieces_stored)
        return take_rows(link, result, LINK_ROW_STORE);
    return take_position(link, result);
}

static void
take_error(struct postgres_link *link, const PGresult *result)
{
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    if (link->err != ERR_OK)
        return; /* the first is the cause */
    link->err = postgres_explain(result, &link->diag);
    link->is_retryable = postgres_is_retryable(result);
    if (code == NULL)
        return;
    link->is_connection_useless = strcmp(code, "25006") == 0 || strncmp(code, "57P", 3) == 0;
    /* Cannot be, as long as what is refused at the edge is all that PostgreSQL cannot hold. */
    if (strncmp(code, "22", 2) == 0 || strncmp(code, "23", 2) == 0 || strncmp(code, "54", 2) == 0)
        SINK(link->store->config.sink, LOG_LEVEL_ERROR, "store.data_refused",
             LOG_TEXT("sqlstate", code), LOG_U64("events", link->batch->count),
             LOG_TEXT("reason", link->diag.message));
}

/* The sync's answer: the transaction is decided. */
static void
finish(struct postgres_link *link)
{
    struct diag diag;

    if (link->err != ERR_OK && link->is_retryable) {
        counter_add(&deadlocks, 1);
        if (link->attempts < ATTEMPTS_MAX) {
            link_rows_rewind(&link->rows);
            begin_attempt(link);
            return;
        }
    }
    if (link->err == ERR_OK && !link->is_position_known) {
        link_lose(link, "the server left a statement unanswered");
        return;
    }
    if (link->err == ERR_OK && link->is_replication_unsure) {
        link->err = ERR_NOT_READY;
        diag_set(&link->diag, "the server no longer waits for its synchronous replica");
    }
    if (link->is_connection_useless) {
        diag = link->diag;
        link_lose(link, diag.message);
        return;
    }
    diag = link->diag;
    link_enter(link, LINK_IDLE);
    link->silence_count = atomic_load(&link->store->silence_count); /* it has just answered */
    link->deadline_ns = 0;
    postgres_note_batch(link->store, link->err, diag.message);
    link_answer(link, link->err);
}

void
link_take_result(struct postgres_link *link, const PGresult *result)
{
    const ExecStatusType status = PQresultStatus(result);

    if (link->is_notify_under_way) {
        link->is_notify_under_way =
            status != PGRES_PIPELINE_SYNC; /* an error of it costs nothing */
        return;
    }
    if (link->state != LINK_BUSY) {
        link_lose(link, "the server sent an answer to nothing");
        return;
    }
    switch ((int)status) {
    case PGRES_TUPLES_OK:
        if (!take_tuples(link, result))
            link_lose(link, "the server's answer does not fit what was sent");
        break;
    case PGRES_PIPELINE_ABORTED:
        break;
    case PGRES_PIPELINE_SYNC:
        finish(link);
        break;
    default:
        take_error(link, result);
        break;
    }
}
