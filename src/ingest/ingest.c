/*
 * ingest - gathering a turn's requests into batches of the store. See ingest.h.
 *
 * One list of requests is `gathered`; a lane for each link has the list that is under way on it,
 * and the array of their items, which is the store's until it answers.
 *
 * A store may answer within store_link_submit or in a later turn. `done` of a request may bring the
 * next pipelined request in, which then calls ingest_add: the lists are detached before it is
 * called.
 */
#include "ingest/ingest.h"

#include "base/counter.h"
#include "base/mem.h"
#include "ingest/wait.h"

#include <assert.h>

COUNTER_DEFINE(events_accepted, "potik_events_accepted_total", "events stored");
COUNTER_DEFINE(events_duplicate, "potik_events_duplicate_total", "events stored before, told so");
COUNTER_DEFINE(commits_failed, "potik_commits_failed_total",
               "batches the store refused; nothing of them was answered 2xx");

/* One counter a per-event code. */
#define REJECTED_CODES(X)                                                                          \
    X(MISSING_FIELD, "missing_field")                                                              \
    X(EMPTY_FIELD, "empty_field")                                                                  \
    X(TOO_LONG, "too_long")                                                                        \
    X(INVALID_TYPE, "invalid_type")                                                                \
    X(UNKNOWN_FIELD, "unknown_field")                                                              \
    X(DUPLICATE_KEY, "duplicate_key")                                                              \
    X(INVALID_JSON, "invalid_json")                                                                \
    X(INVALID_UTF8, "invalid_utf8")                                                                \
    X(NUL_CHARACTER, "nul_character")                                                              \
    X(INVALID_NUMBER, "invalid_number")                                                            \
    X(INVALID_TIMESTAMP, "invalid_timestamp")                                                      \
    X(TIMESTAMP_TOO_EARLY, "timestamp_too_early")                                                  \
    X(TIMESTAMP_TOO_LATE, "timestamp_too_late")                                                    \
    X(TOO_DEEP, "too_deep")                                                                        \
    X(PROPERTIES_TOO_LARGE, "properties_too_large")                                                \
    X(EVENT_TOO_LARGE, "event_too_large")                                                          \
    X(PLAN_VIOLATION, "plan_violation")                                                            \
    X(QUOTA_EXCEEDED, "quota_exceeded")

#define REJECTED_DEFINE_(name, code)                                                               \
    COUNTER_LABEL_DEFINE(rejected_##name, "potik_events_rejected_total", "events refused", "code", \
                         code);
REJECTED_CODES(REJECTED_DEFINE_)
#undef REJECTED_DEFINE_

static struct counter *const rejected_counters[ERR_COUNT] = {
#define REJECTED_ROW_(name, code) [ERR_##name] = &rejected_##name,
    REJECTED_CODES(REJECTED_ROW_)
#undef REJECTED_ROW_
};

struct request_list {
    struct ingest_request *first;
    struct ingest_request **last_next; /* where the next one is hung; &first when empty */
};

/* A link, and the batch that is under way on it. */
struct lane {
    struct ingest *ingest;
    struct store_link *link;
    bool is_under_way;
    struct request_list requests;
    uint64_t bytes; /* of them */
    struct store_item *items;
    uint32_t item_capacity;
    struct store_batch batch;
};

struct ingest {
    struct ingest_config config;
    struct request_list gathered;
    uint64_t gathered_bytes;
    uint32_t gathered_events;
    struct wait wait;
    struct lane lanes[STORE_LINKS_PER_LOOP_MAX];
};

static void
list_clear(struct request_list *list)
{
    list->first = NULL;
    list->last_next = &list->first;
}

static void
list_append(struct request_list *list, struct ingest_request *request)
{
    request->next = NULL;
    *list->last_next = request;
    list->last_next = &request->next;
}

static struct ingest_request *
list_take_first(struct request_list *list)
{
    struct ingest_request *request = list->first;

    list->first = request->next;
    if (list->first == NULL)
        list_clear(list);
    return request;
}

enum err
ingest_new(const struct ingest_config *config, struct ingest **ret_ingest, struct diag *diag)
{
    struct ingest *ingest;

    assert(config->link_count >= 1 && config->link_count <= STORE_LINKS_PER_LOOP_MAX);
    assert(config->gather_events_max > 0);
    ingest = MEM_NEW(struct ingest, 1);
    if (ingest == NULL) {
        diag_set(diag, "no memory for gathering events");
        return ERR_NOMEM;
    }
    ingest->config = *config;
    list_clear(&ingest->gathered);
    wait_init(&ingest->wait, config->clock);
    for (uint32_t i = 0; i < config->link_count; i++) {
        assert(config->links[i] != NULL);
        ingest->lanes[i].ingest = ingest;
        ingest->lanes[i].link = config->links[i];
        list_clear(&ingest->lanes[i].requests);
    }
    *ret_ingest = ingest;
    return ERR_OK;
}

