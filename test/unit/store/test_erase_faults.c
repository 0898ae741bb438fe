/*
 * test_erase_faults - an erasure that is killed, or whose disk fails, at each of its file
 * operations: the next one ends it, and nothing else is lost.
 */
#include "erase_fixture.h"
#include "fault_plan.h"
#include "store/embedded/store_embedded.h"

#define EVENTS 20000 /* two segments of 1 MiB, and a part of one */
#define CUT "ledger/cut-00000000000000000001-64"

/* What each test begins with: filled, stopped, and a file set aside. */
static void
make_begin(struct fixture *fixture)
{
    fixture->config.young_ids_seal = 1 << 13;
    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    write_file(fixture, CUT, "xanonymous-13x", 14);
    fault_keep(fixture);
}

/* Opened already: all that must hold whatever came before; then the erasure once more. */
static void
assert_ends_well(struct fixture *fixture, struct selection *person)
{
    struct findings findings;
    char path[FILE_PATH_MAX];

    assert_false(fixture_find(fixture, "ledger", "00000000000000000001.seg.tmp", path));
    assert_int_equal(store_erase_bound(fixture->store, person, &(struct store_position){0}, NULL),
                     ERR_OK);
    (void)erase_read(fixture, person, 1, EVENTS);
    (void)erase_all(fixture, person);
    assert_int_equal(erase_read(fixture, person, 1, EVENTS), 0);
    fixture_path(fixture, CUT, path);
    assert_false(file_exists(path));
    erase_send_again(fixture, EVENTS);
    fixture_close(fixture);
    assert_int_equal(doctor(fixture, false, false, &findings), ERR_OK);
    erase_remove_ids(fixture);
    fixture_open(fixture);
    erase_send_again(fixture, EVENTS);
}

/* --- tests --------------------------------------------------------------------------------- */

static enum err
erase_it(struct fixture *fixture)
{
    struct selection person = erase_person(1);
    struct store_erasure_progress progress;

    return erase_run(fixture, &person, false, false, &progress, NULL);
}

static void
test_erase_faults__a_kill_at_each_operation(void **state)
{
    struct fixture *fixture = *state;
    uint32_t at = 0;
    int status = FAULT_KILLED;

    make_begin(fixture);
    while (status == FAULT_KILLED) {
        struct selection person = erase_person(1);

        fault_take(fixture);
        status = fault_kill_at(fixture, ++at, erase_it);
        fixture_open(fixture);
        assert_ends_well(fixture, &person);
    }
    assert_int_equal(status, 0);
    assert_true(at > 30);
    print_message("%u operations\n", at - 1);
    fault_forget(fixture);
}

/* `fatal`: whether the store has said that the process must end. */
static void
fail_at_each(struct fixture *fixture, enum fault fault)
{
    bool is_over = false;
    uint32_t failures = 0;

    make_begin(fixture);
    for (uint32_t at = 1; !is_over; at++) {
        struct selection person = erase_person(1);
        struct store_erasure_progress progress = {0};
        enum err err = ERR_OK;

        fault_take(fixture);
        fixture_open(fixture);
        fixture->fatal_count = 0;
        fault_plan.fault = fault;
        fault_plan.at = at;
        fault_plan.count = 0;
        err = erase_run(fixture, &person, false, false, &progress, NULL);
        fault_plan.fault = FAULT_NONE;
        is_over = fault_plan.count < at;
        failures += err != ERR_OK;
        assert_true(!is_over || err == ERR_OK);
        assert_int_equal(err == ERR_FATAL, fixture->fatal_count == 1);
        if (fixture->fatal_count != 0) {
            fixture_kill(fixture);
            fixture_open(fixture);
        }
        assert_ends_well(fixture, &person);
    }
    assert_true(failures > 25);
    fault_forget(fixture);
}

static void
test_erase_faults__no_room_at_each_operation(void **state)
{
    fail_at_each(*state, FAULT_FULL);
}

static void
test_erase_faults__an_error_at_each_operation(void **state)
{
    fail_at_each(*state, FAULT_IO);
}

/* The rename was not made durable: the erasure is not over before it is, though it is asked for
 * again by a call that finds nothing more. */
static void
test_erase_faults__a_folder_that_was_not_synced_is_synced_by_the_next(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(1);
    struct store_erasure_progress progress = {0};
    struct diag diag = DIAG_INIT;

    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    assert_true(erase_all(fixture, &person) > 0);
    fault_plan.fault = FAULT_IO;
    fault_plan.at = 1;
    fault_plan.count = 0;
    assert_int_equal(erase_run(fixture, &person, false, false, &progress, &diag), ERR_IO);
    fault_plan.fault = FAULT_NONE;
    assert_string_equal(diag.message, "the disk fails as the test wants it");
    assert_int_equal(progress.done, 0);
}

static void
test_erase_faults__no_memory_at_each_allocation(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(1);
    uint32_t failures = 0;

    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    for (uint64_t nth = 1;; nth++) {
        struct store_erasure_progress progress = {0};
        enum err err = ERR_OK;

        mem_fail_from(nth, false);
        err = erase_run(fixture, &person, false, false, &progress, NULL);
        mem_fail_from(0, false);
        if (err == ERR_OK)
            break;
        assert_int_equal(err, ERR_NOMEM);
        failures++;
    }
    assert_true(failures > 10);
    assert_ends_well(fixture, &person);
}

int
main(void)
{
#define TEST_(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST_(test_erase_faults__a_kill_at_each_operation),
        TEST_(test_erase_faults__no_room_at_each_operation),
        TEST_(test_erase_faults__an_error_at_each_operation),
        TEST_(test_erase_faults__a_folder_that_was_not_synced_is_synced_by_the_next),
        TEST_(test_erase_faults__no_memory_at_each_allocation),
    };
#undef TEST_

    return cmocka_run_group_tests_name("erase_faults", tests, NULL, NULL);
}
