/*
 * test_erase_asides - files set aside in ledger/ go with what is erased, and only those that hold
 * it.
 */
#include "erase_fixture.h"

#define CUT "ledger/cut-00000000000000000001-64"
#define DAMAGED "ledger/00000000000000000001.seg.damaged"
#define WINDOW ((size_t)64 << 10) /* of the search */

static bool
is_there(const struct fixture *fixture, const char *name)
{
    char path[FILE_PATH_MAX];

    fixture_path(fixture, name, path);
    return file_exists(path);
}

/* A file of `len` bytes with the text at `offset`. */
static void
put_text(const struct fixture *fixture, const char *name, size_t len, size_t offset,
         const char *text)
{
    char *bytes = calloc(len, 1);

    assert_non_null(bytes);
    memcpy(bytes + offset, text, strlen(text));
    write_file(fixture, name, bytes, len);
    free(bytes);
}

static void
test_erase_asides__a_persons_id_anywhere_is_found(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(1);
    const size_t len = person.person.len;
    const size_t sizes[] = {len, len + 1, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW + 5};

    fixture_open(fixture);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const size_t last = sizes[i] - len;
        const size_t offsets[] = {0, last, last / 2, last > WINDOW ? WINDOW - 3 : last};

        for (size_t k = 0; k < COUNT_OF(offsets); k++) {
            put_text(fixture, CUT, sizes[i], offsets[k], "anonymous-13");
            assert_int_equal(erase_all(fixture, &person), 0);
            assert_false(is_there(fixture, CUT));
            assert_string_equal(fixture->sink_last, "erase.file_removed");
        }
        put_text(fixture, CUT, sizes[i], last, "anonymous-12");
        put_text(fixture, DAMAGED, sizes[i], 0, "anonymous-1");
        assert_int_equal(erase_all(fixture, &person), 0);
        assert_true(is_there(fixture, CUT) && is_there(fixture, DAMAGED));
    }
}

/* What was set aside of a ledger of ten events; number 3 is of project 1. */
static void
put_damaged(struct fixture *fixture, struct buf *ret_bytes)
{
    erase_fill(fixture, 0, 10);
    read_file(fixture, SEGMENT_1, ret_bytes);
    ret_bytes->len = 4096; /* the room behind it left out */
    write_file(fixture, DAMAGED, ret_bytes->ptr, ret_bytes->len);
    write_file(fixture, CUT, ret_bytes->ptr + 64, ret_bytes->len - 64);
}

static void
test_erase_asides__rows_are_found_sound_or_not(void **state)
{
    struct fixture *fixture = *state;
    struct slice ids[] = {slice_of_text("event-3")};
    struct selection list = {.project_id = 1, .kind = SELECTION_IDS, .ids = ids, .id_count = 1};
    struct buf bytes;

    fixture_open(fixture);
    put_damaged(fixture, &bytes);
    list.project_id = 4;
    assert_int_equal(erase_all(fixture, &list), 0);
    assert_true(is_there(fixture, CUT) && is_there(fixture, DAMAGED));
    list.project_id = 1;
    bytes.ptr[64 + 40 + 9 * 100] ^= 1; /* a row behind it: the frame's CRC does not fit */
    write_file(fixture, CUT, bytes.ptr + 64, bytes.len - 64);
    assert_int_equal(erase_all(fixture, &list), 1);
    assert_false(is_there(fixture, CUT) || is_there(fixture, DAMAGED));
    buf_fini(&bytes);
}

/* Cut at every byte, as a torn end may be: found if the row's bytes are there, and nothing is read
 * beyond the end. */
static void
test_erase_asides__a_torn_frame_is_read_as_far_as_it_goes(void **state)
{
    struct fixture *fixture = *state;
    struct selection all = {.project_id = 1, .kind = SELECTION_ALL};
    const struct event first = fixture_event(0); /* of project 1 */
    const size_t whole = sizeof(struct frame_header) + row_bytes(&first);
    struct buf bytes;

    fixture_open(fixture);
    put_damaged(fixture, &bytes);
    for (size_t len = 1; len < whole + 20; len++) {
        write_file(fixture, CUT, bytes.ptr + 64, len);
        (void)erase_all(fixture, &all);
        assert_int_equal(is_there(fixture, CUT), len < whole);
    }
    buf_fini(&bytes);
}

static void
test_erase_asides__a_dry_run_and_other_files_are_left_alone(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(1);
    struct store_erasure_progress progress;

    fixture_open(fixture);
    put_text(fixture, CUT, 100, 3, "anonymous-13");
    put_text(fixture, "ledger/notes.txt", 100, 3, "anonymous-13");
    assert_int_equal(erase_run(fixture, &person, false, true, &progress, NULL), ERR_OK);
    assert_true(is_there(fixture, CUT));
    assert_int_equal(erase_all(fixture, &person), 0);
    assert_false(is_there(fixture, CUT));
    assert_true(is_there(fixture, "ledger/notes.txt"));
}

static void
test_erase_asides__half_a_segment_is_removed_at_the_start_and_by_an_erasure(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(1);

    fixture_open(fixture);
    erase_fill(fixture, 0, 10);
    fixture_close(fixture);
    put_text(fixture, SEGMENT_1 ".tmp", 100, 0, "half");
    fixture_open(fixture);
    assert_false(is_there(fixture, SEGMENT_1 ".tmp"));
    put_text(fixture, SEGMENT_1 ".tmp", 100, 0, "half");
    assert_int_equal(erase_all(fixture, &person), 0);
    assert_false(is_there(fixture, SEGMENT_1 ".tmp"));
    assert_int_equal(fixture_read_all(fixture, 0, 100, SIZE_MAX), 10);
}

int
main(void)
{
#define TEST_(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST_(test_erase_asides__a_persons_id_anywhere_is_found),
        TEST_(test_erase_asides__rows_are_found_sound_or_not),
        TEST_(test_erase_asides__a_torn_frame_is_read_as_far_as_it_goes),
        TEST_(test_erase_asides__a_dry_run_and_other_files_are_left_alone),
        TEST_(test_erase_asides__half_a_segment_is_removed_at_the_start_and_by_an_erasure),
    };
#undef TEST_

    return cmocka_run_group_tests_name("erase_asides", tests, NULL, NULL);
}
