/*
 * test_erase - what was erased stands nowhere any more, and everything else is as it was: by
 * person, time and ids, whole projects, names of types.
 */
#include "base/file.h"
#include "erase_kit.h"
#include <stdio.h>

/* --- one person ------------------------------------------------------------------------------- */

static void
test_erase__person_wherever_its_rows_are(void **state)
{
    (void)state;
    for (enum where where = IN_TAIL; where < WHERES; where++) {
        struct fixture fixture;
        struct warehouse_erasure erasure;
        struct warehouse_stats before, after;

        erase_fill(&fixture, where);
        warehouse_stats(fixture.warehouse, &before);
        assert_int_equal(before.tail_rows, where == IN_TAIL     ? 800
                                           : where == IN_BOTH   ? 100
                                           : where == IN_MERGED ? 100
                                                                : 0);
        erasure = erasure_of(&fixture, of_person(PERSON));
        assert_true(fixture.store.erased_count > 50);
        assert_int_equal(erase_whole(&fixture, &erasure), fixture.store.erased_count);
        assert_nothing_of(&fixture, PERSON);
        warehouse_stats(fixture.warehouse, &after);
        if (where == IN_FILES)
            assert_true(after.file_bytes < before.file_bytes);
        check_reads(&fixture, PERSON);
        check_all(&fixture);
        assert_nothing_of(&fixture, PERSON);
        assert_int_equal(erase_whole(&fixture, &erasure),
                         0); /* begun again: nothing is left to do */
        fixture_close(&fixture);
    }
}

/* An event with both ids is the person's of its user_id; its anonymous_id names another. */
static void
test_erase__person_named_beside_another(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;

    (void)state;
    fixture_open_small(&fixture, 10, 10);
    for (uint32_t i = 0; i < 40; i++) {
        char id[32];
        const struct event event = {.project_id = PROJECT,
                                    .event_id =
                                        (snprintf(id, sizeof(id), "%08x", i), slice_of_text(id)),
                                    .event_type = SLICE("t"),
                                    .user_id = i % 4 == 3 ? SLICE_NONE : SLICE("known"),
                                    .anonymous_id = i % 10 == 3 ? SLICE("device") : SLICE("other"),
                                    .occurred_at_us = DAY_ZERO_US + i,
                                    .received_at_us = DAY_ZERO_US + i};

        fake_store_add(&fixture.store, &event);
    }
    fixture_load(&fixture);
    erasure = erasure_of(&fixture, of_person("device"));
    assert_int_equal(fixture.store.erased_count, 4);
    assert_int_equal(erase_whole(&fixture, &erasure), 4);
    assert_nothing_of(&fixture, "device");
    check_reads(&fixture, "device");
    check_all(&fixture);
    fixture_close(&fixture);
}

static void
test_erase__what_comes_later_stays(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;

    (void)state;
    fixture_open_small(&fixture, 200, 200);
    fixture_add_events(&fixture, 31, 500, 60, 6, 20);
    erasure = erasure_of(&fixture, of_person(PERSON));
    fixture_add_events(&fixture, 32, 450, 60, 6, 20); /* before anything was loaded */
    fixture.is_numbered_anew = true;
    fixture_load(&fixture);
    erase_whole(&fixture, &erasure);
    assert_true(rows_where(&fixture, "user_id = '" PERSON "' OR anonymous_id = '" PERSON "'") > 10);
    check_all(&fixture);
    fixture_close(&fixture);
}

/* --- time and ids ----------------------------------------------------------------------------- */

static void
test_erase__received_before_at_its_bounds(void **state)
{
    (void)state;
    /* 200 rows a file, a millisecond apart: before, at and after a file's end */
    for (uint32_t rows = 399; rows <= 401; rows++) {
        struct fixture fixture;
        struct warehouse_erasure erasure;
        uint64_t files = 0;

        fixture_open_small(&fixture, 200, 200);
        fixture_add_events(&fixture, 33, 950, 60, 6, 20);
        fixture_load(&fixture);
        files = fixture_file_count(&fixture);
        assert_int_equal(files, 4);
        erasure =
            erasure_of(&fixture, (struct selection){.kind = SELECTION_RECEIVED,
                                                    .to_us = DAY_ZERO_US + (int64_t)rows * 1000});
        assert_int_equal(fixture.store.erased_count, rows);
        assert_int_equal(erase_whole(&fixture, &erasure), rows);
        assert_int_equal(fixture_file_count(&fixture), rows < 400 ? 3 : 2);
        check_reads(&fixture, "nobody");
        check_all(&fixture);
        fixture_close(&fixture);
    }
}

