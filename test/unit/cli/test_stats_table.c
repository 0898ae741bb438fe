/* Units of cli/stats_table: replies as the API gives them, drawn. */
#include "../test.h"

#include "cli/stats_table.h"
#include "codec/calendar.h"

static enum err
draw(const char *reply, const char *until, const char **ret_text)
{
    static char text[16384];
    struct stats_look look = {.has_until = until != NULL};
    struct diag diag = DIAG_INIT;
    struct buf buf;
    enum err err;

    if (until != NULL)
        assert_true(calendar_day_parse(slice_of_text(until), &look.until_day));
    buf_init(&buf, sizeof(text) - 1);
    err = stats_table_write(slice_of_text(reply), &look, &buf, &diag);
    memcpy(text, buf_slice(&buf).ptr, buf.len);
    text[buf.len] = '\0';
    *ret_text = text;
    buf_fini(&buf);
    return err;
}

static void
assert_drawn(const char *reply, const char *until, const char *expected)
{
    const char *text = NULL;

    assert_int_equal(draw(reply, until, &text), ERR_OK);
    assert_string_equal(text, expected);
}

static void
test_stats_table__dau_has_weekdays_bars_and_marks(void **state)
{
    (void)state;
    assert_drawn("{\"metric\":\"dau\",\"params\":{\"from\":\"2026-01-30\",\"to\":\"2026-02-01\","
                 "\"tz\":\"Europe/Kyiv\",\"event_type\":[\"buy\",\"x\\u001b\"]},"
                 "\"watermark\":{\"position\":\"p\",\"received_at\":null,\"lag_ms\":12},"
                 "\"columns\":[{\"name\":\"day\",\"type\":\"date\"},{\"name\":\"users\",\"type\":"
                 "\"integer\"}],"
                 "\"rows\":[[\"2026-01-30\",1234],[\"2026-01-31\",617],[\"2026-02-01\",0]],"
                 "\"partial\":[[2,-1]],\"summary\":{\"mean_users\":925.5}}",
                 NULL,
                 "dau, 2026-01-30 to 2026-02-01, Europe/Kyiv, of buy, x\\u001b\n"
                 "\n"
                 "day              users\n"
                 "--------------  ------  --------------------------------\n"
                 "2026-01-30 Fri  1,234   ████████████████████████████████\n"
                 "2026-01-31 Sat    617   ████████████████\n"
                 "2026-02-01 Sun      0*\n"
                 "\n"
                 "mean of whole days: 925.5\n"
                 "\n"
                 "* not over yet: the number can still rise\n"
                 "\n"
                 "not all is counted yet: 12 ms behind\n");
}

static void
test_stats_table__top_events_is_plain(void **state)
{
    (void)state;
    assert_drawn(
        "{\"metric\":\"top-events\",\"params\":{\"from\":\"2026-01-01\",\"to\":\"2026-01-02\","
        "\"tz\":\"UTC\",\"event_type\":null},"
        "\"watermark\":{\"position\":\"p\",\"received_at\":null,\"lag_ms\":0},"
        "\"columns\":[{\"name\":\"event_type\",\"type\":\"text\"},"
        "{\"name\":\"events\",\"type\":\"integer\"},{\"name\":\"users\",\"type\":\"integer\"}],"
        "\"rows\":[[\"page\",70000,5],[\"2026-01-01\",1,1]],\"partial\":[],\"summary\":{}}",
        NULL,
        "top-events, 2026-01-01 to 2026-01-02, UTC\n"
        "\n"
        "event_type      events  users\n"
        "--------------  ------  -----\n"
        "page            70,000      5\n"
        "2026-01-01 Thu       1      1\n");
}

static const char retention[] =
    "{\"metric\":\"retention\",\"params\":{\"start_date\":\"2026-01-05\",\"tz\":\"UTC\","
    "\"unit\":\"week\",\"windows\":3,\"measure\":\"percent\"},"
    "\"watermark\":{\"position\":\"p\",\"received_at\":null,\"lag_ms\":0},"
    "\"columns\":[{\"name\":\"cohort\",\"type\":\"date\"},{\"name\":\"size\",\"type\":\"integer\"},"
    "{\"name\":\"w0\",\"type\":\"number\"},{\"name\":\"w1\",\"type\":\"number\"},"
    "{\"name\":\"w2\",\"type\":\"number\"}],"
    "\"rows\":[[\"2026-01-05\",1000,100,33.33,9.5],[\"2026-01-12\",7,100,0,null],"
    "[\"2026-01-19\",0,null,null,null]],"
    "\"partial\":[[1,3],[2,-1]],\"summary\":{\"mean\":[100,33.1,9.5]}}";

