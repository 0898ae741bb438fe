/*
 * Units of the folds: small cases by hand, then random data against counting that is slow and
 * plain: sets of (person, bucket), buckets by the local date of each instant.
 */
#include "ask.h"

#include "base/random.h"

static struct ask ask;

static int
setup(void **state)
{
    (void)state;
    ask_init(&ask, "2026-01-31");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    ask_fini(&ask);
    return 0;
}

static const char *const types[] = {"view", "cart", "buy"};

static struct warehouse_view
view_of(struct fake_row *rows, uint32_t count)
{
    return (struct warehouse_view){
        .rows = rows, .row_count = count, .types = types, .type_count = 3, .history_from_us = 1};
}

#define ROW(person, type, day, hours, minutes)                                                     \
    {                                                                                              \
        person, type, ask_us(day, hours, minutes)                                                  \
    }

static uint64_t
integer(const struct metric_result *result, uint32_t row, uint32_t column)
{
    const struct metric_cell *cell = ask_cell(result, row, column);

    if (cell->kind != METRIC_CELL_INTEGER)
        fail_msg("cell %u,%u is of kind %d", row, column, (int)cell->kind);
    return cell->value.integer;
}

static bool
is_partial(const struct metric_result *result, uint32_t row, int32_t column)
{
    for (uint32_t i = 0; i < result->partial_count; i++)
        if (result->partials[i].row == row && result->partials[i].column == column)
            return true;
    return false;
}

/* --- active users
 * -------------------------------------------------------------------------------*/

static void
test_active_users__counts_a_person_once_a_day(void **state)
{
    struct fake_row rows[] = {
        ROW(4, 0, "2026-01-01", 0, 0),   ROW(4, 1, "2026-01-01", 23, 59),
        ROW(4, 1, "2026-01-02", 0, 0),   ROW(9, 2, "2026-01-02", 5, 0),
        ROW(0, 2, "2025-12-31", 23, 59), ROW(1, 2, "2026-01-04", 0, 0), /* outside */
    };
    struct warehouse_view view = view_of(rows, COUNT_OF(rows));
    const struct metric_result *result =
        ask_result(&ask, &view, "dau", "from=2026-01-01&to=2026-01-03", 1);

    (void)state;
    assert_int_equal(result->row_count, 3);
    assert_int_equal(ask_cell(result, 2, 0)->value.day, ask_us("2026-01-03", 0, 0) / US_PER_DAY);
    assert_int_equal(integer(result, 0, 1), 1);
    assert_int_equal(integer(result, 1, 1), 2);
    assert_int_equal(integer(result, 2, 1), 0);
    assert_int_equal(result->partial_count, 0);
    assert_string_equal(result->summaries[0].name, "mean_users");
    assert_int_equal(result->summaries[0].cells->value.integer, 100); /* 3 / 3 days */
    result = ask_result(&ask, &view, "dau",
                        "from=2026-01-01&to=2026-01-03&event_type=cart&event_type=none", 2);
    assert_int_equal(integer(result, 0, 1), 1);
    assert_int_equal(integer(result, 1, 1), 1);
    assert_int_equal(result->summaries[0].cells->value.integer, 67); /* 2 / 3, half up */
}

static void
test_active_users__person_zero_and_the_last_one_count(void **state)
{
    struct fake_row rows[] = {ROW(0, 0, "2026-01-01", 1, 0), ROW(UINT32_MAX, 0, "2026-01-01", 1, 0),
                              ROW(UINT32_MAX, 0, "2026-01-02", 1, 0)};
    struct warehouse_view view = view_of(rows, COUNT_OF(rows));
    const struct metric_result *result =
        ask_result(&ask, &view, "dau", "from=2026-01-01&to=2026-01-02", 1);

    (void)state;
    assert_int_equal(integer(result, 0, 1), 2);
    assert_int_equal(integer(result, 1, 1), 1);
    result = ask_result(&ask, &view, "top-events", "from=2026-01-01&to=2026-01-02", 1);
    assert_int_equal(integer(result, 0, 2), 2);
    result = ask_result(&ask, &view, "retention", "start_date=2026-01-01&windows=2", 1);
    assert_int_equal(integer(result, 0, 1), 2);
    assert_int_equal(integer(result, 0, 3), 1);
}

