/* Units of plan/decimal.c: every pair of a list that rises, compared both ways. */
#include "../test.h"

#include "base/mem.h"
#include "plan/decimal.h"

/* Groups of equal numbers; each group is greater than the one before it. */
static const char *const rising[][5] = {
    {"-1e308"},
    {"-18446744073709551616.5", "-184467440737095516165e-1"},
    {"-10", "-10.0", "-1e1", "-100e-1", "-0.1e2"},
    {"-9.99999999999999999999999"},
    {"-1.5", "-15e-1"},
    {"-0.001", "-1e-3"},
    {"-1e-400"},
    {"0", "-0", "0.0", "0e99", "-0.000e-5"},
    {"1e-400"},
    {"0.001", "1e-3", "0.0010", "10e-4"},
    {"0.1", "1e-1", "0.10", "100e-3"},
    {"0.10000000000000000000001"},
    {"1", "1.0", "10e-1", "0.1e1", "1.000"},
    {"1.0000000000000001"},
    {"9.5"},
    {"10", "1e1", "1.0e1", "10.00"},
    {"99"},
    {"100", "1e2", "1E+2", "0.01e4"},
    {"101"},
    {"9007199254740992"},
    {"9007199254740993"},
    {"18446744073709551615"},
    {"1e300", "10e299", "100000e295"},
    {"1.00000001e300"},
};

static int
sign(int order)
{
    return (order > 0) - (order < 0);
}

static void
test_decimal__the_order_is_that_of_the_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rising); i++) {
        for (size_t j = 0; j < COUNT_OF(rising); j++) {
            for (size_t a = 0; a < 5 && rising[i][a] != NULL; a++) {
                for (size_t b = 0; b < 5 && rising[j][b] != NULL; b++) {
                    struct decimal one, other;

                    decimal_parse(slice_of_text(rising[i][a]), &one);
                    decimal_parse(slice_of_text(rising[j][b]), &other);
                    if (sign(decimal_compare(&one, &other)) != (i > j) - (i < j))
                        fail_msg("%s against %s", rising[i][a], rising[j][b]);
                }
            }
        }
    }
}

static void
test_decimal__integers_are_known_by_their_value(void **state)
{
    static const struct {
        const char *text;
        bool is_integer;
    } rows[] = {{"0", true},      {"-0.0", true},   {"1.0", true},     {"1.5", false},
                {"15e-1", false}, {"150e-1", true}, {"1e300", true},   {"1e-1", false},
                {"0e-5", true},   {"0.5e1", true},  {"0.05e1", false}, {"10", true},
                {"100e-2", true}, {"100e-3", false}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct decimal decimal;

        decimal_parse(slice_of_text(rows[i].text), &decimal);
        if (decimal.is_integer != rows[i].is_integer)
            fail_msg("%s", rows[i].text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decimal__the_order_is_that_of_the_numbers),
        cmocka_unit_test(test_decimal__integers_are_known_by_their_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
