/*
 * quota_gate - see quota_gate.h.
 */
#include "api/quota_gate.h"

#include "api/internal.h"
#include "api/quota_count.h"
#include "base/counter.h"
#include "base/mem.h"
#include "codec/rfc3339.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_BYTES 256
#define FIELD_BYTES 96
#define RETRY_S_MAX 3600 /* a quota may be raised at any time: nobody is sent away for weeks */
#define US_PER_S INT64_C(1000000)

COUNTER_DEFINE(refused_total, "potik_quota_refused_total",
               "events refused: their project's quota for the month is used up");

/* --- which quotas there are -------------------------------------------------------------------*/

uint64_t
quota_gate_of(const struct api *api, const struct account_project *project)
{
    return project->events_per_month != 0 ? project->events_per_month
                                          : api->config.quota_events_month;
}

void
quota_gate_look(struct api *api, const struct access_snapshot *snapshot)
{
    CLEANUP(mem_free_ptr) struct quota_limit *limits = NULL;
    struct quota *quota = api->config.quota;
    const struct account_project *projects;
    size_t project_count, count = 0;

    if (quota == NULL || quota_generation(quota) >= access_generation(snapshot))
        return;
    projects = access_projects(snapshot, &project_count);
    limits = MEM_NEW(struct quota_limit, project_count + 1);
    for (size_t i = 0; limits != NULL && i < project_count; i++) {
        const uint64_t most = quota_gate_of(api, &projects[i]);

        if (most != 0)
            limits[count++] = (struct quota_limit){projects[i].id, most};
    }
    /* Without memory the old ones stand, and whoever looks next tries again. */
    if (limits != NULL &&
        quota_set_limits(quota, access_generation(snapshot), limits, count,
                         clock_wall_us(api->config.clock),
                         clock_steady_ns(api->config.clock)) == ERR_OK &&
        quota_count_is_wanted(quota))
        quota_counter_kick(api->quota_counter);
}

/* Once a snapshot. */
static void
learn(struct api_loop *loop)
{
    const struct quota *quota = loop->api->config.quota;

    if (quota == NULL) {
        loop->quotas = QUOTAS_NONE;
        return;
    }
    quota_gate_look(loop->api, loop->access);
    if (quota_is_any(quota))
        loop->quotas = QUOTAS_SOME;
    else if (quota_generation(quota) >= access_generation(loop->access))
        loop->quotas = QUOTAS_NONE;
}

/* --- before the commit ------------------------------------------------------------------------*/

static struct slice
refusal_text(const struct quota_answer *answer, struct arena *arena)
{
    char *text = arena_alloc(arena, MESSAGE_BYTES);
    char until[RFC3339_TEXT_BYTES];
    int len;

    if (text == NULL)
        return SLICE_NONE;
    rfc3339_format(answer->ends_at_us, until);
    len = snprintf(text, MESSAGE_BYTES,
                   "the project's quota is %" PRIu64 " events a month, and %" PRIu64
                   " are used; the next month begins at %.*s",
                   answer->events_per_month, answer->used, RFC3339_TEXT_BYTES, until);
    return slice_of(text, (size_t)len);
}

static uint32_t
count_whole(const struct event_batch *batch)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < batch->count; i++)
        count += batch->entries[i].err == ERR_OK;
    return count;
}

static void
refuse(struct event_entry *entry, struct slice message)
{
    struct slice id = entry->has_id ? entry->event.event_id : SLICE_NONE;

    entry->err = ERR_QUOTA_EXCEEDED;
    entry->field = SLICE_NONE;
    entry->message = message;
    entry->event = (struct event){.event_id = id};
    entry->is_id_assigned = false;
}

/* Apart from quota_gate_check_any, which is the way of every event. */
static __attribute__((noinline)) enum err
refuse_beyond(const struct quota_gate *gate, struct event_batch *batch, struct arena *arena)
{
    const struct quota_answer answer = quota_answer(&gate->share);
    const struct slice message = refusal_text(&answer, arena);
    uint32_t left = gate->share.taken;

    if (message.ptr == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->entries[i].err != ERR_OK)
            continue;
        if (left != 0)
            left--;
        else
            refuse(&batch->entries[i], message);
    }
    return ERR_OK;
}

enum err
quota_gate_check_any(struct quota_gate *gate, struct api_request *request,
                     struct event_batch *batch)
{
    struct api_loop *loop = request->loop;
    struct api *api = loop->api;
    uint32_t wanted;

    if (loop->quotas == QUOTAS_UNKNOWN)
        learn(loop);
    if (loop->quotas == QUOTAS_NONE)
        return ERR_OK;
    wanted = count_whole(batch);
    if (quota_take(api->config.quota, request->project_id, request->arrived_at_us,
                   http_loop_now_ns(loop->http), wanted, &gate->share) != wanted &&
        refuse_beyond(gate, batch, http_arena(request->exchange)) != ERR_OK) {
        quota_gate_fini(gate);
        return ERR_NOMEM;
    }
    if (gate->share.wants_count)
        quota_counter_kick(api->quota_counter);
    return ERR_OK;
}

/* --- after it ---------------------------------------------------------------------------------*/

/* Of a link that was lost nobody knows what it did: all of it may be stored. */
static bool
is_unknown(enum err err)
{
    return err != ERR_STORAGE_FULL && err != ERR_OVERLOADED;
}

void
quota_gate_settle_any(struct quota_gate *gate, const struct ingest_request *ingest)
{
    uint32_t refused = 0;

    if (ingest->err != ERR_OK) {
        quota_settle(&gate->share, is_unknown(ingest->err) ? gate->share.taken : 0);
        return;
    }
    quota_settle(&gate->share, ingest->accepted);
    for (uint32_t i = 0; ingest->rejected != 0 && i < ingest->batch.count; i++)
        refused += ingest->verdicts[i] == INGEST_REJECTED &&
                   ingest->batch.entries[i].err == ERR_QUOTA_EXCEEDED;
    if (refused != 0)
        counter_add(&refused_total, refused);
}

void
quota_gate_fini(struct quota_gate *gate)
{
    quota_settle(&gate->share, 0);
}

/* Where it is not sure that the room is used up, a count is on its way that will tell. */
static int64_t
retry_s(bool is_exact, int64_t left_s)
{
    if (!is_exact)
        return 1;
    return left_s < RETRY_S_MAX ? left_s : RETRY_S_MAX;
}

void
quota_gate_add_fields(const struct quota_gate *gate, struct api_request *request)
{
    const struct quota_answer answer = quota_answer(&gate->share);
    const int64_t now_us = clock_wall_us(request->loop->api->config.clock);
    int64_t left_s = (answer.ends_at_us - now_us + US_PER_S - 1) / US_PER_S;
    int64_t from_us, to_us;
    char text[FIELD_BYTES];

    if (left_s < 1) /* it ended meanwhile */
        left_s = 1;
    quota_month_of(answer.ends_at_us - 1, &from_us, &to_us);
    (void)snprintf(text, sizeof(text),
                   "\"project-month\";q=%" PRIu64 ";w=%" PRId64 ";qu=\"events\"",
                   answer.events_per_month, (to_us - from_us) / US_PER_S);
    http_reply_header(request->exchange, "RateLimit-Policy", slice_of_text(text));
    (void)snprintf(text, sizeof(text), "\"project-month\";r=0;t=%" PRId64, left_s);
    http_reply_header(request->exchange, "RateLimit", slice_of_text(text));
    (void)snprintf(text, sizeof(text), "%" PRId64, retry_s(gate->share.is_exact, left_s));
    http_reply_header(request->exchange, "Retry-After", slice_of_text(text));
}
