/*
 * body: one flat object of known fields, each refusal by name; gathering at n−1, n, n+1; the head.
 */
#include "../test.h"

#include "api/body.h"
#include "base/mem.h"

static const struct body_field fields[] = {
    {"name", BODY_TEXT, true},
    {"admin", BODY_BOOL, false},
    {"days", BODY_INTEGER, false},
    {"ids", BODY_TEXTS, false},
};

struct row {
    const char *json;
    enum err err;
    const char *field; /* NULL: none */
};

static enum err
read_all(const char *json, struct arena *arena, struct body_value *values, struct diag *diag)
{
    return body_read(slice_of_text(json), fields, COUNT_OF(fields), arena, values, diag);
}

static void
test_body__reads_what_is_known(void **state)
{
    struct body_value values[COUNT_OF(fields)];
    struct diag diag = DIAG_INIT;
    struct arena arena;

    (void)state;
    arena_init(&arena, 1024, 1 << 20);
    assert_int_equal(
        read_all(" {\"na\\u006de\":\"a\\n\\u00e9\",\"admin\":true,\"days\":-9223372036854775808,"
                 "\"ids\":[\"x\",\"\"]}\n",
                 &arena, values, &diag),
        ERR_OK);
    assert_slice_equal(values[0].text, "a\n\xc3\xa9");
    assert_true(values[1].is_given && values[1].flag);
    assert_true(values[2].integer == INT64_MIN);
    assert_int_equal(values[3].text_count, 2);
    assert_slice_equal(values[3].texts[0], "x");
    assert_int_equal(read_all("{\"name\":\"\",\"admin\":null,\"ids\":[]}", &arena, values, &diag),
                     ERR_OK);
    assert_true(values[0].is_given);
    assert_false(values[1].is_given);
    assert_false(values[2].is_given);
    assert_int_equal(values[3].text_count, 0);
    arena_fini(&arena);
}

