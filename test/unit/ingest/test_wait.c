/*
 * wait: what is refused where waiting would take too long, by a clock that the tests hold; and that
 * ingest asks it, and tells it of each batch.
 */
#include "fixture.h"
#include "ingest/wait.h"

#define MIB (UINT64_C(1) << 20)
#define LARGE (WAIT_SMALL_BYTES + 1)

static const uint64_t tick_us = 100000; /* WAIT_STRETCH_NS */

struct held {
    struct clock_fake clock;
    struct wait wait;
};

static void
held_init(struct held *held)
{
    clock_fake_init(&held->clock, INT64_C(1770000000000000));
    clock_fake_move(&held->clock, 1000000);
    wait_init(&held->wait, &held->clock.clock);
}

/* `bytes` come, and are decided a stretch later while `left` wait. */
static void
decide(struct held *held, uint64_t bytes, uint64_t left)
{
    wait_add(&held->wait, bytes);
    if (held->wait.bytes - bytes < left)
        wait_add(&held->wait, left - (held->wait.bytes - bytes));
    clock_fake_move(&held->clock, (int64_t)tick_us);
    wait_done(&held->wait, bytes, true);
}

static void
empty(struct held *held)
{
    held->wait.bytes = 0;
}

static void
test_wait__before_the_pace_is_known_so_much_may_wait(void **state)
{
    struct held held;

    (void)state;
    held_init(&held);
    for (int i = -1; i <= 1; i++) {
        held.wait.bytes = WAIT_UNKNOWN_BYTES + (uint64_t)(int64_t)i;
        assert_int_equal(wait_is_too_long(&held.wait, LARGE), i == 1);
    }
    assert_false(wait_is_too_long(&held.wait, WAIT_SMALL_BYTES)); /* small ones: a quarter more */
    held.wait.bytes = WAIT_UNKNOWN_BYTES / 4 * 5 + 1;
    assert_true(wait_is_too_long(&held.wait, WAIT_SMALL_BYTES));
    held.wait.bytes = 4 * MIB;
    decide(&held, MIB, 0); /* the first answer only begins a stretch */
    assert_false(wait_is_too_long(&held.wait, LARGE));
    decide(&held, MIB, 5 * MIB);
    held.wait.bytes = 5 * MIB;
    assert_true(wait_is_too_long(&held.wait, LARGE)); /* 10 MiB a second: 4 MiB may wait */
}

static void
test_wait__a_store_that_answers_at_once_is_bounded_by_nothing_here(void **state)
{
    struct wait wait;

    (void)state;
    wait_init(&wait, NULL);
    wait_add(&wait, UINT64_C(1) << 40);
    assert_false(wait_is_too_long(&wait, LARGE));
}

static void
test_wait__the_bound_is_a_time(void **state)
{
    struct held held;
    uint64_t bytes_max = 40 * MIB; /* of 10 MiB a stretch of 100 ms: in 0.4 s */

    (void)state;
    held_init(&held);
    decide(&held, 10 * MIB, WAIT_LOADED_BYTES);
    decide(&held, 10 * MIB, WAIT_LOADED_BYTES);
    empty(&held);
    assert_in_range(held.wait.bytes_max, bytes_max - 1, bytes_max + 1);
    bytes_max = held.wait.bytes_max;
    for (int i = -1; i <= 1; i++) {
        held.wait.bytes = bytes_max + (uint64_t)(int64_t)i;
        assert_int_equal(wait_is_too_long(&held.wait, LARGE), i == 1);
        held.wait.bytes += bytes_max / 4; /* small ones are let in longer */
        assert_true(wait_is_too_long(&held.wait, WAIT_SMALL_BYTES + 1));
        assert_int_equal(wait_is_too_long(&held.wait, WAIT_SMALL_BYTES), i == 1);
    }
    clock_fake_move(&held.clock, PACE_KNOWN_NS / 1000 - 1);
    assert_true(wait_is_too_long(&held.wait, LARGE));
    clock_fake_move(&held.clock, 1); /* too long ago to go by */
    for (int i = -1; i <= 1; i++) {
        held.wait.bytes = WAIT_UNKNOWN_BYTES + (uint64_t)(int64_t)i;
        assert_int_equal(wait_is_too_long(&held.wait, LARGE),
                         i == 1 && held.wait.bytes > bytes_max);
    }
}

static void
test_wait__little_may_always_wait(void **state)
{
    struct held held;

    (void)state;
    held_init(&held);
    decide(&held, 1000, WAIT_LOADED_BYTES);
    decide(&held, 1000, WAIT_LOADED_BYTES);
    for (int i = -1; i <= 1; i++) {
        held.wait.bytes = WAIT_FLOOR_BYTES + (uint64_t)(int64_t)i;
        assert_int_equal(wait_is_too_long(&held.wait, LARGE), i == 1);
    }
}

