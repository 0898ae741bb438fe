/*
 * ingest - gathering a turn's requests into one batch of the store. See ingest.h.
 *
 * Two lists of requests: `gathered` (added since the last submit) and `under_way` (their items are
 * with the store). One array of items serves the batch under way; it grows with the requests that
 * are added, so that a submit cannot fail for want of memory.
 *
 * A store may answer within store_link_submit or in a later turn. `done` of a request may bring the
 * next pipelined request in, which then calls ingest_add: the lists are detached before it is
 * called.
 */
#include "ingest/ingest.h"

#include "base/counter.h"
#include "base/mem.h"

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
    X(EVENT_TOO_LARGE, "event_too_large")

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

struct ingest {
    struct ingest_config config;
    struct request_list gathered;
    uint64_t gathered_bytes;
    uint32_t gathered_events;
    bool is_under_way;
    struct request_list under_way;
    struct store_item *items;
    uint32_t item_capacity;
    struct store_batch batch;
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

/* Moves all of `from` to `to`, which is empty. */
static void
list_take(struct request_list *to, struct request_list *from)
{
    assert(to->first == NULL);
    if (from->first != NULL) {
        to->first = from->first;
        to->last_next = from->last_next;
    }
    list_clear(from);
}

enum err
ingest_new(const struct ingest_config *config, struct ingest **ret_ingest, struct diag *diag)
{
    struct ingest *ingest;

    assert(config->link != NULL && config->gather_events_max > 0);
    ingest = MEM_NEW(struct ingest, 1);
    if (ingest == NULL) {
        diag_set(diag, "no memory for gathering events");
        return ERR_NOMEM;
    }
    ingest->config = *config;
    list_clear(&ingest->gathered);
    list_clear(&ingest->under_way);
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

/* Room for the items of everything gathered and `count` more. */
static bool
reserve_items(struct ingest *ingest, uint32_t count)
{
    uint64_t needed = (uint64_t)ingest->gathered_events + count;
    uint64_t capacity = ingest->item_capacity != 0 ? ingest->item_capacity : 64;
    struct store_item *items;

    /* While a batch is under way its items must not move: the store reads them. */
    if (ingest->is_under_way || needed <= ingest->item_capacity)
        return true;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > UINT32_MAX)
        return false;
    items = mem_realloc(ingest->items, capacity * sizeof(*items));
    if (items == NULL)
        return false;
    ingest->items = items;
    ingest->item_capacity = (uint32_t)capacity;
    return true;
}

enum err
ingest_add(struct ingest *ingest, struct ingest_request *request)
{
    uint64_t bytes = request_bytes(request);

    assert(request->done != NULL && (request->verdicts != NULL || request->batch.count == 0));
    if (ingest->gathered.first != NULL &&
        (ingest->gathered_bytes + bytes > ingest->config.gather_bytes_max ||
         (uint64_t)ingest->gathered_events + request->batch.count >
             ingest->config.gather_events_max))
        return ERR_OVERLOADED;
    if (!reserve_items(ingest, request->batch.count))
        return ERR_NOMEM;
    ingest->gathered_bytes += bytes;
    ingest->gathered_events += request->batch.count;
    list_append(&ingest->gathered, request);
    return ERR_OK;
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
settle_all(struct ingest *ingest)
{
    const struct store_item *item = ingest->items;
    struct ingest_request *request = ingest->under_way.first;
    uint64_t accepted = 0;
    uint64_t duplicates = 0;

    for (struct ingest_request *each = request; each != NULL; each = each->next) {
        each->err = ERR_OK;
        each->position = ingest->batch.position;
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

    list_clear(&ingest->under_way);
    ingest->is_under_way = false;
    while (request != NULL) {
        struct ingest_request *next = request->next;

        request->done(request);
        request = next;
    }
}

static void
batch_done(struct store_batch *batch)
{
    struct ingest *ingest = batch->user;

    assert(ingest->is_under_way);
    if (batch->err == ERR_OK) {
        settle_all(ingest);
        return;
    }
    counter_add(&commits_failed, 1);
    ingest->is_under_way = false;
    fail_all(&ingest->under_way, client_err(batch->err));
}

static uint32_t
fill_items(struct ingest *ingest)
{
    uint32_t count = 0;

    for (struct ingest_request *request = ingest->under_way.first; request != NULL;
         request = request->next) {
        for (uint32_t i = 0; i < request->batch.count; i++) {
            const struct event_entry *entry = &request->batch.entries[i];

            if (!has_item(entry))
                continue;
            ingest->items[count++] = (struct store_item){
                .event = &entry->event,
                .is_probe = entry->err != ERR_OK,
                .verdict = STORE_PENDING,
            };
        }
    }
    return count;
}

static void
submit(struct ingest *ingest)
{
    bool has_room = reserve_items(ingest, 0);

    list_take(&ingest->under_way, &ingest->gathered);
    ingest->gathered_bytes = 0;
    ingest->gathered_events = 0;
    if (!has_room) {
        fail_all(&ingest->under_way, ERR_OVERLOADED);
        return;
    }
    ingest->is_under_way = true;
    ingest->batch = (struct store_batch){
        .items = ingest->items,
        .count = fill_items(ingest),
        .done = batch_done,
        .user = ingest,
    };
    if (ingest->batch.count == 0)
        settle_all(ingest); /* nothing the store need be asked */
    else
        store_link_submit(ingest->config.link, &ingest->batch);
}

void
ingest_flush(struct ingest *ingest)
{
    while (!ingest->is_under_way && ingest->gathered.first != NULL)
        submit(ingest);
}

bool
ingest_is_idle(const struct ingest *ingest)
{
    return !ingest->is_under_way && ingest->gathered.first == NULL;
}

void
ingest_free(struct ingest **ingest)
{
    if (*ingest == NULL)
        return;
    assert(!(*ingest)->is_under_way);
    while ((*ingest)->gathered.first != NULL)
        fail_all(&(*ingest)->gathered, ERR_NOT_READY);
    mem_free((*ingest)->items);
    mem_free(*ingest);
    *ingest = NULL;
}
