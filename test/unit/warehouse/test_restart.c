/*
 * test_restart - what a start makes of what it finds: trust, skip, discard, rebuild, refuse.
 */
#include "base/file.h"
#include "codec/crc32c.h"
#include "fixture.h"
#include "warehouse/inside.h"
#include <stdio.h>
#include <string.h>

static void
path_of(const struct fixture *fixture, const char *name, char ret_path[FILE_PATH_MAX])
{
    snprintf(ret_path, FILE_PATH_MAX, "%s/warehouse/%s", fixture->dir, name);
}

static void
remove_in(const struct fixture *fixture, const char *name)
{
    char path[FILE_PATH_MAX];

    path_of(fixture, name, path);
    assert_int_equal(file_remove_tree(path, NULL), ERR_OK);
}

/* Three files sealed, 50 rows in the tail, which a clean stop would seal. */
static void
open_filled(struct fixture *fixture)
{
    fixture_open_small(fixture, 100, 100);
    fixture_add_events(fixture, 21, 350, 60, 5, 30);
    fixture_load(fixture);
}

static void
restart_and_check(struct fixture *fixture)
{
    struct warehouse_view *view = NULL;

    fixture_start(fixture);
    fixture_load(fixture);
    /* The project is opened now at the latest: what is found then is loaded next. */
    assert_int_equal(warehouse_view_open(fixture->warehouse, PROJECT, NULL, 0, &view, NULL),
                     ERR_OK);
    warehouse_view_close(&view);
    fixture_load(fixture);
    fixture_check(fixture);
    assert_int_equal(fixture_parquet_on_disk(fixture), fixture_file_count(fixture) * 2);
}

static void
test_restart__reads_only_what_is_not_sealed(void **state)
{
    struct fixture fixture;

    (void)state;
    open_filled(&fixture);
    fixture_stop(&fixture, 0);
    fixture.store.rows_read = 0;
    restart_and_check(&fixture);
    assert_int_equal(fixture.store.rows_read, 50);
    fixture_stop(&fixture, 3000); /* a clean stop seals the rest */
    fixture.store.rows_read = 0;
    restart_and_check(&fixture);
    assert_int_equal(fixture.store.rows_read, 0);
    assert_int_equal(fixture_file_count(&fixture), 4);
    assert_int_equal(fixture.warnings, 0);
    fixture_close(&fixture);
}

/* What a killed process spilt to sort: rows, perhaps of somebody who is erased since. */
static void
test_restart__what_was_spilt_is_removed(void **state)
{
    struct fixture fixture;
    char path[FILE_PATH_MAX];

    (void)state;
    open_filled(&fixture);
    fixture_stop(&fixture, 0);
    path_of(&fixture, "tmp", path);
    assert_int_equal(file_make_dir(path, NULL), ERR_OK);
    path_of(&fixture, "tmp/duckdb_temp_storage-0.tmp", path);
    assert_int_equal(file_replace_whole(path, SLICE("somebody"), NULL), ERR_OK);
    restart_and_check(&fixture);
    assert_false(file_exists(path));
    fixture_close(&fixture);
}

static void
test_restart__another_project_holds_the_checkpoint_back(void **state)
{
    struct fixture fixture;
    struct event event = {.project_id = PROJECT + 1,
                          .event_id = SLICE("other"),
                          .event_type = SLICE("t"),
                          .user_id = SLICE("u"),
                          .occurred_at_us = DAY_ZERO_US};

    (void)state;
    fixture_open_small(&fixture, 100, 100);
    fake_store_add(&fixture.store, &event); /* one row that stays in its tail */
    fixture_add_events(&fixture, 21, 349, 60, 5, 30);
    fixture_load(&fixture);
    fixture_stop(&fixture, 0);
    fixture.store.rows_read = 0;
    restart_and_check(&fixture); /* rows of PROJECT that are sealed are skipped */
    assert_int_equal(fixture.store.rows_read, 350);
    fixture_close(&fixture);
}

/* The one file in the project's folder that begins so, if the name ends with its number's dot. */
static void
full_name(const struct fixture *fixture, const char *name, char ret_name[64])
{
    CLEANUP(file_list_free) struct file_list list = {0};
    char path[FILE_PATH_MAX];
    const size_t len = strlen(name);

    snprintf(ret_name, 64, "%s", name);
    if (name[len - 1] != '.')
        return;
    path_of(fixture, "7", path);
    assert_int_equal(file_list_dir(path, &list, NULL), ERR_OK);
    for (size_t i = 0; i < list.count; i++) {
        if (strncmp(list.names[i], name + 2, len - 2) == 0)
            snprintf(ret_name, 64, "7/%s", list.names[i]);
    }
}

static void
test_restart__whatever_is_missing_is_rebuilt(void **state)
{
    static const char *const names[] = {
        "7/manifest.json",
        "7/persons-0",
        "7/0000000003.parquet",
        "7/types.1",
        "7/0000000003.first.parquet",
        "7/learnt.", /* whatever its number */
        "7",
        "checkpoint.json",
        "secret",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct fixture fixture;
        char path[FILE_PATH_MAX], name[64];

        open_filled(&fixture);
        fixture_stop(&fixture, i % 2 == 0 ? 3000 : 0);
        full_name(&fixture, names[i], name);
        path_of(&fixture, name, path);
        if (!file_exists(path))
            fail_msg("%s is not there to be removed", name);
        remove_in(&fixture, name);
        restart_and_check(&fixture);
        restart_and_check((fixture_stop(&fixture, 0), &fixture));
        fixture_close(&fixture);
    }
}

