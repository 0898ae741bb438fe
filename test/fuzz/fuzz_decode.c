/* rooms: event codec */
/*
 * fuzz_decode - any body, as JSON and as lines: whole and in pieces must give the same, to the
 * byte.
 *
 * The first byte chooses the size of the pieces. Accepted events must hold the promises of event.h:
 * texts within their limits, valid UTF-8 without U+0000, properties one JSON object.
 */
#include "../unit/event/decode_render.h"
#include "codec/json_scan.h"
#include "codec/utf8.h"
#include "event/limits.h"
#include <stdlib.h>

static void
require(bool is_so)
{
    if (!is_so)
        abort();
}

static void
check_text(struct slice text, size_t bytes_max, bool is_required)
{
    if (text.ptr == NULL) {
        require(!is_required);
        return;
    }
    require(text.len > 0 && text.len <= bytes_max && utf8_is_valid(text));
    require(memchr(text.ptr, '\0', text.len) == NULL);
}

static void
check_event(const struct event *event)
{
    check_text(event->event_id, LIMIT_EVENT_ID_BYTES, true);
    check_text(event->event_type, LIMIT_EVENT_TYPE_BYTES, true);
    check_text(event->user_id, LIMIT_USER_ID_BYTES, event->anonymous_id.ptr == NULL);
    check_text(event->anonymous_id, LIMIT_ANONYMOUS_ID_BYTES, false);
    check_text(event->session_id, LIMIT_SESSION_ID_BYTES, false);
    require(event->occurred_at_us >= 0);
    require(event->occurred_at_us <= RENDER_RECEIVED_AT_US + LIMIT_FUTURE_US);
    if (event->properties.ptr != NULL) {
        struct json_check check;

        json_check_init(&check, LIMIT_PROPERTIES_DEPTH);
        require(event->properties.ptr[0] == '{' && event->properties.len <= LIMIT_PROPERTIES_BYTES);
        require(json_check_feed(&check, event->properties.ptr, event->properties.len));
        require(json_check_end(&check) && utf8_is_valid(event->properties));
    }
}

static void
check_format(struct event_decoder *decoder, enum event_format format, struct slice body,
             size_t piece_bytes)
{
    struct event_context context = {.format = format,
                                    .project_id = 7,
                                    .received_at_us = RENDER_RECEIVED_AT_US,
                                    .originals_max = 40,
                                    .random = random_system()};
    struct buf whole;
    struct buf pieces;
    struct arena arena;
    struct event_batch batch = {0};
    struct diag diag = DIAG_INIT;

    buf_init(&whole, (size_t)1 << 30);
    buf_init(&pieces, (size_t)1 << 30);
    render_whole(decoder, &context, body, true, &whole);
    render_pieces(decoder, &context, body, piece_bytes, true, &pieces);
    require(slice_equal(buf_slice(&whole), buf_slice(&pieces)));
    buf_fini(&whole);
    buf_fini(&pieces);
    arena_init(&arena, 4096, (size_t)1 << 30);
    if (event_decode_body(decoder, &context, body, &arena, &batch, &diag) == ERR_OK)
        for (uint32_t i = 0; i < batch.count; i++)
            if (batch.entries[i].err == ERR_OK)
                check_event(&batch.entries[i].event);
    arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct event_decoder *decoder = NULL;
    struct slice body = slice_of((const char *)bytes + 1, len - 1);

    if (len == 0)
        return 0;
    require(event_decoder_new(&decoder, NULL) == ERR_OK);
    check_format(decoder, EVENT_FORMAT_JSON, body, (size_t)bytes[0] + 1);
    check_format(decoder, EVENT_FORMAT_NDJSON, body, (size_t)bytes[0] + 1);
    event_decoder_free(&decoder);
    return 0;
}
