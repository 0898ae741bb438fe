/*
 * erasure - jobs as rows. See erasure.h.
 *
 * Bounds in the row: seq_max as it is (2^64 − 1, no bound, is −1 there), received_max NULL for
 * none. Ids stand in pieces of at most PIECE_BYTES, each id behind its length in 2 bytes,
 * little-endian.
 */
#include "account/erasure.h"

#include "account/inside.h"
#include "base/buf.h"
#include "base/mem.h"
#include "erasure_sql.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define PIECE_BYTES ((size_t)1 << 20)

static const struct db_statement erasure_count_open = DB_BOTH(sql_erasure_count_open);
static const struct db_statement erasure_insert = DB_BOTH(sql_erasure_insert);
static const struct db_statement erasure_insert_ids = DB_BOTH(sql_erasure_insert_ids);
static const struct db_statement erasure_select = DB_BOTH(sql_erasure_get);
static const struct db_statement erasure_all = DB_BOTH(sql_erasure_list);
static const struct db_statement erasure_oldest = DB_BOTH(sql_erasure_next);
static const struct db_statement erasure_ids = DB_BOTH(sql_erasure_ids);
static const struct db_statement erasure_update = DB_BOTH(sql_erasure_update);
static const struct db_statement erasure_node_done = DB_BOTH(sql_erasure_node_done);
static const struct db_statement erasure_nodes_left = {NULL, sql_erasure_nodes_left};
static const struct db_statement erasure_finish = DB_BOTH(sql_erasure_finish);
static const struct db_statement erasure_drop_ids = DB_BOTH(sql_erasure_drop_ids);
static const struct db_statement project_delete = DB_BOTH(sql_project_delete);
static const struct db_statement project_revoke_keys = DB_BOTH(sql_project_revoke_keys);
static const struct db_statement project_drop_members = DB_BOTH(sql_project_drop_members);

/* --- words ------------------------------------------------------------------------------------*/

static const char *const state_names[] = {
    [ERASURE_WAITING] = "waiting",
    [ERASURE_IN_STORE] = "in_store",
    [ERASURE_IN_WAREHOUSE] = "in_warehouse",
    [ERASURE_DONE] = "done",
};
static const char *const reason_names[] = {
    [ERASURE_PERSON] = "person",
    [ERASURE_UNDO] = "undo",
    [ERASURE_RETENTION] = "retention",
    [ERASURE_PROJECT] = "project",
};
static const char *const kind_names[] = {
    [SELECTION_PERSON] = "person",     [SELECTION_RECEIVED] = "received",
    [SELECTION_OCCURRED] = "occurred", [SELECTION_IDS] = "ids",
    [SELECTION_ALL] = "all",
};

const char *
erasure_state_name(enum erasure_state state)
{
    return state_names[state];
}

const char *
erasure_reason_name(enum erasure_reason reason)
{
    return reason_names[reason];
}

const char *
erasure_kind_name(enum selection_kind kind)
{
    return kind_names[kind];
}

static bool
name_find(const char *const *names, uint32_t count, struct slice name, uint32_t *ret_place)
{
    for (uint32_t i = 0; i < count; i++) {
        if (slice_equal(name, slice_of_text(names[i]))) {
            *ret_place = i;
            return true;
        }
    }
    return false;
}

/* --- adding -----------------------------------------------------------------------------------*/

static enum err
insert_piece(struct account *account, uint64_t id, uint32_t piece, struct buf *bytes,
             struct diag *diag)
{
    struct db_values values = {0};
    enum err err;

    if (buf_failed(bytes)) {
        diag_set(diag, "ids of an erasure: out of memory");
        return ERR_NOMEM;
    }
    db_add_number(&values, (int64_t)id);
    db_add_number(&values, piece);
    db_add_bytes(&values, bytes->ptr, bytes->len);
    err = db_run(account->db, &erasure_insert_ids, &values, diag);
    buf_clear(bytes);
    return err;
}

