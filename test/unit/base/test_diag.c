/* Units of base/diag. */
#include "../test.h"

#include "base/diag.h"
#include <errno.h>

static void
test_diag__cuts_between_characters(void **state)
{
    struct diag diag = DIAG_INIT;
    char text[DIAG_MESSAGE_MAX + 8];

    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t at = DIAG_MESSAGE_MAX - 5; at < DIAG_MESSAGE_MAX + 2; at++) {
        memcpy(text + at, "\xE2\x82\xAC", 4); /* the euro sign, three bytes, and the end */
        diag_set(&diag, "%s", text);
        /* The three bytes stand in whole or not at all: 511 bytes have room. */
        assert_int_equal(strlen(diag.message), at + 3 <= 511 ? at + 3 : at < 511 ? at : 511);
        text[at + 3] = 'x';
        memset(text + at, 'x', 3);
    }
}

static void
test_diag__is_always_valid_utf8(void **state)
{
    struct diag diag = DIAG_INIT;

    (void)state;
    diag_set_field(&diag, "a\xFF", "b\xC0\xAF\xED\xA0\x80");
    assert_string_equal(diag.field, "a?");
    assert_string_equal(diag.message, "b?????");
}

static void
test_diag__may_quote_itself(void **state)
{
    struct diag diag = DIAG_INIT;

    (void)state;
    diag_set_field(&diag, "f", "inner");
    diag_set_field(&diag, diag.field, "outer: %s", diag.message);
    assert_string_equal(diag.message, "outer: inner");
    assert_string_equal(diag.field, "f");
    diag_set(&diag, "no field");
    assert_string_equal(diag.field, "");
    diag_clear(&diag);
    assert_string_equal(diag.message, "");
}

static void
test_diag__adds_words_of_errno(void **state)
{
    struct diag diag = DIAG_INIT;

    (void)state;
    diag_set(&diag, "open x");
    diag_add_errno(&diag, ENOENT);
    assert_string_equal(diag.message, "open x: No such file or directory");
}

static void
test_diag__takes_null(void **state)
{
    (void)state;
    diag_clear(NULL);
    diag_set(NULL, "x");
    diag_set_field(NULL, "x", "y");
    diag_add_errno(NULL, ENOENT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diag__cuts_between_characters),
        cmocka_unit_test(test_diag__is_always_valid_utf8),
        cmocka_unit_test(test_diag__may_quote_itself),
        cmocka_unit_test(test_diag__adds_words_of_errno),
        cmocka_unit_test(test_diag__takes_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
