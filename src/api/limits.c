/*
 * limits - the limits of key, project and address, asked for each request. See limit/limit.h.
 *
 * Layer 6, on the loops. All routes under /v1 are counted; the server's health is not, so that an
 * operator sees it when everything is refused. A token counts as a key of its account's.
 *
 * A reply tells the limit that is nearest, once more than half of it is used, in the fields of the
 * IETF's draft (RateLimit header fields for HTTP); a refusal always, and when to come again:
 *
 *     RateLimit-Policy: "key-events";q=10000;w=2;qu="events"     10,000 at once, back within 2 s
 *     RateLimit: "key-events";r=120;t=2                          120 left, all of them in 2 s
 *     Retry-After: 1
 */
#include "api/internal.h"

#include "event/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FIELD_BYTES 160
#define PROMISED_BYTES_MAX ((int64_t)64 * 1024) /* of a body, counted before it has come */

static struct limit_ids
name_who(const struct api_request *request, bool is_stranger)
{
    const struct api *api = request->loop->api;
    struct limit_ids names = {{0}};

    if (limit_has(api->limit, LIMIT_ADDRESS))
        names.ids[LIMIT_ADDRESS] = api_peer_network(api, request->exchange);
    if (!is_stranger) {
        if (request->actor.id != 0)
            names.ids[LIMIT_KEY] = request->actor.id << 2 | (uint64_t)request->actor.kind;
        names.ids[LIMIT_PROJECT] = request->project_id;
    }
    return names;
}

static uint64_t
seconds_of_ms(uint64_t ms)
{
    return (ms + 999) / 1000;
}

static uint64_t
seconds_of_ns(int64_t ns)
{
    return (uint64_t)((ns + NS_PER_S - 1) / NS_PER_S);
}

static void
add_fields(struct api_request *request, const struct limit_answer *answer)
{
    static const char *const units[] = {"events", "requests", "content-bytes"};
    const struct limit_state state = limit_state(request->loop->api->limit, answer);
    char policy[FIELD_BYTES];
    char left[FIELD_BYTES];

    (void)snprintf(policy, sizeof(policy), "\"%s-%s\";q=%" PRIu64 ";w=%" PRIu64 ";qu=\"%s\"",
                   limit_who_name(answer->who), limit_what_name(answer->what), state.quota,
                   seconds_of_ms(state.window_ms), units[answer->what]);
    (void)snprintf(left, sizeof(left), "\"%s-%s\";r=%" PRIu64 ";t=%" PRIu64,
                   limit_who_name(answer->who), limit_what_name(answer->what), state.left,
                   seconds_of_ns(answer->debt_ns));
    http_reply_header(request->exchange, "RateLimit-Policy", slice_of_text(policy));
    http_reply_header(request->exchange, "RateLimit", slice_of_text(left));
}

/* Who has used less than half need not know; the fields would cost more than the counting. */
static void
tell(struct api_request *request, const struct limit_answer *answer)
{
    if (answer->is_limited &&
        answer->debt_ns * 2 > (int64_t)request->loop->api->config.limit_burst_ms * 1000000)
        add_fields(request, answer);
}

static void
refuse(struct api_request *request, const struct limit_answer *answer)
{
    struct limit_state state;
    struct diag diag = DIAG_INIT;
    char wait[24];

    if (answer->is_unknown) {
        http_reply_error(request->exchange, ERR_NOT_READY,
                         "what this may send is not known at the moment: send again soon", NULL);
        return;
    }
    state = limit_state(request->loop->api->limit, answer);
    (void)snprintf(wait, sizeof(wait), "%" PRIu64, seconds_of_ns(answer->wait_ns));
    add_fields(request, answer);
    http_reply_header(request->exchange, "Retry-After", slice_of_text(wait));
    diag_set(&diag,
             "too many %s from this %s: %" PRIu64 " may come at once, and as many in %" PRIu64
             " s; send again in %s s",
             limit_what_name(answer->what), limit_who_name(answer->who), state.quota,
             seconds_of_ms(state.window_ms), wait);
    http_reply_error(request->exchange, ERR_RATE_LIMITED, diag.message, NULL);
}

/* false: refused, and answered. The event that the head has paid for is given back then: who sends
 * a batch again and again until it comes in is not kept out by its own tries. */
static bool
take(struct api_request *request, bool is_stranger, const uint64_t *costs, const uint64_t *paid,
     struct limit_answer *ret_answer)
{
    struct api *api = request->loop->api;
    const struct limit_ids names = name_who(request, is_stranger);

