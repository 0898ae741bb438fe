/*
 * compress - see compress.h. Both libraries write into one buffer of 64 KiB, which goes to the sink
 * when it is full or the input is used up. Their memory comes from base/mem.
 */
#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_customMem: to allocate by base/mem */
#include "codec/compress.h"
#include "base/mem.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define OUTPUT_BYTES ((size_t)64 * 1024)
#define RATIO_ASKED_FROM (UINT64_C(1024) * 1024)
#define ZSTD_WINDOW_LOG_MAX 23
#define ZSTD_MAGIC_BYTES 4

struct decompress {
    struct decompress_config config;
    z_stream gzip;
    ZSTD_DCtx *zstd;
    bool is_within;                  /* of a member or frame */
    uint8_t magic[ZSTD_MAGIC_BYTES]; /* of the next frame, as far as it has come */
    size_t magic_bytes;
    bool is_begun;
    uint64_t input_bytes;
    uint64_t output_bytes;
    enum err err; /* final */
    struct diag diag;
    char output[OUTPUT_BYTES];
};

static void *
zlib_alloc(void *opaque, unsigned items, unsigned size)
{
    (void)opaque;
    return mem_zalloc(items, size);
}

static void
zlib_free(void *opaque, void *ptr)
{
    (void)opaque;
    mem_free(ptr);
}

static void *
zstd_alloc(void *opaque, size_t bytes)
{
    (void)opaque;
    return mem_alloc(bytes);
}

static void
zstd_free(void *opaque, void *ptr)
{
    (void)opaque;
    mem_free(ptr);
}

enum err
decompress_new(const struct decompress_config *config, struct decompress **ret_decompress,
               struct diag *diag)
{
    struct decompress *decompress = MEM_NEW(struct decompress, 1);
    bool is_good = false;

    if (decompress != NULL) {
        decompress->config = *config;
        if (config->kind == COMPRESS_GZIP) {
            decompress->gzip.zalloc = zlib_alloc;
            decompress->gzip.zfree = zlib_free;
            is_good = inflateInit2(&decompress->gzip, 15 + 16) == Z_OK; /* 16: gzip alone */
        } else {
            decompress->zstd = ZSTD_createDCtx_advanced(
                (ZSTD_customMem){.customAlloc = zstd_alloc, .customFree = zstd_free});
            is_good = decompress->zstd != NULL &&
                      !ZSTD_isError(ZSTD_DCtx_setParameter(decompress->zstd, ZSTD_d_windowLogMax,
                                                           ZSTD_WINDOW_LOG_MAX));
        }
    }
    if (!is_good) {
        diag_set(diag, "out of memory for decompression");
        decompress_free(&decompress);
        return ERR_NOMEM;
    }
    *ret_decompress = decompress;
    return ERR_OK;
}

void
decompress_free(struct decompress **decompress)
{
    if (*decompress == NULL)
        return;
    if ((*decompress)->config.kind == COMPRESS_GZIP)
        (void)inflateEnd(&(*decompress)->gzip);
    else
        (void)ZSTD_freeDCtx((*decompress)->zstd);
    mem_free(*decompress);
    *decompress = NULL;
}

static enum err
refuse(struct decompress *decompress, enum err err, const char *message)
{
    decompress->err = err;
    diag_set(&decompress->diag, "%s", message);
    return err;
}

static enum err
refuse_size(struct decompress *decompress)
{
    uint64_t mib = decompress->config.output_bytes_max >> 20;
    char message[96];

    /* Less than one: only tests allow so little. */
    snprintf(message, sizeof(message),
             "the body is over %" PRIu64 " %s once decompressed; send fewer events at once",
             mib != 0 ? mib : (uint64_t)decompress->config.output_bytes_max,
             mib != 0 ? "MiB" : "bytes");
    return refuse(decompress, ERR_BODY_TOO_LARGE, message);
}

/* `len` bytes have come out into `output`. */
static enum err
give(struct decompress *decompress, size_t len, decompress_sink sink_call, void *sink)
{
    const struct decompress_config *config = &decompress->config;
    enum err err = ERR_OK;

    if (len == 0)
        return ERR_OK;
    decompress->output_bytes += len;
    if (decompress->output_bytes > config->output_bytes_max)
        return refuse_size(decompress);
    if (config->ratio_max != 0 && decompress->output_bytes > RATIO_ASKED_FROM &&
        decompress->output_bytes / config->ratio_max > decompress->input_bytes)
        return refuse(decompress, ERR_BODY_TOO_LARGE,
                      "the body grows too much when decompressed; send it plain");
    err = sink_call(sink, decompress->output, len);
    if (err != ERR_OK)
        decompress->err = err;
    return err;
}

