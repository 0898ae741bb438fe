/*
 * test_link - what a link stores and what it says, on a real PostgreSQL.
 */
#include "base/counter.h"
#include "codec/hash.h"
#include "event/decode.h"
#include "event/limits.h"
#include "link_fixture.h"

static void
add_number(struct link_fixture *fixture, int which, unsigned number)
{
    char id[24];

    (void)snprintf(id, sizeof(id), "%08x", number * 2654435761U);
    (void)link_fixture_add(fixture, which, id, false);
}

static void
assert_verdict(const struct link_fixture *fixture, int which, uint32_t i,
               enum store_verdict verdict)
{
    assert_int_equal(fixture->batches[which].items[i].verdict, verdict);
}

static void
test_link__new_is_accepted_and_stored_is_duplicate(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_position first;

    (void)link_fixture_add(fixture, 0, "a", false);
    (void)link_fixture_add(fixture, 0, "b", false);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_int_equal(fixture->batches[0].accepted_count, 2);
    assert_int_equal(fixture->batches[0].position.generation, 1);
    assert_int_equal(fixture->batches[0].position.minor, 0);
    first = fixture->batches[0].position;
    assert_int_equal(link_fixture_sql(fixture, "SELECT count(*) FROM events WHERE xid < '%llu'",
                                      (unsigned long long)first.major),
                     2);
    (void)link_fixture_add(fixture, 1, "c", false);
    (void)link_fixture_add(fixture, 1, "b", false);
    assert_int_equal(link_fixture_run(fixture, 1), ERR_OK);
    assert_verdict(fixture, 1, 0, STORE_ACCEPTED);
    assert_verdict(fixture, 1, 1, STORE_DUPLICATE);
    assert_int_equal(fixture->batches[1].accepted_count, 1);
    assert_true(fixture->batches[1].position.major > first.major);
    assert_int_equal(link_fixture_sql(fixture, "SELECT count(*) FROM events"), 3);
}

static void
test_link__projects_do_not_share_ids(void **state)
{
    struct link_fixture *fixture = *state;

    (void)link_fixture_add(fixture, 0, "a", false);
    link_fixture_add(fixture, 0, "a", false)->project_id = 2;
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_int_equal(fixture->batches[0].accepted_count, 2);
}

static void
test_link__probes_ask_and_store_nothing(void **state)
{
    static const enum store_verdict wanted[] = {STORE_ABSENT, STORE_ACCEPTED, STORE_DUPLICATE,
                                                STORE_ABSENT, STORE_DUPLICATE};
    struct link_fixture *fixture = *state;

    (void)link_fixture_add(fixture, 0, "old", false);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    link_fixture_clear(fixture, 0);
    (void)link_fixture_add(fixture, 0, "x", true);
    (void)link_fixture_add(fixture, 0, "x", false);
    (void)link_fixture_add(fixture, 0, "x", true);
    (void)link_fixture_add(fixture, 0, "y", true);
    (void)link_fixture_add(fixture, 0, "old", true);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    for (uint32_t i = 0; i < COUNT_OF(wanted); i++)
        assert_verdict(fixture, 0, i, wanted[i]);
    assert_int_equal(link_fixture_sql(fixture, "SELECT count(*) FROM events"), 2);
    link_fixture_clear(fixture, 0);
    (void)link_fixture_add(fixture, 0, "y", true); /* probes alone */
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_verdict(fixture, 0, 0, STORE_ABSENT);
}

