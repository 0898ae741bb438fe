/*
 * test_erasing_crash - an erasure killed at any call to the disk and begun again, each call failing
 * once, each allocation failing once: it ends, and the same rows are left.
 */
#include "crash_hook.h"
#include <stdio.h>

#define PERSON "user-0"

static struct warehouse_erasure
erasure_of(struct fixture *fixture, enum selection_kind kind)
{
    const struct warehouse_erasure erasure = {.selection = {.project_id = PROJECT,
                                                            .kind = kind,
                                                            .person = SLICE(PERSON),
                                                            .seq_max = fixture->store.visible,
                                                            .received_max_us = INT64_MAX},
                                              .position = store_durable(&fixture->store.store)};

    fake_store_erase(&fixture->store, &erasure.selection);
    return erasure;
}

/* As the keeper and the loader do: after an error again, a while later. */
static void
erase(struct fixture *fixture, const struct warehouse_erasure *erasure)
{
    struct warehouse_erase *erase = NULL;
    struct warehouse_erasure_progress progress;
    bool is_done = false, did_work = false;

    for (uint32_t i = 0; erase == NULL && i < 3; i++)
        (void)!warehouse_erase_open(fixture->warehouse, erasure, &erase, NULL);
    assert_non_null(erase);
    for (uint32_t i = 0; !is_done && i < 300; i++) {
        if (warehouse_erase_step(erase, &did_work, &is_done, &progress, NULL) != ERR_OK ||
            (!did_work && !is_done)) {
            (void)!warehouse_load_step(fixture->warehouse, 0, NULL);
            clock_fake_move(&fixture->clock, 6 * US_PER_S); /* the wait after a failed seal */
        }
    }
    assert_true(is_done);
    warehouse_erase_close(&erase);
}

/* Rows of the person that a new reader finds: none, and all others as the naive reader has them. */
static void
check_erased(struct fixture *fixture, enum selection_kind kind)
{
    struct warehouse_stats stats;
    char dir[300];

    if (kind != SELECTION_ALL)
        fixture_check_quick(fixture);
    warehouse_stats(fixture->warehouse, &stats);
    assert_int_equal(stats.rows, fixture->store.visible - fixture->store.erased_count);
    snprintf(dir, sizeof(dir), "%s/warehouse/7", fixture->dir);
    assert_true(file_exists(dir) == (kind != SELECTION_ALL));
    if (kind != SELECTION_ALL)
        assert_int_equal(fixture_parquet_on_disk(fixture), fixture_file_count(fixture) * 2);
    assert_int_equal(warehouse_doctor(fixture->dir, NULL, NULL, NULL), ERR_OK);
}

static const enum selection_kind erased_kinds[] = {SELECTION_PERSON, SELECTION_ALL};

/* Files, a tail, and a type that only the person has. */
static void
fill_for_erasing(struct fixture *fixture)
{
    struct event event = {.project_id = PROJECT,
                          .event_id = SLICE("only"),
                          .event_type = SLICE("of nobody else"),
                          .user_id = SLICE(PERSON),
                          .occurred_at_us = DAY_ZERO_US,
                          .received_at_us = DAY_ZERO_US};

    fixture_open_small(fixture, 100, 100);
    fixture_add_events(fixture, 14, 249, 40, 6, 60);
    fake_store_add(&fixture->store, &event);
    fixture_load(fixture);
}

static void
test_erasing_crash__between_any_two_steps(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < COUNT_OF(erased_kinds); kind++) {
        struct fixture fixture;
        struct warehouse_erasure erasure;
        char copies[300], warehouse[300];

        fill_for_erasing(&fixture);
        snprintf(copies, sizeof(copies), "%s/copies", fixture.dir);
        snprintf(warehouse, sizeof(warehouse), "%s/warehouse", fixture.dir);
        assert_int_equal(file_make_dir(copies, NULL), ERR_OK);
        hook.dir = warehouse;
        hook.copies = copies;
        hook.calls = 0;
        erasure = erasure_of(&fixture, erased_kinds[kind]);
        hook.mode = HOOK_COPY;
        erase(&fixture, &erasure);
        hook.mode = HOOK_OFF;
        assert_true(hook.calls > 20);
        for (uint32_t i = 1; i <= hook.calls; i++) {
            struct fixture copy = fixture;

            snprintf(copy.dir, sizeof(copy.dir), "%.200s/%u", copies, i);
            copy.config.data_dir = copy.dir;
            copy.warehouse = NULL;
            fixture_start(&copy);
            fixture_load(&copy);
            erase(&copy, &erasure);
            check_erased(&copy, erased_kinds[kind]);
            fixture_stop(&copy, 0);
            assert_int_equal(file_remove_tree(copy.dir, NULL), ERR_OK);
        }
        assert_int_equal(fixture.warnings, 0); /* nothing was taken for damage */
        check_erased(&fixture, erased_kinds[kind]);
        fixture_close(&fixture);
    }
}

static void
test_erasing_crash__every_call_failing_once(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < COUNT_OF(erased_kinds); kind++) {
        uint32_t calls = 0;

        for (uint32_t k = 0; k <= calls; k++) { /* k = 0 counts */
            struct fixture fixture;
            struct warehouse_erasure erasure;

            fill_for_erasing(&fixture);
            erasure = erasure_of(&fixture, erased_kinds[kind]);
            hook.mode = k == 0 ? HOOK_COUNT : HOOK_FAIL;
            hook.fail_at = k;
            hook.calls = 0;
            erase(&fixture, &erasure);
            hook.mode = HOOK_OFF;
            if (k == 0)
                calls = hook.calls;
            check_erased(&fixture, erased_kinds[kind]);
            fixture_close(&fixture);
        }
        assert_true(calls > 20);
    }
}

static void
test_erasing_crash__out_of_memory(void **state)
{
    uint64_t last = 1;

    (void)state;
    for (uint64_t k = 0; k <= last; k += k < 60 ? 1 : 11) { /* k = 0 counts */
        struct fixture fixture;
        struct warehouse_erasure erasure;

        fill_for_erasing(&fixture);
        erasure = erasure_of(&fixture, SELECTION_PERSON);
        const uint64_t before = mem_allocation_count();
        mem_fail_from(k, false);
        erase(&fixture, &erasure);
        mem_fail_from(0, false);
        if (k == 0)
            last = mem_allocation_count() - before;
        check_erased(&fixture, SELECTION_PERSON);
        fixture_close(&fixture);
    }
    assert_true(last > 50);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_erasing_crash__between_any_two_steps),
        cmocka_unit_test(test_erasing_crash__every_call_failing_once),
        cmocka_unit_test(test_erasing_crash__out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
