/*
 * test_remove - keys taken out of a set of runs: those go, no other, and a step that fails or is
 * cut short loses nothing.
 */
#include "../test.h"

#include "run_keys.h"

#define RUN_KEYS 3000
#define KEYS (3 * RUN_KEYS) /* three runs: one fewer than would be merged */

static const char *dir; /* of the test */

static int
setup(void **state)
{
    const int failed = test_dir_setup(state);

    dir = (const char *)*state;
    return failed;
}

static struct run_set *
open_set(void)
{
    const struct run_set_config config = {
        .dir = dir, .owner = "owner", .covered_max = UINT64_MAX, .partition_keys = 1024};
    struct run_set *set = NULL;

    assert_int_equal(run_set_open(&config, &set, NULL), ERR_OK);
    return set;
}

static struct run_set *
make_set(void)
{
    static struct run_entry entries[RUN_KEYS];
    struct run_set *set = open_set();

    for (uint64_t from = 0; from < KEYS; from += RUN_KEYS) {
        for (uint64_t i = 0; i < RUN_KEYS; i++)
            entries[i] = (struct run_entry){.key = key_of(from + i)};
        assert_int_equal(run_set_add(set, entries, RUN_KEYS, from + RUN_KEYS, NULL), ERR_OK);
    }
    return set;
}

static int
compare(const void *a, const void *b)
{
    return run_key_compare(*(const struct run_key *)a, *(const struct run_key *)b);
}

/* Every `of`-th key, of the first `behind`, and one that is in no run; rising. */
static uint32_t
choose(uint64_t of, uint64_t behind, struct run_key keys[KEYS + 1])
{
    uint32_t count = 0;

    for (uint64_t i = 0; i < behind; i += of)
        keys[count++] = key_of(i);
    keys[count++] = key_of(KEYS + 7);
    qsort(keys, count, sizeof(keys[0]), compare);
    return count;
}

/* Chosen keys are gone (or, where may_stay, are there or not), all others are there. */
static void
assert_left(struct run_set *set, uint64_t of, uint64_t behind, bool may_stay)
{
    struct run_snapshot *snapshot = run_set_snapshot(set);

    for (uint64_t i = 0; i < KEYS; i++) {
        const struct run_key key = key_of(i);
        uint8_t found = 0;

        assert_int_equal(run_snapshot_probe(snapshot, 0, &key, 1, &found, NULL, NULL), ERR_OK);
        if (i % of == 0 && i < behind)
            assert_true(may_stay || found == 0);
        else
            assert_int_equal(found, 1);
    }
    run_snapshot_free(&snapshot);
}

static void
remove_all(struct run_set *set, const struct run_key *keys, uint32_t count)
{
    bool did_work = true;

    while (did_work)
        assert_int_equal(run_set_remove_step(set, keys, count, &did_work, NULL), ERR_OK);
}

static void
test_remove__takes_the_keys_and_no_others(void **state)
{
    static struct run_key keys[KEYS + 1];
    const uint64_t of[] = {1, 2, 9, KEYS};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(of); i++) {
        struct run_set *set = make_set();
        struct run_set_stats stats;
        const uint32_t count = choose(of[i], KEYS, keys);

        remove_all(set, keys, count);
        assert_left(set, of[i], KEYS, false);
        run_set_stats(set, &stats);
        assert_int_equal(stats.keys, KEYS - (count - 1));
        assert_int_equal(stats.covered, KEYS);
        run_set_close(&set);
        set = open_set();
        assert_int_equal(run_set_covered(set), KEYS);
        assert_left(set, of[i], KEYS, false);
        run_set_close(&set);
        assert_int_equal(file_remove_tree(dir, NULL), ERR_OK);
        assert_int_equal(file_make_dir(dir, NULL), ERR_OK);
    }
}

