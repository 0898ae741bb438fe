/*
 * listing - GET /v1/events, and the rows it shares with a person's timeline. See listing.h and
 * api.h.
 *
 * A cursor is the text of a store position whose minor part is the seq of the last row seen; a
 * `position` from an ingest reply or a watermark serves as one, too. With a store that gives no
 * numbers (major above 0) a minor of 0 tells the two apart: a position counts for every node that
 * reads the store, a cursor belongs to its generation (warehouse.h, seq).
 */
#include "api/listing.h"

#include "api/internal.h"
#include "api/json.h"
#include "base/mem.h"
#include "codec/utf8.h"
#include "metric/metric.h"

#include <stdio.h>

#define FIELD_SHOWN_BYTES 100 /* of a parameter nobody knows */

/* --- rows -------------------------------------------------------------------------------------*/

void
listing_begin(struct listing *listing, struct query_job *job)
{
    *listing = (struct listing){.job = job};
    buf_add_text(&job->errand.body, "{\"events\":[");
}

static void
add_member(struct buf *body, const char *name, struct slice value)
{
    if (value.ptr == NULL)
        return;
    buf_add_text(body, name);
    json_add_text(body, value);
}

enum err
listing_add(void *state, const struct event *event, uint64_t seq)
{
    struct listing *listing = state;
    struct buf *body = &listing->job->errand.body;

    buf_add_text(body, listing->count != 0 ? ",\n{" : "\n{");
    buf_add_text(body, "\"event_id\":");
    json_add_text(body, event->event_id);
    add_member(body, ",\"event_type\":", event->event_type);
    add_member(body, ",\"user_id\":", event->user_id);
    add_member(body, ",\"anonymous_id\":", event->anonymous_id);
    add_member(body, ",\"session_id\":", event->session_id);
    buf_add_text(body, ",\"occurred_at\":");
    json_add_time(body, event->occurred_at_us);
    buf_add_text(body, ",\"received_at\":");
    json_add_time(body, event->received_at_us);
    if (event->properties.ptr != NULL) {
        buf_add_text(body, ",\"properties\":");
        buf_add_slice(body, event->properties);
    }
    buf_add_char(body, '}');
    listing->count++;
    listing->last_seq = seq;
    listing->last_time_us = event->occurred_at_us;
    return buf_failed(body) ? ERR_NOMEM : ERR_OK;
}

void
listing_end(struct listing *listing, struct slice next, struct warehouse_watermark watermark)
{
    struct buf *body = &listing->job->errand.body;

    buf_add_text(body, listing->count != 0 ? "\n],\"next\":" : "],\"next\":");
    json_add_text(body, next);
    buf_add_text(body, ",\"watermark\":");
    metric_watermark_write(watermark, body);
    buf_add_text(body, "}\n");
}

/* --- parameters -------------------------------------------------------------------------------*/

enum err
listing_parse_limit(struct slice value, uint32_t *ret_limit, struct diag *diag)
{
    uint32_t limit = 0;

    for (size_t i = 0; i < value.len && limit <= LISTING_LIMIT_MAX; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') {
            limit = 0;
            break;
        }
        limit = limit * 10 + (uint32_t)(value.ptr[i] - '0');
    }
    if (limit < 1 || limit > LISTING_LIMIT_MAX) {
        diag_set_field(diag, "limit", "limit: must be a whole number, 1 to %d", LISTING_LIMIT_MAX);
        return ERR_INVALID_PARAMETER;
    }
    *ret_limit = limit;
    return ERR_OK;
}

enum err
listing_refuse(struct slice name, bool is_repeated, struct diag *diag)
{
    char field[DIAG_FIELD_MAX];

    (void)snprintf(field, sizeof(field), "%.*s", SLICE_ARGS(utf8_cut(name, FIELD_SHOWN_BYTES)));
    diag_set_field(diag, field, "%s: %s", field,
                   is_repeated ? "stands twice" : "there is no such parameter here");
    return ERR_INVALID_PARAMETER;
}

struct list_state {
    struct store *store;
    uint32_t limit;
    bool has_after;
    struct store_position after;
};

static enum err
parse_after(struct slice value, struct list_state *state, struct diag *diag)
{
    if (store_position_parse(value, &state->after) != ERR_OK) {
        diag_set_field(diag, "after", "after: not the `next` or `position` of a reply");
        return ERR_INVALID_PARAMETER;
    }
    return ERR_OK;
}