static void
test_erase__everything_received(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;
    char dir[300];

    (void)state;
    fixture_open_small(&fixture, 200, 200);
    fixture_add_events(&fixture, 33, 450, 60, 6, 20);
    fixture_load(&fixture);
    erasure =
        erasure_of(&fixture, (struct selection){.kind = SELECTION_RECEIVED, .to_us = INT64_MAX});
    assert_int_equal(erase_whole(&fixture, &erasure), 450);
    assert_int_equal(fixture_file_count(&fixture), 0);
    assert_int_equal(fixture_parquet_on_disk(&fixture), 0);
    snprintf(dir, sizeof(dir), "%s/warehouse/7", fixture.dir);
    assert_int_equal(files_with(dir, "type number"), 0);
    check_reads(&fixture, "nobody");
    fixture_add_events(&fixture, 34, 300, 60, 6,
                       20); /* persons keep their ids, types get new ones */
    fixture_load(&fixture);
    check_reads(&fixture, "nobody");
    check_history(&fixture);
    fixture_stop(&fixture, 0);
    fixture_start(&fixture);
    fixture_load(&fixture);
    check_reads(&fixture, "nobody");
    check_history(&fixture);
    assert_int_equal(fixture.warnings, 0);
    fixture_close(&fixture);
}

static void
test_erase__occurred_within(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;

    (void)state;
    fixture_open_small(&fixture, 200, 200);
    fixture_add_events(&fixture, 35, 950, 60, 6, 20);
    fixture_load(&fixture);
    erasure = erasure_of(&fixture, (struct selection){.kind = SELECTION_OCCURRED,
                                                      .from_us = DAY_ZERO_US - 9 * US_PER_DAY,
                                                      .to_us = DAY_ZERO_US - 5 * US_PER_DAY});
    assert_true(fixture.store.erased_count > 100 && fixture.store.erased_count < 400);
    assert_int_equal(erase_whole(&fixture, &erasure), fixture.store.erased_count);
    check_reads(&fixture, "nobody");
    check_all(&fixture);
    fixture_close(&fixture);
}

static void
test_erase__ids(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;
    struct slice ids[40];
    char copies[40][64];
    uint32_t count = 0;

    (void)state;
    fixture_open_small(&fixture, 200, 200);
    fixture_add_events(&fixture, 36, 950, 60, 6, 20);
    fixture_load(&fixture);
    for (uint32_t i = 0; i < COUNT_OF(ids); i++) {
        const struct slice id = fixture.store.rows[i * 23].event.event_id;

        snprintf(copies[i], sizeof(copies[i]), "%.*s", (int)id.len, id.ptr);
        ids[i] = slice_of_text(copies[i]);
    }
    count = selection_sort_ids(ids, COUNT_OF(ids));
    erasure = erasure_of(&fixture,
                         (struct selection){.kind = SELECTION_IDS, .ids = ids, .id_count = count});
    assert_int_equal(fixture.store.erased_count, 40);
    assert_int_equal(erase_whole(&fixture, &erasure), 40);
    check_reads(&fixture, "nobody");
    check_all(&fixture);
    fixture_close(&fixture);
}

/* --- a whole project -------------------------------------------------------------------------- */

static void
test_erase__whole_project(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;
    struct warehouse_stats stats;
    char dir[300];

    (void)state;
    fixture_open_small(&fixture, 200, 200);
    fixture_add_events(&fixture, 37, 950, 60, 6, 20);
    fixture_load(&fixture);
    erasure = erasure_of(&fixture, (struct selection){.kind = SELECTION_ALL});
    assert_int_equal(erase_whole(&fixture, &erasure), 950);
    snprintf(dir, sizeof(dir), "%s/warehouse/7", fixture.dir);
    assert_false(file_exists(dir));
    warehouse_stats(fixture.warehouse, &stats);
    assert_int_equal(stats.rows + stats.files + stats.persons + stats.tail_rows, 0);
    assert_int_equal(stats.tail_bytes, 0);
    assert_sound(&fixture);
    check_reads(&fixture, PERSON);
    for (int i = 0; i < 2; i++) { /* after a stop without and with a seal */
        fixture_stop(&fixture, i * 3000);
        fixture_start(&fixture);
        fixture_load(&fixture);
        check_reads(&fixture, PERSON);
        assert_false(file_exists(dir));
    }
    assert_int_equal(erase_whole(&fixture, &erasure), 0);
    /* It takes events as a new one does: ids begin again. */
    fixture.is_numbered_anew = true;
    fixture_add_events(&fixture, 38, 450, 60, 6, 20);
    fixture_load(&fixture);
    check_all(&fixture);
    fixture_close(&fixture);
}

