/*
 * test_erase_free - erasures that free ids: each may be stored again, once, and never before its
 * row has gone.
 */
#include "erase_fixture.h"
#include "fault_plan.h"
#include "store/embedded/store_embedded.h"

#define EVENTS 12000 /* a segment of 1 MiB, and a part of one */

/* How often each event is stored, by its id. */
static void
count_rows(struct fixture *fixture, uint8_t counts[EVENTS])
{
    struct store_position after = {0};
    struct store_page page = {.is_caught_up = false};
    struct arena arena;

    memset(counts, 0, EVENTS);
    arena_init(&arena, 65536, (size_t)1 << 30);
    while (!page.is_caught_up) {
        assert_int_equal(
            store_read_after(fixture->store, after, 1000, SIZE_MAX, &arena, &page, NULL), ERR_OK);
        for (uint32_t i = 0; i < page.count; i++) {
            const struct slice id = page.rows[i].event.event_id;
            const uint64_t number = strtoull(id.ptr + strlen("event-"), NULL, 10);

            assert_true(number < EVENTS);
            counts[number]++;
        }
        after = page.next;
        arena_clear(&arena);
    }
    arena_fini(&arena);
}

static bool
is_persons(uint64_t number)
{
    const struct event event = fixture_event(number);
    struct selection person = erase_person(1);

    person.seq_max = UINT64_MAX;
    person.received_max_us = INT64_MAX;
    return selection_matches(&person, &event, number + 1);
}

/* Every event once, but those of the person may be gone. */
static void
assert_never_twice(struct fixture *fixture, uint8_t counts[EVENTS])
{
    count_rows(fixture, counts);
    for (uint64_t i = 0; i < EVENTS; i++)
        assert_true(counts[i] == 1 || (counts[i] == 0 && is_persons(i)));
}

/* Sends those events of the person again whose number modulo `of` is `rest`. Accepted, if at all,
 * is only what is not stored. Returns how many were. */
static uint32_t
send_persons(struct fixture *fixture, uint64_t of, uint64_t rest)
{
    static uint8_t counts[EVENTS];
    uint32_t sum = 0;

    assert_never_twice(fixture, counts);
    for (uint64_t i = 0; i < EVENTS; i++) {
        uint32_t accepted = 0;

        if (i % of != rest || !is_persons(i))
            continue;
        assert_int_equal(fixture_append(fixture, i, 1, &accepted), ERR_OK);
        assert_true(accepted == 0 || counts[i] == 0);
        sum += accepted;
    }
    assert_never_twice(fixture, counts);
    return sum;
}

/* Bound at the last event of the fill, as a job that is begun again is. */
static struct selection
bound_person(void)
{
    struct selection person = erase_person(1);

    person.seq_max = EVENTS;
    person.received_max_us = INT64_MAX;
    return person;
}

static enum err
free_it(struct fixture *fixture)
{
    struct selection person = bound_person();
    struct store_erasure_progress progress;

    return erase_run(fixture, &person, true, false, &progress, NULL);
}

/* Small runs and several of them, some ids young still. */
static void
fill(struct fixture *fixture)
{
    fixture->config.young_ids_max = 1 << 12;
    fixture->config.young_ids_seal = 1 << 11;
    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    assert_true(id_index_covered(&((struct embedded *)fixture->store)->ids) < EVENTS);
}

static uint32_t
count_persons(void)
{
    uint32_t count = 0;

    for (uint64_t i = 0; i < EVENTS; i++)
        count += is_persons(i);
    return count;
}

/* After the erasure has ended: each is accepted once, in whatever way the store is opened. */
static void
assert_free_once(struct fixture *fixture, uint32_t accepted_before)
{
    struct findings findings;

    assert_int_equal(send_persons(fixture, 1, 0), count_persons() - accepted_before);
    erase_send_again(fixture, EVENTS);
    fixture_kill(fixture);
    fixture_open(fixture);
    erase_send_again(fixture, EVENTS);
    fixture_close(fixture);
    assert_int_equal(doctor(fixture, false, false, &findings), ERR_OK);
    erase_remove_ids(fixture);
    fixture_open(fixture);
    erase_send_again(fixture, EVENTS);
}

