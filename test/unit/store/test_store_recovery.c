/*
 * test_store_recovery - what stops, cuts and rot leave behind: an exact prefix, or an error that
 * names the place.
 */
#include "damage.h"

/* T6: cut at every byte, with and without room (zeros) behind: an exact prefix, and the store goes
 * on. */
static void
test_recovery__a_cut_at_every_byte_leaves_an_exact_prefix(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    struct layout layout;
    char path[FILE_PATH_MAX];
    char *cut = NULL;

    make_killed(fixture, &bytes, &layout);
    assert_true(bytes.len < 65536);
    cut = calloc(1, bytes.len + 5000);
    assert_non_null(cut);
    for (size_t len = 0; len <= bytes.len; len++) {
        const bool has_room = len % 2 == 0;
        uint64_t want = 0;
        uint64_t torn_from = 0;
        bool is_torn = len != 0;

        memset(cut, 0, bytes.len + 5000);
        memcpy(cut, bytes.ptr, len);
        for (uint32_t i = 0; i <= layout.count; i++) {
            /* a cut in the zeros behind a payload is none if there is room (zeros) behind */
            if (layout.offsets[i] > (has_room ? len + 5000 : len) ||
                memcmp(cut, bytes.ptr, layout.offsets[i]) != 0)
                break;
            want = layout.next_seqs[i] - 1;
            torn_from = layout.offsets[i];
            is_torn = len > torn_from;
        }
        write_file(fixture, SEGMENT_1, cut, has_room ? len + 5000 : len);
        fixture_open(fixture);
        assert_int_equal(store_durable(fixture->store).minor, want);
        assert_int_equal(fixture_read_all(fixture, 0, 1000, SIZE_MAX), want);
        assert_int_equal(fixture_append(fixture, want, 3, NULL), ERR_OK);
        assert_int_equal(fixture_read_all(fixture, 0, 1000, SIZE_MAX), want + 3);
        fixture_close(fixture);
        if (is_torn) {
            CLEANUP(buf_fini) struct buf aside;

            buf_init(&aside, 1 << 20);
            assert_true(fixture_find(fixture, "ledger", "cut-", path));
            assert_string_equal(fixture->sink_last, "ledger.torn_end_cut");
            assert_int_equal(file_read_whole(path, 1 << 20, &aside, NULL), ERR_OK);
            assert_in_range(aside.len, 1, len);
            /* what was cut is what stood there, up to its last byte that is not zero */
            assert_memory_equal(aside.ptr, bytes.ptr + torn_from, aside.len);
        }
        remove_asides(fixture);
    }
    free(cut);
    buf_fini(&bytes);
}

/* T6: one flipped bit, after a kill. Named, or (in the last frame) cut, set aside and named; never
 * silently short. */
static void
test_recovery__every_flipped_bit_is_named_or_set_aside(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    struct layout layout;
    struct random_source random;
    struct findings findings;
    char path[FILE_PATH_MAX];
    uint64_t all = 0;
    uint32_t named = 0;
    uint32_t cut = 0;

    make_killed(fixture, &bytes, &layout);
    all = layout.next_seqs[layout.count] - 1;
    random_seeded_init(&random, 7);
    for (int i = 0; i < 1000; i++) {
        const size_t place = random_below(&random, bytes.len);
        const char bit = (char)(1 << random_below(&random, 8));
        struct diag diag = DIAG_INIT;
        enum err err = ERR_OK;

        bytes.ptr[place] ^= bit;
        write_file(fixture, SEGMENT_1, bytes.ptr, bytes.len);
        err = doctor(fixture, false, false, &findings);
        assert_int_equal(findings.errors + findings.infos > 0, true);
        assert_int_equal(err == ERR_CORRUPT, findings.errors != 0);
        err = fixture_try_open(fixture, &diag);
        if (err == ERR_OK) {
            assert_true(place >= layout.offsets[layout.count - 1]);
            assert_int_equal(findings.errors, 0);
            assert_true(fixture_find(fixture, "ledger", "cut-", path));
            assert_int_equal(fixture_read_all(fixture, 0, 1000, SIZE_MAX),
                             layout.next_seqs[layout.count - 1] - 1);
            fixture_close(fixture);
            cut++;
        } else {
            assert_int_equal(err, ERR_CORRUPT);
            assert_non_null(strstr(diag.message, "00000000000000000001.seg"));
            assert_non_null(strstr(diag.message, "offset"));
            assert_int_equal(findings.errors, 1);
            assert_true(findings.offset <= place);
            named++;
        }
        bytes.ptr[place] ^= bit;
        remove_asides(fixture);
    }
    write_file(fixture, SEGMENT_1, bytes.ptr, bytes.len);
    fixture_open(fixture);
    assert_int_equal(fixture_read_all(fixture, 0, 1000, SIZE_MAX), all);
    print_message("%u named, %u cut\n", named, cut);
    assert_true(named > 800 && cut > 10);
    buf_fini(&bytes);
}