static void
test_active_users__leaves_running_days_out_of_the_mean(void **state)
{
    struct fake_row rows[] = {ROW(1, 0, "2026-01-30", 1, 0), ROW(1, 0, "2026-01-31", 1, 0),
                              ROW(2, 0, "2026-01-31", 1, 0), ROW(3, 0, "2026-02-01", 1, 0)};
    struct warehouse_view view = view_of(rows, COUNT_OF(rows));
    const struct metric_result *result =
        ask_result(&ask, &view, "dau", "from=2026-01-30&to=2026-02-01", 1);

    (void)state;
    assert_int_equal(result->partial_count, 2);
    assert_true(is_partial(result, 1, -1) && is_partial(result, 2, -1));
    assert_int_equal(integer(result, 2, 1), 1); /* not begun, and counted */
    assert_int_equal(result->summaries[0].cells->value.integer, 100);
    result = ask_result(&ask, &view, "dau", "from=2026-01-31&to=2026-01-31", 1);
    assert_int_equal(result->summaries[0].cells->kind, METRIC_CELL_NULL);
    /* the very microsecond in which a day ends */
    ask.now_us = ask_us("2026-02-01", 0, 0);
    assert_int_equal(
        ask_result(&ask, &view, "dau", "from=2026-01-31&to=2026-01-31", 1)->partial_count, 0);
    ask.now_us -= 1;
    assert_int_equal(
        ask_result(&ask, &view, "dau", "from=2026-01-31&to=2026-01-31", 1)->partial_count, 1);
}

static void
test_active_users__scans_nothing_for_a_type_nobody_has(void **state)
{
    struct warehouse_view view = view_of(NULL, 0);
    const struct metric_result *result = ask_result(&ask, &view, "dau", "event_type=none", 1);

    (void)state;
    assert_int_equal(result->row_count, 30);
    assert_int_equal(view.scan_count, 0);
    result = ask_result(&ask, &view, "retention", "event_type=none", 1);
    assert_int_equal(view.scan_count + view.first_scan_count, 0);
    assert_int_equal(result->summaries[0].cells[0].kind, METRIC_CELL_NULL);
    assert_int_equal(ask_result(&ask, &view, "top-events", "event_type=none", 1)->row_count, 0);
    if (!zones_has_only_utc(ask.zones)) /* a day the zone never had */
        (void)ask_result(&ask, &view, "dau", "from=2011-12-30&to=2011-12-30&tz=Pacific/Apia", 1);
    assert_int_equal(view.scan_count, 0);
}

/* --- top events
 * ---------------------------------------------------------------------------------*/

