/*
 * base64 - RFC 4648: the standard alphabet and the one for URLs.
 *
 * Layer 1, any thread, pure. Reading takes both alphabets, with or without padding, strictly: no
 * white space, no stray bits in the last character.
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

#endif
