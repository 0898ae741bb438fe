/*
 * erase - events of a selection are taken out of the table, and their ids stay refused.
 *
 * Layer 3 (store/postgres), the keeper's thread, on a connection of its own (store.h, "Erasing
 * events"; only store_erase_bound comes from any thread). One erasure is one pass:
 *
 *     gather   rows are looked through in the order of reading, which is nearly the order of the
 *              table's file, by the index that is there already; an index on user_id would cost
 *              every insert. Given ids are looked up instead. Up to ERASE_PAGE_ROWS ids are kept.
 *     mark     their keyed hashes are put into `erased`, and committed
 *     wait     for every statement that may not see them there
 *     delete   their rows
 *
 * Why in two transactions. append.sql asks `erased` in its own snapshot. Were the hashes and the
 * rows changed at once, an insert of the same id (a late retry) with an older snapshot would wait
 * on the primary key until our DELETE commits, find no row any more, not see the hash either, and
 * store the event anew. So rows go only when all such statements have ended. Those are found by
 * their lock: a statement takes RowExclusiveLock on `events` before it takes its snapshot, and
 * holds it to its transaction's end. Whoever is not among the holders seen after our commit begins
 * later, and sees the hashes. (The oldest xid of a snapshot would tell less: a statement that has
 * its snapshot, but has not written yet, has no xid.) Neither our own session, which holds no such
 * lock while it waits, nor long transactions that leave `events` alone hold this up; one that has
 * inserted into it and does not end does, for as long. Freed ids need neither mark nor wait.
 *
 * Wherever this ends, nothing else is lost: hashes without a deleted row refuse ids that are
 * stored; with the same selection those rows are found and deleted. Each phase may be done again.
 *
 * Locks. DELETE locks rows in the order of (project_id, event_id), as other erasures do; inserts
 * lock no row that stands, so they wait for us, for one statement at most, and we never for them.
 * A statement that takes too long halves what the next ones are asked to do.
 *
 * The deleting transaction raises potik_state.erasures: guard.c.
 */
#include "postgres_sql.h"
#include "store/postgres/erase_inside.h"
#include <poll.h>

#define STATEMENT_MS_MAX 5000
#define BOUND_TIMEOUT_MS 60000
#define STEP_NS NS_PER_S
#define ROWS_MIN 100
#define ROOM_MIN 1000 /* a page with less room is full */
#define WAIT_NS (NS_PER_S / 4)
#define WAIT_POLL_MS_MAX 50

static int64_t
now_ns(void)
{
    return clock_steady_ns(clock_system());
}

/* --- the connection -------------------------------------------------------------------------- */

static int64_t
statement_ms(const struct postgres *store)
{
    const int64_t timeout_ms = store->config.statement_timeout_ms;

    return timeout_ms < STATEMENT_MS_MAX ? timeout_ms : STATEMENT_MS_MAX;
}

int64_t
erase_timeout_ms(const struct postgres_erase *erase)
{
    return statement_ms(erase->store) + ERASE_SLACK_MS;
}

void
erase_disconnect(struct postgres_erase *erase)
{
    if (erase->conn != NULL)
        postgres_connections_add(-1);
    postgres_disconnect(&erase->conn);
}

static enum err
be_connected(struct postgres_erase *erase, struct diag *diag)
{
    const struct postgres *store = erase->store;
    const struct postgres_session session = {.statement_timeout_ms = statement_ms(store),
                                             .lock_timeout_ms = store->session.lock_timeout_ms};
    CLEANUP(postgres_disconnect) PGconn *conn = NULL;
    CLEANUP(postgres_clear) PGresult *result = NULL;
    enum err err = ERR_OK;

    if (erase->conn != NULL)
        return ERR_OK;
    err = postgres_connect(store->url, store->config.connect_timeout_ms, &session, &conn, diag);
    if (err == ERR_OK)
        err = postgres_run(conn, sql_erase_session, erase_timeout_ms(erase), diag);
    if (err == ERR_OK)
        err =
            postgres_query(conn, sql_append_type, NULL, 0, erase_timeout_ms(erase), &result, diag);
    if (err != ERR_OK)
        return err;
    if (PQntuples(result) != 1 || PQgetlength(result, 0, 1) != POSTGRES_HASH_SECRET_BYTES) {
        diag_set(diag, "the table potik_state has lost its row: put it back from a backup");
        return ERR_NOT_READY;
    }
    memcpy(erase->hash_secret, PQgetvalue(result, 0, 1), POSTGRES_HASH_SECRET_BYTES);
    mem_free(MOVE(erase->writers)); /* a server that restarted begins to count them again */
    erase->conn = MOVE(conn);
    postgres_connections_add(1);
    return ERR_OK;
}

