/*
 * fixture - what ingest's tests share: a mocked store, and requests that count their answers.
 *
 * The mock keeps the last batch. It answers within submit (as the ledger does) or when told to
 * (as a database would), with the verdicts the test laid out, or with an error.
 */
#ifndef POTIK_TEST_INGEST_FIXTURE_H
#define POTIK_TEST_INGEST_FIXTURE_H

#include "base/mem.h"
#include "ingest/ingest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define EVENTS_MAX 64

struct mock_link {
    struct store_link link; /* first: the vtable finds the mock by it */
    bool is_late;           /* done comes from mock_answer */
    bool is_away;           /* the link says that it is not ready */
    enum err err;           /* of the next answers */
    uint32_t submits;
    struct store_batch *batch;               /* under way */
    uint32_t item_count;                     /* of the last submit */
    struct store_item items[EVENTS_MAX];     /* the first of them */
    enum store_verdict verdicts[EVENTS_MAX]; /* to be given; PENDING: by the mock's own memory */
    struct slice stored[EVENTS_MAX];
    uint32_t stored_count;
};

static inline bool
mock_is_stored(const struct mock_link *mock, struct slice id)
{
    for (uint32_t i = 0; i < mock->stored_count; i++) {
        if (slice_equal(mock->stored[i], id))
            return true;
    }
    return false;
}

static inline void
mock_answer(struct mock_link *mock)
{
    struct store_batch *batch = mock->batch;

    assert_non_null(batch);
    mock->batch = NULL;
    batch->err = mock->err;
    for (uint32_t i = 0; mock->err == ERR_OK && i < batch->count; i++) {
        struct store_item *item = &batch->items[i];

        if (mock_is_stored(mock, item->event->event_id)) {
            item->verdict = STORE_DUPLICATE;
        } else if (item->is_probe) {
            item->verdict = STORE_ABSENT;
        } else {
            item->verdict = STORE_ACCEPTED;
            mock->stored[mock->stored_count++] = item->event->event_id;
            batch->accepted_count++;
        }
    }
    batch->position = (struct store_position){7, 0, mock->stored_count};
    batch->done(batch);
}

static inline void
mock_submit(struct store_link *link, struct store_batch *batch)
{
    struct mock_link *mock = (struct mock_link *)link;

    assert_null(mock->batch); /* one under way a link */
    assert_true(batch->count > 0);
    mock->submits++;
    mock->batch = batch;
    mock->item_count = batch->count;
    memcpy(mock->items, batch->items,
           (batch->count < EVENTS_MAX ? batch->count : EVENTS_MAX) * sizeof(*batch->items));
    if (!mock->is_late)
        mock_answer(mock);
}

static inline bool
mock_is_ready(struct store_link *link)
{
    return !((struct mock_link *)link)->is_away;
}

static const struct store_vtable mock_vtable = {
    .link_submit = mock_submit,
    .link_is_ready = mock_is_ready,
};

/* One request with up to four events, and how often its `done` came. */
struct fixture {
    struct mock_link mock; /* of a fixture with one link */
    struct mock_link mocks[2];
    struct ingest *ingest;
};

struct probe_request {
    struct ingest_request request;
    struct event_entry entries[4];
    enum ingest_verdict verdicts[4];
    uint32_t done_count;
    struct fixture *fixture;
    struct probe_request *then; /* added by this one's done */
};

static inline void
request_done(struct ingest_request *request)
{
    struct probe_request *probe = request->user;

    probe->done_count++;
    if (probe->then != NULL)
        assert_int_equal(ingest_add(probe->fixture->ingest, &probe->then->request), ERR_OK);
}

static inline void
request_init(struct probe_request *probe, struct fixture *fixture)
{
    memset(probe, 0, sizeof(*probe));
    probe->fixture = fixture;
    probe->request.batch.entries = probe->entries;
    probe->request.verdicts = probe->verdicts;
    probe->request.done = request_done;
    probe->request.user = probe;
}

static inline void
add_event(struct probe_request *probe, const char *id, enum err err)
{
    struct event_entry *entry = &probe->entries[probe->request.batch.count++];

    entry->err = err;
    entry->event.event_id = slice_of_text(id);
    entry->has_id = id != NULL;
    entry->event.project_id = 1;
}

static inline void
fixture_open(struct fixture *fixture, uint64_t bytes_max, uint32_t events_max)
{
    struct ingest_config config = {
        .gather_bytes_max = bytes_max,
        .gather_events_max = events_max,
    };

    memset(fixture, 0, sizeof(*fixture));
    fixture->mock.link.vtable = &mock_vtable;
    config.links[0] = &fixture->mock.link;
    config.link_count = 1;
    assert_int_equal(ingest_new(&config, &fixture->ingest, NULL), ERR_OK);
}

/* Two links that answer when told to, and batches of at most `batch_events_max`. */
static inline void
fixture_open_two(struct fixture *fixture, uint32_t batch_events_max)
{
    struct ingest_config config = {
        .link_count = 2,
        .gather_bytes_max = 1 << 20,
        .gather_events_max = 100,
        .batch_events_max = batch_events_max,
    };

    memset(fixture, 0, sizeof(*fixture));
    for (uint32_t i = 0; i < 2; i++) {
        fixture->mocks[i].link.vtable = &mock_vtable;
        fixture->mocks[i].is_late = true;
        config.links[i] = &fixture->mocks[i].link;
    }
    assert_int_equal(ingest_new(&config, &fixture->ingest, NULL), ERR_OK);
}

/* A request with one event, gathered. */
static inline void
gather(struct fixture *fixture, struct probe_request *probe, const char *id)
{
    request_init(probe, fixture);
    add_event(probe, id, ERR_OK);
    assert_int_equal(ingest_add(fixture->ingest, &probe->request), ERR_OK);
}

/* The same, at the end of its turn. */
static inline void
send_one(struct fixture *fixture, struct probe_request *probe, const char *id)
{
    gather(fixture, probe, id);
    ingest_flush(fixture->ingest);
}

#endif
