/*
 * fixture - see fixture.h.
 *
 * The naive reader numbers persons by the order of first appearance in the store, sorts all rows by
 * (person, time, seq) with qsort, and filters by loops: no code is shared with the warehouse.
 */
#include "fixture.h"
#include "base/file.h"
#include "warehouse/inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the warehouse on it ---------------------------------------------------------------------- */

static void
sink_count(void *state, enum log_level level, const char *event, const struct log_field *fields,
           size_t count)
{
    struct fixture *fixture = state;

    (void)event;
    (void)fields;
    (void)count;
    if (level >= LOG_LEVEL_WARN)
        fixture->warnings++;
    if (getenv("TEST_LOUD") != NULL)
        log_write(level, event, fields, count);
}

static struct log_sink sink = {sink_count, NULL};

void
fixture_start(struct fixture *fixture)
{
    struct diag diag = DIAG_INIT;
    const enum err err = warehouse_open(&fixture->config, &fixture->warehouse, &diag);

    if (err != ERR_OK)
        print_error("%s\n", diag.message);
    assert_int_equal(err, ERR_OK);
    if (fixture->behind_factor != 0)
        fixture->warehouse->behind_factor = fixture->behind_factor;
}

void
fixture_stop(struct fixture *fixture, int64_t seal_ms_max)
{
    warehouse_close(&fixture->warehouse, seal_ms_max);
}

void
fixture_open(struct fixture *fixture)
{
    const char *base = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";

    *fixture = (struct fixture){.behind_factor = 1};
    snprintf(fixture->dir, sizeof(fixture->dir), "%s/potik-warehouse-XXXXXX", base);
    assert_non_null(mkdtemp(fixture->dir));
    fake_store_init(&fixture->store);
    clock_fake_init(&fixture->clock, DAY_ZERO_US);
    sink.state = fixture;
    fixture->config = (struct warehouse_config){
        .data_dir = fixture->dir,
        .store = &fixture->store.store,
        .query_threads = 2,
        .memory_limit_bytes = UINT64_C(512) << 20,
        .seal_rows = 500000,
        .seal_bytes = UINT64_C(128) << 20,
        .tail_bytes_max = UINT64_C(512) << 20,
        .seal_idle_ms = 300000,
        .clock = &fixture->clock.clock,
        .sink = &sink,
    };
    fixture_start(fixture);
}

void
fixture_open_small(struct fixture *fixture, uint32_t seal_rows, uint32_t page_rows)
{
    fixture_open(fixture);
    fixture_stop(fixture, 0);
    fixture->config.seal_rows = seal_rows;
    fixture->store.page_rows_max = page_rows;
    fixture_start(fixture);
}

void
fixture_keep(struct fixture *fixture)
{
    bool did_work = true;

    for (uint32_t i = 0; did_work && i < 1000; i++) {
        struct diag diag = DIAG_INIT;
        const enum err err = warehouse_keep_step(fixture->warehouse, &did_work, &diag);

        if (err != ERR_OK)
            print_error("keep: %s %s\n", err_name(err), diag.message);
        assert_int_equal(err, ERR_OK);
    }
    assert_false(did_work);
}

uint64_t
fixture_file_count(struct fixture *fixture)
{
    struct warehouse_stats stats;

    warehouse_stats(fixture->warehouse, &stats);
    return stats.files;
}

uint64_t
fixture_parquet_on_disk(const struct fixture *fixture)
{
    struct file_list list;
    char dir[FILE_PATH_MAX];
    uint64_t count = 0;

    assert_true(file_path(dir, fixture->dir, "warehouse/7"));
    assert_int_equal(file_list_dir(dir, &list, NULL), ERR_OK);
    for (size_t i = 0; i < list.count; i++)
        count += strstr(list.names[i], ".parquet") != NULL;
    file_list_free(&list);
    return count;
}