/* Errors of a step as the contract has them. */
static enum err
settle(struct postgres_erase *erase, enum err err)
{
    if (err == ERR_OVERLOADED) { /* undone, and told so: the connection is whole */
        erase->rows_max = erase->rows_max / 2 > ROWS_MIN ? erase->rows_max / 2 : ROWS_MIN;
        return ERR_NOT_READY;
    }
    if (err == ERR_NOT_READY)
        erase_disconnect(erase);
    return err;
}

/* --- gathering ------------------------------------------------------------------------------- */

static enum erase_phase
phase_after_pages(const struct postgres_erase *erase)
{
    if (erase->erasure.is_dry_run)
        return ERASE_DONE;
    if (erase->erasure.selection.kind == SELECTION_ALL && erase->erasure.frees_ids)
        return ERASE_FORGET;
    return erase->progress.events > 0 ? ERASE_VACUUM : ERASE_DONE;
}

/* Until the page is full, all is seen, or the step's time is over. */
static enum err
gather(struct postgres_erase *erase, struct diag *diag)
{
    const int64_t until_ns = now_ns() + STEP_NS;
    enum err err = ERR_OK;

    while (err == ERR_OK && !erase->is_all_seen &&
           ERASE_PAGE_ROWS - erase->page.count >= ROOM_MIN && now_ns() < until_ns)
        err = erase->erasure.selection.kind == SELECTION_IDS ? erase_find(erase, diag)
                                                             : erase_look(erase, diag);
    if (err != ERR_OK)
        return err;
    if (erase->is_all_seen && erase->page.count == 0) {
        erase->phase = phase_after_pages(erase);
    } else if (erase->is_all_seen || ERASE_PAGE_ROWS - erase->page.count < ROOM_MIN) {
        erase_page_sort(&erase->page);
        erase->deleted = 0;
        erase->unsure = 0;
        erase->phase = erase->erasure.frees_ids ? ERASE_DELETE : ERASE_MARK;
    }
    return ERR_OK;
}

/* --- a page's end ---------------------------------------------------------------------------- */

static enum err
mark(struct postgres_erase *erase, struct diag *diag)
{
    struct erase_page *page = &erase->page;
    char project[4];
    struct postgres_parameter parameters[2] = {{POSTGRES_OID_INT4, project, sizeof(project)}};
    enum err err = ERR_OK;

    postgres_put_u32(project, erase->erasure.selection.project_id);
    for (uint32_t i = 0, count = 0; i < page->count && err == ERR_OK; i += count) {
        count = page->count - i < erase->rows_max ? page->count - i : erase->rows_max;
        err = erase_hashes_parameter(page, erase->hash_secret, erase->erasure.selection.project_id,
                                     page->ids + i, count, &parameters[1]);
        if (err == ERR_OK)
            err = postgres_query(erase->conn, sql_erase_mark, parameters, COUNT_OF(parameters),
                                 erase_timeout_ms(erase), NULL, diag);
    }
    if (err == ERR_OK)
        erase->phase = ERASE_WAIT;
    return err;
}

/* Those who held the lock when we looked first, and hold it still. */
static enum err
look_for_writers(struct postgres_erase *erase, struct diag *diag)
{
    struct postgres_parameter parameter = {POSTGRES_OID_TEXT, erase->writers, 0};
    CLEANUP(postgres_clear) PGresult *result = NULL;
    char *writers = NULL;
    enum err err = ERR_OK;

    if (erase->writers != NULL)
        parameter.len = (int)strlen(erase->writers);
    err = postgres_query(erase->conn, sql_erase_writers, &parameter, 1, erase_timeout_ms(erase),
                         &result, diag);
    if (err != ERR_OK)
        return err;
    writers = mem_strdup(PQgetvalue(result, 0, 0)); /* a text has a NUL behind it */
    if (writers == NULL)
        return ERR_NOMEM;
    mem_free(erase->writers);
    erase->writers = writers;
    return ERR_OK;
}

static enum err
wait_writers(struct postgres_erase *erase, struct diag *diag)
{
    const int64_t until_ns = now_ns() + WAIT_NS;
    int pause_ms = 1;
    enum err err = look_for_writers(erase, diag);

    while (err == ERR_OK && erase->writers[0] != '\0' && now_ns() < until_ns) {
        (void)!poll(NULL, 0, pause_ms);
        pause_ms = pause_ms * 2 < WAIT_POLL_MS_MAX ? pause_ms * 2 : WAIT_POLL_MS_MAX;
        err = look_for_writers(erase, diag);
    }
    if (err == ERR_OK && erase->writers[0] == '\0') {
        mem_free(MOVE(erase->writers));
        erase->phase = ERASE_DELETE;
    }
    return err;
}

