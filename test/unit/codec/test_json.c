/*
 * test_json - JSON as a tree, as text for replies, cut and checked as it arrives, read in one pass.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it */
#include "codec/json.h"
#include "codec/json_reader.h"
#include "codec/json_scan.h"
#include "codec/json_write.h"
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const good[] = {
    "{}",
    "[]",
    "0",
    "-0",
    " 1 ",
    "1.5",
    "1e5",
    "1E+5",
    "1e-5",
    "10.01e10",
    "\"\"",
    "true",
    "false",
    "null",
    "[1,2]",
    "[[],{}]",
    "{\"a\":{\"b\":[1,{\"c\":null}]}}",
    "{\"\":1}",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
    "\t\r\n [ 1 , 2 ] ",
    "{ \"a\" : 1 , \"b\" : 2 }",
    "\"sixteen bytes and more, plain\"",
};
static const char *const bad[] = {
    "",
    " ",
    "{",
    "}",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{a:1}",
    "{1:1}",
    "{\"a\" 1}",
    "{\"a\":1 \"b\":2}",
    "[}",
    "{]",
    "01",
    "-",
    "+1",
    "1.",
    ".1",
    "1e",
    "1e+",
    "0x1",
    "1.e1",
    "--1",
    "00",
    "tru",
    "True",
    "nul",
    "nulll",
    "truefalse",
    "\"",
    "\"a",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\n\"",
    "\"\x01\"",
    "'a'",
    "1 1",
    "{}{}",
    "[]]",
    "NaN",
    "Infinity",
    "/**/1",
    "[1]x",
    "\xef\xbb\xbf[]",
    "\f1",
};

static bool
check_text(const char *text, size_t piece)
{
    struct json_check check;
    size_t len = strlen(text);
    bool is_good = true;

    json_check_init(&check, JSON_DEPTH_MAX);
    for (size_t at = 0; is_good && at < len; at += piece)
        is_good = json_check_feed(&check, text + at, len - at < piece ? len - at : piece);
    return is_good && json_check_end(&check);
}

static bool
read_text(const char *text, enum err *ret_err)
{
    struct json_scratch scratch = {0};
    struct json_reader reader;
    struct json_rules rules = {.root = SLICE_NONE, .depth = 1};
    struct json_notes notes = {0};
    struct arena arena;
    bool is_good = false;

    arena_init(&arena, 1024, 1 << 20);
    json_reader_init(&reader, slice_of_text(text), &scratch, &arena);
    json_reader_space(&reader);
    is_good = json_reader_value(&reader, &rules, &notes);
    *ret_err = reader.err;
    json_reader_space(&reader);
    is_good = is_good && reader.at == reader.end;
    json_scratch_fini(&scratch);
    arena_fini(&arena);
    return is_good;
}

static void
test_json__three_readers_agree(void **state)
{
    struct json_document *document = NULL;
    struct json_value root;
    enum err err = ERR_OK;

    (void)state;
    assert_int_equal(json_document_new(&document, NULL), ERR_OK);
    for (size_t i = 0; i < COUNT(good); i++) {
        for (size_t piece = 1; piece <= strlen(good[i]); piece++)
            assert_true(check_text(good[i], piece));
        assert_true(read_text(good[i], &err));
        assert_int_equal(json_parse(document, slice_of_text(good[i]), &root, NULL), ERR_OK);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        for (size_t piece = 1; piece <= strlen(bad[i]); piece++)
            assert_false(check_text(bad[i], piece));
        assert_false(read_text(bad[i], &err));
        if (json_parse(document, slice_of_text(bad[i]), &root, NULL) == ERR_OK)
            fail_msg("accepted: %s", bad[i]);
    }
    json_document_free(&document);
}

static void
test_json__depth_is_64_for_all(void **state)
{
    struct json_document *document = NULL;
    struct json_value root;
    enum err err = ERR_OK;
    char text[140];

    (void)state;
    assert_int_equal(json_document_new(&document, NULL), ERR_OK);
    for (size_t depth = 63; depth <= 65; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        assert_int_equal(check_text(text, 1), depth <= 64);
        assert_int_equal(read_text(text, &err), depth <= 64);
        assert_int_equal(err, depth <= 64 ? ERR_OK : ERR_TOO_DEEP);
        assert_int_equal(json_parse(document, slice_of_text(text), &root, NULL),
                         depth <= 64 ? ERR_OK : ERR_TOO_DEEP);
    }
    json_document_free(&document);
}