static void
test_top_events__orders_by_count_then_name(void **state)
{
    struct fake_row rows[] = {
        ROW(1, 0, "2026-01-01", 1, 0), ROW(2, 0, "2026-01-01", 1, 0), ROW(1, 1, "2026-01-01", 1, 0),
        ROW(1, 1, "2026-01-01", 2, 0), ROW(1, 2, "2026-01-01", 1, 0), ROW(1, 2, "2026-01-01", 2, 0),
        ROW(1, 2, "2026-01-03", 2, 0),
    };
    struct warehouse_view view = view_of(rows, COUNT_OF(rows));
    const struct metric_result *result =
        ask_result(&ask, &view, "top-events", "from=2026-01-01&to=2026-01-02", 1);

    (void)state;
    assert_int_equal(result->row_count, 3); /* two each: by name */
    assert_slice_equal(*ask_cell(result, 0, 0)->value.text, "buy");
    assert_slice_equal(*ask_cell(result, 1, 0)->value.text, "cart");
    assert_slice_equal(*ask_cell(result, 2, 0)->value.text, "view");
    assert_int_equal(integer(result, 0, 1), 2);
    assert_int_equal(integer(result, 0, 2), 1);
    assert_int_equal(integer(result, 2, 2), 2);
    assert_int_equal(result->partial_count, 0);
    assert_int_equal(result->summaries[0].cells->value.integer, 6);
    assert_int_equal(result->summaries[1].cells->value.integer, 2);
    assert_int_equal(result->summaries[2].cells->value.integer, 3);
    result = ask_result(&ask, &view, "top-events", "from=2026-01-01&to=2026-01-02&by=users", 3);
    assert_slice_equal(*ask_cell(result, 0, 0)->value.text, "view");
    assert_slice_equal(*ask_cell(result, 1, 0)->value.text, "buy");
    result = ask_result(&ask, &view, "top-events", "from=2026-01-01&to=2026-01-31&limit=1", 1);
    assert_int_equal(result->row_count, 1);
    assert_slice_equal(*ask_cell(result, 0, 0)->value.text, "buy");
    assert_int_equal(integer(result, 0, 1), 3);
    assert_true(is_partial(result, 0, -1)); /* today has not ended */
    assert_int_equal(result->summaries[2].cells->value.integer, 3);
    result = ask_result(&ask, &view, "top-events",
                        "from=2026-01-01&to=2026-01-31&event_type=view&event_type=cart", 1);
    assert_int_equal(result->row_count, 2);
}

/* --- retention
 * ----------------------------------------------------------------------------------*/

static void
test_retention__takes_the_first_event_ever(void **state)
{
    struct fake_row rows[] = {
        ROW(1, 0, "2025-12-01", 1, 0), /* long before: in no cohort here */
        ROW(1, 0, "2026-01-01", 1, 0),  ROW(1, 0, "2026-01-02", 1, 0),
        ROW(2, 0, "2026-01-01", 9, 0),  ROW(2, 0, "2026-01-02", 9, 0),
        ROW(2, 0, "2026-01-02", 10, 0), ROW(3, 0, "2026-01-01", 9, 0),
        ROW(3, 0, "2026-01-03", 9, 0),  ROW(3, 0, "2026-01-04", 9, 0),
        ROW(4, 0, "2026-01-02", 9, 0),
    };
    struct warehouse_view view = view_of(rows, COUNT_OF(rows));
    const struct metric_result *result =
        ask_result(&ask, &view, "retention", "start_date=2026-01-01&windows=3&cohorts=2", 1);
    static const uint64_t expected[2][4] = {{2, 2, 1, 1}, {1, 1, 0, 0}};

    (void)state;
    assert_int_equal(result->column_count, 5);
    assert_slice_equal(result->columns[4].name, "w2");
    for (uint32_t row = 0; row < 2; row++)
        for (uint32_t i = 0; i < 4; i++)
            assert_int_equal(integer(result, row, 1 + i), expected[row][i]);
    assert_int_equal(result->partial_count, 0);
    /* means weighted by size: w1 = (1·2 + 0·1) / 3 */
    assert_string_equal(result->summaries[0].name, "mean");
    assert_int_equal(result->summaries[0].cells[0].value.integer, 167);
    assert_int_equal(result->summaries[0].cells[1].value.integer, 67);
    assert_string_equal(result->summaries[1].name, "history_from");
    assert_slice_equal(*result->summaries[1].cells->value.text, "1970-01-01T00:00:00.000001Z");
    result = ask_result(&ask, &view, "retention",
                        "start_date=2026-01-01&windows=3&cohorts=2&measure=percent", 2);
    assert_int_equal(ask_cell(result, 0, 3)->value.integer, 5000);
    assert_int_equal(ask_cell(result, 1, 3)->value.integer, 0);
    assert_int_equal(result->summaries[0].cells[1].value.integer, 3333); /* 1 of 3 */
    assert_int_equal(result->columns[2].type, METRIC_TYPE_NUMBER);
}

