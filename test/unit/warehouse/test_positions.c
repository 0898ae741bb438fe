/*
 * test_positions - a store whose events have positions and no numbers: what is skipped, numbered,
 * told, and forgotten when the store goes back to an older state.
 */
#include "base/file.h"
#include "fixture.h"
#include "warehouse/inside.h"
#include <stdio.h>
#include <string.h>

static struct store_position
told_now(const struct fixture *fixture)
{
    return fake_store_told(&fixture->store, fixture->store.visible);
}

static enum err
load_step(struct fixture *fixture)
{
    struct diag diag = DIAG_INIT;

    return warehouse_load_step(fixture->warehouse, 0, &diag);
}

static struct warehouse_view *
open_view(struct fixture *fixture)
{
    struct warehouse_view *view = NULL;

    assert_int_equal(warehouse_view_open(fixture->warehouse, PROJECT, NULL, 0, &view, NULL),
                     ERR_OK);
    return view;
}

static void
add_other(struct fixture *fixture, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char id[32];
        struct event event = {.project_id = PROJECT + 1,
                              .event_type = SLICE("t"),
                              .user_id = SLICE("u"),
                              .occurred_at_us = DAY_ZERO_US,
                              .received_at_us = DAY_ZERO_US};

        snprintf(id, sizeof(id), "other-%u", fixture->store.count);
        event.event_id = slice_of_text(id);
        fake_store_add(&fixture->store, &event);
    }
}

/* --- what is listed --------------------------------------------------------------------------- */

struct listed {
    uint64_t last_seq;
    uint32_t count;
};

static enum err
list_each(void *state, const struct event *event, uint64_t seq)
{
    struct listed *listed = state;

    (void)event;
    assert_int_equal(seq, listed->last_seq + 1); /* dense, in order */
    listed->last_seq = seq;
    listed->count++;
    return ERR_OK;
}

/* All events after a seq, which must follow it without a gap. */
static uint32_t
count_after(struct warehouse_view *view, uint64_t seq)
{
    struct query_control control = {.deadline_steady_ns = INT64_MAX};
    struct listed listed = {.last_seq = seq};

    assert_int_equal(warehouse_after(view, seq, 100000, &control, list_each, &listed, NULL),
                     ERR_OK);
    return listed.count;
}

static void
test_positions__rows_are_numbered_per_project(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;

    (void)state;
    fixture_open_small(&fixture, 100, 37);
    for (uint32_t i = 0; i < 5; i++) {
        fixture_add_events(&fixture, i, 71, 20, 3, 5);
        add_other(&fixture, 13);
        fixture_load(&fixture);
        if (i == 2) { /* in the middle, with rows in the tail */
            fixture_stop(&fixture, 0);
            fixture_start(&fixture);
        }
    }
    fixture_load(&fixture);
    view = open_view(&fixture);
    assert_int_equal(count_after(view, 0), 5 * 71);
    assert_int_equal(warehouse_view_seq_max(view), 5 * 71);
    warehouse_view_close(&view);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

static void
test_positions__a_position_is_found_again(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;
    struct store_position told[6];

    (void)state;
    fixture_open_small(&fixture, 100, 1000);
    for (uint32_t i = 0; i < 6; i++) {
        told[i] = told_now(&fixture);
        fixture.store.transactions_other += 3;
        fixture_add_events(&fixture, i, 40, 20, 3, 5);
        add_other(&fixture, 5);
        if (i == 2) /* 120 rows: sealed */
            fixture_load(&fixture);
        if (i == 3)
            fixture.store.generation++;
    }
    fixture_load(&fixture);
    assert_int_equal(fixture_file_count(&fixture), 2);
    fixture_add_events(&fixture, 9, 40, 20, 3, 5);
    fixture_load(&fixture);
    view = open_view(&fixture);
    assert_int_equal(warehouse_view_seq_at(view, told[0]), 0);
    assert_int_equal(warehouse_view_seq_at(view, told[3]), 120); /* at a seal */
    assert_int_equal(warehouse_view_seq_at(view, told[4]), 120); /* within a file: from its start */
    assert_int_equal(warehouse_view_seq_at(view, told_now(&fixture)), 280);
    warehouse_view_close(&view);

    /* In the tail: each transaction. */
    for (uint32_t i = 0; i < 3; i++) {
        told[i] = told_now(&fixture);
        fixture.store.transactions_other += 2;
        fixture_add_events(&fixture, i, 17, 20, 3, 5);
    }
    fixture_load(&fixture);
    view = open_view(&fixture);
    assert_int_equal(view->tail_rows, 40 + 3 * 17);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(warehouse_view_seq_at(view, told[i]), 280 + i * 17);
        assert_int_equal(count_after(view, 280 + i * 17), (3 - i) * 17);
    }
    warehouse_view_close(&view);
    fixture_close(&fixture);
}

