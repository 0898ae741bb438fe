/*
 * test_engine - DuckDB behind its door: every symbol exists, FATAL is survived, deadlines stop what
 * runs.
 */
#include "base/file.h"
#include "fixture.h"
#include "warehouse/inside.h"
#include <ctype.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static const struct warehouse_scan everything = {
    .to_us = INT64_MAX, .wants_type = true, .parts = 1};

/* Each word duckdb_…( in the engine's sources, looked up in the library that is loaded. */
static uint32_t
check_symbols(const char *path)
{
    struct buf buf;
    uint32_t count = 0;

    buf_init(&buf, 1 << 20);
    assert_int_equal(file_read_whole(path, 1 << 20, &buf, NULL), ERR_OK);
    buf_add_char(&buf, '\0');
    for (const char *at = strstr(buf.ptr, "duckdb_"); at != NULL; at = strstr(at + 1, "duckdb_")) {
        char name[128];
        size_t len = 0;

        while (isalnum((unsigned char)at[len]) || at[len] == '_')
            len++;
        if (at[len] != '(' || (at != buf.ptr && (isalnum((unsigned char)at[-1]) || at[-1] == '_')))
            continue;
        assert_true(len < sizeof(name));
        memcpy(name, at, len);
        name[len] = '\0';
        if (dlsym(RTLD_DEFAULT, name) == NULL)
            fail_msg("%s uses %s, which the library does not have", path, name);
        count++;
    }
    buf_fini(&buf);
    return count;
}

static void
test_engine__every_symbol_used_exists(void **state)
{
    (void)state;
    assert_true(check_symbols(SOURCE_DIR "/engine.c") > 15);
    assert_true(check_symbols(SOURCE_DIR "/engine_feed.c") > 15);
    assert_true(check_symbols(SOURCE_DIR "/engine_guard.c") >= 1);
}

