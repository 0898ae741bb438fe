/*
 * audit_log - GET /v1/audit: who did what, when, from where; newest first.
 *
 * Layer 6, at the desk. A server admin sees all lines, or those of one project; an owner those of
 * the project. `before` is the `next` of a page.
 */
#include "account/audit.h"
#include "api/internal.h"
#include "api/json.h"
#include "api/rows.h"
#include "codec/rfc3339.h"

#include <inttypes.h>

enum { FROM, TO, LIMIT, BEFORE };

struct writing {
    struct resource *res;
    uint32_t count;
    uint64_t last_id;
};

static void
write_line(void *state, const struct audit_line *line)
{
    struct writing *writing = state;
    const struct account_actor *actor = &line->actor;
    struct buf *body = writing->res->body;
    const char *email =
        actor->kind == ACCOUNT_ACTOR_LOGIN ? access_email(writing->res->access, actor->id) : NULL;

    buf_printf(body, "%s{\"id\":%" PRIu64 ",\"at\":", writing->count == 0 ? "" : ",", line->id);
    json_add_time(body, line->at_us);
    buf_printf(body, ",\"actor\":{\"kind\":\"%s\",\"id\":%" PRIu64 ",\"email\":",
               audit_actor_name(actor->kind), actor->id);
    json_add_text(body, email != NULL ? slice_of_text(email) : SLICE_NONE);
    buf_add_text(body, "},\"from\":");
    json_add_text(body, slice_of_text(actor->from));
    buf_add_text(body, ",\"action\":");
    json_add_text(body, slice_of_text(line->action));
    buf_add_text(body, ",\"project\":");
    if (line->project_id == 0)
        buf_add_text(body, "null");
    else
        buf_add_u64(body, line->project_id);
    buf_add_text(body, ",\"target\":");
    json_add_text(body, slice_of_text(line->target));
    buf_add_text(body, ",\"detail\":");
    json_add_text(body, slice_of_text(line->detail));
    buf_add_char(body, '}');
    writing->count++;
    writing->last_id = line->id;
}

static enum err
take_time(struct slice text, const char *name, int64_t fallback, int64_t *ret_us, struct diag *diag)
{
    *ret_us = fallback;
    if (text.ptr == NULL || rfc3339_parse(text, ret_us) == ERR_OK)
        return ERR_OK;
    diag_set_field(diag, name, "%s: must be a time, as 2026-01-31T12:00:00Z", name);
    return ERR_INVALID_PARAMETER;
}

static enum err
take_before(struct slice text, uint64_t *ret_id, struct diag *diag)
{
    uint64_t id = 0;
    bool is_good = text.len >= 1 && text.len <= 18;

    *ret_id = 0;
    if (text.ptr == NULL)
        return ERR_OK;
    for (size_t i = 0; is_good && i < text.len; i++) {
        is_good = text.ptr[i] >= '0' && text.ptr[i] <= '9';
        id = id * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    if (!is_good || id == 0) {
        diag_set_field(diag, "before", "before: must be the `next` of a page");
        return ERR_INVALID_PARAMETER;
    }
    *ret_id = id;
    return ERR_OK;
}

static enum err
run_audit(struct resource *res, struct diag *diag)
{
    struct audit_question question = {.project_id = res->project_id};
    struct writing writing = {.res = res};
    const struct slice *given = res->parameters;
    enum err err = take_time(given[FROM], "from", 1, &question.from_us, diag);

    if (err == ERR_OK)
        err = take_time(given[TO], "to", RFC3339_US_MAX, &question.to_us, diag);
    if (err == ERR_OK)
        err = rows_take_limit(given[LIMIT], AUDIT_LIMIT_MAX, 100, &question.limit, diag);
    if (err == ERR_OK)
        err = take_before(given[BEFORE], &question.before_id, diag);
    if (err != ERR_OK)
        return err;
    buf_add_text(res->body, "{\"lines\":[");
    err = audit_list(res->account, &question, write_line, &writing, diag);
    if (err != ERR_OK)
        return err;
    buf_add_text(res->body, "],\"next\":");
    if (writing.count == question.limit)
        buf_printf(res->body, "\"%" PRIu64 "\"}", writing.last_id);
    else
        buf_add_text(res->body, "null}");
    return ERR_OK;
}

const struct resource_kind audit_resource = {
    .lane = DESK_LANE, .run = run_audit, .parameters = {"from", "to", "limit", "before", NULL}};