static void
test_retention__counts_a_return_before_the_start_in_its_bucket(void **state)
{
    struct fake_row rows[] = {
        ROW(1, 1, "2025-12-31", 1, 0), /* B the day before: nowhere */
        ROW(1, 1, "2026-01-01", 1, 0), ROW(1, 0, "2026-01-01", 2, 0), /* B, then A */
        ROW(1, 1, "2026-01-03", 1, 0), ROW(2, 0, "2026-01-01", 2, 0),
        ROW(3, 1, "2026-01-01", 2, 0), /* B alone: no cohort */
    };
    struct warehouse_view view = view_of(rows, COUNT_OF(rows));
    const struct metric_result *result = ask_result(
        &ask, &view, "retention",
        "start_date=2026-01-01&windows=3&cohorts=1&event_type=view&return_event_type=cart", 1);
    static const uint64_t expected[4] = {2, 1, 0, 1};

    (void)state;
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(integer(result, 0, 1 + i), expected[i]);
}

static void
test_retention__has_null_for_what_has_not_begun(void **state)
{
    struct fake_row rows[] = {ROW(1, 0, "2026-01-30", 1, 0), ROW(1, 0, "2026-01-31", 1, 0),
                              ROW(2, 0, "2026-01-31", 1, 0), ROW(3, 0, "2026-02-01", 1, 0)};
    struct warehouse_view view = view_of(rows, COUNT_OF(rows));
    const struct metric_result *result =
        ask_result(&ask, &view, "retention", "start_date=2026-01-29&windows=3&cohorts=4", 1);

    (void)state;
    /* rows: 29th (nobody), 30th, 31st (running), 1st (not begun) */
    assert_int_equal(integer(result, 0, 1), 0);
    assert_int_equal(integer(result, 1, 2), 1);
    assert_int_equal(integer(result, 1, 3), 1);
    assert_int_equal(ask_cell(result, 1, 4)->kind, METRIC_CELL_NULL);
    assert_int_equal(integer(result, 2, 1), 1);
    assert_int_equal(ask_cell(result, 2, 3)->kind, METRIC_CELL_NULL);
    assert_int_equal(ask_cell(result, 3, 1)->kind, METRIC_CELL_NULL);
    assert_int_equal(ask_cell(result, 3, 2)->kind, METRIC_CELL_NULL);
    assert_int_equal(result->partial_count, 4);
    assert_true(is_partial(result, 0, 4) && is_partial(result, 1, 3) && is_partial(result, 2, 1) &&
                is_partial(result, 2, 2));
    /* w0: the 29th and 30th are whole; w1 and w2: only an empty cohort is */
    assert_int_equal(result->summaries[0].cells[0].value.integer, 100);
    assert_int_equal(result->summaries[0].cells[1].kind, METRIC_CELL_NULL);
    assert_int_equal(result->summaries[0].cells[2].kind, METRIC_CELL_NULL);
    result = ask_result(&ask, &view, "retention",
                        "start_date=2026-01-29&windows=1&cohorts=1&measure=percent", 1);
    assert_int_equal(ask_cell(result, 0, 2)->kind, METRIC_CELL_NULL); /* of nobody */
    /* the very microsecond in which one day ends and the next begins */
    ask.now_us = ask_us("2026-01-31", 0, 0);
    result = ask_result(&ask, &view, "retention", "start_date=2026-01-30&windows=2&cohorts=1", 1);
    assert_int_equal(result->partial_count, 1);
    assert_true(is_partial(result, 0, 3));
    ask.now_us -= 1;
    result = ask_result(&ask, &view, "retention", "start_date=2026-01-30&windows=2&cohorts=1", 1);
    assert_int_equal(result->partial_count, 2);
    assert_true(is_partial(result, 0, 1) && is_partial(result, 0, 2));
    assert_int_equal(ask_cell(result, 0, 3)->kind, METRIC_CELL_NULL);
}

