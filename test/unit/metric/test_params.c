/* Units of metric/params: every parameter, every limit at n−1, n, n+1. */
#include "ask.h"

static struct ask ask;

static int
setup(void **state)
{
    (void)state;
    ask_init(&ask, "2026-01-31"); /* a Saturday */
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    ask_fini(&ask);
    return 0;
}

static void
assert_refused(const char *metric, const char *text, const char *field)
{
    struct metric_params *params = NULL;
    enum err err = ask_parse(&ask, metric, text, &params);

    if (err != ERR_INVALID_PARAMETER || strcmp(ask.diag.field, field) != 0 ||
        strlen(ask.diag.message) < 10 || params != NULL)
        fail_msg("%s?%s: %s, field %s, %s", metric, text, err_name(err), ask.diag.field,
                 ask.diag.message);
}

static void
assert_day(int32_t day, const char *expected)
{
    char text[CALENDAR_DAY_TEXT];

    calendar_day_format(day, text);
    assert_string_equal(text, expected);
}

static void
test_params__default_to_the_last_thirty_days(void **state)
{
    const struct metric_params *params = ask_params(&ask, "dau", "");

    (void)state;
    assert_day(params->from_day, "2026-01-02");
    assert_day(params->to_day, "2026-01-31");
    assert_string_equal(zone_name(params->zone), "UTC");
    assert_int_equal(params->event_types.count, 0);
    assert_int_equal(params->format, METRIC_FORMAT_JSON);
    assert_false(params->has_min_position);
    assert_int_equal(params->wait_ms, 0);
    params = ask_params(&ask, "dau", "to=2025-03-01");
    assert_day(params->from_day, "2025-01-31");
    params = ask_params(&ask, "dau", "from=2026-01-31");
    assert_day(params->to_day, "2026-01-31");
    params = ask_params(&ask, "dau", "to=0001-01-10"); /* not before the first date there is */
    assert_day(params->from_day, "0001-01-01");
}

static void
test_params__take_today_in_the_zone(void **state)
{
    (void)state;
    if (zones_has_only_utc(ask.zones))
        skip();
    ask.now_us = ask_us("2026-01-31", 22, 0);
    assert_day(ask_params(&ask, "dau", "tz=Europe/Kyiv")->to_day, "2026-02-01");
    ask.now_us -= 1;
    assert_day(ask_params(&ask, "dau", "tz=Europe/Kyiv")->to_day, "2026-01-31");
    ask.project_zone = "America/New_York";
    ask.now_us = ask_us("2026-01-31", 4, 59);
    assert_day(ask_params(&ask, "dau", "")->to_day, "2026-01-30");
    assert_day(ask_params(&ask, "dau", "tz=UTC")->to_day, "2026-01-31");
    assert_string_equal(zone_name(ask_params(&ask, "retention", "")->zone), "America/New_York");
}

static void
test_params__default_to_cohorts_up_to_now(void **state)
{
    const struct metric_params *params = ask_params(&ask, "retention", "");

    (void)state;
    assert_int_equal(params->windows, 8);
    assert_int_equal(params->cohorts, 8);
    assert_int_equal(params->unit, CALENDAR_DAY);
    assert_int_equal(params->measure, METRIC_MEASURE_USERS);
    assert_day(params->start_day, "2026-01-24");
    params = ask_params(&ask, "retention", "unit=week&windows=3");
    assert_int_equal(params->cohorts, 3);
    assert_day(params->start_day, "2026-01-12"); /* Mondays: 12, 19, 26 */
    params = ask_params(&ask, "retention", "unit=week&windows=3&week_start=sunday");
    assert_int_equal(params->bucket_unit, CALENDAR_WEEK_FROM_SUNDAY);
    assert_day(params->start_day, "2026-01-11");                 /* Sundays: 11, 18, 25 */
    params = ask_params(&ask, "retention", "week_start=sunday"); /* days begin as ever */
    assert_int_equal(params->bucket_unit, CALENDAR_DAY);
    params = ask_params(&ask, "retention", "unit=month&cohorts=2");
    assert_int_equal(params->windows, 8);
    assert_day(params->start_day, "2025-12-01");
    params = ask_params(&ask, "retention", "start_date=2026-01-15&unit=month");
    assert_day(params->start_day, "2026-01-15");
}