static void
test_erase__whole_project_but_what_came_since(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;

    (void)state;
    fixture_open_small(&fixture, 200, 200);
    fixture_add_events(&fixture, 37, 950, 60, 6, 20);
    erasure = erasure_of(&fixture, (struct selection){.kind = SELECTION_ALL});
    fixture_add_events(&fixture, 38, 30, 60, 6, 20);
    fixture_load(&fixture);
    erase_whole(&fixture, &erasure);
    check_reads(&fixture, "nobody");
    check_history(&fixture);
    check_stats(&fixture);
    assert_sound(&fixture);
    fixture_close(&fixture);
}

/* --- types ------------------------------------------------------------------------------------ */

static void
add_typed(struct fixture *fixture, const char *person, const char *type)
{
    char id[32];
    const struct event event = {
        .project_id = PROJECT,
        .event_id = (snprintf(id, sizeof(id), "%08x-", fixture->store.count), slice_of_text(id)),
        .event_type = slice_of_text(type),
        .user_id = slice_of_text(person),
        .occurred_at_us = DAY_ZERO_US + fixture->store.count,
        .received_at_us = DAY_ZERO_US + fixture->store.count};

    fake_store_add(&fixture->store, &event);
}

static bool
find_type(struct fixture *fixture, const char *name, uint32_t *ret_id)
{
    struct warehouse_view *view = NULL;
    bool is_found = false;

    assert_int_equal(warehouse_view_open(fixture->warehouse, PROJECT, NULL, 0, &view, NULL),
                     ERR_OK);
    is_found = warehouse_view_type_find(view, slice_of_text(name), ret_id);
    if (is_found)
        assert_true(slice_equal(warehouse_view_type_name(view, *ret_id), slice_of_text(name)));
    warehouse_view_close(&view);
    return is_found;
}

static void
test_erase__type_of_nobody_else_loses_its_name(void **state)
{
    struct fixture fixture;
    struct warehouse_erasure erasure;
    struct warehouse_view *view = NULL;
    uint32_t id = 0, again = 0;
    char dir[300];

    (void)state;
    fixture_open_small(&fixture, 10, 10);
    for (uint32_t i = 0; i < 10; i++)
        add_typed(&fixture, i % 2 == 0 ? "eve" : "bob", i % 2 == 0 ? "eve's secret" : "plain");
    add_typed(&fixture, "bob", "in tail only");
    fixture_load(&fixture);
    assert_true(find_type(&fixture, "eve's secret", &id));
    assert_int_equal(id, 0);
    erasure = erasure_of(&fixture, of_person("eve"));
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    {
        struct run run;

        erase_begin(&fixture, &erasure, &run);
        assert_false(erase_go(&fixture, &run, 20)); /* the view holds a file */
        assert_false(find_type(&fixture, "eve's secret", &id));
        assert_true(slice_equal(warehouse_view_type_name(view, 0), SLICE("eve's secret")));
        warehouse_view_close(&view);
        assert_true(erase_go(&fixture, &run, 40));
        warehouse_erase_close(&run.erase);
    }
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    assert_int_equal(warehouse_view_type_count(view), 3);
    assert_int_equal(warehouse_view_type_name(view, 0).len, 0);
    assert_false(warehouse_view_type_find(view, SLICE(""), &id));
    warehouse_view_close(&view);
    snprintf(dir, sizeof(dir), "%s/warehouse", fixture.dir);
    assert_int_equal(files_with(dir, "secret"), 0);
    check_all(&fixture);
    for (int i = 0; i < 2; i++) { /* as it is, and read back from its file */
        assert_false(find_type(&fixture, "eve's secret", &id));
        assert_true(find_type(&fixture, "plain", &id));
        assert_int_equal(id, 1);
        assert_true(find_type(&fixture, "in tail only", &id));
        assert_int_equal(id, 2);
        fixture_stop(&fixture, 3000);
        fixture_start(&fixture);
        fixture_load(&fixture);
    }
    add_typed(&fixture, "kim", "eve's secret");
    fixture_load(&fixture);
    assert_true(find_type(&fixture, "eve's secret", &again));
    assert_int_equal(again, 3);
    fixture_close(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_erase__person_wherever_its_rows_are),
        cmocka_unit_test(test_erase__person_named_beside_another),
        cmocka_unit_test(test_erase__what_comes_later_stays),
        cmocka_unit_test(test_erase__received_before_at_its_bounds),
        cmocka_unit_test(test_erase__everything_received),
        cmocka_unit_test(test_erase__occurred_within),
        cmocka_unit_test(test_erase__ids),
        cmocka_unit_test(test_erase__whole_project),
        cmocka_unit_test(test_erase__whole_project_but_what_came_since),
        cmocka_unit_test(test_erase__type_of_nobody_else_loses_its_name),
    };

    return cmocka_run_group_tests_name("erase/ledger", tests, fake_store_is_ledger, NULL) +
           cmocka_run_group_tests_name("erase/database", tests, fake_store_is_database, NULL);
}
