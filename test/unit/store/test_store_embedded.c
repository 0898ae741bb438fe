/*
 * test_store_embedded - appending, verdicts, reading on, waiting, and the id index under a commit.
 */
#include "base/thread.h"
#include "store_fixture.h"
#include <stdatomic.h>

/* Submits one batch of numbered events, some of them probes; gives the verdicts. */
struct asked {
    uint64_t number;
    bool is_probe;
    enum store_verdict want;
};

static void
batch_done(struct store_batch *batch)
{
    (*(int *)batch->user)++;
}

static void
submit(struct fixture *fixture, const struct asked *asked, uint32_t count, uint32_t accepted)
{
    struct event events[32];
    struct store_item items[32];
    int done = 0;
    struct store_batch batch = {.items = items, .count = count, .done = batch_done, .user = &done};

    for (uint32_t i = 0; i < count; i++) {
        events[i] = fixture_event(asked[i].number);
        items[i] = (struct store_item){.event = &events[i], .is_probe = asked[i].is_probe};
    }
    store_link_submit(fixture->link, &batch);
    assert_int_equal(done, 1);
    assert_int_equal(batch.err, ERR_OK);
    assert_int_equal(batch.accepted_count, accepted);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(items[i].verdict, asked[i].want);
    assert_true(store_position_at_or_before(batch.position, store_durable(fixture->store)));
}

static void
test_embedded__verdicts(void **state)
{
    struct fixture *fixture = *state;
    const bool probe = true;
    const struct asked first[] = {
        {1, false, STORE_ACCEPTED},  {2, false, STORE_ACCEPTED}, {1, false, STORE_DUPLICATE},
        {3, probe, STORE_ABSENT},    {4, probe, STORE_ABSENT},   {4, false, STORE_ACCEPTED},
        {4, probe, STORE_DUPLICATE}, {5, probe, STORE_ABSENT},   {5, probe, STORE_ABSENT},
    };
    const struct asked again[] = {
        {1, false, STORE_DUPLICATE}, {3, false, STORE_ACCEPTED},  {2, probe, STORE_DUPLICATE},
        {5, probe, STORE_ABSENT},    {4, false, STORE_DUPLICATE}, {4, false, STORE_DUPLICATE},
    };
    const struct asked duplicates[] = {{1, false, STORE_DUPLICATE}, {2, probe, STORE_DUPLICATE}};
    struct store_position durable;

    fixture_open(fixture);
    submit(fixture, first, COUNT_OF(first), 3);
    submit(fixture, again, COUNT_OF(again), 1);
    durable = store_durable(fixture->store);
    submit(fixture, duplicates, COUNT_OF(duplicates), 0);
    submit(fixture, NULL, 0, 0);
    assert_int_equal(store_durable(fixture->store).minor, durable.minor);
    assert_int_equal(durable.minor, 4);
    fixture_close(fixture);
    fixture_open(fixture); /* the same from the files */
    submit(fixture, duplicates, COUNT_OF(duplicates), 0);
}

static void
test_embedded__reads_back_in_pages_of_any_size(void **state)
{
    struct fixture *fixture = *state;
    uint64_t next = 0;

    fixture_open(fixture);
    for (uint32_t count = 1; count < 60; count++) {
        assert_int_equal(fixture_append(fixture, next, count, NULL), ERR_OK);
        next += count;
    }
    assert_int_equal(fixture_read_all(fixture, 0, 1, SIZE_MAX), next);
    assert_int_equal(fixture_read_all(fixture, 0, 7, SIZE_MAX), next);
    assert_int_equal(fixture_read_all(fixture, 0, 100000, 1), next);
    assert_int_equal(fixture_read_all(fixture, 0, 100000, 1000), next);
    assert_int_equal(fixture_read_all(fixture, 0, 100000, SIZE_MAX), next);
    fixture_kill(fixture);
    fixture_open(fixture);
    assert_int_equal(fixture_read_all(fixture, 0, 33, SIZE_MAX), next);
}

