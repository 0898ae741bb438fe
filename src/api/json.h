/*
 * json - writing JSON text into a buf, by hand: what the replies of this room are made with.
 *
 * Layer 6, any thread, pure.
 */
#ifndef POTIK_API_JSON_H
#define POTIK_API_JSON_H

#include "base/buf.h"

#include <stdint.h>

/*
 * A JSON string with its quotes; ptr NULL: null. Valid JSON whatever the bytes: what is not UTF-8
 * becomes U+FFFD.
 */
void json_add_text(struct buf *buf, struct slice text);
/* RFC 3339 with its quotes. */
void json_add_time(struct buf *buf, int64_t unix_us);

#endif