static void
test_link__erased_ids_stay_refused(void **state)
{
    struct link_fixture *fixture = *state;
    struct event *event = link_fixture_add(fixture, 0, "gone", false);
    uint8_t input[1 + 4 + 4] = {4, 1, 0, 0, 0, 'g', 'o', 'n', 'e'};
    uint8_t secret[16];
    uint8_t digest[16];
    char hex[33] = {0};
    PGresult *result = PQexec(fixture->admin, "SELECT encode(hash_secret, 'hex') FROM potik_state");

    for (size_t i = 0; i < 16; i++) {
        char digits[3] = {PQgetvalue(result, 0, 0)[2 * i], PQgetvalue(result, 0, 0)[2 * i + 1], 0};

        secret[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    PQclear(result);
    hash_siphash_128(secret, slice_of((const char *)input, sizeof(input)), digest);
    hash_hex(digest, sizeof(digest), hex);
    (void)link_fixture_sql(fixture, "INSERT INTO erased VALUES (1, '\\x%s')", hex);
    (void)link_fixture_add(fixture, 0, "here", false);
    (void)link_fixture_add(fixture, 0, "gone", true);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_verdict(fixture, 0, 0, STORE_DUPLICATE);
    assert_verdict(fixture, 0, 1, STORE_ACCEPTED);
    assert_verdict(fixture, 0, 2, STORE_DUPLICATE);
    fixture->batches[0].count = 0;
    (void)link_fixture_add(fixture, 0, "gone", true);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_verdict(fixture, 0, 0, STORE_DUPLICATE);
    event->project_id = 2;
    link_fixture_clear(fixture, 0);
    link_fixture_add(fixture, 0, "gone", false)->project_id = 2;
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_verdict(fixture, 0, 0, STORE_ACCEPTED);
}

/* A page that is caught up ends at (generation, xmin, 0), and the next batch mostly takes xmin as
 * its xid: its first row must stand behind that. */
static void
test_link__what_comes_after_a_caught_up_page_is_read(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_position cursor = {0};
    struct store_page page;
    struct arena arena;
    char id[24];

    arena_init(&arena, 65536, (size_t)64 << 20);
    for (unsigned round = 0; round < 5; round++) {
        assert_int_equal(
            store_read_after(fixture->store, cursor, 100, (size_t)1 << 20, &arena, &page, NULL),
            ERR_OK);
        cursor = page.next;
        link_fixture_clear(fixture, 0);
        for (unsigned i = 0; i < 2; i++) {
            snprintf(id, sizeof(id), "r%u-%u", round, i);
            link_fixture_add(fixture, 0, id, false);
        }
        assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
        assert_int_equal(
            store_read_after(fixture->store, cursor, 100, (size_t)1 << 20, &arena, &page, NULL),
            ERR_OK);
        assert_int_equal(page.count, 2);
        assert_true(page.rows[0].position.minor > 0);
        cursor = page.next;
    }
    arena_fini(&arena);
}

static void
test_link__batches_of_every_size_are_stored_whole(void **state)
{
    static const unsigned sizes[] = {1, 9999, 10000, 10001};
    struct link_fixture *fixture = *state;
    unsigned number = 0;

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        link_fixture_clear(fixture, 0);
        for (unsigned k = 0; k < sizes[i]; k++)
            add_number(fixture, 0, number++);
        assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
        assert_int_equal(fixture->batches[0].accepted_count, sizes[i]);
        assert_int_equal(link_fixture_sql(fixture, "SELECT count(*) FROM events"), number);
        assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
        assert_int_equal(fixture->batches[0].accepted_count, 0);
    }
}

/* Ids fall while events come in: rows are stored in the order of ids, and read in that of arrival.
 */
static void
test_link__rows_are_read_in_the_order_of_arrival(void **state)
{
    struct link_fixture *fixture = *state;
    struct arena arena;
    struct store_page page;
    char id[24];

    arena_init(&arena, 65536, (size_t)64 << 20);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(id, sizeof(id), "n%05u", 1000 - i);
        link_fixture_add(fixture, 0, id, false);
    }
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_int_equal(store_read_after(fixture->store, (struct store_position){0}, 2000,
                                      (size_t)16 << 20, &arena, &page, NULL),
                     ERR_OK);
    assert_int_equal(page.count, 1000);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(slice_equal(page.rows[i].event.event_id, fixture->events[0][i].event_id));
    arena_fini(&arena);
}

/* 300 events whose properties are as many numbers as 64 KiB hold: 20 MiB, several pieces. */
static void
test_link__a_batch_of_the_largest_properties_is_stored(void **state)
{
    struct link_fixture *fixture = *state;
    const size_t len = 64 * 1024;
    char *text = malloc(len);

    assert_non_null(text);
    memcpy(text, "{\"a\":[", 6);
    for (size_t i = 6; i + 3 < len; i++)
        text[i] = i % 2 == 0 ? '0' : ',';
    memcpy(text + len - 3, " ]}", 3);
    for (unsigned i = 0; i < 300; i++) {
        add_number(fixture, 0, i);
        fixture->events[0][i].properties = slice_of(text, len);
    }
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_int_equal(fixture->batches[0].accepted_count, 300);
    assert_int_equal(link_fixture_sql(fixture, "SELECT jsonb_array_length(properties->'a') FROM "
                                               "events LIMIT 1"),
                     32764);
    free(text);
}

static void
assert_metric(const char *line)
{
    struct buf buf;

    buf_init(&buf, 1 << 20);
    counter_write_all(&buf);
    buf_add_char(&buf, 0);
    if (buf_failed(&buf) || strstr(buf.ptr, line) == NULL)
        fail_msg("not in the metrics: %s", line);
    buf_fini(&buf);
}

