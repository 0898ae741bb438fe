/*
 * tracking_plan - GET, PUT /v1/tracking-plan: what a project's events may be.
 *
 * Layer 6, at the desk. The document is stored as it was sent, once plan_compile has found nothing
 * wrong with it; the loops' table is renewed before the reply leaves. The revision is the ETag:
 * PUT with If-Match changes only what its sender has read. Counts of violations are this process's,
 * of the plan that loops have in hand. What was learnt comes from the warehouse; ?suggest=true
 * makes a plan of it.
 */
#include "account/tracking_plan.h"

#include "api/internal.h"
#include "api/json.h"
#include "api/learnt.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

#define EMPTY_PLAN "{\"unknown_events\":\"observe\",\"events\":{}}"

/* --- the revision -----------------------------------------------------------------------------*/

static enum err
add_etag(struct resource *res, uint64_t revision)
{
    struct slice text = arena_printf(res->arena, "\"%" PRIu64 "\"", revision);

    if (text.ptr == NULL)
        return ERR_NOMEM;
    errand_add_header(&res->job->errand, "ETag", text);
    return ERR_OK;
}

/* `"7"`, or `*`: whatever stands, but something. */
static enum err
take_if_match(const struct resource *res, uint64_t *ret_expected, bool *ret_is_any,
              struct diag *diag)
{
    struct slice text = res->if_match;
    uint64_t revision = 0;
    bool is_good =
        text.len >= 3 && text.len <= 20 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"';

