/*
 * test_judge - the rules of one event: each on both sides of its limit, with code, field and id,
 * and the order in which they are asked.
 */
#include "check.h"
#include "event/limits.h"
#include <stdio.h>

#define JSON EVENT_FORMAT_JSON

static void
test_judge__requires_type_and_person(void **state)
{
    static const struct check checks[] = {
        {JSON, "{}", "missing_field@event_type:-"},
        {JSON, "{\"event_id\":\"a\"}", "missing_field@event_type:a"},
        {JSON, "{\"event_id\":\"a\",\"event_type\":null}", "missing_field@event_type:a"},
        {JSON, "{\"event_id\":\"a\",\"event_type\":\"t\"}", "missing_field@user_id:a"},
        {JSON, "{\"event_id\":\"a\",\"event_type\":\"t\",\"user_id\":null}",
         "missing_field@user_id:a"},
        {JSON, "{\"event_id\":\"a\",\"event_type\":\"t\",\"anonymous_id\":\"n\"}", "ok:a"},
        {JSON, "{\"event_type\":\"t\",\"user_id\":\"u\"}", "ok:+"},
        {JSON, "{\"event_id\":null,\"event_type\":\"t\",\"user_id\":\"u\"}", "ok:+"},
        {JSON, "{\"event_type\":\"t\"}", "missing_field@user_id:-"},
    };

    (void)state;
    CHECK_TABLE(checks);
}

static void
test_judge__types_of_fields(void **state)
{
    static const struct check checks[] = {
        {JSON, "{\"event_id\":1,\"event_type\":\"t\",\"user_id\":\"u\"}",
         "invalid_type@event_id:-"},
        {JSON, "{\"event_id\":{},\"event_type\":\"t\",\"user_id\":\"u\"}",
         "invalid_type@event_id:-"},
        {JSON, "{\"event_id\":\"a\",\"event_type\":5,\"user_id\":\"u\"}",
         "invalid_type@event_type:a"},
        {JSON, "{\"event_id\":\"a\",\"event_type\":\"t\",\"user_id\":1e999}",
         "invalid_type@user_id:a"},
        {JSON, "{\"event_id\":\"a\",\"event_type\":\"t\",\"user_id\":[]}",
         "invalid_type@user_id:a"},
        {JSON, WITH("\"anonymous_id\":true"), "invalid_type@anonymous_id:a"},
        {JSON, WITH("\"session_id\":7"), "invalid_type@session_id:a"},
        {JSON, WITH("\"occurred_at\":false"), "invalid_type@occurred_at:a"},
        {JSON, WITH("\"occurred_at\":{}"), "invalid_type@occurred_at:a"},
        {JSON, WITH("\"properties\":[]"), "invalid_type@properties:a"},
        {JSON, WITH("\"properties\":\"x\""), "invalid_type@properties:a"},
        {JSON, WITH("\"properties\":1"), "invalid_type@properties:a"},
        {JSON, WITH("\"properties\":{}"), "ok:a"},
    };

    (void)state;
    CHECK_TABLE(checks);
}

static void
test_judge__empty_and_nul_text(void **state)
{
    static const struct check checks[] = {
        {JSON, "{\"event_id\":\"\",\"event_type\":\"t\",\"user_id\":\"u\"}",
         "empty_field@event_id:-"},
        {JSON, "{\"event_id\":\"a\",\"event_type\":\"\",\"user_id\":\"u\"}",
         "empty_field@event_type:a"},
        {JSON, "{\"event_id\":\"a\",\"event_type\":\"t\",\"user_id\":\"\"}",
         "empty_field@user_id:a"},
        {JSON, WITH("\"anonymous_id\":\"\""), "empty_field@anonymous_id:a"},
        {JSON, WITH("\"session_id\":\"\""), "empty_field@session_id:a"},
        {JSON, WITH("\"occurred_at\":\"\""), "empty_field@occurred_at:a"},
        {JSON, "{\"event_id\":\" \",\"event_type\":\" \",\"user_id\":\" \"}", "ok: "},
        {JSON, "{\"event_id\":\"\\u0000\",\"event_type\":\"t\",\"user_id\":\"u\"}",
         "nul_character@event_id:-"},
        {JSON, "{\"event_id\":\"a\",\"event_type\":\"t\\u0000\",\"user_id\":\"u\"}",
         "nul_character@event_type:a"},
        {JSON, WITH("\"anonymous_id\":\"\\u0000n\""), "nul_character@anonymous_id:a"},
        {JSON, WITH("\"session_id\":\"s\\u0000\""), "nul_character@session_id:a"},
        {JSON, WITH("\"occurred_at\":\"2026\\u0000\""), "nul_character@occurred_at:a"},
        {JSON, WITH("\"properties\":{\"k\":[1,{\"m\":\"\\u0000\"}]}"),
         "nul_character@properties.k[1].m:a"},
        {JSON, WITH("\"properties\":{\"x\\u0000\":1}"), "nul_character@properties.x?:a"},
        {JSON, WITH("\"properties\":{\"x\":\"\\\\u0000\"}"), "ok:a"},
    };

    (void)state;
    CHECK_TABLE(checks);
}

