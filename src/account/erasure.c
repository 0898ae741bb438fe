/*
 * erasure - jobs as rows: asked for, and read. See erasure.h; done piece by piece: erasure_job.c.
 *
 * Bounds in the row: seq_max as it is (2^64 − 1, no bound, is −1 there), received_max NULL for
 * none. Ids stand in pieces of at most PIECE_BYTES, each id behind its length in 2 bytes,
 * little-endian.
 */
#include "account/erasure.h"

#include "account/erasure_inside.h"
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
static const struct db_statement project_delete = DB_BOTH(sql_project_delete);
static const struct db_statement project_revoke_keys = DB_BOTH(sql_project_revoke_keys);
static const struct db_statement project_drop_members = DB_BOTH(sql_project_drop_members);
static const struct db_statement project_drop_plan = DB_BOTH(sql_project_drop_plan);

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
check_room(struct account *account, uint32_t project_id, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, project_id);
    err = db_ask(account->db, &erasure_count_open, &values, &rows, diag);
    if (err != ERR_OK || db_number(rows, 0, 0) < ERASURE_OPEN_MAX)
        return err;
    diag_set(diag, "%d erasures of this project wait already; ask again when some are",
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
    enum err err = check_room(account, selection->project_id, diag);

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
        err = db_run(account->db, &project_drop_plan, &values, diag);
    if (err == ERR_OK)
        err = account_note(account, by, "project.deleted", project_id, diag, NULL, "project %u %s",
                           project_id, name);
    return err == ERR_OK ? insert(account, by, &erasure, ret_id, diag) : err;
}

enum err
erasure_check_project(uint32_t project_id, struct diag *diag)
{
    if (project_id != ACCOUNT_PROJECT_DEFAULT)
        return ERR_OK;
    diag_set(diag, "the first project (number 1) stays: no server starts without it; delete its "
                   "events by time of receipt, and revoke its keys");
    return ERR_CONFLICT;
}

enum err
erasure_delete_project(struct account *account, const struct account_actor *by, uint32_t project_id,
                       uint64_t *ret_erasure_id, struct diag *diag)
{
    uint64_t id = 0;
    enum err err = erasure_check_project(project_id, diag);

    if (err == ERR_OK)
        err = db_begin(account->db, true, diag);
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

enum err
erasure_of_row(const struct db_rows *rows, uint32_t row, struct erasure *ret_erasure,
               struct diag *diag)
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

void
erasure_point_to_person(struct erasure *erasure)
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
        err = erasure_of_row(rows, 0, &found, diag);
    if (err != ERR_OK)
        return err;
    *ret_erasure = found;
    erasure_point_to_person(ret_erasure);
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

        err = erasure_of_row(rows, row, &erasure, diag);
        if (err != ERR_OK)
            break;
        erasure_point_to_person(&erasure);
        each(state, &erasure);
    }
    return err;
}