/* Bytes a request holds until its commit, near enough for a bound. */
static uint64_t
request_bytes(const struct ingest_request *request)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < request->batch.count; i++) {
        const struct event *event = &request->batch.entries[i].event;

        bytes += sizeof(request->batch.entries[i]) + event->event_id.len + event->event_type.len +
                 event->user_id.len + event->anonymous_id.len + event->session_id.len +
                 event->properties.len;
    }
    return bytes;
}

enum err
ingest_add(struct ingest *ingest, struct ingest_request *request)
{
    uint64_t bytes = request_bytes(request);

    assert(request->done != NULL && (request->verdicts != NULL || request->batch.count == 0));
    if (ingest->gathered.first != NULL &&
        (ingest->gathered_bytes + bytes > ingest->config.gather_bytes_max ||
         (uint64_t)ingest->gathered_events + request->batch.count >
             ingest->config.gather_events_max ||
         wait_is_too_long(&ingest->wait, bytes)))
        return ERR_OVERLOADED;
    request->bytes = bytes;
    wait_add(&ingest->wait, bytes);
    ingest->gathered_bytes += bytes;
    ingest->gathered_events += request->batch.count;
    list_append(&ingest->gathered, request);
    return ERR_OK;
}

bool
ingest_is_full(const struct ingest *ingest, int64_t body_bytes)
{
    return ingest->gathered.first != NULL &&
           wait_is_too_long(&ingest->wait, body_bytes >= 0 ? (uint64_t)body_bytes : UINT64_MAX);
}

/* What the client reads: 503, whatever ailed the store. */
static enum err
client_err(enum err err)
{
    if (err == ERR_OK || err_status(err) == 503)
        return err;
    return err == ERR_NOMEM || err == ERR_FULL ? ERR_OVERLOADED : ERR_NOT_READY;
}

/* Hands out the batch's error alone: no verdicts. */
static void
fail_all(struct request_list *list, enum err err)
{
    struct ingest_request *request = list->first;

    list_clear(list);
    while (request != NULL) {
        struct ingest_request *next = request->next;

        request->err = err;
        request->done(request);
        request = next;
    }
}

static void
settle_entry(struct ingest_request *request, uint32_t i, enum store_verdict verdict)
{
    const struct event_entry *entry = &request->batch.entries[i];

    if (verdict == STORE_ACCEPTED) {
        request->verdicts[i] = INGEST_ACCEPTED;
        request->accepted++;
    } else if (verdict == STORE_DUPLICATE) {
        request->verdicts[i] = INGEST_DUPLICATE;
        request->duplicates++;
    } else {
        assert(entry->err != ERR_OK); /* a store that answers ERR_OK decides every event */
        request->verdicts[i] = INGEST_REJECTED;
        request->rejected++;
        if (rejected_counters[entry->err] != NULL)
            counter_add(rejected_counters[entry->err], 1);
    }
}

static bool
has_item(const struct event_entry *entry)
{
    return entry->err == ERR_OK || entry->has_id;
}

/* Verdicts back to every request of the batch, then `done`. */
static void
settle_all(struct lane *lane)
{
    const struct store_item *item = lane->items;
    struct ingest_request *request = lane->requests.first;
    uint64_t accepted = 0;
    uint64_t duplicates = 0;

    for (struct ingest_request *each = request; each != NULL; each = each->next) {
        each->err = ERR_OK;
        each->position = lane->batch.position;
        each->accepted = each->duplicates = each->rejected = 0;
        for (uint32_t i = 0; i < each->batch.count; i++)
            settle_entry(each, i,
                         has_item(&each->batch.entries[i]) ? (item++)->verdict : STORE_ABSENT);
        accepted += each->accepted;
        duplicates += each->duplicates;
    }
    if (accepted != 0)
        counter_add(&events_accepted, accepted);
    if (duplicates != 0)
        counter_add(&events_duplicate, duplicates);

    list_clear(&lane->requests);
    lane->is_under_way = false;
    wait_done(&lane->ingest->wait, lane->bytes, true);
    while (request != NULL) {
        struct ingest_request *next = request->next;

        request->done(request);
        request = next;
    }
}