static void
test_embedded__rolls_segments_and_reads_across(void **state)
{
    struct fixture *fixture = *state;
    uint64_t next = 0;
    struct file_list list;
    char path[FILE_PATH_MAX];

    fixture_open(fixture);
    for (int i = 0; i < 40; i++) { /* about 4 MiB in segments of 1 MiB */
        assert_int_equal(fixture_append(fixture, next, 1000, NULL), ERR_OK);
        next += 1000;
        if (i % 10 == 9) {
            fixture_close(fixture);
            fixture_open(fixture);
        }
    }
    fixture_path(fixture, "ledger", path);
    assert_int_equal(file_list_dir(path, &list, NULL), ERR_OK);
    assert_in_range(list.count, 4, 8);
    file_list_free(&list);
    assert_int_equal(fixture_read_all(fixture, 0, 777, 100000), next);
    fixture_kill(fixture);
    fixture_open(fixture);
    assert_int_equal(fixture_read_all(fixture, 0, 5000, SIZE_MAX), next);
    { /* one frame larger than a segment */
        uint32_t accepted = 0;

        assert_int_equal(fixture_append(fixture, next, 15000, &accepted), ERR_OK);
        assert_int_equal(accepted, 15000);
        next += 15000;
    }
    assert_int_equal(fixture_append(fixture, next, 1, NULL), ERR_OK);
    assert_int_equal(fixture_read_all(fixture, 0, 5000, SIZE_MAX), next + 1);
}

static void
test_embedded__a_reader_behind_the_appender_sees_every_row(void **state)
{
    struct fixture *fixture = *state;
    struct store_position after = {0};
    struct arena arena;
    uint64_t seen = 0;

    fixture_open(fixture);
    arena_init(&arena, 65536, 1 << 26);
    for (uint64_t next = 0; next < 30000; next += 300) {
        struct store_page page;

        assert_int_equal(fixture_append(fixture, next, 300, NULL), ERR_OK);
        assert_int_equal(store_read_after(fixture->store, after, 299, 1 << 20, &arena, &page, NULL),
                         ERR_OK);
        for (uint32_t i = 0; i < page.count; i++)
            assert_int_equal(page.rows[i].seq, ++seen);
        assert_false(page.is_caught_up);
        after = page.next;
        arena_clear(&arena);
    }
    assert_int_equal(seen, 29900);
    arena_fini(&arena);
}

/* --- the id index -------------------------------------------------------------------------- */

static bool is_seal_wanted;

static void
seal(void *state)
{
    struct fixture *fixture = state;
    bool did_work = false;

    if (!is_seal_wanted)
        return;
    assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
    assert_true(did_work);
}

/* The window between the probe of the runs and the lock: all young ids leave the table for a run.
 */
static void
test_embedded__ids_sealed_between_the_two_probes_are_found(void **state)
{
    struct fixture *fixture = *state;
    uint32_t accepted = 0;

    fixture->config.young_ids_seal = 1;
    fixture->config.between_probes = seal;
    fixture->config.between_probes_state = fixture;
    is_seal_wanted = false;
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 500, &accepted), ERR_OK);
    assert_int_equal(accepted, 500);
    is_seal_wanted = true;
    assert_int_equal(fixture_append(fixture, 0, 1000, &accepted), ERR_OK); /* 500 old, 500 new */
    assert_int_equal(accepted, 500);
    assert_int_equal(fixture_append(fixture, 0, 1001, &accepted), ERR_OK);
    assert_int_equal(accepted, 1);
    is_seal_wanted = false;
    assert_int_equal(fixture_read_all(fixture, 0, 5000, SIZE_MAX), 1001);
}

static void
upkeep(struct fixture *fixture)
{
    bool did_work = true;

    while (did_work)
        assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
    for (did_work = true; did_work;)
        assert_int_equal(store_maintain_slow(fixture->store, &did_work, NULL), ERR_OK);
}