    if (limit_take(api->limit, &names, costs, paid, http_loop_now_ns(request->loop->http),
                   ret_answer))
        return true;
    if (paid != NULL)
        limit_give(api->limit, &names,
                   (const uint64_t[LIMIT_WHAT_COUNT]){[LIMIT_EVENTS] = paid[LIMIT_EVENTS]});
    refuse(request, ret_answer);
    return false;
}

static bool
is_counted(const struct api_request *request)
{
    return request->loop->api->limit != NULL &&
           (request->route->is_ingest || strncmp(request->route->pattern, "/v1/", 4) == 0);
}

static void
count(const struct api_request *request, const uint64_t costs[LIMIT_WHAT_COUNT])
{
    const struct api *api = request->loop->api;
    const struct limit_ids names = name_who(request, false);

    limit_count(api->limit, &names, costs, http_loop_now_ns(request->loop->http));
}

/*
 * A length is only a promise. A short body's is counted with the head, which costs nothing more.
 * For a long one there must be room (of what a body may have at most: the server refuses more,
 * behind this), and it is counted as it has come.
 */
static bool
take_length(struct api_request *request)
{
    const int64_t length = http_content_length(request->exchange);
    uint64_t costs[LIMIT_WHAT_COUNT] = {0};
    struct limit_ids names;

    if (length <= PROMISED_BYTES_MAX)
        return true;
    costs[LIMIT_BYTES] = length < LIMIT_BODY_BYTES ? (uint64_t)length : LIMIT_BODY_BYTES;
    if (!take(request, false, costs, NULL, &request->limit))
        return false;
    names = name_who(request, false);
    limit_give(request->loop->api->limit, &names, costs);
    return true;
}

bool
limits_take_head(struct api_request *request)
{
    const int64_t length = http_content_length(request->exchange);
    uint64_t costs[LIMIT_WHAT_COUNT];

    if (!is_counted(request))
        return true;
    if (!take_length(request))
        return false;
    request->counted_bytes = length > 0 && length <= PROMISED_BYTES_MAX ? (uint64_t)length : 0;
    costs[LIMIT_EVENTS] = request->route->is_ingest ? 1 : 0;
    costs[LIMIT_REQUESTS] = 1;
    costs[LIMIT_BYTES] = request->counted_bytes;
    if (!take(request, false, costs, NULL, &request->limit)) {
        request->counted_bytes = 0;
        return false;
    }
    if (!request->route->is_ingest)
        tell(request, &request->limit);
    return true;
}

bool
limits_take_stranger(struct api_request *request)
{
    const uint64_t costs[LIMIT_WHAT_COUNT] = {[LIMIT_REQUESTS] = 1};
    struct limit_answer answer;

    return !is_counted(request) || take(request, true, costs, NULL, &answer);
}

void
limits_count_body(struct api_request *request)
{
    uint64_t costs[LIMIT_WHAT_COUNT] = {0};

    if (!is_counted(request) || request->body_bytes <= request->counted_bytes)
        return;
    costs[LIMIT_BYTES] = request->body_bytes - request->counted_bytes;
    request->counted_bytes = request->body_bytes;
    count(request, costs);
}

/* Mostly there is nothing to ask: one event, and its bytes, were paid for by the head. */
bool
limits_take_events(struct api_request *request, uint32_t events)
{
    const uint64_t paid[LIMIT_WHAT_COUNT] = {1, 1, request->counted_bytes};

    if (!is_counted(request))
        return true;
    if (events > 1 || request->body_bytes > request->counted_bytes) {
        const uint64_t costs[LIMIT_WHAT_COUNT] = {events > 1 ? events : 1, 1, request->body_bytes};

        if (!take(request, false, costs, paid, &request->limit)) {
            /* Refused for its bytes, it must not be kept out by having sent them. */
            if (request->limit.what != LIMIT_BYTES)
                limits_count_body(request);
            request->counted_bytes = request->body_bytes;
            return false;
        }
        request->counted_bytes = request->body_bytes;
    }
    tell(request, &request->limit);
    return true;
}

void
limits_give_events(const struct api_request *request, uint32_t events)
{
    struct limit_ids names;

    if (!is_counted(request))
        return;
    names = name_who(request, false);
    limit_give(request->loop->api->limit, &names,
               (const uint64_t[LIMIT_WHAT_COUNT]){[LIMIT_EVENTS] = events > 1 ? events : 1});
}
