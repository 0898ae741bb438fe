/*
 * erase_kit - see erase_kit.h.
 */
#include "erase_kit.h"
#include "base/file.h"
#include "warehouse/inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of what is durable now; the store erases it. */
struct warehouse_erasure
erasure_of(struct fixture *fixture, struct selection selection)
{
    selection.project_id = PROJECT;
    selection.seq_max = fixture->store.kind == FAKE_LEDGER ? fixture->store.visible : UINT64_MAX;
    selection.received_max_us =
        fixture->store.rows[fixture->store.visible - 1].event.received_at_us;
    fake_store_erase(&fixture->store, &selection);
    return (struct warehouse_erasure){.selection = selection,
                                      .position = store_durable(&fixture->store.store)};
}

void
erase_begin(struct fixture *fixture, const struct warehouse_erasure *erasure, struct run *ret_run)
{
    *ret_run = (struct run){0};
    assert_int_equal(warehouse_erase_open(fixture->warehouse, erasure, &ret_run->erase, NULL),
                     ERR_OK);
}

/* false: it waits, also after the loader's step. */
bool
erase_step(struct fixture *fixture, struct run *run)
{
    struct diag diag = DIAG_INIT;
    bool did_work = false;
    const enum err err =
        warehouse_erase_step(run->erase, &did_work, &run->is_done, &run->progress, &diag);

    if (err != ERR_OK)
        print_error("erase: %s %s\n", err_name(err), diag.message);
    assert_int_equal(err, ERR_OK);
    assert_false(did_work && run->is_done);
    run->steps++;
    if (did_work || run->is_done)
        return true;
    assert_int_equal(warehouse_load_step(fixture->warehouse, 0, &diag), ERR_OK);
    return false;
}

/* At most so many steps; whether it was done by then. */
bool
erase_go(struct fixture *fixture, struct run *run, uint32_t steps_max)
{
    while (!run->is_done && run->steps < steps_max)
        erase_step(fixture, run);
    return run->is_done;
}

uint64_t
erase_whole(struct fixture *fixture, const struct warehouse_erasure *erasure)
{
    struct run run;
    uint64_t rows = 0;

    erase_begin(fixture, erasure, &run);
    if (!erase_go(fixture, &run, 1000))
        fail_msg("the erasure is not done");
    assert_int_equal(run.progress.done, run.progress.total);
    rows = run.progress.rows;
    warehouse_erase_close(&run.erase);
    return rows;
}

/* --- what stands on disk ---------------------------------------------------------------------- */

static void
found(void *state, bool is_error, const char *file, const char *what)
{
    if (is_error) {
        print_error("%s: %s\n", file, what);
        (*(uint32_t *)state)++;
    }
}

void
assert_sound(struct fixture *fixture)
{
    char tmp[FILE_PATH_MAX];
    uint32_t errors = 0;

    assert_int_equal(warehouse_doctor(fixture->dir, found, &errors, NULL), ERR_OK);
    assert_int_equal(errors, 0);
    assert_true(file_path(tmp, fixture->dir, "warehouse/tmp"));
    if (file_exists(tmp)) {
        struct file_list list;

        assert_int_equal(file_list_dir(tmp, &list, NULL), ERR_OK);
        assert_int_equal(list.count, 0);
        file_list_free(&list);
    }
}

/* Files of the folder, and of those in it, with these bytes in them. */
uint32_t
files_with(const char *dir, const char *text)
{
    struct file_list list;
    uint32_t count = 0;

    if (file_list_dir(dir, &list, NULL) != ERR_OK)
        return 0;
    for (size_t i = 0; i < list.count; i++) {
        char path[FILE_PATH_MAX];
        struct file_list inner = {0};
        struct buf buf;

        assert_true(file_path(path, dir, list.names[i]));
        if (file_list_dir(path, &inner, NULL) == ERR_OK) {
            file_list_free(&inner);
            count += files_with(path, text);
            continue;
        }
        buf_init(&buf, SIZE_MAX);
        assert_int_equal(file_read_whole(path, SIZE_MAX, &buf, NULL), ERR_OK);
        count += buf.len != 0 && memmem(buf.ptr, buf.len, text, strlen(text)) != NULL;
        buf_fini(&buf);
    }
    file_list_free(&list);
    return count;
}

/* Rows of all Parquet files of the folder that a condition holds for, read back by DuckDB. */
uint64_t
rows_where(struct fixture *fixture, const char *condition)
{
    struct engine_stream *stream = NULL;
    struct engine_chunk chunk;
    char sql[1024];
    uint64_t count = 0;

    if (fixture_file_count(fixture) == 0)
        return 0;
    snprintf(sql, sizeof(sql),
             "SELECT count(*)::UBIGINT FROM read_parquet('%s/warehouse/7/*0.parquet') WHERE %s",
             fixture->dir, condition);
    /* "*<digit>.parquet" for each digit leaves the minima out */
    for (char digit = '0'; digit <= '9'; digit++) {
        strstr(sql, ".parquet'")[-1] = digit;
        if (engine_stream_open(fixture->warehouse->engine, NULL, sql, &stream, NULL) != ERR_OK)
            continue; /* no such file */
        assert_int_equal(engine_stream_next(stream, &chunk, NULL), ERR_OK);
        count += ((const uint64_t *)chunk.columns[0])[0];
        engine_stream_close(&stream);
    }
    return count;
}