static void
test_params__refuse_other_names(void **state)
{
    (void)state;
    assert_refused("dau", "fro=2026-01-01", "fro");
    assert_non_null(strstr(ask.diag.message, "from"));
    assert_refused("dau", "From=2026-01-01", "From");
    assert_refused("dau", "limit=10", "limit");
    assert_refused("dau", "windows=8", "windows");
    assert_refused("top-events", "unit=day", "unit");
    assert_refused("retention", "from=2026-01-01", "from");
    assert_refused("retention", "limit=10", "limit");
    /* features of later versions */
    assert_refused("dau", "filter=[]", "filter");
    assert_refused("dau", "breakdown=country", "breakdown");
    assert_refused("dau", "breakdown_limit=3", "breakdown_limit");
    assert_refused("dau", "window=rolling", "window");
    assert_refused("retention", "week_start=tuesday", "week_start");
    assert_refused("dau", "week_start=sunday", "week_start");
    assert_refused("retention", "brackets=1-3", "brackets");
    assert_refused("dau", "=1", "");
}

static void
test_params__refuse_values_not_built(void **state)
{
    (void)state;
    assert_refused("retention", "cohort=recurring", "cohort");
    assert_non_null(strstr(ask.diag.message, "first_time"));
    assert_refused("retention", "window=rolling", "window");
    assert_refused("retention", "mode=streak", "mode");
    assert_refused("retention", "mode=ON", "mode");
    assert_refused("retention", "measure=ratio", "measure");
    assert_refused("retention", "unit=hour", "unit");
    assert_refused("retention", "unit=", "unit");
    assert_refused("top-events", "by=name", "by");
    assert_refused("dau", "format=xml", "format");
    (void)ask_params(&ask, "retention", "cohort=first_time&window=calendar&mode=on");
    assert_int_equal(ask_params(&ask, "retention", "measure=percent")->measure,
                     METRIC_MEASURE_PERCENT);
    assert_int_equal(ask_params(&ask, "top-events", "by=users")->by, METRIC_BY_USERS);
    assert_int_equal(ask_params(&ask, "dau", "format=csv")->format, METRIC_FORMAT_CSV);
    assert_int_equal(ask_params(&ask, "dau", "format=ndjson")->format, METRIC_FORMAT_NDJSON);
}

static void
test_params__refuse_a_name_given_twice(void **state)
{
    (void)state;
    assert_refused("dau", "from=2026-01-01&from=2026-01-01", "from");
    assert_refused("dau", "tz=UTC&tz=UTC", "tz");
    assert_refused("top-events", "limit=1&to=2026-01-31&limit=1", "limit");
    assert_refused("dau", "wait_ms=0&wait_ms=0", "wait_ms");
    assert_refused("retention", "unit=day&unit=day", "unit");
}

static void
test_params__repeat_event_types(void **state)
{
    const struct metric_params *params =
        ask_params(&ask, "dau", "event_type=b&event_type=a&event_type=b");

    (void)state;
    assert_int_equal(params->event_types.count, 2);
    assert_slice_equal(params->event_types.texts[0], "b");
    assert_slice_equal(params->event_types.texts[1], "a");
    params = ask_params(&ask, "retention", "event_type=sign_up");
    assert_int_equal(params->return_event_types.count, 1);
    assert_slice_equal(params->return_event_types.texts[0], "sign_up");
    params = ask_params(&ask, "retention", "return_event_type=x&return_event_type=y");
    assert_int_equal(params->event_types.count, 0);
    assert_int_equal(params->return_event_types.count, 2);
}

static void
test_params__bound_the_length_of_an_event_type(void **state)
{
    char text[260];

    (void)state;
    assert_refused("dau", "event_type=", "event_type");
    for (int len = 199; len <= 201; len++) {
        snprintf(text, sizeof text, "event_type=%0*d", len, 7);
        if (len <= 200)
            assert_int_equal(ask_params(&ask, "dau", text)->event_types.texts[0].len, len);
        else
            assert_refused("dau", text, "event_type");
    }
}