/* Older segments: header and footer at the start, all by doctor, scrub and reading. */
static void
test_recovery__a_flipped_bit_in_an_older_segment_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    struct random_source random;
    struct findings findings;

    fixture_open(fixture);
    for (uint64_t next = 0; next < 15000; next += 1000)
        assert_int_equal(fixture_append(fixture, next, 1000, NULL), ERR_OK);
    fixture_close(fixture);
    read_file(fixture, SEGMENT_1, &bytes);
    random_seeded_init(&random, 8);
    for (int i = 0; i < 60; i++) {
        /* every third in the footer, which is what the start reads */
        const size_t place = i % 3 == 0 ? bytes.len - 1 - random_below(&random, 90)
                                        : random_below(&random, bytes.len);
        const char bit = (char)(1 << random_below(&random, 8));
        struct diag diag = DIAG_INIT;
        struct store_page page;
        struct arena arena;
        struct store_position after = {0};
        enum err err = ERR_OK;

        bytes.ptr[place] ^= bit;
        write_file(fixture, SEGMENT_1, bytes.ptr, bytes.len);
        assert_int_equal(doctor(fixture, false, false, &findings), ERR_CORRUPT);
        assert_int_equal(findings.errors, 1);
        assert_string_equal(findings.file, SEGMENT_1);
        assert_true(findings.offset <= place);
        err = fixture_try_open(fixture, &diag);
        if (i % 3 == 0 || err != ERR_OK) {
            assert_int_equal(err, ERR_CORRUPT);
        } else {
            arena_init(&arena, 65536, 1 << 28);
            do {
                err = store_read_after(fixture->store, after, 5000, SIZE_MAX, &arena, &page, &diag);
                after = page.next;
            } while (err == ERR_OK && !page.is_caught_up);
            assert_int_equal(err, ERR_CORRUPT);
            arena_fini(&arena);
            fixture_close(fixture);
        }
        assert_non_null(strstr(diag.message, "00000000000000000001.seg"));
        bytes.ptr[place] ^= bit;
    }
    write_file(fixture, SEGMENT_1, bytes.ptr, bytes.len);
    fixture_open(fixture);
    assert_int_equal(fixture_read_all(fixture, 0, 1000, SIZE_MAX), 15000);
    buf_fini(&bytes);
}

static void
test_recovery__scrub_finds_rot_in_an_older_segment(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    enum err err = ERR_OK;
    struct diag diag = DIAG_INIT;
    bool did_work = false;

    fixture_open(fixture);
    for (uint64_t next = 0; next < 15000; next += 1000)
        assert_int_equal(fixture_append(fixture, next, 1000, NULL), ERR_OK);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(store_maintain_slow(fixture->store, &did_work, &diag), ERR_OK);
        clock_fake_move(&fixture->clock, 3 * US_PER_S);
    }
    read_file(fixture, SEGMENT_1, &bytes);
    bytes.ptr[bytes.len / 2] ^= 1;
    write_file(fixture, SEGMENT_1, bytes.ptr, bytes.len);
    for (int i = 0; i < 50 && err == ERR_OK; i++) {
        err = store_maintain_slow(fixture->store, &did_work, &diag);
        clock_fake_move(&fixture->clock, 3 * US_PER_S);
    }
    assert_int_equal(err, ERR_CORRUPT);
    assert_non_null(strstr(diag.message, "00000000000000000001.seg"));
    buf_fini(&bytes);
}