/* --- what is skipped -------------------------------------------------------------------------- */

static void
load_half(struct fixture *fixture)
{
    enum err err = ERR_OK;

    fixture_add_events(fixture, 5, 4000, 3000, 50, 9);
    for (uint64_t nth = 5; nth < 200 && err != ERR_NOMEM; nth += 3) {
        mem_fail_from(nth, false);
        err = load_step(fixture);
        mem_fail_from(0, false);
    }
    assert_int_equal(err, ERR_NOMEM);
}

static void
test_positions__a_page_applied_half_is_applied_once(void **state)
{
    (void)state;
    for (uint32_t seals = 0; seals < 2; seals++) {
        struct fixture fixture;
        struct project *project = NULL;

        fixture_open(&fixture);
        fixture_add_events(&fixture, 1, 100, 50, 3, 9);
        fixture_load(&fixture);
        load_half(&fixture);
        assert_int_equal(project_get(fixture.warehouse, PROJECT, &project, NULL), ERR_OK);
        assert_true(project->tail->rows > 100 && project->tail->rows < 4100);
        if (seals) { /* half a page goes into a file, and the cursor is before it */
            fixture_stop(&fixture, 3000);
            fixture_start(&fixture);
        }
        fixture_load(&fixture);
        fixture_check(&fixture);
        fixture_close(&fixture);
    }
}

static void
test_positions__projects_sealed_at_different_positions(void **state)
{
    struct fixture fixture;
    struct project *project = NULL;
    struct diag diag = DIAG_INIT;

    (void)state;
    fixture_open_small(&fixture, 100, 30);
    add_other(&fixture, 10); /* stays in its tail: the checkpoint is before it */
    fixture_add_events(&fixture, 1, 250, 40, 5, 9);
    add_other(&fixture, 10);
    fixture_load(&fixture);
    fixture_stop(&fixture, 0);
    fixture.store.rows_read = 0;
    fixture_start(&fixture);
    fixture_load(&fixture);
    assert_int_equal(fixture.store.rows_read, 270);
    fixture_check(&fixture);

    /* One is rebuilt while the other goes on, is sealed behind the cursor, and all stops there. */
    add_other(&fixture, 95);
    fixture_load(&fixture);
    assert_int_equal(project_get(fixture.warehouse, PROJECT, &project, NULL), ERR_OK);
    diag_set(&diag, "for the test");
    project_report_damage(project, project->lexicon, &diag);
    assert_int_equal(load_step(&fixture), ERR_OK);
    assert_true(fixture.warehouse->is_rebuilding);
    fixture_stop(&fixture, 3000);
    fixture_start(&fixture);
    fixture_load(&fixture);
    fixture_check(&fixture);
    fixture_stop(&fixture, 3000);
    fixture_start(&fixture);
    fixture_load(&fixture);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

static void
test_positions__a_new_generation_keeps_what_is_loaded(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;
    struct store_position old;

    (void)state;
    fixture_open_small(&fixture, 100, 64);
    fixture_add_events(&fixture, 1, 250, 40, 5, 9);
    fixture_load(&fixture);
    old = told_now(&fixture);
    fixture.store.generation = 2; /* old transaction numbers come back, in a new cluster */
    fixture.store.transaction = 10;
    fixture.store.transaction_rows = 0;
    fixture_add_events(&fixture, 2, 250, 40, 5, 9);
    fixture_load(&fixture);
    fixture_check(&fixture);
    for (uint32_t i = 0; i < 2; i++) {
        fixture_stop(&fixture, i == 0 ? 0 : 3000);
        fixture.store.rows_read = 0;
        fixture_start(&fixture);
        fixture_load(&fixture);
        fixture_check(&fixture);
        assert_true(fixture.store.rows_read <= 200);
    }
    assert_int_equal(fixture.warnings, 0);
    /* What the old generation told may not have come along: nobody knows. */
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, &old, 0, &view, NULL),
                     ERR_INVALID_PARAMETER);
    fixture_close(&fixture);
}

/* --- the store went back ---------------------------------------------------------------------- */

