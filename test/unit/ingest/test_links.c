/*
 * ingest with several links to a store that answers later: batches under way side by side, what
 * waits meanwhile, and how everything ends.
 */
#include "fixture.h"

static void
test_links__two_batches_end_in_the_other_order(void **state)
{
    struct fixture fixture;
    struct probe_request requests[5];

    (void)state;
    fixture_open_two(&fixture, 0);
    send_one(&fixture, &requests[0], "a");
    send_one(&fixture, &requests[1], "b");
    assert_int_equal(fixture.mocks[0].submits, 1);
    assert_int_equal(fixture.mocks[1].submits, 1);
    send_one(&fixture, &requests[2], "c"); /* both are busy: gathered */
    send_one(&fixture, &requests[3], "b");
    assert_int_equal(fixture.mocks[0].submits + fixture.mocks[1].submits, 2);

    mock_answer(&fixture.mocks[1]); /* the later one first */
    assert_int_equal(requests[0].done_count, 0);
    assert_int_equal(requests[1].done_count, 1);
    assert_int_equal(requests[1].request.accepted, 1);
    ingest_flush(fixture.ingest); /* its link takes all that was gathered meanwhile */
    assert_int_equal(fixture.mocks[1].submits, 2);
    assert_int_equal(fixture.mocks[1].item_count, 2);
    send_one(&fixture, &requests[4], "e");
    assert_int_equal(fixture.mocks[0].submits, 1);

    /* The first batch's items stood still while others were filled. */
    assert_ptr_equal(fixture.mocks[0].batch->items[0].event, &requests[0].entries[0].event);
    mock_answer(&fixture.mocks[0]);
    assert_int_equal(requests[0].request.accepted, 1);
    ingest_flush(fixture.ingest);
    assert_int_equal(fixture.mocks[0].submits, 2);
    mock_answer(&fixture.mocks[0]);
    mock_answer(&fixture.mocks[1]);
    assert_int_equal(requests[2].request.accepted, 1);
    assert_int_equal(requests[3].request.duplicates, 1);
    assert_int_equal(requests[4].request.accepted, 1);
    for (size_t i = 0; i < COUNT_OF(requests); i++)
        assert_int_equal(requests[i].done_count, 1);
    assert_true(ingest_is_idle(fixture.ingest));
    ingest_free(&fixture.ingest);
}

static void
test_links__an_error_on_one_link_is_its_batch_s_alone(void **state)
{
    struct fixture fixture;
    struct probe_request a;
    struct probe_request b;
    struct probe_request c;

    (void)state;
    fixture_open_two(&fixture, 0);
    send_one(&fixture, &a, "a");
    send_one(&fixture, &b, "b");
    send_one(&fixture, &c, "c");
    fixture.mocks[0].err = ERR_NOT_READY;
    mock_answer(&fixture.mocks[0]);
    assert_int_equal(a.request.err, ERR_NOT_READY);
    assert_int_equal(b.done_count, 0);
    assert_int_equal(c.done_count, 0);
    ingest_flush(fixture.ingest);
    mock_answer(&fixture.mocks[1]);
    assert_int_equal(b.request.err, ERR_OK);
    assert_int_equal(b.request.accepted, 1);
    fixture.mocks[0].err = ERR_OK;
    mock_answer(&fixture.mocks[0]);
    assert_int_equal(c.request.accepted, 1);
    ingest_free(&fixture.ingest);
}

static void
test_links__a_link_that_is_away_is_passed_over(void **state)
{
    struct fixture fixture;
    struct probe_request a;
    struct probe_request b;
    struct probe_request c;

    (void)state;
    fixture_open_two(&fixture, 0);
    fixture.mocks[0].is_away = true;
    fixture.mocks[0].is_late = false;
    fixture.mocks[0].err = ERR_NOT_READY;
    send_one(&fixture, &a, "a");
    send_one(&fixture, &b, "b"); /* waits for the link that serves */
    assert_int_equal(fixture.mocks[0].submits, 0);
    assert_int_equal(fixture.mocks[1].item_count, 1);
    mock_answer(&fixture.mocks[1]);
    ingest_flush(fixture.ingest);
    mock_answer(&fixture.mocks[1]);
    assert_int_equal(a.request.accepted, 1);
    assert_int_equal(b.request.accepted, 1);

    fixture.mocks[1].is_away = true; /* nobody serves: told at once */
    send_one(&fixture, &c, "c");
    assert_int_equal(c.done_count, 1);
    assert_int_equal(c.request.err, ERR_NOT_READY);
    ingest_free(&fixture.ingest);
}