static void
test_embedded__ids_are_known_through_seals_merges_and_starts(void **state)
{
    struct fixture *fixture = *state;
    struct store_stats stats;
    uint64_t next = 0;
    uint32_t accepted = 0;

    fixture->config.young_ids_max = 4096;
    fixture->config.young_ids_seal = 1024;
    fixture_open(fixture);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(fixture_append(fixture, next, 700, &accepted), ERR_OK);
        assert_int_equal(accepted, 700);
        next += 700;
        upkeep(fixture);
        if (i % 13 == 0) {
            fixture_kill(fixture);
            fixture_open(fixture);
        }
    }
    store_stats(fixture->store, &stats);
    assert_int_equal(stats.index_ids, next);
    assert_int_equal(stats.events, next);
    assert_in_range(stats.index_runs, 1, 12);
    for (uint64_t first = 0; first < next; first += 1000) {
        assert_int_equal(fixture_append(fixture, first, 1000, &accepted), ERR_OK);
        assert_int_equal(accepted, 0);
    }
    assert_int_equal(fixture_read_all(fixture, 0, 5000, SIZE_MAX), next);
}

static void
test_embedded__runs_lost_or_damaged_are_made_again(void **state)
{
    struct fixture *fixture = *state;
    char path[FILE_PATH_MAX];
    uint32_t accepted = 0;
    struct store_stats stats;

    fixture->config.young_ids_max = 4096;
    fixture->config.young_ids_seal = 1024;
    fixture_open(fixture);
    for (uint64_t next = 0; next < 10000; next += 1000) {
        assert_int_equal(fixture_append(fixture, next, 1000, NULL), ERR_OK);
        upkeep(fixture);
    }
    fixture_close(fixture);
    assert_true(fixture_find(fixture, "ids", "00000000000000000000-", path));
    assert_int_equal(file_replace_whole(path, SLICE("no run at all"), NULL), ERR_OK);
    fixture_open(fixture);
    assert_string_equal(fixture->sink_last, "id_run.discarded");
    assert_int_equal(fixture_append(fixture, 0, 10000, &accepted), ERR_OK);
    assert_int_equal(accepted, 0);
    store_stats(fixture->store, &stats);
    assert_int_equal(stats.index_ids, 10000);
    fixture_close(fixture);
    fixture_path(fixture, "ids", path);
    assert_int_equal(file_remove_tree(path, NULL), ERR_OK);
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 10000, &accepted), ERR_OK);
    assert_int_equal(accepted, 0);
}

static void
test_embedded__a_full_young_table_is_overload_until_sealed(void **state)
{
    struct fixture *fixture = *state;
    uint32_t accepted = 0;

    fixture->config.young_ids_max = 1024;
    fixture->config.young_ids_seal = 1024;
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 1023, NULL), ERR_OK);
    assert_int_equal(fixture_append(fixture, 1023, 2, NULL), ERR_OVERLOADED);
    assert_int_equal(fixture_append(fixture, 1023, 1, NULL), ERR_OK);
    assert_int_equal(fixture_append(fixture, 1024, 1, NULL), ERR_OVERLOADED);
    assert_int_equal(fixture_append(fixture, 0, 1000, &accepted),
                     ERR_OK); /* duplicates need no room */
    assert_int_equal(accepted, 0);
    upkeep(fixture);
    assert_int_equal(fixture_append(fixture, 1024, 1, &accepted), ERR_OK);
    assert_int_equal(accepted, 1);
}

/* With room for two requests of the greatest size, and sealing at half of it, none is refused
 * twice. */
static void
test_embedded__the_greatest_request_finds_room_below_the_seal(void **state)
{
    struct fixture *fixture = *state;

    fixture->config.young_ids_max = 32768; /* the least that can be set */
    fixture->config.young_ids_seal = 16384;
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 16383, NULL), ERR_OK); /* not yet sealed */
    upkeep(fixture);
    assert_int_equal(fixture_append(fixture, 16383, 10000, NULL), ERR_OK);
}