static void
batch_done(struct store_batch *batch)
{
    struct lane *lane = batch->user;

    assert(lane->is_under_way);
    if (batch->err == ERR_OK) {
        settle_all(lane);
        return;
    }
    counter_add(&commits_failed, 1);
    lane->is_under_way = false;
    wait_done(&lane->ingest->wait, lane->bytes, false);
    fail_all(&lane->requests, client_err(batch->err));
}

/* Moves whole requests from what is gathered to the lane: one, and more while they fit. Entries of
 * all of them. */
static uint32_t
take_gathered(struct ingest *ingest, struct lane *lane)
{
    const uint64_t bytes_max = ingest->config.batch_bytes_max;
    const uint32_t events_max = ingest->config.batch_events_max;
    uint64_t bytes = 0;
    uint32_t events = 0;

    assert(lane->requests.first == NULL);
    while (ingest->gathered.first != NULL) {
        struct ingest_request *request = ingest->gathered.first;

        if (lane->requests.first != NULL &&
            ((bytes_max != 0 && bytes + request->bytes > bytes_max) ||
             (events_max != 0 && (uint64_t)events + request->batch.count > events_max)))
            break;
        bytes += request->bytes;
        events += request->batch.count;
        list_append(&lane->requests, list_take_first(&ingest->gathered));
    }
    lane->bytes = bytes;
    ingest->gathered_bytes -= bytes;
    ingest->gathered_events -= events;
    return events;
}

static bool
reserve_items(struct lane *lane, uint32_t needed)
{
    uint64_t capacity = lane->item_capacity != 0 ? lane->item_capacity : 64;
    struct store_item *items;

    if (needed <= lane->item_capacity)
        return true;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > UINT32_MAX)
        return false;
    items = mem_realloc(lane->items, capacity * sizeof(*items));
    if (items == NULL)
        return false;
    lane->items = items;
    lane->item_capacity = (uint32_t)capacity;
    return true;
}

static uint32_t
fill_items(struct lane *lane)
{
    uint32_t count = 0;

    for (struct ingest_request *request = lane->requests.first; request != NULL;
         request = request->next) {
        for (uint32_t i = 0; i < request->batch.count; i++) {
            const struct event_entry *entry = &request->batch.entries[i];

            if (!has_item(entry))
                continue;
            lane->items[count++] = (struct store_item){
                .event = &entry->event,
                .is_probe = entry->err != ERR_OK,
                .verdict = STORE_PENDING,
            };
        }
    }
    return count;
}

static void
submit(struct ingest *ingest, struct lane *lane)
{
    if (!reserve_items(lane, take_gathered(ingest, lane))) {
        wait_done(&ingest->wait, lane->bytes, false);
        fail_all(&lane->requests, ERR_OVERLOADED);
        return;
    }
    lane->is_under_way = true;
    lane->batch = (struct store_batch){
        .items = lane->items,
        .count = fill_items(lane),
        .done = batch_done,
        .user = lane,
    };
    if (lane->batch.count == 0)
        settle_all(lane); /* nothing the store need be asked */
    else
        store_link_submit(lane->link, &lane->batch);
}

/* A lane for the next batch; NULL: wait. A link without a server answers at once that it is not
 * ready: it is asked only where no other can serve. */
static struct lane *
free_lane(struct ingest *ingest)
{
    struct lane *last_resort = NULL;
    bool is_busy = false;

    for (uint32_t i = 0; i < ingest->config.link_count; i++) {
        struct lane *lane = &ingest->lanes[i];

        if (lane->is_under_way)
            is_busy = true;
        else if (store_link_is_ready(lane->link))
            return lane;
        else if (last_resort == NULL)
            last_resort = lane;
    }
    return is_busy ? NULL : last_resort;
}

void
ingest_flush(struct ingest *ingest)
{
    struct lane *lane;

    while (ingest->gathered.first != NULL && (lane = free_lane(ingest)) != NULL)
        submit(ingest, lane);
}

static bool
is_under_way(const struct ingest *ingest)
{
    for (uint32_t i = 0; i < ingest->config.link_count; i++) {
        if (ingest->lanes[i].is_under_way)
            return true;
    }
    return false;
}

bool
ingest_is_idle(const struct ingest *ingest)
{
    return ingest->gathered.first == NULL && !is_under_way(ingest);
}

void
ingest_free(struct ingest **place)
{
    struct ingest *ingest = *place;

    if (ingest == NULL)
        return;
    assert(!is_under_way(ingest));
    while (ingest->gathered.first != NULL)
        fail_all(&ingest->gathered, ERR_NOT_READY);
    for (uint32_t i = 0; i < ingest->config.link_count; i++)
        mem_free(ingest->lanes[i].items);
    mem_free(ingest);
    *place = NULL;
}
