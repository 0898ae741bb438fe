/*
 * upload - one body on its way in. See upload.h.
 *
 *     sent ─(whole, small, plain)────────────────▶ event_decode_body
 *     sent ─(more than is kept)─▶ [decompress] ─▶ plain ─(small)─▶ event_decode_body
 *                                                 └─(more)─▶ event_decode_feed … end
 *
 * Whether a body without Content-Encoding is gzip is seen by its first bytes, when it is whole or
 * when more came than is kept; so one look is enough.
 */
#include "api/upload.h"

#include "event/limits.h"

#include <assert.h>
#include <string.h>

#define FIRST_CAPACITY 4096

/* Compressed, a few bytes are many events. */
static bool
is_small(enum media_encoding encoding, int64_t content_length)
{
    return content_length >= 0 &&
           content_length <=
               (encoding == MEDIA_IDENTITY ? CROWD_SMALL_BYTES : CROWD_SMALL_BYTES / 8);
}

bool
upload_may_begin(struct upload_budget *budget, enum media_encoding encoding, int64_t content_length,
                 int64_t now_ns)
{
    return is_small(encoding, content_length) || !crowd_is_full(&budget->crowd, now_ns);
}

void
upload_init(struct upload *upload, struct event_decoder *decoder,
            const struct event_context *context, enum media_encoding encoding,
            int64_t content_length, struct upload_budget *budget, struct arena *arena)
{
    *upload = (struct upload){
        .decoder = decoder,
        .context = *context,
        .encoding = encoding,
        .budget = budget,
        .arena = arena,
        .is_member = !is_small(encoding, content_length),
    };
    /* The first piece allocates; with the length known that is all that is ever needed. */
    if (content_length > 0 && content_length <= UPLOAD_SMALL_BYTES)
        upload->sent.capacity = (size_t)content_length;
}

/* --- keeping ----------------------------------------------------------------------------------*/

static struct diag *
words(struct upload *upload)
{
    if (upload->diag == NULL)
        upload->diag = ARENA_NEW(upload->arena, struct diag, 1);
    return upload->diag;
}

static void
fail(struct upload *upload, enum err err)
{
    if (upload->err == ERR_OK)
        upload->err = err;
}

/* Bytes of this body are held from here on, against what the loop allows. */
static bool
hold(struct upload *upload, size_t len)
{
    if (upload->budget->bytes + len > upload->budget->bytes_max) {
        fail(upload, ERR_OVERLOADED);
        return false;
    }
    upload->budget->bytes += len;
    upload->held += len;
    if (upload->is_member)
        crowd_take(&upload->budget->crowd, &upload->member, len);
    return true;
}

static bool
part_add(struct upload *upload, struct upload_part *part, const char *bytes, size_t len)
{
    size_t needed = part->len + len;

    if (part->ptr == NULL || needed > part->capacity) {
        size_t capacity = part->capacity != 0 ? part->capacity : FIRST_CAPACITY;
        char *grown;

        while (capacity < needed)
            capacity *= 2;
        grown = arena_alloc(upload->arena, capacity);
        if (grown == NULL) {
            fail(upload, ERR_NOMEM);
            return false;
        }
        if (part->ptr != NULL)
            memcpy(grown, part->ptr, part->len);
        part->ptr = grown;
        part->capacity = capacity;
    }
    if (len != 0)
        memcpy(part->ptr + part->len, bytes, len);
    part->len = needed;
    return true;
}

/* --- plain text ------------------------------------------------------------------------------*/

/* More than is kept: the decoder gets what there is so far, and everything from here on. */
static void
begin_decode(struct upload *upload, const struct upload_part *kept)
{
    enum err err = event_decode_begin(upload->decoder, &upload->context, upload->arena,
                                      &upload->decode, words(upload));

    if (err == ERR_OK && kept->len != 0)
        err = event_decode_feed(upload->decode, kept->ptr, kept->len, words(upload));
    if (err != ERR_OK)
        fail(upload, err);
}

