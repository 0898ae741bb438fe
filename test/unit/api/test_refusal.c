/*
 * refusal: lines at n−1, n, n+1 of a second, and the count of the rest.
 */
#include "../test.h"

#include "api/refusal.h"
#include "base/clock.h"

struct seen {
    uint32_t lines;
    uint64_t counted;
};

static void
see(void *state, enum log_level level, const char *event, const struct log_field *fields,
    size_t count)
{
    struct seen *seen = state;

    assert_int_equal(level, LOG_LEVEL_WARN);
    if (strcmp(event, "auth.refused_more") == 0) {
        assert_int_equal(count, 1);
        seen->counted += fields[0].value.u64;
        return;
    }
    assert_string_equal(event, "auth.refused");
    assert_int_equal(count, 3);
    assert_slice_equal(fields[0].value.text, "r-1");
    assert_slice_equal(fields[1].value.text, "192.0.2.1");
    assert_slice_equal(fields[2].value.text, "why");
    seen->lines++;
}

static void
tell(struct refusals *refusals, const struct log_sink *sink, int64_t now_ns)
{
    refusal_tell(refusals, sink, now_ns, SLICE("r-1"), SLICE("192.0.2.1"), "why");
}

static void
test_refusal__lines_of_a_second(void **state)
{
    (void)state;
    for (uint32_t count = REFUSAL_LINES_MAX - 1; count <= REFUSAL_LINES_MAX + 1; count++) {
        struct seen seen = {0};
        const struct log_sink sink = {see, &seen};
        struct refusals refusals;

        refusal_init(&refusals);
        for (uint32_t i = 0; i < count; i++)
            tell(&refusals, &sink, 5 * NS_PER_S + i);
        assert_int_equal(seen.lines,
                         count < REFUSAL_LINES_MAX ? count : (uint32_t)REFUSAL_LINES_MAX);
        assert_int_equal(seen.counted, 0);
        tell(&refusals, &sink, 6 * NS_PER_S);
        assert_int_equal(seen.lines + seen.counted, count + 1);
        refusal_fini(&refusals, &sink);
        assert_int_equal(seen.lines + seen.counted, count + 1);
    }
}

static void
test_refusal__the_rest_is_told_at_the_end(void **state)
{
    struct seen seen = {0};
    const struct log_sink sink = {see, &seen};
    struct refusals refusals;

    (void)state;
    refusal_init(&refusals);
    for (uint32_t i = 0; i < REFUSAL_LINES_MAX + 7; i++)
        tell(&refusals, &sink, 1);
    refusal_fini(&refusals, &sink);
    assert_int_equal(seen.counted, 7);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusal__lines_of_a_second),
        cmocka_unit_test(test_refusal__the_rest_is_told_at_the_end),
    };

    return cmocka_run_group_tests_name("refusal", tests, NULL, NULL);
}
