/*
 * users - GET /v1/users/{id}/events: one person's timeline by occurred_at, newest first.
 *
 * Layer 6. `before` is the `next` of a reply ("t<microseconds>.<seq>": the place of its last row),
 * or a time: RFC 3339, or Unix milliseconds; events strictly before it are given.
 */
#include "api/internal.h"
#include "api/listing.h"
#include "base/mem.h"
#include "codec/rfc3339.h"

#include <inttypes.h>
#include <string.h>

struct timeline_state {
    struct slice person;
    uint32_t limit;
    int64_t before_us;
    uint64_t before_seq; /* of equal times, those of a lower seq */
};

/* All digits, not over `max`. */
static bool
parse_digits(struct slice text, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.ptr[i] - '0'), &value) || value > max)
            return false;
    }
    *ret_value = value;
    return text.len != 0;
}

static bool
parse_next(struct slice value, struct timeline_state *state)
{
    const char *dot = memchr(value.ptr, '.', value.len);
    uint64_t us;
    uint64_t seq;

    if (dot == NULL || value.ptr[0] != 't' ||
        !parse_digits(slice_of(value.ptr + 1, (size_t)(dot - value.ptr) - 1), INT64_MAX, &us) ||
        !parse_digits(slice_of(dot + 1, value.len - (size_t)(dot + 1 - value.ptr)), UINT64_MAX,
                      &seq))
        return false;
    state->before_us = (int64_t)us;
    state->before_seq = seq;
    return true;
}

static enum err
parse_before(struct slice value, struct timeline_state *state, struct diag *diag)
{
    uint64_t ms;

    if (value.len != 0 && value.ptr[0] == 't' && parse_next(value, state))
        return ERR_OK;
    state->before_seq = 0;
    if (parse_digits(value, RFC3339_US_MAX / 1000, &ms)) {
        state->before_us = (int64_t)ms * 1000;
        return ERR_OK;
    }
    if (rfc3339_parse(value, &state->before_us) == ERR_OK)
        return ERR_OK;
    diag_set_field(diag, "before",
                   "before: must be the `next` of a reply, an RFC 3339 time or Unix milliseconds");
    return ERR_INVALID_PARAMETER;
}

static enum err
parse(const struct url_pair *pairs, size_t count, struct timeline_state *state, struct diag *diag)
{
    bool has_limit = false;
    bool has_before = false;

    state->limit = LISTING_LIMIT_DEFAULT;
    state->before_us = INT64_MAX;
    state->before_seq = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        bool is_limit = slice_equal(pairs[i].name, SLICE("limit"));
        bool is_before = slice_equal(pairs[i].name, SLICE("before"));
        enum err err;

        if ((!is_limit && !is_before) || (is_limit && has_limit) || (is_before && has_before))
            return listing_refuse(pairs[i].name, is_limit || is_before, diag);
        err = is_limit ? listing_parse_limit(pairs[i].value, &state->limit, diag)
                       : parse_before(pairs[i].value, state, diag);
        if (err != ERR_OK)
            return err;
        has_limit = has_limit || is_limit;
        has_before = has_before || is_before;
    }
    return ERR_OK;
}

/* On a query thread. */
static enum err
timeline_run(struct query_job *job, struct warehouse_view *view, struct diag *diag)
{
    const struct timeline_state *state = job->state;
    struct slice next = SLICE_NONE;
    struct listing listing;
    enum err err;

    listing_begin(&listing, job);
    err = warehouse_person_events(view, state->person, state->before_us, state->before_seq,
                                  state->limit, &job->control, listing_add, &listing, diag);
    if (err != ERR_OK)
        return err;
    if (listing.count == state->limit) {
        next = arena_printf(&job->errand.arena, "t%" PRId64 ".%" PRIu64, listing.last_time_us,
                            listing.last_seq);
        if (next.ptr == NULL)
            return ERR_NOMEM;
    }
    listing_end(&listing, next, warehouse_view_watermark(view));
    return ERR_OK;
}

static void
user_events_end(struct api_request *request)
{
    CLEANUP(query_job_free) struct query_job *job = NULL;
    struct diag diag = DIAG_INIT;
    struct timeline_state *state;
    struct url_pair *pairs;
    size_t count;
    enum err err;

    if (!api_query_pairs(request, &pairs, &count))
        return;
    job = api_job_new(request);
    if (job == NULL)
        return;
    state = ARENA_NEW(&job->errand.arena, struct timeline_state, 1);
    if (state != NULL)
        state->person = arena_copy(&job->errand.arena, request->segments[0]);
    err =
        state == NULL || state->person.ptr == NULL ? ERR_NOMEM : parse(pairs, count, state, &diag);
    if (err != ERR_OK) {
        api_reply_diag(request, err, &diag);
        return;
    }
    job->run = timeline_run;
    job->state = state;
    job->metric = "user-events";
    if (api_job_submit(request, job))
        job = NULL; /* the pool's now */
}

const struct route_handler user_events_handler = {.end = user_events_end, .gone = api_job_gone};
