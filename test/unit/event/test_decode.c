/*
 * test_decode - the envelope: what is an element, what costs one, what costs the whole body. Each
 * body is decoded whole and in pieces of many sizes.
 */
#include "check.h"
#include "event/limits.h"

#define JSON EVENT_FORMAT_JSON
#define LINES EVENT_FORMAT_NDJSON

static void
test_decode__finds_elements(void **state)
{
    static const struct check checks[] = {
        {JSON, GOOD("a"), "ok:a"},
        {JSON, " \r\n\t" GOOD("a") " \n", "ok:a"},
        {JSON, "[" GOOD("a") "]", "ok:a"},
        {JSON, " [ " GOOD("a") " , " GOOD("b") " ] ", "ok:a ok:b"},
        {JSON, "{\"events\":[" GOOD("a") "," GOOD("b") "]}", "ok:a ok:b"},
        {JSON, " { \"events\" : [ " GOOD("a") " ] } ", "ok:a"},
        {JSON, "{\"\\u0065vents\":[" GOOD("a") "]}", "ok:a"},
        {JSON, "{\"\\u0065\\u0076\\u0065\\u006e\\u0074\\u0073\":[" GOOD("a") "]}", "ok:a"},
        {JSON, "[]", ""},
        {JSON, " [ ] ", ""},
        {JSON, "{\"events\":[]}", ""},
        {LINES, GOOD("a") "\n" GOOD("b") "\n", "ok:a ok:b"},
        {LINES, GOOD("a") "\r\n\r\n  \n" GOOD("b"), "ok:a ok:b"},
        {LINES, "  " GOOD("a") "\t\n", "ok:a"},
    };

    (void)state;
    CHECK_TABLE(checks);
}

static void
test_decode__bad_element_costs_itself(void **state)
{
    static const struct check checks[] = {
        {JSON, "{\"event_type\":}", "invalid_json:-"},
        {JSON, "[" GOOD("a") ",{\"event_type\":tru}," GOOD("c") "]", "ok:a invalid_json:- ok:c"},
        {JSON, "[{\"a\":01}," GOOD("b") ",{\"a\":+1}]", "invalid_json:- ok:b invalid_json:-"},
        {JSON, "{\"events\":[" GOOD("a") ",{]," GOOD("c") "]}", "ok:a invalid_json:- ok:c"},
        {JSON, "[" GOOD("a") ",," GOOD("c") "]", "ok:a invalid_json:- ok:c"},
        {JSON, "[1,,2]", "invalid_type:- invalid_json:- invalid_type:-"},
        {JSON, "[" GOOD("a") ",]", "ok:a invalid_json:-"},
        {JSON, "[," GOOD("b") "]", "invalid_json:- ok:b"},
        {JSON, "[,]", "invalid_json:- invalid_json:-"},
        {JSON, "[ , , ]", "invalid_json:- invalid_json:- invalid_json:-"},
        {JSON, "[" GOOD("a") GOOD("b") "," GOOD("c") "]", "invalid_json:- ok:c"},
        {JSON, "[" GOOD("a") " x ," GOOD("c") "]", "invalid_json:- ok:c"},
        {JSON, "[" GOOD("a") ",{\"a\":\"x\ty\"}," GOOD("c") "]", "ok:a invalid_json:- ok:c"},
        {JSON, "[" GOOD("a") ",{\"a\":\"\\x\"}," GOOD("c") "]", "ok:a invalid_json:- ok:c"},
        {JSON, "[" GOOD("a") ",{\"a\":\"\\u12g4\"}," GOOD("c") "]", "ok:a invalid_json:- ok:c"},
        {JSON, "[1,\"x\",null,true,[],{}]",
         "invalid_type:- invalid_type:- invalid_type:- invalid_type:- invalid_type:- "
         "missing_field@event_type:-"},
        {JSON, "5", "invalid_type:-"},
        {JSON, " \"x,y\" ", "invalid_type:-"},
        {JSON, "null", "invalid_type:-"},
        {LINES, GOOD("a") "\n{\"x\n" GOOD("c"), "ok:a invalid_json:- ok:c"},
        {LINES, "5\n" GOOD("b") "\n{]\n", "invalid_type:- ok:b invalid_json:-"},
        {LINES, "[" GOOD("a") "]\n" GOOD("b") "\n", "invalid_type:- ok:b"},
        {LINES, GOOD("a") GOOD("b") "\n" GOOD("c") ",\n", "invalid_json:- invalid_json:-"},
        {LINES, "{\"events\":[]}\n", "unknown_field@events:-"},
        {LINES, "\xef\xbb\xbf" GOOD("a") "\n" GOOD("b") "\n", "invalid_json:- ok:b"},
    };

    (void)state;
    CHECK_TABLE(checks);
}

