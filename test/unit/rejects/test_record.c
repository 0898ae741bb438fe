/* Units of rejects/record: what is written is read; every torn end, every flipped bit. */
#include "fixture.h"

#define RECORDS 3

/* A file of three records; where each ends. */
static void
make_file(struct buf *file, size_t ends[RECORDS])
{
    const struct record_file header = {.salt = 0x1234567, .project_id = 5, .first_id = 10};
    char bytes[RECORD_FILE_HEADER_BYTES];

    buf_init(file, 1 << 20);
    record_make_file_header(&header, bytes);
    buf_add(file, bytes, sizeof(bytes));
    for (uint64_t i = 0; i < RECORDS; i++) {
        struct reject reject = reject_of(5, i == 1 ? NULL : "e", i == 2 ? "" : "{\"a\":1}");
        char payload[512];
        char head[RECORD_HEADER_BYTES];
        const size_t len = record_payload_bytes(&reject);

        assert_true(len <= sizeof(payload));
        record_make_payload(&reject, payload);
        record_make_header(header.salt, 10 + i, NOW_US, slice_of(payload, len), head);
        buf_add(file, head, sizeof(head));
        buf_add(file, payload, len);
        ends[i] = file->len;
    }
    assert_false(buf_failed(file));
}

static unsigned
count(struct slice bytes, struct record_reader *reader)
{
    struct record record;
    unsigned found = 0;

    if (!record_reader_init(reader, bytes))
        return 0;
    while (record_next(reader, &record))
        found++;
    return found;
}

static void
test_record__what_is_written_is_read(void **state)
{
    struct record_reader reader;
    struct record record;
    size_t ends[RECORDS];
    struct buf file;

    (void)state;
    make_file(&file, ends);
    assert_true(record_reader_init(&reader, buf_slice(&file)));
    for (uint64_t i = 0; i < RECORDS; i++) {
        assert_true(record_next(&reader, &record));
        assert_int_equal(record.reject.id, 10 + i);
        assert_int_equal(record.reject.project_id, 5);
        assert_int_equal(record.reject.received_at_us, NOW_US);
        assert_int_equal(record.reject.index, 3);
        assert_int_equal(record.reject.sender_id, 7);
        assert_int_equal(record.reject.sender_kind, 1);
        assert_false(record.reject.is_cut);
        assert_false(record.is_gone);
        assert_slice_equal(record.reject.code, "too_long");
        assert_slice_equal(record.reject.field, "user_id");
        assert_slice_equal(record.reject.message, "user_id: too long");
        assert_slice_equal(record.reject.request_id, "r-1");
        if (i == 1)
            assert_null(record.reject.event_id.ptr);
        else
            assert_slice_equal(record.reject.event_id, "e");
        assert_slice_equal(record.reject.original, i == 2 ? "" : "{\"a\":1}");
    }
    assert_false(record_next(&reader, &record));
    assert_int_equal(reader.damaged, 0);
    assert_int_equal(reader.good_end, file.len);
    buf_fini(&file);
}

/* n - 1, n, n + 1 of the original and of a text. */
static void
test_record__long_ones_are_cut_and_marked(void **state)
{
    char *original = malloc(RECORD_ORIGINAL_MAX + 1);
    char *payload = malloc(RECORD_BYTES_MAX);

    (void)state;
    assert_non_null(original);
    assert_non_null(payload);
    memset(original, 'x', RECORD_ORIGINAL_MAX + 1);
    for (size_t more = 0; more <= 2; more++) {
        struct reject reject = reject_of(1, "e", "");
        const size_t fixed = record_payload_bytes(&reject);
        const size_t len = RECORD_ORIGINAL_MAX - 1 + more;
        size_t text = RECORD_TEXT_BYTES_MAX - 1 + more;

        reject.original = slice_of(original, len);
        assert_int_equal(record_payload_bytes(&reject),
                         fixed + (more == 2 ? RECORD_ORIGINAL_MAX : len));
        record_make_payload(&reject, payload);
        assert_int_equal(payload[RECORD_FIXED_BYTES - 2], more == 2);
        reject.original = SLICE("");
        reject.message = slice_of(original, text);
        if (text > RECORD_TEXT_BYTES_MAX)
            text = RECORD_TEXT_BYTES_MAX;
        assert_int_equal(record_payload_bytes(&reject), fixed - strlen("user_id: too long") + text);
    }
    free(payload);
    free(original);
}

