/*
 * ingest against a mocked store: what is submitted, what comes back, and every way it can fail.
 *
 * The mock keeps the last batch. It answers within submit (as the ledger does) or when told to
 * (as a database would), with the verdicts the test laid out, or with an error.
 */
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
    enum err err;           /* of the next answers */
    uint32_t submits;
    struct store_batch *batch; /* under way */
    uint32_t item_count;       /* of the last submit */
    struct store_item items[EVENTS_MAX];
    enum store_verdict verdicts[EVENTS_MAX]; /* to be given; PENDING: by the mock's own memory */
    struct slice stored[EVENTS_MAX];
    uint32_t stored_count;
};

static bool
mock_is_stored(const struct mock_link *mock, struct slice id)
{
    for (uint32_t i = 0; i < mock->stored_count; i++) {
        if (slice_equal(mock->stored[i], id))
            return true;
    }
    return false;
}

static void
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

static void
mock_submit(struct store_link *link, struct store_batch *batch)
{
    struct mock_link *mock = (struct mock_link *)link;

    assert_null(mock->batch); /* one under way a link */
    assert_true(batch->count > 0 && batch->count <= EVENTS_MAX);
    mock->submits++;
    mock->batch = batch;
    mock->item_count = batch->count;
    memcpy(mock->items, batch->items, batch->count * sizeof(*batch->items));
    if (!mock->is_late)
        mock_answer(mock);
}

static const struct store_vtable mock_vtable = {.link_submit = mock_submit};

/* One request with up to four events, and how often its `done` came. */
struct fixture {
    struct mock_link mock;
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

static void
request_done(struct ingest_request *request)
{
    struct probe_request *probe = request->user;

    probe->done_count++;
    if (probe->then != NULL)
        assert_int_equal(ingest_add(probe->fixture->ingest, &probe->then->request), ERR_OK);
}

static void
request_init(struct probe_request *probe, struct fixture *fixture)
{
    memset(probe, 0, sizeof(*probe));
    probe->fixture = fixture;
    probe->request.batch.entries = probe->entries;
    probe->request.verdicts = probe->verdicts;
    probe->request.done = request_done;
    probe->request.user = probe;
}

static void
add_event(struct probe_request *probe, const char *id, enum err err)
{
    struct event_entry *entry = &probe->entries[probe->request.batch.count++];

    entry->err = err;
    entry->event.event_id = slice_of_text(id);
    entry->has_id = id != NULL;
    entry->event.project_id = 1;
}

static void
fixture_open(struct fixture *fixture, uint64_t bytes_max, uint32_t events_max)
{
    struct ingest_config config = {
        .gather_bytes_max = bytes_max,
        .gather_events_max = events_max,
    };

    memset(fixture, 0, sizeof(*fixture));
    fixture->mock.link.vtable = &mock_vtable;
    config.link = &fixture->mock.link;
    assert_int_equal(ingest_new(&config, &fixture->ingest, NULL), ERR_OK);
}

static void
test_ingest__one_turn_is_one_batch(void **state)
{
    struct fixture fixture;
    struct probe_request a;
    struct probe_request b;

    (void)state;
    fixture_open(&fixture, 1 << 20, 100);
    request_init(&a, &fixture);
    add_event(&a, "a1", ERR_OK);
    add_event(&a, "a2", ERR_OK);
    request_init(&b, &fixture);
    add_event(&b, "b1", ERR_OK);
    assert_int_equal(ingest_add(fixture.ingest, &a.request), ERR_OK);
    assert_int_equal(ingest_add(fixture.ingest, &b.request), ERR_OK);
    assert_int_equal(a.done_count, 0);
    ingest_flush(fixture.ingest);

    assert_int_equal(fixture.mock.submits, 1);
    assert_int_equal(fixture.mock.item_count, 3);
    assert_int_equal(a.done_count, 1);
    assert_int_equal(b.done_count, 1);
    assert_int_equal(a.request.err, ERR_OK);
    assert_int_equal(a.request.accepted, 2);
    assert_int_equal(b.request.accepted, 1);
    assert_int_equal(a.request.position.minor, 3);
    assert_true(ingest_is_idle(fixture.ingest));
    ingest_flush(fixture.ingest); /* nothing gathered: nothing submitted */
    assert_int_equal(fixture.mock.submits, 1);
    ingest_free(&fixture.ingest);
    assert_null(fixture.ingest);
}

static void
test_ingest__refused_with_an_id_is_probed(void **state)
{
    struct fixture fixture;
    struct probe_request a;

    (void)state;
    fixture_open(&fixture, 1 << 20, 100);
    fixture.mock.stored[fixture.mock.stored_count++] = SLICE("old");
    request_init(&a, &fixture);
    add_event(&a, "old", ERR_TOO_LONG);     /* stored before: duplicate */
    add_event(&a, "new", ERR_TOO_LONG);     /* not stored: rejected, and not stored now */
    add_event(&a, NULL, ERR_MISSING_FIELD); /* nothing to ask with */
    add_event(&a, "good", ERR_OK);
    assert_int_equal(ingest_add(fixture.ingest, &a.request), ERR_OK);
    ingest_flush(fixture.ingest);

    assert_int_equal(fixture.mock.item_count, 3);
    assert_true(fixture.mock.items[0].is_probe);
    assert_true(fixture.mock.items[1].is_probe);
    assert_false(fixture.mock.items[2].is_probe);
    assert_int_equal(a.verdicts[0], INGEST_DUPLICATE);
    assert_int_equal(a.verdicts[1], INGEST_REJECTED);
    assert_int_equal(a.verdicts[2], INGEST_REJECTED);
    assert_int_equal(a.verdicts[3], INGEST_ACCEPTED);
    assert_int_equal(a.request.duplicates, 1);
    assert_int_equal(a.request.rejected, 2);
    assert_int_equal(a.request.accepted, 1);
    assert_false(mock_is_stored(&fixture.mock, SLICE("new")));
    ingest_free(&fixture.ingest);
}

static void
test_ingest__equal_ids_across_requests_first_wins(void **state)
{
    struct fixture fixture;
    struct probe_request requests[3];

    (void)state;
    fixture_open(&fixture, 1 << 20, 100);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        request_init(&requests[i], &fixture);
        add_event(&requests[i], "same", i == 0 ? ERR_INVALID_TYPE : ERR_OK);
        add_event(&requests[i], "same", ERR_OK);
        assert_int_equal(ingest_add(fixture.ingest, &requests[i].request), ERR_OK);
    }
    ingest_flush(fixture.ingest);

