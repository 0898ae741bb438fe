/* Units of base/err: the table is whole and consistent. */
#include "../test.h"

#include "base/err.h"

static void
test_err__every_row_is_whole(void **state)
{
    (void)state;
    for (int i = 0; i < ERR_COUNT; i++) {
        enum err err = (enum err)i;

        assert_non_null(err_name(err));
        assert_true(err_status(err) >= 200 && err_status(err) < 600);
        assert_true(strlen(err_sentence(err)) > 3);
        for (const char *c = err_code(err); *c != '\0'; c++)
            assert_true((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_');
        /* What a client may retry as it is, is 408, 429 or 5xx. */
        if (err_is_retryable(err))
            assert_true(err_status(err) == 408 || err_status(err) == 429 || err_status(err) >= 500);
    }
}

static void
test_err__out_of_range_is_internal(void **state)
{
    (void)state;
    assert_string_equal(err_code((enum err)ERR_COUNT), "internal_error");
    assert_int_equal(err_status((enum err)100000), 500);
    assert_string_equal(err_name(ERR_TOO_LONG), "TOO_LONG");
    assert_string_equal(err_code(ERR_TOO_LONG), "too_long");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err__every_row_is_whole),
        cmocka_unit_test(test_err__out_of_range_is_internal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
