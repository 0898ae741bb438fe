/*
 * test_store_recovery - what stops, cuts and rot leave behind: an exact prefix, or an error that
 * names the place.
 */
#include "codec/crc32c.h"
#include "store/embedded/id_index.h"
#include "store/embedded/ledger.h"
#include "store_fixture.h"

#define SEGMENT_1 "ledger/00000000000000000001.seg"

/* Bytes of a file, changed and put back by tests. */
static void
read_file(const struct fixture *fixture, const char *name, struct buf *ret_bytes)
{
    char path[FILE_PATH_MAX];

    fixture_path(fixture, name, path);
    buf_init(ret_bytes, 1 << 26);
    assert_int_equal(file_read_whole(path, 1 << 26, ret_bytes, NULL), ERR_OK);
}

static void
write_file(const struct fixture *fixture, const char *name, const char *bytes, size_t len)
{
    char path[FILE_PATH_MAX];
    CLOSE_FD int fd = -1;

    fixture_path(fixture, name, path);
    assert_int_equal(file_open(path, FILE_REPLACE, &fd, NULL), ERR_OK);
    assert_int_equal(file_write_at(fd, path, bytes, len, 0, NULL), ERR_OK);
}

static void
remove_asides(const struct fixture *fixture)
{
    char path[FILE_PATH_MAX];

    while (fixture_find(fixture, "ledger", "cut-", path))
        assert_int_equal(file_unlink(path, NULL), ERR_OK);
}

struct findings {
    uint64_t errors;
    uint64_t infos;
    uint64_t offset; /* of the last error */
    char file[128];
    char what[700]; /* of all, one after the other, as far as there is room */
};

static void
collect(void *state, const struct embedded_finding *finding)
{
    struct findings *findings = state;
    const size_t used = strlen(findings->what);

    if (finding->is_error) {
        findings->errors++;
        findings->offset = finding->offset;
        snprintf(findings->file, sizeof(findings->file), "%s", finding->file);
    } else {
        findings->infos++;
    }
    snprintf(findings->what + used, sizeof(findings->what) - used, "%s\n", finding->what);
}

static enum err
doctor(const struct fixture *fixture, bool is_running, bool is_repair,
       struct findings *ret_findings)
{
    memset(ret_findings, 0, sizeof(*ret_findings));
    return embedded_doctor(fixture->dir, is_running, is_repair, collect, ret_findings, NULL);
}

/* Offsets of the frames of a segment's bytes, and one behind the last; seqs before each. */
struct layout {
    uint64_t offsets[64];
    uint64_t next_seqs[64];
    uint32_t count; /* of frames */
};

static void
lay_out(const struct buf *bytes, struct layout *ret_layout)
{
    struct segment_reader reader;
    struct segment_header header;
    struct segment_place place;
    struct segment_frame frame;
    enum segment_found found = SEGMENT_FRAME;

    memset(ret_layout, 0, sizeof(*ret_layout));
    segment_reader_over(&reader, bytes->ptr, bytes->len);
    assert_int_equal(segment_read_header(&reader, &header, &place, NULL), ERR_OK);
    for (;;) {
        ret_layout->offsets[ret_layout->count] = place.offset;
        ret_layout->next_seqs[ret_layout->count] = place.next_seq;
        assert_int_equal(segment_read_frame(&reader, &place, &found, &frame, NULL), ERR_OK);
        if (found != SEGMENT_FRAME)
            break;
        ret_layout->count++;
    }
    assert_int_equal(found, SEGMENT_END);
    segment_reader_close(&reader);
}

/* A ledger of some small frames, as after kill -9; bytes of its only segment without the room
 * behind. */
static void
make_killed(struct fixture *fixture, struct buf *ret_bytes, struct layout *ret_layout)
{
    fixture_open(fixture);
    for (uint32_t i = 0, next = 0; i < 12; next += 1 + i % 3, i++)
        assert_int_equal(fixture_append(fixture, next, 1 + i % 3, NULL), ERR_OK);
    fixture_kill(fixture);
    read_file(fixture, SEGMENT_1, ret_bytes);
    lay_out(ret_bytes, ret_layout);
    ret_bytes->len = ret_layout->offsets[ret_layout->count];
    assert_int_equal(ret_layout->count, 12);
}

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

static void
test_recovery__a_missing_segment_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct diag diag = DIAG_INIT;
    char path[FILE_PATH_MAX];
    struct findings findings;

    fixture_open(fixture);
    for (uint64_t next = 0; next < 20000; next += 1000)
        assert_int_equal(fixture_append(fixture, next, 1000, NULL), ERR_OK);
    fixture_close(fixture);
    fixture_path(fixture, SEGMENT_1, path);
    assert_int_equal(file_unlink(path, NULL), ERR_OK);
    assert_int_equal(fixture_try_open(fixture, &diag), ERR_CORRUPT);
    assert_non_null(strstr(diag.message, "first segment is missing"));
    assert_int_equal(doctor(fixture, false, false, &findings), ERR_CORRUPT);
}