static void
test_body__refuses_by_name(void **state)
{
    static const struct row rows[] = {
        {"", ERR_EMPTY_BODY, NULL},
        {" ", ERR_INVALID_JSON, NULL},
        {"[]", ERR_INVALID_JSON, NULL},
        {"{\"name\":\"a\"} x", ERR_INVALID_JSON, NULL},
        {"{\"name\":\"a\",}", ERR_INVALID_JSON, NULL},
        {"{\"name\":\"a\" \"days\":1}", ERR_INVALID_JSON, NULL},
        {"{\"name\":\"a\"", ERR_INVALID_JSON, NULL},
        {"{\"name\":nul}", ERR_INVALID_JSON, NULL},
        {"{\"other\":{\"a\":[1,2}}", ERR_INVALID_JSON, NULL},
        {"{}", ERR_MISSING_FIELD, "name"},
        {"{\"name\":null}", ERR_MISSING_FIELD, "name"},
        {"{\"name\":\"a\",\"other\":{\"b\":[1]}}", ERR_UNKNOWN_FIELD, "other"},
        {"{\"name\":\"a\",\"n\\u0061me\":\"b\"}", ERR_DUPLICATE_KEY, "name"},
        {"{\"name\":\"a\",\"admin\":null,\"admin\":true}", ERR_DUPLICATE_KEY, "admin"},
        {"{\"name\":1}", ERR_INVALID_TYPE, "name"},
        {"{\"name\":[\"a\"]}", ERR_INVALID_TYPE, "name"},
        {"{\"name\":\"a\",\"admin\":\"true\"}", ERR_INVALID_TYPE, "admin"},
        {"{\"name\":\"a\",\"days\":\"1\"}", ERR_INVALID_TYPE, "days"},
        {"{\"name\":\"a\",\"days\":1.0}", ERR_INVALID_TYPE, "days"},
        {"{\"name\":\"a\",\"days\":9223372036854775808}", ERR_INVALID_NUMBER, "days"},
        {"{\"name\":\"a\",\"ids\":\"x\"}", ERR_INVALID_TYPE, "ids"},
        {"{\"name\":\"a\",\"ids\":[\"x\",1]}", ERR_INVALID_TYPE, "ids"},
        {"{\"name\":\"a\",\"ids\":[\"x\",]}", ERR_INVALID_JSON, NULL},
        {"{\"name\":\"\\u0000\"}", ERR_NUL_CHARACTER, "name"},
        {"{\"name\":\"\xff\"}", ERR_INVALID_UTF8, "name"},
        {"{\"name\":\"\\ud800\"}", ERR_INVALID_UTF8, "name"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct body_value values[COUNT_OF(fields)];
        struct diag diag = DIAG_INIT;
        struct arena arena;

        arena_init(&arena, 1024, 1 << 20);
        assert_int_equal(read_all(rows[i].json, &arena, values, &diag), rows[i].err);
        assert_string_equal(diag.field, rows[i].field != NULL ? rows[i].field : "");
        assert_true(diag.message[0] != '\0');
        arena_fini(&arena);
    }
}

static void
test_body__texts_of_an_array_are_bounded(void **state)
{
    (void)state;
    for (size_t count = BODY_TEXTS_MAX - 1; count <= BODY_TEXTS_MAX + 1; count++) {
        struct body_value values[COUNT_OF(fields)];
        struct diag diag = DIAG_INIT;
        struct arena arena;
        struct buf json;

        arena_init(&arena, 1024, 1 << 24);
        buf_init(&json, 1 << 24);
        buf_add_text(&json, "{\"name\":\"a\",\"ids\":[\"x\"");
        for (size_t i = 1; i < count; i++)
            buf_add_text(&json, ",\"x\"");
        buf_add_text(&json, "]}");
        assert_int_equal(
            body_read(buf_slice(&json), fields, COUNT_OF(fields), &arena, values, &diag),
            count <= BODY_TEXTS_MAX ? ERR_OK : ERR_TOO_LONG);
        assert_string_equal(diag.field, count <= BODY_TEXTS_MAX ? "" : "ids");
        assert_true(count <= BODY_TEXTS_MAX || strstr(diag.message, "over 10,000") != NULL);
        buf_fini(&json);
        arena_fini(&arena);
    }
}

static void
test_body__gathers_64_kib(void **state)
{
    static char bytes[BODY_BYTES_MAX + 1];

    (void)state;
    for (size_t len = BODY_BYTES_MAX - 1; len <= BODY_BYTES_MAX + 1; len++) {
        struct body body = {0};
        struct arena arena;

        memset(bytes, 'x', sizeof(bytes));
        arena_init(&arena, 1024, 1 << 20);
        for (size_t at = 0; at < len;) {
            size_t part = len - at < 999 ? len - at : 999;

            body_add(&body, &arena, bytes + at, part);
            at += part;
        }
        assert_int_equal(body.err, len <= BODY_BYTES_MAX ? ERR_OK : ERR_BODY_TOO_LARGE);
        if (body.err == ERR_OK) {
            assert_int_equal(body.len, len);
            assert_memory_equal(body.ptr, bytes, len);
        }
        body_wipe(&body);
        assert_int_equal(body.ptr[0], 0);
        arena_fini(&arena);
    }
}

static void
test_body__head(void **state)
{
    const char *message;

    (void)state;
    assert_int_equal(body_check_head(SLICE_NONE, SLICE_NONE, -1, &message), ERR_OK);
    assert_int_equal(body_check_head(SLICE("Application/JSON ; charset=utf-8"), SLICE("identity"),
                                     BODY_BYTES_MAX, &message),
                     ERR_OK);
    assert_int_equal(body_check_head(SLICE("text/plain"), SLICE_NONE, 1, &message),
                     ERR_UNSUPPORTED_MEDIA_TYPE);
    assert_int_equal(body_check_head(SLICE(""), SLICE_NONE, 1, &message),
                     ERR_UNSUPPORTED_MEDIA_TYPE);
    assert_int_equal(body_check_head(SLICE("application/json"), SLICE("gzip"), 1, &message),
                     ERR_UNSUPPORTED_ENCODING);
    assert_int_equal(body_check_head(SLICE_NONE, SLICE_NONE, BODY_BYTES_MAX + 1, &message),
                     ERR_BODY_TOO_LARGE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body__reads_what_is_known),
        cmocka_unit_test(test_body__refuses_by_name),
        cmocka_unit_test(test_body__texts_of_an_array_are_bounded),
        cmocka_unit_test(test_body__gathers_64_kib),
        cmocka_unit_test(test_body__head),
    };

    return cmocka_run_group_tests_name("body", tests, NULL, NULL);
}
