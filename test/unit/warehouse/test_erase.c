/*
 * test_erase - what the store has erased goes from tails and files; what stays equals the naive
 * reader's; a stop between any two steps loses nothing.
 */
#include "fixture.h"
#include "warehouse/inside.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct selection
of_person(const char *text)
{
    return (struct selection){.project_id = PROJECT,
                              .kind = SELECTION_PERSON,
                              .person = slice_of_text(text),
                              .seq_max = UINT64_MAX,
                              .received_max_us = INT64_MAX};
}

static struct warehouse_erasure
erasure_of(struct fixture *fixture, struct selection selection)
{
    return (struct warehouse_erasure){
        .selection = selection, .position = fake_store_told(&fixture->store, fixture->store.count)};
}

/* Steps of both threads until it is done, or so many were made. false: not done. */
static bool
run(struct fixture *fixture, const struct warehouse_erasure *erasure, uint32_t steps_max,
    uint64_t *ret_rows)
{
    struct warehouse_erase *job = NULL;
    struct warehouse_erasure_progress progress = {0};
    struct diag diag = DIAG_INIT;
    bool is_done = false;
    bool did_work = false;
    enum err err = warehouse_erase_open(fixture->warehouse, erasure, &job, &diag);

    for (uint32_t i = 0; err == ERR_OK && !is_done && i < steps_max; i++) {
        err = warehouse_load_step(fixture->warehouse, 0, &diag);
        if (err == ERR_OK)
            err = warehouse_erase_step(job, &did_work, &is_done, &progress, &diag);
    }
    warehouse_erase_close(&job);
    if (err != ERR_OK)
        fail_msg("%s %s", err_name(err), diag.message);
    if (ret_rows != NULL)
        *ret_rows = progress.rows;
    return is_done;
}

static bool
file_holds(const char *path, const char *text)
{
    struct buf buf;
    bool is_found = false;

    buf_init(&buf, (size_t)1 << 30);
    if (file_read_whole(path, (size_t)1 << 30, &buf, NULL) == ERR_OK)
        is_found = buf.len != 0 && memmem(buf.ptr, buf.len, text, strlen(text)) != NULL;
    buf_fini(&buf);
    return is_found;
}

/* In the names and the manifest: Parquet's pages are compressed, and read below. */
static bool
folder_holds(const struct fixture *fixture, const char *text)
{
    char path[FILE_PATH_MAX], name[FILE_PATH_MAX + 300];
    struct dirent *entry;
    DIR *dir;
    bool is_found = false;

    (void)snprintf(path, sizeof(path), "%s/warehouse/%d", fixture->dir, PROJECT);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        (void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        is_found = is_found || file_holds(name, text);
    }
    if (dir != NULL)
        closedir(dir);
    return is_found;
}

struct hunt {
    const struct selection *selection;
    uint32_t found;
    uint32_t rows;
};

static enum err
hunt_event(void *state, const struct event *event, uint64_t seq)
{
    struct hunt *hunt = state;
    struct event own = *event;

    own.project_id = PROJECT;
    hunt->found += selection_matches(hunt->selection, &own, seq);
    hunt->rows++;
    return ERR_OK;
}

/* Every format read back: all events of the project, whole. */
static uint32_t
rows_left(struct fixture *fixture, const struct selection *selection)
{
    struct warehouse_view *view = NULL;
    struct query_control control = {.deadline_steady_ns = INT64_MAX};
    struct hunt hunt = {.selection = selection};

    assert_int_equal(warehouse_view_open(fixture->warehouse, PROJECT, NULL, 0, &view, NULL),
                     ERR_OK);
    assert_int_equal(warehouse_after(view, 0, 1000000, &control, hunt_event, &hunt, NULL), ERR_OK);
    warehouse_view_close(&view);
    return hunt.found;
}

static void
test_erase__a_person_in_files_and_tail(void **state)
{
    struct fixture fixture;
    const struct selection selection = of_person("user-4");
    struct warehouse_erasure erasure;
    uint64_t rows = 0;
    uint32_t erased;

    (void)state;
    fixture_open_small(&fixture, 400, 200);
    fixture_add_events(&fixture, 1, 1900, 40, 4, 30);
    fixture_load(&fixture);
    fixture_add_events(&fixture, 2, 150, 40, 4, 30); /* in the tail, or not loaded yet */
    assert_true(rows_left(&fixture, &selection) > 0);
    erased = fake_store_erase(&fixture.store, &selection);
    assert_true(erased > 20);
    erasure = erasure_of(&fixture, selection);
    assert_true(run(&fixture, &erasure, 1000, &rows));
    assert_true(rows <= erased && rows > 0); /* the rest was not loaded before the store lost it */
    assert_int_equal(rows_left(&fixture, &selection), 0);
    fixture_load(&fixture);
    fixture_check(&fixture);
    assert_true(run(&fixture, &erasure, 1000, &rows)); /* once more */
    assert_int_equal(rows, 0);
    assert_int_equal(fixture_parquet_on_disk(&fixture), fixture_file_count(&fixture) * 2);
    fixture_stop(&fixture, 3000);
    fixture_start(&fixture);
    fixture_load(&fixture);
    fixture_check(&fixture);
    assert_int_equal(fixture.warnings, 0);
    fixture_close(&fixture);
}

