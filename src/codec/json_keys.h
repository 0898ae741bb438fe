/*
 * json_keys - does an object repeat a key? Inside of json_reader.
 *
 * Layer 1. A few keys are compared with each other by tags of 64 bits; many are sorted by (tag,
 * length, bytes) in place (heapsort), so that no choice of keys costs more than n log n
 * comparisons.
 */
#ifndef POTIK_CODEC_JSON_KEYS_H
#define POTIK_CODEC_JSON_KEYS_H

#include "codec/json_reader.h"

/* false: out of memory. `key` must stay where it is until the object ends. */
MUST_USE bool json_keys_add(struct json_scratch *scratch, struct slice key);
/* Is there a key twice among these? Then *ret_key is it. Reorders them. */
bool json_keys_repeated(struct json_key *keys, uint32_t count, struct slice *ret_key);

#endif