/* Few events a second because few came must not refuse a burst. */
static void
test_wait__a_slower_stretch_counts_only_under_load(void **state)
{
    static const struct {
        uint64_t left;
        bool counts;
    } rows[] = {
        {WAIT_LOADED_BYTES - 1, false},
        {WAIT_LOADED_BYTES, true},
        {WAIT_LOADED_BYTES + 1, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct held held;
        uint64_t before;

        held_init(&held);
        decide(&held, 10 * MIB, MIB);
        decide(&held, 10 * MIB, MIB);
        before = held.wait.bytes_max;
        empty(&held);
        decide(&held, MIB, rows[i].left); /* one that ends with what is left, */
        held.wait.bytes_max = before;
        held.wait.pace.per_second = (double)(100 * MIB);
        decide(&held, MIB, rows[i].left); /* and one with it at both ends */
        assert_int_equal(held.wait.bytes_max < before, rows[i].counts);
        before = held.wait.bytes_max;
        empty(&held);
        decide(&held, 200 * MIB, 0); /* more than was thought possible */
        assert_true(held.wait.bytes_max > before);
    }
}

static void
test_wait__a_stretch_is_at_least_so_long_and_failures_end_it(void **state)
{
    struct held held;

    (void)state;
    held_init(&held);
    wait_add(&held.wait, 10 * MIB);
    wait_done(&held.wait, MIB, true); /* begins it */
    clock_fake_move(&held.clock, (int64_t)tick_us - 1);
    wait_done(&held.wait, MIB, true);
    assert_false(held.wait.pace.is_known);
    wait_done(&held.wait, MIB, false); /* away: the stretch is void */
    clock_fake_move(&held.clock, 1);
    wait_done(&held.wait, MIB, true); /* begins one */
    assert_false(held.wait.pace.is_known);
    clock_fake_move(&held.clock, (int64_t)tick_us);
    wait_done(&held.wait, MIB, true);
    assert_true(held.wait.pace.is_known);
    assert_int_equal(held.wait.bytes, 5 * MIB);
}

/* --- through ingest ---------------------------------------------------------------------------*/

/* A request with one event that holds about `bytes`; the mock does not look at them. */
static void
request_of(struct probe_request *probe, struct fixture *fixture, const char *id, size_t bytes)
{
    request_init(probe, fixture);
    add_event(probe, id, ERR_OK);
    probe->entries[0].event.properties = slice_of("", bytes);
}

static void
open_with_clock(struct fixture *fixture, struct clock_fake *clock)
{
    struct ingest_config config = {
        .link_count = 1,
        .gather_bytes_max = UINT64_C(1) << 40,
        .gather_events_max = 100000,
        .batch_events_max = 1,
        .clock = clock != NULL ? &clock->clock : NULL,
    };

    memset(fixture, 0, sizeof(*fixture));
    fixture->mock.link.vtable = &mock_vtable;
    fixture->mock.is_late = true;
    config.links[0] = &fixture->mock.link;
    assert_int_equal(ingest_new(&config, &fixture->ingest, NULL), ERR_OK);
}

static void
test_wait__ingest_refuses_by_time_and_says_so_beforehand(void **state)
{
    static const char *const ids[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct clock_fake clock;
    struct fixture fixture;
    struct probe_request requests[COUNT_OF(ids)];
    struct probe_request late;
    struct probe_request small;
    size_t answered = 0;

    (void)state;
    clock_fake_init(&clock, INT64_C(1770000000000000));
    clock_fake_move(&clock, 1000000);
    open_with_clock(&fixture, &clock);
    /* 1 MiB a stretch: four of them, and a little, may wait. */
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        request_of(&requests[i], &fixture, ids[i], MIB);
        assert_false(ingest_is_full(fixture.ingest, -1));
        assert_int_equal(ingest_add(fixture.ingest, &requests[i].request), ERR_OK);
        ingest_flush(fixture.ingest);
    }
    for (; answered < 2; answered++) {
        clock_fake_move(&clock, (int64_t)tick_us);
        mock_answer(&fixture.mock);
        ingest_flush(fixture.ingest);
    }
    request_of(&late, &fixture, "late", MIB);
    request_of(&small, &fixture, "small", 100);
    assert_true(ingest_is_full(fixture.ingest, -1)); /* six wait */
    assert_true(ingest_is_full(fixture.ingest, (int64_t)WAIT_SMALL_BYTES + 1));
    assert_int_equal(ingest_add(fixture.ingest, &late.request), ERR_OVERLOADED);
    assert_int_equal(ingest_add(fixture.ingest, &small.request), ERR_OVERLOADED);

    clock_fake_move(&clock, (int64_t)tick_us);
    mock_answer(&fixture.mock);
    ingest_flush(fixture.ingest); /* five: a small one is let in */
    assert_int_equal(ingest_add(fixture.ingest, &late.request), ERR_OVERLOADED);
    assert_false(ingest_is_full(fixture.ingest, (int64_t)WAIT_SMALL_BYTES));
    assert_int_equal(ingest_add(fixture.ingest, &small.request), ERR_OK);
    for (answered = 3; answered < COUNT_OF(ids) + 1; answered++) {
        mock_answer(&fixture.mock);
        ingest_flush(fixture.ingest);
    }
    for (size_t i = 0; i < COUNT_OF(ids); i++) /* what was accepted was finished */
        assert_int_equal(requests[i].request.accepted, 1);
    assert_int_equal(small.request.accepted, 1);
    assert_int_equal(late.done_count, 0);
    assert_true(ingest_is_idle(fixture.ingest));
    assert_false(ingest_is_full(fixture.ingest, -1));
    ingest_free(&fixture.ingest);

    open_with_clock(&fixture, NULL); /* a store that answers at once: never by time */
    fixture.mock.is_late = false;
    request_of(&late, &fixture, "late", MIB);
    assert_int_equal(ingest_add(fixture.ingest, &late.request), ERR_OK);
    assert_false(ingest_is_full(fixture.ingest, -1));
    ingest_flush(fixture.ingest);
    ingest_free(&fixture.ingest);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait__before_the_pace_is_known_so_much_may_wait),
        cmocka_unit_test(test_wait__a_store_that_answers_at_once_is_bounded_by_nothing_here),
        cmocka_unit_test(test_wait__the_bound_is_a_time),
        cmocka_unit_test(test_wait__little_may_always_wait),
        cmocka_unit_test(test_wait__a_slower_stretch_counts_only_under_load),
        cmocka_unit_test(test_wait__a_stretch_is_at_least_so_long_and_failures_end_it),
        cmocka_unit_test(test_wait__ingest_refuses_by_time_and_says_so_beforehand),
    };

    return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
