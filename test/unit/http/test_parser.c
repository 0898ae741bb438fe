/*
 * test_parser - heads and chunked bodies by the table, in every split, and at every limit.
 */
#include "peer.h"
#include "requests.h"

#include "base/mem.h"
#include <stdio.h>

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
/* clang-format on */

static void
check(const struct request_case *request_case, const struct verdict *verdict,
      const struct verdict *whole, size_t split)
{
    int status = verdict->status;

    if (status != whole->status || verdict->used != whole->used ||
        verdict->body_bytes != whole->body_bytes || verdict->body_hash != whole->body_hash ||
        verdict->head_hash != whole->head_hash || verdict->reason != whole->reason)
        fail_msg("requests.inc:%d: split at %zu: %d %s, whole: %d %s", request_case->line, split,
                 status, verdict->reason != NULL ? verdict->reason : "", whole->status,
                 whole->reason != NULL ? whole->reason : "");
}

/* Unknown methods are the handler's business: the parsers find nothing wrong. */
static int
expected_status(const struct request_case *request_case)
{
    return request_case->status == 501 && request_case->is_kept ? 200 : request_case->status;
}

static void
test_parser__judges_every_request_of_the_table(void **state)
{
    (void)state;
    assert_true(request_case_count >= 150);
    for (size_t i = 0; i < request_case_count; i++) {
        struct slice bytes = request_case_bytes(&request_cases[i]);
        struct verdict verdict = request_read_split(bytes, bytes.len, 0);

        if (verdict.status != expected_status(&request_cases[i]))
            fail_msg("requests.inc:%d: %d %s", request_cases[i].line, verdict.status,
                     verdict.reason != NULL ? verdict.reason : "");
        mem_free((void *)(uintptr_t)bytes.ptr);
    }
    printf("%zu requests\n", request_case_count);
}

static void
test_parser__does_not_mind_splits(void **state)
{
    (void)state;
    for (size_t i = 0; i < request_case_count; i++) {
        const struct request_case *request_case = &request_cases[i];
        struct slice bytes = request_case_bytes(request_case);
        struct verdict whole = request_read_split(bytes, bytes.len, 0);
        struct verdict single = request_read_split(bytes, 0, 1);
        /* Long fills are alike inside: every offset near their ends, and some between. */
        size_t near = request_case->begin.len + 40;
        size_t far = bytes.len - request_case->end.len - (bytes.len > 40 ? 40 : 0);
        size_t stride = bytes.len > 100000 ? 65537 : 1009;

        check(request_case, &single, &whole, 1);
        for (size_t split = 1; split < bytes.len; split++) {
            struct verdict verdict;

            if (request_case->fill_count > 0 && split > near && split < far && split % stride != 0)
                continue;
            verdict = request_read_split(bytes, split, 0);
            check(request_case, &verdict, &whole, split);
        }
        mem_free((void *)(uintptr_t)bytes.ptr);
    }
}

/* A prefix of a good request is neither good nor bad. */
static void
test_parser__waits_for_the_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < request_case_count; i++) {
        const struct request_case *request_case = &request_cases[i];
        struct slice bytes = request_case_bytes(request_case);
        struct verdict whole = request_read_split(bytes, bytes.len, 0);

        for (size_t len = 1;
             whole.status == 200 && request_case->fill_count == 0 && len < whole.used; len++) {
            struct verdict verdict = request_read_split(slice_of(bytes.ptr, len), len, 0);

            if (verdict.status != 0)
                fail_msg("requests.inc:%d: %d after %zu bytes", request_case->line, verdict.status,
                         len);
        }
        mem_free((void *)(uintptr_t)bytes.ptr);
    }
}

static void
test_parser__takes_at_most_128_fields(void **state)
{
    (void)state;
    for (unsigned count = HTTP_FIELDS_MAX - 1; count <= HTTP_FIELDS_MAX + 1; count++) {
        struct buf head;
        struct verdict verdict;

        buf_init(&head, 65536);
        buf_add_text(&head, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (unsigned i = 1; i < count; i++)
            buf_printf(&head, "X-%u: %u\r\n", i, i);
        buf_add_text(&head, "\r\n");
        verdict = request_read_split(buf_slice(&head), head.len, 0);
        assert_int_equal(verdict.status, count <= HTTP_FIELDS_MAX ? 200 : 431);
        buf_fini(&head);
    }
}

static void
test_parser__cuts_fields_and_target(void **state)
{
    static const char bytes[] =
        "\r\nPOST http://h/p%41?q=1 HTTP/1.1\r\nHost:h\r\nX-A: \t v w \t\r\n\r\nrest";
    static const struct http_head_limits limits = {16384, 8192};
    static struct http_head head;
    struct http_request request;
    const char *reason = NULL;

    (void)state;
    http_head_init(&head);
    assert_int_equal(http_head_parse(&head, &limits, bytes, sizeof(bytes) - 1), HTTP_PARSE_DONE);
    assert_int_equal(head.bytes, sizeof(bytes) - 1 - 4);
    assert_int_equal(head.field_count, 2);
    assert_int_equal(head.minor, 1);
    assert_memory_equal(bytes + head.fields[1].name_at, "X-A", 3);
    assert_int_equal(head.fields[1].value_len, 3);
    assert_memory_equal(bytes + head.fields[1].value_at, "v w", 3);
    assert_int_equal(http_request_read(&head, bytes, &request, &reason), ERR_OK);
    assert_int_equal(request.method, HTTP_POST);
    assert_int_equal(request.path_len, 5);
    assert_memory_equal(bytes + request.path_at, "/p%41", 5);
    assert_int_equal(request.query_len, 3);
    assert_memory_equal(bytes + request.query_at, "q=1", 3);
    assert_int_equal(request.content_length, -1);
}

static bool
is_among(unsigned char c, const char *extra)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != 0 && strchr(extra, c) != NULL);
}