    *ret_expected = TRACKING_PLAN_ANY_REVISION;
    *ret_is_any = text.ptr != NULL && slice_equal(text, SLICE("*"));
    if (text.ptr == NULL || *ret_is_any)
        return ERR_OK;
    for (size_t i = 1; is_good && i + 1 < text.len; i++) {
        is_good = text.ptr[i] >= '0' && text.ptr[i] <= '9';
        revision = revision * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    if (!is_good) {
        /* An entity tag that is none of ours matches nothing. */
        diag_set_field(diag, "If-Match",
                       "If-Match: must be the ETag of GET /v1/tracking-plan, like \"7\"");
        return ERR_PRECONDITION_FAILED;
    }
    *ret_expected = revision;
    return ERR_OK;
}

/* --- reading ----------------------------------------------------------------------------------*/

/* Violations of one type in mode warn, stored all the same. */
static void
write_violations(const struct plan *plan, uint32_t i, bool is_first, struct buf *body)
{
    struct plan_violations counts;
    struct slice name = plan_type_name(plan, i);

    plan_type_violations(plan, i, &counts);
    if (!is_first)
        buf_add_char(body, ',');
    buf_add_text(body, "{\"event_type\":");
    json_add_text(body, name);
    buf_printf(body, ",\"count\":%" PRIu64 ",\"last\":{\"property\":", counts.count);
    json_add_text(body, slice_of_text(counts.last.field));
    buf_add_text(body, ",\"reason\":");
    json_add_text(body, slice_of_text(counts.last.message));
    buf_add_text(body, ",\"at\":");
    json_add_time(body, counts.last_us);
    buf_add_text(body, "}}");
}

static void
write_all_violations(const struct plan *plan, struct buf *body)
{
    struct plan_violations counts;
    bool is_first = true;

    buf_add_text(body, ",\"violations\":[");
    for (uint32_t i = 0; plan != NULL && i <= plan_type_count(plan); i++) {
        plan_type_violations(plan, i, &counts);
        if (counts.last_us == 0)
            continue;
        write_violations(plan, i, is_first, body);
        is_first = false;
    }
    buf_add_char(body, ']');
}

/* ?suggest=true */
static enum err
take_suggest(const struct resource *res, bool *ret_wants_plan, struct diag *diag)
{
    struct slice text = res->parameters[0];

    *ret_wants_plan = text.ptr != NULL && slice_equal(text, SLICE("true"));
    if (text.ptr == NULL || *ret_wants_plan || slice_equal(text, SLICE("false")))
        return ERR_OK;
    diag_set_field(diag, "suggest", "suggest: must be true or false");
    return ERR_INVALID_PARAMETER;
}

static enum err
run_get(struct resource *res, struct diag *diag)
{
    struct warehouse *warehouse = res->api->config.warehouse;
    struct tracking_plan plan;
    bool wants_plan;
    enum err err = take_suggest(res, &wants_plan, diag);

    if (err != ERR_OK || wants_plan)
        return err != ERR_OK ? err : learnt_write_plan(warehouse, res->project_id, res->body, diag);
    err = tracking_plan_get(res->account, res->project_id, res->arena, &plan, diag);

    if (err == ERR_OK)
        err = add_etag(res, plan.revision);
    if (err != ERR_OK)
        return err;
    buf_printf(res->body, "{\"revision\":%" PRIu64 ",\"changed_at\":", plan.revision);
    if (plan.revision == 0)
        buf_add_text(res->body, "null");
    else
        json_add_time(res->body, plan.changed_at_us);
    buf_add_text(res->body, ",\"plan\":");
    buf_add_slice(res->body, plan.revision == 0 ? SLICE(EMPTY_PLAN) : plan.document);
    write_all_violations(access_plan(res->access, res->project_id, NULL), res->body);
    buf_add_text(res->body, ",\"learnt\":");
    err = learnt_write_seen(warehouse, res->project_id, res->body, diag);
    buf_add_char(res->body, '}');
    return err;
}

const struct resource_kind tracking_plan_get_resource = {
    .lane = DESK_LANE, .run = run_get, .parameters = {"suggest", NULL}};

/* --- setting ----------------------------------------------------------------------------------*/

/* For the audit log: how many types of which mode. */
static void
summarize(const struct plan *plan, char *ret_text, size_t size)
{
    uint32_t counts[] = {[PLAN_OBSERVE] = 0, [PLAN_WARN] = 0, [PLAN_ENFORCE] = 0};
    uint32_t types = plan_type_count(plan);

    for (uint32_t i = 0; i < types; i++)
        counts[plan_type_mode(plan, i)]++;
    (void)snprintf(ret_text, size,
                   "%" PRIu32 " types: %" PRIu32 " observe, %" PRIu32 " warn, %" PRIu32
                   " enforce; unknown_events %s",
                   types, counts[PLAN_OBSERVE], counts[PLAN_WARN], counts[PLAN_ENFORCE],
                   plan_mode_name(plan_type_mode(plan, types)));
}

static enum err
check_any(struct resource *res, struct diag *diag)
{
    struct tracking_plan stands;
    enum err err = tracking_plan_get(res->account, res->project_id, res->arena, &stands, diag);

    if (err != ERR_OK || stands.revision != 0)
        return err;
    diag_set_field(diag, "If-Match", "If-Match: the project has no plan yet");
    return ERR_PRECONDITION_FAILED;
}

static enum err
run_set(struct resource *res, struct diag *diag)
{
    struct plan *compiled = NULL;
    struct tracking_plan plan;
    char summary[160];
    uint64_t expected;
    bool is_any;
    enum err err = take_if_match(res, &expected, &is_any, diag);

    if (err == ERR_OK && res->body_text.len == 0)
        err = ERR_EMPTY_BODY;
    if (err == ERR_OK)
        err = plan_compile(res->body_text, &compiled, diag);
    if (err != ERR_OK)
        return err;
    summarize(compiled, summary, sizeof(summary));
    plan_release(&compiled);
    if (is_any)
        err = check_any(res, diag);
    if (err == ERR_OK)
        err = tracking_plan_set(res->account, res->actor, res->project_id, expected,
                                slice_trim(res->body_text), summary, &plan, diag);
    if (err == ERR_OK)
        err = add_etag(res, plan.revision);
    if (err != ERR_OK)
        return err;
    res->has_changed = true;
    buf_printf(res->body, "{\"revision\":%" PRIu64 ",\"changed_at\":", plan.revision);
    json_add_time(res->body, plan.changed_at_us);
    buf_add_char(res->body, '}');
    return ERR_OK;
}

const struct resource_kind tracking_plan_set_resource = {
    .lane = DESK_LANE, .run = run_set, .body_bytes_max = PLAN_BYTES_MAX};
