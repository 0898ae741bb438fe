/*
 * test_store_failures - no room, failed writes and syncs, no memory: refused, and nothing false is
 * told.
 */
#include "store/embedded/store_embedded.h"
#include "store_fixture.h"
#include <signal.h>
#include <sys/resource.h>

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
test_failures__stops_below_the_free_minimum_and_goes_on_above(void **state)
{
    struct fixture *fixture = *state;
    uint32_t accepted = 0;
    struct diag diag = DIAG_INIT;

    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 10, NULL), ERR_OK);
    fixture_close(fixture);
    fixture->config.free_bytes_min = UINT64_MAX;
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 20, NULL), ERR_STORAGE_FULL);
    assert_int_equal(store_is_ready(fixture->store, &diag), ERR_STORAGE_FULL);
    assert_int_equal(fixture_append(fixture, 0, 10, &accepted), ERR_OK); /* only duplicates */
    assert_int_equal(accepted, 0);
    fixture_close(fixture);
    fixture->config.free_bytes_min = 0;
    fixture_open(fixture);
    assert_int_equal(store_is_ready(fixture->store, &diag), ERR_OK);
    assert_int_equal(fixture_append(fixture, 0, 20, &accepted), ERR_OK);
    assert_int_equal(accepted, 10);
    assert_int_equal(fixture_read_all(fixture, 0, 100, SIZE_MAX), 20);
}

/* A write that fails half way is cut back; the next one goes on from the last good frame. */
static void
test_failures__a_failed_write_leaves_nothing_behind(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit old;
    struct rlimit small;
    char path[FILE_PATH_MAX];
    uint64_t bytes = 0;
    uint32_t accepted = 0;

    signal(SIGXFSZ, SIG_IGN);
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 10, NULL), ERR_OK);
    fixture_close(fixture);
    fixture_open(fixture);
    fixture_path(fixture, "ledger/00000000000000000001.seg", path);
    assert_int_equal(file_size_of_path(path, &bytes, NULL), ERR_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    for (rlim_t room = 0; room < 1000; room += 37) { /* from no room to nearly enough */
        small.rlim_cur = bytes + room;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        assert_int_not_equal(fixture_append(fixture, 10, 20, NULL), ERR_OK);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(store_durable(fixture->store).minor, 10);
    }
    assert_int_equal(fixture->fatal_count, 0);
    assert_int_equal(fixture_append(fixture, 0, 30, &accepted), ERR_OK);
    assert_int_equal(accepted, 20);
    assert_int_equal(fixture_read_all(fixture, 0, 100, SIZE_MAX), 30);
    fixture_kill(fixture);
    fixture_open(fixture);
    assert_int_equal(fixture_read_all(fixture, 0, 100, SIZE_MAX), 30);
}

/* fdatasync of a device that has none fails: the process is told to end, once, and nobody gets a
 * verdict. */
static void
test_failures__a_failed_sync_is_final(void **state)
{
    struct fixture *fixture = *state;
    struct embedded *store = NULL;
    struct diag diag = DIAG_INIT;
    int fd = -1;

    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 10, NULL), ERR_OK);
    store = (struct embedded *)fixture->store;
    assert_int_equal(file_open("/dev/null", FILE_WRITE, &fd, NULL), ERR_OK);
    assert_int_equal(dup2(fd, store->ledger->fd), store->ledger->fd);
    file_close(&fd);
    assert_int_equal(fixture_append(fixture, 10, 5, NULL), ERR_FATAL);
    assert_int_equal(fixture_append(fixture, 10, 5, NULL), ERR_FATAL);
    assert_int_equal(fixture_append(fixture, 0, 5, NULL), ERR_FATAL); /* not even duplicates */
    assert_int_equal(fixture->fatal_count, 1);
    assert_int_equal(store_is_ready(fixture->store, &diag), ERR_FATAL);
    assert_int_equal(store_durable(fixture->store).minor, 10);
    fixture_close(fixture);
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 15, NULL), ERR_OK);
    assert_int_equal(fixture_read_all(fixture, 0, 100, SIZE_MAX), 15);
}

static void
test_failures__out_of_memory_at_every_allocation_of_open(void **state)
{
    struct fixture *fixture = *state;
    uint64_t failures = 0;

    fixture->config.young_ids_max = 2048;
    fixture->config.young_ids_seal = 1024;
    fixture_open(fixture);
    for (uint64_t next = 0; next < 4000; next += 1000) {
        assert_int_equal(fixture_append(fixture, next, 1000, NULL), ERR_OK);
        upkeep(fixture);
    }
    fixture_close(fixture);
    for (int is_sticky = 0; is_sticky < 2; is_sticky++) {
        for (uint64_t nth = 1;; nth++) {
            enum err err = ERR_OK;

            mem_fail_from(nth, is_sticky != 0);
            err = fixture_try_open(fixture, NULL);
            mem_fail_from(0, false);
            if (err == ERR_OK) {
                if (fixture_read_all(fixture, 0, 5000, SIZE_MAX) == 4000 && nth > failures)
                    break;
                fail();
            }
            assert_int_equal(err, ERR_NOMEM);
            failures = nth;
        }
        fixture_close(fixture);
    }
    assert_true(failures > 10);
}

static void
test_failures__out_of_memory_in_a_commit_tells_no_lies(void **state)
{
    struct fixture *fixture = *state;
    uint64_t stored = 0;

    for (int is_sticky = 0; is_sticky < 2; is_sticky++) {
        for (uint64_t nth = 1; nth < 100; nth++) {
            uint32_t accepted = 0;
            enum err err = ERR_OK;

            fixture_open(fixture); /* a fresh link: its scratch is not there yet */
            mem_fail_from(nth, is_sticky != 0);
            err = fixture_append(fixture, stored, 1000, &accepted);
            mem_fail_from(0, false);
            if (err == ERR_OK)
                stored += accepted;
            else
                assert_int_equal(err, ERR_OVERLOADED);
            assert_int_equal(store_durable(fixture->store).minor, stored);
            assert_int_equal(fixture_read_all(fixture, 0, 5000, SIZE_MAX), stored);
            fixture_close(fixture);
            if (err == ERR_OK && accepted == 1000)
                break;
        }
    }
    assert_int_equal(stored, 2000);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_failures__stops_below_the_free_minimum_and_goes_on_above),
        TEST(test_failures__a_failed_write_leaves_nothing_behind),
        TEST(test_failures__a_failed_sync_is_final),
        TEST(test_failures__out_of_memory_at_every_allocation_of_open),
        TEST(test_failures__out_of_memory_in_a_commit_tells_no_lies),
    };

    return cmocka_run_group_tests_name("failures", tests, NULL, NULL);
}