/* RFC 9110 §5.6.2, RFC 3986 §2, RFC 9110 §5.5. */
static void
test_parser__knows_the_rfcs_characters(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        unsigned char c = (unsigned char)i;

        assert_int_equal(http_is((char)c, HTTP_CLASS_TOKEN), is_among(c, "!#$%&'*+-.^_`|~"));
        assert_int_equal(http_is((char)c, HTTP_CLASS_PATH), is_among(c, "-._~!$&'()*+,;=:@/%"));
        assert_int_equal(http_is((char)c, HTTP_CLASS_QUERY),
                         is_among(c, "-._~!$&'()*+,;=:@/%?[]{}|\\^`"));
        assert_int_equal(http_is((char)c, HTTP_CLASS_HOST), is_among(c, "-._~!$&'()*+,;=%"));
        assert_int_equal(http_is((char)c, HTTP_CLASS_ID), is_among(c, "._-"));
        assert_int_equal(http_is((char)c, HTTP_CLASS_VALUE), c == '\t' || (c >= 32 && c != 127));
        assert_int_equal(http_is((char)c, HTTP_CLASS_DIGIT), c >= '0' && c <= '9');
        assert_int_equal(http_is((char)c, HTTP_CLASS_HEX), (c >= '0' && c <= '9') ||
                                                               (c >= 'a' && c <= 'f') ||
                                                               (c >= 'A' && c <= 'F'));
    }
}

/* Every character in every place of names of 1 to 20 characters, against a loop. */
static void
test_parser__compares_names_without_case(void **state)
{
    static const char letters[] = "abc-0_~xyz9.mnoprstuvw"; /* 22, a case for each kind */
    char given[20];

    (void)state;
    for (size_t len = 0; len <= sizeof(given); len++) {
        memcpy(given, letters, sizeof(given));
        assert_true(http_text_is(given, len, letters, len));
        assert_false(http_text_is(given, len, letters, len + 1));
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                bool is_same = c == letters[at] || (c >= 'A' && c <= 'Z' && c + 32 == letters[at]);

                given[at] = (char)c;
                assert_int_equal(http_text_is(given, len, letters, len), is_same);
            }
            given[at] = letters[at];
        }
    }
}

/* The first of several, and how many there are; names of the same length are not taken for it. */
static void
test_parser__notes_authorization(void **state)
{
    static const char text[] =
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorizatiom: x\r\nAUTHORIZATION: one\r\n"
        "X-Potik-Key: k\r\nauthorization:  two \r\n\r\n";
    const struct http_head_limits limits = {.head_bytes_max = 16384, .url_bytes_max = 8192};
    struct http_request request;
    struct http_head head;
    const char *reason = NULL;

    (void)state;
    http_head_init(&head);
    assert_int_equal(http_head_parse(&head, &limits, text, sizeof(text) - 1), HTTP_PARSE_DONE);
    assert_int_equal(http_request_read(&head, text, &request, &reason), ERR_OK);
    assert_int_equal(request.authorization_count, 2);
    assert_int_equal(request.authorization_len, 3);
    assert_memory_equal(text + request.authorization_at, "one", 3);
    assert_int_equal(request.name_lengths, 1U << 4 | 1U << 13 | 1U << 11);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parser__judges_every_request_of_the_table),
        cmocka_unit_test(test_parser__does_not_mind_splits),
        cmocka_unit_test(test_parser__waits_for_the_whole),
        cmocka_unit_test(test_parser__takes_at_most_128_fields),
        cmocka_unit_test(test_parser__cuts_fields_and_target),
        cmocka_unit_test(test_parser__knows_the_rfcs_characters),
        cmocka_unit_test(test_parser__compares_names_without_case),
        cmocka_unit_test(test_parser__notes_authorization),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