static enum err
insert_ids(struct account *account, uint64_t id, const struct selection *selection,
           struct diag *diag)
{
    CLEANUP(buf_fini) struct buf bytes;
    uint32_t piece = 0;
    enum err err = ERR_OK;

    buf_init(&bytes, PIECE_BYTES);
    for (uint32_t i = 0; i < selection->id_count && err == ERR_OK; i++) {
        struct slice event_id = selection->ids[i];

        if (bytes.len + 2 + event_id.len > PIECE_BYTES)
            err = insert_piece(account, id, piece++, &bytes, diag);
        assert(event_id.len <= UINT16_MAX);
        buf_add_char(&bytes, (char)(event_id.len & 0xFF));
        buf_add_char(&bytes, (char)(event_id.len >> 8));
        buf_add(&bytes, event_id.ptr, event_id.len);
    }
    /* A buffer that could not grow is empty: a job without its ids would be no error to anybody. */
    if (err == ERR_OK && (bytes.len != 0 || buf_failed(&bytes)))
        err = insert_piece(account, id, piece, &bytes, diag);
    return err;
}

static enum err
check_room(struct account *account, struct diag *diag)
{
    DB_ROWS rows = NULL;
    enum err err = db_ask(account->db, &erasure_count_open, NULL, &rows, diag);

    if (err != ERR_OK || db_number(rows, 0, 0) < ERASURE_OPEN_MAX)
        return err;
    diag_set(diag, "%d erasures wait to be done already; ask again when some are",
             ERASURE_OPEN_MAX);
    return ERR_FULL;
}