/* The last whole frame is in the page cache perhaps, and not on the disk: it is written again. */
static void
test_recovery__stops_leave_the_footer_or_not(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    struct findings findings;

    fixture_open(fixture);
    fixture_close(fixture); /* no frames: no footer, and the segment is used again */
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 5, NULL), ERR_OK);
    assert_int_equal(doctor(fixture, true, false, &findings), ERR_OK);
    assert_int_equal(findings.errors + findings.infos, 0);
    fixture_close(fixture);
    read_file(fixture, SEGMENT_1, &bytes);
    assert_memory_equal(bytes.ptr + bytes.len - 8, "potikend", 8);
    buf_fini(&bytes);
    for (uint64_t i = 1; i < 5; i++) {
        fixture_open(fixture);
        assert_int_equal(fixture_read_all(fixture, 0, 100, SIZE_MAX), 5 * i);
        assert_int_equal(fixture_append(fixture, 5 * i, 5, NULL), ERR_OK);
        if (i % 2 == 0)
            fixture_kill(fixture);
        else
            fixture_close(fixture);
        assert_int_equal(doctor(fixture, false, false, &findings), ERR_OK);
        assert_int_equal(findings.errors + findings.infos, 0);
    }
}

/* A crash while rolling: the new segment is there (whole, torn or empty), the old one's footer is
 * not. */
static void
test_recovery__a_crash_while_rolling_is_put_right(void **state)
{
    struct fixture *fixture = *state;
    struct buf first;
    struct buf second;
    struct layout layout;
    char name[64];
    char path[FILE_PATH_MAX];
    uint64_t next = 0;
    struct findings findings;

    fixture_open(fixture);
    for (; next < 15000; next += 300)
        assert_int_equal(fixture_append(fixture, next, 300, NULL), ERR_OK);
    fixture_close(fixture);
    read_file(fixture, SEGMENT_1, &first);
    lay_out(&first, &layout);
    next = layout.next_seqs[layout.count] - 1;
    snprintf(name, sizeof(name), "ledger/%020llu.seg", (unsigned long long)next + 1);
    read_file(fixture, name, &second);
    for (size_t footer_bytes = 0; footer_bytes < 200; footer_bytes += 9) {
        for (size_t header_bytes = 0; header_bytes <= 64; header_bytes += 32) {
            const size_t len = layout.offsets[layout.count - 1] + footer_bytes;

            fixture_path(fixture, "ledger", path);
            assert_int_equal(file_remove_tree(path, NULL), ERR_OK);
            assert_int_equal(file_make_dir(path, NULL), ERR_OK);
            fixture_path(fixture, "ids", path);
            assert_int_equal(file_remove_tree(path, NULL), ERR_OK);
            write_file(fixture, SEGMENT_1, first.ptr, len < first.len ? len : first.len);
            write_file(fixture, name, second.ptr, header_bytes);
            assert_int_equal(doctor(fixture, false, false, &findings), ERR_OK);
            fixture_open(fixture);
            assert_int_equal(fixture_read_all(fixture, 0, 5000, SIZE_MAX), next);
            assert_int_equal(fixture_append(fixture, next, 10, NULL), ERR_OK);
            fixture_kill(fixture);
            fixture_open(fixture);
            assert_int_equal(fixture_read_all(fixture, 0, 5000, SIZE_MAX), next + 10);
            fixture_close(fixture);
        }
    }
    buf_fini(&first);
    buf_fini(&second);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_recovery__a_cut_at_every_byte_leaves_an_exact_prefix),
        TEST(test_recovery__every_flipped_bit_is_named_or_set_aside),
        TEST(test_recovery__a_flipped_bit_in_an_older_segment_is_named),
        TEST(test_recovery__scrub_finds_rot_in_an_older_segment),
        TEST(test_recovery__stops_leave_the_footer_or_not),
        TEST(test_recovery__a_crash_while_rolling_is_put_right),
    };

    return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