static void
test_decode__bad_whole_refuses_all(void **state)
{
    static const struct check checks[] = {
        {JSON, "", "!empty_body"},
        {JSON, " \n\t\r ", "!empty_body"},
        {LINES, "", "!empty_body"},
        {LINES, " \n \r\n", "!empty_body"},
        {JSON, "[", "!invalid_json"},
        {JSON, "{", "!invalid_json"},
        {JSON, "[" GOOD("a"), "!invalid_json"},
        {JSON, "[" GOOD("a") ",", "!invalid_json"},
        {JSON, "{\"event_type\":\"t\"", "!invalid_json"},
        {JSON, "{\"event_type", "!invalid_json"},
        {JSON, "{\"eve", "!invalid_json"},
        {JSON, "{\"events\"", "!invalid_json"},
        {JSON, "{\"events\":", "!invalid_json"},
        {JSON, "{\"events\":[]", "!invalid_json"},
        {JSON, "{\"events\":[" GOOD("a") "]", "!invalid_json"},
        {JSON, "{\"events\":[]]", "!invalid_json"},
        {JSON, "{\"events\":[],}", "!invalid_json"},
        {JSON, "{\"events\":[],\"x", "!invalid_json"},
        {JSON, "[" GOOD("a") ",{\"a\":\"x}," GOOD("c") "]", "!invalid_json"},
        {JSON, "[" GOOD("a") "}", "!invalid_json"},
        {JSON, "[}", "!invalid_json"},
        {JSON, "[" GOOD("a") ",{\"a\":1}}," GOOD("c") "]", "!invalid_json"},
        {JSON, "[{\"a\":[1},2]", "!invalid_json"},
        {JSON, "[" GOOD("a") "] x", "!invalid_json"},
        {JSON, "[" GOOD("a") "],", "!invalid_json"},
        {JSON, "[][]", "!invalid_json"},
        {JSON, GOOD("a") GOOD("b"), "!invalid_json"},
        {JSON, GOOD("a") "\n" GOOD("b"), "!invalid_json"},
        {JSON, "{\"events\":[]} x", "!invalid_json"},
        {JSON, "hello", "!invalid_json"},
        {JSON, "5 6", "!invalid_json"},
        {JSON, "\"x", "!invalid_json"},
        {JSON, "event_type=t&user_id=u", "!invalid_json"},
        {JSON, "]", "!invalid_json"},
        {JSON, "\xff\xfe", "!invalid_json"},
        {JSON, "\xef\xbb\xbf[]", "!invalid_json"},
        {JSON, "{\"events\":[],\"x\":1}", "!unknown_field@x"},
        {JSON, "{\"events\":[],\"event_type\":\"t\"}", "!unknown_field@event_type"},
        {JSON, "{\"events\":[],\"events\":[]}", "!duplicate_key@events"},
        {JSON, "{\"x\":1,\"events\":[]}", "!unknown_field@events"},
        {JSON, "{\"events\":5}", "!unknown_field@events"},
        {JSON, "{\"events\":{}}", "!unknown_field@events"},
    };

    (void)state;
    CHECK_TABLE(checks);
}

static void
test_decode__lines_sent_as_json_are_seen(void **state)
{
    static const char hint[] = "!invalid_json{text behind the end of the JSON value; lines? send "
                               "Content-Type: application/x-ndjson}";
    static const char plain[] = "!invalid_json{text behind the end of the JSON value}";

    (void)state;
    check_body(JSON, SLICE(GOOD("a") "\n" GOOD("b") "\n"), hint, true);
    check_body(JSON, SLICE(GOOD("a") " \r\n\t" GOOD("b")), hint, true);
    check_body(JSON, SLICE("{\"x\":tru}\n" GOOD("b")), hint, true);
    /* Told by the byte behind alone: nothing else is the same however the body is cut. */
    check_body(JSON, SLICE(GOOD("a") GOOD("b")), hint, true);
    check_body(JSON, SLICE("[" GOOD("a") "]{"), hint, true);
    check_body(JSON, SLICE(GOOD("a") "\n]"), plain, true);
    check_body(JSON, SLICE(GOOD("a") "\nx"), plain, true);
}