    assert_int_equal(requests[0].verdicts[0], INGEST_REJECTED); /* refused: does not win */
    assert_int_equal(requests[0].verdicts[1], INGEST_ACCEPTED);
    assert_int_equal(requests[1].request.duplicates, 2);
    assert_int_equal(requests[2].request.duplicates, 2);
    assert_int_equal(fixture.mock.stored_count, 1);
    ingest_free(&fixture.ingest);
}

static void
test_ingest__nothing_to_ask_needs_no_store(void **state)
{
    struct fixture fixture;
    struct probe_request empty;
    struct probe_request refused;

    (void)state;
    fixture_open(&fixture, 1 << 20, 100);
    request_init(&empty, &fixture);
    request_init(&refused, &fixture);
    add_event(&refused, NULL, ERR_INVALID_TYPE);
    assert_int_equal(ingest_add(fixture.ingest, &empty.request), ERR_OK);
    assert_int_equal(ingest_add(fixture.ingest, &refused.request), ERR_OK);
    ingest_flush(fixture.ingest);

    assert_int_equal(fixture.mock.submits, 0);
    assert_int_equal(empty.done_count, 1);
    assert_int_equal(empty.request.err, ERR_OK);
    assert_int_equal(refused.done_count, 1);
    assert_int_equal(refused.request.rejected, 1);
    assert_int_equal(refused.request.position.minor, 0);
    ingest_free(&fixture.ingest);
}

