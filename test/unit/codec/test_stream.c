/*
 * test_stream - the codecs that take their input in pieces: csv, ndjson, compress. Whole and in
 * pieces of every small size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs those before it */
#include "codec/compress.h"
#include "codec/csv.h"
#include "codec/ndjson.h"
#include <cmocka.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Rows as text: cells in brackets, a slash behind each row; an error as "!message". */
static void
csv_text(const struct csv_config *config, struct slice input, size_t piece_bytes, struct buf *text)
{
    struct csv_reader *reader = NULL;
    struct csv_row row;
    struct diag diag = DIAG_INIT;
    enum err err = ERR_OK;
    enum csv_step step = CSV_MORE;
    size_t at = 0;

    buf_clear(text);
    assert_int_equal(csv_reader_new(config, &reader, &diag), ERR_OK);
    while (step != CSV_FAILED && at <= input.len) {
        struct slice piece =
            slice_of(input.ptr + at, input.len - at < piece_bytes ? input.len - at : piece_bytes);
        bool is_end = piece.len == 0;

        at += is_end ? 1 : piece.len;
        do {
            step = is_end ? csv_end(reader, &row, &err, &diag)
                          : csv_read(reader, &piece, &row, &err, &diag);
            for (uint32_t i = 0; step == CSV_ROW && i < row.count; i++)
                buf_printf(text, "[%.*s]", SLICE_ARGS(row.cells[i]));
            if (step == CSV_ROW)
                buf_printf(text, "/%llu/", (unsigned long long)row.line);
        } while (step == CSV_ROW);
    }
    if (step == CSV_FAILED)
        buf_printf(text, "!%s", diag.message);
    buf_add_char(text, '\0');
    csv_reader_free(&reader);
}

static void
check_csv(const struct csv_config *config, const char *input, const char *expected)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    for (size_t piece = 1; piece <= strlen(input) + 1; piece++) {
        csv_text(config, slice_of_text(input), piece, &text);
        if (strcmp(text.ptr, expected) != 0)
            fail_msg("%s\n in pieces of %zu gave %s\n not %s", input, piece, text.ptr, expected);
    }
    buf_fini(&text);
}

static void
test_csv__reads_rfc_4180(void **state)
{
    static const struct csv_config config = {
        .delimiter = ',', .columns_max = 100, .cell_bytes_max = 1000, .row_bytes_max = 1000};
    static const struct csv_config tabs = {
        .delimiter = '\t', .columns_max = 100, .cell_bytes_max = 1000, .row_bytes_max = 1000};
    static const char *const pairs[][2] = {
        {"", ""},
        {"a,b\r\n1,2\r\n", "[a][b]/1/[1][2]/2/"},
        {"a,b\n1,2", "[a][b]/1/[1][2]/2/"},
        {"\xef\xbb\xbfid,n\n", "[id][n]/1/"},
        {"\xef\xbb\xbf\"id\",n\n", "[id][n]/1/"},
        {"\xef\xbb", "[\xef\xbb]/1/"},
        {"\xef\xbbx,y", "[\xef\xbbx][y]/1/"},
        {"\"a,\"\"b\"\"\r\nc\",d\nx", "[a,\"b\"\r\nc][d]/1/[x]/3/"},
        {",\n", "[][]/1/"},
        {"a,", "[a][]/1/"},
        {",", "[][]/1/"},
        {"\"\"", "[]/1/"},
        {"\"\"\n", "[]/1/"},
        {"\n\r\na\n\n", "[]/2/[a]/3/"},
        {" a , b \n", "[ a ][ b ]/1/"},
        {"a\"b,c\n",
         "!row 1 (line 1): a quote inside a cell; put the cell in quotes and double it"},
        {"x\n\"a\"b\n", "[x]/1/!row 2 (line 2): text behind the closing quote of a cell"},
        {"a\rb", "!row 1 (line 1): a CR without LF; put the cell in quotes"},
        {"a\r", "!row 1 (line 1): a CR without LF; put the cell in quotes"},
        {"x\n\n\"a\nb", "[x]/1/!row 2 (line 3): the input ends within a quoted cell"},
    };
    struct csv_reader *reader = NULL;
    struct csv_config quote = config;

    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++)
        check_csv(&config, pairs[i][0], pairs[i][1]);
    check_csv(&tabs, "a,b\tc\n", "[a,b][c]/1/");
    quote.delimiter = '"';
    assert_int_equal(csv_reader_new(&quote, &reader, NULL), ERR_INVALID);
}