/* A broken element makes the cuts doubtful: they count only among objects. */
static void
test_decode__cuts_count_among_objects(void **state)
{
    static const struct check checks[] = {
        {JSON, "[{\"a\":},5]", "!invalid_json"},
        {JSON, "[5,{\"a\":}]", "!invalid_json"},
        {JSON, "[{\"a\":}," GOOD("b") ",\"x\"]", "!invalid_json"},
        {JSON, "[{\"a\":},{}," GOOD("c") "]", "invalid_json:- missing_field@event_type:- ok:c"},
        {JSON, "[{\"a\":\"\xff\"},5]", "invalid_utf8@a:- invalid_type:-"},
        /* Two stray quotes swap texts and structure between them: a text may be cut out as `{}`,
           but never as an event, whose keys would need quotes of their own. */
        {JSON, "[{\"a\":\"b\"\"},{\"n\":\"},{},{\"},{\"c\":\"\"d\"}," GOOD("e") "]",
         "invalid_json:- missing_field@event_type:- invalid_json:- ok:e"},
        {LINES, "{\"a\":}\n5\n", "invalid_json:- invalid_type:-"},
    };

    (void)state;
    CHECK_TABLE(checks);
}

static void
add_events(struct buf *body, uint32_t count, const char *between)
{
    for (uint32_t i = 0; i < count; i++) {
        buf_add_text(body, i != 0 ? between : "");
        buf_add_text(body, "{}");
    }
}

static void
check_count(enum event_format format, uint32_t count, const char *begin, const char *between,
            const char *end, bool is_accepted)
{
    struct buf body;
    struct buf expected;

    buf_init(&body, 1 << 20);
    buf_init(&expected, 1 << 20);
    buf_add_text(&body, begin);
    add_events(&body, count, between);
    buf_add_text(&body, end);
    for (uint32_t i = 0; is_accepted && i < count; i++)
        buf_add_text(&expected,
                     i != 0 ? " missing_field@event_type:-" : "missing_field@event_type:-");
    if (!is_accepted)
        buf_add_text(&expected, "!too_many_events");
    buf_add_char(&expected, '\0');
    check_body(format, buf_slice(&body), expected.ptr, false);
    buf_fini(&body);
    buf_fini(&expected);
}

static void
test_decode__limits_the_count(void **state)
{
    (void)state;
    for (uint32_t n = LIMIT_EVENTS_PER_REQUEST - 1; n <= LIMIT_EVENTS_PER_REQUEST + 1; n++) {
        check_count(JSON, n, "[", ",", "]", n <= LIMIT_EVENTS_PER_REQUEST);
        check_count(JSON, n, "{\"events\":[", ",", "]}", n <= LIMIT_EVENTS_PER_REQUEST);
        check_count(LINES, n, "", "\n", "", n <= LIMIT_EVENTS_PER_REQUEST);
    }
}

/* An event of exactly `bytes`, made long by `filler` in an unknown field (large_tail broken or
 * not). */
static void
add_large(struct buf *body, size_t bytes, const char *tail)
{
    const char *head = "{\"event_id\":\"a\",\"x\":\"";
    size_t filler = bytes - strlen(head) - strlen(tail);

    buf_add_text(body, head);
    for (size_t i = 0; i < filler; i++)
        buf_add_char(body, 'x');
    buf_add_text(body, tail);
}

static void
check_size(enum event_format format, const char *begin, size_t bytes, const char *tail,
           const char *end, const char *expected)
{
    struct buf body;

    buf_init(&body, 1 << 23);
    buf_add_text(&body, begin);
    add_large(&body, bytes, tail);
    buf_add_text(&body, end);
    check_body(format, buf_slice(&body), expected, false);
    buf_fini(&body);
}