static void
test_ingest__failed_commit_is_503_for_all(void **state)
{
    static const struct {
        enum err store;
        enum err client;
    } rows[] = {
        {ERR_STORAGE_FULL, ERR_STORAGE_FULL},
        {ERR_OVERLOADED, ERR_OVERLOADED},
        {ERR_NOT_READY, ERR_NOT_READY},
        {ERR_FATAL, ERR_NOT_READY},
        {ERR_IO, ERR_NOT_READY},
        {ERR_NOMEM, ERR_OVERLOADED},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fixture fixture;
        struct probe_request a;
        struct probe_request b;

        fixture_open(&fixture, 1 << 20, 100);
        fixture.mock.err = rows[i].store;
        fixture.mock.stored[fixture.mock.stored_count++] = SLICE("old");
        request_init(&a, &fixture);
        add_event(&a, "old", ERR_OK); /* would be a duplicate: must not be told */
        request_init(&b, &fixture);
        add_event(&b, NULL, ERR_MISSING_FIELD);
        assert_int_equal(ingest_add(fixture.ingest, &a.request), ERR_OK);
        assert_int_equal(ingest_add(fixture.ingest, &b.request), ERR_OK);
        ingest_flush(fixture.ingest);
        assert_int_equal(a.done_count, 1);
        assert_int_equal(a.request.err, rows[i].client);
        assert_int_equal(a.request.duplicates, 0);
        assert_int_equal(b.done_count, 1);
        assert_int_equal(b.request.err, rows[i].client);

        fixture.mock.err = ERR_OK; /* the next batch is on its own */
        request_init(&b, &fixture);
        add_event(&b, "fresh", ERR_OK);
        assert_int_equal(ingest_add(fixture.ingest, &b.request), ERR_OK);
        ingest_flush(fixture.ingest);
        assert_int_equal(b.request.accepted, 1);
        ingest_free(&fixture.ingest);
    }
}

static void
test_ingest__late_answer_gathers_the_next_batch(void **state)
{
    struct fixture fixture;
    struct probe_request a;
    struct probe_request b;
    struct probe_request c;

    (void)state;
    fixture_open(&fixture, 1 << 20, 100);
    fixture.mock.is_late = true;
    request_init(&a, &fixture);
    add_event(&a, "a", ERR_OK);
    request_init(&b, &fixture);
    add_event(&b, "b", ERR_OK);
    request_init(&c, &fixture);
    add_event(&c, "a", ERR_OK);
    assert_int_equal(ingest_add(fixture.ingest, &a.request), ERR_OK);
    ingest_flush(fixture.ingest);
    assert_int_equal(ingest_add(fixture.ingest, &b.request), ERR_OK);
    ingest_flush(fixture.ingest);
    assert_int_equal(ingest_add(fixture.ingest, &c.request), ERR_OK);
    ingest_flush(fixture.ingest);
    assert_int_equal(fixture.mock.submits, 1);
    assert_int_equal(a.done_count, 0);
    assert_false(ingest_is_idle(fixture.ingest));

    mock_answer(&fixture.mock);
    assert_int_equal(a.done_count, 1);
    assert_int_equal(b.done_count, 0);
    ingest_flush(fixture.ingest); /* the turn that brought the answer ends */
    assert_int_equal(fixture.mock.submits, 2);
    assert_int_equal(fixture.mock.item_count, 2);
    mock_answer(&fixture.mock);
    assert_int_equal(b.request.accepted, 1);
    assert_int_equal(c.request.duplicates, 1);
    ingest_free(&fixture.ingest);
}

static void
test_ingest__done_may_bring_the_next_request(void **state)
{
    struct fixture fixture;
    struct probe_request a;
    struct probe_request b;

    (void)state;
    fixture_open(&fixture, 1 << 20, 100);
    request_init(&a, &fixture);
    add_event(&a, "a", ERR_OK);
    request_init(&b, &fixture);
    add_event(&b, "b", ERR_OK);
    a.then = &b;
    assert_int_equal(ingest_add(fixture.ingest, &a.request), ERR_OK);
    ingest_flush(fixture.ingest);
    assert_int_equal(fixture.mock.submits, 2);
    assert_int_equal(b.done_count, 1);
    assert_int_equal(b.request.accepted, 1);
    ingest_free(&fixture.ingest);
}

