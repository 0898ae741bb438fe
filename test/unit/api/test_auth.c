/*
 * auth: the Bearer scheme, read strictly. What keys are let in is asked of the whole server
 * (test/flow).
 */
#include "../test.h"

#include "api/internal.h"

static void
test_auth__bearer(void **state)
{
    static const struct {
        const char *value;
        const char *key; /* NULL: refused */
    } rows[] = {
        {"Bearer wk_1", "wk_1"}, {"bearer wk_1", "wk_1"}, {"BEARER   wk_1", "wk_1"},
        {"Bearer", NULL},        {"Bearer ", NULL},       {"Bearerwk_1", NULL},
        {"Basic d2s6", NULL},    {"wk_1", NULL},          {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice key;
        bool is_read = auth_parse_bearer(slice_of_text(rows[i].value), &key);

        assert_int_equal(is_read, rows[i].key != NULL);
        if (is_read)
            assert_slice_equal(key, rows[i].key);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_auth__bearer)};

    return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