static enum err
feed_gzip(struct decompress *decompress, const char *bytes, size_t len, decompress_sink sink_call,
          void *sink)
{
    z_stream *stream = &decompress->gzip;
    bool is_output_full = false;

    while (len > 0 || is_output_full) {
        unsigned chunk = len > UINT_MAX ? UINT_MAX : (unsigned)len;
        unsigned used = 0;
        int result = Z_OK;

        stream->next_in = (z_const Bytef *)(uintptr_t)bytes;
        stream->avail_in = chunk;
        stream->next_out = (Bytef *)decompress->output;
        stream->avail_out = OUTPUT_BYTES;
        decompress->is_within = true;
        result = inflate(stream, Z_NO_FLUSH);
        used = chunk - stream->avail_in;
        bytes += used;
        len -= used;
        decompress->input_bytes += used;
        is_output_full = stream->avail_out == 0;
        if (result == Z_MEM_ERROR)
            return refuse(decompress, ERR_NOMEM, "out of memory for decompression");
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return refuse(decompress, ERR_BAD_COMPRESSION, "the body is not valid gzip");
        if (give(decompress, OUTPUT_BYTES - stream->avail_out, sink_call, sink) != ERR_OK)
            return decompress->err;
        if (result == Z_STREAM_END) {
            decompress->is_within = false;
            is_output_full = false;
            (void)inflateReset(stream);
        } else if (result == Z_BUF_ERROR && !is_output_full && used == 0) {
            break;
        }
    }
    return ERR_OK;
}

/* One call of the library's: it takes some of `input`, and what comes out goes to the sink. */
static enum err
step_zstd(struct decompress *decompress, ZSTD_inBuffer *input, bool *ret_is_output_full,
          decompress_sink sink_call, void *sink)
{
    ZSTD_outBuffer output = {.dst = decompress->output, .size = OUTPUT_BYTES, .pos = 0};
    const size_t before = input->pos;
    const size_t result = ZSTD_decompressStream(decompress->zstd, &output, input);

    decompress->input_bytes += input->pos - before;
    if (ZSTD_isError(result)) {
        if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
            return refuse(decompress, ERR_NOMEM, "out of memory for decompression");
        if (ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge)
            return refuse(decompress, ERR_BAD_COMPRESSION,
                          "the zstd window is over 8 MiB; compress without --long");
        return refuse(decompress, ERR_BAD_COMPRESSION, "the body is not valid zstd");
    }
    decompress->is_within = result != 0;
    *ret_is_output_full = result != 0 && output.pos == output.size;
    return give(decompress, output.pos, sink_call, sink);
}

/* RFC 8878: 3.1.1 a frame, 3.1.2 one to be skipped. */
static bool
is_zstd_magic(const uint8_t magic[ZSTD_MAGIC_BYTES])
{
    return memcmp(magic, "\x28\xb5\x2f\xfd", ZSTD_MAGIC_BYTES) == 0 ||
           ((magic[0] & 0xF0) == 0x50 && memcmp(magic + 1, "\x2a\x4d\x18", 3) == 0);
}

/*
 * The magic number of a frame is gathered, looked at, and goes in alone. A frame that is all there
 * at once would else be decoded in one pass, without a look at its window; and where the number is
 * none, the library looks for older formats at the beginning of whatever piece it was given.
 * Whether a body is refused would hang on how the network cut it.
 */
static enum err
feed_zstd(struct decompress *decompress, const char *bytes, size_t len, decompress_sink sink_call,
          void *sink)
{
    ZSTD_inBuffer input = {.src = bytes, .size = len, .pos = 0};
    bool is_output_full = false;

    while (input.pos < len || is_output_full) {
        ZSTD_inBuffer magic = {.src = decompress->magic, .size = ZSTD_MAGIC_BYTES, .pos = 0};
        const bool is_begin = !decompress->is_within;

        while (is_begin && decompress->magic_bytes < ZSTD_MAGIC_BYTES && input.pos < len)
            decompress->magic[decompress->magic_bytes++] = (uint8_t)bytes[input.pos++];
        if (is_begin && decompress->magic_bytes < ZSTD_MAGIC_BYTES)
            return ERR_OK;
        if (is_begin && !is_zstd_magic(decompress->magic))
            return refuse(decompress, ERR_BAD_COMPRESSION, "the body is not valid zstd");
        if (step_zstd(decompress, is_begin ? &magic : &input, &is_output_full, sink_call, sink) !=
            ERR_OK)
            return decompress->err;
        if (is_begin)
            decompress->magic_bytes = 0;
    }
    return ERR_OK;
}

enum err
decompress_feed(struct decompress *decompress, const char *bytes, size_t len,
                decompress_sink sink_call, void *sink, struct diag *diag)
{
    if (decompress->err == ERR_OK && len > 0) {
        decompress->is_begun = true;
        (void)(decompress->config.kind == COMPRESS_GZIP
                   ? feed_gzip(decompress, bytes, len, sink_call, sink)
                   : feed_zstd(decompress, bytes, len, sink_call, sink));
    }
    if (decompress->err != ERR_OK && diag != NULL && decompress->diag.message[0] != '\0')
        *diag = decompress->diag; /* of an error of the sink's, the words are the sink's too */
    return decompress->err;
}

enum err
decompress_end(struct decompress *decompress, struct diag *diag)
{
    if (decompress->err == ERR_OK &&
        (decompress->is_within || decompress->magic_bytes != 0 || !decompress->is_begun))
        (void)refuse(decompress, ERR_BAD_COMPRESSION, "the compressed body is cut off");
    if (decompress->err != ERR_OK && diag != NULL)
        *diag = decompress->diag;
    return decompress->err;
}

bool
compress_is_gzip(struct slice start)
{
    return start.len >= 3 && memcmp(start.ptr, "\x1f\x8b\x08", 3) == 0;
}

bool
compress_is_zstd(struct slice start)
{
    return start.len >= 4 && memcmp(start.ptr, "\x28\xb5\x2f\xfd", 4) == 0;
}