static enum err
parse_list(const struct url_pair *pairs, size_t count, struct list_state *state, struct diag *diag)
{
    bool has_limit = false;

    state->limit = LISTING_LIMIT_DEFAULT;
    for (size_t i = 0; i < count; i++) {
        bool is_limit = slice_equal(pairs[i].name, SLICE("limit"));
        bool is_after = slice_equal(pairs[i].name, SLICE("after"));
        enum err err;

        if ((!is_limit && !is_after) || (is_limit && has_limit) || (is_after && state->has_after))
            return listing_refuse(pairs[i].name, is_limit || is_after, diag);
        err = is_limit ? listing_parse_limit(pairs[i].value, &state->limit, diag)
                       : parse_after(pairs[i].value, state, diag);
        if (err != ERR_OK)
            return err;
        has_limit = has_limit || is_limit;
        state->has_after = state->has_after || is_after;
    }
    return ERR_OK;
}

/* --- the answer -------------------------------------------------------------------------------*/

/* Stores that number their events have positions of major 0, others never. */
static bool
has_numbers(struct store_position durable)
{
    return durable.major == 0;
}

/* The seq behind which `after` goes on. */
static enum err
find_after(const struct list_state *state, const struct warehouse_view *view, uint64_t *ret_seq,
           struct diag *diag)
{
    const struct store_position after = state->after;
    const struct store_position durable = store_durable(state->store);
    const bool is_position = !has_numbers(durable) && after.minor == 0;

    *ret_seq = is_position ? warehouse_view_seq_at(view, after) : after.minor;
    if (after.generation == 0 || durable.generation == 0)
        return ERR_OK;
    if (has_numbers(durable) != (after.major == 0) ||
        (!is_position && (after.generation > durable.generation ||
                          after.generation < store_unbroken_since(state->store)))) {
        diag_set_field(diag, "after", "after: a cursor of another ledger; begin without `after`");
        return ERR_INVALID_PARAMETER;
    }
    return ERR_OK;
}

/* Where `after` goes on: behind the last row of a full page, else behind all that is counted, but
 * never before what was asked for. */
static struct store_position
next_cursor(const struct list_state *state, const struct listing *listing,
            const struct warehouse_view *view)
{
    const struct store_position durable = store_durable(state->store);
    const bool is_full = state->has_after && listing->count == state->limit;
    struct warehouse_watermark watermark = {0};
    struct store_position counted = {0};
    struct store_position next = durable;

    watermark = warehouse_view_watermark(view);
    counted = watermark.position;
    if (has_numbers(durable))
        next = counted;
    if (is_full)
        next.minor = listing->last_seq;
    else if (!has_numbers(durable))
        next.minor = warehouse_view_seq_max(view);
    if (next.minor == 0) /* nothing yet: a position, which may be given back as well */
        next = counted;
    if (!is_full && state->has_after &&
        (state->after.minor > next.minor || (!has_numbers(durable) && state->after.minor == 0 &&
                                             !store_position_at_or_before(state->after, counted))))
        return state->after;
    return next;
}

static enum err
list_run(struct query_job *job, struct warehouse_view *view, struct diag *diag)
{
    const struct list_state *state = job->state;
    char next[STORE_POSITION_TEXT];
    struct listing listing;
    uint64_t seq = 0;
    enum err err = ERR_OK;

    listing_begin(&listing, job);
    if (!state->has_after) {
        err = warehouse_newest(view, state->limit, &job->control, listing_add, &listing, diag);
    } else {
        err = find_after(state, view, &seq, diag);
        if (err == ERR_OK)
            err = warehouse_after(view, seq, state->limit, &job->control, listing_add, &listing,
                                  diag);
    }
    if (err != ERR_OK)
        return err;
    store_position_format(next_cursor(state, &listing, view), next);
    listing_end(&listing, slice_of_text(next), warehouse_view_watermark(view));
    return ERR_OK;
}

static void
list_end(struct api_request *request)
{
    CLEANUP(query_job_free) struct query_job *job = NULL;
    struct diag diag = DIAG_INIT;
    struct list_state *state;
    struct url_pair *pairs;
    size_t count;
    enum err err;

    if (!api_query_pairs(request, &pairs, &count))
        return;
    job = api_job_new(request);
    if (job == NULL)
        return;
    state = ARENA_NEW(&job->errand.arena, struct list_state, 1);
    if (state != NULL)
        state->store = request->loop->api->config.store;
    err = state == NULL ? ERR_NOMEM : parse_list(pairs, count, state, &diag);
    if (err != ERR_OK) {
        api_reply_diag(request, err, &diag);
        return;
    }
    job->run = list_run;
    job->state = state;
    job->metric = "events";
    if (api_job_submit(request, job))
        job = NULL; /* the pool's now */
}

const struct route_handler events_list_handler = {.end = list_end, .gone = api_job_gone};
