/*
 * password - see password.h.
 *
 * The hash is made by libsodium's raw call, and the stored text is written and read here: its own
 * verifier would follow whatever m and t a row names, and says "wrong" where memory is short.
 */
#include "account/password.h"

#include "codec/base64.h"
#include "codec/utf8.h"
#include <assert.h>
#include <sodium.h>
#include <stdio.h>

#define SALT_BYTES 16
#define KEY_BYTES 32
#define SALT_CHARACTERS 22
#define KEY_CHARACTERS 43
/* What RFC 9106 (3.1) asks at least for one lane. */
#define READ_MEMORY_KIB_MIN 8U
#define READ_PASSES_MIN 1U

_Static_assert(SALT_BYTES == crypto_pwhash_argon2id_SALTBYTES, "the salt libsodium takes");
_Static_assert(PASSWORD_BYTES_MAX <= crypto_pwhash_argon2id_PASSWD_MAX, "what it hashes");

/* A stored text, read. */
struct parts {
    struct password_cost cost;
    uint8_t salt[SALT_BYTES];
    uint8_t key[KEY_BYTES];
};

enum err
password_check(struct slice password, struct diag *diag)
{
    bool is_clean = password.ptr != NULL && utf8_is_valid(password);

    for (size_t i = 0; is_clean && i < password.len; i++)
        is_clean = (unsigned char)password.ptr[i] >= 0x20 && password.ptr[i] != 0x7F;
    if (is_clean && password.len >= PASSWORD_BYTES_MIN && password.len <= PASSWORD_BYTES_MAX)
        return ERR_OK;
    diag_set_field(diag, "password",
                   "password: must be %d to %d bytes of UTF-8 without control characters",
                   PASSWORD_BYTES_MIN, PASSWORD_BYTES_MAX);
    return ERR_INVALID;
}

