/*
 * token_key - one key that signs access tokens, and the two ways it may sign.
 *
 * Layer 3, any thread, pure. HS256 is HMAC with SHA-256 (RFC 7518, 3.2), EdDSA is Ed25519 (RFC
 * 8037), both by libsodium. A key is for one of them, for ever: nothing that comes from outside
 * chooses (RFC 8725, 3.1). Which keys there are is key_ring's, what they sign is token's.
 */
#ifndef POTIK_ACCOUNT_TOKEN_KEY_H
#define POTIK_ACCOUNT_TOKEN_KEY_H

#include "base/err.h"
#include "base/random.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

#define TOKEN_KID_BYTES_MAX 32
#define TOKEN_SECRET_BYTES_MIN 32 /* RFC 7518, 3.2: no shorter than the digest */
#define TOKEN_SECRET_BYTES_MAX 64
#define TOKEN_SIGNATURE_BYTES_MAX 64
#define TOKEN_LIFE_S_MAX 86400 /* from iat to exp of any token */
#define TOKEN_LEEWAY_S 60      /* by which clocks of several nodes may differ */

enum token_alg { TOKEN_HS256, TOKEN_EDDSA };

struct token_key {
    char kid[TOKEN_KID_BYTES_MAX + 1];
    enum token_alg alg;
    /* HS256: the secret. EdDSA: the seed of 32 bytes and the public key behind it. */
    uint8_t secret[TOKEN_SECRET_BYTES_MAX];
    uint32_t secret_len;
    int64_t created_at_s; /* Unix seconds */
    int64_t retire_at_s;  /* from then on it verifies nothing; 0: it signs */
};

/*
 * A key of this kid (1 … 32 letters, digits, '-', '_') and secret (HS256: 32 … 64 bytes; EdDSA: the
 * seed, 32 bytes). Its times are 0. ERR_INVALID. Wipe keys after use: token_key_wipe.
 */
MUST_USE enum err
token_key_init(struct token_key *key, enum token_alg alg, struct slice kid, struct slice secret);
/* A fresh one, its kid too: 12 characters of base32. */
void token_key_make(struct token_key *key, enum token_alg alg, struct random_source *random,
                    int64_t now_s);
void token_key_wipe(struct token_key *key);
/* What token_key_init takes as the secret. */
struct slice token_key_secret(const struct token_key *key);

/* *ret_len: 32 (HS256) or 64 (EdDSA). */
void token_key_sign(const struct token_key *key, struct slice bytes,
                    uint8_t ret_signature[TOKEN_SIGNATURE_BYTES_MAX], size_t *ret_len);
/* MACs are compared in constant time. A signature of another length is none. */
MUST_USE bool
token_key_verifies(const struct token_key *key, struct slice bytes, struct slice signature);

/* "HS256", "EdDSA": as a token's header has it. */
struct slice token_alg_name(enum token_alg alg);
/* false: another one, "none" among them. */
MUST_USE bool token_alg_of_name(struct slice name, enum token_alg *ret_alg);

#endif
