/*
 * projects - GET, POST /v1/projects; GET, PATCH, DELETE /v1/projects/{id}.
 *
 * Layer 6, at the desk. A project has a name, a time zone (where its days begin), the day its weeks
 * begin with, and, perhaps, days after which events go and a quota of events a month. Deleting one
 * is an erasure: the answer has its job.
 */
#include "account/erasure.h"
#include "api/internal.h"
#include "api/json.h"
#include "api/quota_count.h"
#include "api/quota_gate.h"
#include "api/rows.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

static void
write_quota(struct resource *res, const struct account_project *project)
{
    struct api *api = res->api;
    const uint64_t most = quota_gate_of(api, project);
    uint64_t used = 0;
    bool wants_count = false;
    bool is_counted = false;

    if (api->config.quota != NULL) {
        quota_gate_look(api, res->access);
        is_counted = quota_used(api->config.quota, project->id, clock_wall_us(api->config.clock),
                                clock_steady_ns(api->config.clock), &used, &wants_count);
    }
    if (wants_count)
        quota_counter_kick(api->quota_counter);
    buf_add_text(res->body, ",\"events_per_month\":");
    if (most == 0)
        buf_add_text(res->body, "null");
    else
        buf_add_u64(res->body, most);
    buf_add_text(res->body, ",\"events_this_month\":");
    if (most == 0 || !is_counted)
        buf_add_text(res->body, "null");
    else
        buf_add_u64(res->body, used);
}

/* role NONE: the member is left out. */
static void
write_project(struct resource *res, const struct account_project *project, enum login_role role)
{
    struct buf *body = res->body;

    buf_printf(body, "{\"id\":%" PRIu32 ",\"name\":", project->id);
    json_add_text(body, slice_of_text(project->name));
    buf_add_text(body, ",\"time_zone\":");
    json_add_text(body, slice_of_text(project->time_zone));
    buf_printf(body, ",\"week_start\":\"%s\",\"retention_days\":",
               project->week_start == ACCOUNT_WEEK_SUNDAY ? "sunday" : "monday");
    if (project->retention_days == 0)
        buf_add_text(body, "null");
    else
        buf_add_u64(body, project->retention_days);
    write_quota(res, project);
    buf_add_text(body, ",\"created_at\":");
    json_add_time(body, project->created_at_us);
    if (role != LOGIN_ROLE_NONE)
        buf_printf(body, ",\"role\":\"%s\"", login_role_name(role));
    buf_add_char(body, '}');
}

/* --- reading ----------------------------------------------------------------------------------*/

static enum err
run_list(struct resource *res, struct diag *diag)
{
    size_t count;
    const struct account_project *projects = access_projects(res->access, &count);
    bool is_first = true;

    (void)diag;
    buf_add_text(res->body, "{\"projects\":[");
    for (size_t i = 0; i < count; i++) {
        enum login_role role = access_role(res->access, res->login, projects[i].id);

        if (role == LOGIN_ROLE_NONE)
            continue;
        if (!is_first)
            buf_add_char(res->body, ',');
        write_project(res, &projects[i], role);
        is_first = false;
    }
    buf_add_text(res->body, "]}");
    return ERR_OK;
}

const struct resource_kind projects_list_resource = {.lane = DESK_LANE, .run = run_list};

static enum err
answer_project(struct resource *res, struct diag *diag)
{
    struct account_project project;
    enum err err = account_project_get(res->account, res->project_id, &project, diag);

    if (err != ERR_OK)
        return err;
    buf_add_text(res->body, "{\"project\":");
    write_project(res, &project,
                  res->login->login_id != 0 ? access_role(res->access, res->login, project.id)
                                            : LOGIN_ROLE_NONE);
    buf_add_char(res->body, '}');
    return ERR_OK;
}

const struct resource_kind project_get_resource = {.lane = DESK_LANE, .run = answer_project};

/* --- changing ---------------------------------------------------------------------------------*/

enum { NAME, TIME_ZONE, WEEK_START, RETENTION_DAYS, EVENTS_PER_MONTH, FIELDS };

static enum err
take_zone(const struct resource *res, struct slice text, struct account_project *project,
          struct diag *diag)
{
    const struct zone *zone;
    struct diag why = DIAG_INIT;
    enum err err = zones_find(res->api->config.zones, text, &zone, &why);

    if (err == ERR_OK && text.len > ACCOUNT_ZONE_BYTES)
        err = ERR_INVALID_PARAMETER;
    if (err != ERR_OK) {
        diag_set_field(diag, "time_zone", "time_zone: %s",
                       why.message[0] != '\0' ? why.message : "no such zone");
        return err;
    }
    memcpy(project->time_zone, text.ptr, text.len);
    project->time_zone[text.len] = '\0';
    return ERR_OK;
}

static enum err
take_retention(const struct body_value *value, struct account_project *project, struct diag *diag)
{
    if (value->integer < 0 || value->integer > UINT32_MAX) {
        diag_set_field(diag, "retention_days",
                       "retention_days: must be 1 to 36500, or 0 to keep events for ever");
        return ERR_INVALID_PARAMETER;
    }
    project->retention_days = (uint32_t)value->integer;
    return ERR_OK;
}