/* The same ids in opposite order, at once, many times: nobody waits for the other in a circle. */
static void
test_link__two_links_with_the_same_ids_in_opposite_order(void **state)
{
    struct link_fixture *fixture = *state;

    for (unsigned round = 0; round < 20; round++) {
        link_fixture_clear(fixture, 0);
        link_fixture_clear(fixture, 1);
        for (unsigned i = 0; i < 500; i++) {
            add_number(fixture, 0, round * 500 + i);
            add_number(fixture, 1, round * 500 + 499 - i);
        }
        link_fixture_submit(fixture, 0);
        link_fixture_submit(fixture, 1);
        link_fixture_wait(fixture, 0);
        link_fixture_wait(fixture, 1);
        assert_int_equal(fixture->batches[0].err, ERR_OK);
        assert_int_equal(fixture->batches[1].err, ERR_OK);
        assert_int_equal(fixture->batches[0].accepted_count + fixture->batches[1].accepted_count,
                         500);
        for (unsigned i = 0; i < 500; i++)
            assert_true((fixture->items[0][i].verdict == STORE_ACCEPTED) !=
                        (fixture->items[1][499 - i].verdict == STORE_ACCEPTED));
    }
    assert_metric("\npotik_store_deadlocks_total 0\n"); /* none that was tried again, either */
}

static void
test_link__other_nodes_are_told_of_the_commit(void **state)
{
    struct link_fixture *fixture = *state;
    char wanted[STORE_POSITION_TEXT];
    PGnotify *notify = NULL;

    (void)link_fixture_sql(fixture, "LISTEN potik_events");
    (void)link_fixture_add(fixture, 0, "a", false);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    store_position_format(fixture->batches[0].position, wanted);
    while ((notify = PQnotifies(fixture->admin)) == NULL) {
        link_fixture_sql_until(fixture, 1, "SELECT 1");
        assert_int_equal(PQconsumeInput(fixture->admin), 1);
    }
    assert_non_null(strstr(notify->extra, wanted));
    PQfreemem(notify);
    /* A second one soon after is told too, a little later. */
    link_fixture_clear(fixture, 0);
    (void)link_fixture_add(fixture, 0, "b", false);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    store_position_format(fixture->batches[0].position, wanted);
    for (unsigned i = 0; (notify = PQnotifies(fixture->admin)) == NULL; i++) {
        assert_true(i < 10000);
        (void)store_link_fd(fixture->links[0]);
        link_fixture_wait_ready(fixture);
        store_link_ready(fixture->links[0], 0);
        (void)link_fixture_sql(fixture, "SELECT 1");
    }
    assert_non_null(strstr(notify->extra, wanted));
    PQfreemem(notify);
}

/* --- limits ---------------------------------------------------------------------------------- */

static char *
repeat(const char *text, size_t count)
{
    char *all = calloc(count, strlen(text) + 1);

    assert_non_null(all);
    for (size_t i = 0; i < count; i++)
        strcat(all + i * strlen(text), text);
    return all;
}

struct limit {
    const char *name;
    char *properties; /* as sent */
    const char *sql;  /* a condition on the stored row */
};

static char *
wrap(const char *before, const char *middle, const char *after)
{
    char *text = NULL;

    if (asprintf(&text, "%s%s%s", before, middle, after) < 0)
        abort();
    return text;
}