static void
test_params__bound_the_range(void **state)
{
    (void)state;
    assert_refused("dau", "from=2026-01-02&to=2026-01-01", "from");
    assert_refused("dau", "from=2026-02-01", "from"); /* after today, the default of `to` */
    (void)ask_params(&ask, "dau", "from=2026-01-01&to=2026-01-01");
    (void)ask_params(&ask, "dau", "from=2026-02-01&to=2026-02-02");
    /* 3,659, 3,660 and 3,661 days */
    (void)ask_params(&ask, "dau", "from=2000-01-02&to=2010-01-07");
    (void)ask_params(&ask, "dau", "from=2000-01-01&to=2010-01-07");
    assert_refused("dau", "from=1999-12-31&to=2010-01-07", "from");
    assert_non_null(strstr(ask.diag.message, "3660"));
    assert_refused("top-events", "from=0001-01-01&to=9999-12-31", "from");
    (void)ask_params(&ask, "top-events", "from=9999-12-31&to=9999-12-31");
}

static void
test_params__refuse_dates_that_are_none(void **state)
{
    static const char *const dates[] = {
        "2026-02-30", "2026-02-29",           "2026-1-1",   "20260101",   "",
        "today",      "2026-01-01T00:00:00Z", "0000-01-01", "2026-00-01", "1767225600000"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(dates); i++) {
        char text[64];

        snprintf(text, sizeof text, "from=%s", dates[i]);
        assert_refused("dau", text, "from");
        snprintf(text, sizeof text, "to=%s", dates[i]);
        assert_refused("top-events", text, "to");
        snprintf(text, sizeof text, "start_date=%s", dates[i]);
        assert_refused("retention", text, "start_date");
    }
}

static void
test_params__bound_every_number(void **state)
{
    static const struct {
        const char *metric;
        const char *name;
        uint32_t min;
        uint32_t max;
    } numbers[] = {{"top-events", "limit", 1, 1000},
                   {"retention", "windows", 1, 370},
                   {"retention", "cohorts", 1, 370},
                   {"dau", "wait_ms", 0, 10000}};
    static const char *const bad[] = {"",          "-1", "+1",  "1.0", "1e2",
                                      " 1",        "1 ", "0x1", "ten", "99999999999999999999",
                                      "4294967297"};
    char text[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        for (uint32_t n = numbers[i].max - 1; n <= numbers[i].max + 1; n++) {
            snprintf(text, sizeof text, "%s=%u", numbers[i].name, n);
            if (n <= numbers[i].max)
                (void)ask_params(&ask, numbers[i].metric, text);
            else
                assert_refused(numbers[i].metric, text, numbers[i].name);
        }
        for (uint32_t n = 0; n <= numbers[i].min + 1; n++) {
            snprintf(text, sizeof text, "%s=%u", numbers[i].name, n);
            if (n >= numbers[i].min)
                (void)ask_params(&ask, numbers[i].metric, text);
            else
                assert_refused(numbers[i].metric, text, numbers[i].name);
        }
        for (size_t k = 0; k < COUNT_OF(bad); k++) {
            snprintf(text, sizeof text, "%s=%s", numbers[i].name, bad[k]);
            assert_refused(numbers[i].metric, text, numbers[i].name);
        }
    }
    assert_int_equal(ask_params(&ask, "top-events", "")->limit, 10);
    assert_int_equal(ask_params(&ask, "top-events", "limit=1000")->limit, 1000);
    assert_int_equal(ask_params(&ask, "retention", "windows=370&cohorts=1")->windows, 370);
}