enum err
password_cost_check(const struct password_cost *cost, struct diag *diag)
{
    if (cost->memory_kib < PASSWORD_MEMORY_KIB_MIN || cost->memory_kib > PASSWORD_MEMORY_KIB_MAX) {
        diag_set_field(diag, "memory_kib", "memory_kib: must be %u to %u", PASSWORD_MEMORY_KIB_MIN,
                       PASSWORD_MEMORY_KIB_MAX);
        return ERR_INVALID;
    }
    if (cost->passes < PASSWORD_PASSES_MIN || cost->passes > PASSWORD_PASSES_MAX) {
        diag_set_field(diag, "passes", "passes: must be %u to %u", PASSWORD_PASSES_MIN,
                       PASSWORD_PASSES_MAX);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static enum err
derive(struct slice password, const struct password_cost *cost, const uint8_t salt[SALT_BYTES],
       uint8_t ret_key[KEY_BYTES], struct diag *diag)
{
    /* Chooses the fastest of libsodium's implementations; later calls do nothing. */
    int is_ready = sodium_init();

    assert(is_ready >= 0);
    /* All its arguments are within its limits, so only memory can fail. */
    if (crypto_pwhash_argon2id(ret_key, KEY_BYTES, password.ptr, password.len, salt, cost->passes,
                               (size_t)cost->memory_kib * 1024,
                               crypto_pwhash_argon2id_ALG_ARGON2ID13) == 0)
        return ERR_OK;
    diag_set(diag, "password: the %u KiB that its hash takes are not to be had", cost->memory_kib);
    return ERR_NOMEM;
}

/* --- the stored text --------------------------------------------------------------------------*/

static void
format(const struct parts *parts, struct password_hash *ret_hash)
{
    char salt[SALT_CHARACTERS + 1];
    char key[KEY_CHARACTERS + 1];
    int len = 0;

    (void)sodium_bin2base64(salt, sizeof(salt), parts->salt, SALT_BYTES,
                            sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    (void)sodium_bin2base64(key, sizeof(key), parts->key, KEY_BYTES,
                            sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    len = snprintf(ret_hash->text, sizeof(ret_hash->text), "$argon2id$v=19$m=%u,t=%u,p=1$%s$%s",
                   parts->cost.memory_kib, parts->cost.passes, salt, key);
    assert(len > 0 && (size_t)len < sizeof(ret_hash->text));
    sodium_memzero(key, sizeof(key));
}

static bool
take_text(struct slice *rest, struct slice text)
{
    if (rest->len < text.len || memcmp(rest->ptr, text.ptr, text.len) != 0)
        return false;
    *rest = slice_of(rest->ptr + text.len, rest->len - text.len);
    return true;
}

/* Digits without a leading zero; beyond `max` it is none. */
static bool
take_number(struct slice *rest, uint32_t min, uint32_t max, uint32_t *ret_number)
{
    uint64_t number = 0;
    size_t len = 0;

    for (; len < rest->len && rest->ptr[len] >= '0' && rest->ptr[len] <= '9'; len++) {
        number = number * 10 + (uint64_t)(rest->ptr[len] - '0');
        if (number == 0 || number > max)
            return false;
    }
    if (number < min)
        return false;
    *rest = slice_of(rest->ptr + len, rest->len - len);
    *ret_number = (uint32_t)number;
    return true;
}

static bool
take_base64(struct slice *rest, size_t characters, uint8_t *ret_bytes, size_t len)
{
    size_t got = 0;

    if (rest->len < characters ||
        !base64_decode_exact(slice_of(rest->ptr, characters), false, ret_bytes, len, &got) ||
        got != len)
        return false;
    *rest = slice_of(rest->ptr + characters, rest->len - characters);
    return true;
}

static enum err
parse(struct slice rest, struct parts *ret_parts, struct diag *diag)
{
    if (rest.ptr != NULL && take_text(&rest, SLICE("$argon2id$v=19$m=")) &&
        take_number(&rest, READ_MEMORY_KIB_MIN, PASSWORD_MEMORY_KIB_MAX,
                    &ret_parts->cost.memory_kib) &&
        take_text(&rest, SLICE(",t=")) &&
        take_number(&rest, READ_PASSES_MIN, PASSWORD_PASSES_MAX, &ret_parts->cost.passes) &&
        take_text(&rest, SLICE(",p=1$")) &&
        take_base64(&rest, SALT_CHARACTERS, ret_parts->salt, SALT_BYTES) &&
        take_text(&rest, SLICE("$")) &&
        take_base64(&rest, KEY_CHARACTERS, ret_parts->key, KEY_BYTES) && rest.len == 0)
        return ERR_OK;
    diag_set(diag, "the stored hash of the password is not one of Argon2id within the limits; set "
                   "the password anew");
    return ERR_CORRUPT;
}

/* --- hashing and comparing --------------------------------------------------------------------*/

enum err
password_hash(struct slice password, const struct password_cost *cost, struct random_source *random,
              struct password_hash *ret_hash, struct diag *diag)
{
    struct parts parts = {.cost = *cost};
    enum err err = password_cost_check(cost, diag);

    if (err == ERR_OK)
        err = password_check(password, diag);
    if (err != ERR_OK)
        return err;
    random_fill(random, parts.salt, sizeof(parts.salt));
    err = derive(password, cost, parts.salt, parts.key, diag);
    if (err == ERR_OK)
        format(&parts, ret_hash);
    sodium_memzero(&parts, sizeof(parts));
    return err;
}

enum err
password_verify(struct slice hash_text, struct slice password, bool *ret_is_right,
                struct diag *diag)
{
    /* Other programs' hashes may be of any password, but this house's rules hold at the door. */
    const bool is_possible = password_check(password, NULL) == ERR_OK;
    struct parts parts;
    uint8_t key[KEY_BYTES];
    enum err err = parse(hash_text, &parts, diag);

    if (err == ERR_OK)
        err = derive(is_possible ? password : SLICE(""), &parts.cost, parts.salt, key, diag);
    if (err == ERR_OK)
        *ret_is_right = sodium_memcmp(key, parts.key, sizeof(key)) == 0 && is_possible;
    sodium_memzero(key, sizeof(key));
    sodium_memzero(&parts, sizeof(parts));
    return err;
}

enum err
password_verify_dummy(const struct password_cost *cost, struct diag *diag)
{
    static const uint8_t salt[SALT_BYTES];
    uint8_t key[KEY_BYTES];
    enum err err = password_cost_check(cost, diag);

    if (err == ERR_OK)
        err = derive(SLICE(""), cost, salt, key, diag);
    sodium_memzero(key, sizeof(key));
    return err;
}

enum err
password_needs_rehash(struct slice hash_text, const struct password_cost *cost, bool *ret_needs,
                      struct diag *diag)
{
    struct parts parts;
    enum err err = parse(hash_text, &parts, diag);

    if (err == ERR_OK)
        *ret_needs = parts.cost.memory_kib < cost->memory_kib || parts.cost.passes < cost->passes;
    sodium_memzero(&parts, sizeof(parts));
    return err;
}

void
password_generate(struct random_source *random, char ret_text[PASSWORD_GENERATED_BYTES + 1])
{
    static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648, 6 */
    uint8_t bytes[PASSWORD_GENERATED_BYTES];

    /* Five bits of each byte: 32 divides 256, so all characters are equally likely. */
    random_fill(random, bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        ret_text[i] = base32[bytes[i] & 31U];
    ret_text[PASSWORD_GENERATED_BYTES] = '\0';
    sodium_memzero(bytes, sizeof(bytes));
}