static void
test_erase__from_merged_files_and_beside_merges(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open_small(&fixture, 100, 100);
    fixture.warehouse->merge_rows_max = 700;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        char name[16];
        struct selection selection;
        struct warehouse_erasure erasure;

        fixture_add_events(&fixture, seed, 900, 60, 5, 100);
        fixture_load(&fixture);
        if (seed % 2 == 0)
            fixture_keep(&fixture);
        (void)snprintf(name, sizeof(name), "user-%d", (int)seed * 3);
        selection = of_person(name);
        assert_true(fake_store_erase(&fixture.store, &selection) > 0);
        erasure = erasure_of(&fixture, selection);
        assert_true(run(&fixture, &erasure, 1000, NULL));
        assert_int_equal(rows_left(&fixture, &selection), 0);
        fixture_keep(&fixture);
        fixture_check(&fixture);
    }
    fixture_close(&fixture);
}

static void
test_erase__by_time_ids_and_bound(void **state)
{
    struct fixture fixture;
    struct slice ids[3];
    struct selection selections[4] = {
        {.kind = SELECTION_RECEIVED, .from_us = 0, .to_us = DAY_ZERO_US + 800 * 1000},
        {.kind = SELECTION_OCCURRED,
         .from_us = DAY_ZERO_US - 20 * US_PER_DAY,
         .to_us = DAY_ZERO_US - 10 * US_PER_DAY},
        {.kind = SELECTION_IDS, .ids = ids},
        {.kind = SELECTION_PERSON, .person = SLICE("user-1"), .seq_max = 700},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(selections); i++) {
        struct selection *selection = &selections[i];
        struct warehouse_erasure erasure;
        uint64_t rows = 0;
        uint32_t erased;

        fixture_open_small(&fixture, 300, 300);
        fixture_add_events(&fixture, i + 3, 2000, 50, 4, 40);
        fixture_load(&fixture);
        selection->project_id = PROJECT;
        selection->received_max_us = INT64_MAX;
        if (selection->seq_max == 0)
            selection->seq_max = UINT64_MAX;
        for (size_t k = 0; k < 3; k++)
            ids[k] = fixture.store.rows[k * 900].event.event_id;
        if (selection->kind == SELECTION_IDS)
            selection->id_count = selection_sort_ids(ids, 3);
        erased = fake_store_erase(&fixture.store, selection);
        assert_true(erased > 0);
        erasure = erasure_of(&fixture, *selection);
        assert_true(run(&fixture, &erasure, 1000, &rows));
        assert_int_equal(rows, erased);
        fixture_check(&fixture);
        fixture_stop(&fixture, 0);
        fixture_start(&fixture);
        fixture_load(&fixture);
        fixture_check(&fixture);
        fixture_close(&fixture);
    }
}