/* `unit` repeated so that the decoded text has `bytes` bytes. */
static void
check_length(const char *name, const char *unit, size_t unit_bytes, size_t bytes,
             const char *expected)
{
    struct buf body;

    buf_init(&body, 1 << 20);
    buf_printf(&body, "{\"%s\":\"", name);
    for (size_t i = 0; i < bytes / unit_bytes; i++)
        buf_add_text(&body, unit);
    for (size_t i = 0; i < bytes % unit_bytes; i++)
        buf_add_char(&body, 'z');
    buf_add_text(&body, "\"");
    if (strcmp(name, "event_id") != 0)
        buf_add_text(&body, ",\"event_id\":\"a\"");
    if (strcmp(name, "event_type") != 0)
        buf_add_text(&body, ",\"event_type\":\"t\"");
    if (strcmp(name, "user_id") != 0)
        buf_add_text(&body, ",\"user_id\":\"u\"");
    buf_add_text(&body, "}");
    check_body(JSON, buf_slice(&body), expected, false);
    buf_fini(&body);
}

static void
test_judge__limits_lengths(void **state)
{
    static const struct {
        const char *name;
        size_t max;
    } fields[] = {{"event_type", LIMIT_EVENT_TYPE_BYTES},
                  {"user_id", LIMIT_USER_ID_BYTES},
                  {"anonymous_id", LIMIT_ANONYMOUS_ID_BYTES},
                  {"session_id", LIMIT_SESSION_ID_BYTES}};
    static const struct {
        const char *unit;
        size_t bytes;
    } units[] = {{"x", 1}, {"\\u0041", 1}, {"\xd1\x8e", 2}, {"\\ud83d\\ude00", 4}};
    char expected[64];

    (void)state;
    for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++) {
        for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
            snprintf(expected, sizeof(expected), "too_long@%s:a", fields[f].name);
            check_length(fields[f].name, units[u].unit, units[u].bytes, fields[f].max - 1, "ok:a");
            check_length(fields[f].name, units[u].unit, units[u].bytes, fields[f].max, "ok:a");
            check_length(fields[f].name, units[u].unit, units[u].bytes, fields[f].max + 1,
                         expected);
            check_length(fields[f].name, units[u].unit, units[u].bytes, 10000, expected);
        }
    }
    check_length("event_id", "\\u0041", 1, LIMIT_EVENT_ID_BYTES + 1, "too_long@event_id:-");
    check_length("event_id", "x", 1, LIMIT_EVENT_ID_BYTES + 1, "too_long@event_id:-");
    check_length("event_id", "x", 1, LIMIT_EVENT_ID_BYTES,
                 "ok:"
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}

