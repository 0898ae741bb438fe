/*
 * erasures - DELETE /v1/users/{id}: forget a person; POST /v1/deletions: undo a stretch of time or
 * some events; GET /v1/erasures, /v1/erasures/{id}: how far they are.
 *
 * Layer 6, at the desk; for owners. All are jobs (account/erasure.h): the answer is 202 with the
 * job, which the server takes up within a second or two. What is stored when it begins is covered.
 */
#include "account/erasure.h"
#include "api/internal.h"
#include "api/rows.h"
#include "base/mem.h"
#include "event/limits.h"

#define LIST_MAX 1000

static enum err
ask(struct resource *res, const struct erasure *erasure, struct diag *diag)
{
    uint64_t id = 0;
    enum err err = erasure_add(res->account, res->actor, erasure, &id, diag);

    if (err != ERR_OK)
        return err;
    res->status = 202;
    return rows_answer_erasure(res, id, diag);
}

static enum err
run_forget(struct resource *res, struct diag *diag)
{
    const struct erasure erasure = {
        .reason = ERASURE_PERSON,
        .selection = {.project_id = res->project_id,
                      .kind = SELECTION_PERSON,
                      .person = res->segments[0]},
    };

    if (res->segments[0].len > LIMIT_USER_ID_BYTES) {
        diag_set_field(diag, "user_id", "user_id: 1 to %d bytes", LIMIT_USER_ID_BYTES);
        return ERR_TOO_LONG;
    }
    return ask(res, &erasure, diag);
}

const struct resource_kind person_forget_resource = {.lane = DESK_LANE, .run = run_forget};

/* --- deletions --------------------------------------------------------------------------------*/

enum {
    RECEIVED_FROM,
    RECEIVED_TO,
    OCCURRED_FROM,
    OCCURRED_TO,
    EVENT_IDS,
    FREE_IDS,
    DRY_RUN,
    FIELDS
};

static enum err
take_range(const struct body_value *from, const char *from_name, const struct body_value *to,
           const char *to_name, struct selection *selection, struct diag *diag)
{
    enum err err;

    if (!from->is_given || !to->is_given) {
        diag_set_field(diag, from->is_given ? to_name : from_name,
                       "%s: is needed: a range has both ends",
                       from->is_given ? to_name : from_name);
        return ERR_MISSING_FIELD;
    }
    err = rows_take_time(from, from_name, &selection->from_us, diag);
    if (err == ERR_OK)
        err = rows_take_time(to, to_name, &selection->to_us, diag);
    if (err == ERR_OK && selection->from_us >= selection->to_us) {
        diag_set_field(diag, to_name, "%s: must be after %s, and is not included", to_name,
                       from_name);
        err = ERR_INVALID_PARAMETER;
    }
    return err;
}

static enum err
take_ids(struct body_value *value, struct selection *selection, struct diag *diag)
{
    for (size_t i = 0; i < value->text_count; i++) {
        if (value->texts[i].len < 1 || value->texts[i].len > LIMIT_EVENT_ID_BYTES) {
            diag_set_field(diag, "event_ids", "event_ids: number %zu must have 1 to %d bytes", i,
                           LIMIT_EVENT_ID_BYTES);
            return ERR_TOO_LONG;
        }
    }
    if (value->text_count == 0) {
        diag_set_field(diag, "event_ids", "event_ids: is empty");
        return ERR_EMPTY_FIELD;
    }
    selection->id_count = selection_sort_ids(value->texts, (uint32_t)value->text_count);
    selection->ids = value->texts;
    return ERR_OK;
}