/* History begins later, and first-ever moves forward. */
static void
test_erase__retention_moves_history(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;
    struct selection selection = {.project_id = PROJECT,
                                  .kind = SELECTION_RECEIVED,
                                  .to_us = DAY_ZERO_US + 1000 * 1000,
                                  .seq_max = UINT64_MAX,
                                  .received_max_us = INT64_MAX};
    struct warehouse_erasure erasure;

    (void)state;
    fixture_open_small(&fixture, 300, 300);
    fixture_add_events(&fixture, 3, 2000, 50, 4, 40);
    fixture_load(&fixture);
    assert_int_equal(fake_store_erase(&fixture.store, &selection), 1000);
    erasure = erasure_of(&fixture, selection);
    assert_true(run(&fixture, &erasure, 1000, NULL));
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    assert_int_equal(warehouse_view_history_from_us(view), DAY_ZERO_US + 1000 * 1000);
    warehouse_view_close(&view);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

static void
test_erase__a_whole_project(void **state)
{
    struct fixture fixture;
    struct selection selection = {.project_id = PROJECT,
                                  .kind = SELECTION_ALL,
                                  .seq_max = UINT64_MAX,
                                  .received_max_us = INT64_MAX};
    struct warehouse_erasure erasure;
    struct warehouse_stats stats;

    (void)state;
    fixture_open_small(&fixture, 300, 300);
    fixture_add_events(&fixture, 3, 2000, 50, 4, 40);
    fixture_load(&fixture);
    assert_int_equal(fake_store_erase(&fixture.store, &selection), 2000);
    erasure = erasure_of(&fixture, selection);
    assert_true(run(&fixture, &erasure, 1000, NULL));
    assert_int_equal(rows_left(&fixture, &selection), 0);
    assert_int_equal(fixture_parquet_on_disk(&fixture), 0);
    assert_false(folder_holds(&fixture, "type number"));
    warehouse_stats(fixture.warehouse, &stats);
    assert_int_equal(stats.rows, 0);
    fixture_stop(&fixture, 3000);
    fixture.store.is_renumbered = true;
    fixture_start(&fixture);
    fixture_load(&fixture);
    assert_int_equal(rows_left(&fixture, &selection), 0);
    fixture_close(&fixture);
}

/* A view that is open goes on as it was; the erasure is done when it has closed. */
static void
test_erase__waits_for_views(void **state)
{
    struct fixture fixture;
    const struct selection selection = of_person("user-4");
    struct warehouse_erasure erasure;
    struct warehouse_view *view = NULL;
    struct query_control control = {.deadline_steady_ns = INT64_MAX};
    struct hunt hunt = {.selection = &selection};

    (void)state;
    fixture_open_small(&fixture, 400, 200);
    fixture_add_events(&fixture, 1, 2000, 40, 4, 30);
    fixture_load(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    (void)fake_store_erase(&fixture.store, &selection);
    erasure = erasure_of(&fixture, selection);
    assert_false(run(&fixture, &erasure, 200, NULL));
    assert_int_equal(warehouse_after(view, 0, 1000000, &control, hunt_event, &hunt, NULL), ERR_OK);
    assert_true(hunt.found > 0);
    assert_int_equal(rows_left(&fixture, &selection), 0);
    warehouse_view_close(&view);
    assert_true(run(&fixture, &erasure, 200, NULL));
    assert_int_equal(fixture_parquet_on_disk(&fixture), fixture_file_count(&fixture) * 2);
    fixture_close(&fixture);
}

static void
test_erase__begun_again_after_each_step(void **state)
{
    const struct selection selection = of_person("user-4");
    bool is_done = false;

    (void)state;
    for (uint32_t steps = 0; !is_done; steps++) {
        struct fixture fixture;
        struct warehouse_erasure erasure;

        fixture_open_small(&fixture, 400, 200);
        fixture_add_events(&fixture, 1, 1900, 40, 4, 30);
        fixture_load(&fixture);
        (void)fake_store_erase(&fixture.store, &selection);
        erasure = erasure_of(&fixture, selection);
        is_done = run(&fixture, &erasure, steps, NULL);
        fixture_stop(&fixture, 0); /* nothing more is sealed: as after a kill */
        fixture_start(&fixture);
        assert_true(run(&fixture, &erasure, 1000, NULL));
        assert_int_equal(rows_left(&fixture, &selection), 0);
        fixture_load(&fixture);
        fixture.store.is_renumbered = false;
        fixture_close(&fixture);
        assert_true(steps < 100);
    }
}

/* A type that only the person had does not stay by name. */
static void
test_erase__a_type_of_the_person_alone_is_forgotten(void **state)
{
    struct fixture fixture;
    const struct selection selection = of_person("the one");
    struct event event = {.project_id = PROJECT,
                          .event_id = SLICE("only-1"),
                          .event_type = SLICE("a telling name"),
                          .user_id = SLICE("the one"),
                          .occurred_at_us = DAY_ZERO_US,
                          .received_at_us = DAY_ZERO_US};
    struct warehouse_erasure erasure;

    (void)state;
    fixture_open_small(&fixture, 400, 200);
    fixture_add_events(&fixture, 1, 500, 40, 4, 30);
    fake_store_add(&fixture.store, &event);
    fixture_add_events(&fixture, 2, 700, 40, 4, 30);
    fixture_load(&fixture);
    assert_true(folder_holds(&fixture, "a telling name"));
    assert_int_equal(fake_store_erase(&fixture.store, &selection), 1);
    erasure = erasure_of(&fixture, selection);
    assert_true(run(&fixture, &erasure, 2000, NULL));
    fixture_load(&fixture);
    assert_false(folder_holds(&fixture, "a telling name"));
    fixture.store.is_renumbered = true;
    fixture_check(&fixture);
    fixture_close(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_erase__a_person_in_files_and_tail),
        cmocka_unit_test(test_erase__from_merged_files_and_beside_merges),
        cmocka_unit_test(test_erase__by_time_ids_and_bound),
        cmocka_unit_test(test_erase__retention_moves_history),
        cmocka_unit_test(test_erase__a_whole_project),
        cmocka_unit_test(test_erase__waits_for_views),
        cmocka_unit_test(test_erase__begun_again_after_each_step),
        cmocka_unit_test(test_erase__a_type_of_the_person_alone_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