#define LIMITS_MAX 16
static size_t
make_limits(struct limit *limits)
{
    size_t count = 0;
    char *digits = repeat("7", 400);
    char *open = repeat("{\"a\":", 15);
    char *close = repeat("}", 15);
    char *filler = repeat("x", 64 * 1024 - 8);
    char *escapes = repeat("\\ud83d\\ude00", 1000);
    char *zeros = repeat("0", 399);

#define LIMIT(name_, before, middle, after, sql_)                                                  \
    limits[count++] = (struct limit){(name_), wrap(before, middle, after), (sql_)}
    LIMIT("largest", "{\"a\":", "1e308", "}", "(properties->>'a')::numeric = 1e308");
    LIMIT("smallest", "{\"a\":", "-1e308", "}", "(properties->>'a')::numeric = -1e308");
    LIMIT("tiny", "{\"a\":", "1e-400", "}", "(properties->>'a')::numeric = 1e-400");
    LIMIT("minus zero", "{\"a\":", "-0", "}", "(properties->>'a')::numeric = 0");
    LIMIT("minus zero point", "{\"a\":", "-0.0e5", "}", "(properties->>'a')::numeric = 0");
    LIMIT("least integer", "{\"a\":", "-9223372036854775808", "}",
          "(properties->>'a')::numeric = -9223372036854775808");
    LIMIT("greatest integer", "{\"a\":", "18446744073709551615", "}",
          "(properties->>'a')::numeric = 18446744073709551615");
    LIMIT("400 digits", "{\"a\":0.", digits + 1, "}",
          "(properties->>'a')::numeric = ('0.' || repeat('7', 399))::numeric");
    LIMIT("400 zeros", "{\"a\":0.", zeros, "}", "(properties->>'a')::numeric = 0");
    LIMIT("depth 16", open, "{}", close, "length(properties::text) > 80");
    LIMIT("64 KiB", "{\"a\":\"", filler, "\"}", "length(properties->>'a') = 65528");
    LIMIT("surrogates", "{\"a\":\"", escapes, "\"}",
          "properties->>'a' = repeat(U&'\\+01F600', 1000)");
    LIMIT("characters", "{\"a\":\"", "\\u0001\\u001f\xEF\xBF\xBF\xF4\x8F\xBF\xBF\\uffff", "\"}",
          "length(properties->>'a') = 5");
    LIMIT("empty key", "{\"\":", "{\"\":null}", "}", "properties #>> '{\"\"}' = '{\"\": null}'");
#undef LIMIT
    free(digits);
    free(open);
    free(close);
    free(filler);
    free(escapes);
    free(zeros);
    return count;
}

/* Each as JSON through the decoder, so that what is stored is what the edge lets through. */
static void
decode(struct event_decoder *decoder, struct arena *arena, const char *body, int64_t now_us,
       struct event_batch *batch)
{
    const struct event_context context = {.format = EVENT_FORMAT_JSON,
                                          .project_id = 1,
                                          .received_at_us = now_us,
                                          .random = random_system()};
    struct diag diag = DIAG_INIT;

    if (event_decode_body(decoder, &context, slice_of_text(body), arena, batch, &diag) != ERR_OK)
        fail_msg("%.200s: %s", body, diag.message);
}

static void
test_link__limit_values_come_back_equal(void **state)
{
    struct link_fixture *fixture = *state;
    struct limit limits[LIMITS_MAX];
    const size_t count = make_limits(limits);
    struct event_decoder *decoder = NULL;
    struct arena arena;

    arena_init(&arena, 1 << 16, 1 << 24);
    assert_int_equal(event_decoder_new(&decoder, NULL), ERR_OK);
    for (size_t i = 0; i < count; i++) {
        struct event_batch batch;
        char *body = NULL;
        char id[24];

        (void)snprintf(id, sizeof(id), "limit-%zu", i);
        assert_true(asprintf(&body,
                             "{\"event_id\":\"%s\",\"event_type\":\"t\",\"user_id\":\"u\","
                             "\"properties\":%s}",
                             id, limits[i].properties) > 0);
        decode(decoder, &arena, body, INT64_C(1769817600000000), &batch);
        if (batch.entries[0].err != ERR_OK)
            fail_msg("%s: refused: %s", limits[i].name, err_code(batch.entries[0].err));
        link_fixture_clear(fixture, 0);
        *link_fixture_add(fixture, 0, id, false) = batch.entries[0].event;
        assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
        if (link_fixture_sql(fixture, "SELECT count(*) FROM events WHERE event_id = '%s' AND (%s)",
                             id, limits[i].sql) != 1)
            fail_msg("%s: not stored as sent", limits[i].name);
        free(limits[i].properties);
        free(body);
        arena_clear(&arena);
    }
    event_decoder_free(&decoder);
    arena_fini(&arena);
}

