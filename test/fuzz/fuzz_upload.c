/* rooms: api */
/*
 * fuzz_upload - any body, as it is, as gzip and as zstd: whole and in pieces give the same
 * verdicts, and what a loop allows for bodies under way is given back. The first byte chooses the
 * pieces, the second the encoding.
 */
#include "api/upload.h"

#include "base/mem.h"

#include <stdlib.h>

static void
require(bool is_so)
{
    if (!is_so)
        abort();
}

struct outcome {
    enum err err;
    uint32_t count;
    uint64_t errors; /* of the entries, in order */
};

static struct outcome
upload_in_pieces(struct event_decoder *decoder, enum media_encoding encoding, struct slice body,
                 size_t piece)
{
    struct random_source random;
    struct event_context context = {
        .project_id = 1, .received_at_us = INT64_C(1770000000000000), .random = &random};
    struct upload_budget budget = {.bytes_max = UINT64_C(1) << 30};
    struct outcome outcome = {0};
    struct event_batch batch = {0};
    struct upload upload;
    struct arena arena;

    random_seeded_init(&random, 1);
    arena_init(&arena, 4096, UINT64_C(1) << 30);
    upload_init(&upload, decoder, &context, encoding, -1, &budget, &arena);
    for (size_t at = 0; at < body.len; at += piece)
        upload_add(&upload, body.ptr + at, body.len - at < piece ? body.len - at : piece);
    outcome.err = upload_end(&upload, &batch);
    if (outcome.err == ERR_OK) {
        outcome.count = batch.count;
        for (uint32_t i = 0; i < batch.count; i++)
            outcome.errors = outcome.errors * 131 + (uint64_t)batch.entries[i].err;
    }
    upload_fini(&upload);
    require(budget.bytes == 0);
    arena_fini(&arena);
    return outcome;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct event_decoder *decoder;
    enum media_encoding encoding;
    struct outcome whole;
    struct outcome pieces;
    struct slice body;

    if (decoder == NULL && event_decoder_new(&decoder, NULL) != ERR_OK)
        abort();
    if (size < 2)
        return 0;
    encoding = (enum media_encoding)(data[1] % 3);
    body = slice_of((const char *)data + 2, size - 2);
    whole = upload_in_pieces(decoder, encoding, body, SIZE_MAX / 2);
    pieces = upload_in_pieces(decoder, encoding, body, (size_t)data[0] + 1);
    require(whole.err == pieces.err);
    require(whole.count == pieces.count && whole.errors == pieces.errors);
    return 0;
}
