/*
 * json_write - appends JSON values to a buffer, for replies.
 *
 * Layer 1, one thread at a time. Punctuation is the caller's; a failed append is remembered by the
 * buffer (buf_failed).
 */
#ifndef POTIK_CODEC_JSON_WRITE_H
#define POTIK_CODEC_JSON_WRITE_H

#include "base/buf.h"

/* In quotes. `text` is UTF-8; what is not becomes U+FFFD, so that the reply is JSON in any case.
 * ptr NULL: null. */
void json_write_text(struct buf *buf, struct slice text);
/* "key": (with the colon). */
void json_write_key(struct buf *buf, const char *key);
void json_write_bool(struct buf *buf, bool value);
/* The shortest decimal that reads back as the same double; NaN and infinities: null. */
void json_write_double(struct buf *buf, double value);

#endif
