/*
 * test_erasing - an erasure beside everything else: open views, merges, stops and starts, damage.
 */
#include "base/file.h"
#include "erase_kit.h"
#include <stdio.h>

static void
test_erasing__view_keeps_what_it_saw(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;
    struct warehouse_view *view = NULL;
    struct query_control control = {.deadline_steady_ns = INT64_MAX};
    struct seen seen = {0};
    void *states[] = {&seen};
    const struct warehouse_scan scan = {
        .to_us = INT64_MAX, .parts = 1, .rows = seen_add, .part_states = states};
    struct run run;

    (void)state;
    erase_fill(&fixture, IN_BOTH);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    erasure = erasure_of(&fixture, of_person(PERSON));
    erase_begin(&fixture, &erasure, &run);
    assert_false(erase_go(&fixture, &run, 60));
    fixture_check(&fixture); /* a new view does not see them */
    assert_int_equal(warehouse_scan(view, &scan, &control, NULL), ERR_OK);
    assert_int_equal(seen.count, 900);
    seen_free(&seen);
    warehouse_view_close(&view);
    assert_true(erase_go(&fixture, &run, 62));
    warehouse_erase_close(&run.erase);
    assert_nothing_of(&fixture, PERSON);
    check_all(&fixture);
    fixture_close(&fixture);
}

/* A file that a merge let go of before, and a view holds, has the rows, too. */
static void
test_erasing__waits_for_files_merged_before(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;
    struct warehouse_view *view = NULL;
    struct run run;

    (void)state;
    fixture_open_small(&fixture, 100, 100);
    fixture_add_events(&fixture, 5, 800, 50, 4, 3);
    fixture_load(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    fixture_keep(&fixture);
    erasure = erasure_of(&fixture, of_person(PERSON));
    erase_begin(&fixture, &erasure, &run);
    assert_false(erase_go(&fixture, &run, 40));
    warehouse_view_close(&view);
    assert_true(erase_go(&fixture, &run, 42));
    warehouse_erase_close(&run.erase);
    assert_nothing_of(&fixture, PERSON);
    check_all(&fixture);
    fixture_close(&fixture);
}

static void
test_erasing__begun_again_after_any_step(void **state)
{
    (void)state;
    for (int is_all = 0; is_all < 2; is_all++) {
        bool was_done = false;

        for (uint32_t k = 1; !was_done && k < 100; k++) {
            struct fixture fixture;
            struct warehouse_erasure erasure;
            struct run run;

            erase_fill(&fixture, k % 2 == 0 ? IN_BOTH : IN_MERGED);
            erasure = erasure_of(&fixture, is_all ? (struct selection){.kind = SELECTION_ALL}
                                                  : of_person(PERSON));
            erase_begin(&fixture, &erasure, &run);
            was_done = erase_go(&fixture, &run, k);
            warehouse_erase_close(&run.erase);
            if (k % 3 == 0) { /* also within the same process */
                fixture_stop(&fixture, 0);
                fixture_start(&fixture);
            }
            fixture_load(&fixture);
            erase_whole(&fixture, &erasure);
            assert_nothing_of(&fixture, is_all ? "user-" : PERSON);
            check_reads(&fixture, PERSON);
            check_stats(&fixture);
            check_history(&fixture);
            assert_sound(&fixture);
            if (!is_all)
                fixture_check_quick(&fixture);
            assert_int_equal(fixture.warnings, 0);
            fixture_close(&fixture);
        }
        assert_true(was_done);
    }
}

static void
test_erasing__goes_on_with_merges_between_steps(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;
    struct run run;

    (void)state;
    fixture_open_small(&fixture, 100, 100);
    fixture_add_events(&fixture, 41, 2000, 60, 6, 100);
    fixture_load(&fixture);
    erasure = erasure_of(&fixture, of_person(PERSON));
    erase_begin(&fixture, &erasure, &run);
    for (uint32_t i = 0; !run.is_done && i < 400; i++) {
        bool did_work = false;

        erase_step(&fixture, &run);
        assert_int_equal(warehouse_keep_step(fixture.warehouse, &did_work, NULL), ERR_OK);
        if (i % 3 == 0 && i < 30)
            fixture_add_events(&fixture, 100 + i, 100, 60, 6, 100);
    }
    assert_true(run.is_done);
    warehouse_erase_close(&run.erase);
    fixture_load(&fixture);
    check_all(&fixture);
    fixture_close(&fixture);
}

static void
test_erasing__stop_calls_it_off(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;
    struct run run;
    bool did_work = false;

    (void)state;
    erase_fill(&fixture, IN_FILES);
    erasure = erasure_of(&fixture, of_person(PERSON));
    erase_begin(&fixture, &erasure, &run);
    warehouse_stop(fixture.warehouse);
    assert_int_equal(warehouse_erase_step(run.erase, &did_work, &run.is_done, &run.progress, NULL),
                     ERR_CANCELLED);
    warehouse_erase_close(&run.erase);
    fixture_close(&fixture);
}

static void
test_erasing__waits_until_it_is_loaded(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;
    struct run run;
    bool did_work = false;

    (void)state;
    fixture_open_small(&fixture, 200, 200);
    fixture_add_events(&fixture, 31, 400, 60, 6, 20);
    erasure = erasure_of(&fixture, of_person(PERSON));
    erase_begin(&fixture, &erasure, &run);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            warehouse_erase_step(run.erase, &did_work, &run.is_done, &run.progress, NULL), ERR_OK);
        assert_false(did_work || run.is_done);
    }
    assert_true(erase_go(&fixture, &run, 100));
    warehouse_erase_close(&run.erase);
    fixture_close(&fixture);
}

