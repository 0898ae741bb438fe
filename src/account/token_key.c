/*
 * token_key - see token_key.h.
 */
#include "account/token_key.h"

#include <assert.h>
#include <sodium.h>

#define KID_MADE_BYTES 12
#define SEED_BYTES 32

_Static_assert(SEED_BYTES == crypto_sign_SEEDBYTES, "Ed25519");
_Static_assert(TOKEN_SECRET_BYTES_MAX == crypto_sign_SECRETKEYBYTES, "the seed and the public key");
_Static_assert(TOKEN_SIGNATURE_BYTES_MAX == crypto_sign_BYTES, "the longer of the two");

static bool
is_kid(struct slice kid)
{
    if (kid.len == 0 || kid.len > TOKEN_KID_BYTES_MAX)
        return false;
    for (size_t i = 0; i < kid.len; i++) {
        const char c = kid.ptr[i];

        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' &&
            c != '_')
            return false;
    }
    return true;
}

enum err
token_key_init(struct token_key *key, enum token_alg alg, struct slice kid, struct slice secret)
{
    const size_t len_max = alg == TOKEN_HS256 ? TOKEN_SECRET_BYTES_MAX : SEED_BYTES;
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];

    if (!is_kid(kid) || secret.len < TOKEN_SECRET_BYTES_MIN || secret.len > len_max)
        return ERR_INVALID;
    *key = (struct token_key){.alg = alg, .secret_len = (uint32_t)secret.len};
    memcpy(key->kid, kid.ptr, kid.len);
    if (alg == TOKEN_HS256)
        memcpy(key->secret, secret.ptr, secret.len);
    else
        (void)crypto_sign_seed_keypair(public_key, key->secret, (const uint8_t *)secret.ptr);
    return ERR_OK;
}

void
token_key_make(struct token_key *key, enum token_alg alg, struct random_source *random,
               int64_t now_s)
{
    static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648, 6 */
    uint8_t secret[SEED_BYTES];
    uint8_t bytes[KID_MADE_BYTES];
    char kid[KID_MADE_BYTES];
    enum err err = ERR_OK;

    random_fill(random, secret, sizeof(secret));
    random_fill(random, bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(kid); i++)
        kid[i] = base32[bytes[i] & 31U];
    err = token_key_init(key, alg, slice_of(kid, sizeof(kid)),
                         slice_of((const char *)secret, sizeof(secret)));
    assert(err == ERR_OK);
    key->created_at_s = now_s;
    sodium_memzero(secret, sizeof(secret));
}

void
token_key_wipe(struct token_key *key)
{
    sodium_memzero(key, sizeof(*key));
}

struct slice
token_key_secret(const struct token_key *key)
{
    return slice_of((const char *)key->secret, key->secret_len);
}

static void
mac(const struct token_key *key, struct slice bytes, uint8_t ret_mac[crypto_auth_hmacsha256_BYTES])
{
    crypto_auth_hmacsha256_state state;

    (void)crypto_auth_hmacsha256_init(&state, key->secret, key->secret_len);
    (void)crypto_auth_hmacsha256_update(&state, (const uint8_t *)bytes.ptr, bytes.len);
    (void)crypto_auth_hmacsha256_final(&state, ret_mac);
    sodium_memzero(&state, sizeof(state));
}

void
token_key_sign(const struct token_key *key, struct slice bytes,
               uint8_t ret_signature[TOKEN_SIGNATURE_BYTES_MAX], size_t *ret_len)
{
    if (key->alg == TOKEN_HS256) {
        mac(key, bytes, ret_signature);
        *ret_len = crypto_auth_hmacsha256_BYTES;
        return;
    }
    (void)crypto_sign_detached(ret_signature, NULL, (const uint8_t *)bytes.ptr, bytes.len,
                               key->secret);
    *ret_len = crypto_sign_BYTES;
}

bool
token_key_verifies(const struct token_key *key, struct slice bytes, struct slice signature)
{
    uint8_t right[crypto_auth_hmacsha256_BYTES];
    bool is_right = false;

    if (key->alg == TOKEN_EDDSA)
        return signature.len == crypto_sign_BYTES &&
               crypto_sign_verify_detached((const uint8_t *)signature.ptr,
                                           (const uint8_t *)bytes.ptr, bytes.len,
                                           key->secret + SEED_BYTES) == 0;
    if (signature.len != sizeof(right))
        return false;
    mac(key, bytes, right);
    is_right = sodium_memcmp(right, signature.ptr, sizeof(right)) == 0;
    sodium_memzero(right, sizeof(right)); /* it is a signature that would be taken */
    return is_right;
}

struct slice
token_alg_name(enum token_alg alg)
{
    return alg == TOKEN_HS256 ? SLICE("HS256") : SLICE("EdDSA");
}

bool
token_alg_of_name(struct slice name, enum token_alg *ret_alg)
{
    if (!slice_equal(name, SLICE("HS256")) && !slice_equal(name, SLICE("EdDSA")))
        return false;
    *ret_alg = name.ptr[0] == 'H' ? TOKEN_HS256 : TOKEN_EDDSA;
    return true;
}