static void
test_link__longest_texts_and_outermost_times_come_back_equal(void **state)
{
    struct link_fixture *fixture = *state;
    char *text = repeat("\xF0\x9F\x98\x80", 50); /* 200 bytes */
    struct event *event = link_fixture_add(fixture, 0, "", false);
    const int64_t now_us = INT64_C(1769817600000001);

    event->event_id = slice_of(text, 128);
    event->event_type = slice_of(text, 200);
    event->user_id = slice_of(text, 200);
    event->anonymous_id = slice_of(text, 200);
    event->session_id = slice_of(text, 128);
    event->properties = SLICE_NONE;
    event->occurred_at_us = 0;
    event->received_at_us = now_us;
    event = link_fixture_add(fixture, 0, "late", false);
    event->user_id = SLICE_NONE;
    event->anonymous_id = SLICE("'; DROP TABLE events; --\t\n\\");
    event->occurred_at_us = now_us + LIMIT_FUTURE_US;
    event->project_id = INT32_MAX;
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_int_equal(
        link_fixture_sql(
            fixture,
            "SELECT count(*) FROM events WHERE octet_length(event_id) = 128 AND "
            "event_type = repeat(U&'\\+01F600', 50) AND user_id = event_type AND anonymous_id = "
            "user_id AND octet_length(session_id) = 128 AND properties IS NULL AND occurred_at = "
            "'1970-01-01 00:00:00Z' AND received_at = '2026-01-31 00:00:00.000001Z'"),
        1);
    assert_int_equal(
        link_fixture_sql(fixture,
                         "SELECT count(*) FROM events WHERE user_id IS NULL AND anonymous_id = "
                         "E'\\'; DROP TABLE events; --\\t\\n\\\\' AND occurred_at = "
                         "'2026-02-01 00:00:00.000001Z' AND project_id = 2147483647"),
        1);
    free(text);
}

/* What jsonb, text and timestamptz cannot hold: refused by the edge, so that no batch meets it. */
static void
test_link__what_postgresql_cannot_hold_is_refused_before(void **state)
{
    static const struct {
        const char *properties;
        enum err err;
    } cases[] = {
        {"{\"a\":\"\\u0000\"}", ERR_NUL_CHARACTER},
        {"{\"\\u0000\":1}", ERR_NUL_CHARACTER},
        {"{\"a\":[{\"b\":\"x\\u0000\"}]}", ERR_NUL_CHARACTER},
        {"{\"a\":\"\\ud800\"}", ERR_INVALID_UTF8},
        {"{\"a\":\"\\udc00\\ud800\"}", ERR_INVALID_UTF8},
        {"{\"a\":\"\xff\"}", ERR_INVALID_UTF8},
        {"{\"a\":\"\xED\xA0\x80\"}", ERR_INVALID_UTF8},
        {"{\"a\":\"\xC0\x80\"}", ERR_INVALID_UTF8},
        {"{\"a\":1e309}", ERR_INVALID_NUMBER},
        {"{\"a\":1e131072}", ERR_INVALID_NUMBER},
        {"{\"a\":1e-401}", ERR_INVALID_NUMBER},
        {"{\"a\":1e-16384}", ERR_INVALID_NUMBER},
        {"{\"a\":1e99999999999999999999}", ERR_INVALID_NUMBER},
    };
    struct event_decoder *decoder = NULL;
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 16, 1 << 24);
    assert_int_equal(event_decoder_new(&decoder, NULL), ERR_OK);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct event_batch batch;
        char *body = NULL;

        assert_true(asprintf(&body,
                             "[{\"event_id\":\"x\",\"event_type\":\"t\",\"user_id\":\"u\","
                             "\"properties\":%s}]",
                             cases[i].properties) > 0);
        decode(decoder, &arena, body, 0, &batch);
        if (batch.entries[0].err != cases[i].err)
            fail_msg("%s: %s", cases[i].properties, err_name(batch.entries[0].err));
        free(body);
        arena_clear(&arena);
    }
    event_decoder_free(&decoder);
    arena_fini(&arena);
}

int
main(void)
{
#define LINK_TEST(name)                                                                            \
    cmocka_unit_test_setup_teardown(test_link__##name, link_fixture_setup, link_fixture_teardown)
    const struct CMUnitTest tests[] = {
        LINK_TEST(new_is_accepted_and_stored_is_duplicate),
        LINK_TEST(projects_do_not_share_ids),
        LINK_TEST(probes_ask_and_store_nothing),
        LINK_TEST(erased_ids_stay_refused),
        LINK_TEST(rows_are_read_in_the_order_of_arrival),
        LINK_TEST(what_comes_after_a_caught_up_page_is_read),
        LINK_TEST(batches_of_every_size_are_stored_whole),
        LINK_TEST(a_batch_of_the_largest_properties_is_stored),
        LINK_TEST(two_links_with_the_same_ids_in_opposite_order),
        LINK_TEST(other_nodes_are_told_of_the_commit),
        LINK_TEST(limit_values_come_back_equal),
        LINK_TEST(longest_texts_and_outermost_times_come_back_equal),
        cmocka_unit_test(test_link__what_postgresql_cannot_hold_is_refused_before),
    };

    link_fixture_need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