static enum err
take_selection(struct body_value *values, struct selection *selection, struct diag *diag)
{
    const bool is_received = values[RECEIVED_FROM].is_given || values[RECEIVED_TO].is_given;
    const bool is_occurred = values[OCCURRED_FROM].is_given || values[OCCURRED_TO].is_given;
    const bool is_ids = values[EVENT_IDS].is_given;

    if (is_received + is_occurred + is_ids != 1) {
        diag_set(diag, "name one of: received_from and received_to, occurred_from and occurred_to, "
                       "event_ids");
        return ERR_INVALID_PARAMETER;
    }
    if (is_ids) {
        selection->kind = SELECTION_IDS;
        return take_ids(&values[EVENT_IDS], selection, diag);
    }
    selection->kind = is_received ? SELECTION_RECEIVED : SELECTION_OCCURRED;
    if (is_received)
        return take_range(&values[RECEIVED_FROM], "received_from", &values[RECEIVED_TO],
                          "received_to", selection, diag);
    return take_range(&values[OCCURRED_FROM], "occurred_from", &values[OCCURRED_TO], "occurred_to",
                      selection, diag);
}

static enum err
run_delete(struct resource *res, struct diag *diag)
{
    static const struct body_field fields[FIELDS] = {
        [RECEIVED_FROM] = {"received_from", BODY_TEXT, false},
        [RECEIVED_TO] = {"received_to", BODY_TEXT, false},
        [OCCURRED_FROM] = {"occurred_from", BODY_TEXT, false},
        [OCCURRED_TO] = {"occurred_to", BODY_TEXT, false},
        [EVENT_IDS] = {"event_ids", BODY_TEXTS, false},
        [FREE_IDS] = {"free_ids", BODY_BOOL, false},
        [DRY_RUN] = {"dry_run", BODY_BOOL, false},
    };
    struct erasure erasure = {.reason = ERASURE_UNDO, .selection = {.project_id = res->project_id}};
    struct body_value values[FIELDS];
    enum err err = resource_read_body(res, fields, FIELDS, values, diag);

    if (err == ERR_OK)
        err = take_selection(values, &erasure.selection, diag);
    if (err != ERR_OK)
        return err;
    erasure.frees_ids = values[FREE_IDS].flag;
    erasure.is_dry_run = values[DRY_RUN].flag;
    return ask(res, &erasure, diag);
}

const struct resource_kind deletion_resource = {
    .lane = DESK_LANE,
    .run = run_delete,
    .body_bytes_max = DESK_REQUEST_BYTES_MAX, /* BODY_TEXTS_MAX ids, with escapes and all */
    .long_field = "event_ids",
};

/* --- reading ----------------------------------------------------------------------------------*/

struct writing {
    struct buf *body;
    bool is_first;
};

static void
write_one(void *state, const struct erasure *erasure)
{
    struct writing *writing = state;

    if (!writing->is_first)
        buf_add_char(writing->body, ',');
    rows_write_erasure(erasure, writing->body);
    writing->is_first = false;
}

static enum err
run_list(struct resource *res, struct diag *diag)
{
    struct writing writing = {res->body, true};
    uint32_t limit = 0;
    enum err err = rows_take_limit(res->parameters[0], LIST_MAX, 50, &limit, diag);

    if (err != ERR_OK)
        return err;
    buf_add_text(res->body, "{\"erasures\":[");
    err = erasure_list(res->account, res->project_id, limit, write_one, &writing, diag);
    buf_add_text(res->body, "]}");
    return err;
}

const struct resource_kind erasures_list_resource = {
    .lane = DESK_LANE, .run = run_list, .parameters = {"limit", NULL}};

static enum err
run_get(struct resource *res, struct diag *diag)
{
    struct erasure erasure;
    uint64_t id = 0;
    enum err err = resource_segment_number(res, 0, &id);

    if (err == ERR_OK)
        err = erasure_get(res->account, id, &erasure, diag);
    if (err == ERR_OK && res->project_id != 0 && erasure.selection.project_id != res->project_id)
        err = ERR_NOT_FOUND;
    if (err == ERR_ABSENT || err == ERR_NOT_FOUND)
        diag_set(diag, "there is no such erasure in this project");
    if (err != ERR_OK)
        return err;
    buf_add_text(res->body, "{\"erasure\":");
    rows_write_erasure(&erasure, res->body);
    buf_add_char(res->body, '}');
    return ERR_OK;
}

const struct resource_kind erasure_get_resource = {.lane = DESK_LANE, .run = run_get};
