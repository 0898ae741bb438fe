/*
 * rejected - GET /v1/rejected: refused events that are kept, newest first; GET /v1/rejected/{id}:
 * one of them, with what was sent.
 *
 * Layer 6, at the desk. How they come in: events.c; how they are kept: rejects/rejects.h. `before`
 * is the `next` of a page; a page may be short and have a next one all the same, where much had to
 * be looked through. Where refused events are not kept the list is empty and says so.
 */
#include "account/audit.h"
#include "api/internal.h"
#include "api/json.h"
#include "api/listing.h"
#include "api/rows.h"
#include "codec/base64.h"
#include "codec/utf8.h"

#include <inttypes.h>

#define LIMIT_DEFAULT 50
#define ID_DIGITS_MAX 18

enum { LIMIT, BEFORE, CODE, EVENT_ID };

bool
rejected_parse_id(struct slice text, uint64_t *ret_id)
{
    uint64_t id = 0;

    if (text.len == 0 || text.len > ID_DIGITS_MAX || text.ptr[0] == '0')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        id = id * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret_id = id;
    return true;
}

/* A file may have been written by a program that knows more kinds. */
static const char *
sender_name(uint8_t kind)
{
    return audit_actor_name(kind <= ACCOUNT_ACTOR_SERVER ? (enum account_actor_kind)kind
                                                         : ACCOUNT_ACTOR_NOBODY);
}

static void
write_members(const struct reject *reject, struct buf *body)
{
    buf_printf(body, "{\"id\":%" PRIu64 ",\"received_at\":", reject->id);
    json_add_time(body, reject->received_at_us);
    buf_add_text(body, ",\"code\":");
    json_add_text(body, reject->code);
    buf_add_text(body, ",\"field\":");
    json_add_text(body, reject->field);
    buf_add_text(body, ",\"message\":");
    json_add_text(body, reject->message);
    buf_add_text(body, ",\"event_id\":");
    json_add_text(body, reject->event_id);
    buf_add_text(body, ",\"request_id\":");
    json_add_text(body, reject->request_id);
    buf_printf(body, ",\"index\":%" PRIu32 ",\"sender\":{\"kind\":\"%s\",\"id\":%" PRIu64 "}",
               reject->index, sender_name(reject->sender_kind), reject->sender_id);
    buf_printf(body, ",\"bytes\":%zu,\"is_cut\":%s", reject->original.len,
               reject->is_cut ? "true" : "false");
}

/* --- the list ---------------------------------------------------------------------------------*/

struct writing {
    struct buf *body;
    bool is_first;
};

static enum err
write_one(void *state, const struct reject *reject)
{
    struct writing *writing = state;

    buf_add_text(writing->body, writing->is_first ? "\n" : ",\n");
    writing->is_first = false;
    write_members(reject, writing->body);
    buf_add_char(writing->body, '}');
    return buf_failed(writing->body) ? ERR_NOMEM : ERR_OK;
}

static enum err
run_list(struct resource *res, struct diag *diag)
{
    struct rejects *rejects = res->api->config.rejects;
    const struct slice *given = res->parameters;
    struct rejects_question question = {
        .project_id = res->project_id, .code = given[CODE], .event_id = given[EVENT_ID]};
    struct writing writing = {res->body, true};
    uint64_t next = 0;
    enum err err =
        rows_take_limit(given[LIMIT], LISTING_LIMIT_MAX, LIMIT_DEFAULT, &question.limit, diag);

    if (err == ERR_OK && given[BEFORE].ptr != NULL &&
        !rejected_parse_id(given[BEFORE], &question.before)) {
        diag_set_field(diag, "before", "before: must be the `next` of a page");
        err = ERR_INVALID_PARAMETER;
    }
    if (err != ERR_OK)
        return err;
    buf_add_text(res->body, "{\"rejected\":[");
    if (rejects != NULL)
        err = rejects_list(rejects, &question, write_one, &writing, &next, diag);
    if (err != ERR_OK)
        return err;
    buf_add_text(res->body, writing.is_first ? "],\"next\":" : "\n],\"next\":");
    if (next != 0)
        buf_printf(res->body, "\"%" PRIu64 "\"", next);
    else
        buf_add_text(res->body, "null");
    buf_printf(res->body, ",\"kept\":%s}", rejects != NULL ? "true" : "false");
    return ERR_OK;
}

const struct resource_kind rejected_list_resource = {
    .lane = DESK_LANE,
    .run = run_list,
    .parameters = {"limit", "before", "code", "event_id", NULL}};

/* --- one --------------------------------------------------------------------------------------*/

static enum err
write_whole(void *state, const struct reject *reject)
{
    struct resource *res = state;
    const bool is_text = utf8_is_valid(reject->original);
    struct slice base64 = SLICE_NONE;

    if (!is_text && base64_encode(reject->original, false, res->arena, &base64) != ERR_OK)
        return ERR_NOMEM;
    buf_add_text(res->body, "{\"rejected\":");
    write_members(reject, res->body);
    buf_add_text(res->body, ",\"original\":");
    json_add_text(res->body, is_text ? reject->original : SLICE_NONE);
    buf_add_text(res->body, ",\"original_base64\":");
    json_add_text(res->body, base64);
    buf_add_text(res->body, "}}");
    return buf_failed(res->body) ? ERR_NOMEM : ERR_OK;
}

static enum err
run_get(struct resource *res, struct diag *diag)
{
    struct rejects *rejects = res->api->config.rejects;
    uint64_t id = 0;
    enum err err = resource_segment_number(res, 0, &id);

    if (err == ERR_OK && rejects == NULL) {
        diag_set(diag, "refused events are not kept here; the setting keep-rejected");
        return ERR_NOT_FOUND;
    }
    if (err == ERR_OK)
        err = rejects_find(rejects, res->project_id, id, write_whole, res, diag);
    if (err == ERR_ABSENT || err == ERR_NOT_FOUND) {
        diag_set(diag, "no refused event of this id is kept in this project (any more)");
        err = ERR_NOT_FOUND;
    }
    return err;
}

const struct resource_kind rejected_get_resource = {.lane = DESK_LANE, .run = run_get};
