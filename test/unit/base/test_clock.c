/* Units of base/clock. */
#include "../test.h"

#include "base/clock.h"

static void
test_clock__system_is_after_2024_and_steady_never_goes_back(void **state)
{
    const struct clock *clock = clock_system();
    int64_t first = clock_steady_ns(clock);

    (void)state;
    assert_true(clock_wall_us(clock) > INT64_C(1704067200) * US_PER_S);
    for (int i = 0; i < 1000; i++) {
        int64_t next = clock_steady_ns(clock);

        assert_true(next >= first);
        first = next;
    }
}

static void
test_clock__fake_stands_still_until_moved(void **state)
{
    struct clock_fake fake;

    (void)state;
    clock_fake_init(&fake, 1000);
    assert_int_equal(clock_wall_us(&fake.clock), 1000);
    assert_int_equal(clock_wall_us(&fake.clock), 1000);
    clock_fake_move(&fake, 7);
    assert_int_equal(clock_wall_us(&fake.clock), 1007);
    assert_int_equal(clock_steady_ns(&fake.clock), 7000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock__system_is_after_2024_and_steady_never_goes_back),
        cmocka_unit_test(test_clock__fake_stands_still_until_moved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