static void
test_positions__stale_forgets_everything(void **state)
{
    struct fixture fixture;
    struct warehouse_view *before = NULL;
    struct warehouse_view *view = NULL;
    struct store_position old, now;

    (void)state;
    fixture_open_small(&fixture, 100, 50);
    fixture_add_events(&fixture, 1, 350, 60, 5, 30);
    add_other(&fixture, 120);
    fixture_load(&fixture);
    old = told_now(&fixture);
    before = open_view(&fixture);
    fake_store_restore(&fixture.store, 200);
    fixture_add_events(&fixture, 7, 300, 90, 7, 30); /* others than those that are lost */
    now = told_now(&fixture);
    assert_int_equal(load_step(&fixture), ERR_OK);
    assert_int_equal(fixture.warnings, 1);
    view = open_view(&fixture);
    assert_int_equal(view->watermark.position.generation, 0); /* gone back, truly */
    assert_int_equal(view->tail_rows + view->set->count, 0);
    assert_true(view->watermark.lag_ms > 0);
    warehouse_view_close(&view);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, &now, 0, &view, NULL),
                     ERR_BEHIND);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, &old, 0, &view, NULL),
                     ERR_INVALID_PARAMETER);
    fixture_load(&fixture);
    fixture_check(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, &now, 0, &view, NULL), ERR_OK);
    warehouse_view_close(&view);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, &old, 0, &view, NULL),
                     ERR_INVALID_PARAMETER);
    assert_int_equal(count_after(before, 0), 350); /* opened then, it shows what was then */
    warehouse_view_close(&before);
    assert_int_equal(fixture.warnings, 1);
    fixture_stop(&fixture, 3000);
    fixture.store.rows_read = 0;
    fixture_start(&fixture);
    fixture_load(&fixture);
    fixture_check(&fixture);
    assert_int_equal(fixture.store.rows_read, 0);
    fixture_close(&fixture);
}

static void
test_positions__an_empty_folder_has_nothing_to_forget(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture);
    fixture_add_events(&fixture, 1, 50, 60, 5, 30);
    fixture.store.is_stale = true; /* to this node the store is new */
    fixture_load(&fixture);
    fixture_check(&fixture);
    assert_int_equal(fixture.warnings, 0);
    fixture_close(&fixture);
}

static void
test_positions__stale_at_start_forgets_what_is_not_open(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open_small(&fixture, 100, 50);
    fixture_add_events(&fixture, 1, 350, 60, 5, 30);
    fixture_load(&fixture);
    fixture_stop(&fixture, 3000);
    fake_store_restore(&fixture.store, 200);
    fixture_add_events(&fixture, 7, 300, 90, 7, 30);
    fixture.store.transactions_other = 1000; /* ahead of what the manifests cover */
    fixture_start(&fixture);
    fixture_load(&fixture);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

/* Read from the start for one project's sake, or for want of a checkpoint, nothing is forgotten
 * yet.
 */
static void
test_positions__stale_is_heard_by_who_reads_over(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < 3; kind++) {
        struct fixture fixture;
        struct project *project = NULL;
        struct diag diag = DIAG_INIT;
        char path[FILE_PATH_MAX];

        fixture_open_small(&fixture, 100, 50);
        fixture_add_events(&fixture, 1, 350, 60, 5, 30);
        add_other(&fixture, 120);
        fixture_load(&fixture);
        if (kind != 2) {
            assert_int_equal(project_get(fixture.warehouse, PROJECT + 1, &project, NULL), ERR_OK);
            diag_set(&diag, "for the test");
            project_report_damage(project, project->lexicon, &diag);
        }
        if (kind == 1)
            assert_int_equal(load_step(&fixture), ERR_OK);
        if (kind != 0)
            fixture_stop(&fixture, 3000);
        if (kind == 2) {
            snprintf(path, sizeof(path), "%s/warehouse/checkpoint.json", fixture.dir);
            assert_int_equal(file_unlink(path, NULL), ERR_OK);
        }
        fake_store_restore(&fixture.store, 200);
        fixture_add_events(&fixture, 7, 300, 90, 7, 30);
        fixture.store.transactions_other = 1000;
        if (kind != 0)
            fixture_start(&fixture);
        fixture_load(&fixture);
        fixture_check(&fixture);
        fixture_close(&fixture);
    }
}

/* Stopped at any moment of forgetting: the start that follows reads all again. */
static void
test_positions__stale_is_not_forgotten_by_a_crash(void **state)
{
    (void)state;
    for (uint64_t nth = 0; nth < 24; nth++) {
        struct fixture fixture;
        enum err err = ERR_OK;

        fixture_open_small(&fixture, 100, 50);
        fixture_add_events(&fixture, 1, 350, 60, 5, 30);
        add_other(&fixture, 110);
        fixture_load(&fixture);
        fake_store_restore(&fixture.store, 200);
        fixture_add_events(&fixture, 7, 300, 90, 7, 30);
        mem_fail_from(nth, true);
        err = load_step(&fixture);
        mem_fail_from(0, false);
        assert_true(err == ERR_OK || err == ERR_NOMEM);
        if (nth % 2 == 0) { /* else the store says it again */
            struct store_page page;

            assert_int_equal(store_read_after(&fixture.store.store, (struct store_position){0}, 1,
                                              1, NULL, &page, NULL),
                             ERR_OK);
            fixture.store.is_stale = fixture.warehouse->cursor.generation != 0;
        }
        fixture_stop(&fixture, 3000);
        fixture_start(&fixture);
        fixture_load(&fixture);
        fixture_check(&fixture);
        fixture_close(&fixture);
    }
}

