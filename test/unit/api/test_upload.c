/*
 * upload: the same body gives the same batch, however it is split, small or large, plain or
 * compressed; bombs and broken streams are refused; the budget of the loop holds and is given back.
 */
#include "../test.h"

#include "api/upload.h"
#include "event/limits.h"

#include <zlib.h>
#include <zstd.h>

struct fixture {
    struct event_decoder *decoder;
    struct random_source random;
    struct upload_budget budget;
};

static int
setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (fixture == NULL || event_decoder_new(&fixture->decoder, NULL) != ERR_OK)
        return -1;
    random_seeded_init(&fixture->random, 1);
    fixture->budget.bytes_max = UINT64_C(1) << 30;
    *state = fixture;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *fixture = *state;

    event_decoder_free(&fixture->decoder);
    free(fixture);
    return 0;
}

struct outcome {
    enum err err;
    uint32_t count;
    uint32_t refused;
    uint64_t checksum; /* of ids and errors, in order */
};

static struct outcome
upload_split(struct fixture *fixture, enum media_encoding encoding, int64_t content_length,
             const char *body, size_t len, size_t piece)
{
    struct event_context context = {
        .format = EVENT_FORMAT_JSON,
        .project_id = 1,
        .received_at_us = INT64_C(1770000000000000),
        .random = &fixture->random,
    };
    struct outcome outcome = {0};
    struct event_batch batch = {0};
    struct upload upload;
    struct arena arena;

    arena_init(&arena, 4096, UINT64_C(1) << 30);
    upload_init(&upload, fixture->decoder, &context, encoding, content_length, &fixture->budget,
                &arena);
    for (size_t at = 0; at < len; at += piece)
        upload_add(&upload, body + at, len - at < piece ? len - at : piece);
    outcome.err = upload_end(&upload, &batch);
    upload_fini(&upload);
    upload_fini(&upload);
    assert_int_equal(fixture->budget.bytes, 0);
    for (uint32_t i = 0; outcome.err == ERR_OK && i < batch.count; i++) {
        const struct event_entry *entry = &batch.entries[i];

        outcome.refused += entry->err != ERR_OK;
        outcome.checksum = outcome.checksum * 31 + (uint64_t)entry->err;
        for (size_t k = 0; k < entry->event.event_id.len; k++)
            outcome.checksum = outcome.checksum * 31 + (unsigned char)entry->event.event_id.ptr[k];
    }
    outcome.count = batch.count;
    arena_fini(&arena);
    return outcome;
}

/* An array of `count` events, some refused, padded with spaces to at least `bytes`. */
static char *
make_body(uint32_t count, size_t bytes, size_t *ret_len)
{
    struct buf buf;

    buf_init(&buf, UINT64_C(1) << 30);
    buf_add_char(&buf, '[');
    for (uint32_t i = 0; i < count; i++)
        buf_printf(&buf, "%s{\"event_id\":\"e%u\",\"event_type\":\"%s\",\"user_id\":\"u%u\"}",
                   i != 0 ? "," : "", i, i % 7 == 3 ? "" : "view", i);
    while (buf.len + 1 < bytes)
        buf_add_char(&buf, ' ');
    buf_add_char(&buf, ']');
    assert_false(buf_failed(&buf));
    *ret_len = buf.len;
    return buf.ptr;
}

static char *
gzip(const char *bytes, size_t len, size_t *ret_len)
{
    z_stream stream = {0};
    size_t room = len + 1024;
    char *out = malloc(room);

    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)bytes;
    stream.avail_in = (uInt)len;
    stream.next_out = (Bytef *)out;
    stream.avail_out = (uInt)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    *ret_len = room - stream.avail_out;
    deflateEnd(&stream);
    return out;
}

static void
assert_same(const struct outcome *got, const struct outcome *wanted)
{
    assert_int_equal(got->err, wanted->err);
    assert_int_equal(got->count, wanted->count);
    assert_int_equal(got->refused, wanted->refused);
    assert_int_equal(got->checksum, wanted->checksum);
}