static void
test_metrics__pass_errors_of_the_scan_on(void **state)
{
    static const char *const names[] = {"dau", "top-events", "retention"};
    struct warehouse_view view = view_of(NULL, 0);
    struct query_control control = {.deadline_steady_ns = 0};
    struct metric_result *result = NULL;

    (void)state;
    view.scan_err = ERR_QUERY_TIMEOUT;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_int_equal(metric_run(&view, ask_params(&ask, names[i], ""), 1, &control, &ask.arena,
                                    &result, &ask.diag),
                         ERR_QUERY_TIMEOUT);
    assert_null(result);
}

static void
test_metrics__run_out_of_memory_cleanly(void **state)
{
    static const char *const names[] = {"dau", "top-events", "retention"};
    struct fake_row rows[] = {ROW(1, 0, "2026-01-30", 1, 0), ROW(2, 1, "2026-01-31", 1, 0)};
    struct warehouse_view view = view_of(rows, COUNT_OF(rows));
    struct query_control control = {.deadline_steady_ns = INT64_MAX};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const struct metric_params *params = ask_params(&ask, names[i], "");
        enum err err = ERR_NOMEM;
        uint64_t nth = 0;

        while (err == ERR_NOMEM) {
            struct metric_result *result = NULL;
            struct arena arena;

            arena_init(&arena, 64, METRIC_ARENA_BYTES);
            mem_fail_from(++nth, true);
            err = metric_run(&view, params, 3, &control, &arena, &result, &ask.diag);
            mem_fail_from(0, false);
            arena_fini(&arena);
        }
        assert_int_equal(err, ERR_OK);
        assert_true(nth > 5);
    }
}

/* --- against plain counting
 * ---------------------------------------------------------------------*/

#define PERSONS 60
#define BUCKETS 800

struct data {
    struct fake_row rows[3000];
    uint32_t count;
    int64_t from_us;
};

/* Near `from`: half of the rows within an hour of a local midnight. */
static void
make_data(struct data *data, struct random_source *random, const struct zone *zone,
          int32_t from_day, int32_t days)
{
    data->count = (uint32_t)random_below(random, COUNT_OF(data->rows)) + 1;
    for (uint32_t i = 0; i < data->count; i++) {
        int32_t day = from_day + (int32_t)random_below(random, (uint64_t)days);
        int64_t at_us = zone_day_start_us(zone, day);

        if (random_below(random, 2) == 0)
            at_us += (int64_t)random_below(random, (uint64_t)US_PER_DAY);
        else
            at_us += ((int64_t)random_below(random, 5) - 2) * 1000;
        data->rows[i] = (struct fake_row){(uint32_t)random_below(random, PERSONS) * 70001,
                                          (uint32_t)random_below(random, 3), at_us};
    }
}

static bool seen[PERSONS][BUCKETS];

static int32_t
bucket_of(const struct zone *zone, enum calendar_unit unit, int64_t at_us)
{
    return calendar_bucket_of_day(unit, zone_day_at_us(zone, at_us));
}

static void
mark_seen(const struct data *data, const struct zone *zone, enum calendar_unit unit, int32_t first,
          int type)
{
    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < data->count; i++) {
        int32_t bucket = bucket_of(zone, unit, data->rows[i].at_us) - first;

        if (bucket >= 0 && bucket < BUCKETS && (type < 0 || data->rows[i].type == (uint32_t)type))
            seen[data->rows[i].person / 70001][bucket] = true;
    }
}

static const char *const zone_names[] = {"UTC", "Europe/Kyiv", "America/Sao_Paulo", "Pacific/Apia",
                                         "Asia/Kathmandu"};
static const char *const starts[] = {"2011-12-20", "2018-10-25", "2018-02-10", "2023-03-20",
                                     "2025-10-15"};

