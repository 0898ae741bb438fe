/*
 * base64 - RFC 4648: the standard alphabet and the one for URLs.
 *
 * Layer 1, any thread, pure. base64_decode takes both alphabets, with or without padding, strictly:
 * no white space, no stray bits in the last character. base64_decode_exact takes one text for given
 * bytes and no other: for what is signed or secret.
 */
#ifndef POTIK_CODEC_BASE64_H
#define POTIK_CODEC_BASE64_H

#include "base/arena.h"
#include "base/err.h"

/* ret_bytes points into the arena. ERR_INVALID: not base64. ERR_NOMEM. */
MUST_USE enum err base64_decode(struct slice text, struct arena *arena, struct slice *ret_bytes);
/* With padding; for URLs the other alphabet without. ERR_NOMEM. */
MUST_USE enum err
base64_encode(struct slice bytes, bool is_for_url, struct arena *arena, struct slice *ret_text);
/*
 * One alphabet, no padding, into the caller's room, in a time that does not depend on what the
 * characters are. false: it is not that, or over bytes_max; ret_bytes may then hold a part of it.
 */
MUST_USE bool base64_decode_exact(struct slice text, bool is_for_url, uint8_t *ret_bytes,
                                  size_t bytes_max, size_t *ret_len);

#endif
