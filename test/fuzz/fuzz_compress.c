/* rooms: codec */
/*
 * fuzz_compress - any bytes as gzip and zstd: whole and in pieces come out alike, never over the
 * cap.
 */
#include "base/buf.h"
#include "codec/compress.h"
#include <stdlib.h>

#define OUTPUT_MAX 200000

static enum err
take(void *sink, const char *bytes, size_t len)
{
    struct buf *output = (struct buf *)sink;

    buf_add(output, bytes, len);
    if (buf_failed(output))
        abort();
    return ERR_OK;
}

static enum err
run(enum compress_kind kind, struct slice input, size_t piece_bytes, struct buf *output)
{
    struct decompress_config config = {
        .kind = kind, .output_bytes_max = OUTPUT_MAX, .ratio_max = 1000};
    struct decompress *decompress = NULL;
    struct diag diag = DIAG_INIT;
    enum err err = decompress_new(&config, &decompress, &diag);

    for (size_t at = 0; err == ERR_OK && at < input.len; at += piece_bytes)
        err = decompress_feed(decompress, input.ptr + at,
                              input.len - at < piece_bytes ? input.len - at : piece_bytes, take,
                              output, &diag);
    if (err == ERR_OK)
        err = decompress_end(decompress, &diag);
    decompress_free(&decompress);
    return err;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct slice input = slice_of((const char *)bytes + 1, len - 1);

    if (len == 0)
        return 0;
    for (int kind = COMPRESS_GZIP; kind <= COMPRESS_ZSTD; kind++) {
        struct buf whole;
        struct buf pieces;

        buf_init(&whole, OUTPUT_MAX);
        buf_init(&pieces, OUTPUT_MAX);
        bool is_good = run((enum compress_kind)kind, input, input.len + 1, &whole) == ERR_OK;
        if (is_good !=
            (run((enum compress_kind)kind, input, (size_t)bytes[0] + 1, &pieces) == ERR_OK))
            abort(); /* which fault of several is told may differ */
        if (is_good && !slice_equal(buf_slice(&whole), buf_slice(&pieces)))
            abort();
        buf_fini(&whole);
        buf_fini(&pieces);
    }
    return 0;
}