static void
test_judge__unknown_and_repeated_keys(void **state)
{
    static const struct check checks[] = {
        {JSON, WITH("\"evnt_type\":1"), "unknown_field@evnt_type:a"},
        {JSON, WITH("\"\":1"), "unknown_field@:a"},
        {JSON, WITH("\"Event_Type\":\"t\""), "unknown_field@Event_Type:a"},
        {JSON, WITH("\"user_id\":\"v\""), "duplicate_key@user_id:a"},
        {JSON, WITH("\"user_id\":null"), "duplicate_key@user_id:a"},
        {JSON, WITH("\"us\\u0065r_id\":\"v\""), "duplicate_key@user_id:a"},
        {JSON, WITH("\"event_id\":\"b\""), "duplicate_key@event_id:-"},
        {JSON, WITH("\"properties\":{\"a\":1,\"a\":2}"), "duplicate_key@properties.a:a"},
        {JSON, WITH("\"properties\":{\"a\":1,\"\\u0061\":2}"), "duplicate_key@properties.a:a"},
        {JSON, WITH("\"properties\":{\"a\":1,\"A\":2,\"aa\":3,\"\":4}"), "ok:a"},
        {JSON, WITH("\"properties\":{\"\":1,\"\":2}"), "duplicate_key@properties.:a"},
        {JSON, WITH("\"properties\":{\"l\":[0,{\"b\":{\"c\":1,\"d\":2,\"c\":3}}]}"),
         "duplicate_key@properties.l[1].b.c:a"},
        {JSON, WITH("\"properties\":{\"a\":{\"x\":1},\"b\":{\"x\":1},\"x\":1}"), "ok:a"},
        {JSON, WITH("\"x\":{\"k\":1,\"k\":2}"), "unknown_field@x:a"},
        {JSON, WITH("\"properties\":{\"k\":1,\"k\":2},\"x\":1"), "duplicate_key@properties.k:a"},
        /* Keys come before the fields, syntax and encoding before the keys. */
        {JSON, "{\"event_id\":\"a\",\"x\":1}", "unknown_field@x:a"},
        {JSON, "{\"event_id\":\"a\",\"x\":1,\"y\":tru}", "invalid_json:-"},
        {JSON, WITH("\"x\":1,\"session_id\":\"\xff\""), "invalid_utf8@session_id:~a"},
    };

    (void)state;
    CHECK_TABLE(checks);
}

/* Many keys, with one repeated or none. */
static void
check_many_keys(uint32_t count, bool is_repeated)
{
    struct buf body;

    buf_init(&body, 1 << 22);
    buf_add_text(&body,
                 "{\"event_id\":\"a\",\"event_type\":\"t\",\"user_id\":\"u\",\"properties\":{");
    for (uint32_t i = 0; i < count; i++)
        buf_printf(&body, "\"k%u\":%u,", (unsigned)(i * 7919 % count), (unsigned)i);
    buf_printf(&body, "\"k%u\":0}}", (unsigned)(is_repeated ? count / 2 : count));
    if (is_repeated) {
        char expected[64];

        snprintf(expected, sizeof(expected), "duplicate_key@properties.k%u:a", count / 2);
        check_body(JSON, buf_slice(&body), expected, false);
    } else {
        check_body(JSON, buf_slice(&body),
                   count < 1000 ? "ok:a" : "properties_too_large@properties:a", false);
    }
    buf_fini(&body);
}

static void
test_judge__finds_repeats_among_many(void **state)
{
    (void)state;
    for (uint32_t count = 2; count < 40; count++) {
        check_many_keys(count, true);
        check_many_keys(count, false);
    }
    check_many_keys(50021, true);
    check_many_keys(50021, false);
}