/* Within a transaction. */
static enum err
insert(struct account *account, const struct account_actor *by, const struct erasure *erasure,
       uint64_t *ret_id, struct diag *diag)
{
    const struct selection *selection = &erasure->selection;
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    char detail[64];
    enum err err = check_room(account, diag);

    if (err != ERR_OK)
        return err;
    db_add_number(&values, selection->project_id);
    db_add_text(&values, reason_names[erasure->reason]);
    db_add_text(&values, kind_names[selection->kind]);
    db_add_slice(&values, selection->kind == SELECTION_PERSON ? selection->person : SLICE_NONE);
    db_add_time(&values, selection->from_us);
    db_add_time(&values, selection->to_us);
    db_add_number(&values, erasure->frees_ids);
    db_add_number(&values, erasure->is_dry_run);
    db_add_time(&values, clock_wall_us(account->clock));
    err = db_ask(account->db, &erasure_insert, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    *ret_id = (uint64_t)db_number(rows, 0, 0);
    if (selection->kind == SELECTION_IDS)
        err = insert_ids(account, *ret_id, selection, diag);
    if (err != ERR_OK)
        return err;
    (void)snprintf(detail, sizeof(detail), "%s%s%s", kind_names[selection->kind],
                   erasure->frees_ids ? ", ids freed" : "", erasure->is_dry_run ? ", dry run" : "");
    return account_note(account, by, "erasure.requested", selection->project_id, diag, detail,
                        "erasure %llu (%s)", (unsigned long long)*ret_id,
                        reason_names[erasure->reason]);
}

static enum err
check_selection(const struct selection *selection, struct diag *diag)
{
    if (selection->kind == SELECTION_PERSON &&
        (selection->person.len == 0 || selection->person.len > ERASURE_PERSON_BYTES)) {
        diag_set_field(diag, "user_id", "user_id: must be 1 to %d bytes", ERASURE_PERSON_BYTES);
        return ERR_INVALID;
    }
    if (selection->kind == SELECTION_IDS &&
        (selection->id_count == 0 || selection->id_count > SELECTION_IDS_MAX)) {
        diag_set_field(diag, "ids", "ids: must be 1 to %u; ask for more erasures",
                       SELECTION_IDS_MAX);
        return ERR_INVALID;
    }
    return ERR_OK;
}

enum err
erasure_add(struct account *account, const struct account_actor *by, const struct erasure *erasure,
            uint64_t *ret_id, struct diag *diag)
{
    struct account_project project;
    uint64_t id = 0;
    enum err err = check_selection(&erasure->selection, diag);

    if (err == ERR_OK)
        err = db_begin(account->db, true, diag);
    if (err != ERR_OK)
        return err;
    err = account_project_get(account, erasure->selection.project_id, &project, diag);
    if (err == ERR_OK)
        err = insert(account, by, erasure, &id, diag);
    err = db_end(account->db, err, diag);
    if (err == ERR_OK)
        *ret_id = id;
    return err;
}

static enum err
delete_project(struct account *account, const struct account_actor *by, uint32_t project_id,
               uint64_t *ret_id, struct diag *diag)
{
    const struct erasure erasure = {
        .reason = ERASURE_PROJECT,
        .selection = {.project_id = project_id, .kind = SELECTION_ALL},
        .frees_ids = true,
    };
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    char name[ACCOUNT_NAME_BYTES + 1];
    enum err err;

    db_add_number(&values, project_id);
    db_add_time(&values, clock_wall_us(account->clock));
    err = db_ask(account->db, &project_delete, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    if (db_count(rows) == 0) {
        diag_set(diag, "there is no project %u", project_id);
        return ERR_ABSENT;
    }
    db_text(rows, 0, 0, name, sizeof(name));
    err = db_run(account->db, &project_revoke_keys, &values, diag);
    values.count = 1; /* the id alone */
    if (err == ERR_OK)
        err = db_run(account->db, &project_drop_members, &values, diag);
    if (err == ERR_OK)
        err = account_note(account, by, "project.deleted", project_id, diag, NULL, "project %u %s",
                           project_id, name);
    return err == ERR_OK ? insert(account, by, &erasure, ret_id, diag) : err;
}

enum err
erasure_delete_project(struct account *account, const struct account_actor *by, uint32_t project_id,
                       uint64_t *ret_erasure_id, struct diag *diag)
{
    uint64_t id = 0;
    enum err err = db_begin(account->db, true, diag);

    if (err != ERR_OK)
        return err;
    err = delete_project(account, by, project_id, &id, diag);
    err = db_end(account->db, err, diag);
    if (err == ERR_OK)
        *ret_erasure_id = id;
    return err;
}

/* --- reading ----------------------------------------------------------------------------------*/

enum column {
    ID,
    PROJECT_ID,
    REASON,
    KIND,
    STATE,
    PERSON,
    PERSON_HASH,
    FROM_AT,
    TO_AT,
    SEQ_MAX,
    RECEIVED_MAX,
    POSITION,
    FREES_IDS,
    IS_DRY_RUN,
    EVENTS,
    DONE,
    TOTAL,
    ERROR,
    REQUESTED_AT,
    FINISHED_AT
};

static enum err
of_row(const struct db_rows *rows, uint32_t row, struct erasure *ret_erasure, struct diag *diag)
{
    struct selection *selection = &ret_erasure->selection;
    uint32_t reason, kind, state;

    *ret_erasure = (struct erasure){.id = (uint64_t)db_number(rows, row, ID)};
    if (!name_find(reason_names, COUNT_OF(reason_names), db_bytes(rows, row, REASON), &reason) ||
        !name_find(kind_names, COUNT_OF(kind_names), db_bytes(rows, row, KIND), &kind) ||
        !name_find(state_names, COUNT_OF(state_names), db_bytes(rows, row, STATE), &state)) {
        diag_set(diag, "the table of erasures: %lld is damaged",
                 (long long)db_number(rows, row, ID));
        return ERR_CORRUPT;
    }
    ret_erasure->reason = (enum erasure_reason)reason;
    ret_erasure->state = (enum erasure_state)state;
    selection->kind = (enum selection_kind)kind;
    selection->project_id = (uint32_t)db_number(rows, row, PROJECT_ID);
    db_text(rows, row, PERSON, ret_erasure->person, sizeof(ret_erasure->person));
    db_text(rows, row, PERSON_HASH, ret_erasure->person_hash, sizeof(ret_erasure->person_hash));
    selection->from_us = db_time(rows, row, FROM_AT);
    selection->to_us = db_time(rows, row, TO_AT);
    selection->seq_max = (uint64_t)db_number(rows, row, SEQ_MAX);
    selection->received_max_us =
        db_is_null(rows, row, RECEIVED_MAX) ? INT64_MAX : db_time(rows, row, RECEIVED_MAX);
    db_text(rows, row, POSITION, ret_erasure->position, sizeof(ret_erasure->position));
    ret_erasure->frees_ids = db_number(rows, row, FREES_IDS) != 0;
    ret_erasure->is_dry_run = db_number(rows, row, IS_DRY_RUN) != 0;
    ret_erasure->events = (uint64_t)db_number(rows, row, EVENTS);
    ret_erasure->done = (uint64_t)db_number(rows, row, DONE);
    ret_erasure->total = (uint64_t)db_number(rows, row, TOTAL);
    db_text(rows, row, ERROR, ret_erasure->error, sizeof(ret_erasure->error));
    ret_erasure->requested_at_us = db_time(rows, row, REQUESTED_AT);
    ret_erasure->finished_at_us = db_time(rows, row, FINISHED_AT);
    return ERR_OK;
}

/* What was copied points into the copy. */
static void
point_to_person(struct erasure *erasure)
{
    erasure->selection.person = slice_of_text(erasure->person);
}

enum err
erasure_get(struct account *account, uint64_t id, struct erasure *ret_erasure, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    struct erasure found;
    enum err err;

    db_add_number(&values, (int64_t)id);
    err = db_ask(account->db, &erasure_select, &values, &rows, diag);
    if (err == ERR_OK && db_count(rows) == 0) {
        diag_set(diag, "there is no erasure %llu", (unsigned long long)id);
        err = ERR_ABSENT;
    }
    if (err == ERR_OK)
        err = of_row(rows, 0, &found, diag);
    if (err != ERR_OK)
        return err;
    *ret_erasure = found;
    point_to_person(ret_erasure);
    return ERR_OK;
}

enum err
erasure_list(struct account *account, uint32_t project_id, uint32_t limit,
             void (*each)(void *state, const struct erasure *erasure), void *state,
             struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, project_id);
    db_add_number(&values, limit);
    err = db_ask(account->db, &erasure_all, &values, &rows, diag);
    for (uint32_t row = 0; err == ERR_OK && row < db_count(rows); row++) {
        struct erasure erasure;

        err = of_row(rows, row, &erasure, diag);
        if (err != ERR_OK)
            break;
        point_to_person(&erasure);
        each(state, &erasure);
    }
    return err;
}

/* --- a job under way --------------------------------------------------------------------------*/

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
        err = db_scrub(account->db, diag);
        return err == ERR_OK ? ERR_ABSENT : err;
    }
    job = MEM_NEW(struct job, 1);
    if (job == NULL) {
        diag_set(diag, "the next erasure: out of memory");
        return ERR_NOMEM;
    }
    erasure = &job->erasure;
    err = of_row(rows, 0, erasure, diag);
    point_to_person(erasure);
    if (err == ERR_OK && erasure->selection.kind == SELECTION_IDS)
        err = read_ids(account, job, diag);
    if (err != ERR_OK) {
        erasure_free(&erasure);
        return err;
    }
    *ret_erasure = erasure;
    return ERR_OK;
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
    if (err != ERR_OK)
        return err;
    db_text(rows, 0, 1, hash, sizeof(hash));
    (void)snprintf(detail, sizeof(detail), "%lld events%s%s", (long long)db_number(rows, 0, 2),
                   hash[0] != '\0' ? ", person " : "", hash);
    return account_note(account, &server, "erasure.done", (uint32_t)db_number(rows, 0, 0), diag,
                        detail, "erasure %llu", (unsigned long long)id);
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
    db_add_text(
        &values,
        state_names[erasure->state == ERASURE_DONE ? ERASURE_IN_WAREHOUSE : erasure->state]);
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
    enum err wiped;
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
    wiped = db_scrub(account->db, NULL);
    (void)wiped; /* the change is made: erasure_next tries again, and tells */
    return ERR_OK;
}
