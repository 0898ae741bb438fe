/*
 * test_store_doctor - what only doctor can mend, what it must leave alone, and formats yet to come.
 */
#include "codec/crc32c.h"
#include "damage.h"
#include "store/embedded/id_index.h"

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

static void
seal(struct fixture *fixture)
{
    bool did_work = false;

    assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
    assert_true(did_work);
}

/* Doctor makes a ledger whole again, without what cannot be read; nothing is deleted. */
static void
test_doctor__repair_goes_on_without_the_damaged_frame(void **state)
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
    assert_int_equal(findings.errors, 1);
    assert_int_equal(findings.lost, 3);
    assert_string_equal(findings.file, SEGMENT_1);
    assert_true(fixture_find(fixture, "ledger", "00000000000000000001.seg.damaged", path));
    assert_int_equal(doctor(fixture, false, false, &findings), ERR_OK);
    assert_int_equal(findings.errors + findings.lost, 0);
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
test_doctor__the_secret_is_watched_over(void **state)
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
    assert_int_equal(findings.errors + findings.lost, 0); /* nothing stored was lost */
    fixture_open(fixture);
    assert_int_equal(fixture_append(fixture, 0, 501, &accepted), ERR_OK);
    assert_int_equal(accepted, 1);
    buf_fini(&bytes);
}

static void
test_doctor__a_damaged_run_is_repaired_by_doctor(void **state)
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

static void
test_doctor__a_missing_segment_is_named(void **state)
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
test_doctor__a_newer_format_is_refused(void **state)
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

/* As erasure will leave it: rows 1 … 5, a gap of 10, the keys of two erased events. */
static void
test_doctor__gaps_and_tombstones_are_read(void **state)
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

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_doctor__repair_goes_on_without_the_damaged_frame),
        TEST(test_doctor__the_secret_is_watched_over),
        TEST(test_doctor__a_damaged_run_is_repaired_by_doctor),
        TEST(test_doctor__a_missing_segment_is_named),
        TEST(test_doctor__a_newer_format_is_refused),
        TEST(test_doctor__gaps_and_tombstones_are_read),
    };

    return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
