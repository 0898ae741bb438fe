/*
 * hash - see hash.h. One-shot calls need no sodium_init.
 */
#include "codec/hash.h"
#include <sodium.h>

void
hash_sha256(struct slice input, uint8_t ret_digest[HASH_SHA256_BYTES])
{
    crypto_hash_sha256(ret_digest, (const unsigned char *)input.ptr, input.len);
}

void
hash_blake2b_128(struct slice input, uint8_t ret_digest[HASH_BLAKE2B_128_BYTES])
{
    crypto_generichash_blake2b(ret_digest, HASH_BLAKE2B_128_BYTES, (const unsigned char *)input.ptr,
                               input.len, NULL, 0);
}

void
hash_siphash_128(const uint8_t key[HASH_SIPHASH_KEY_BYTES], struct slice input,
                 uint8_t ret_digest[HASH_SIPHASH_128_BYTES])
{
    crypto_shorthash_siphashx24(ret_digest, (const unsigned char *)input.ptr, input.len, key);
}

void
hash_hex(const uint8_t *digest, size_t len, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        ret_text[2 * i] = digits[digest[i] >> 4];
        ret_text[2 * i + 1] = digits[digest[i] & 0x0f];
    }
}