static void
test_judge__encoding(void **state)
{
    static const struct check checks[] = {
        {JSON, "{\"event_id\":\"a\",\"event_type\":\"\xc3\x28\",\"user_id\":\"u\"}",
         "invalid_utf8@event_type:~a"},
        {JSON, "{\"event_id\":\"\xff\",\"event_type\":\"t\",\"user_id\":\"u\"}",
         "invalid_utf8@event_id:-"},
        {JSON, WITH("\"session_id\":\"\\ud800\""), "invalid_utf8@session_id:~a"},
        {JSON, WITH("\"session_id\":\"\\udc00\""), "invalid_utf8@session_id:~a"},
        {JSON, WITH("\"session_id\":\"\\ud800x\""), "invalid_utf8@session_id:~a"},
        {JSON, WITH("\"session_id\":\"\\ud800\\u0041\""), "invalid_utf8@session_id:~a"},
        {JSON, WITH("\"session_id\":\"\\udbff\\ue000\""), "invalid_utf8@session_id:~a"},
        {JSON, WITH("\"session_id\":\"\\ud800\\n\""), "invalid_utf8@session_id:~a"},
        {JSON, WITH("\"session_id\":\"\\ud800\\ud800\\udc00\""), "invalid_utf8@session_id:~a"},
        {JSON, WITH("\"session_id\":\"\\ud800\\udc00\""), "ok:a"},
        {JSON, WITH("\"session_id\":\"\\uD83D\\uDE00\""), "ok:a"},
        {JSON, WITH("\"session_id\":\"\xed\xa0\x80\""), "invalid_utf8@session_id:~a"},
        {JSON, WITH("\"session_id\":\"\xc0\x80\""), "invalid_utf8@session_id:~a"},
        {JSON, WITH("\"session_id\":\"\xf4\x90\x80\x80\""), "invalid_utf8@session_id:~a"},
        {JSON, WITH("\"session_id\":\"\xf4\x8f\xbf\xbf\""), "ok:a"},
        {JSON, WITH("\"session_id\":\"\xe2\x82\""), "invalid_utf8@session_id:~a"},
        {JSON, WITH("\"properties\":{\"a\":{\"b\":\"\x80\"}}"), "invalid_utf8@properties.a.b:~a"},
        {JSON, WITH("\"properties\":{\"a\":{\"\xff\":1}}"), "invalid_utf8@properties.a.?:~a"},
        {JSON, WITH("\"\\ud800\":1"), "invalid_utf8@\\ud800:~a"},
        {JSON, "[[\"\xff\"]]", "invalid_utf8@[0]:-"},
        {JSON, "[\"\xff\"]", "invalid_utf8:-"},
        {JSON, "[{\"a\":\"\xff\",\"b\":tru}]", "invalid_json:-"},
    };

    (void)state;
    CHECK_TABLE(checks);
}

static void
test_judge__time(void **state)
{
    /* Received at 2026-01-31T12:00:00Z. */
    static const struct check checks[] = {
        {JSON, WITH("\"occurred_at\":\"2026-01-31T12:00:00Z\""), "ok:a"},
        {JSON, WITH("\"occurred_at\":\"2026-01-31T12:00:00\\u005a\""), "ok:a"},
        {JSON, WITH("\"occurred_at\":\"2026-02-01T12:00:00Z\""), "ok:a"},
        {JSON, WITH("\"occurred_at\":\"2026-02-01T12:00:00.0000009Z\""), "ok:a"},
        {JSON, WITH("\"occurred_at\":\"2026-02-01T12:00:00.000001Z\""),
         "timestamp_too_late@occurred_at:a"},
        {JSON, WITH("\"occurred_at\":\"1970-01-01T00:00:00Z\""), "ok:a"},
        {JSON, WITH("\"occurred_at\":\"1970-01-01T00:00:00+00:01\""),
         "timestamp_too_early@occurred_at:a"},
        {JSON, WITH("\"occurred_at\":\"1969-12-31T23:59:59.999999Z\""),
         "timestamp_too_early@occurred_at:a"},
        {JSON, WITH("\"occurred_at\":\"2026-01-31 12:00:00Z\""), "invalid_timestamp@occurred_at:a"},
        {JSON, WITH("\"occurred_at\":\"1769860800000\""), "invalid_timestamp@occurred_at:a"},
        {JSON, WITH("\"occurred_at\":\"yesterday\""), "invalid_timestamp@occurred_at:a"},
        {JSON, WITH("\"occurred_at\":0"), "ok:a"},
        {JSON, WITH("\"occurred_at\":-0"), "ok:a"},
        {JSON, WITH("\"occurred_at\":-1"), "timestamp_too_early@occurred_at:a"},
        {JSON, WITH("\"occurred_at\":1769947200000"), "ok:a"},
        {JSON, WITH("\"occurred_at\":1769947200001"), "timestamp_too_late@occurred_at:a"},
        {JSON, WITH("\"occurred_at\":18446744073709551615"), "timestamp_too_late@occurred_at:a"},
        {JSON, WITH("\"occurred_at\":18446744073709551616"), "invalid_number@occurred_at:a"},
        {JSON, WITH("\"occurred_at\":1.5"), "invalid_timestamp@occurred_at:a"},
        {JSON, WITH("\"occurred_at\":1.0"), "invalid_timestamp@occurred_at:a"},
        {JSON, WITH("\"occurred_at\":1e3"), "invalid_timestamp@occurred_at:a"},
    };

    (void)state;
    CHECK_TABLE(checks);
}