/* --- tests --------------------------------------------------------------------------------- */

static void
test_erase_free__ids_may_be_stored_again_once(void **state)
{
    struct fixture *fixture = *state;
    struct embedded *store = NULL;

    fill(fixture);
    store = (struct embedded *)fixture->store;
    assert_true(count_persons() > 15);
    assert_int_equal(free_it(fixture), ERR_OK);
    assert_int_equal(store->freed.end, 0);
    assert_null(store->ids.held);
    assert_free_once(fixture, 0);
}

static void
test_erase_free__ids_stay_free_when_the_index_is_made_anew(void **state)
{
    struct fixture *fixture = *state;

    fill(fixture);
    assert_int_equal(free_it(fixture), ERR_OK);
    fixture_close(fixture);
    erase_remove_ids(fixture);
    fixture_open(fixture);
    assert_free_once(fixture, 0);
}

/* None is in a run yet: the loader has to seal before anything is freed. */
static void
test_erase_free__young_ids_are_sealed_first(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    assert_int_equal(id_index_covered(&((struct embedded *)fixture->store)->ids), 0);
    assert_int_equal(free_it(fixture), ERR_OK);
    assert_free_once(fixture, 0);
}

/* The keys of the person's rows in the first segment, as one that loses `lost` rows. */
static void
add_record(struct fixture *fixture, uint64_t lost)
{
    struct embedded *store = (struct embedded *)fixture->store;
    const struct ledger_segment *segment = &store->ledger->segments[0];
    struct run_key keys[64];
    uint32_t count = 0;

    for (uint64_t i = 0; i + 1 < segment->next_seq; i++) {
        const struct event event = fixture_event(i);

        if (is_persons(i))
            keys[count++] = id_index_key(store->ids.secret, event.project_id, event.event_id);
    }
    assert_true(count > 3);
    assert_int_equal(freed_add(&store->freed, 1, segment->rows - lost, keys, count, NULL), ERR_OK);
    assert_int_equal(freed_sync(&store->freed, NULL), ERR_OK);
}

/* Keys that were written before their rows went, and then the process ended, or the disk failed:
 * their ids are stored, and must not be freed. */
static void
test_erase_free__keys_whose_rows_are_there_are_dropped(void **state)
{
    struct fixture *fixture = *state;
    struct store_erasure erasure = {.selection = bound_person()};
    struct store_erase *erase = NULL;

    fill(fixture);
    add_record(fixture, 5);
    assert_int_equal(store_erase_open(fixture->store, &erasure, &erase, NULL), ERR_OK);
    assert_int_equal(((struct embedded *)fixture->store)->freed.end, 0);
    store_erase_close(&erase);
    add_record(fixture, 5);
    fixture_kill(fixture);
    fixture_open(fixture);
    assert_int_equal(((struct embedded *)fixture->store)->freed.end, 0);
    erase_send_again(fixture, EVENTS);
}

/* More keys than one part, and no runs: what is not held is entered again from the file. */
static void
test_erase_free__all_parts_are_refused_after_a_start(void **state)
{
    struct fixture *fixture = *state;
    struct store_erasure erasure = {.selection = bound_person(), .frees_ids = true};
    struct store_erasure_progress progress = {.done = 0};
    struct run_key *keys = MEM_NEW(struct run_key, FREED_RECORD_KEYS_MAX);
    struct store_erase *erase = NULL;
    struct embedded *store = NULL;
    bool is_done = false;

    assert_non_null(keys);
    fill(fixture);
    store = (struct embedded *)fixture->store;
    assert_int_equal(store_erase_open(fixture->store, &erasure, &erase, NULL), ERR_OK);
    while (progress.done < 2)
        assert_int_equal(store_erase_step(erase, &is_done, &progress, NULL), ERR_OK);
    store_erase_close(&erase);
    assert_true(store->freed.end > 0);
    for (uint64_t i = 0; i < FREED_TAIL_KEYS_MAX / FREED_RECORD_KEYS_MAX; i++) {
        const struct ledger_segment *last = &store->ledger->segments[1];

        for (uint64_t k = 0; k < FREED_RECORD_KEYS_MAX; k++)
            keys[k] = (struct run_key){.hi = (k * 16 + i) << 44, .lo = i + 1};
        assert_int_equal(freed_add(&store->freed, last->first_seq, last->rows, keys,
                                   FREED_RECORD_KEYS_MAX, NULL),
                         ERR_OK);
    }
    mem_free(keys);
    fixture_close(fixture);
    for (char run[FILE_PATH_MAX]; fixture_find(fixture, "ids", "000", run);)
        assert_int_equal(file_unlink(run, NULL), ERR_OK);
    fixture_open(fixture);
    assert_int_equal(send_persons(fixture, 1, 0), 0);
    assert_int_equal(free_it(fixture), ERR_OK);
    assert_free_once(fixture, 0);
}

