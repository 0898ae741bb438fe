/* rooms: base http */
/*
 * fuzz_http_chunk - a chunked body, whole and in any split: the same bytes, the same verdict.
 *
 * The first byte is the length of the pieces (0: one byte), the rest is the body.
 */
#include "http/parser.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum http_parse parse;
    enum err err;
    const char *reason;
    size_t used; /* up to the end, when done */
    uint64_t body_bytes;
    uint32_t body_hash;
};

static void
must(bool is_true)
{
    if (!is_true)
        abort();
}

static struct outcome
decode(const char *bytes, size_t len, size_t step)
{
    struct outcome outcome = {.parse = HTTP_PARSE_MORE, .body_hash = 2166136261u};
    struct http_chunk chunk;
    size_t end = 0;

    http_chunk_init(&chunk);
    while (end < len && outcome.parse == HTTP_PARSE_MORE) {
        size_t at = end;

        end = step < len - end ? end + step : len;
        while (at < end && outcome.parse == HTTP_PARSE_MORE) {
            struct slice data;
            size_t used;

            outcome.parse = http_chunk_parse(&chunk, bytes + at, end - at, &used, &data);
            must(used > 0 && used <= end - at);
            must(data.len == 0 || (data.ptr >= bytes + at && data.ptr + data.len <= bytes + end));
            for (size_t i = 0; i < data.len; i++)
                outcome.body_hash = (outcome.body_hash ^ (uint8_t)data.ptr[i]) * 16777619u;
            outcome.body_bytes += data.len;
            at += used;
            outcome.used += used;
        }
    }
    outcome.err = chunk.err;
    outcome.reason = chunk.reason;
    must(chunk.extension_bytes <= HTTP_CHUNK_EXTENSIONS_MAX + 1);
    must(chunk.trailer_bytes <= HTTP_TRAILER_BYTES_MAX + 1);
    must((outcome.parse == HTTP_PARSE_BAD) == (chunk.err != ERR_OK));
    return outcome;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole;
    struct outcome parts;

    if (size < 2)
        return 0;
    whole = decode((const char *)data + 1, size - 1, size);
    parts = decode((const char *)data + 1, size - 1, data[0] == 0 ? 1 : data[0]);
    must(whole.parse == parts.parse && whole.err == parts.err && whole.reason == parts.reason);
    must(whole.used == parts.used);
    must(whole.body_bytes == parts.body_bytes && whole.body_hash == parts.body_hash);
    return 0;
}