static void
test_engine__survives_a_fatal_error(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open_small(&fixture, 100, 100);
    fixture_add_events(&fixture, 41, 250, 40, 5, 20);
    fixture_load(&fixture);
    engine_inject_fatal(fixture.warehouse->engine);
    fixture_check(&fixture); /* tried again on a fresh instance */
    assert_int_equal(engine_reopened_count(fixture.warehouse->engine), 1);
    engine_inject_fatal(fixture.warehouse->engine);
    fixture_add_events(&fixture, 42, 100, 40, 5, 20);
    fixture_load(&fixture); /* a seal is hit */
    assert_int_equal(engine_reopened_count(fixture.warehouse->engine), 2);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

static enum err
endless(void *state, const struct warehouse_rows *rows)
{
    (void)rows;
    ++*(uint64_t *)state;
    return ERR_OK;
}

static void
test_engine__a_passed_deadline_stops_a_scan(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;
    uint64_t chunks = 0;
    void *states[] = {&chunks};
    struct warehouse_scan scan = everything;
    struct query_control passed = {.deadline_steady_ns = 0};
    struct query_control cancelled = {.deadline_steady_ns = INT64_MAX, .is_cancelled = true};

    (void)state;
    fixture_open_small(&fixture, 100, 100);
    fixture_add_events(&fixture, 43, 1000, 40, 5, 20);
    fixture_load(&fixture);
    scan.rows = endless;
    scan.part_states = states;
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    assert_int_equal(warehouse_scan(view, &scan, &passed, NULL), ERR_QUERY_TIMEOUT);
    assert_int_equal(warehouse_scan(view, &scan, &cancelled, NULL), ERR_CANCELLED);
    warehouse_view_close(&view);
    fixture_check(&fixture); /* nothing is left behind */
    fixture_close(&fixture);
}

/* One statement that would run for hours; only an interrupt from outside ends it. */
static enum err
run_long(struct engine_job *job, struct diag *diag)
{
    struct engine *engine = *(struct engine **)(job + 1);

    return engine_execute(engine, job->guard,
                          "SELECT count(*) FROM range(10000000000) a, range(1000000) b "
                          "WHERE a.range + b.range = -1",
                          diag);
}

static void
test_engine__an_interrupt_reaches_a_running_statement(void **state)
{
    struct fixture fixture;
    struct {
        struct engine_job job;
        struct engine *engine;
    } work;
    struct engine_job *jobs[] = {&work.job};
    struct query_control control = {0};
    struct engine_guard guard;

    (void)state;
    fixture_open(&fixture);
    work.job.run = run_long;
    work.engine = fixture.warehouse->engine;
    for (int64_t ms = 1; ms <= 200; ms *= 14) { /* before, while and after it starts */
        control.deadline_steady_ns = clock_steady_ns(clock_system()) + ms * 1000000;
        engine_guard_init(&guard);
        assert_int_equal(engine_run_jobs(&guard, &control, jobs, 1, NULL), ERR_QUERY_TIMEOUT);
        engine_guard_fini(&guard);
        assert_true(clock_steady_ns(clock_system()) - control.deadline_steady_ns < 5 * NS_PER_S);
    }
    fixture_close(&fixture);
}

static enum err
refuse(void *state, const struct warehouse_rows *rows)
{
    (void)state;
    return rows->count != 0 ? ERR_FULL : ERR_OK;
}

static void
test_engine__a_folds_error_ends_the_scan(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;
    void *states[] = {NULL, NULL, NULL};
    struct warehouse_scan scan = everything;
    struct query_control control = {.deadline_steady_ns = INT64_MAX};

    (void)state;
    fixture_open_small(&fixture, 100, 100);
    fixture_add_events(&fixture, 43, 1050, 40, 5, 20);
    fixture_load(&fixture);
    scan.parts = 3;
    scan.rows = refuse;
    scan.part_states = states;
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    assert_int_equal(warehouse_scan(view, &scan, &control, NULL), ERR_FULL);
    assert_int_equal(warehouse_scan_first(view, &scan, &control, NULL), ERR_FULL);
    warehouse_view_close(&view);
    fixture_close(&fixture);
}

/* --- generations ------------------------------------------------------------------------------ */

static void
test_engine__a_view_sees_its_set_till_closed(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;
    struct query_control control = {.deadline_steady_ns = INT64_MAX};

    (void)state;
    fixture_open_small(&fixture, 100, 50);
    fixture_add_events(&fixture, 51, 350, 40, 5, 20); /* three files and half a tail */
    fixture_load(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    for (uint64_t round = 0; round < 4; round++) {
        struct seen seen = {0};
        void *states[] = {&seen};
        struct warehouse_scan scan = everything;

        /* the tail grows, is sealed, the files are merged: the view does not see it */
        scan.rows = seen_add;
        scan.part_states = states;
        assert_int_equal(warehouse_scan(view, &scan, &control, NULL), ERR_OK);
        assert_int_equal(seen.count, 350);
        seen_free(&seen);
        fixture_add_events(&fixture, 52 + round, 30 + 200 * (uint32_t)round, 40, 5, 20);
        fixture_load(&fixture);
        fixture_keep(&fixture);
    }
    assert_int_equal(warehouse_view_watermark(view).position.minor, 350);
    warehouse_view_close(&view);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

static void
test_engine__late_events_move_first_ever_back(void **state)
{
    struct fixture fixture;
    struct event event = {.project_id = PROJECT,
                          .event_type = SLICE("a"),
                          .user_id = SLICE("u"),
                          .received_at_us = DAY_ZERO_US};
    char id[24];

    (void)state;
    fixture_open_small(&fixture, 10, 10);
    for (int i = 0; i < 95; i++) { /* ever earlier: sealed, merged and in the tail */
        snprintf(id, sizeof(id), "late-%d", i);
        event.event_id = slice_of_text(id);
        event.event_type = i % 3 == 0 ? SLICE("b") : SLICE("a");
        event.occurred_at_us = DAY_ZERO_US - i * US_PER_DAY;
        fake_store_add(&fixture.store, &event);
        if (i % 19 == 0) {
            fixture_load(&fixture);
            fixture_keep(&fixture);
            fixture_check(&fixture);
        }
    }
    fixture_load(&fixture);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

/* Queries while the loader seals and the keeper merges: whole prefixes, always. */
struct reader {
    struct fixture *fixture;
    _Atomic bool is_done;
    uint32_t scans;
    bool is_wrong;
};

static void *
read_on(void *arg)
{
    struct reader *reader = arg;
    uint32_t before = 0;

    while (!reader->is_done) {
        struct seen seen = {0};
        void *states[] = {&seen};
        struct warehouse_scan scan = everything;
        struct query_control control = {.deadline_steady_ns = INT64_MAX};
        struct warehouse_view *view = NULL;

        scan.rows = seen_add;
        scan.part_states = states;
        if (warehouse_view_open(reader->fixture->warehouse, PROJECT, NULL, 0, &view, NULL) !=
            ERR_OK)
            reader->is_wrong = true;
        else if (warehouse_scan(view, &scan, &control, NULL) != ERR_OK)
            reader->is_wrong = true;
        else if (seen.count < warehouse_view_watermark(view).position.minor || seen.count < before)
            reader->is_wrong = true;
        before = seen.count;
        if (view != NULL)
            warehouse_view_close(&view);
        seen_free(&seen);
        reader->scans++;
    }
    return NULL;
}

static void
test_engine__queries_beside_loading_and_merging(void **state)
{
    struct fixture fixture;
    struct reader reader = {.fixture = &fixture};
    pthread_t thread;

    (void)state;
    fixture_open_small(&fixture, 100, 30);
    fixture_add_events(&fixture, 61, 2000, 80, 5, 40);
    assert_int_equal(pthread_create(&thread, NULL, read_on, &reader), 0);
    for (uint32_t i = 0; i < 80; i++) {
        bool did_work = false;

        assert_int_equal(warehouse_load_step(fixture.warehouse, 0, NULL), ERR_OK);
        assert_int_equal(warehouse_keep_step(fixture.warehouse, &did_work, NULL), ERR_OK);
    }
    while (reader.scans < 3)
        sched_yield();
    reader.is_done = true;
    pthread_join(thread, NULL);
    assert_false(reader.is_wrong);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine__every_symbol_used_exists),
        cmocka_unit_test(test_engine__survives_a_fatal_error),
        cmocka_unit_test(test_engine__a_passed_deadline_stops_a_scan),
        cmocka_unit_test(test_engine__an_interrupt_reaches_a_running_statement),
        cmocka_unit_test(test_engine__a_folds_error_ends_the_scan),
        cmocka_unit_test(test_engine__a_view_sees_its_set_till_closed),
        cmocka_unit_test(test_engine__late_events_move_first_ever_back),
        cmocka_unit_test(test_engine__queries_beside_loading_and_merging),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