static enum err
take_week_start(struct slice text, struct account_project *project, struct diag *diag)
{
    if (slice_equal(text, SLICE("sunday")))
        project->week_start = ACCOUNT_WEEK_SUNDAY;
    else if (slice_equal(text, SLICE("monday")))
        project->week_start = ACCOUNT_WEEK_MONDAY;
    else {
        diag_set_field(diag, "week_start", "week_start: must be \"monday\" or \"sunday\"");
        return ERR_INVALID_PARAMETER;
    }
    return ERR_OK;
}

/* Whoever runs the server says what a project may store; its owners see it. */
static enum err
take_quota(const struct resource *res, const struct body_value *value,
           struct account_project *project, struct diag *diag)
{
    if (!res->login->is_admin) {
        diag_set_field(diag, "events_per_month",
                       "events_per_month: only administrators set a project's quota");
        return ERR_FORBIDDEN;
    }
    if (!value->is_null &&
        (value->integer < 1 || (uint64_t)value->integer > ACCOUNT_EVENTS_PER_MONTH_MAX)) {
        diag_set_field(diag, "events_per_month",
                       "events_per_month: must be 1 to %" PRIu64 ", or null for no quota",
                       ACCOUNT_EVENTS_PER_MONTH_MAX);
        return ERR_INVALID_PARAMETER;
    }
    project->events_per_month = value->is_null ? 0 : (uint64_t)value->integer;
    return ERR_OK;
}

/* What the body says, put over what `project` has. */
static enum err
take_settings(struct resource *res, bool is_new, struct account_project *project,
              bool *ret_sets_quota, struct diag *diag)
{
    const struct body_field fields[FIELDS] = {
        [NAME] = {"name", BODY_TEXT, is_new},
        [TIME_ZONE] = {"time_zone", BODY_TEXT, false},
        [WEEK_START] = {"week_start", BODY_TEXT, false},
        [RETENTION_DAYS] = {"retention_days", BODY_INTEGER, false},
        [EVENTS_PER_MONTH] = {"events_per_month", BODY_INTEGER, false},
    };
    struct body_value values[FIELDS];
    enum err err = resource_read_body(res, fields, FIELDS, values, diag);

    if (err == ERR_OK && values[NAME].is_given)
        err = rows_take_text(&values[NAME], "name", project->name, sizeof(project->name), diag);
    if (err == ERR_OK && values[TIME_ZONE].is_given)
        err = take_zone(res, values[TIME_ZONE].text, project, diag);
    if (err == ERR_OK && values[WEEK_START].is_given)
        err = take_week_start(values[WEEK_START].text, project, diag);
    if (err == ERR_OK && values[RETENTION_DAYS].is_given)
        err = take_retention(&values[RETENTION_DAYS], project, diag);
    if (err == ERR_OK && values[RETENTION_DAYS].is_null)
        project->retention_days = 0; /* as replies say it */
    *ret_sets_quota =
        err == ERR_OK && (values[EVENTS_PER_MONTH].is_given || values[EVENTS_PER_MONTH].is_null);
    if (*ret_sets_quota)
        err = take_quota(res, &values[EVENTS_PER_MONTH], project, diag);
    return err;
}

static enum err
run_create(struct resource *res, struct diag *diag)
{
    struct account_project project = {.time_zone = "UTC"};
    bool sets_quota;
    enum err err = take_settings(res, true, &project, &sets_quota, diag);

    if (err == ERR_OK)
        err = account_project_add(res->account, res->actor, &project, &project, diag);
    if (err != ERR_OK)
        return err;
    res->status = 201;
    res->has_changed = true;
    buf_add_text(res->body, "{\"project\":");
    write_project(res, &project, LOGIN_ROLE_OWNER);
    buf_add_char(res->body, '}');
    return ERR_OK;
}

const struct resource_kind project_create_resource = {.lane = DESK_LANE, .run = run_create};

static enum err
run_change(struct resource *res, struct diag *diag)
{
    struct account_project project;
    bool sets_quota = false;
    enum err err = account_project_get(res->account, res->project_id, &project, diag);

    if (err == ERR_OK)
        err = take_settings(res, false, &project, &sets_quota, diag);
    if (err == ERR_OK)
        err = account_project_change(res->account, res->actor, &project, sets_quota, diag);
    if (err != ERR_OK)
        return err;
    res->has_changed = true;
    return answer_project(res, diag);
}

const struct resource_kind project_change_resource = {.lane = DESK_LANE, .run = run_change};

static enum err
run_delete(struct resource *res, struct diag *diag)
{
    uint64_t id = 0;
    enum err err = erasure_delete_project(res->account, res->actor, res->project_id, &id, diag);

    if (err != ERR_OK)
        return err;
    res->status = 202;
    res->has_changed = true;
    return rows_answer_erasure(res, id, diag);
}

const struct resource_kind project_delete_resource = {.lane = DESK_LANE, .run = run_delete};
