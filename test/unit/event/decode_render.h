/*
 * decode_render - what decoding a body gave, as one line of text: for tests and the fuzzer of
 * decode.
 *
 * A refused body: "!code@field". Else the entries, separated by spaces: "code@field:id". The id:
 * "a" usable, "~a" known but not usable, "+" assigned, "-" none. With is_full, an accepted event
 * brings all it holds, in brackets.
 */
#ifndef POTIK_TEST_DECODE_RENDER_H
#define POTIK_TEST_DECODE_RENDER_H

#include "base/buf.h"
#include "event/decode.h"

#define RENDER_RECEIVED_AT_US INT64_C(1769860800000000) /* 2026-01-31T12:00:00Z */

static inline void
render_entry(const struct event_entry *entry, bool is_full, struct buf *ret_text)
{
    const struct event *event = &entry->event;

    buf_add_text(ret_text, ret_text->len != 0 ? " " : "");
    buf_add_text(ret_text, err_code(entry->err));
    if (entry->field.ptr != NULL)
        buf_printf(ret_text, "@%.*s", SLICE_ARGS(entry->field));
    buf_add_char(ret_text, ':');
    if (entry->is_id_assigned)
        buf_add_char(ret_text, '+');
    else if (event->event_id.ptr == NULL)
        buf_add_char(ret_text, '-');
    else
        buf_printf(ret_text, "%s%.*s", entry->has_id ? "" : "~", SLICE_ARGS(event->event_id));
    if (!is_full)
        return;
    if (entry->err != ERR_OK) {
        buf_printf(ret_text, "{%.*s}", SLICE_ARGS(entry->message));
        return;
    }
    buf_printf(ret_text, "[%.*s|%.*s|%.*s|%.*s|%.*s|%lld|%lld|%u]", SLICE_ARGS(event->event_type),
               SLICE_ARGS(event->user_id), SLICE_ARGS(event->anonymous_id),
               SLICE_ARGS(event->session_id), SLICE_ARGS(event->properties),
               (long long)event->occurred_at_us, (long long)event->received_at_us,
               (unsigned)event->project_id);
}

static inline void
render_result(enum err err, const struct event_batch *batch, const struct diag *diag, bool is_full,
              struct buf *ret_text)
{
    buf_clear(ret_text);
    if (err != ERR_OK) {
        buf_printf(ret_text, "!%s", err_code(err));
        if (diag->field[0] != '\0')
            buf_printf(ret_text, "@%s", diag->field);
        if (is_full)
            buf_printf(ret_text, "{%s}", diag->message);
    }
    for (uint32_t i = 0; err == ERR_OK && i < batch->count; i++) {
        render_entry(&batch->entries[i], is_full, ret_text);
        if (is_full && batch->originals != NULL)
            buf_printf(ret_text, "<%.*s>%s", SLICE_ARGS(batch->originals[i].bytes),
                       batch->originals[i].is_cut ? "…" : "");
    }
}

/* The body in pieces of `piece_bytes`, each in memory of its own that is wiped after the call. */
static inline void
render_pieces(struct event_decoder *decoder, const struct event_context *context, struct slice body,
              size_t piece_bytes, bool is_full, struct buf *ret_text)
{
    struct arena arena;
    struct diag diag = DIAG_INIT;
    struct event_decode *decode = NULL;
    struct event_batch batch = {0};
    struct buf piece;
    enum err err = ERR_OK;

    arena_init(&arena, 4096, (size_t)1 << 30);
    buf_init(&piece, (size_t)1 << 30);
    err = event_decode_begin(decoder, context, &arena, &decode, &diag);
    for (size_t at = 0; err == ERR_OK && at < body.len; at += piece_bytes) {
        size_t len = body.len - at < piece_bytes ? body.len - at : piece_bytes;

        buf_clear(&piece);
        buf_add(&piece, body.ptr + at, len);
        err = event_decode_feed(decode, piece.ptr, len, &diag);
        memset(piece.ptr, '#', len);
    }
    if (decode != NULL)
        err = event_decode_end(decode, &batch, &diag);
    render_result(err, &batch, &diag, is_full, ret_text);
    event_decode_free(&decode);
    buf_fini(&piece);
    arena_fini(&arena);
}

static inline void
render_whole(struct event_decoder *decoder, const struct event_context *context, struct slice body,
             bool is_full, struct buf *ret_text)
{
    struct arena arena;
    struct diag diag = DIAG_INIT;
    struct event_batch batch = {0};
    enum err err = ERR_OK;

    arena_init(&arena, 4096, (size_t)1 << 30);
    err = event_decode_body(decoder, context, body, &arena, &batch, &diag);
    render_result(err, &batch, &diag, is_full, ret_text);
    arena_fini(&arena);
}

#endif
