/*
 * test_load - from the store through tails and files to scans: equal to the naive reader, always.
 */
#include "fixture.h"

static void
test_load__tail_scan_equals_naive(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        fixture_add_events(&fixture, seed, (uint32_t)seed * 1000 + 7, 300, 9, 30);
        fixture_load(&fixture);
        fixture_check(&fixture);
    }
    fixture_close(&fixture);
}

static void
test_load__sealed_files_equal_naive(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open_small(&fixture, 1000, 300);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct warehouse_stats stats;

        fixture_add_events(&fixture, seed, 3456, 400, 9, 60);
        fixture_load(&fixture);
        warehouse_stats(fixture.warehouse, &stats);
        assert_int_equal(stats.files, seed * 3);
        fixture_check(&fixture);
    }
    fixture_close(&fixture);
}

static void
test_load__seals_wait_while_rows_wait(void **state)
{
    struct fixture fixture;
    struct warehouse_stats stats;

    (void)state;
    fixture_open(&fixture);
    fixture_stop(&fixture, 0);
    fixture.behind_factor = 3;
    fixture.config.seal_rows = 1000;
    fixture.store.page_rows_max = 500;
    fixture_start(&fixture);
    fixture_add_events(&fixture, 1, 4100, 100, 5, 10);
    for (unsigned pages = 1; pages <= 8; pages++) {
        assert_int_equal(warehouse_load_step(fixture.warehouse, 0, NULL), ERR_OK);
        warehouse_stats(fixture.warehouse, &stats);
        assert_int_equal(stats.files, pages >= 6); /* at 3,000 rows */
    }
    fixture_load(&fixture); /* caught up: 1,100 rows are enough */
    warehouse_stats(fixture.warehouse, &stats);
    assert_int_equal(stats.files, 2);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load__tail_scan_equals_naive),
        cmocka_unit_test(test_load__sealed_files_equal_naive),
        cmocka_unit_test(test_load__seals_wait_while_rows_wait),
    };

    return cmocka_run_group_tests_name("load/ledger", tests, fake_store_is_ledger, NULL) +
           cmocka_run_group_tests_name("load/database", tests, fake_store_is_database, NULL);
}
