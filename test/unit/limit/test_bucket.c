/* Units of limit/bucket: what is let in of a burst, of a steady stream, of a cost over the burst.
 */
#include "../test.h"

#include "base/clock.h"
#include "limit/bucket.h"

static struct bucket_rate ten;

static int64_t
wait_ns(const struct bucket_rate *rate, int64_t full_ns, uint64_t cost, int64_t now_ns)
{
    return bucket_wait_ns(rate, bucket_debt_ns(full_ns, now_ns), bucket_cost_ns(rate, cost));
}

static bool
ask(const struct bucket_rate *rate, int64_t *full_ns, uint64_t cost, int64_t now_ns)
{
    if (wait_ns(rate, *full_ns, cost, now_ns) != 0)
        return false;
    *full_ns = bucket_take(*full_ns, bucket_cost_ns(rate, cost), now_ns);
    return true;
}

static uint64_t
left(const struct bucket_rate *rate, int64_t full_ns, int64_t now_ns)
{
    return bucket_left(rate, bucket_debt_ns(full_ns, now_ns));
}

static void
test_bucket__a_burst_and_not_one_more(void **state)
{
    (void)state;
    for (uint64_t first = 19; first <= 21; first++) {
        int64_t full_ns = 0;

        assert_int_equal(bucket_quota(&ten), 20);
        assert_true(ask(&ten, &full_ns, first, NS_PER_S));
        /* What is left of 20 comes in, one more does not; 21 have left it below zero. */
        assert_int_equal(left(&ten, full_ns, NS_PER_S), first <= 20 ? 20 - first : 0);
        assert_int_equal(ask(&ten, &full_ns, 1, NS_PER_S), first < 20);
        assert_false(ask(&ten, &full_ns, 1, NS_PER_S));
    }
}

static void
test_bucket__wait_is_just_enough(void **state)
{
    int64_t full_ns = 0;
    int64_t wait;

    (void)state;
    assert_true(ask(&ten, &full_ns, 20, 0));
    wait = wait_ns(&ten, full_ns, 7, 0);
    assert_int_equal(wait, 7 * NS_PER_S / 10);
    assert_false(ask(&ten, &full_ns, 7, wait - 1));
    assert_true(ask(&ten, &full_ns, 7, wait));
}

/* Over the burst: only when full, and then the rate holds over the time it takes to come back. */
static void
test_bucket__more_than_the_burst_comes_in_when_it_is_full(void **state)
{
    int64_t full_ns = 0;
    int64_t wait;

    (void)state;
    assert_true(ask(&ten, &full_ns, 1, 0));
    wait = wait_ns(&ten, full_ns, 100, 0);
    assert_int_equal(wait, NS_PER_S / 10);
    assert_true(ask(&ten, &full_ns, 100, wait));
    assert_int_equal(full_ns, wait + 10 * NS_PER_S);
    assert_false(ask(&ten, &full_ns, 1, wait + 8 * NS_PER_S));
    assert_true(ask(&ten, &full_ns, 1, wait + 8 * NS_PER_S + NS_PER_S / 10));
}

/* Asked all the time, a minute lets in its rate and one burst, to the last one. */
static void
test_bucket__a_minute_lets_in_the_rate(void **state)
{
    static const uint64_t rates[] = {1, 7, 999, 100000};

    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        const struct bucket_rate rate = bucket_rate(rates[i], 2 * NS_PER_S);
        const int64_t step_ns = NS_PER_S / ((int64_t)rates[i] * 3);
        int64_t full_ns = 0;
        uint64_t let_in = 0;

        for (int64_t now_ns = 0; now_ns <= 60 * NS_PER_S; now_ns += step_ns)
            let_in += ask(&rate, &full_ns, 1, now_ns);
        assert_in_range(let_in, rates[i] * 62 - 1, rates[i] * 62 + rates[i] * 62 / 1000 + 1);
    }
}

/* The multiplication is exact to a nanosecond of what the division gives. */
static void
test_bucket__costs_are_as_divided(void **state)
{
    static const uint64_t rates[] = {1, 3, 1000, 999983, 700000000, UINT64_C(1000000000000)};
    static const uint64_t costs[] = {1, 7, 10000, 16777216};

    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
        for (size_t j = 0; j < sizeof(costs) / sizeof(costs[0]); j++) {
            const struct bucket_rate rate = bucket_rate(rates[i], NS_PER_S);
            const int64_t ns = (int64_t)((wide)costs[j] * NS_PER_S / rates[i]);

            assert_in_range(bucket_cost_ns(&rate, costs[j]), ns == 0 ? 0 : ns - 1, ns);
        }
}

static void
test_bucket__huge_costs_saturate(void **state)
{
    const struct bucket_rate slow = bucket_rate(1, 1);
    int64_t full_ns = 0;

    (void)state;
    for (int i = 0; i < 8; i++)
        full_ns = bucket_take(full_ns, bucket_cost_ns(&slow, UINT64_MAX), NS_PER_S);
    assert_true(full_ns > 0);
    assert_int_equal(left(&slow, full_ns, NS_PER_S), 0);
    assert_false(ask(&slow, &full_ns, 1, NS_PER_S));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket__a_burst_and_not_one_more),
        cmocka_unit_test(test_bucket__wait_is_just_enough),
        cmocka_unit_test(test_bucket__more_than_the_burst_comes_in_when_it_is_full),
        cmocka_unit_test(test_bucket__a_minute_lets_in_the_rate),
        cmocka_unit_test(test_bucket__costs_are_as_divided),
        cmocka_unit_test(test_bucket__huge_costs_saturate),
    };

    ten = bucket_rate(10, 2 * NS_PER_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