static void
test_recovery__a_newer_format_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct segment_header header;
    struct buf bytes;
    struct diag diag = DIAG_INIT;
    struct findings findings;

    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 5, NULL), ERR_OK);
    fixture_close(fixture);
    read_file(fixture, SEGMENT_1, &bytes);
    memcpy(&header, bytes.ptr, sizeof(header));
    segment_header_make(header.ledger_id, 1, 0, &header);
    header.version = SEGMENT_VERSION + 1;
    header.crc = crc32c(0, &header, sizeof(header) - 4);
    memcpy(bytes.ptr, &header, sizeof(header));
    write_file(fixture, SEGMENT_1, bytes.ptr, bytes.len);
    assert_int_equal(fixture_try_open(fixture, &diag), ERR_TOO_NEW);
    assert_non_null(strstr(diag.message, "newer"));
    assert_int_equal(doctor(fixture, false, true, &findings), ERR_CORRUPT); /* and not repaired */
    assert_int_equal(findings.errors, 1);
    buf_fini(&bytes);
}

static void
append_by_hand(struct ledger *ledger, enum frame_kind kind, uint32_t count, const void *payload,
               uint32_t payload_bytes)
{
    uint8_t frame[4096] = {0};
    struct frame_header header;

    if (payload_bytes != 0)
        memcpy(frame + sizeof(header), payload, payload_bytes);
    frame_header_prepare(kind, count, payload_bytes,
                         frame_payload_crc(frame + sizeof(header), payload_bytes), &header);
    memcpy(frame, &header, sizeof(header));
    assert_int_equal(ledger_append(ledger, frame, NULL), ERR_OK);
}

/* As erasure will leave it: rows 1 … 5, a gap of 10, the keys of two erased events. */
static void
test_recovery__gaps_and_tombstones_are_read(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_config config = {.dir = NULL};
    struct ledger *ledger = NULL;
    struct arena arena;
    struct store_page page;
    struct findings findings;
    uint8_t secret[SECRET_BYTES];
    struct run_key keys[2];
    char path[FILE_PATH_MAX];
    uint32_t accepted = 0;

    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 5, NULL), ERR_OK);
    fixture_close(fixture);
    assert_int_equal(secret_read(fixture->dir, secret, NULL), ERR_OK);
    for (uint32_t i = 0; i < 2; i++) {
        const struct event erased = fixture_event(100 + i);

        keys[i] = id_index_key(secret, erased.project_id, erased.event_id);
    }
    fixture_path(fixture, "ledger", path);
    config = (struct ledger_config){.dir = path,
                                    .segment_bytes = 1 << 20,
                                    .clock = &fixture->clock.clock,
                                    .sink = fixture->config.sink};
    assert_int_equal(ledger_open(&config, &ledger, NULL), ERR_OK);
    append_by_hand(ledger, FRAME_GAP, 10, NULL, 0);
    append_by_hand(ledger, FRAME_TOMBSTONES, 2, keys, sizeof(keys));
    ledger_close(&ledger);
    for (int i = 0; i < 2; i++) {
        fixture_open(fixture);
        assert_int_equal(store_durable(fixture->store).minor, i == 0 ? 15 : 16);
        assert_int_equal(fixture_append(fixture, 100, 3, &accepted), ERR_OK);
        assert_int_equal(accepted, i == 0 ? 1 : 0); /* the erased stay refused */
        arena_init(&arena, 4096, 1 << 20);
        assert_int_equal(store_read_after(fixture->store, (struct store_position){0}, 100, SIZE_MAX,
                                          &arena, &page, NULL),
                         ERR_OK);
        assert_int_equal(page.count, 6);
        assert_int_equal(page.rows[4].seq, 5);
        assert_int_equal(page.rows[5].seq, 16);
        assert_true(page.is_caught_up);
        arena_fini(&arena);
        fixture_close(fixture);
        assert_int_equal(doctor(fixture, false, false, &findings), ERR_OK);
    }
}