void
copy_tree(const char *from, const char *to)
{
    const pid_t child = fork();
    int status = 0;

    if (child == 0) {
        execlp("cp", "cp", "-a", from, to, (char *)NULL);
        _exit(127);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_int_equal(status, 0);
}

void
fixture_close(struct fixture *fixture)
{
    if (fixture->warehouse != NULL)
        warehouse_close(&fixture->warehouse, 0);
    fake_store_fini(&fixture->store);
    assert_int_equal(file_remove_tree(fixture->dir, NULL), ERR_OK);
}

void
fixture_load(struct fixture *fixture)
{
    struct warehouse_stats stats;

    for (uint32_t i = 0; i < 100000; i++) {
        struct diag diag = DIAG_INIT;
        const enum err err = warehouse_load_step(fixture->warehouse, 0, &diag);

        if (err != ERR_OK)
            print_error("load: %s %s\n", err_name(err), diag.message);
        assert_int_equal(err, ERR_OK);
        warehouse_stats(fixture->warehouse, &stats);
        if (stats.rows >= fake_store_readable(&fixture->store) - fixture->store.erased_count &&
            (fixture->store.held != 0 ||
             position_reached(store_durable(&fixture->store.store), stats.loaded)))
            return;
    }
    fail_msg("not loaded: %llu rows of %u", (unsigned long long)stats.rows, fixture->store.visible);
}

void
fixture_add_events(struct fixture *fixture, uint64_t seed, uint32_t count, uint32_t persons,
                   uint32_t types, uint32_t days)
{
    struct random_source random;

    random_seeded_init(&random, seed);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t skew = random_below(&random, persons) + 1;
        const uint64_t person = random_below(&random, skew);
        const uint64_t type = random_below(&random, random_below(&random, types) + 1);
        char id[64], user[64], name[64], properties[200], session[64];
        struct event event = {.project_id = PROJECT};

        snprintf(id, sizeof(id), "%08x-%016llx", fixture->store.count,
                 (unsigned long long)random_u64(&random));
        snprintf(user, sizeof(user), "user-%llu", (unsigned long long)person);
        snprintf(name, sizeof(name), "type number %llu", (unsigned long long)type);
        snprintf(session, sizeof(session), "session-of-some-length-%u", i / 10);
        snprintf(properties, sizeof(properties), "{\"n\":%u,\"text\":\"%016llx%016llx\"}", i,
                 (unsigned long long)random_u64(&random), (unsigned long long)random_u64(&random));
        event.event_id = slice_of_text(id);
        event.event_type = slice_of_text(name);
        if (person % 3 != 0)
            event.user_id = slice_of_text(user);
        if (person % 3 != 1)
            event.anonymous_id = slice_of_text(user);
        if (i % 4 == 0)
            event.session_id = slice_of_text(session);
        if (i % 5 != 0)
            event.properties = slice_of_text(properties);
        /* few distinct times, so that ties are common */
        event.occurred_at_us =
            DAY_ZERO_US - (int64_t)random_below(&random, (uint64_t)days * 1440) * 60 * US_PER_S;
        event.received_at_us = DAY_ZERO_US + (int64_t)fixture->store.count * 1000;
        fake_store_add(&fixture->store, &event);
    }
}

/* --- what a scan gave ------------------------------------------------------------------------- */

void
seen_free(struct seen *seen)
{
    free(seen->person);
    free(seen->time);
    free(seen->type);
    *seen = (struct seen){0};
}

static void
seen_put(struct seen *seen, uint32_t person, int64_t time, uint32_t type)
{
    if (seen->count == seen->capacity) {
        seen->capacity = seen->capacity == 0 ? 4096 : seen->capacity * 2;
        seen->person = realloc(seen->person, seen->capacity * sizeof(*seen->person));
        seen->time = realloc(seen->time, seen->capacity * sizeof(*seen->time));
        seen->type = realloc(seen->type, seen->capacity * sizeof(*seen->type));
    }
    seen->person[seen->count] = person;
    seen->time[seen->count] = time;
    seen->type[seen->count] = type;
    seen->count++;
}