static void
test_upload__every_way_gives_the_same(void **state)
{
    static const size_t sizes[] = {100, UPLOAD_SMALL_BYTES - 1, UPLOAD_SMALL_BYTES,
                                   UPLOAD_SMALL_BYTES + 1, 3 * UPLOAD_SMALL_BYTES};
    static const size_t pieces[] = {SIZE_MAX / 2, 65536, 4099};

    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        size_t len;
        size_t gzip_len;
        char *body = make_body(s == 0 ? 1 : 2000, sizes[s], &len);
        char *zipped = gzip(body, len, &gzip_len);
        size_t zstd_room = ZSTD_compressBound(len);
        char *zstd = malloc(zstd_room);
        size_t zstd_len = ZSTD_compress(zstd, zstd_room, body, len, 3);
        struct outcome wanted =
            upload_split(*state, MEDIA_IDENTITY, (int64_t)len, body, len, SIZE_MAX / 2);

        assert_int_equal(wanted.err, ERR_OK);
        assert_int_equal(wanted.count, s == 0 ? 1 : 2000);
        assert_int_equal(wanted.refused, s == 0 ? 0 : 286);
        for (size_t p = 0; p < COUNT_OF(pieces); p++) {
            struct outcome got[] = {
                upload_split(*state, MEDIA_IDENTITY, -1, body, len, pieces[p]),
                upload_split(*state, MEDIA_IDENTITY, (int64_t)len, body, len, pieces[p]),
                upload_split(*state, MEDIA_GZIP, -1, zipped, gzip_len, pieces[p]),
                upload_split(*state, MEDIA_IDENTITY, -1, zipped, gzip_len, pieces[p]), /* magic */
                upload_split(*state, MEDIA_ZSTD, -1, zstd, zstd_len, pieces[p]),
            };

            for (size_t i = 0; i < COUNT_OF(got); i++)
                assert_same(&got[i], &wanted);
        }
        free(zipped);
        free(zstd);
        mem_free(body);
    }
}

static void
test_upload__single_bytes(void **state)
{
    static const char body[] = "{\"event_id\":\"x\",\"event_type\":\"t\",\"user_id\":\"u\"}";
    struct outcome got = upload_split(*state, MEDIA_IDENTITY, -1, body, sizeof(body) - 1, 1);

    assert_int_equal(got.err, ERR_OK);
    assert_int_equal(got.count, 1);
}

static void
test_upload__bombs_stop_at_the_cap(void **state)
{
    size_t plain_len = (size_t)LIMIT_INFLATED_BYTES + 1;
    char *plain = malloc(plain_len);
    size_t len;
    char *zipped;
    struct outcome got;

    assert_non_null(plain);
    memset(plain, ' ', plain_len);
    plain[0] = '[';
    plain[plain_len - 2] = ']';
    zipped = gzip(plain, plain_len - 1, &len);
    got = upload_split(*state, MEDIA_GZIP, -1, zipped, len, 65536);
    assert_int_equal(got.err, ERR_OK); /* n */
    free(zipped);
    plain[plain_len - 2] = ' ';
    plain[plain_len - 1] = ']';
    zipped = gzip(plain, plain_len, &len);
    got = upload_split(*state, MEDIA_GZIP, -1, zipped, len, 65536);
    assert_int_equal(got.err, ERR_BODY_TOO_LARGE); /* n + 1 */
    free(zipped);
    free(plain);
}