/* --- several threads ----------------------------------------------------------------------- */

#define RACE_EVENTS 6000
struct racer {
    struct fixture *fixture;
    struct store_link *link;
    uint64_t seed;
    _Atomic uint32_t *accepted_by; /* how often each event was accepted */
    enum err err;
};

static void
race(void *arg)
{
    struct racer *racer = arg;
    struct random_source random;

    random_seeded_init(&random, racer->seed);
    for (int round = 0; round < 150; round++) {
        struct event events[64];
        struct store_item items[64];
        uint64_t numbers[64];
        const uint32_t count = 1 + (uint32_t)random_below(&random, 64);
        int done = 0;
        struct store_batch batch = {
            .items = items, .count = count, .done = batch_done, .user = &done};

        for (uint32_t i = 0; i < count; i++) {
            numbers[i] = random_below(&random, RACE_EVENTS);
            events[i] = fixture_event(numbers[i]);
            items[i] = (struct store_item){.event = &events[i]};
        }
        store_link_submit(racer->link, &batch);
        if (batch.err != ERR_OK)
            racer->err = batch.err;
        for (uint32_t i = 0; i < count; i++)
            if (items[i].verdict == STORE_ACCEPTED)
                atomic_fetch_add(&racer->accepted_by[numbers[i]], 1);
    }
}

static void
test_embedded__two_links_with_the_same_ids_store_each_once(void **state)
{
    struct fixture *fixture = *state;
    static _Atomic uint32_t accepted_by[RACE_EVENTS];
    struct racer racers[2];
    struct thread *threads[2] = {NULL};
    uint64_t accepted = 0;
    struct store_stats stats;

    fixture->config.young_ids_max = 8192;
    fixture->config.young_ids_seal = 64;
    fixture_open(fixture);
    for (int i = 0; i < 2; i++) {
        racers[i] =
            (struct racer){.fixture = fixture, .seed = (uint64_t)i + 1, .accepted_by = accepted_by};
        assert_int_equal(store_link_open(fixture->store, &racers[i].link, NULL), ERR_OK);
        assert_int_equal(thread_start("race", THREAD_NORMAL, race, &racers[i], &threads[i], NULL),
                         ERR_OK);
    }
    for (int i = 0; i < 60; i++) { /* seals and merges beside them */
        bool did_work = false;

        assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
        assert_int_equal(store_maintain_slow(fixture->store, &did_work, NULL), ERR_OK);
    }
    for (int i = 0; i < 2; i++) {
        thread_join(&threads[i]);
        assert_int_equal(racers[i].err, ERR_OK);
        store_link_close(&racers[i].link);
    }
    for (uint32_t i = 0; i < RACE_EVENTS; i++) {
        assert_in_range(accepted_by[i], 0, 1);
        accepted += accepted_by[i];
    }
    store_stats(fixture->store, &stats);
    assert_int_equal(stats.events, accepted);
    assert_int_equal(stats.index_ids, accepted);
}

static void
append_later(void *arg)
{
    assert_int_equal(fixture_append(arg, 0, 1, NULL), ERR_OK);
}

static void
wake_later(void *arg)
{
    store_wake(((struct fixture *)arg)->store);
}

static void
test_embedded__waits_for_what_comes(void **state)
{
    struct fixture *fixture = *state;
    const struct store_position start = {0};
    struct thread *thread = NULL;

    fixture_open(fixture);
    assert_false(store_wait_after(fixture->store, start, 0));
    assert_int_equal(thread_start("append", THREAD_NORMAL, append_later, fixture, &thread, NULL),
                     ERR_OK);
    assert_true(store_wait_after(fixture->store, start, 60000));
    thread_join(&thread);
    assert_true(store_wait_after(fixture->store, start, 0));
    assert_false(store_wait_after(fixture->store, store_durable(fixture->store), 1));
    assert_int_equal(thread_start("wake", THREAD_NORMAL, wake_later, fixture, &thread, NULL),
                     ERR_OK);
    /* woken or timed out: false in both cases, and no event is needed */
    assert_false(store_wait_after(fixture->store, store_durable(fixture->store), 50));
    thread_join(&thread);
}