enum err
seen_add(void *state, const struct warehouse_rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++)
        seen_put(state, rows->person[i], rows->occurred_at_us[i],
                 rows->type_id != NULL ? rows->type_id[i] : 0);
    return ERR_OK;
}

static void
scan_view(struct warehouse_view *view, const struct warehouse_scan *asked, bool is_first,
          struct seen *ret_seen)
{
    struct seen parts[64] = {{0}};
    void *states[64];
    struct warehouse_scan scan = *asked;
    struct query_control control = {.deadline_steady_ns = INT64_MAX};
    struct diag diag = DIAG_INIT;
    enum err err = ERR_OK;

    for (uint32_t i = 0; i < scan.parts; i++)
        states[i] = &parts[i];
    scan.rows = seen_add;
    scan.part_states = states;
    err = is_first ? warehouse_scan_first(view, &scan, &control, &diag)
                   : warehouse_scan(view, &scan, &control, &diag);
    if (err != ERR_OK)
        print_error("scan: %s %s\n", err_name(err), diag.message);
    assert_int_equal(err, ERR_OK);
    *ret_seen = (struct seen){0};
    for (uint32_t i = 0; i < scan.parts; i++) {
        for (uint32_t k = 0; k < parts[i].count; k++) {
            /* a part sees whole persons, so the next begins with another */
            if (k == 0 && ret_seen->count != 0)
                assert_true(ret_seen->person[ret_seen->count - 1] < parts[i].person[0]);
            seen_put(ret_seen, parts[i].person[k], parts[i].time[k], parts[i].type[k]);
        }
        seen_free(&parts[i]);
    }
}

void
fixture_scan(struct fixture *fixture, const struct warehouse_scan *scan, struct seen *ret_seen)
{
    struct warehouse_view *view = NULL;

    assert_int_equal(warehouse_view_open(fixture->warehouse, PROJECT, NULL, 0, &view, NULL),
                     ERR_OK);
    scan_view(view, scan, false, ret_seen);
    warehouse_view_close(&view);
}

/* --- the naive reader ------------------------------------------------------------------------- */

struct naive_row {
    uint32_t person;
    uint32_t type;
    int64_t time;
    uint64_t seq;
};

static int
compare_naive(const void *a, const void *b)
{
    const struct naive_row *left = a, *right = b;

    if (left->person != right->person)
        return left->person < right->person ? -1 : 1;
    if (left->time != right->time)
        return left->time < right->time ? -1 : 1;
    return (left->seq > right->seq) - (left->seq < right->seq);
}

/* A number for each text in order of appearance; sorted array of (text, number). */
struct names {
    struct slice *texts;
    uint32_t *ids;
    uint32_t count;
};

