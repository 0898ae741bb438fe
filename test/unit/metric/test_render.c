/* Units of metric/render and the way parameters are told back: whole answers, byte for byte. */
#include "ask.h"

#include "metric/query.h"

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

static const struct warehouse_watermark watermark = {
    .position = {5, 0, 77}, .received_at_us = 1769860800123456, .lag_ms = 12};

#define WATERMARK                                                                                  \
    "{\"position\":\"5.0.77\",\"received_at\":\"2026-01-31T12:00:00.123456Z\",\"lag_ms\":12}"

static const char *const types[] = {"view", "a,\"b\"\n", "\xD0\xBF\x01\\"};

static void
assert_body(const char *metric, const char *text, const char *expected)
{
    struct fake_row rows[] = {
        {1, 0, ask_us("2026-01-30", 1, 0)}, {1, 0, ask_us("2026-01-31", 1, 0)},
        {2, 1, ask_us("2026-01-30", 1, 0)}, {2, 1, ask_us("2026-01-30", 2, 0)},
        {3, 1, ask_us("2026-01-30", 1, 0)}, {3, 2, ask_us("2026-01-31", 1, 0)},
    };
    struct warehouse_view view = {.rows = rows,
                                  .row_count = COUNT_OF(rows),
                                  .types = types,
                                  .type_count = 3,
                                  .history_from_us = 1767225600000000};
    struct buf body;

    buf_init(&body, METRIC_RENDER_BYTES);
    metric_render(ask_result(&ask, &view, metric, text, 1), watermark, &body);
    assert_false(buf_failed(&body));
    buf_add_char(&body, '\0');
    assert_string_equal(body.ptr, expected);
    buf_fini(&body);
}

static void
test_render__writes_json_whole(void **state)
{
    (void)state;
    assert_body("dau", "from=2026-01-30",
                "{\"metric\":\"dau\",\"params\":{\"from\":\"2026-01-30\",\"to\":\"2026-01-31\","
                "\"tz\":\"UTC\",\"event_type\":null,\"format\":\"json\",\"min_position\":null,"
                "\"wait_ms\":0},\"watermark\":" WATERMARK ",\"columns\":[{\"name\":\"day\","
                "\"type\":\"date\"},{\"name\":\"users\",\"type\":\"integer\"}],\"rows\":"
                "[[\"2026-01-30\",3],[\"2026-01-31\",2]],\"partial\":[[1,-1]],"
                "\"summary\":{\"mean_users\":3}}\n");
    assert_body("top-events", "from=2026-01-30&to=2026-01-30&event_type=view&min_position=1.0.2",
                "{\"metric\":\"top-events\",\"params\":{\"from\":\"2026-01-30\",\"to\":"
                "\"2026-01-30\",\"tz\":\"UTC\",\"event_type\":[\"view\"],\"limit\":10,"
                "\"by\":\"events\",\"format\":\"json\",\"min_position\":\"1.0.2\",\"wait_ms\":0},"
                "\"watermark\":" WATERMARK ",\"columns\":[{\"name\":\"event_type\",\"type\":"
                "\"text\"},{\"name\":\"events\",\"type\":\"integer\"},{\"name\":\"users\",\"type\":"
                "\"integer\"}],\"rows\":[[\"view\",1,1]],\"partial\":[],\"summary\":{\"events\":1,"
                "\"users\":1,\"event_types\":1}}\n");
    assert_body(
        "retention", "windows=2&measure=percent",
        "{\"metric\":\"retention\",\"params\":{\"start_date\":\"2026-01-30\",\"tz\":\"UTC\","
        "\"event_type\":null,\"return_event_type\":null,\"unit\":\"day\","
        "\"week_start\":\"monday\",\"windows\":2,"
        "\"cohorts\":2,\"cohort\":\"first_time\",\"window\":\"calendar\",\"mode\":\"on\","
        "\"measure\":\"percent\",\"format\":\"json\",\"min_position\":null,\"wait_ms\":0},"
        "\"watermark\":" WATERMARK ",\"columns\":[{\"name\":\"cohort\",\"type\":\"date\"},"
        "{\"name\":\"size\",\"type\":\"integer\"},{\"name\":\"w0\",\"type\":\"number\"},"
        "{\"name\":\"w1\",\"type\":\"number\"}],\"rows\":[[\"2026-01-30\",3,100,66.67],"
        "[\"2026-01-31\",0,null,null]],\"partial\":[[0,3],[1,1],[1,2]],\"summary\":"
        "{\"mean\":[100,null],\"history_from\":\"2026-01-01T00:00:00.000000Z\"}}\n");
}