static void
test_csv__keeps_its_limits(void **state)
{
    static const struct csv_config config = {
        .delimiter = ',', .columns_max = 3, .cell_bytes_max = 4, .row_bytes_max = 8};

    (void)state;
    check_csv(&config, "a,b\n", "[a][b]/1/");
    check_csv(&config, "a,b,c\n", "[a][b][c]/1/");
    check_csv(&config, "a,b,c,d\n", "!row 1 (line 1): more columns than allowed");
    check_csv(&config, "abc\n", "[abc]/1/");
    check_csv(&config, "abcd\n", "[abcd]/1/");
    check_csv(&config, "\"ab\"\"d\"\n", "[ab\"d]/1/");
    check_csv(&config, "abcde\n",
              "!row 1 (line 1): a cell is larger than allowed; is a quote not closed?");
    check_csv(&config, "\"abcde\"\n",
              "!row 1 (line 1): a cell is larger than allowed; is a quote not closed?");
    check_csv(&config, "abcd,abcd\n", "[abcd][abcd]/1/");
    check_csv(&config, "abcd,abcd,a\n",
              "!row 1 (line 1): the row is larger than allowed; is a quote not closed?");
    /* Both at once: the limit that is met first. */
    check_csv(&config, "abc,abc,abcde\n",
              "!row 1 (line 1): the row is larger than allowed; is a quote not closed?");
    check_csv(&config, "abcd,abcde\n",
              "!row 1 (line 1): a cell is larger than allowed; is a quote not closed?");
}

static void
check_lines(const char *input, size_t line_max, const char *expected)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    for (size_t piece = 1; piece <= strlen(input) + 1; piece++) {
        struct ndjson ndjson;
        struct ndjson_line line;
        enum err err = ERR_OK;

        buf_clear(&text);
        ndjson_init(&ndjson, line_max);
        for (size_t at = 0; at < strlen(input); at += piece) {
            size_t left = strlen(input) - at;
            struct slice part = slice_of(input + at, left < piece ? left : piece);

            while (ndjson_next(&ndjson, &part, &line, &err))
                buf_printf(&text, "[%.*s]%llu/%llu ", SLICE_ARGS(line.text),
                           (unsigned long long)line.len, (unsigned long long)line.number);
            assert_int_equal(err, ERR_OK);
        }
        if (ndjson_end(&ndjson, &line))
            buf_printf(&text, "[%.*s]%llu/%llu ", SLICE_ARGS(line.text),
                       (unsigned long long)line.len, (unsigned long long)line.number);
        assert_false(ndjson_end(&ndjson, &line));
        buf_add_char(&text, '\0');
        assert_string_equal(text.ptr, expected);
        ndjson_fini(&ndjson);
    }
    buf_fini(&text);
}

static void
test_ndjson__cuts_lines(void **state)
{
    (void)state;
    check_lines("", 10, "");
    check_lines("\n \r\n\t", 10, "");
    check_lines("a\nb\r\n\n c \nd", 10, "[a]1/1 [b]1/2 [c]1/4 [d]1/5 ");
    check_lines("abc\nabcd\nabcde\n  abcd  \n", 4, "[abc]3/1 [abcd]4/2 [abcd]5/3 [abcd]4/4 ");
    check_lines("a b", 10, "[a b]3/1 ");
}

/* --- compress ---------------------------------------------------------------------------------*/

static enum err
take(void *sink, const char *bytes, size_t len)
{
    buf_add((struct buf *)sink, bytes, len);
    return ERR_OK;
}

static enum err
refuse(void *sink, const char *bytes, size_t len)
{
    (void)sink;
    (void)bytes;
    (void)len;
    return ERR_FULL;
}

static void
pack(enum compress_kind kind, struct slice plain, struct buf *out)
{
    if (kind == COMPRESS_GZIP) {
        z_stream stream = {0};

        assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
        assert_true(buf_reserve(out, deflateBound(&stream, plain.len)));
        stream.next_in = (Bytef *)(uintptr_t)plain.ptr;
        stream.avail_in = (unsigned)plain.len;
        stream.next_out = (Bytef *)(out->ptr + out->len);
        stream.avail_out = (unsigned)(out->capacity - out->len);
        assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
        out->len += stream.total_out;
        deflateEnd(&stream);
    } else {
        assert_true(buf_reserve(out, ZSTD_compressBound(plain.len)));
        out->len +=
            ZSTD_compress(out->ptr + out->len, out->capacity - out->len, plain.ptr, plain.len, 3);
    }
}