static void
test_record__a_torn_end_is_no_damage(void **state)
{
    size_t ends[RECORDS];
    struct buf file;

    (void)state;
    make_file(&file, ends);
    for (size_t len = 0; len <= file.len; len++) {
        struct record_reader reader = {.damaged = 0};
        char *copy = malloc(len + 1); /* so that a read beyond it is seen */
        unsigned whole = 0;

        assert_non_null(copy);
        memcpy(copy, file.ptr, len);
        while (whole < RECORDS && ends[whole] <= len)
            whole++;
        assert_int_equal(count(slice_of(copy, len), &reader), whole);
        if (len >= RECORD_FILE_HEADER_BYTES) {
            assert_int_equal(reader.damaged, 0);
            assert_int_equal(reader.good_end,
                             whole == 0 ? RECORD_FILE_HEADER_BYTES : ends[whole - 1]);
        }
        free(copy);
    }
    buf_fini(&file);
}

/* Noticed, and never more than the one record is lost. */
static void
test_record__a_flipped_bit_costs_one_record(void **state)
{
    size_t ends[RECORDS];
    struct buf file;

    (void)state;
    make_file(&file, ends);
    for (size_t at = RECORD_FILE_HEADER_BYTES; at < file.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            struct record_reader reader;

            file.ptr[at] = (char)(file.ptr[at] ^ (1 << bit));
            assert_int_equal(count(buf_slice(&file), &reader), RECORDS - 1);
            /* In the last header it cannot be told from a torn end. */
            assert_true(reader.damaged == 1 || (reader.damaged == 0 && at >= ends[RECORDS - 2]));
            file.ptr[at] = (char)(file.ptr[at] ^ (1 << bit));
        }
    }
    for (size_t at = 0; at < RECORD_FILE_HEADER_BYTES; at++) {
        struct record_reader reader;

        file.ptr[at] = (char)(file.ptr[at] ^ 1);
        assert_int_equal(count(buf_slice(&file), &reader), 0);
        file.ptr[at] = (char)(file.ptr[at] ^ 1);
    }
    buf_fini(&file);
}

/* A sender who knows the format but not the salt makes no record, though a reader looks for one. */
static void
test_record__what_was_sent_is_no_record(void **state)
{
    size_t ends[RECORDS];
    struct buf file;
    struct buf forged;
    struct record_reader reader;
    struct reject reject;
    char payload[2048];
    char head[RECORD_HEADER_BYTES];
    size_t len;

    (void)state;
    make_file(&file, ends);
    buf_init(&forged, 1 << 20);
    for (int knows_salt = 0; knows_salt <= 1; knows_salt++) {
        buf_clear(&forged);
        reject = reject_of(5, "forged", "");
        len = record_payload_bytes(&reject);
        record_make_payload(&reject, payload);
        record_make_header(knows_salt ? 0x1234567 : 0x1234568, 100, NOW_US, slice_of(payload, len),
                           head);
        buf_add(&forged, head, sizeof(head));
        buf_add(&forged, payload, len);
        reject = reject_of(5, "real", "");
        reject.original = buf_slice(&forged);
        len = record_payload_bytes(&reject);
        record_make_payload(&reject, payload);
        record_make_header(0x1234567, 50, NOW_US, slice_of(payload, len), head);
        head[5] ^= 1; /* the real one is damaged, so that a header is looked for within it */
        file.len = ends[RECORDS - 1];
        buf_add(&file, head, sizeof(head));
        buf_add(&file, payload, len);
        assert_int_equal(count(buf_slice(&file), &reader), RECORDS + (unsigned)knows_salt);
    }
    buf_fini(&forged);
    buf_fini(&file);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record__what_is_written_is_read),
        cmocka_unit_test(test_record__long_ones_are_cut_and_marked),
        cmocka_unit_test(test_record__a_torn_end_is_no_damage),
        cmocka_unit_test(test_record__a_flipped_bit_costs_one_record),
        cmocka_unit_test(test_record__what_was_sent_is_no_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