void
assert_nothing_of(struct fixture *fixture, const char *person)
{
    char warehouse[300], condition[300];

    snprintf(warehouse, sizeof(warehouse), "%s/warehouse", fixture->dir);
    snprintf(condition, sizeof(condition), "user_id = '%s' OR anonymous_id = '%s'", person, person);
    assert_int_equal(rows_where(fixture, condition), 0);
    assert_int_equal(files_with(warehouse, person), 0);
    snprintf(warehouse, sizeof(warehouse), "%s/warehouse/7", fixture->dir);
    if (file_exists(warehouse))
        assert_int_equal(fixture_parquet_on_disk(fixture), fixture_file_count(fixture) * 2);
}

/* --- what is read ----------------------------------------------------------------------------- */

struct list {
    uint64_t ids[4000]; /* of event ids: their first 8 digits, the place in the store */
    uint32_t count;
};

static enum err
list_add(void *state, const struct event *event, uint64_t seq)
{
    struct list *list = state;
    char digits[9] = "";

    (void)seq;
    assert_true(list->count < COUNT_OF(list->ids));
    memcpy(digits, event->event_id.ptr, 8);
    list->ids[list->count++] = strtoul(digits, NULL, 16);
    return ERR_OK;
}

/* Newest first, oldest first, and the person's timeline, against the store's rows that stay. */
void
check_reads(struct fixture *fixture, const char *person)
{
    struct query_control control = {.deadline_steady_ns = INT64_MAX};
    struct warehouse_view *view = NULL;
    static struct list newest, after, timeline;
    uint32_t kept = 0;

    newest.count = after.count = timeline.count = 0;
    assert_int_equal(warehouse_view_open(fixture->warehouse, PROJECT, NULL, 0, &view, NULL),
                     ERR_OK);
    assert_int_equal(warehouse_newest(view, 4000, &control, list_add, &newest, NULL), ERR_OK);
    assert_int_equal(warehouse_after(view, 0, 4000, &control, list_add, &after, NULL), ERR_OK);
    assert_int_equal(warehouse_person_events(view, slice_of_text(person), INT64_MAX, 0, 4000,
                                             &control, list_add, &timeline, NULL),
                     ERR_OK);
    for (uint32_t i = 0; i < fixture->store.visible; i++)
        kept += fake_store_is_erased(&fixture->store, i) ? 0 : 1;
    assert_int_equal(newest.count, kept);
    assert_int_equal(after.count, kept);
    assert_int_equal(timeline.count, 0);
    for (uint32_t i = 0, at = 0; i < fixture->store.visible; i++) {
        if (fake_store_is_erased(&fixture->store, i))
            continue;
        assert_int_equal(after.ids[at], i);
        assert_int_equal(newest.ids[kept - 1 - at], i);
        at++;
    }
    warehouse_view_close(&view);
}

/* The earliest received_at that stays. */
void
check_history(struct fixture *fixture)
{
    struct warehouse_view *view = NULL;
    int64_t earliest = 0;

    for (uint32_t i = fixture->store.visible; i-- > 0;) {
        const int64_t time = fixture->store.rows[i].event.received_at_us;

        if (!fake_store_is_erased(&fixture->store, i) && (earliest == 0 || time < earliest))
            earliest = time;
    }
    assert_int_equal(warehouse_view_open(fixture->warehouse, PROJECT, NULL, 0, &view, NULL),
                     ERR_OK);
    assert_int_equal(warehouse_view_history_from_us(view), earliest);
    warehouse_view_close(&view);
}

void
check_stats(struct fixture *fixture)
{
    struct warehouse_stats stats;

    warehouse_stats(fixture->warehouse, &stats);
    assert_int_equal(stats.rows, fixture->store.visible - fixture->store.erased_count);
}

void
check_all(struct fixture *fixture)
{
    fixture_check(fixture);
    check_history(fixture);
    check_stats(fixture);
    assert_sound(fixture);
    fixture_stop(fixture, 0);
    fixture_start(fixture);
    fixture_load(fixture);
    fixture_check(fixture);
    check_history(fixture);
    check_stats(fixture);
    assert_int_equal(fixture->warnings, 0);
}

struct selection
of_person(const char *person)
{
    return (struct selection){.kind = SELECTION_PERSON, .person = slice_of_text(person)};
}

void
erase_fill(struct fixture *fixture, enum where where)
{
    fixture_open_small(fixture, where == IN_TAIL ? 5000 : 200, 200);
    if (where == IN_MERGED) {
        fixture->warehouse->merge_rows_max = 700;
        fixture_add_events(fixture, 31, 1700, 60, 6, 100);
        fixture_load(fixture);
        fixture_keep(fixture);
    } else {
        fixture_add_events(fixture, 31, where == IN_BOTH ? 900 : 800, 60, 6, 20);
        fixture_load(fixture);
    }
}