static enum err
unpack(const struct decompress_config *config, struct slice packed, size_t piece, struct buf *out)
{
    struct decompress *decompress = NULL;
    struct diag diag = DIAG_INIT;
    enum err err = ERR_OK;

    buf_clear(out);
    assert_int_equal(decompress_new(config, &decompress, &diag), ERR_OK);
    for (size_t at = 0; err == ERR_OK && at < packed.len; at += piece)
        err = decompress_feed(decompress, packed.ptr + at,
                              packed.len - at < piece ? packed.len - at : piece, take, out, &diag);
    if (err == ERR_OK)
        err = decompress_end(decompress, &diag);
    else
        assert_int_equal(decompress_end(decompress, &diag), err);
    assert_true(err == ERR_OK || diag.message[0] != '\0');
    decompress_free(&decompress);
    return err;
}

static void
test_compress__undoes_in_pieces(void **state)
{
    static const size_t pieces[] = {1, 2, 7, 100, 1000000};
    struct buf plain;
    struct buf packed;
    struct buf out;

    (void)state;
    buf_init(&plain, 1 << 22);
    buf_init(&packed, 1 << 22);
    buf_init(&out, 1 << 22);
    for (int i = 0; i < 30000; i++)
        buf_printf(&plain, "{\"event_id\":\"%d\"}", i * 7919);
    for (int kind = COMPRESS_GZIP; kind <= COMPRESS_ZSTD; kind++) {
        struct decompress_config config = {
            .kind = (enum compress_kind)kind, .output_bytes_max = 2 * plain.len, .ratio_max = 1000};

        buf_clear(&packed);
        pack(config.kind, buf_slice(&plain), &packed);
        assert_true(kind == COMPRESS_GZIP ? compress_is_gzip(buf_slice(&packed))
                                          : compress_is_zstd(buf_slice(&packed)));
        pack(config.kind, buf_slice(&plain), &packed); /* a second member behind the first */
        for (size_t i = 0; i < COUNT(pieces); i++) {
            assert_int_equal(unpack(&config, buf_slice(&packed), pieces[i], &out), ERR_OK);
            assert_int_equal(out.len, 2 * plain.len);
            assert_memory_equal(out.ptr + plain.len, plain.ptr, plain.len);
        }
        config.output_bytes_max--;
        assert_int_equal(unpack(&config, buf_slice(&packed), 1000, &out), ERR_BODY_TOO_LARGE);
    }
    buf_fini(&plain);
    buf_fini(&packed);
    buf_fini(&out);
}

/* Frames to be skipped are; formats older than zstd 0.8, which the library would look for at the
 * beginning of a piece, are none. */
static void
test_compress__zstd_frames_are_known_however_they_are_cut(void **state)
{
    static const char old[] = "\x28\x27\xb5\x2f\xfd\0\0\0\0"; /* version 0.7, behind a byte */
    static const char skipped[] = "\x5f\x2a\x4d\x18\x03\0\0\0abc";
    const struct decompress_config config = {.kind = COMPRESS_ZSTD, .output_bytes_max = 1000};
    struct buf packed;
    struct buf out;

    (void)state;
    buf_init(&packed, 1 << 20);
    buf_init(&out, 1 << 20);
    buf_add(&packed, skipped, sizeof(skipped) - 1);
    pack(COMPRESS_ZSTD, SLICE("some text"), &packed);
    buf_add(&packed, skipped, sizeof(skipped) - 1);
    for (size_t piece = 1; piece <= packed.len; piece++) {
        assert_int_equal(unpack(&config, buf_slice(&packed), piece, &out), ERR_OK);
        assert_true(slice_equal(buf_slice(&out), SLICE("some text")));
        assert_int_equal(unpack(&config, slice_of(old, sizeof(old)), piece, &out),
                         ERR_BAD_COMPRESSION);
        assert_int_equal(unpack(&config, slice_of(old + 1, sizeof(old) - 1), piece, &out),
                         ERR_BAD_COMPRESSION);
    }
    buf_fini(&packed);
    buf_fini(&out);
}

