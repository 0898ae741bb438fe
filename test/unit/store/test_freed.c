/*
 * test_freed - the file of ids on their way out of the index.
 */
#include "erase_fixture.h"
#include "store/embedded/store_embedded.h"

/* More keys than one part: the tail is whole records, at n − 1, n and n + 1 of what it may hold. */
static void
test_freed__the_tail_is_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct run_key *keys = MEM_NEW(struct run_key, FREED_RECORD_KEYS_MAX);
    struct freed *freed = NULL;
    const uint32_t whole = FREED_TAIL_KEYS_MAX / FREED_RECORD_KEYS_MAX;

    fixture_open(fixture);
    freed = &((struct embedded *)fixture->store)->freed;
    for (int more = -1; more <= 1; more++) {
        struct run_key *tail = NULL;
        uint32_t count = 0;
        uint64_t offset = 0;

        for (uint32_t i = 0; i < whole; i++)
            assert_int_equal(
                freed_add(freed, 1, 0, keys, FREED_RECORD_KEYS_MAX - (i == 0 && more < 0), NULL),
                ERR_OK);
        if (more > 0)
            assert_int_equal(freed_add(freed, 1, 0, keys, 1, NULL), ERR_OK);
        assert_int_equal(freed_read_tail(freed, &tail, &count, &offset, NULL), ERR_OK);
        assert_int_equal(count, more < 0   ? FREED_TAIL_KEYS_MAX - 1
                                : more > 0 ? FREED_TAIL_KEYS_MAX - FREED_RECORD_KEYS_MAX + 1
                                           : FREED_TAIL_KEYS_MAX);
        assert_int_equal(offset == 0, more <= 0);
        mem_free(tail);
        assert_int_equal(freed_cut(freed, 0, NULL), ERR_OK);
    }
    mem_free(keys);
}

/* Cut at every byte, and one byte wrong at each place: what is whole before it is kept. */
static void
test_freed__a_torn_record_ends_the_file(void **state)
{
    struct fixture *fixture = *state;
    struct freed freed;
    struct run_key keys[2] = {{1, 2}, {3, 4}};
    char dir[FILE_PATH_MAX];
    struct buf bytes;

    fixture_open(fixture);
    fixture_path(fixture, "ids", dir);
    assert_int_equal(freed_open(&freed, dir, NULL), ERR_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(freed_add(&freed, 1, 0, keys, 2, NULL), ERR_OK);
    freed_close(&freed);
    read_file(fixture, "ids/freed", &bytes);
    assert_int_equal(bytes.len, 2 * (32 + 2 * 16));
    for (size_t len = 0; len <= bytes.len; len++) {
        write_file(fixture, "ids/freed", bytes.ptr, len);
        assert_int_equal(freed_open(&freed, dir, NULL), ERR_OK);
        assert_int_equal(freed.end, len / 64 * 64);
        freed_close(&freed);
    }
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.ptr[i] ^= 4;
        write_file(fixture, "ids/freed", bytes.ptr, bytes.len);
        assert_int_equal(freed_open(&freed, dir, NULL), ERR_OK);
        assert_int_equal(freed.end, i / 64 * 64);
        freed_close(&freed);
        bytes.ptr[i] ^= 4;
    }
    buf_fini(&bytes);
}

int
main(void)
{
#define TEST_(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST_(test_freed__the_tail_is_bounded),
        TEST_(test_freed__a_torn_record_ends_the_file),
    };
#undef TEST_

    return cmocka_run_group_tests_name("freed", tests, NULL, NULL);
}