static void
test_judge__numbers(void **state)
{
    static const struct check checks[] = {
        {JSON, WITH("\"properties\":{\"n\":18446744073709551615}"), "ok:a"},
        {JSON, WITH("\"properties\":{\"n\":18446744073709551616}"),
         "invalid_number@properties.n:a"},
        {JSON, WITH("\"properties\":{\"n\":-9223372036854775808}"), "ok:a"},
        {JSON, WITH("\"properties\":{\"n\":-9223372036854775809}"),
         "invalid_number@properties.n:a"},
        {JSON, WITH("\"properties\":{\"n\":1e308}"), "ok:a"},
        {JSON, WITH("\"properties\":{\"n\":-1E+308}"), "ok:a"},
        {JSON, WITH("\"properties\":{\"n\":10.00e307}"), "ok:a"},
        {JSON, WITH("\"properties\":{\"n\":0.001e311}"), "ok:a"},
        {JSON, WITH("\"properties\":{\"n\":1.0000000000000000000001e308}"),
         "invalid_number@properties.n:a"},
        {JSON, WITH("\"properties\":{\"n\":-2e308}"), "invalid_number@properties.n:a"},
        {JSON, WITH("\"properties\":{\"n\":1e309}"), "invalid_number@properties.n:a"},
        {JSON, WITH("\"properties\":{\"n\":9.99e307}"), "ok:a"},
        {JSON, WITH("\"properties\":{\"n\":1e99999999999999999999}"),
         "invalid_number@properties.n:a"},
        {JSON, WITH("\"properties\":{\"n\":0e99999999999999999999}"), "ok:a"},
        {JSON, WITH("\"properties\":{\"n\":1e-400}"), "ok:a"},
        {JSON, WITH("\"properties\":{\"n\":1e-401}"), "invalid_number@properties.n:a"},
        {JSON, WITH("\"properties\":{\"n\":1e-99999999999999999999}"),
         "invalid_number@properties.n:a"},
        {JSON, WITH("\"properties\":{\"a\":{\"b\":[0,1e999]}}"),
         "invalid_number@properties.a.b[1]:a"},
        {JSON, WITH("\"properties\":{\"n\":NaN}"), "invalid_json:-"},
        {JSON, WITH("\"properties\":{\"n\":Infinity}"), "invalid_json:-"},
        {JSON, WITH("\"properties\":{\"n\":1.}"), "invalid_json:-"},
        {JSON, WITH("\"properties\":{\"n\":.5}"), "invalid_json:-"},
        {JSON, WITH("\"properties\":{\"n\":1e}"), "invalid_json:-"},
        {JSON, WITH("\"properties\":{\"n\":-}"), "invalid_json:-"},
        {JSON, WITH("\"properties\":{\"n\":00}"), "invalid_json:-"},
        {JSON, WITH("\"properties\":{\"n\":-01}"), "invalid_json:-"},
        {JSON, WITH("\"properties\":{\"n\":1 2}"), "invalid_json:-"},
        {JSON, WITH("\"properties\":{\"n\":-0,\"m\":0.0,\"o\":-0.0e-0}"), "ok:a"},
    };

    (void)state;
    CHECK_TABLE(checks);
}

static void
check_digits(const char *before, size_t digits, const char *after, const char *expected)
{
    struct buf body;

    buf_init(&body, 1 << 20);
    buf_add_text(
        &body, "{\"event_id\":\"a\",\"event_type\":\"t\",\"user_id\":\"u\",\"properties\":{\"n\":");
    buf_add_text(&body, before);
    for (size_t i = 0; i < digits; i++)
        buf_add_char(&body, '1');
    buf_add_text(&body, after);
    buf_add_text(&body, "}}");
    check_body(JSON, buf_slice(&body), expected, false);
    buf_fini(&body);
}