static void
test_stats_table__retention_is_a_triangle_of_percents(void **state)
{
    (void)state;
    assert_drawn(retention, NULL,
                 "retention by week, percent of each cohort, UTC\n"
                 "\n"
                 "cohort        size        w0       w1      w2\n"
                 "----------  ------  --------  -------  ------\n"
                 "2026-01-05  1,000   100.0 %   33.3 %   9.5 %\n"
                 "2026-01-12      7   100.0 %    0.0 %*\n"
                 "2026-01-19      0*\n"
                 "----------  ------  --------  -------  ------\n"
                 "mean                100.0 %   33.1 %   9.5 %\n"
                 "\n"
                 "* not over yet: the number can still rise\n");
}

static void
test_stats_table__data_that_ends_leaves_later_cells_blank(void **state)
{
    const char *text = NULL;

    (void)state;
    assert_int_equal(draw(retention, "2026-01-18", &text), ERR_OK);
    assert_null(strstr(text, "9.5")); /* the week of the 19th begins after the end */
    assert_non_null(strstr(text, "33.3"));
    assert_null(strstr(text, "0.0 %*"));
    assert_null(strstr(text, "mean"));
}

static void
test_stats_table__an_empty_answer_says_so(void **state)
{
    const char *text = NULL;

    (void)state;
    assert_int_equal(
        draw("{\"metric\":\"top-events\",\"params\":{},\"watermark\":{},\"columns\":"
             "[{\"name\":\"event_type\",\"type\":\"text\"}],\"rows\":[],\"partial\":[],"
             "\"summary\":{}}",
             NULL, &text),
        ERR_OK);
    assert_non_null(strstr(text, "no rows"));
}

static void
test_stats_table__other_replies_are_refused_and_odd_ones_survived(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"metric\":1}",
        "{\"metric\":\"dau\",\"params\":{},\"columns\":[],\"rows\":[],\"partial\":[],\"summary\":{}"
        "}",
    };
    const char *text = NULL;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_not_equal(draw(bad[i], NULL, &text), ERR_OK);
    /* partials out of range, rows of other lengths, cells of other types */
    assert_int_equal(
        draw("{\"metric\":\"dau\",\"params\":5,\"columns\":[{},{}],\"rows\":[[],[1,2,3],"
             "[{},[]],5],\"partial\":[[9,9],[-1,0],[0,7],[0],5,[1,1]],\"summary\":{}}",
             NULL, &text),
        ERR_OK);
}

static void
test_stats_lag__is_told_of_a_watermark_alone(void **state)
{
    struct diag diag = DIAG_INIT;
    struct buf out;

    (void)state;
    buf_init(&out, 256);
    assert_int_equal(
        stats_lag_write(SLICE("{\"position\":\"p\",\"received_at\":null,\"lag_ms\":0}"), &out,
                        &diag),
        ERR_OK);
    assert_int_equal(out.len, 0);
    assert_int_equal(
        stats_lag_write(SLICE("{\"position\":\"p\",\"received_at\":null,\"lag_ms\":12}"), &out,
                        &diag),
        ERR_OK);
    buf_add_char(&out, '\0');
    assert_string_equal(out.ptr, "not all is counted yet: 12 ms behind\n");
    assert_int_equal(stats_lag_write(SLICE("{\"lag_ms\":"), &out, &diag), ERR_INVALID_JSON);
    buf_fini(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stats_table__dau_has_weekdays_bars_and_marks),
        cmocka_unit_test(test_stats_table__top_events_is_plain),
        cmocka_unit_test(test_stats_table__retention_is_a_triangle_of_percents),
        cmocka_unit_test(test_stats_table__data_that_ends_leaves_later_cells_blank),
        cmocka_unit_test(test_stats_table__an_empty_answer_says_so),
        cmocka_unit_test(test_stats_table__other_replies_are_refused_and_odd_ones_survived),
        cmocka_unit_test(test_stats_lag__is_told_of_a_watermark_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
