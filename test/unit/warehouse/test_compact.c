/*
 * test_compact - merging keeps rows and order, splits by month, and lets go of what nobody holds.
 */
#include "fixture.h"
#include "warehouse/compact.h"
#include <string.h>

static void
test_compact__merges_split_by_month_equal_naive(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open_small(&fixture, 200, 200);
    fixture.warehouse->merge_rows_max = 700; /* so that months become several files */
    for (uint64_t seed = 1; seed <= 6; seed++) {
        fixture_add_events(&fixture, seed, 1700, 150, 6, 100);
        fixture_load(&fixture);
        fixture_keep(&fixture);
        fixture_check(&fixture);
    }
    assert_true(fixture_file_count(&fixture) < 6 * 8);
    assert_int_equal(fixture_parquet_on_disk(&fixture), fixture_file_count(&fixture) * 2);
    fixture_stop(&fixture, 0);
    fixture_start(&fixture);
    fixture_load(&fixture);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

static void
test_compact__small_files_merge_unsplit(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open_small(&fixture, 50000, 50000);
    for (uint64_t seed = 1; seed <= 8; seed++) { /* eight clean stops: eight small files */
        fixture_add_events(&fixture, seed, 90, 30, 4, 100);
        fixture_load(&fixture);
        fixture_stop(&fixture, 3000);
        fixture_start(&fixture);
    }
    fixture_load(&fixture);
    fixture_check(&fixture); /* opens the project */
    assert_int_equal(fixture_file_count(&fixture), 8);
    fixture_keep(&fixture);
    assert_int_equal(fixture_file_count(&fixture), 1);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

static void
test_compact__many_files_fold_in_groups(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open_small(&fixture, 100, 100);
    fixture_add_events(&fixture, 9, 4000, 60, 5, 50); /* 40 files, more than are merged at once */
    fixture_load(&fixture);
    assert_int_equal(fixture_file_count(&fixture), 40);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

static void
test_compact__view_keeps_its_files(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;
    const uint64_t before = 8;

    (void)state;
    fixture_open_small(&fixture, 100, 100);
    fixture_add_events(&fixture, 5, 800, 50, 4, 3);
    fixture_load(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    fixture_keep(&fixture);
    assert_true(fixture_file_count(&fixture) < before);
    assert_int_equal(fixture_parquet_on_disk(&fixture),
                     (before + fixture_file_count(&fixture)) * 2);
    {
        struct seen seen = {0};
        void *states[] = {&seen};
        struct query_control control = {.deadline_steady_ns = INT64_MAX};
        const struct warehouse_scan scan = {
            .to_us = INT64_MAX, .parts = 1, .rows = seen_add, .part_states = states};

        assert_int_equal(warehouse_scan(view, &scan, &control, NULL), ERR_OK);
        assert_int_equal(seen.count, 800);
        seen_free(&seen);
    }
    warehouse_view_close(&view);
    assert_int_equal(fixture_parquet_on_disk(&fixture), fixture_file_count(&fixture) * 2);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

static void
test_compact__stop_calls_a_merge_off(void **state)
{
    struct fixture fixture;
    bool did_work = false;

    (void)state;
    fixture_open_small(&fixture, 100, 100);
    fixture_add_events(&fixture, 5, 800, 50, 4, 3);
    fixture_load(&fixture);
    warehouse_stop(fixture.warehouse);
    assert_int_equal(warehouse_keep_step(fixture.warehouse, &did_work, NULL), ERR_CANCELLED);
    assert_int_equal(fixture_file_count(&fixture), 8);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

/* --- what is chosen ------------------------------------------------------------------------------
 */

static struct file_set *
set_of_sizes(const uint64_t *rows, uint32_t count)
{
    struct data_file *files[64] = {NULL};
    struct file_set *set = NULL;
    uint64_t seq = 1;

    for (uint32_t i = 0; i < count; i++) {
        struct manifest_file facts = {.number = i + 1,
                                      .rows = rows[i],
                                      .seq_min = seq,
                                      .seq_max = seq + rows[i] - 1,
                                      .time_max_us = 100};

        seq += rows[i];
        assert_int_equal(data_file_new("/nowhere", &facts, &files[i]), ERR_OK);
    }
    assert_int_equal(file_set_new(files, count, &set), ERR_OK);
    for (uint32_t i = 0; i < count; i++)
        data_file_release(&files[i]);
    return set;
}

static void
test_compact__chooses_eight_neighbours_of_a_tier(void **state)
{
    static const uint64_t seven[] = {100, 100, 100, 100, 100, 100, 100};
    static const uint64_t eight[] = {100, 100, 100, 100, 100, 100, 100, 100};
    static const uint64_t large_first[] = {90000, 100, 100, 100, 100, 100, 100, 100, 100};
    static const uint64_t large_between[] = {100, 100, 100, 100, 90000, 100, 100, 100, 100};
    struct compact_plan plan;
    struct file_set *set = set_of_sizes(seven, 7);

    (void)state;
    compact_choose(set, 1000000, 10000000, &plan);
    assert_int_equal(plan.count, 0);
    file_set_release(&set);
    set = set_of_sizes(eight, 8);
    compact_choose(set, 1000000, 10000000, &plan);
    assert_int_equal(plan.count, 8);
    assert_false(plan.is_split);
    compact_choose(set, 801, 10000000, &plan);
    assert_false(plan.is_split);
    compact_choose(set, 800, 10000000, &plan);
    assert_true(plan.is_split);
    file_set_release(&set);
    set = set_of_sizes(large_first, 9); /* never a small file into a large one */
    compact_choose(set, 1000000, 10000000, &plan);
    assert_int_equal(plan.count, 8);
    assert_int_equal(plan.indexes[0], 1);
    file_set_release(&set);
    set = set_of_sizes(large_between, 9); /* neither side has eight: all go along */
    compact_choose(set, 1000000, 10000000, &plan);
    assert_int_equal(plan.count, 9);
    file_set_release(&set);
}

static void
test_compact__cuts_time_by_month(void **state)
{
    uint64_t months[64] = {0};
    struct compact_parts parts;
    uint64_t rows = 0;

    (void)state;
    months[3] = 10;
    months[5] = 1;
    compact_cut(months, 64, 0, &parts);
    assert_int_equal(parts.count, 2);
    assert_int_equal(parts.from_us[0], INT64_C(90) * US_PER_DAY); /* 1970-04-01 */
    assert_int_equal(parts.to_us[0], INT64_C(120) * US_PER_DAY);  /* 1970-05-01 */
    assert_int_equal(parts.from_us[1], INT64_C(151) * US_PER_DAY);
    assert_int_equal(parts.rows[1], 1);
    for (uint32_t i = 0; i < 64; i++)
        months[i] = i + 1;
    compact_cut(months, 64, 0, &parts);
    assert_true(parts.count <= COMPACT_PARTS_MAX && parts.count > 8);
    for (uint32_t i = 0; i < parts.count; i++) {
        rows += parts.rows[i];
        assert_true(i == 0 || parts.from_us[i] == parts.to_us[i - 1]);
    }
    assert_int_equal(rows, 64 * 65 / 2);
    for (uint32_t used = 15; used <= 17; used++) { /* at n − 1, n, n + 1 of the most parts */
        memset(months, 0, sizeof(months));
        for (uint32_t i = 0; i < used; i++)
            months[i] = 1;
        compact_cut(months, 64, 0, &parts);
        assert_true(used <= COMPACT_PARTS_MAX ? parts.count == used : parts.count < used);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compact__merges_split_by_month_equal_naive),
        cmocka_unit_test(test_compact__small_files_merge_unsplit),
        cmocka_unit_test(test_compact__many_files_fold_in_groups),
        cmocka_unit_test(test_compact__view_keeps_its_files),
        cmocka_unit_test(test_compact__stop_calls_a_merge_off),
        cmocka_unit_test(test_compact__chooses_eight_neighbours_of_a_tier),
        cmocka_unit_test(test_compact__cuts_time_by_month),
    };

    return cmocka_run_group_tests_name("compact/ledger", tests, fake_store_is_ledger, NULL) +
           cmocka_run_group_tests_name("compact/database", tests, fake_store_is_database, NULL);
}