static void
test_metrics__equal_plain_counting(void **state)
{
    struct random_source random;
    struct data *data = mem_alloc(sizeof *data);

    (void)state;
    random_seeded_init(&random, 11);
    ask.now_us = ask_us("2040-01-01", 0, 0);
    for (int round = 0; round < 150; round++) {
        const char *zone_text = zones_has_only_utc(ask.zones)
                                    ? "UTC"
                                    : zone_names[random_below(&random, COUNT_OF(zone_names))];
        const char *start = starts[random_below(&random, COUNT_OF(starts))];
        enum calendar_unit unit = (enum calendar_unit)random_below(&random, 4);
        static const char *const units[] = {"day", "week", "month", "week&week_start=sunday"};
        uint32_t parts = (uint32_t)random_below(&random, 4) + 1;
        uint32_t windows = (uint32_t)random_below(&random, 12) + 1;
        uint32_t cohorts = (uint32_t)random_below(&random, 12) + 1;
        int start_type = (int)random_below(&random, 4) - 1;
        int back_type = (int)random_below(&random, 4) - 1;
        int32_t from_day = (int32_t)(ask_us(start, 0, 0) / US_PER_DAY);
        int32_t days = (int32_t)random_below(&random, unit == CALENDAR_DAY ? 40 : 200) + 1;
        const struct zone *zone = NULL;
        const struct metric_result *result;
        struct warehouse_view view;
        char text[300], to[CALENDAR_DAY_TEXT];

        assert_int_equal(zones_find(ask.zones, slice_of_text(zone_text), &zone, NULL), ERR_OK);
        arena_clear(&ask.arena);
        make_data(data, &random, zone, from_day - 3, days + 6);
        view = view_of(data->rows, data->count);
        view.chunk_rows = (uint32_t)random_below(&random, 100) + 1;

        calendar_day_format(from_day + days - 1, to);
        snprintf(text, sizeof text, "from=%s&to=%s&tz=%s%s%s", start, to, zone_text,
                 start_type >= 0 ? "&event_type=" : "", start_type >= 0 ? types[start_type] : "");
        result = ask_result(&ask, &view, "dau", text, parts);
        mark_seen(data, zone, CALENDAR_DAY, from_day, start_type);
        assert_int_equal(result->row_count, days);
        for (uint32_t day = 0; day < (uint32_t)days; day++) {
            uint64_t users = 0;

            for (uint32_t person = 0; person < PERSONS; person++)
                users += seen[person][day];
            if (integer(result, day, 1) != users)
                fail_msg("round %d: dau?%s day %u", round, text, day);
        }

        result = ask_result(&ask, &view, "top-events", text, parts);
        for (uint32_t type = 0; type < 3; type++) {
            uint64_t events = 0, users = 0, got_events = 0, got_users = 0;
            bool had[PERSONS] = {false};

            for (uint32_t i = 0; i < data->count; i++) {
                int32_t day = bucket_of(zone, CALENDAR_DAY, data->rows[i].at_us) - from_day;

                if (day < 0 || day >= days || data->rows[i].type != type ||
                    (start_type >= 0 && type != (uint32_t)start_type))
                    continue;
                events++;
                users += !had[data->rows[i].person / 70001];
                had[data->rows[i].person / 70001] = true;
            }
            for (uint32_t row = 0; row < result->row_count; row++)
                if (slice_equal(*ask_cell(result, row, 0)->value.text,
                                slice_of_text(types[type]))) {
                    got_events = integer(result, row, 1);
                    got_users = integer(result, row, 2);
                }
            if (got_events != events || got_users != users)
                fail_msg("round %d: top-events?%s type %u", round, text, type);
        }

        snprintf(text, sizeof text, "start_date=%s&unit=%s&windows=%u&cohorts=%u&tz=%s%s%s%s%s",
                 start, units[unit], windows, cohorts, zone_text,
                 start_type >= 0 ? "&event_type=" : "", start_type >= 0 ? types[start_type] : "",
                 back_type >= 0 ? "&return_event_type=" : "",
                 back_type >= 0 ? types[back_type] : "");
        result = ask_result(&ask, &view, "retention", text, parts);
        {
            int32_t first = calendar_bucket_of_day(unit, from_day);
            int32_t cohort_of[PERSONS];

            for (uint32_t person = 0; person < PERSONS; person++)
                cohort_of[person] = INT32_MAX;
            for (uint32_t i = 0; i < data->count; i++) {
                uint32_t person = data->rows[i].person / 70001;
                int32_t bucket = bucket_of(zone, unit, data->rows[i].at_us) - first;

                if ((start_type < 0 || data->rows[i].type == (uint32_t)start_type) &&
                    bucket < cohort_of[person])
                    cohort_of[person] = bucket;
            }
            /* not given, B is A's */
            mark_seen(data, zone, unit, first, back_type >= 0 ? back_type : start_type);
            for (uint32_t c = 0; c < cohorts; c++) {
                uint64_t size = 0;

                for (uint32_t person = 0; person < PERSONS; person++)
                    size += cohort_of[person] == (int32_t)c;
                if (integer(result, c, 1) != size)
                    fail_msg("round %d: retention?%s size %u", round, text, c);
                for (uint32_t k = 0; k < windows; k++) {
                    uint64_t users = 0;

                    for (uint32_t person = 0; person < PERSONS; person++)
                        users += cohort_of[person] == (int32_t)c && seen[person][c + k];
                    if (integer(result, c, 2 + k) != users)
                        fail_msg("round %d: retention?%s cell %u,%u", round, text, c, k);
                }
            }
        }
    }
    mem_free(data);
}