/* Doctor makes a ledger whole again, without what cannot be read; nothing is deleted. */
static void
test_recovery__repair_goes_on_without_the_damaged_frame(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    struct layout layout;
    struct findings findings;
    struct arena arena;
    struct store_page page;
    char path[FILE_PATH_MAX];
    uint32_t accepted = 0;
    uint64_t all = 0;

    make_killed(fixture, &bytes, &layout);
    all = layout.next_seqs[layout.count] - 1;
    bytes.ptr[layout.offsets[5] + 50] ^= 1; /* frame 5 has 3 rows, seqs 10 … 12 */
    write_file(fixture, SEGMENT_1, bytes.ptr, bytes.len);
    assert_int_equal(fixture_try_open(fixture, NULL), ERR_CORRUPT);
    assert_int_equal(doctor(fixture, false, true, &findings), ERR_OK);
    assert_non_null(strstr(findings.what, "without 3 events"));
    assert_true(fixture_find(fixture, "ledger", "00000000000000000001.seg.damaged", path));
    assert_int_equal(doctor(fixture, false, false, &findings), ERR_OK);
    fixture_open(fixture);
    arena_init(&arena, 4096, 1 << 20);
    assert_int_equal(store_read_after(fixture->store, (struct store_position){0}, 100, SIZE_MAX,
                                      &arena, &page, NULL),
                     ERR_OK);
    assert_int_equal(page.count, all - 3);
    assert_int_equal(page.rows[page.count - 1].seq, all);
    arena_fini(&arena);
    assert_int_equal(fixture_append(fixture, 0, (uint32_t)all, &accepted), ERR_OK);
    assert_int_equal(accepted, 3); /* the lost ones can be sent again */
    buf_fini(&bytes);
}

static void
seal(struct fixture *fixture)
{
    bool did_work = false;

    assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
    assert_true(did_work);
}

static void
test_recovery__the_secret_is_watched_over(void **state)
{
    struct fixture *fixture = *state;
    struct buf bytes;
    struct findings findings;
    struct diag diag = DIAG_INIT;
    char path[FILE_PATH_MAX];
    uint32_t accepted = 0;

    fixture->config.young_ids_seal = 100;
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 500, NULL), ERR_OK);
    fixture_close(fixture);
    fixture_open(fixture);
    seal(fixture);
    fixture_close(fixture);
    read_file(fixture, "secret", &bytes);
    assert_int_equal(bytes.len, 32);
    for (size_t i = 0; i < bytes.len * 8; i++) {
        bytes.ptr[i / 8] ^= (char)(1 << i % 8);
        write_file(fixture, "secret", bytes.ptr, bytes.len);
        assert_int_equal(fixture_try_open(fixture, &diag), ERR_CORRUPT);
        assert_non_null(strstr(diag.message, "secret"));
        bytes.ptr[i / 8] ^= (char)(1 << i % 8);
    }
    fixture_path(fixture, "secret", path);
    assert_int_equal(file_unlink(path, NULL), ERR_OK);
    assert_int_equal(fixture_try_open(fixture, &diag), ERR_CORRUPT);
    assert_int_equal(doctor(fixture, false, false, &findings), ERR_CORRUPT);
    assert_int_equal(doctor(fixture, false, true, &findings), ERR_OK);
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 501, &accepted), ERR_OK);
    assert_int_equal(accepted, 1);
    buf_fini(&bytes);
}

static void
test_recovery__a_damaged_run_is_repaired_by_doctor(void **state)
{
    struct fixture *fixture = *state;
    struct findings findings;
    char path[FILE_PATH_MAX];
    CLOSE_FD int fd = -1;
    uint32_t accepted = 0;
    struct diag diag = DIAG_INIT;

    fixture->config.young_ids_seal = 100;
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 200, NULL), ERR_OK);
    seal(fixture);
    assert_true(fixture_find(fixture, "ids", "0", path));
    assert_int_equal(file_open(path, FILE_WRITE, &fd, NULL), ERR_OK);
    assert_int_equal(file_write_at(fd, path, "rot", 3, 5000, NULL), ERR_OK);
    /* A commit that needs the block is refused, and nobody is told anything false. */
    assert_int_equal(fixture_append(fixture, 0, 200, NULL), ERR_NOT_READY);
    assert_int_equal(store_is_ready(fixture->store, &diag), ERR_NOT_READY);
    assert_int_equal(fixture_append(fixture, 1000, 5, &accepted), ERR_OK); /* others go on */
    assert_int_equal(accepted, 5);
    fixture_close(fixture);
    assert_int_equal(doctor(fixture, false, false, &findings), ERR_CORRUPT);
    assert_int_equal(findings.errors, 1);
    assert_int_equal(doctor(fixture, false, true, &findings), ERR_OK);
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 200, &accepted), ERR_OK);
    assert_int_equal(accepted, 0);
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
        TEST(test_recovery__a_missing_segment_is_named),
        TEST(test_recovery__a_newer_format_is_refused),
        TEST(test_recovery__gaps_and_tombstones_are_read),
        TEST(test_recovery__repair_goes_on_without_the_damaged_frame),
        TEST(test_recovery__the_secret_is_watched_over),
        TEST(test_recovery__a_damaged_run_is_repaired_by_doctor),
    };

    return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