static void
test_json__tree_is_walked(void **state)
{
    struct json_document *document = NULL;
    struct json_value root;
    struct json_value value;
    struct json_items items;
    struct slice text;
    struct diag diag = DIAG_INIT;
    int64_t i64 = 0;
    uint64_t u64 = 0;
    double number = 0;
    bool flag = false;
    int count = 0;

    (void)state;
    assert_int_equal(json_document_new(&document, &diag), ERR_OK);
    assert_int_equal(json_parse(document,
                                SLICE("{\"t\":\"x\\u0041\",\"i\":-5,\"u\":18446744073709551615,"
                                      "\"d\":1.5,\"b\":true,\"n\":null,\"a\":[1,[2],{}],\"o\":{}}"),
                                &root, &diag),
                     ERR_OK);
    assert_int_equal(json_kind(root), JSON_OBJECT);
    assert_true(json_get(root, "t", &value) && json_as_text(value, &text));
    assert_true(slice_equal(text, SLICE("xA")));
    assert_true(json_get(root, "i", &value) && json_as_i64(value, &i64) && i64 == -5);
    assert_false(json_as_u64(value, &u64));
    assert_true(json_as_double(value, &number) && number == -5.0);
    assert_true(json_get(root, "u", &value) && json_as_u64(value, &u64) && u64 == UINT64_MAX);
    assert_int_equal(json_kind(value), JSON_UNSIGNED);
    assert_false(json_as_i64(value, &i64));
    assert_true(json_get(root, "d", &value) && json_kind(value) == JSON_DOUBLE);
    assert_true(json_get(root, "b", &value) && json_as_bool(value, &flag) && flag);
    assert_true(json_get(root, "n", &value) && json_kind(value) == JSON_NULL);
    assert_false(json_get(root, "x", &value));
    assert_true(json_get(root, "a", &value));
    assert_false(json_get(value, "a", &root));
    items = json_items_of(value);
    while (json_items_next(&items, &text, &value))
        count++;
    assert_int_equal(count, 3);
    assert_null(text.ptr);
    assert_int_equal(json_kind(value), JSON_OBJECT);
    items = json_items_of(value);
    assert_false(json_items_next(&items, &text, &value));
    assert_int_equal(json_parse(document, SLICE("{\"k\":[1,2],\"l\":3}"), &root, &diag), ERR_OK);
    items = json_items_of(root);
    assert_true(json_items_next(&items, &text, &value) && slice_equal(text, SLICE("k")));
    assert_true(json_items_next(&items, &text, &value) && slice_equal(text, SLICE("l")));
    assert_true(json_as_i64(value, &i64) && i64 == 3);
    assert_false(json_items_next(&items, &text, &value));
    items = json_items_of(value);
    assert_false(json_items_next(&items, &text, &value));
    assert_int_equal(json_parse(document, SLICE("\"\xff\""), &root, &diag), ERR_INVALID_UTF8);
    assert_int_equal(json_parse(document, SLICE("1e999"), &root, &diag), ERR_INVALID_NUMBER);
    assert_int_equal(json_parse(document, SLICE_NONE, &root, &diag), ERR_INVALID_JSON);
    json_document_free(&document);
    assert_null(document);
}

static void
test_json_write__escapes_what_it_must(void **state)
{
    struct buf text;
    static const double doubles[] = {0.0,    -0.5,    0.1,   1e300,
                                     5e-324, 1.0 / 3, 66.67, 123456789012345680.0};

    (void)state;
    buf_init(&text, 1 << 20);
    json_write_key(&text, "k");
    json_write_text(&text, slice_of("\"\\/\b\f\n\r\t\x01\x1f\x7f\0\xd1\x8e\xff.", 16));
    buf_add_char(&text, ',');
    json_write_text(&text, SLICE_NONE);
    buf_add_char(&text, ',');
    json_write_text(&text, SLICE(""));
    json_write_bool(&text, true);
    json_write_double(&text, NAN);
    buf_add_char(&text, '\0');
    assert_string_equal(text.ptr,
                        "\"k\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\\u0000\xd1\x8e"
                        "\xef\xbf\xbd.\",null,\"\"truenull");
    for (size_t i = 0; i < COUNT(doubles); i++) {
        buf_clear(&text);
        json_write_double(&text, doubles[i]);
        buf_add_char(&text, '\0');
        assert_true(strtod(text.ptr, NULL) == doubles[i]);
        assert_true(check_text(text.ptr, 1));
    }
    buf_clear(&text);
    json_write_double(&text, 66.67);
    buf_add_char(&text, '\0');
    assert_string_equal(text.ptr, "66.67");
    buf_fini(&text);
}

static void
test_json_cut__finds_ends_at_any_split(void **state)
{
    static const char text[] = "{\"a,]\\\"\":[1,{}],\"b\":\"}\\\\\"},[2,3],x]";
    static const size_t ends[] = {26, 32, 34};

    (void)state;
    for (size_t piece = 1; piece < sizeof(text); piece++) {
        struct json_cut cut;
        size_t found = 0;
        const char *at = text;

        json_cut_init(&cut);
        while (found < 3) {
            size_t left = sizeof(text) - 1 - (size_t)(at - text);
            enum json_cut_end end =
                json_cut_feed(&cut, &at, at + (left < piece ? left : piece), false);

            if (end == JSON_CUT_MORE)
                continue;
            assert_int_equal(end, found == 2 ? JSON_CUT_CLOSE : JSON_CUT_COMMA);
            assert_int_equal((size_t)(at - text), ends[found++]);
            at++;
            json_cut_init(&cut);
        }
    }
}

static void
test_json_number__range(void **state)
{
    (void)state;
    assert_true(json_number_is_in_range(SLICE("18446744073709551615")));
    assert_false(json_number_is_in_range(SLICE("18446744073709551616")));
    assert_true(json_number_is_in_range(SLICE("-9223372036854775808")));
    assert_false(json_number_is_in_range(SLICE("-9223372036854775809")));
    assert_true(json_number_is_in_range(SLICE("100000000000000000000.0")));
    assert_true(json_number_is_in_range(SLICE("1e308")));
    assert_false(json_number_is_in_range(SLICE("1.1e308")));
    assert_true(json_number_is_in_range(SLICE("0.0000e99999999999")));
    assert_true(json_number_is_in_range(SLICE("1e-400")));
    assert_false(json_number_is_in_range(SLICE("0e-401")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json__three_readers_agree),
        cmocka_unit_test(test_json__depth_is_64_for_all),
        cmocka_unit_test(test_json__tree_is_walked),
        cmocka_unit_test(test_json_write__escapes_what_it_must),
        cmocka_unit_test(test_json_cut__finds_ends_at_any_split),
        cmocka_unit_test(test_json_number__range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