static void
test_erasing__damage_is_rebuilt_and_it_goes_on(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;
    char path[300];
    uint64_t bytes = 0;
    uint8_t byte = 0;

    (void)state;
    erase_fill(&fixture, IN_BOTH);
    fixture_stop(&fixture, 0);
    fixture_start(&fixture);
    fixture_load(&fixture);
    snprintf(path, sizeof(path), "%s/warehouse/7/0000000003.parquet", fixture.dir);
    if (!file_exists(path))
        snprintf(path, sizeof(path), "%s/warehouse/7/0000000002.parquet", fixture.dir);
    {
        CLOSE_FD int fd = -1;

        assert_int_equal(file_size_of_path(path, &bytes, NULL), ERR_OK);
        assert_int_equal(file_open(path, FILE_WRITE, &fd, NULL), ERR_OK);
        assert_int_equal(file_read_at(fd, path, &byte, 1, bytes / 2, NULL), ERR_OK);
        byte ^= 4;
        assert_int_equal(file_write_at(fd, path, &byte, 1, bytes / 2, NULL), ERR_OK);
    }
    erasure = erasure_of(&fixture, of_person(PERSON));
    erase_whole(&fixture, &erasure);
    assert_true(fixture.warnings > 0);
    fixture_load(&fixture);
    assert_nothing_of(&fixture, PERSON);
    fixture.is_numbered_anew = true;
    fixture.warnings = 0;
    check_reads(&fixture, PERSON);
    check_all(&fixture);
    fixture_close(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_erasing__view_keeps_what_it_saw),
        cmocka_unit_test(test_erasing__waits_for_files_merged_before),
        cmocka_unit_test(test_erasing__begun_again_after_any_step),
        cmocka_unit_test(test_erasing__goes_on_with_merges_between_steps),
        cmocka_unit_test(test_erasing__stop_calls_it_off),
        cmocka_unit_test(test_erasing__waits_until_it_is_loaded),
        cmocka_unit_test(test_erasing__damage_is_rebuilt_and_it_goes_on),
    };

    return cmocka_run_group_tests_name("erasing/ledger", tests, fake_store_is_ledger, NULL) +
           cmocka_run_group_tests_name("erasing/database", tests, fake_store_is_database, NULL);
}
