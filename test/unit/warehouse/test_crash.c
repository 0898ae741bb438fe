/*
 * test_crash - a stop between any two steps, and every call to the disk failing once: the same rows
 * afterwards.
 */
#include "crash_hook.h"
#include <stdio.h>
#include <string.h>

static void
check_copy(const struct fixture *original, const char *copies, uint32_t number)
{
    struct fixture fixture = *original;

    snprintf(fixture.dir, sizeof(fixture.dir), "%.200s/%u", copies, number);
    fixture.config.data_dir = fixture.dir;
    fixture.warehouse = NULL;
    fixture_start(&fixture);
    fixture_load(&fixture);
    fixture_check_quick(&fixture);
    assert_int_equal(fixture_parquet_on_disk(&fixture), fixture_file_count(&fixture) * 2);
    fixture_stop(&fixture, 0);
    assert_int_equal(file_remove_tree(fixture.dir, NULL), ERR_OK);
}

static void
test_crash__between_any_two_steps(void **state)
{
    struct fixture fixture;
    char copies[300], warehouse[300];

    (void)state;
    fixture_open_small(&fixture, 100, 100);
    snprintf(copies, sizeof(copies), "%s/copies", fixture.dir);
    snprintf(warehouse, sizeof(warehouse), "%s/warehouse", fixture.dir);
    assert_int_equal(file_make_dir(copies, NULL), ERR_OK);
    hook.dir = warehouse;
    hook.copies = copies;
    hook.calls = 0;
    /* Two seals are copied at each step, then eight are not, then a merge is. */
    fixture_add_events(&fixture, 11, 200, 80, 6, 60);
    hook.mode = HOOK_COPY;
    fixture_load(&fixture);
    hook.mode = HOOK_OFF;
    fixture_add_events(&fixture, 12, 700, 80, 6, 60);
    fixture_load(&fixture);
    hook.mode = HOOK_COPY;
    fixture_keep(&fixture);
    hook.mode = HOOK_OFF;
    assert_true(hook.calls > 30);
    for (uint32_t i = 1; i <= hook.calls; i++)
        check_copy(&fixture, copies, i);
    fixture_check_quick(&fixture);
    fixture_close(&fixture);
}

/* Loads and merges through failures, as the loader and keeper do: again a while later. */
static uint32_t
go_on(struct fixture *fixture)
{
    uint32_t failures = 0;

    for (uint32_t round = 0; round < 200; round++) {
        struct warehouse_stats stats;
        bool did_work = false;

        if (warehouse_load_step(fixture->warehouse, 0, NULL) != ERR_OK)
            failures++;
        else if (warehouse_keep_step(fixture->warehouse, &did_work, NULL) != ERR_OK)
            failures++;
        warehouse_stats(fixture->warehouse, &stats);
        if (stats.loaded.minor == fixture->store.visible && stats.tail_rows == 0 && !did_work &&
            stats.files < 8)
            return failures;
        clock_fake_move(&fixture->clock, 61 * US_PER_S);
    }
    fail_msg("never done");
    return failures;
}

static void
test_crash__every_call_failing_once(void **state)
{
    uint32_t calls = 0;

    (void)state;
    for (uint32_t k = 0; k <= calls; k++) { /* k = 0 counts */
        struct fixture fixture;

        fixture_open_small(&fixture, 100, 100);
        fixture_add_events(&fixture, 13, 900, 80, 6, 60);
        hook.mode = k == 0 ? HOOK_COUNT : HOOK_FAIL;
        hook.fail_at = k;
        hook.calls = 0;
        go_on(&fixture);
        hook.mode = HOOK_OFF;
        if (k == 0)
            calls = hook.calls;
        fixture_check_quick(&fixture);
        fixture_stop(&fixture, 0);
        fixture_start(&fixture);
        fixture_load(&fixture);
        if (k % 8 == 0)
            fixture_check_quick(&fixture);
        fixture_close(&fixture);
        if (k > 24 && k + 24 < calls) /* the seals between are alike: every seventh step of them */
            k += 6;
    }
    assert_true(calls > 50);
}

/* Each allocation of ours failing once, or all from it on: an error, never a wrong row afterwards.
 */
static void
test_crash__out_of_memory(void **state)
{
    struct query_control control = {.deadline_steady_ns = INT64_MAX};
    uint64_t last = 1;

    (void)state;
    for (uint64_t k = 0; k <= last; k += k < 40 ? 1 : 29) { /* k = 0 counts */
        struct fixture fixture;
        struct seen seen = {0};
        void *states[] = {&seen};
        struct warehouse_scan scan = {.to_us = INT64_MAX,
                                      .wants_type = true,
                                      .parts = 1,
                                      .rows = seen_add,
                                      .part_states = states};
        struct warehouse_view *view = NULL;
        bool did_work = false;
        enum err err = ERR_OK;

        fixture_open_small(&fixture, 50, 50);
        fixture_add_events(&fixture, 71, 420, 30, 4, 60);
        const uint64_t before = mem_allocation_count();
        mem_fail_from(k, k % 2 == 1);
        for (unsigned i = 0; i < 12; i++)
            (void)!warehouse_load_step(fixture.warehouse, 0, NULL);
        (void)!warehouse_keep_step(fixture.warehouse, &did_work, NULL);
        err = warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL);
        if (err == ERR_OK) {
            err = warehouse_scan(view, &scan, &control, NULL);
            if (err == ERR_OK)
                assert_true(seen.count >= warehouse_view_watermark(view).position.minor);
            warehouse_view_close(&view);
        }
        mem_fail_from(0, false);
        if (k == 0)
            last = mem_allocation_count() - before;
        seen_free(&seen);
        clock_fake_move(&fixture.clock, 61 * US_PER_S);
        fixture_load(&fixture);
        fixture_keep(&fixture);
        fixture_check_quick(&fixture);
        fixture_close(&fixture);
    }
    assert_true(last > 100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash__between_any_two_steps),
        cmocka_unit_test(test_crash__every_call_failing_once),
        cmocka_unit_test(test_crash__out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
