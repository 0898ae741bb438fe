/*
 * decode - from a request body to events with verdicts: JSON (object, array, {"events":[…]}) and
 * NDJSON.
 *
 * Layer 2, one decoder a thread. Follows the contract of ingest: one bad element costs only itself;
 * what is wrong with the whole (unterminated string, unbalanced brackets, text after the end, over
 * 10,000 events, empty) refuses the whole with nothing decoded. Bodies over 256 KiB may be fed in
 * pieces as they arrive: both ways give the same verdicts. No time is read here: `received_at_us`
 * is an argument.
 *
 *     event_decode_begin(decoder, &context, arena);
 *     event_decode_feed(decoder, bytes, len) …      // inflated bytes, any split
 *     event_decode_end(decoder, &batch, diag);      // or event_decode_cancel(decoder)
 *
 * Several bodies may be under way on one thread (slow uploads beside each other): each needs a
 * `struct event_decode` of its own; they share the thread's `struct event_decoder` (the JSON
 * parser).
 */
#ifndef POTIK_EVENT_DECODE_H
#define POTIK_EVENT_DECODE_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/random.h"
#include "event/event.h"

enum event_format { EVENT_FORMAT_JSON, EVENT_FORMAT_NDJSON };

struct event_context {
    enum event_format format;
    uint32_t project_id;
    int64_t received_at_us;
    struct random_source *random; /* for assigned UUIDv7 ids */
    size_t originals_max; /* the batch is to have originals, of a refused event at most so many
                             bytes; 0: it has none */
};

/* The thread's parser and scratch memory. */
struct event_decoder;
MUST_USE enum err event_decoder_new(struct event_decoder **ret_decoder, struct diag *diag);
void event_decoder_free(struct event_decoder **decoder);

/*
 * A whole body at once: the fast path. Slices of the batch point into `body` or `arena`; both must
 * outlive it. Per-request errors: ERR_INVALID_JSON, ERR_INVALID_UTF8, ERR_EMPTY_BODY,
 * ERR_TOO_MANY_EVENTS, ERR_UNKNOWN_FIELD (a key beside "events") …: told in `diag`, *ret_batch
 * untouched. ERR_NOMEM.
 */
MUST_USE enum err
event_decode_body(struct event_decoder *decoder, const struct event_context *context,
                  struct slice body, struct arena *arena, struct event_batch *ret_batch,
                  struct diag *diag);

/* A body in pieces. Slices of the batch point into `arena`, never into what was fed. */
struct event_decode;
MUST_USE enum err
event_decode_begin(struct event_decoder *decoder, const struct event_context *context,
                   struct arena *arena, struct event_decode **ret_decode, struct diag *diag);
/* An error is final for this body; feed and end then give the same again. */
MUST_USE enum err
event_decode_feed(struct event_decode *decode, const char *bytes, size_t len, struct diag *diag);
MUST_USE enum err
event_decode_end(struct event_decode *decode, struct event_batch *ret_batch, struct diag *diag);
void event_decode_free(struct event_decode **decode);

#endif
