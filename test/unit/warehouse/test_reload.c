/*
 * test_reload - a project that may hold what was erased: never shown again, gone from the disk,
 * loaded anew.
 */
#include "base/file.h"
#include "erase_kit.h"
#include <stdio.h>

static bool
reload_step(struct fixture *fixture)
{
    bool is_done = false;

    assert_int_equal(warehouse_reload_step(fixture->warehouse, PROJECT, &is_done, NULL), ERR_OK);
    return is_done;
}

/* Steps of keeper and loader in turn, at most so many. */
static bool
reload_go(struct fixture *fixture, uint32_t steps_max)
{
    for (uint32_t i = 0; i < steps_max; i++) {
        if (reload_step(fixture))
            return true;
        assert_int_equal(warehouse_load_step(fixture->warehouse, 0, NULL), ERR_OK);
    }
    return false;
}

static void
assert_refused(struct fixture *fixture)
{
    struct warehouse_view *view = NULL;
    struct diag diag = DIAG_INIT;

    assert_int_equal(warehouse_view_open(fixture->warehouse, PROJECT, NULL, 0, &view, &diag),
                     ERR_NOT_READY);
    assert_null(view);
    assert_non_null(strstr(diag.message, "erased"));
}

static void
check_reloaded(struct fixture *fixture)
{
    fixture_load(fixture);
    fixture->is_numbered_anew = true;
    assert_nothing_of(fixture, PERSON);
    check_reads(fixture, PERSON);
    check_all(fixture);
    assert_int_equal(fixture->warnings, 0);
}

static void
test_reload__shows_nothing_until_it_is_discarded(void **state)
{
    (void)state;
    for (int where = 0; where < WHERES; where++) {
        struct fixture fixture;

        erase_fill(&fixture, (enum where)where);
        (void)erasure_of(&fixture, of_person(PERSON));
        assert_int_equal(warehouse_reload(fixture.warehouse, PROJECT, NULL), ERR_OK);
        assert_refused(&fixture);
        assert_false(reload_step(&fixture));
        assert_refused(&fixture);
        assert_int_equal(warehouse_load_step(fixture.warehouse, 0, NULL), ERR_OK);
        assert_true(reload_go(&fixture, 100));
        assert_nothing_of(&fixture, PERSON);
        check_reloaded(&fixture);
        fixture_close(&fixture);
    }
}

static void
test_reload__waits_for_views_opened_before(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;
    struct query_control control = {.deadline_steady_ns = INT64_MAX};
    struct seen seen = {0};
    void *states[] = {&seen};
    const struct warehouse_scan scan = {
        .to_us = INT64_MAX, .parts = 1, .rows = seen_add, .part_states = states};

    (void)state;
    erase_fill(&fixture, IN_BOTH);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    (void)erasure_of(&fixture, of_person(PERSON));
    assert_int_equal(warehouse_reload(fixture.warehouse, PROJECT, NULL), ERR_OK);
    assert_false(reload_go(&fixture, 60));
    assert_int_equal(warehouse_scan(view, &scan, &control, NULL), ERR_OK);
    assert_int_equal(seen.count, 900);
    seen_free(&seen);
    warehouse_view_close(&view);
    assert_true(reload_go(&fixture, 2));
    check_reloaded(&fixture);
    fixture_close(&fixture);
}

/* Right after a start, before the loader runs; ended after any step, and asked for again. */
static void
test_reload__begun_again_after_any_step(void **state)
{
    bool was_done = false;

    (void)state;
    for (uint32_t k = 0; !was_done && k < 100; k++) {
        struct fixture fixture;

        erase_fill(&fixture, k % 2 == 0 ? IN_BOTH : IN_MERGED);
        (void)erasure_of(&fixture, of_person(PERSON));
        fixture_stop(&fixture, 0);
        fixture_start(&fixture);
        assert_int_equal(warehouse_reload(fixture.warehouse, PROJECT, NULL), ERR_OK);
        assert_refused(&fixture);
        was_done = reload_go(&fixture, k);
        if (k % 3 != 0) { /* else within the same process */
            fixture_stop(&fixture, 0);
            fixture_start(&fixture);
        }
        assert_int_equal(warehouse_reload(fixture.warehouse, PROJECT, NULL), ERR_OK);
        assert_refused(&fixture);
        assert_true(reload_go(&fixture, 100));
        check_reloaded(&fixture);
        fixture_close(&fixture);
    }
    assert_true(was_done);
}

static void
test_reload__a_project_without_events_goes_with_its_folder(void **state)
{
    (void)state;
    for (int where = 0; where < WHERES; where++) {
        struct fixture fixture;
        char path[300];

        erase_fill(&fixture, (enum where)where);
        (void)erasure_of(&fixture, (struct selection){.kind = SELECTION_ALL});
        assert_int_equal(warehouse_reload(fixture.warehouse, PROJECT, NULL), ERR_OK);
        assert_true(reload_go(&fixture, 100));
        snprintf(path, sizeof(path), "%s/warehouse/%u", fixture.dir, (unsigned)PROJECT);
        assert_false(file_exists(path));
        assert_nothing_of(&fixture, "user-");
        check_all(&fixture);
        fixture_close(&fixture);
    }
}

/* Nothing was ever loaded of it. */
static void
test_reload__of_an_unknown_project_ends(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open_small(&fixture, 200, 200);
    assert_int_equal(warehouse_reload(fixture.warehouse, PROJECT, NULL), ERR_OK);
    fixture_add_events(&fixture, 31, 400, 60, 6, 20);
    assert_true(reload_go(&fixture, 100));
    fixture_load(&fixture);
    check_all(&fixture);
    fixture_close(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reload__shows_nothing_until_it_is_discarded),
        cmocka_unit_test(test_reload__waits_for_views_opened_before),
        cmocka_unit_test(test_reload__begun_again_after_any_step),
        cmocka_unit_test(test_reload__a_project_without_events_goes_with_its_folder),
        cmocka_unit_test(test_reload__of_an_unknown_project_ends),
    };

    return cmocka_run_group_tests_name("reload/ledger", tests, fake_store_is_ledger, NULL) +
           cmocka_run_group_tests_name("reload/database", tests, fake_store_is_database, NULL);
}