static void
test_links__a_batch_takes_whole_requests_up_to_its_bound(void **state)
{
    struct fixture fixture;
    struct probe_request requests[5];

    (void)state;
    fixture_open_two(&fixture, 3);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        static const char *const ids[] = {"a", "b", "c", "d", "e"};
        static const uint32_t counts[] = {2, 1, 4, 3, 1};

        request_init(&requests[i], &fixture);
        for (uint32_t k = 0; k < counts[i]; k++)
            add_event(&requests[i], ids[i], ERR_OK);
        assert_int_equal(ingest_add(fixture.ingest, &requests[i].request), ERR_OK);
    }
    ingest_flush(fixture.ingest);
    assert_int_equal(fixture.mocks[0].item_count, 3); /* 2 + 1: exactly the bound */
    assert_int_equal(fixture.mocks[1].item_count, 4); /* one alone goes whole */
    mock_answer(&fixture.mocks[0]);
    ingest_flush(fixture.ingest);
    assert_int_equal(fixture.mocks[0].item_count, 3); /* 3, and one more would be too many */
    mock_answer(&fixture.mocks[1]);
    ingest_flush(fixture.ingest);
    assert_int_equal(fixture.mocks[1].item_count, 1);
    mock_answer(&fixture.mocks[1]);
    mock_answer(&fixture.mocks[0]);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        assert_int_equal(requests[i].done_count, 1);
        assert_int_equal(requests[i].request.accepted, 1);
    }
    ingest_free(&fixture.ingest);

    /* Bytes: the second request is over the sum. */
    fixture_open(&fixture, 1 << 20, 100);
    ingest_free(&fixture.ingest);
    fixture.mock.is_late = true;
    assert_int_equal(ingest_new(&(struct ingest_config){.links = {&fixture.mock.link},
                                                        .link_count = 1,
                                                        .gather_bytes_max = 1 << 20,
                                                        .gather_events_max = 100,
                                                        .batch_bytes_max = 10},
                                &fixture.ingest, NULL),
                     ERR_OK);
    gather(&fixture, &requests[0], "a");
    gather(&fixture, &requests[1], "b");
    ingest_flush(fixture.ingest);
    assert_int_equal(fixture.mock.item_count, 1);
    mock_answer(&fixture.mock);
    ingest_flush(fixture.ingest);
    mock_answer(&fixture.mock);
    assert_int_equal(requests[1].request.accepted, 1);
    ingest_free(&fixture.ingest);
}

/* 64 connections, a batch of 1,000 events from each, while the store takes its time. */
static void
test_links__many_connections_wait_rather_than_being_refused(void **state)
{
    enum { CONNECTIONS = 64, EVENTS = 1000 };
    static struct ingest_request requests[CONNECTIONS];
    static struct event_entry entries[CONNECTIONS][EVENTS];
    static enum ingest_verdict verdicts[CONNECTIONS][EVENTS];
    struct fixture fixture;
    struct probe_request probes[CONNECTIONS];
    uint32_t done = 0;
    uint32_t answers = 0;

    (void)state;
    fixture_open_two(&fixture, 10000);
    ingest_free(&fixture.ingest);
    assert_int_equal(ingest_new(&(struct ingest_config){.links = {&fixture.mocks[0].link,
                                                                  &fixture.mocks[1].link},
                                                        .link_count = 2,
                                                        .gather_bytes_max = UINT64_C(64) << 20,
                                                        .gather_events_max = 100000,
                                                        .batch_bytes_max = UINT64_C(8) << 20,
                                                        .batch_events_max = 10000},
                                &fixture.ingest, NULL),
                     ERR_OK);
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        static const char text[500] = {'x'};

        request_init(&probes[i], &fixture);
        requests[i] = probes[i].request;
        requests[i].user = &probes[i];
        requests[i].batch.entries = entries[i];
        requests[i].batch.count = EVENTS;
        requests[i].verdicts = verdicts[i];
        for (uint32_t k = 0; k < EVENTS; k++) {
            entries[i][k].has_id = true;
            entries[i][k].event.project_id = 1;
            entries[i][k].event.event_id = SLICE("id");
            entries[i][k].event.properties = slice_of(text, sizeof(text));
        }
        assert_int_equal(ingest_add(fixture.ingest, &requests[i]), ERR_OK);
        ingest_flush(fixture.ingest); /* each in a turn of its own */
    }
    while (!ingest_is_idle(fixture.ingest)) {
        struct mock_link *mock = &fixture.mocks[answers++ % 2];

        if (mock->batch != NULL) {
            assert_true(mock->batch->count <= 10000);
            mock_answer(mock);
        }
        ingest_flush(fixture.ingest);
        assert_true(answers < 64);
    }
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        done += probes[i].done_count;
    assert_int_equal(done, CONNECTIONS);
    assert_true(fixture.mocks[0].submits + fixture.mocks[1].submits < 12);
    ingest_free(&fixture.ingest);
}

/* The links are closed with batches under way (each answered ERR_NOT_READY), then ingest is freed.
 */
static void
test_links__stop_answers_everything_once(void **state)
{
    struct fixture fixture;
    struct probe_request requests[3];
    struct probe_request next;

    (void)state;
    fixture_open_two(&fixture, 0);
    send_one(&fixture, &requests[0], "a");
    send_one(&fixture, &requests[1], "b");
    send_one(&fixture, &requests[2], "c");
    request_init(&next, &fixture); /* pipelined behind the first */
    add_event(&next, "d", ERR_OK);
    requests[0].then = &next;
    requests[1].request.is_abandoned = true;
    for (uint32_t i = 0; i < 2; i++) {
        fixture.mocks[i].err = ERR_NOT_READY;
        mock_answer(&fixture.mocks[i]);
    }
    assert_int_equal(requests[2].done_count, 0);
    ingest_free(&fixture.ingest);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        assert_int_equal(requests[i].done_count, 1);
        assert_int_equal(requests[i].request.err, ERR_NOT_READY);
    }
    assert_int_equal(next.done_count, 1);
    assert_int_equal(next.request.err, ERR_NOT_READY);
    assert_int_equal(fixture.mocks[0].submits + fixture.mocks[1].submits, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links__two_batches_end_in_the_other_order),
        cmocka_unit_test(test_links__an_error_on_one_link_is_its_batch_s_alone),
        cmocka_unit_test(test_links__a_link_that_is_away_is_passed_over),
        cmocka_unit_test(test_links__a_batch_takes_whole_requests_up_to_its_bound),
        cmocka_unit_test(test_links__many_connections_wait_rather_than_being_refused),
        cmocka_unit_test(test_links__stop_answers_everything_once),
    };

    return cmocka_run_group_tests_name("ingest/links", tests, NULL, NULL);
}