/* Of a DELETE whose answer was lost nobody knows whether it was done: then its rows are gone now,
 * by whichever of the two. */
static enum err
delete_rows(struct postgres_erase *erase, struct diag *diag)
{
    struct erase_page *page = &erase->page;
    char project[4];
    char received_max[8];
    struct postgres_parameter parameters[3] = {
        {POSTGRES_OID_INT4, project, sizeof(project)},
        {0},
        erase_time_parameter(received_max, erase->erasure.selection.received_max_us)};
    enum err err = ERR_OK;

    postgres_put_u32(project, erase->erasure.selection.project_id);
    while (erase->deleted < page->count && err == ERR_OK) {
        CLEANUP(postgres_clear) PGresult *result = NULL;
        const uint32_t left = page->count - erase->deleted;
        const uint32_t count = left < erase->rows_max ? left : erase->rows_max;

        err = erase_ids_parameter(page, page->ids + erase->deleted, count, &parameters[1]);
        if (err == ERR_OK)
            err = postgres_query(erase->conn, sql_erase_delete, parameters, COUNT_OF(parameters),
                                 erase_timeout_ms(erase), &result, diag);
        if (err == ERR_NOT_READY)
            erase->unsure = erase->deleted + count;
        if (err != ERR_OK)
            break;
        erase->progress.events +=
            erase->deleted < erase->unsure ? count : postgres_get_u64(PQgetvalue(result, 0, 0));
        erase->deleted += count;
    }
    if (err == ERR_OK) {
        erase_page_clear(page);
        erase->phase = erase->is_all_seen ? phase_after_pages(erase) : ERASE_GATHER;
    }
    return err;
}

/* --- a project's erased ids ------------------------------------------------------------------ */

static enum err
forget(struct postgres_erase *erase, struct diag *diag)
{
    const int64_t until_ns = now_ns() + STEP_NS;
    char project[4];
    char rows[8];
    const struct postgres_parameter project_parameter = {POSTGRES_OID_INT4, project, 4};
    enum err err = ERR_OK;

    postgres_put_u32(project, erase->erasure.selection.project_id);
    do {
        const struct postgres_parameter parameters[] = {
            project_parameter,
            {POSTGRES_OID_BYTEA, (const char *)erase->forgotten, (int)erase->forgotten_len},
            {POSTGRES_OID_INT8, rows, sizeof(rows)}};
        CLEANUP(postgres_clear) PGresult *result = NULL;
        size_t len = 0;

        postgres_put_u64(rows, erase->rows_max);
        err = postgres_query(erase->conn, sql_erase_forget, parameters, COUNT_OF(parameters),
                             erase_timeout_ms(erase), &result, diag);
        if (err != ERR_OK)
            return err;
        len = PQntuples(result) > 0 ? (size_t)PQgetlength(result, 0, 0) : 0;
        if (len == 0 || len > sizeof(erase->forgotten)) {
            erase->phase = erase->progress.events > 0 ? ERASE_VACUUM : ERASE_DONE;
            return ERR_OK;
        }
        memcpy(erase->forgotten, PQgetvalue(result, 0, 0), len);
        erase->forgotten_len = len;
    } while (now_ns() < until_ns);
    return ERR_OK;
}

/* --- the calls ------------------------------------------------------------------------------- */

enum err
postgres_erase_bound(struct store *base, struct selection *selection,
                     struct store_position *ret_position, struct diag *diag)
{
    struct postgres *store = (struct postgres *)base;
    const struct postgres_session session = {.statement_timeout_ms = BOUND_TIMEOUT_MS,
                                             .lock_timeout_ms = store->session.lock_timeout_ms};
    const int64_t now_us = clock_wall_us(store->config.clock);
    const bool is_over = selection->kind == SELECTION_RECEIVED && selection->to_us <= now_us;
    char after[8];
    /* What was received in a time that is over is not ahead of us. */
    const struct postgres_parameter parameter =
        erase_time_parameter(after, is_over ? INT64_MAX : now_us);
    CLEANUP(postgres_disconnect) PGconn *conn = NULL;
    CLEANUP(postgres_clear) PGresult *result = NULL;
    enum err err =
        postgres_connect(store->url, store->config.connect_timeout_ms, &session, &conn, diag);