/* Ids of another person, erased before, stay refused. */
static void
test_erase_free__leaves_older_tombstones(void **state)
{
    struct fixture *fixture = *state;
    struct selection other = erase_person(1);

    other.person = slice_of_text("anonymous-14");
    fill(fixture);
    assert_true(erase_all(fixture, &other) > 0);
    assert_int_equal(free_it(fixture), ERR_OK);
    for (int i = 0; i < 2; i++) {
        uint32_t sum = 0;

        for (uint64_t number = 0; number < EVENTS; number++) {
            const struct event event = fixture_event(number);
            uint32_t accepted = 0;

            if (!selection_matches(&other, &event, number + 1))
                continue;
            assert_int_equal(fixture_append(fixture, number, 1, &accepted), ERR_OK);
            sum += accepted;
        }
        assert_int_equal(sum, 0);
        fixture_close(fixture);
        erase_remove_ids(fixture);
        fixture_open(fixture);
    }
}

/* Clients send freed ids between any two steps, the loader seals, the keeper merges. */
static void
test_erase_free__no_step_lets_an_id_in_twice(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = bound_person();
    struct store_erasure erasure = {.frees_ids = true};
    struct store_erasure_progress progress;
    struct store_erase *erase = NULL;
    bool is_done = false;
    bool did_work = false;
    uint32_t accepted = 0;
    uint32_t steps = 0;

    fill(fixture);
    erasure.selection = person;
    assert_int_equal(store_erase_open(fixture->store, &erasure, &erase, NULL), ERR_OK);
    while (!is_done) {
        assert_int_equal(store_erase_step(erase, &is_done, &progress, NULL), ERR_OK);
        accepted += send_persons(fixture, 7, steps % 7);
        assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
        assert_int_equal(store_maintain_slow(fixture->store, &did_work, NULL), ERR_OK);
        accepted += send_persons(fixture, 7, steps++ % 7);
        assert_true(steps < 100);
    }
    store_erase_close(&erase);
    assert_true(steps >= 6);
    assert_free_once(fixture, accepted);
}

/* Given up after each number of steps, in a process that lives on; begun again later. */
static void
test_erase_free__may_be_given_up_at_any_step(void **state)
{
    struct fixture *fixture = *state;
    bool is_done = false;

    fill(fixture);
    fault_keep(fixture);
    for (uint32_t steps = 1; !is_done; steps++) {
        struct store_erasure erasure = {.selection = bound_person(), .frees_ids = true};
        struct store_erasure_progress progress;
        struct store_erase *erase = NULL;
        bool did_work = true;
        uint32_t accepted = 0;

        fault_take(fixture);
        fixture_open(fixture);
        assert_int_equal(store_erase_open(fixture->store, &erasure, &erase, NULL), ERR_OK);
        for (uint32_t i = 0; i < steps && !is_done; i++) {
            assert_int_equal(store_erase_step(erase, &is_done, &progress, NULL), ERR_OK);
            assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
        }
        store_erase_close(&erase);
        accepted += send_persons(fixture, 2, 0);
        for (did_work = true; did_work;)
            assert_int_equal(store_maintain_slow(fixture->store, &did_work, NULL), ERR_OK);
        accepted += send_persons(fixture, 3, 0);
        assert_int_equal(free_it(fixture), ERR_OK);
        assert_free_once(fixture, accepted);
    }
    fault_forget(fixture);
}

