/*
 * upload - the body of one ingest request on its way in: collected whole while it is small, decoded
 * piece by piece when it is not, inflated before if it is compressed.
 *
 * Layer 6, on the request's loop. Plain data in the exchange's arena; upload_fini gives back what
 * is not.
 *
 * Up to UPLOAD_SMALL_BYTES are kept as they came. If the body ends there, it is decoded whole (the
 * fast path). With one byte more, what was kept and all that follows goes through event_decode_feed
 * as it comes. Both ways give the same verdicts; nothing is committed before the whole body has
 * been read. An error is kept, the rest of the body is dropped unread, and the reply is given at
 * its end: a client that is still sending would not read it earlier.
 */
#ifndef POTIK_API_UPLOAD_H
#define POTIK_API_UPLOAD_H

#include "api/crowd.h"
#include "api/media.h"
#include "base/arena.h"
#include "base/diag.h"
#include "codec/compress.h"
#include "event/decode.h"

#define UPLOAD_SMALL_BYTES (256 * 1024)

/* What bodies under way on one loop hold together, and how long they take. */
struct upload_budget {
    uint64_t bytes;
    uint64_t bytes_max;
    struct crowd crowd; /* of those that are not small */
};

struct upload_part {
    char *ptr;
    size_t len;
    size_t capacity;
};

struct upload {
    struct event_decoder *decoder;
    struct event_context context;
    struct arena *arena;
    struct upload_budget *budget;
    enum media_encoding encoding;
    bool is_streaming; /* more came than is kept as sent */
    bool is_member;    /* of the crowd */
    struct crowd_member member;
    struct upload_part sent;  /* as it came */
    struct upload_part plain; /* inflated; unused where the body is not compressed */
    struct decompress *decompress;
    struct event_decode *decode; /* NULL: everything is still in `sent` or `plain` */
    uint64_t held;               /* of the budget */
    enum err err;                /* the first; the rest of the body is dropped */
    struct diag *diag;           /* its words; NULL before */
};

/* May one more body begin? Asked before it is read; small ones always may. `content_length`: −1
 * where unknown. */
bool upload_may_begin(struct upload_budget *budget, enum media_encoding encoding,
                      int64_t content_length, int64_t now_ns);
/* `content_length`: −1 where unknown. */
void upload_init(struct upload *upload, struct event_decoder *decoder,
                 const struct event_context *context, enum media_encoding encoding,
                 int64_t content_length, struct upload_budget *budget, struct arena *arena);
void upload_add(struct upload *upload, const char *bytes, size_t len);
/* The body is whole. Slices of the batch point into the arena. On error `upload->diag` has the
 * words, or is NULL. */
MUST_USE enum err upload_end(struct upload *upload, struct event_batch *ret_batch);
/* Gives back decoders and budget; the arena's part goes with the arena. Twice is once. */
void upload_fini(struct upload *upload);

#endif
