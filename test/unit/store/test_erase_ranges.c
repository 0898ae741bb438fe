/*
 * test_erase_ranges - erasures by time and by a list of ids: what they take, and which segments
 * they need not read.
 */
#include "erase_fixture.h"
#include "store/embedded/store_embedded.h"

#define EVENTS 25000 /* three segments of 1 MiB */
#define DAY_US (INT64_C(24) * 3600 * US_PER_S)

static enum err
erase_received(struct fixture *fixture, int64_t from_us, int64_t to_us)
{
    struct selection range = {
        .project_id = 1, .kind = SELECTION_RECEIVED, .from_us = from_us, .to_us = to_us};
    struct store_erasure_progress progress;

    return erase_run(fixture, &range, false, true, &progress, NULL);
}

static void
test_erase_ranges__segments_out_of_the_range_are_not_read(void **state)
{
    struct fixture *fixture = *state;
    const int64_t made_us = clock_wall_us(&fixture->clock.clock);
    const int64_t next_us = made_us + 5 * DAY_US;

    fixture_open(fixture);
    erase_fill(fixture, 0, 500);
    clock_fake_move(&fixture->clock, 5 * DAY_US);
    assert_int_equal(ledger_roll(((struct embedded *)fixture->store)->ledger, NULL), ERR_OK);
    erase_fill(fixture, 500, 10);
    erase_damage(fixture, SEGMENT_1);
    assert_int_equal(erase_received(fixture, INT64_MIN, made_us - DAY_US - 1), ERR_OK);
    assert_int_equal(erase_received(fixture, INT64_MIN, made_us - DAY_US), ERR_OK);
    assert_int_equal(erase_received(fixture, INT64_MIN, made_us - DAY_US + 1), ERR_CORRUPT);
    assert_int_equal(erase_received(fixture, next_us + DAY_US - 1, INT64_MAX), ERR_CORRUPT);
    assert_int_equal(erase_received(fixture, next_us + DAY_US, INT64_MAX), ERR_CORRUPT);
    assert_int_equal(erase_received(fixture, next_us + DAY_US + 1, INT64_MAX), ERR_OK);
}

static void
test_erase_ranges__takes_what_was_received_before(void **state)
{
    struct fixture *fixture = *state;
    struct selection range = {.project_id = 1, .kind = SELECTION_RECEIVED, .from_us = INT64_MIN};

    clock_fake_init(&fixture->clock, 0); /* the rows' times count from 0, too */
    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    range.to_us = (EVENTS / 2) * 1000 + 7; /* received_at of number 12,500: it stays */
    assert_int_equal(erase_all(fixture, &range), EVENTS / 2 / 3 + 1);
    assert_int_equal(erase_read(fixture, &range, 1, EVENTS), 0);
    erase_assert_list(fixture);
    erase_send_again(fixture, EVENTS);
}

static void
test_erase_ranges__takes_a_list_of_ids(void **state)
{
    struct fixture *fixture = *state;
    struct slice ids[] = {slice_of_text("event-0"), slice_of_text("event-24999"),
                          slice_of_text("event-24"), slice_of_text("event-25"),
                          slice_of_text("event-99999")};
    struct selection list = {.project_id = 1, .kind = SELECTION_IDS, .ids = ids};

    list.id_count = selection_sort_ids(ids, COUNT_OF(ids));
    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    assert_int_equal(erase_all(fixture, &list), 3); /* event-25 is of project 2 */
    assert_int_equal(erase_read(fixture, &list, 1, EVENTS), 0);
    erase_assert_list(fixture);
}

int
main(void)
{
#define TEST_(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST_(test_erase_ranges__segments_out_of_the_range_are_not_read),
        TEST_(test_erase_ranges__takes_what_was_received_before),
        TEST_(test_erase_ranges__takes_a_list_of_ids),
    };
#undef TEST_

    return cmocka_run_group_tests_name("erase_ranges", tests, NULL, NULL);
}
