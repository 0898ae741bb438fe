/*
 * uuid - UUID version 7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits.
 *
 * Layer 1, any thread (as far as the random source allows). The event decoder names events that
 * came without an id by it; ids made later sort later, which keeps index pages warm.
 */
#ifndef POTIK_CODEC_UUID_H
#define POTIK_CODEC_UUID_H

#include "base/random.h"
#include <stdint.h>

#define UUID_BYTES 16
#define UUID_TEXT_BYTES 36 /* without a NUL */

/* unix_us ≥ 0 (earlier counts as 0). */
void uuid_v7(int64_t unix_us, struct random_source *random, uint8_t ret_uuid[UUID_BYTES]);
/* Lower case, 8-4-4-4-12; no NUL is written. */
void uuid_format(const uint8_t uuid[UUID_BYTES], char ret_text[UUID_TEXT_BYTES]);

#endif