/* --- away, held back, lag --------------------------------------------------------------------- */

static double
lag_s(struct fixture *fixture)
{
    struct warehouse_stats stats;

    warehouse_stats(fixture->warehouse, &stats);
    return stats.lag_s;
}

static void
test_positions__lag_while_the_store_is_away(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture);
    fixture_add_events(&fixture, 1, 50, 60, 5, 30);
    fixture_load(&fixture);
    fixture.store.is_away = true;
    clock_fake_move(&fixture.clock, 60 * US_PER_S);
    assert_int_equal(load_step(&fixture), ERR_OK); /* no error: the store tells it */
    assert_int_equal(fixture.warnings, 0);
    assert_true(lag_s(&fixture) == 0.0); /* as far as is known */
    fixture_check(&fixture);

    fixture.store.is_away = false;
    fixture_load(&fixture);
    fixture_add_events(&fixture, 2, 50, 60, 5, 30); /* acknowledged, then it goes */
    fixture.store.is_away = true;
    for (uint32_t i = 1; i < 4; i++) {
        clock_fake_move(&fixture.clock, 10 * US_PER_S);
        assert_int_equal(load_step(&fixture), ERR_OK);
        assert_true(lag_s(&fixture) == 10.0 * i);
    }
    fixture.store.is_away = false;
    fixture_load(&fixture);
    assert_true(lag_s(&fixture) == 0.0);
    fixture_close(&fixture);
}

static void
test_positions__lag_with_others_in_the_cluster(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture);
    fixture_add_events(&fixture, 1, 50, 60, 5, 30);
    fixture_load(&fixture);
    /* A transaction elsewhere holds the reader back: what waits behind it is told. */
    fixture_add_events(&fixture, 2, 20, 60, 5, 30);
    fixture.store.held = 20;
    assert_int_equal(load_step(&fixture), ERR_OK);
    clock_fake_move(&fixture.clock, 400 * US_PER_S);
    assert_int_equal(load_step(&fixture), ERR_OK);
    assert_true(lag_s(&fixture) > 399.0 && lag_s(&fixture) <= 400.0);
    fixture.store.held = 0;
    fixture_load(&fixture);
    assert_true(lag_s(&fixture) == 0.0);
    fixture_check(&fixture);
    /* Others take numbers all the time, of which nothing concerns us. */
    fixture.store.is_other_running = true;
    for (uint32_t i = 0; i < 3; i++) {
        fixture.store.transactions_other += 7;
        assert_int_equal(load_step(&fixture), ERR_OK);
        clock_fake_move(&fixture.clock, US_PER_S / 2);
        assert_true(lag_s(&fixture) == 0.0);
    }
    fixture_close(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_positions__rows_are_numbered_per_project),
        cmocka_unit_test(test_positions__a_position_is_found_again),
        cmocka_unit_test(test_positions__a_page_applied_half_is_applied_once),
        cmocka_unit_test(test_positions__projects_sealed_at_different_positions),
        cmocka_unit_test(test_positions__a_new_generation_keeps_what_is_loaded),
        cmocka_unit_test(test_positions__stale_forgets_everything),
        cmocka_unit_test(test_positions__an_empty_folder_has_nothing_to_forget),
        cmocka_unit_test(test_positions__stale_at_start_forgets_what_is_not_open),
        cmocka_unit_test(test_positions__stale_is_heard_by_who_reads_over),
        cmocka_unit_test(test_positions__stale_is_not_forgotten_by_a_crash),
        cmocka_unit_test(test_positions__lag_while_the_store_is_away),
        cmocka_unit_test(test_positions__lag_with_others_in_the_cluster),
    };
    const struct CMUnitTest of_both[] = {
        cmocka_unit_test(test_positions__a_page_applied_half_is_applied_once),
    };

    return cmocka_run_group_tests_name("positions", tests, fake_store_is_database, NULL) +
           cmocka_run_group_tests_name("positions/ledger", of_both, fake_store_is_ledger, NULL);
}
