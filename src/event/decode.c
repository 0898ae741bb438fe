/*
 * decode - the calls of decode.h: a whole body is a body of one piece whose slices need no copy, so
 * that both ways are one machine (envelope.c) and give the same verdicts.
 */
#include "base/mem.h"
#include "event/decode_inside.h"

/* --- the thread's part ------------------------------------------------------------------------*/

enum err
event_decoder_new(struct event_decoder **ret_decoder, struct diag *diag)
{
    struct event_decoder *decoder = MEM_NEW(struct event_decoder, 1);

    if (decoder == NULL) {
        diag_set(diag, "out of memory for a decoder");
        return ERR_NOMEM;
    }
    *ret_decoder = decoder;
    return ERR_OK;
}

void
event_decoder_free(struct event_decoder **decoder)
{
    if (*decoder == NULL)
        return;
    json_scratch_fini(&(*decoder)->scratch);
    mem_free(*decoder);
    *decoder = NULL;
}

/* --- calls ------------------------------------------------------------------------------------*/

static void
init(struct event_decode *decode, struct event_decoder *decoder,
     const struct event_context *context, struct arena *arena, bool is_whole)
{
    decode->decoder = decoder;
    decode->context = *context;
    decode->arena = arena;
    decode->is_whole = is_whole;
    decode->state = context->format == EVENT_FORMAT_NDJSON ? DECODE_LINES : DECODE_START;
    decode->element.decoder = decoder;
    decode->element.context = &decode->context;
    decode->element.arena = arena;
    decode->element.depth = 1;
    decode->entries = NULL;
    decode->originals = NULL;
    decode->original = (struct event_original){{NULL, 0}, false};
    decode->count = 0;
    decode->capacity = 0;
    decode->is_comma_seen = false;
    decode->is_wrapped = false;
    decode->has_broken = false;
    decode->has_other = false;
    decode->is_checking = false;
    decode->err = ERR_OK;
    piece_init(&decode->piece, LIMIT_EVENT_BYTES);
    ndjson_init(&decode->lines, LIMIT_EVENT_BYTES);
}

static void
fini(struct event_decode *decode)
{
    piece_fini(&decode->piece);
    ndjson_fini(&decode->lines);
    json_scratch_trim(&decode->decoder->scratch);
}

static enum err
tell(const struct event_decode *decode, struct diag *diag)
{
    if (decode->err != ERR_OK && diag != NULL)
        *diag = decode->diag;
    return decode->err;
}

static struct event_batch
batch_of(const struct event_decode *decode)
{
    return (struct event_batch){
        .entries = decode->entries,
        .count = decode->count,
        .originals = decode->originals,
    };
}

enum err
event_decode_body(struct event_decoder *decoder, const struct event_context *context,
                  struct slice body, struct arena *arena, struct event_batch *ret_batch,
                  struct diag *diag)
{
    struct event_decode decode;
    enum err err = ERR_OK;

    init(&decode, decoder, context, arena, true);
    err = envelope_feed(&decode, body.ptr, body.len);
    if (err == ERR_OK)
        err = envelope_end(&decode);
    fini(&decode);
    if (err != ERR_OK)
        return tell(&decode, diag);
    *ret_batch = batch_of(&decode);
    return ERR_OK;
}

enum err
event_decode_begin(struct event_decoder *decoder, const struct event_context *context,
                   struct arena *arena, struct event_decode **ret_decode, struct diag *diag)
{
    struct event_decode *decode = MEM_NEW(struct event_decode, 1);

    if (decode == NULL) {
        diag_set(diag, "out of memory for a body");
        return ERR_NOMEM;
    }
    init(decode, decoder, context, arena, false);
    *ret_decode = decode;
    return ERR_OK;
}

enum err
event_decode_feed(struct event_decode *decode, const char *bytes, size_t len, struct diag *diag)
{
    return envelope_feed(decode, bytes, len) == ERR_OK ? ERR_OK : tell(decode, diag);
}

enum err
event_decode_end(struct event_decode *decode, struct event_batch *ret_batch, struct diag *diag)
{
    if (envelope_end(decode) != ERR_OK)
        return tell(decode, diag);
    *ret_batch = batch_of(decode);
    return ERR_OK;
}

void
event_decode_free(struct event_decode **decode)
{
    if (*decode == NULL)
        return;
    fini(*decode);
    mem_free(*decode);
    *decode = NULL;
}