static void
test_params__keep_retention_within_the_years(void **state)
{
    (void)state;
    (void)ask_params(&ask, "retention", "start_date=0001-01-01&unit=week");
    (void)ask_params(&ask, "retention", "start_date=9999-12-01&windows=8&cohorts=8");
    assert_refused("retention", "start_date=9999-12-31", "start_date");
    assert_refused("retention", "start_date=9970-01-01&unit=month&windows=370", "start_date");
    (void)ask_params(&ask, "retention", "start_date=1970-01-01&unit=month&windows=370");
}

static void
test_params__refuse_zones_by_name(void **state)
{
    (void)state;
    assert_refused("dau", "tz=Mars/Olympus", "tz");
    assert_refused("dau", "tz=", "tz");
    assert_refused("dau", "tz=../../etc/passwd", "tz");
    assert_refused("dau", "tz=%2B03:00", "tz");
    ask.project_zone = "Nowhere/Else"; /* a project of another machine's tzdata */
    assert_refused("dau", "", "tz");
    assert_string_equal(zone_name(ask_params(&ask, "dau", "tz=UTC")->zone), "UTC");
}

static void
test_params__read_positions(void **state)
{
    const struct metric_params *params =
        ask_params(&ask, "dau", "min_position=9.0.77&wait_ms=10000");

    (void)state;
    assert_true(params->has_min_position);
    assert_int_equal(params->min_position.minor, 77);
    assert_slice_equal(params->min_position_text, "9.0.77");
    assert_int_equal(params->wait_ms, 10000);
    assert_refused("dau", "min_position=yesterday", "min_position");
    assert_refused("dau", "min_position=", "min_position");
}

static void
test_params__run_out_of_memory_cleanly(void **state)
{
    struct metric_context context = {
        .zones = ask.zones, .project_zone = SLICE("UTC"), .now_us = ask.now_us};
    struct metric_pair pairs[] = {{SLICE("event_type"), SLICE("a")}, {SLICE("fro"), SLICE("x")}};
    enum err err = ERR_NOMEM;
    uint64_t nth = 0;

    (void)state;
    while (err == ERR_NOMEM) {
        struct metric_params *params = NULL;

        arena_fini(&ask.arena);
        arena_init(&ask.arena, 64, 1 << 20); /* small blocks: an allocation for each piece */
        mem_fail_from(++nth, true);
        err = metric_params_parse(metric_find(SLICE("dau")), pairs, 2, &context, &ask.arena,
                                  &params, &ask.diag);
        mem_fail_from(0, false);
    }
    assert_int_equal(err, ERR_INVALID_PARAMETER);
    assert_true(nth > 2);
}

static void
test_params__help_with_each_parameter(void **state)
{
    struct metric_parameter_help help;
    uint32_t count = 0;

    (void)state;
    for (uint32_t m = 0; m < metric_count(); m++)
        for (uint32_t i = 0; metric_parameter_at(metric_at(m), i, &help); i++, count++)
            assert_true(help.name[0] != '\0' && help.values[0] != '\0' && help.help[0] != '\0');
    assert_int_equal(count, 7 + 9 + 15);
    assert_true(metric_parameter_at(metric_find(SLICE("dau")), 3, &help));
    assert_string_equal(help.name, "event_type");
    assert_true(help.is_repeatable);
    assert_null(metric_find(SLICE("DAU")));
    assert_null(metric_find(SLICE("")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_params__default_to_the_last_thirty_days, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_params__take_today_in_the_zone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_params__default_to_cohorts_up_to_now, setup, teardown),
        cmocka_unit_test_setup_teardown(test_params__refuse_other_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_params__refuse_values_not_built, setup, teardown),
        cmocka_unit_test_setup_teardown(test_params__refuse_a_name_given_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_params__repeat_event_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_params__bound_the_length_of_an_event_type, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_params__bound_the_range, setup, teardown),
        cmocka_unit_test_setup_teardown(test_params__refuse_dates_that_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_params__bound_every_number, setup, teardown),
        cmocka_unit_test_setup_teardown(test_params__keep_retention_within_the_years, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_params__refuse_zones_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_params__read_positions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_params__run_out_of_memory_cleanly, setup, teardown),
        cmocka_unit_test_setup_teardown(test_params__help_with_each_parameter, setup, teardown),
    };

    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
