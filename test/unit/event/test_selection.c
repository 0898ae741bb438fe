/*
 * test_selection - which events an erasure is about, at both sides of each bound.
 */
#include "../test.h"
#include "event/selection.h"

static struct event
an_event(void)
{
    return (struct event){
        .event_id = SLICE("e5"),
        .event_type = SLICE("t"),
        .user_id = SLICE("ann"),
        .anonymous_id = SLICE("dev-1"),
        .occurred_at_us = 1000,
        .received_at_us = 2000,
        .project_id = 7,
    };
}

static struct selection
of_kind(enum selection_kind kind)
{
    return (struct selection){
        .project_id = 7, .kind = kind, .seq_max = UINT64_MAX, .received_max_us = INT64_MAX};
}

static bool
matches(const struct selection *selection)
{
    struct event event = an_event();

    return selection_matches(selection, &event, 9);
}

static void
test_selection__person_by_either_field(void **state)
{
    struct selection selection = of_kind(SELECTION_PERSON);
    struct event only_anonymous = an_event();

    (void)state;
    selection.person = SLICE("ann");
    assert_true(matches(&selection));
    only_anonymous.user_id = SLICE_NONE;
    assert_false(selection_matches(&selection, &only_anonymous, 9));
    selection.person = SLICE("dev-1");
    assert_true(matches(&selection));
    assert_true(selection_matches(&selection, &only_anonymous, 9));
    selection.person = SLICE("an");
    assert_false(matches(&selection));
    selection.person = SLICE("anna");
    assert_false(matches(&selection));
}

static void
test_selection__times_are_half_open(void **state)
{
    struct selection received = of_kind(SELECTION_RECEIVED);
    struct selection occurred = of_kind(SELECTION_OCCURRED);

    (void)state;
    received.from_us = 2000;
    received.to_us = 2001;
    assert_true(matches(&received));
    received.from_us = 2001;
    received.to_us = 3000;
    assert_false(matches(&received));
    received.from_us = 0;
    received.to_us = 2000;
    assert_false(matches(&received));
    occurred.from_us = 1000;
    occurred.to_us = 1001;
    assert_true(matches(&occurred));
    occurred.to_us = 1000;
    assert_false(matches(&occurred));
}

static void
test_selection__ids_sorted_and_each_once(void **state)
{
    struct selection selection = of_kind(SELECTION_IDS);
    struct slice ids[] = {SLICE("e7"), SLICE("e5"), SLICE("e"), SLICE("e5"), SLICE("e10")};

    (void)state;
    selection.id_count = selection_sort_ids(ids, 5);
    selection.ids = ids;
    assert_int_equal(selection.id_count, 4);
    assert_true(slice_equal(ids[0], SLICE("e")));
    assert_true(slice_equal(ids[3], SLICE("e7")));
    assert_true(matches(&selection));
    selection.ids = ids + 3;
    selection.id_count = 1;
    assert_false(matches(&selection));
    assert_int_equal(selection_sort_ids(ids, 0), 0);
}

static void
test_selection__bounds_and_project_hold_for_every_kind(void **state)
{
    struct selection selection = of_kind(SELECTION_ALL);

    (void)state;
    assert_true(matches(&selection));
    selection.seq_max = 9;
    assert_true(matches(&selection));
    selection.seq_max = 8;
    assert_false(matches(&selection));
    selection.seq_max = UINT64_MAX;
    selection.received_max_us = 2000;
    assert_true(matches(&selection));
    selection.received_max_us = 1999;
    assert_false(matches(&selection));
    selection.received_max_us = INT64_MAX;
    selection.project_id = 8;
    assert_false(matches(&selection));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selection__person_by_either_field),
        cmocka_unit_test(test_selection__times_are_half_open),
        cmocka_unit_test(test_selection__ids_sorted_and_each_once),
        cmocka_unit_test(test_selection__bounds_and_project_hold_for_every_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