static void
kill_at_each(struct fixture *fixture, bool removes_ids)
{
    int status = FAULT_KILLED;
    uint32_t at = 0;

    fill(fixture);
    fault_keep(fixture);
    while (status == FAULT_KILLED) {
        uint32_t accepted = 0;

        fault_take(fixture);
        status = fault_kill_at(fixture, ++at, free_it);
        if (removes_ids) {
            char run[FILE_PATH_MAX]; /* the first: then all runs go, the file of freed ids stays */

            assert_true(fixture_find(fixture, "ids", "00000000000000000000-", run));
            assert_int_equal(file_unlink(run, NULL), ERR_OK);
        }
        fixture_open(fixture);
        accepted = send_persons(fixture, 2, 0);
        fixture_kill(fixture);
        fixture_open(fixture);
        accepted += send_persons(fixture, 3, 0);
        assert_int_equal(free_it(fixture), ERR_OK);
        assert_free_once(fixture, accepted);
    }
    assert_int_equal(status, 0);
    assert_true(at > 40);
    print_message("%u operations\n", at - 1);
    fault_forget(fixture);
}

static void
test_erase_free__a_kill_at_each_operation(void **state)
{
    kill_at_each(*state, false);
}

static void
test_erase_free__a_kill_at_each_operation_and_the_runs_are_lost(void **state)
{
    kill_at_each(*state, true);
}

static void
fail_at_each(struct fixture *fixture, enum fault fault)
{
    bool is_over = false;

    fill(fixture);
    fault_keep(fixture);
    for (uint32_t at = 1; !is_over; at++) {
        uint32_t accepted = 0;
        enum err err = ERR_OK;

        fault_take(fixture);
        fixture_open(fixture);
        fault_plan = (struct fault_plan){.fault = fault, .at = at};
        err = free_it(fixture);
        fault_plan.fault = FAULT_NONE;
        is_over = fault_plan.count < at;
        assert_true(!is_over || err == ERR_OK);
        if (err == ERR_FATAL) {
            fixture_kill(fixture);
            fixture_open(fixture);
        }
        accepted = send_persons(fixture, 2, 0);
        err = free_it(fixture);
        if (err != ERR_OK) { /* a file that was cut and not synced is read again at a start */
            fixture_kill(fixture);
            fixture_open(fixture);
            accepted += send_persons(fixture, 3, 0);
            err = free_it(fixture);
        }
        assert_int_equal(err, ERR_OK);
        assert_free_once(fixture, accepted);
    }
    fault_forget(fixture);
}

static void
test_erase_free__an_error_at_each_operation(void **state)
{
    fail_at_each(*state, FAULT_IO);
}

static void
test_erase_free__no_room_at_each_operation(void **state)
{
    fail_at_each(*state, FAULT_FULL);
}

int
main(void)
{
#define TEST_(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST_(test_erase_free__ids_may_be_stored_again_once),
        TEST_(test_erase_free__ids_stay_free_when_the_index_is_made_anew),
        TEST_(test_erase_free__young_ids_are_sealed_first),
        TEST_(test_erase_free__keys_whose_rows_are_there_are_dropped),
        TEST_(test_erase_free__all_parts_are_refused_after_a_start),
        TEST_(test_erase_free__leaves_older_tombstones),
        TEST_(test_erase_free__no_step_lets_an_id_in_twice),
        TEST_(test_erase_free__may_be_given_up_at_any_step),
        TEST_(test_erase_free__a_kill_at_each_operation),
        TEST_(test_erase_free__a_kill_at_each_operation_and_the_runs_are_lost),
        TEST_(test_erase_free__an_error_at_each_operation),
        TEST_(test_erase_free__no_room_at_each_operation),
    };
#undef TEST_

    return cmocka_run_group_tests_name("erase_free", tests, NULL, NULL);
}
