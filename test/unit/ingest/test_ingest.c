/*
 * ingest against a mocked store: what is submitted, what comes back, and every way it can fail.
 */
#include "fixture.h"

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
test_ingest__out_of_memory_is_overload(void **state)
{
    struct fixture fixture;
    struct probe_request a;
    struct probe_request b;

    (void)state;
    fixture_open(&fixture, 1 << 20, 100);
    gather(&fixture, &a, "a");
    mem_fail_from(1, true);
    ingest_flush(fixture.ingest);
    mem_fail_from(0, false);
    assert_int_equal(a.done_count, 1);
    assert_int_equal(a.request.err, ERR_OVERLOADED);
    assert_int_equal(fixture.mock.submits, 0);
    send_one(&fixture, &b, "b");
    assert_int_equal(b.request.accepted, 1);

    ingest_free(&fixture.ingest);
    mem_fail_from(1, false);
    assert_int_equal(ingest_new(&(struct ingest_config){.links = {&fixture.mock.link},
                                                        .link_count = 1,
                                                        .gather_events_max = 1},
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
        cmocka_unit_test(test_ingest__out_of_memory_is_overload),
    };

    return cmocka_run_group_tests_name("ingest", tests, NULL, NULL);
}