static void
test_judge__limits_digits(void **state)
{
    const size_t n = LIMIT_NUMBER_DIGITS;

    (void)state;
    check_digits("0.", n - 2, "", "ok:a");
    check_digits("0.", n - 1, "", "ok:a");
    check_digits("0.", n, "", "invalid_number@properties.n:a");
    check_digits("-0.", n - 1, "e5", "ok:a");
    check_digits("-0.", n, "e5", "invalid_number@properties.n:a");
    check_digits("", n, "e-400", "ok:a");
    check_digits("", n + 1, "e-400", "invalid_number@properties.n:a");
    check_digits("", 309, ".5", "invalid_number@properties.n:a");
    check_digits("", 308, ".5", "ok:a");
    check_digits("", 20, "", "ok:a");
    check_digits("", 21, "", "invalid_number@properties.n:a");
}

static void
check_properties_size(size_t bytes, const char *expected)
{
    struct buf body;

    buf_init(&body, 1 << 20);
    buf_add_text(
        &body,
        "{\"event_id\":\"a\",\"event_type\":\"t\",\"user_id\":\"u\",\"properties\": {\"x\":\"");
    for (size_t i = 0; i < bytes - 8; i++)
        buf_add_char(&body, 'x');
    buf_add_text(&body, "\"} }");
    check_body(JSON, buf_slice(&body), expected, false);
    buf_fini(&body);
}

static void
check_properties_depth(uint32_t depth, const char *expected)
{
    struct buf body;

    buf_init(&body, 1 << 20);
    buf_add_text(
        &body, "{\"event_id\":\"a\",\"event_type\":\"t\",\"user_id\":\"u\",\"properties\":{\"x\":");
    for (uint32_t i = 1; i < depth; i++)
        buf_add_char(&body, '[');
    for (uint32_t i = 1; i < depth; i++)
        buf_add_char(&body, ']');
    buf_add_text(&body, depth == 1 ? "1}}" : "}}");
    check_body(JSON, buf_slice(&body), expected, false);
    buf_fini(&body);
}

static void
test_judge__limits_properties(void **state)
{
    (void)state;
    check_properties_size(LIMIT_PROPERTIES_BYTES - 1, "ok:a");
    check_properties_size(LIMIT_PROPERTIES_BYTES, "ok:a");
    check_properties_size(LIMIT_PROPERTIES_BYTES + 1, "properties_too_large@properties:a");
    check_properties_depth(LIMIT_PROPERTIES_DEPTH - 1, "ok:a");
    check_properties_depth(LIMIT_PROPERTIES_DEPTH, "ok:a");
    check_properties_depth(LIMIT_PROPERTIES_DEPTH + 1,
                           "too_deep@properties.x[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]:a");
}

static void
test_judge__asks_in_order(void **state)
{
    static const struct check checks[] = {
        {JSON,
         "{\"properties\":1,\"occurred_at\":true,\"session_id\":1,\"anonymous_id\":1,"
         "\"user_id\":1,\"event_type\":1,\"event_id\":1}",
         "invalid_type@event_id:-"},
        {JSON,
         "{\"properties\":1,\"occurred_at\":true,\"session_id\":1,\"anonymous_id\":1,"
         "\"user_id\":1,\"event_type\":1,\"event_id\":\"a\"}",
         "invalid_type@event_type:a"},
        {JSON,
         "{\"properties\":1,\"occurred_at\":true,\"session_id\":1,\"anonymous_id\":1,"
         "\"user_id\":1,\"event_type\":\"t\",\"event_id\":\"a\"}",
         "invalid_type@user_id:a"},
        {JSON,
         "{\"properties\":1,\"occurred_at\":true,\"session_id\":1,\"anonymous_id\":1,"
         "\"event_type\":\"t\",\"event_id\":\"a\"}",
         "invalid_type@anonymous_id:a"},
        {JSON,
         "{\"properties\":1,\"occurred_at\":true,\"session_id\":1,\"event_type\":\"t\","
         "\"event_id\":\"a\"}",
         "missing_field@user_id:a"},
        {JSON, WITH("\"properties\":1,\"occurred_at\":true,\"session_id\":1"),
         "invalid_type@session_id:a"},
        {JSON, WITH("\"properties\":1,\"occurred_at\":true"), "invalid_type@occurred_at:a"},
        {JSON, WITH("\"properties\":1"), "invalid_type@properties:a"},
    };

    (void)state;
    CHECK_TABLE(checks);
}