/* --- positions --------------------------------------------------------------- */

static void
test_embedded__positions_as_text(void **state)
{
    const struct store_position a = {.generation = UINT64_MAX, .major = UINT64_MAX, .minor = 0};
    const struct store_position zero = {0};
    struct store_position got;
    char text[STORE_POSITION_TEXT];
    static const char *const bad[] = {"",
                                      "1",
                                      "1.2",
                                      "1.2.3.4",
                                      "1.2.",
                                      ".2.3",
                                      "01.2.3",
                                      "1.2.G",
                                      "1.2.A",
                                      " 1.2.3",
                                      "1.2.3 ",
                                      "-1.2.3",
                                      "10000000000000000.0.0"};

    (void)state;
    store_position_format(a, text);
    assert_string_equal(text, "ffffffffffffffff.ffffffffffffffff.0");
    assert_int_equal(store_position_parse(slice_of_text(text), &got), ERR_OK);
    assert_memory_equal(&got, &a, sizeof(a));
    store_position_format(zero, text);
    assert_int_equal(store_position_parse(slice_of_text(text), &got), ERR_OK);
    assert_memory_equal(&got, &zero, sizeof(zero));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(store_position_parse(slice_of_text(bad[i]), &got), ERR_INVALID_PARAMETER);
    assert_int_equal(store_position_parse(SLICE_NONE, &got), ERR_INVALID_PARAMETER);
    assert_true(store_position_at_or_before(zero, a));
    assert_false(store_position_at_or_before((struct store_position){5, 0, 1},
                                             (struct store_position){6, 0, 9}));
    assert_true(store_position_at_or_before((struct store_position){5, 0, 9},
                                            (struct store_position){5, 0, 9}));
    assert_false(store_position_at_or_before((struct store_position){5, 0, 10},
                                             (struct store_position){5, 0, 9}));
    assert_true(store_position_at_or_before((struct store_position){5, 8, 10},
                                            (struct store_position){6, 3, 1}));
}

static void
test_embedded__a_position_of_another_ledger_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct store_position other = {.generation = 1, .minor = 0};
    struct arena arena;
    struct store_page page;

    fixture_open(fixture);
    assert_int_not_equal(store_durable(fixture->store).generation, 0);
    arena_init(&arena, 4096, 1 << 20);
    assert_int_equal(store_read_after(fixture->store, other, 10, 1000, &arena, &page, NULL),
                     ERR_INVALID);
    arena_fini(&arena);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_embedded__verdicts),
        TEST(test_embedded__reads_back_in_pages_of_any_size),
        TEST(test_embedded__rolls_segments_and_reads_across),
        TEST(test_embedded__a_reader_behind_the_appender_sees_every_row),
        TEST(test_embedded__ids_sealed_between_the_two_probes_are_found),
        TEST(test_embedded__ids_are_known_through_seals_merges_and_starts),
        TEST(test_embedded__runs_lost_or_damaged_are_made_again),
        TEST(test_embedded__a_full_young_table_is_overload_until_sealed),
        TEST(test_embedded__the_greatest_request_finds_room_below_the_seal),
        TEST(test_embedded__two_links_with_the_same_ids_store_each_once),
        TEST(test_embedded__waits_for_what_comes),
        TEST(test_embedded__positions_as_text),
        TEST(test_embedded__a_position_of_another_ledger_is_refused),
    };

    return cmocka_run_group_tests_name("embedded", tests, NULL, NULL);
}
