/* Units of cli/flags. */
#include "../test.h"

#include "cli/flags.h"

struct values {
    const char *server;
    struct flag_texts texts;
    bool is_loud;
};

static enum err
parse(char **argv, int argc, struct values *values, size_t *ret_count, struct diag *diag)
{
    const struct flag flags[] = {
        {.name = "server", .text = &values->server},
        {.name = "text", .texts = &values->texts},
        {.name = "loud", .is_set = &values->is_loud},
    };

    *values = (struct values){.server = NULL};
    return flags_parse(argc, argv, flags, COUNT_OF(flags), ret_count, diag);
}
#define PARSE(values, count, diag, ...)                                                            \
    parse((char *[]){(char *)(uintptr_t) "x", __VA_ARGS__},                                        \
          (int)(sizeof((char *[]){(char *)(uintptr_t) "x", __VA_ARGS__}) / sizeof(char *)),        \
          values, count, diag)
#define W(word) (char *)(uintptr_t)word

static void
test_flags__both_forms_and_words_between(void **state)
{
    char *argv[] = {W("x"), W("a"),      W("--server"), W("s"),      W("-"),  W("--text=1"),
                    W("b"), W("--text"), W("2="),       W("--loud"), W("--"), W("--c")};
    struct values values;
    size_t count = 0;

    (void)state;
    assert_int_equal(parse(argv, (int)COUNT_OF(argv), &values, &count, NULL), ERR_OK);
    assert_string_equal(values.server, "s");
    assert_int_equal(values.texts.count, 2);
    assert_string_equal(values.texts.texts[0], "1");
    assert_string_equal(values.texts.texts[1], "2=");
    assert_true(values.is_loud);
    assert_int_equal(count, 4);
    assert_string_equal(argv[1], "a");
    assert_string_equal(argv[2], "-");
    assert_string_equal(argv[3], "b");
    assert_string_equal(argv[4], "--c");
}

static void
test_flags__faults_are_named(void **state)
{
    struct diag diag = DIAG_INIT;
    struct values values;
    size_t count = 0;

    (void)state;
    assert_int_equal(PARSE(&values, &count, &diag, W("--serve"), W("x")), ERR_INVALID);
    assert_string_equal(diag.message, "unknown flag --serve");
    assert_int_equal(PARSE(&values, &count, &diag, W("-s")), ERR_INVALID);
    assert_int_equal(PARSE(&values, &count, &diag, W("--servers=1")), ERR_INVALID);
    assert_int_equal(PARSE(&values, &count, &diag, W("--server")), ERR_INVALID);
    assert_string_equal(diag.message, "--server wants a value");
    assert_int_equal(PARSE(&values, &count, &diag, W("--server=1"), W("--server=2")), ERR_INVALID);
    assert_string_equal(diag.message, "--server is given twice");
    assert_int_equal(PARSE(&values, &count, &diag, W("--loud=1")), ERR_INVALID);
}

static void
test_flags__repeats_have_a_maximum(void **state)
{
    char *argv[FLAG_TEXTS_MAX + 2] = {W("x")};
    struct values values;
    size_t count = 0;

    (void)state;
    for (size_t i = 1; i < COUNT_OF(argv); i++)
        argv[i] = W("--text=1");
    assert_int_equal(parse(argv, FLAG_TEXTS_MAX + 1, &values, &count, NULL), ERR_OK);
    assert_int_equal(parse(argv, FLAG_TEXTS_MAX + 2, &values, &count, NULL), ERR_INVALID);
}

static void
test_flags__numbers_have_bounds(void **state)
{
    static const char *const bad[] = {"",   "4",  "11",  "-5",
                                      "5x", " 5", "0x5", "99999999999999999999"};
    uint64_t value = 7;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(flags_number("n", bad[i], 5, 10, &value, NULL), ERR_INVALID);
    assert_int_equal(value, 7);
    assert_int_equal(flags_number("n", NULL, 5, 10, &value, NULL), ERR_OK);
    assert_int_equal(value, 7);
    assert_int_equal(flags_number("n", "5", 5, 10, &value, NULL), ERR_OK);
    assert_int_equal(value, 5);
    assert_int_equal(flags_number("n", "10", 5, 10, &value, NULL), ERR_OK);
    assert_int_equal(flags_number("n", "18446744073709551615", 0, UINT64_MAX, &value, NULL),
                     ERR_OK);
    assert_true(value == UINT64_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags__both_forms_and_words_between),
        cmocka_unit_test(test_flags__faults_are_named),
        cmocka_unit_test(test_flags__repeats_have_a_maximum),
        cmocka_unit_test(test_flags__numbers_have_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
