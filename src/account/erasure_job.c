/*
 * erasure_job - a job under way: which is next for a node, how far it is, and its end. See
 * erasure.h; the form of its rows: erasure.c.
 */
#include "account/erasure_inside.h"
#include "base/mem.h"
#include "erasure_job_sql.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct db_statement erasure_oldest = DB_BOTH(sql_erasure_next);
static const struct db_statement erasure_ids = DB_BOTH(sql_erasure_ids);
static const struct db_statement erasure_update = DB_BOTH(sql_erasure_update);
static const struct db_statement erasure_node_done = DB_BOTH(sql_erasure_node_done);
static const struct db_statement erasure_nodes_left = {NULL, sql_erasure_nodes_left};
static const struct db_statement erasure_abandoned = {NULL, sql_erasure_abandoned};
static const struct db_statement erasure_finish = DB_BOTH(sql_erasure_finish);
static const struct db_statement erasure_drop_ids = DB_BOTH(sql_erasure_drop_ids);

struct job {
    struct erasure erasure; /* first */
    struct slice *ids;
    char *bytes;
};

void
erasure_free(struct erasure **erasure)
{
    struct job *job = (struct job *)*erasure;

    if (job == NULL)
        return;
    mem_free(job->ids);
    mem_free(job->bytes);
    mem_free(job);
    *erasure = NULL;
}

/* Counts the ids of a piece, or points to them where `ids` is not NULL. false: the piece is
 * damaged. */
static bool
walk_piece(struct slice piece, struct slice *ids, uint32_t *count)
{
    size_t at = 0;

    while (at < piece.len) {
        size_t len;

        if (piece.len - at < 2)
            return false;
        len = (unsigned char)piece.ptr[at] | (size_t)(unsigned char)piece.ptr[at + 1] << 8;
        at += 2;
        if (piece.len - at < len || *count == SELECTION_IDS_MAX)
            return false;
        if (ids != NULL)
            ids[*count] = slice_of(piece.ptr + at, len);
        (*count)++;
        at += len;
    }
    return true;
}

static enum err
take_ids(struct job *job, const struct db_rows *rows, struct diag *diag)
{
    size_t bytes = 0, at = 0;
    uint32_t count = 0, taken = 0;
    bool is_sound = true;

    for (uint32_t row = 0; row < db_count(rows) && is_sound; row++) {
        bytes += db_bytes(rows, row, 0).len;
        is_sound = walk_piece(db_bytes(rows, row, 0), NULL, &count);
    }
    if (!is_sound || count == 0) {
        diag_set(diag, "the table of erasure_ids: those of erasure %llu are damaged",
                 (unsigned long long)job->erasure.id);
        return ERR_CORRUPT;
    }
    job->bytes = mem_alloc(bytes);
    job->ids = MEM_NEW(struct slice, count);
    if (job->bytes == NULL || job->ids == NULL) {
        diag_set(diag, "the ids of erasure %llu: out of memory",
                 (unsigned long long)job->erasure.id);
        return ERR_NOMEM;
    }
    for (uint32_t row = 0; row < db_count(rows); row++) {
        struct slice piece = db_bytes(rows, row, 0);

        memcpy(job->bytes + at, piece.ptr, piece.len);
        is_sound = walk_piece(slice_of(job->bytes + at, piece.len), job->ids, &taken);
        assert(is_sound);
        at += piece.len;
    }
    job->erasure.selection.ids = job->ids;
    job->erasure.selection.id_count = selection_sort_ids(job->ids, count);
    return ERR_OK;
}

static enum err
read_ids(struct account *account, struct job *job, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, (int64_t)job->erasure.id);
    err = db_ask(account->db, &erasure_ids, &values, &rows, diag);
    return err == ERR_OK ? take_ids(job, rows, diag) : err;
}

/* Within a transaction: wiped, and the line of the audit log; once. */
static enum err
finish(struct account *account, uint64_t id, struct diag *diag)
{
    static const struct account_actor server = {.kind = ACCOUNT_ACTOR_SERVER};
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    char hash[ERASURE_HASH_TEXT + 1], detail[96];
    enum err err;

    db_add_number(&values, (int64_t)id);
    db_add_time(&values, clock_wall_us(account->clock));
    err = db_ask(account->db, &erasure_finish, &values, &rows, diag);
    if (err != ERR_OK || db_count(rows) == 0)
        return err;
    values.count = 1;
    err = db_run(account->db, &erasure_drop_ids, &values, diag);
    if (err == ERR_OK)
        err = erasure_note_missed(account, id, diag);
    if (err != ERR_OK)
        return err;
    db_text(rows, 0, 1, hash, sizeof(hash));
    (void)snprintf(detail, sizeof(detail), "%lld events%s%s%s", (long long)db_number(rows, 0, 2),
                   db_number(rows, 0, 3) != 0 ? " counted, none erased" : "",
                   hash[0] != '\0' ? ", person " : "", hash);
    return account_note(account, &server, "erasure.done", (uint32_t)db_number(rows, 0, 0), diag,
                        detail, "erasure %llu", (unsigned long long)id);
}

/* A node that was seen lately when the others had done their part, and not since, is not waited for
 * any longer. */