static uint32_t
name_id(struct names *names, struct slice text, uint32_t capacity)
{
    uint32_t low = 0, high = names->count;

    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        const int order = slice_compare(names->texts[middle], text);

        if (order == 0)
            return names->ids[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    assert_true(names->count < capacity);
    memmove(names->texts + low + 1, names->texts + low,
            (names->count - low) * sizeof(struct slice));
    memmove(names->ids + low + 1, names->ids + low, (names->count - low) * sizeof(uint32_t));
    names->texts[low] = text;
    names->ids[low] = names->count;
    return names->count++;
}

static struct naive_row *
naive_rows(const struct fake_store *store, bool is_numbered_anew, uint32_t *ret_count)
{
    struct naive_row *rows = malloc((store->visible + 1) * sizeof(*rows));
    struct names persons = {malloc((store->visible + 1) * sizeof(struct slice)),
                            malloc((store->visible + 1) * sizeof(uint32_t)), 0};
    struct names types = {malloc((store->visible + 1) * sizeof(struct slice)),
                          malloc((store->visible + 1) * sizeof(uint32_t)), 0};
    uint32_t count = 0;

    for (uint32_t i = 0; i < fake_store_readable(store); i++) {
        const struct store_row *row = &store->rows[i];

        if (row->event.project_id != PROJECT ||
            (is_numbered_anew && fake_store_is_erased(store, i)))
            continue;
        rows[count].person = name_id(&persons, event_person_key(&row->event), store->visible + 1);
        rows[count].type = name_id(&types, row->event.event_type, store->visible + 1);
        rows[count].time = row->event.occurred_at_us;
        rows[count].seq = i + 1;
        count += fake_store_is_erased(store, i) ? 0 : 1;
    }
    qsort(rows, count, sizeof(*rows), compare_naive);
    free(persons.texts);
    free(persons.ids);
    free(types.texts);
    free(types.ids);
    *ret_count = count;
    return rows;
}

static bool
naive_wants(const struct warehouse_scan *scan, uint32_t type)
{
    if (scan->types == NULL)
        return true;
    for (uint32_t i = 0; i < scan->type_count; i++) {
        if (scan->types[i] == type)
            return true;
    }
    return false;
}

static void
naive_scan(const struct naive_row *rows, uint32_t count, const struct warehouse_scan *scan,
           bool is_first, struct seen *ret_seen)
{
    *ret_seen = (struct seen){0};
    for (uint32_t i = 0; i < count; i++) {
        if (!naive_wants(scan, rows[i].type))
            continue;
        if (is_first && ret_seen->count != 0 &&
            ret_seen->person[ret_seen->count - 1] == rows[i].person)
            continue;
        if (!is_first && (rows[i].time < scan->from_us || rows[i].time >= scan->to_us))
            continue;
        seen_put(ret_seen, rows[i].person, rows[i].time, is_first ? 0 : rows[i].type);
    }
}

static void
assert_seen_equal(const struct seen *found, const struct seen *expected)
{
    assert_int_equal(found->count, expected->count);
    for (uint32_t i = 0; i < found->count; i++) {
        if (found->person[i] != expected->person[i] || found->time[i] != expected->time[i] ||
            found->type[i] != expected->type[i])
            fail_msg("row %u of %u: (%u, %lld, %u) instead of (%u, %lld, %u)", i, found->count,
                     found->person[i], (long long)found->time[i], found->type[i],
                     expected->person[i], (long long)expected->time[i], expected->type[i]);
    }
}

static void
check_scans(struct fixture *fixture, size_t scan_count)
{
    static const uint32_t some_types[] = {0, 2, 5};
    const struct warehouse_scan scans[] = {
        {.to_us = INT64_MAX, .wants_type = true, .parts = 1},
        {.to_us = INT64_MAX, .wants_type = true, .parts = 3},
        {.to_us = INT64_MAX, .types = some_types, .type_count = 3, .wants_type = true, .parts = 2},
        {.from_us = DAY_ZERO_US - 3 * US_PER_DAY,
         .to_us = DAY_ZERO_US - US_PER_DAY,
         .wants_type = true,
         .parts = 1},
    };
    struct warehouse_view *view = NULL;
    uint32_t count = 0;
    struct naive_row *rows = naive_rows(&fixture->store, fixture->is_numbered_anew, &count);

    assert_int_equal(warehouse_view_open(fixture->warehouse, PROJECT, NULL, 0, &view, NULL),
                     ERR_OK);
    for (size_t i = 0; i < COUNT_OF(scans) && i < scan_count; i++) {
        for (int is_first = 0; is_first < 2; is_first++) {
            struct seen found, expected;

            scan_view(view, &scans[i], is_first != 0, &found);
            naive_scan(rows, count, &scans[i], is_first != 0, &expected);
            assert_seen_equal(&found, &expected);
            seen_free(&found);
            seen_free(&expected);
        }
    }
    warehouse_view_close(&view);
    free(rows);
}

void
fixture_check(struct fixture *fixture)
{
    check_scans(fixture, SIZE_MAX);
}

void
fixture_check_quick(struct fixture *fixture)
{
    check_scans(fixture, 1);
}