static void
test_judge__says_field_and_cure(void **state)
{
    (void)state;
    check_body(JSON, slice_of_text(WITH("\"occurred_at\":\"x\"")),
               "invalid_timestamp@occurred_at:a{occurred_at: not RFC 3339; send "
               "2026-01-31T12:00:00Z or Unix milliseconds}",
               true);
    check_body(
        JSON, slice_of_text(WITH("\"occurred_at\":\"2026-01-01T00:00:00\"")),
        "invalid_timestamp@occurred_at:a{occurred_at: not RFC 3339: the time zone is missing "
        "(Z or ±hh:mm); send 2026-01-31T12:00:00Z or Unix milliseconds}",
        true);
    check_body(JSON, slice_of_text(WITH("\"occurred_at\":\"2026-13-01T00:00:00\"")),
               "invalid_timestamp@occurred_at:a{occurred_at: not RFC 3339; send "
               "2026-01-31T12:00:00Z or Unix milliseconds}",
               true);
    check_body(JSON, slice_of_text(WITH("\"x\":1")),
               "unknown_field@x:a{x: no such field; put data of your own into properties. The "
               "fields: event_id, event_type, user_id, anonymous_id, session_id, occurred_at, "
               "properties}",
               true);
    check_body(JSON, slice_of_text(WITH("\"x\":tru")),
               "invalid_json:-{not valid JSON: a value was expected, at byte 51 of the event}",
               true);
}

static void
test_judge__names_the_field_that_was_meant(void **state)
{
    static const char *const slips[][2] = {
        {"userId", "user_id"},
        {"userid", "user_id"},
        {"user", "user_id"},
        {"eventId", "event_id"},
        {"id", "event_id"},
        {"messageId", "event_id"},
        {"event", "event_type"},
        {"eventType", "event_type"},
        {"type", "event_type"},
        {"name", "event_type"},
        {"event_typ", "event_type"},
        {"timestamp", "occurred_at"},
        {"time", "occurred_at"},
        {"occurredAt", "occurred_at"},
        {"anonymousId", "anonymous_id"},
        {"distinct_id", "anonymous_id"},
        {"sessionId", "session_id"},
        {"props", "properties"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(slips) / sizeof(slips[0]); i++) {
        char body[256], want[256];

        (void)snprintf(body, sizeof(body),
                       "{\"event_id\":\"a\",\"event_type\":\"t\",\"user_id\":\"u\",\"%s\":1}",
                       slips[i][0]);
        (void)snprintf(
            want, sizeof(want),
            "unknown_field@%s:a{%s: no such field; did you mean \"%s\"? Data of your own "
            "goes into properties}",
            slips[i][0], slips[i][0], slips[i][1]);
        check_body(JSON, slice_of_text(body), want, true);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge__names_the_field_that_was_meant),
        cmocka_unit_test(test_judge__requires_type_and_person),
        cmocka_unit_test(test_judge__types_of_fields),
        cmocka_unit_test(test_judge__empty_and_nul_text),
        cmocka_unit_test(test_judge__limits_lengths),
        cmocka_unit_test(test_judge__unknown_and_repeated_keys),
        cmocka_unit_test(test_judge__finds_repeats_among_many),
        cmocka_unit_test(test_judge__encoding),
        cmocka_unit_test(test_judge__time),
        cmocka_unit_test(test_judge__numbers),
        cmocka_unit_test(test_judge__limits_digits),
        cmocka_unit_test(test_judge__limits_properties),
        cmocka_unit_test(test_judge__asks_in_order),
        cmocka_unit_test(test_judge__says_field_and_cure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