    if (err == ERR_OK)
        err = postgres_query(conn, sql_erase_bound, &parameter, 1,
                             BOUND_TIMEOUT_MS + ERASE_SLACK_MS, &result, diag);
    if (err == ERR_OK && PQntuples(result) != 1) {
        diag_set(diag, "the table potik_state has lost its row: put it back from a backup");
        err = ERR_NOT_READY;
    }
    if (err != ERR_OK)
        return err == ERR_OVERLOADED ? ERR_NOT_READY : err;
    selection->seq_max = UINT64_MAX;
    selection->received_max_us = now_us;
    if (!PQgetisnull(result, 0, 2))
        selection->received_max_us =
            (int64_t)postgres_get_u64(PQgetvalue(result, 0, 2)) + POSTGRES_EPOCH_US;
    *ret_position =
        (struct store_position){.generation = postgres_get_u32(PQgetvalue(result, 0, 0)),
                                .major = postgres_get_u64(PQgetvalue(result, 0, 1))};
    postgres_note_committed(store, *ret_position);
    return ERR_OK;
}

static void
erase_free(struct postgres_erase **erase_ptr)
{
    struct postgres_erase *erase = MOVE(*erase_ptr);

    if (erase == NULL)
        return;
    erase_vacuum_stop(erase);
    erase_disconnect(erase);
    erase_page_fini(&erase->page);
    mem_free(erase->writers);
    explicit_bzero(erase->hash_secret, sizeof(erase->hash_secret));
    mem_free(erase);
}

enum err
postgres_erase_open(struct store *base, const struct store_erasure *erasure,
                    struct store_erase **ret_erase, struct diag *diag)
{
    CLEANUP(erase_free) struct postgres_erase *erase = MEM_NEW(struct postgres_erase, 1);
    CLEANUP(postgres_clear) PGresult *result = NULL;
    enum err err = ERR_OK;

    if (erase == NULL)
        return ERR_NOMEM;
    erase->base.vtable = base->vtable;
    erase->store = (struct postgres *)base;
    erase->erasure = *erasure;
    erase->rows_max = ERASE_PAGE_ROWS;
    err = erase_page_init(&erase->page);
    if (err == ERR_OK)
        err = be_connected(erase, diag);
    if (err == ERR_OK)
        err = postgres_query(erase->conn, sql_erase_begin, NULL, 0, erase_timeout_ms(erase),
                             &result, diag);
    if (err != ERR_OK)
        return err == ERR_OVERLOADED ? ERR_NOT_READY : err;
    erase->end = (struct store_position){.generation = postgres_get_u32(PQgetvalue(result, 0, 0)),
                                         .major = postgres_get_u64(PQgetvalue(result, 0, 1))};
    erase->progress.total = postgres_get_u64(PQgetvalue(result, 0, 2));
    if (erasure->selection.kind == SELECTION_IDS) {
        erase->progress.total = erasure->selection.id_count;
        erase->is_all_seen = erasure->selection.id_count == 0;
    }
    *ret_erase = &erase->base;
    erase = NULL;
    return ERR_OK;
}

enum err
postgres_erase_step(struct store_erase *base, bool *ret_is_done,
                    struct store_erasure_progress *ret_progress, struct diag *diag)
{
    struct postgres_erase *erase = (struct postgres_erase *)base;
    bool is_over = false;
    enum err err = erase->phase == ERASE_DONE ? ERR_OK : be_connected(erase, diag);

    if (err == ERR_OK) {
        switch (erase->phase) {
        case ERASE_GATHER:
            err = gather(erase, diag);
            break;
        case ERASE_MARK:
            err = mark(erase, diag);
            break;
        case ERASE_WAIT:
            err = wait_writers(erase, diag);
            break;
        case ERASE_DELETE:
            err = delete_rows(erase, diag);
            break;
        case ERASE_FORGET:
            err = forget(erase, diag);
            break;
        case ERASE_VACUUM:
            erase_vacuum_step(erase, &is_over);
            if (is_over)
                erase->phase = ERASE_DONE;
            break;
        case ERASE_DONE:
            break;
        }
    }
    if (err != ERR_OK)
        return settle(erase, err);
    if (erase->phase == ERASE_DONE)
        erase->progress.done = erase->progress.total; /* it was an estimate */
    else if (erase->progress.done > erase->progress.total)
        erase->progress.total = erase->progress.done;
    *ret_is_done = erase->phase == ERASE_DONE;
    *ret_progress = erase->progress;
    return ERR_OK;
}

void
postgres_erase_close(struct store_erase *base)
{
    struct postgres_erase *erase = (struct postgres_erase *)base;

    erase_free(&erase);
}