static void
test_metrics__take_the_longest_ranges(void **state)
{
    struct fake_row rows[] = {ROW(1, 0, "2016-01-25", 0, 0), ROW(1, 0, "2026-01-31", 11, 0),
                              ROW(2, 0, "2026-01-31", 11, 0)};
    struct warehouse_view view = view_of(rows, COUNT_OF(rows));
    const struct metric_result *result =
        ask_result(&ask, &view, "dau", "from=2016-01-25&to=2026-01-31", 64);

    (void)state;
    assert_int_equal(result->row_count, 3660);
    assert_int_equal(integer(result, 0, 1), 1);
    assert_int_equal(integer(result, 3659, 1), 2);
    result = ask_result(&ask, &view, "retention",
                        "start_date=1997-01-01&unit=month&windows=370&cohorts=370", 1);
    assert_int_equal(result->row_count, 370);
    assert_int_equal(integer(result, 228, 1), 1); /* January 2016 */
    assert_int_equal(integer(result, 228, 2 + 120), 1);
    assert_int_equal(integer(result, 348, 1), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_active_users__counts_a_person_once_a_day),
        cmocka_unit_test(test_active_users__person_zero_and_the_last_one_count),
        cmocka_unit_test(test_active_users__leaves_running_days_out_of_the_mean),
        cmocka_unit_test(test_active_users__scans_nothing_for_a_type_nobody_has),
        cmocka_unit_test(test_top_events__orders_by_count_then_name),
        cmocka_unit_test(test_retention__takes_the_first_event_ever),
        cmocka_unit_test(test_retention__counts_a_return_before_the_start_in_its_bucket),
        cmocka_unit_test(test_retention__has_null_for_what_has_not_begun),
        cmocka_unit_test(test_metrics__pass_errors_of_the_scan_on),
        cmocka_unit_test(test_metrics__run_out_of_memory_cleanly),
        cmocka_unit_test(test_metrics__equal_plain_counting),
        cmocka_unit_test(test_metrics__take_the_longest_ranges),
    };
    struct CMUnitTest with_setup[COUNT_OF(tests)];

    for (size_t i = 0; i < COUNT_OF(tests); i++) {
        with_setup[i] = tests[i];
        with_setup[i].setup_func = setup;
        with_setup[i].teardown_func = teardown;
    }
    return cmocka_run_group_tests_name("metrics", with_setup, NULL, NULL);
}