static void
add_plain(struct upload *upload, struct upload_part *kept, const char *bytes, size_t len)
{
    enum err err;

    if (!hold(upload, len))
        return;
    if (upload->decode == NULL && kept->len + len <= UPLOAD_SMALL_BYTES) {
        (void)part_add(upload, kept, bytes, len);
        return;
    }
    if (upload->decode == NULL)
        begin_decode(upload, kept);
    if (upload->err != ERR_OK)
        return;
    err = event_decode_feed(upload->decode, bytes, len, words(upload));
    if (err != ERR_OK)
        fail(upload, err);
}

static enum err
take_inflated(void *state, const char *bytes, size_t len)
{
    struct upload *upload = state;

    add_plain(upload, &upload->plain, bytes, len);
    return upload->err;
}

/* --- as sent ----------------------------------------------------------------------------------*/

static void
inflate(struct upload *upload, const char *bytes, size_t len)
{
    enum err err =
        decompress_feed(upload->decompress, bytes, len, take_inflated, upload, words(upload));

    if (err != ERR_OK)
        fail(upload, err);
}

/* Decides what the body is by what has come, and sets the machinery up for it. */
static void
begin_inflate(struct upload *upload)
{
    struct decompress_config config = {
        .kind = upload->encoding == MEDIA_ZSTD ? COMPRESS_ZSTD : COMPRESS_GZIP,
        .output_bytes_max = LIMIT_INFLATED_BYTES,
    };
    enum err err = decompress_new(&config, &upload->decompress, words(upload));

    if (err != ERR_OK)
        fail(upload, err);
    else if (upload->sent.len != 0)
        inflate(upload, upload->sent.ptr, upload->sent.len);
}

static bool
is_compressed(const struct upload *upload)
{
    return upload->encoding != MEDIA_IDENTITY ||
           compress_is_gzip(slice_of(upload->sent.ptr, upload->sent.len));
}

void
upload_add(struct upload *upload, const char *bytes, size_t len)
{
    if (upload->err != ERR_OK || len == 0)
        return;
    if (!upload->is_streaming && upload->sent.len + len <= UPLOAD_SMALL_BYTES) {
        if (hold(upload, len))
            (void)part_add(upload, &upload->sent, bytes, len);
        return;
    }
    if (!upload->is_streaming) {
        size_t start = UPLOAD_SMALL_BYTES - upload->sent.len;

        /* Fill what is kept, so that a body's kind shows whatever the pieces are. */
        upload->is_streaming = true;
        if (!hold(upload, start) || !part_add(upload, &upload->sent, bytes, start))
            return;
        bytes += start;
        len -= start;
        if (is_compressed(upload))
            begin_inflate(upload);
        if (upload->err != ERR_OK)
            return;
    }
    if (upload->decompress != NULL)
        inflate(upload, bytes, len);
    else
        add_plain(upload, &upload->sent, bytes, len);
}

enum err
upload_end(struct upload *upload, struct event_batch *ret_batch)
{
    struct upload_part *whole = &upload->sent;
    enum err err;

    if (upload->err == ERR_OK && !upload->is_streaming && upload->sent.len != 0 &&
        is_compressed(upload))
        begin_inflate(upload);
    if (upload->err == ERR_OK && upload->decompress != NULL) {
        err = decompress_end(upload->decompress, words(upload));
        if (err != ERR_OK)
            fail(upload, err);
        whole = &upload->plain;
    }
    if (upload->err != ERR_OK)
        return upload->err;
    if (upload->decode != NULL)
        err = event_decode_end(upload->decode, ret_batch, words(upload));
    else
        err = event_decode_body(upload->decoder, &upload->context,
                                slice_of(whole->ptr != NULL ? whole->ptr : "", whole->len),
                                upload->arena, ret_batch, words(upload));
    if (err != ERR_OK)
        fail(upload, err);
    return err;
}

void
upload_fini(struct upload *upload)
{
    if (upload->budget != NULL) {
        upload->budget->bytes -= upload->held;
        upload->held = 0;
        if (upload->is_member)
            crowd_leave(&upload->budget->crowd, &upload->member);
    }
    event_decode_free(&upload->decode);
    decompress_free(&upload->decompress);
}