/* Only the run that holds one is written anew. */
static void
test_remove__leaves_other_runs_alone(void **state)
{
    static struct run_key keys[KEYS + 1];
    struct run_set *set = make_set();
    const uint32_t count = choose(RUN_KEYS, 1, keys);
    bool did_work = true;
    uint32_t steps = 0;

    (void)state;
    for (; did_work; steps++)
        assert_int_equal(run_set_remove_step(set, keys, count, &did_work, NULL), ERR_OK);
    assert_int_equal(steps,
                     4 + 1); /* partitions of a run of 3,000 keys, and the one that finds none */
    assert_left(set, RUN_KEYS, 1, false);
    run_set_close(&set);
}

/* A snapshot taken before keeps its keys, and its end does not take the new file away. */
static void
test_remove__old_snapshots_stay_whole(void **state)
{
    static struct run_key keys[KEYS + 1];
    struct run_set *set = make_set();
    struct run_snapshot *snapshot = run_set_snapshot(set);
    const struct run_key first = key_of(0);
    uint8_t found = 0;

    (void)state;
    remove_all(set, keys, choose(2, KEYS, keys));
    assert_int_equal(run_snapshot_probe(snapshot, 0, &first, 1, &found, NULL, NULL), ERR_OK);
    assert_int_equal(found, 1);
    run_snapshot_free(&snapshot);
    run_set_close(&set);
    set = open_set();
    assert_int_equal(run_set_covered(set), KEYS);
    assert_left(set, 2, KEYS, false);
    run_set_close(&set);
}

/* Closed after each number of steps, and gone on with by merge steps alone. */
static void
test_remove__may_end_at_any_step(void **state)
{
    static struct run_key keys[KEYS + 1];
    bool did_work = true;

    (void)state;
    for (uint32_t steps = 1; did_work; steps++) {
        struct run_set *set = make_set();
        const uint32_t count = choose(3, KEYS, keys);
        bool did_merge = true;

        for (uint32_t i = 0; i < steps && did_work; i++)
            assert_int_equal(run_set_remove_step(set, keys, count, &did_work, NULL), ERR_OK);
        assert_left(set, 3, KEYS, true);
        if (steps % 2 == 0)
            while (did_merge)
                assert_int_equal(run_set_merge_step(set, &did_merge, NULL), ERR_OK);
        run_set_close(&set);
        set = open_set();
        assert_int_equal(run_set_covered(set), KEYS);
        assert_left(set, 3, KEYS, true);
        remove_all(set, keys, count);
        assert_left(set, 3, KEYS, false);
        run_set_close(&set);
        assert_int_equal(file_remove_tree(dir, NULL), ERR_OK);
        assert_int_equal(file_make_dir(dir, NULL), ERR_OK);
    }
}

static void
test_remove__no_memory_at_each_allocation(void **state)
{
    static struct run_key keys[KEYS + 1];
    struct run_set *set = make_set();
    const uint32_t count = choose(2, KEYS, keys);
    uint32_t failures = 0;
    bool did_work = true;

    (void)state;
    for (uint64_t nth = 1; did_work; nth++) {
        enum err err = ERR_OK;

        mem_fail_from(nth, false);
        while (err == ERR_OK && did_work)
            err = run_set_remove_step(set, keys, count, &did_work, NULL);
        mem_fail_from(0, false);
        assert_true(err == ERR_OK || err == ERR_NOMEM);
        failures += err != ERR_OK;
        did_work |= err != ERR_OK;
        assert_left(set, 2, KEYS, true);
    }
    assert_true(failures > 10);
    assert_left(set, 2, KEYS, false);
    run_set_close(&set);
}

int
main(void)
{
#define TEST_(test) cmocka_unit_test_setup_teardown(test, setup, test_dir_teardown)
    const struct CMUnitTest tests[] = {
        TEST_(test_remove__takes_the_keys_and_no_others),
        TEST_(test_remove__leaves_other_runs_alone),
        TEST_(test_remove__old_snapshots_stay_whole),
        TEST_(test_remove__may_end_at_any_step),
        TEST_(test_remove__no_memory_at_each_allocation),
    };
#undef TEST_

    return cmocka_run_group_tests_name("remove", tests, NULL, NULL);
}