static void
test_decode__limits_the_size_of_an_event(void **state)
{
    const size_t n = LIMIT_EVENT_BYTES;

    (void)state;
    for (size_t bytes = n - 1; bytes <= n; bytes++) {
        check_size(JSON, "", bytes, "\"}", "", "unknown_field@x:a");
        check_size(JSON, "[ ", bytes, "\"}", " ," GOOD("b") "]", "unknown_field@x:a ok:b");
        check_size(LINES, " ", bytes, "\"}", " \n" GOOD("b"), "unknown_field@x:a ok:b");
    }
    check_size(JSON, "", n + 1, "\"}", "", "event_too_large:~a");
    check_size(JSON, "[", n + 1, "\"}", "]", "event_too_large:~a");
    check_size(JSON, "{\"events\":[", n + 1, "\"}", "," GOOD("b") "]}", "event_too_large:~a ok:b");
    check_size(JSON, "[5,", n + 1, "\"}", "]", "invalid_type:- event_too_large:~a");
    check_size(LINES, " ", n + 1, "\"}", " \n" GOOD("b"), "event_too_large:~a ok:b");
    check_size(LINES, "", n + 1, "\"}", "", "event_too_large:~a");
    for (size_t bytes = n - 1; bytes <= n; bytes++) {
        check_size(JSON, "[", bytes, "\",}", "," GOOD("b") "]", "invalid_json:- ok:b");
        check_size(LINES, "", bytes, "\",}", "\n" GOOD("b"), "invalid_json:- ok:b");
    }
    /* Too large comes before broken; but what is broken makes the cuts doubtful. */
    check_size(JSON, "[", n + 1, "\",}", "," GOOD("b") "]", "event_too_large:~a ok:b");
    check_size(JSON, "[", n + 1, "\",}", ",5]", "!invalid_json");
    check_size(JSON, "[", n + 1, "\"}", ",{\"a\":}]", "event_too_large:~a invalid_json:-");
    check_size(JSON, "[", n + 1, "\"}", ",5]", "event_too_large:~a invalid_type:-");
    check_size(JSON, "[", 3 * n, "\"}", ",5]", "event_too_large:~a invalid_type:-");
    check_size(JSON, "[", n + 1, "", "", "!invalid_json");
}

static void
check_depth(const char *begin, uint32_t depth, const char *end, const char *expected)
{
    struct buf body;

    buf_init(&body, 1 << 20);
    buf_add_text(&body, begin);
    for (uint32_t i = 0; i < depth; i++)
        buf_add_char(&body, '[');
    for (uint32_t i = 0; i < depth; i++)
        buf_add_char(&body, ']');
    buf_add_text(&body, end);
    check_body(JSON, buf_slice(&body), expected, false);
    buf_fini(&body);
}

static void
test_decode__limits_the_depth_of_the_body(void **state)
{
    (void)state;
    /* The object is 1, so 63 arrays within it reach 64. */
    check_depth("{\"x\":", 62, "}", "unknown_field@x:-");
    check_depth("{\"x\":", 63, "}", "unknown_field@x:-");
    check_depth("{\"x\":", 64, "}", "too_deep:-");
    check_depth("[{\"x\":", 62, "}," GOOD("b") "]", "unknown_field@x:- ok:b");
    check_depth("[{\"x\":", 63, "}," GOOD("b") "]", "too_deep:- ok:b");
    check_depth("{\"events\":[{\"x\":", 61, "}," GOOD("b") "]}", "unknown_field@x:- ok:b");
    check_depth("{\"events\":[{\"x\":", 62, "}," GOOD("b") "]}", "too_deep:- ok:b");
    check_depth("[{\"x\":", 100000, "}," GOOD("b") "]", "too_deep:- ok:b");
}

static void
test_decode__keeps_what_was_sent(void **state)
{
    (void)state;
    check_body(
        JSON,
        slice_of_text("[{\"properties\": { \"a\" : 1.50e2 , \"b\":\"\\u0041\" },\"event_id\":"
                      "\"\\u0061\\/\\ud83d\\ude00\",\"event_type\":\"t\",\"user_id\":\"ю\","
                      "\"anonymous_id\":\"n\",\"session_id\":\"s\",\"occurred_at\":1},"
                      "{\"event_type\":\"t\",\"anonymous_id\":\"n\",\"user_id\":null,"
                      "\"properties\":null,\"event_id\":null,\"session_id\":null,"
                      "\"occurred_at\":null}]"),
        "ok:a/\xf0\x9f\x98\x80[t|ю|n|s|{ \"a\" : 1.50e2 , \"b\":\"\\u0041\" }|1000|"
        "1769860800000000|7] ok:+[t||n|||1769860800000000|1769860800000000|7]",
        true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode__finds_elements),
        cmocka_unit_test(test_decode__bad_element_costs_itself),
        cmocka_unit_test(test_decode__bad_whole_refuses_all),
        cmocka_unit_test(test_decode__lines_sent_as_json_are_seen),
        cmocka_unit_test(test_decode__cuts_count_among_objects),
        cmocka_unit_test(test_decode__limits_the_count),
        cmocka_unit_test(test_decode__limits_the_size_of_an_event),
        cmocka_unit_test(test_decode__limits_the_depth_of_the_body),
        cmocka_unit_test(test_decode__keeps_what_was_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
