/*
 * hash - the digests of the house, over libsodium.
 *
 * Layer 1, any thread, pure. SHA-256: keys at rest, checksums of files. BLAKE2b-128: ids of
 * imported rows. SipHash-128, keyed: ids and persons in indexes, so that nobody can aim collisions.
 * For damage, not malice, see crc32c.h.
 */
#ifndef POTIK_CODEC_HASH_H
#define POTIK_CODEC_HASH_H

#include "base/slice.h"
#include <stdint.h>

#define HASH_SHA256_BYTES 32
#define HASH_BLAKE2B_128_BYTES 16
#define HASH_SIPHASH_128_BYTES 16
#define HASH_SIPHASH_KEY_BYTES 16

void hash_sha256(struct slice input, uint8_t ret_digest[HASH_SHA256_BYTES]);
void hash_blake2b_128(struct slice input, uint8_t ret_digest[HASH_BLAKE2B_128_BYTES]);
void hash_siphash_128(const uint8_t key[HASH_SIPHASH_KEY_BYTES], struct slice input,
                      uint8_t ret_digest[HASH_SIPHASH_128_BYTES]);

/* Lower-case hexadecimal, two characters a byte; no NUL is written. */
void hash_hex(const uint8_t *digest, size_t len, char *ret_text);

#endif
