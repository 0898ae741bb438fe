/*
 * test_filter - a filter can be built for every number of keys, soon, and knows all of them.
 *
 * Sizes that just fill their last segment once needed dozens of seeds or had none at all.
 */
#include "../test.h"
#include "base/mem.h"
#include "base/random.h"
#include "run/filter.h"

#define SEEDS_MAX 20

/* Which seed it took, 1 …; filter.c's sequence. */
static uint32_t
seeds_taken(const struct filter *filter)
{
    uint64_t seed = UINT64_C(0x726b2b9d438b9d4d);
    uint32_t count = 0;

    do {
        seed = filter_hash(seed, UINT64_C(0x9e3779b97f4a7c15));
        count++;
    } while (seed != filter->seed && count < 200);
    return count;
}

static void
build_and_check(struct random_source *random, uint32_t key_count)
{
    struct filter filter;
    uint64_t *keys = MEM_NEW(uint64_t, key_count);
    uint64_t *again = MEM_NEW(uint64_t, key_count);

    filter_measure(key_count, &filter);
    assert_true(filter_is_sound(&filter));
    assert_true(filter.cell_count * 2.0 <= key_count * 3.0 || key_count < 50000);
    filter.cells = MEM_NEW(uint16_t, filter.cell_count);
    assert_true(keys != NULL && again != NULL && filter.cells != NULL);
    for (uint32_t i = 0; i < key_count; i++)
        again[i] = keys[i] = random_u64(random);
    assert_int_equal(filter_build(&filter, keys, key_count), ERR_OK);
    if (seeds_taken(&filter) > SEEDS_MAX)
        fail_msg("%u keys took %u seeds", key_count, seeds_taken(&filter));
    for (uint32_t i = 0; i < key_count; i++) {
        const struct filter_place place = filter_place_of(&filter, again[i]);

        assert_true(filter_passes(&filter, &place));
    }
    mem_free(filter.cells);
    mem_free(keys);
    mem_free(again);
}

static void
test_filter__every_size_can_be_built(void **state)
{
    struct random_source random;

    (void)state;
    random_seeded_init(&random, 11);
    for (uint32_t n = 1; n <= 3000; n++)
        build_and_check(&random, n);
    for (uint32_t i = 0; i < 400; i++)
        build_and_check(&random, 3000 + (uint32_t)random_below(&random, 30000));
    for (uint32_t i = 0; i < 5; i++) /* the size that needed 38 seeds on average */
        build_and_check(&random, 11483);
    build_and_check(&random, 1u << 19);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_filter__every_size_can_be_built)};

    return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