static void
test_upload__broken_streams(void **state)
{
    static const char body[] = "[{\"event_id\":\"x\",\"event_type\":\"t\",\"user_id\":\"u\"}]";
    size_t len;
    char *zipped = gzip(body, sizeof(body) - 1, &len);

    assert_int_equal(upload_split(*state, MEDIA_GZIP, -1, zipped, len - 1, 7).err,
                     ERR_BAD_COMPRESSION);
    assert_int_equal(upload_split(*state, MEDIA_GZIP, -1, body, sizeof(body) - 1, 7).err,
                     ERR_BAD_COMPRESSION);
    assert_int_equal(upload_split(*state, MEDIA_ZSTD, -1, zipped, len, 7).err, ERR_BAD_COMPRESSION);
    zipped[len - 6] = (char)~zipped[len - 6]; /* the checksum */
    assert_int_equal(upload_split(*state, MEDIA_GZIP, -1, zipped, len, 7).err, ERR_BAD_COMPRESSION);
    free(zipped);
    assert_int_equal(upload_split(*state, MEDIA_IDENTITY, 0, "", 0, 1).err, ERR_EMPTY_BODY);
    assert_int_equal(upload_split(*state, MEDIA_IDENTITY, 2, " \n", 2, 1).err, ERR_EMPTY_BODY);
}

static void
test_upload__the_budget_of_a_loop(void **state)
{
    struct fixture *fixture = *state;
    size_t len;
    char *body = make_body(1, 400000, &len);

    fixture->budget.bytes_max = len;
    assert_int_equal(upload_split(fixture, MEDIA_IDENTITY, -1, body, len, 65536).err, ERR_OK);
    fixture->budget.bytes_max = len - 1;
    assert_int_equal(upload_split(fixture, MEDIA_IDENTITY, -1, body, len, 65536).err,
                     ERR_OVERLOADED);
    mem_free(body);
}

/* What is wrong with the whole body is said in the same words however it came. */
static void
test_upload__words_are_the_same_compressed(void **state)
{
    struct fixture *fixture = *state;
    struct event_context context = {
        .format = EVENT_FORMAT_JSON, .project_id = 1, .random = &fixture->random};
    struct diag diags[2];
    struct buf body;
    size_t zipped_len;
    char *zipped;

    buf_init(&body, UINT64_C(1) << 20);
    buf_add_text(&body, "{\"events\":[],\"other\":1");
    while (body.len < 2 * UPLOAD_SMALL_BYTES)
        buf_add_char(&body, ' ');
    buf_add_char(&body, '}');
    zipped = gzip(body.ptr, body.len, &zipped_len);
    for (int i = 0; i < 2; i++) {
        struct event_batch batch;
        struct upload upload;
        struct arena arena;

        arena_init(&arena, 4096, UINT64_C(1) << 30);
        upload_init(&upload, fixture->decoder, &context, i == 0 ? MEDIA_IDENTITY : MEDIA_GZIP, -1,
                    &fixture->budget, &arena);
        upload_add(&upload, i == 0 ? body.ptr : zipped, i == 0 ? body.len : zipped_len);
        assert_int_equal(upload_end(&upload, &batch), ERR_UNKNOWN_FIELD);
        assert_non_null(upload.diag);
        diags[i] = *upload.diag;
        upload_fini(&upload);
        arena_fini(&arena);
    }
    assert_string_equal(diags[0].field, "other");
    assert_string_equal(diags[1].field, diags[0].field);
    assert_string_equal(diags[1].message, diags[0].message);
    free(zipped);
    buf_fini(&body);
}

static void
test_upload__out_of_memory_is_an_error(void **state)
{
    size_t len;
    char *body = make_body(2000, 300000, &len);
    enum err err = ERR_NOMEM;

    for (uint64_t k = 1; err == ERR_NOMEM && k < 200; k++) {
        mem_fail_from(k, true);
        err = upload_split(*state, MEDIA_IDENTITY, -1, body, len, 65536).err;
        mem_fail_from(0, false);
    }
    assert_int_equal(err, ERR_OK);
    mem_free(body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_upload__every_way_gives_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upload__single_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upload__bombs_stop_at_the_cap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upload__broken_streams, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upload__the_budget_of_a_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upload__words_are_the_same_compressed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_upload__out_of_memory_is_an_error, setup, teardown),
    };

    return cmocka_run_group_tests_name("upload", tests, NULL, NULL);
}
