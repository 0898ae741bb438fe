/*
 * disk: days left from the growth of an hour, and a warning that is given once.
 */
#include "../test.h"

#include "app/disk.h"

#define MINUTE_NS (INT64_C(60) * 1000000000)

static void
test_disk__days_left_at_the_pace_of_the_samples(void **state)
{
    static struct disk_watch watch;

    (void)state;
    assert_true(disk_days_left(&watch, 1000) >= DISK_DAYS_MAX); /* nothing known */
    disk_add_sample(&watch, 0, 1000);
    assert_true(disk_days_left(&watch, 1000) >= DISK_DAYS_MAX); /* one sample is no pace */
    disk_add_sample(&watch, MINUTE_NS - 1, 9999);               /* too soon: not taken */
    assert_int_equal(watch.count, 1);
    disk_add_sample(&watch, MINUTE_NS, 2000); /* 1,000 bytes, as if in an hour */
    assert_float_equal(disk_days_left(&watch, 24 * 1000), 1.0, 0.001);
    assert_float_equal(disk_days_left(&watch, 0), 0.0, 0.001);
    disk_add_sample(&watch, 59 * MINUTE_NS, 61000); /* 60,000 bytes, still as in an hour */
    assert_float_equal(disk_days_left(&watch, 1440 * 1000), 1.0, 0.001);
    disk_add_sample(&watch, 60 * MINUTE_NS, 61000);
    assert_float_equal(disk_days_left(&watch, 1440 * 1000), 1.0, 0.001);
    disk_add_sample(&watch, 61 * MINUTE_NS, 62000); /* an hour and a minute: 1,000 bytes a minute */
    assert_float_equal(disk_days_left(&watch, 1440 * 1000), 1.0, 0.001);
}

static void
test_disk__the_ring_holds_an_hour(void **state)
{
    static struct disk_watch watch;

    (void)state;
    for (int64_t i = 0; i < 200; i++) /* fast at first, slower in the last hour */
        disk_add_sample(&watch, i * MINUTE_NS, (uint64_t)(i < 139 ? i * 1000 : 139000 + i));
    assert_int_equal(watch.count, DISK_SAMPLES);
    assert_float_equal(disk_days_left(&watch, 1440), 1.0, 0.05);
}

static void
test_disk__no_growth_is_no_end(void **state)
{
    static struct disk_watch watch;

    (void)state;
    disk_add_sample(&watch, 0, 5000);
    disk_add_sample(&watch, MINUTE_NS, 5000);
    assert_true(disk_days_left(&watch, 1) >= DISK_DAYS_MAX);
    disk_add_sample(&watch, 2 * MINUTE_NS, 10); /* compaction gave room back */
    assert_true(disk_days_left(&watch, 1) >= DISK_DAYS_MAX);
}

static void
test_disk__one_warning_until_there_was_room(void **state)
{
    static struct disk_watch watch;

    (void)state;
    assert_false(disk_is_warning_due(&watch, 1000, 10000)); /* exactly 10 % */
    assert_true(disk_is_warning_due(&watch, 999, 10000));
    assert_false(disk_is_warning_due(&watch, 900, 10000));  /* told already */
    assert_false(disk_is_warning_due(&watch, 1199, 10000)); /* not yet over */
    assert_false(disk_is_warning_due(&watch, 999, 10000));
    assert_false(disk_is_warning_due(&watch, 1200, 10000)); /* over */
    assert_true(disk_is_warning_due(&watch, 999, 10000));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk__days_left_at_the_pace_of_the_samples),
        cmocka_unit_test(test_disk__the_ring_holds_an_hour),
        cmocka_unit_test(test_disk__no_growth_is_no_end),
        cmocka_unit_test(test_disk__one_warning_until_there_was_room),
    };

    return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