static void
test_ingest__overload_at_the_limits(void **state)
{
    struct fixture fixture;
    struct probe_request requests[4];

    (void)state;
    fixture_open(&fixture, 1 << 20, 3);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        request_init(&requests[i], &fixture);
        add_event(&requests[i], "x", ERR_OK);
        assert_int_equal(ingest_add(fixture.ingest, &requests[i].request),
                         i < 3 ? ERR_OK : ERR_OVERLOADED);
    }
    ingest_flush(fixture.ingest);
    assert_int_equal(requests[2].done_count, 1);
    assert_int_equal(requests[3].done_count, 0); /* never ours */
    assert_int_equal(ingest_add(fixture.ingest, &requests[3].request), ERR_OK);
    ingest_free(&fixture.ingest);
    assert_int_equal(requests[3].request.err, ERR_NOT_READY);

    /* Bytes: one request alone always passes, a second one over the sum does not. */
    fixture_open(&fixture, 10, 100);
    request_init(&requests[0], &fixture);
    add_event(&requests[0], "a", ERR_OK);
    request_init(&requests[1], &fixture);
    add_event(&requests[1], "b", ERR_OK);
    assert_int_equal(ingest_add(fixture.ingest, &requests[0].request), ERR_OK);
    assert_int_equal(ingest_add(fixture.ingest, &requests[1].request), ERR_OVERLOADED);
    ingest_free(&fixture.ingest);
}

static void
test_ingest__abandoned_request_is_stored_and_done(void **state)
{
    struct fixture fixture;
    struct probe_request a;

    (void)state;
    fixture_open(&fixture, 1 << 20, 100);
    fixture.mock.is_late = true;
    request_init(&a, &fixture);
    add_event(&a, "a", ERR_OK);
    assert_int_equal(ingest_add(fixture.ingest, &a.request), ERR_OK);
    ingest_flush(fixture.ingest);
    a.request.is_abandoned = true;
    mock_answer(&fixture.mock);
    assert_int_equal(a.done_count, 1);
    assert_true(mock_is_stored(&fixture.mock, SLICE("a")));
    ingest_free(&fixture.ingest);
}

static void
test_ingest__out_of_memory_leaves_the_request_with_its_owner(void **state)
{
    struct fixture fixture;
    struct probe_request a;

    (void)state;
    fixture_open(&fixture, 1 << 20, 100);
    request_init(&a, &fixture);
    add_event(&a, "a", ERR_OK);
    mem_fail_from(1, true);
    assert_int_equal(ingest_add(fixture.ingest, &a.request), ERR_NOMEM);
    mem_fail_from(0, false);
    assert_int_equal(a.done_count, 0);
    assert_true(ingest_is_idle(fixture.ingest));
    assert_int_equal(ingest_add(fixture.ingest, &a.request), ERR_OK);
    ingest_flush(fixture.ingest);
    assert_int_equal(a.request.accepted, 1);

    /* While a batch is under way items cannot grow; the want shows at the next submit. */
    ingest_free(&fixture.ingest);
    mem_fail_from(1, false);
    assert_int_equal(
        ingest_new(&(struct ingest_config){.link = &fixture.mock.link, .gather_events_max = 1},
                   &fixture.ingest, NULL),
        ERR_NOMEM);
    mem_fail_from(0, false);
    assert_null(fixture.ingest);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ingest__one_turn_is_one_batch),
        cmocka_unit_test(test_ingest__refused_with_an_id_is_probed),
        cmocka_unit_test(test_ingest__equal_ids_across_requests_first_wins),
        cmocka_unit_test(test_ingest__nothing_to_ask_needs_no_store),
        cmocka_unit_test(test_ingest__failed_commit_is_503_for_all),
        cmocka_unit_test(test_ingest__late_answer_gathers_the_next_batch),
        cmocka_unit_test(test_ingest__done_may_bring_the_next_request),
        cmocka_unit_test(test_ingest__overload_at_the_limits),
        cmocka_unit_test(test_ingest__abandoned_request_is_stored_and_done),
        cmocka_unit_test(test_ingest__out_of_memory_leaves_the_request_with_its_owner),
    };

    return cmocka_run_group_tests_name("ingest", tests, NULL, NULL);
}
