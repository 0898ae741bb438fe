/* Units of base/random. */
#include "../test.h"

#include "base/random.h"

/* Reference values: splitmix64 seeded with 0 gives the well-known state e220a8397b1dcdaf …; the
 * first output of xoshiro256++ on it follows from the definition: rotl(s0 + s3, 23) + s0. */
static void
test_random__seeded_follows_the_papers(void **state)
{
    struct random_source source;
    uint64_t s0, s3, sum;

    (void)state;
    random_seeded_init(&source, 0);
    assert_true(source.state[0] == UINT64_C(0xe220a8397b1dcdaf));
    assert_true(source.state[1] == UINT64_C(0x6e789e6aa1b965f4));
    assert_true(source.state[2] == UINT64_C(0x06c45d188009454f));
    assert_true(source.state[3] == UINT64_C(0xf88bb8a8724c81ec));
    s0 = source.state[0];
    s3 = source.state[3];
    sum = s0 + s3;
    assert_true(random_u64(&source) == ((sum << 23) | (sum >> 41)) + s0);
    /* The generator's published test vector: state {1, 2, 3, 4}. */
    source.state[0] = 1;
    source.state[1] = 2;
    source.state[2] = 3;
    source.state[3] = 4;
    assert_true(random_u64(&source) == UINT64_C(41943041));
    assert_true(random_u64(&source) == UINT64_C(58720359));
    assert_true(random_u64(&source) == UINT64_C(3588806011781223));
}

static void
test_random__same_seed_same_bytes(void **state)
{
    struct random_source a, b;
    unsigned char first[37], second[37];

    (void)state;
    random_seeded_init(&a, 42);
    random_seeded_init(&b, 42);
    random_fill(&a, first, sizeof(first));
    random_fill(&b, second, sizeof(second));
    assert_memory_equal(first, second, sizeof(first));
    random_seeded_init(&b, 43);
    random_fill(&b, second, sizeof(second));
    assert_memory_not_equal(first, second, sizeof(first));
}

static void
test_random__below_reaches_every_value_evenly(void **state)
{
    struct random_source source;
    uint32_t counts[7] = {0};

    (void)state;
    random_seeded_init(&source, 1);
    for (int i = 0; i < 70000; i++)
        counts[random_below(&source, 7)]++;
    for (size_t i = 0; i < 7; i++)
        assert_in_range(counts[i], 9500, 10500); /* 10,000 ± 5 deviations */
    assert_int_equal(random_below(&source, 1), 0);
    for (int i = 0; i < 1000; i++) {
        double unit = random_unit(&source);

        assert_true(unit >= 0.0 && unit < 1.0);
    }
}

static void
test_random__system_differs_each_time(void **state)
{
    unsigned char first[16], second[16];

    (void)state;
    random_fill(random_system(), first, sizeof(first));
    random_fill(random_system(), second, sizeof(second));
    assert_memory_not_equal(first, second, sizeof(first));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random__seeded_follows_the_papers),
        cmocka_unit_test(test_random__same_seed_same_bytes),
        cmocka_unit_test(test_random__below_reaches_every_value_evenly),
        cmocka_unit_test(test_random__system_differs_each_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
