/* Units of base/pace. */
#include "../test.h"

#include "base/clock.h"
#include "base/pace.h"

static void
test_pace__the_first_stretch_is_believed_whole(void **state)
{
    struct pace pace = {0};

    (void)state;
    assert_false(pace_is_known(&pace, 0));
    assert_int_equal(pace_units(&pace, NS_PER_S), 0);
    pace_note(&pace, 500, NS_PER_S / 2, NS_PER_S);
    assert_true(pace_is_known(&pace, NS_PER_S));
    assert_int_equal(pace_units(&pace, NS_PER_S), 1000);
    assert_int_equal(pace_units(&pace, NS_PER_S / 4), 250);
}

static void
test_pace__later_ones_count_by_their_length_up_to_a_half(void **state)
{
    struct pace pace = {0};

    (void)state;
    pace_note(&pace, 1000, NS_PER_S, NS_PER_S);
    pace_note(&pace, 0, NS_PER_S / 10, NS_PER_S * 2);
    assert_int_equal(pace_units(&pace, NS_PER_S), 900);
    pace_note(&pace, 0, NS_PER_S / 2, NS_PER_S * 3);
    assert_int_equal(pace_units(&pace, NS_PER_S), 450);
    pace_note(&pace, 0, NS_PER_S * 30, NS_PER_S * 33); /* a stall */
    assert_int_equal(pace_units(&pace, NS_PER_S), 225);
}

static void
test_pace__what_is_old_is_forgotten(void **state)
{
    struct pace pace = {0};

    (void)state;
    pace_note(&pace, 1000, NS_PER_S, NS_PER_S);
    assert_true(pace_is_known(&pace, NS_PER_S + PACE_KNOWN_NS - 1));
    assert_false(pace_is_known(&pace, NS_PER_S + PACE_KNOWN_NS));
    pace_note(&pace, 1, NS_PER_S, NS_PER_S + PACE_KNOWN_NS); /* as the first */
    assert_int_equal(pace_units(&pace, NS_PER_S), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pace__the_first_stretch_is_believed_whole),
        cmocka_unit_test(test_pace__later_ones_count_by_their_length_up_to_a_half),
        cmocka_unit_test(test_pace__what_is_old_is_forgotten),
    };

    return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