static void
test_restart__another_ledger_is_loaded_anew(void **state)
{
    struct fixture fixture;

    (void)state;
    open_filled(&fixture);
    fixture_stop(&fixture, 3000);
    if (fixture.store.kind == FAKE_LEDGER)
        fixture.store.generation++;
    else
        fake_store_restore(&fixture.store, fixture.store.count);
    fixture.store.rows_read = 0;
    restart_and_check(&fixture);
    assert_true(fixture.store.rows_read >= 350);
    fixture_close(&fixture);
}

static void
test_restart__a_store_that_holds_less(void **state)
{
    struct fixture fixture;

    (void)state;
    open_filled(&fixture);
    fixture_stop(&fixture, 3000);
    fixture.store.visible = 220; /* put back from an older copy */
    restart_and_check(&fixture);
    fixture_close(&fixture);
}

static void
test_restart__an_older_manifest_is_noticed(void **state)
{
    struct fixture fixture;
    char manifest[FILE_PATH_MAX], copy[FILE_PATH_MAX];

    (void)state;
    open_filled(&fixture);
    path_of(&fixture, "7/manifest.json", manifest);
    path_of(&fixture, "copy", copy);
    copy_tree(manifest, copy);
    fixture_add_events(&fixture, 22, 300, 60, 5, 30);
    fixture_load(&fixture);
    fixture_stop(&fixture, 3000);
    assert_int_equal(file_rename(copy, manifest, NULL), ERR_OK);
    restart_and_check(&fixture);
    assert_true(fixture.warnings > 0);
    fixture_close(&fixture);
}

static void
test_restart__a_newer_format_is_refused(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;
    struct diag diag = DIAG_INIT;
    struct manifest manifest = {.project_id = PROJECT, .generation = 0x1234};
    char path[FILE_PATH_MAX], *format = NULL;
    struct buf buf;

    (void)state;
    open_filled(&fixture);
    fixture_stop(&fixture, 3000);
    buf_init(&buf, 1 << 20);
    manifest_write(&manifest, &buf);
    format = strstr(buf.ptr, "\"format\":1");
    assert_non_null(format);
    format[9] = '9';
    buf.len -= strlen("\n\"crc32c\":\"01234567\"}\n");
    const uint32_t checksum = crc32c(0, buf.ptr, buf.len);
    buf_printf(&buf, "\n\"crc32c\":\"%08x\"}\n", checksum);
    path_of(&fixture, "7/manifest.json", path);
    assert_int_equal(file_replace_whole(path, buf_slice(&buf), NULL), ERR_OK);
    buf_fini(&buf);
    fixture_start(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, &diag),
                     ERR_TOO_NEW);
    assert_non_null(strstr(diag.message, "newer"));
    fixture_close(&fixture);
}

static void
test_restart__discard_starts_over(void **state)
{
    struct fixture fixture;

    (void)state;
    open_filled(&fixture);
    fixture_stop(&fixture, 3000);
    assert_int_equal(warehouse_discard(fixture.dir, NULL), ERR_OK);
    assert_int_equal(warehouse_discard(fixture.dir, NULL), ERR_OK);
    fixture.store.rows_read = 0;
    restart_and_check(&fixture);
    assert_int_equal(fixture.store.rows_read, 350);
    fixture_close(&fixture);
}

static void
test_restart__an_idle_tail_is_sealed(void **state)
{
    struct fixture fixture;
    struct warehouse_stats stats;

    (void)state;
    fixture_open(&fixture);
    fixture_add_events(&fixture, 1, 10, 5, 2, 2);
    fixture_load(&fixture);
    fixture_check(&fixture); /* it is read: sealed after 5 minutes, not an hour */
    for (unsigned i = 0; i < 2; i++) {
        warehouse_stats(fixture.warehouse, &stats);
        assert_int_equal(stats.files, 0);
        clock_fake_move(&fixture.clock, i == 0 ? 299 * US_PER_S : US_PER_S);
        assert_int_equal(warehouse_load_step(fixture.warehouse, 0, NULL), ERR_OK);
    }
    warehouse_stats(fixture.warehouse, &stats);
    assert_int_equal(stats.files, 1);
    assert_int_equal(stats.tail_rows, 0);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

static void
test_restart__tails_over_their_cap_are_sealed(void **state)
{
    struct fixture fixture;
    struct warehouse_stats stats;

    (void)state;
    fixture_open(&fixture);
    fixture_stop(&fixture, 0);
    fixture.config.tail_bytes_max = 100000;
    fixture.store.page_rows_max = 100;
    fixture_start(&fixture);
    fixture_add_events(&fixture, 1, 2000, 50, 3, 9);
    fixture_load(&fixture);
    warehouse_stats(fixture.warehouse, &stats);
    assert_true(stats.files > 1);
    assert_true(stats.tail_bytes <= 100000);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restart__reads_only_what_is_not_sealed),
        cmocka_unit_test(test_restart__what_was_spilt_is_removed),
        cmocka_unit_test(test_restart__another_project_holds_the_checkpoint_back),
        cmocka_unit_test(test_restart__whatever_is_missing_is_rebuilt),
        cmocka_unit_test(test_restart__another_ledger_is_loaded_anew),
        cmocka_unit_test(test_restart__a_store_that_holds_less),
        cmocka_unit_test(test_restart__an_older_manifest_is_noticed),
        cmocka_unit_test(test_restart__a_newer_format_is_refused),
        cmocka_unit_test(test_restart__discard_starts_over),
        cmocka_unit_test(test_restart__an_idle_tail_is_sealed),
        cmocka_unit_test(test_restart__tails_over_their_cap_are_sealed),
    };

    return cmocka_run_group_tests_name("restart/ledger", tests, fake_store_is_ledger, NULL) +
           cmocka_run_group_tests_name("restart/database", tests, fake_store_is_database, NULL);
}