static void
test_compress__refuses_cut_and_trailing(void **state)
{
    struct buf packed;
    struct buf out;

    (void)state;
    buf_init(&packed, 1 << 20);
    buf_init(&out, 1 << 20);
    for (int kind = COMPRESS_GZIP; kind <= COMPRESS_ZSTD; kind++) {
        struct decompress_config config = {.kind = (enum compress_kind)kind,
                                           .output_bytes_max = 1000};
        size_t len = 0;

        buf_clear(&packed);
        pack(config.kind, SLICE("some text, some text, some text"), &packed);
        len = packed.len;
        for (size_t cut = 0; cut < len; cut++)
            for (size_t piece = 1; piece < 64; piece += 31)
                assert_int_equal(unpack(&config, slice_of(packed.ptr, cut), piece, &out),
                                 ERR_BAD_COMPRESSION);
        buf_add_char(&packed, 'x');
        assert_int_equal(unpack(&config, buf_slice(&packed), 1, &out), ERR_BAD_COMPRESSION);
        assert_int_equal(unpack(&config, buf_slice(&packed), 1000, &out), ERR_BAD_COMPRESSION);
        buf_add_text(&packed, "yzyzyzyzyzyzyz");
        assert_int_equal(unpack(&config, buf_slice(&packed), 1000, &out), ERR_BAD_COMPRESSION);
        assert_int_equal(unpack(&config, SLICE("[{\"plain\":1}]"), 1000, &out),
                         ERR_BAD_COMPRESSION);
    }
    buf_fini(&packed);
    buf_fini(&out);
}

static void
test_compress__stops_bombs(void **state)
{
    const size_t plain_len = (size_t)8 << 20;
    char *plain = calloc(plain_len, 1);
    struct buf packed;
    struct buf out;

    (void)state;
    buf_init(&packed, (size_t)16 << 20);
    buf_init(&out, (size_t)16 << 20);
    assert_non_null(plain);
    for (int kind = COMPRESS_GZIP; kind <= COMPRESS_ZSTD; kind++) {
        struct decompress_config config = {
            .kind = (enum compress_kind)kind, .output_bytes_max = plain_len, .ratio_max = 0};

        buf_clear(&packed);
        pack(config.kind, slice_of(plain, plain_len), &packed);
        assert_int_equal(unpack(&config, buf_slice(&packed), 100000, &out), ERR_OK);
        config.ratio_max = 500;
        assert_int_equal(unpack(&config, buf_slice(&packed), 100000, &out), ERR_BODY_TOO_LARGE);
        assert_true(out.len < plain_len);
        config.ratio_max = 0;
        config.output_bytes_max = plain_len - 1;
        assert_int_equal(unpack(&config, buf_slice(&packed), 100000, &out), ERR_BODY_TOO_LARGE);
    }
    free(plain);
    buf_fini(&packed);
    buf_fini(&out);
}

static void
test_compress__hands_back_the_sinks_error(void **state)
{
    struct decompress_config config = {.kind = COMPRESS_GZIP, .output_bytes_max = 1000};
    struct decompress *decompress = NULL;
    struct buf packed;

    (void)state;
    buf_init(&packed, 1 << 20);
    pack(COMPRESS_GZIP, SLICE("text"), &packed);
    assert_int_equal(decompress_new(&config, &decompress, NULL), ERR_OK);
    assert_int_equal(decompress_feed(decompress, packed.ptr, packed.len, refuse, NULL, NULL),
                     ERR_FULL);
    assert_int_equal(decompress_end(decompress, NULL), ERR_FULL);
    decompress_free(&decompress);
    buf_fini(&packed);
}

/* 256 times "a" in one frame, whose window is the bound, and the next larger one. */
static void
test_compress__asks_a_window_however_the_frame_is_cut(void **state)
{
    static const char frame[2][13] = {
        "\x28\xb5\x2f\xfd\x40\x68\x00\x00\x03\x08\x00\x61",
        "\x28\xb5\x2f\xfd\x40\x69\x00\x00\x03\x08\x00\x61",
    };
    struct decompress_config config = {.kind = COMPRESS_ZSTD, .output_bytes_max = 256};

    (void)state;
    for (size_t piece = 1; piece <= 12; piece++) {
        struct buf out;

        buf_init(&out, 1000);
        assert_int_equal(unpack(&config, slice_of(frame[0], 12), piece, &out), ERR_OK);
        assert_int_equal(buf_slice(&out).len, 256);
        buf_clear(&out);
        assert_int_equal(unpack(&config, slice_of(frame[1], 12), piece, &out), ERR_BAD_COMPRESSION);
        buf_fini(&out);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv__reads_rfc_4180),
        cmocka_unit_test(test_csv__keeps_its_limits),
        cmocka_unit_test(test_ndjson__cuts_lines),
        cmocka_unit_test(test_compress__undoes_in_pieces),
        cmocka_unit_test(test_compress__zstd_frames_are_known_however_they_are_cut),
        cmocka_unit_test(test_compress__refuses_cut_and_trailing),
        cmocka_unit_test(test_compress__stops_bombs),
        cmocka_unit_test(test_compress__hands_back_the_sinks_error),
        cmocka_unit_test(test_compress__asks_a_window_however_the_frame_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