static void
test_render__escapes_names_of_types(void **state)
{
    (void)state;
    assert_body("top-events", "from=2026-01-30&to=2026-01-30&format=csv",
                "event_type,events,users,partial\n"
                "\"a,\"\"b\"\"\n\",3,2,false\n"
                "view,1,1,false\n");
    assert_body(
        "top-events", "from=2026-01-30&to=2026-01-31&format=ndjson",
        "{\"event_type\":\"a,\\\"b\\\"\\u000a\",\"events\":3,\"users\":2,\"partial\":true}\n"
        "{\"event_type\":\"view\",\"events\":2,\"users\":1,\"partial\":true}\n"
        "{\"event_type\":\"\xD0\xBF\\u0001\\\\\",\"events\":1,\"users\":1,"
        "\"partial\":true}\n");
}

static void
test_render__marks_partial_rows(void **state)
{
    (void)state;
    assert_body("dau", "from=2026-01-30&format=csv",
                "day,users,partial\n2026-01-30,3,false\n2026-01-31,2,true\n");
    assert_body("dau", "from=2026-01-30&format=ndjson",
                "{\"day\":\"2026-01-30\",\"users\":3,\"partial\":false}\n"
                "{\"day\":\"2026-01-31\",\"users\":2,\"partial\":true}\n");
}

static void
test_render__names_the_first_partial_offset(void **state)
{
    (void)state;
    assert_body("retention", "start_date=2026-01-29&windows=2&cohorts=3&format=csv",
                "cohort,size,w0,w1,partial\n2026-01-29,0,0,0,\n2026-01-30,3,3,2,1\n"
                "2026-01-31,0,0,,0\n");
    assert_body("retention", "start_date=2026-01-29&windows=2&cohorts=2&format=ndjson",
                "{\"cohort\":\"2026-01-29\",\"size\":0,\"w0\":0,\"w1\":0,\"partial\":null}\n"
                "{\"cohort\":\"2026-01-30\",\"size\":3,\"w0\":3,\"w1\":2,\"partial\":1}\n");
}

static void
test_render__tells_the_watermark_in_one_line(void **state)
{
    char text[METRIC_WATERMARK_TEXT];
    struct warehouse_watermark longest = {.position = {UINT64_MAX, UINT64_MAX, UINT64_MAX},
                                          .received_at_us = INT64_C(253402300799999999),
                                          .lag_ms = INT64_MIN};

    (void)state;
    metric_watermark_format(watermark, text);
    assert_string_equal(text, WATERMARK);
    metric_watermark_format((struct warehouse_watermark){.lag_ms = 0}, text);
    assert_string_equal(text, "{\"position\":\"0.0.0\",\"received_at\":null,\"lag_ms\":0}");
    metric_watermark_format(longest, text);
    assert_int_equal(text[strlen(text) - 1], '}');
}

static void
test_render__rounds_half_up(void **state)
{
    static const struct {
        uint64_t numerator;
        uint64_t denominator;
        const char *text;
    } cases[] = {{0, 7, "0"},     {100, 3, "33.33"},        {200, 3, "66.67"}, {1, 200, "0.01"},
                 {1, 201, "0"},   {67, 2, "33.5"},          {5, 1000, "0.01"}, {1, 8, "0.13"},
                 {100, 1, "100"}, {9999999, 100000, "100"}, {1, 0, "null"}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct metric_cell cell = cell_ratio(cases[i].numerator, cases[i].denominator);
        struct metric_summary summary = {"x", false, &cell, 1};
        struct metric_result result = {.params = ask_params(&ask, "dau", "from=2026-01-31"),
                                       .summaries = &summary,
                                       .summary_count = 1};
        char expected[64];
        struct buf body;

        buf_init(&body, 4096);
        metric_render(&result, watermark, &body);
        buf_add_char(&body, '\0');
        snprintf(expected, sizeof expected, "{\"x\":%s}}", cases[i].text);
        if (strstr(body.ptr, expected) == NULL)
            fail_msg("%llu / %llu: %s", (unsigned long long)cases[i].numerator,
                     (unsigned long long)cases[i].denominator, body.ptr);
        buf_fini(&body);
    }
    /* sums of products beyond 64 bits */
    assert_int_equal(cell_ratio((uint128)UINT64_MAX * 300, (uint128)UINT64_MAX * 3).value.integer,
                     10000);
}

static void
test_render__remembers_a_full_buffer(void **state)
{
    struct warehouse_view view = {.types = types, .type_count = 0};
    struct buf body;

    (void)state;
    for (size_t bytes_max = 0; bytes_max < 300; bytes_max += 7) {
        buf_init(&body, bytes_max);
        metric_render(ask_result(&ask, &view, "dau", "", 1), watermark, &body);
        assert_true(buf_failed(&body));
        buf_fini(&body);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_render__writes_json_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_render__escapes_names_of_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_render__marks_partial_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_render__names_the_first_partial_offset, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_render__tells_the_watermark_in_one_line, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_render__rounds_half_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_render__remembers_a_full_buffer, setup, teardown),
    };

    return cmocka_run_group_tests_name("render", tests, NULL, NULL);
}
