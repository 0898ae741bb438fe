/*
 * replies: the bytes of what clients read - JSON strings, errors, the verdicts of a batch.
 */
#include "../test.h"

#include "api/error.h"
#include "api/json.h"
#include "api/verdicts.h"

static void
test_replies__json_text(void **state)
{
    static const struct {
        struct slice text;
        const char *json;
    } rows[] = {
        {{NULL, 0}, "null"},
        {{"", 0}, "\"\""},
        {{"plain", 5}, "\"plain\""},
        {{"a\"b\\c", 5}, "\"a\\\"b\\\\c\""},
        {{"\n\r\t\x01\x1f", 5}, "\"\\n\\r\\t\\u0001\\u001f\""},
        {{"\0x", 2}, "\"\\u0000x\""},
        {{"\xd1\x96\xf0\x9f\x98\x80", 6}, "\"\xd1\x96\xf0\x9f\x98\x80\""},
        {{"a\xff\xc0z", 4}, "\"a\xef\xbf\xbd\xef\xbf\xbdz\""},
        {{"\xd1", 1}, "\"\xef\xbf\xbd\""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf buf;

        buf_init(&buf, 1024);
        json_add_text(&buf, rows[i].text);
        assert_slice_equal(buf_slice(&buf), rows[i].json);
        buf_fini(&buf);
    }
}

static void
test_replies__error_body(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1024);
    error_add_body(&buf, ERR_INVALID_PARAMETER, "limit: \"x\"", "limit", SLICE("r-1"));
    assert_slice_equal(
        buf_slice(&buf),
        "{\"error\":{\"code\":\"invalid_parameter\",\"message\":\"limit: \\\"x\\\"\","
        "\"field\":\"limit\",\"request_id\":\"r-1\"}}\n");
    buf_clear(&buf);
    error_add_body(&buf, ERR_NOT_FOUND, NULL, NULL, SLICE("r"));
    assert_slice_equal(buf_slice(&buf), "{\"error\":{\"code\":\"not_found\",\"message\":\"there is "
                                        "nothing at this address\",\"field\":null,"
                                        "\"request_id\":\"r\"}}\n");
    /* Words of the inside stay inside. */
    buf_clear(&buf);
    error_add_body(&buf, ERR_IO, "/secret/path: Input/output error", "", SLICE("r"));
    assert_null(memmem(buf.ptr, buf.len, "secret", 6));
    assert_non_null(memmem(buf.ptr, buf.len, "internal_error", 14));
    buf_fini(&buf);
}

static void
test_replies__verdicts(void **state)
{
    struct event_entry entries[5] = {
        {.err = ERR_OK, .event.event_id = SLICE("a"), .has_id = true},
        {.err = ERR_OK, .event.event_id = SLICE("made"), .is_id_assigned = true},
        {.err = ERR_TOO_LONG,
         .event.event_id = SLICE("e-9"),
         .has_id = true,
         .field = SLICE("user_id"),
         .message = SLICE("user_id: too long")},
        {.err = ERR_INVALID_JSON},
        /* told, but not to be probed */
        {.err = ERR_EVENT_TOO_LARGE, .event.event_id = SLICE("e-7"), .message = SLICE("too large")},
    };
    enum ingest_verdict verdicts[5] = {INGEST_DUPLICATE, INGEST_ACCEPTED, INGEST_REJECTED,
                                       INGEST_REJECTED, INGEST_REJECTED};
    struct ingest_request request = {
        .batch = {entries, 5},
        .verdicts = verdicts,
        .accepted = 1,
        .duplicates = 1,
        .rejected = 3,
    };
    struct buf buf;

    (void)state;
    buf_init(&buf, 4096);
    assert_int_equal(verdicts_write(&buf, &request, SLICE("p.1"), true, SLICE("r")), 200);
    assert_slice_equal(
        buf_slice(&buf),
        "{\"accepted\":1,\"duplicates\":1,\"rejected\":3,\"position\":\"p.1\",\"errors\":["
        "{\"index\":2,\"event_id\":\"e-9\",\"code\":\"too_long\",\"message\":\"user_id: too "
        "long\",\"field\":\"user_id\"},"
        "{\"index\":3,\"event_id\":null,\"code\":\"invalid_json\",\"message\":\"the text is not "
        "JSON\",\"field\":null},"
        "{\"index\":4,\"event_id\":\"e-7\",\"code\":\"event_too_large\",\"message\":\"too "
        "large\",\"field\":null}],"
        "\"assigned\":[{\"index\":1,\"event_id\":\"made\"}],"
        "\"results\":[\"duplicate\",\"accepted\",\"rejected\",\"rejected\",\"rejected\"]}\n");
    buf_fini(&buf);
}

static void
test_replies__empty_and_all_rejected(void **state)
{
    struct event_entry entry = {.err = ERR_INVALID_TYPE};
    enum ingest_verdict verdict = INGEST_REJECTED;
    struct ingest_request request = {.verdicts = &verdict};
    struct buf buf;

    (void)state;
    buf_init(&buf, 4096);
    assert_int_equal(verdicts_write(&buf, &request, SLICE("p"), false, SLICE("r")), 200);
    assert_slice_equal(buf_slice(&buf), "{\"accepted\":0,\"duplicates\":0,\"rejected\":0,"
                                        "\"position\":\"p\",\"errors\":[]}\n");
    buf_clear(&buf);
    request.batch = (struct event_batch){.entries = &entry, .count = 1};
    request.rejected = 1;
    assert_int_equal(verdicts_write(&buf, &request, SLICE("p"), false, SLICE("r")), 400);
    assert_non_null(memmem(buf.ptr, buf.len, "\"code\":\"all_rejected\"", 21));
    buf_fini(&buf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies__json_text),
        cmocka_unit_test(test_replies__error_body),
        cmocka_unit_test(test_replies__verdicts),
        cmocka_unit_test(test_replies__empty_and_all_rejected),
    };

    return cmocka_run_group_tests_name("replies", tests, NULL, NULL);
}