static enum err
end_abandoned(struct account *account, struct diag *diag)
{
    DB_ROWS rows = NULL;
    enum err err = ERR_OK;

    if (account->db->driver->is_sqlite)
        return ERR_OK;
    err = db_ask(account->db, &erasure_abandoned, NULL, &rows, diag);
    if (err != ERR_OK || db_count(rows) == 0)
        return err;
    err = db_begin(account->db, true, diag);
    if (err != ERR_OK)
        return err;
    err = finish(account, (uint64_t)db_number(rows, 0, 0), diag);
    err = db_end(account->db, err, diag);
    account->db->is_scrub_due |= err == ERR_OK;
    return err;
}

enum err
erasure_next(struct account *account, const char *node, struct erasure **ret_erasure,
             struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    struct erasure *erasure;
    struct job *job;
    enum err err;

    db_add_text(&values, node);
    err = db_ask(account->db, &erasure_oldest, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    if (db_count(rows) == 0) {
        err = end_abandoned(account, diag);
        if (err == ERR_OK)
            err = db_scrub(account->db, diag);
        return err == ERR_OK ? ERR_ABSENT : err;
    }
    job = MEM_NEW(struct job, 1);
    if (job == NULL) {
        diag_set(diag, "the next erasure: out of memory");
        return ERR_NOMEM;
    }
    erasure = &job->erasure;
    err = erasure_of_row(rows, 0, erasure, diag);
    erasure_point_to_person(erasure);
    if (err == ERR_OK && erasure->selection.kind == SELECTION_IDS)
        err = read_ids(account, job, diag);
    if (err != ERR_OK) {
        erasure_free(&erasure);
        return err;
    }
    *ret_erasure = erasure;
    return ERR_OK;
}

static enum err
nodes_left(struct account *account, uint64_t id, int64_t *ret_count, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err = ERR_OK;

    *ret_count = 0;
    if (account->db->driver->is_sqlite)
        return ERR_OK;
    db_add_number(&values, (int64_t)id);
    err = db_ask(account->db, &erasure_nodes_left, &values, &rows, diag);
    if (err == ERR_OK)
        *ret_count = db_number(rows, 0, 0);
    return err;
}

static enum err
node_done(struct account *account, const char *node, const struct erasure *erasure,
          struct diag *diag)
{
    struct db_values values = {0};
    int64_t left = 0;
    enum err err;

    db_add_number(&values, (int64_t)erasure->id);
    db_add_text(&values, node);
    err = db_run(account->db, &erasure_node_done, &values, diag);
    if (err == ERR_OK && !erasure->is_dry_run)
        err = nodes_left(account, erasure->id, &left, diag);
    return err == ERR_OK && left == 0 ? finish(account, erasure->id, diag) : err;
}

/* Done already: nothing is left to tell. Else another node was first. */
static enum err
why_not_updated(struct account *account, const struct erasure *erasure, struct diag *diag)
{
    struct erasure found;
    enum err err = erasure_get(account, erasure->id, &found, diag);

    if (err != ERR_OK || found.state == ERASURE_DONE)
        return err;
    diag_set(diag, "erasure %llu: another node began it with bounds of its own; they are read anew",
             (unsigned long long)erasure->id);
    return ERR_CANCELLED;
}

static enum err
update(struct account *account, const struct erasure *erasure, struct diag *diag)
{
    const struct selection *selection = &erasure->selection;
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, (int64_t)erasure->id);
    /* Done is done when all nodes are. */
    db_add_text(&values, erasure_state_name(erasure->state == ERASURE_DONE ? ERASURE_IN_WAREHOUSE
                                                                           : erasure->state));
    db_add_text(&values, erasure->person_hash);
    db_add_number(&values, (int64_t)selection->seq_max);
    db_add_time(&values, selection->received_max_us == INT64_MAX ? 0 : selection->received_max_us);
    db_add_text(&values, erasure->position);
    db_add_number(&values, (int64_t)erasure->events);
    db_add_number(&values, (int64_t)erasure->done);
    db_add_number(&values, (int64_t)erasure->total);
    db_add_text(&values, erasure->error);
    err = db_ask(account->db, &erasure_update, &values, &rows, diag);
    return err == ERR_OK && db_count(rows) == 0 ? why_not_updated(account, erasure, diag) : err;
}

enum err
erasure_progress(struct account *account, const char *node, const struct erasure *erasure,
                 struct diag *diag)
{
    enum err wiped = ERR_OK;
    enum err err = db_begin(account->db, true, diag);

    if (err != ERR_OK)
        return err;
    err = update(account, erasure, diag);
    if (err == ERR_OK && erasure->state == ERASURE_DONE)
        err = node_done(account, node, erasure, diag);
    err = db_end(account->db, err, diag);
    if (err != ERR_OK || erasure->state != ERASURE_DONE)
        return err;
    account->db->is_scrub_due = true;
    /* PostgreSQL keeps the room of what a statement begun before may still see: erasure_next frees
     * it a while later. */
    if (account->db->driver->is_sqlite)
        wiped = db_scrub(account->db, NULL);
    (void)wiped; /* the change is made: erasure_next tries again, and tells */
    return ERR_OK;
}
