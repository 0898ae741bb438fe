/*
 * password - passwords of people who log in: hashed slowly, so that a stolen table of hashes is
 * worth little.
 *
 * Layer 3, any thread but a loop: a hash takes `memory_kib` of memory and tens of milliseconds of a
 * core, so whoever calls it has a bounded queue. Argon2id (RFC 9106), version 0x13, by libsodium;
 * the defaults are those of the OWASP Password Storage Cheat Sheet (19 MiB, 2 passes).
 *
 * A hash is stored as one text, the one libsodium and the reference implementation write:
 *
 *     $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>
 *
 * m in KiB, t passes, p lanes (always 1), the salt of 16 and the hash of 32 bytes in base64 without
 * padding (22 and 43 characters). There is one way to write it, and only that is read: a row must
 * not be able to ask for all memory or for an hour of a core, nor to mean the same as another row.
 *
 * Passwords are bytes as sent: they are not normalised, so that what was accepted once is accepted
 * again whatever Unicode becomes.
 */
#ifndef POTIK_ACCOUNT_PASSWORD_H
#define POTIK_ACCOUNT_PASSWORD_H

#include "base/diag.h"
#include "base/err.h"
#include "base/random.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

#define PASSWORD_BYTES_MIN 8
#define PASSWORD_BYTES_MAX 256
#define PASSWORD_MEMORY_KIB_MIN 19456U /* 19 MiB */
#define PASSWORD_MEMORY_KIB_MAX 1048576U
#define PASSWORD_PASSES_MIN 2U
#define PASSWORD_PASSES_MAX 10U
#define PASSWORD_HASH_TEXT_BYTES 100 /* of the longest: m of 7 digits, t of 2 */
#define PASSWORD_GENERATED_BYTES 20

/* What one hash costs. Lanes: 1. */
struct password_cost {
    uint32_t memory_kib; /* PASSWORD_MEMORY_KIB_MIN … PASSWORD_MEMORY_KIB_MAX */
    uint32_t passes;     /* PASSWORD_PASSES_MIN … PASSWORD_PASSES_MAX */
};
#define PASSWORD_COST_DEFAULT ((struct password_cost){PASSWORD_MEMORY_KIB_MIN, PASSWORD_PASSES_MIN})

/* The stored text, with a NUL. */
struct password_hash {
    char text[PASSWORD_HASH_TEXT_BYTES + 1];
};

/* Both: ERR_INVALID, told in `diag` (fields password, memory_kib, passes), where it is out of its
 * limits. A password: 8 … 256 bytes of UTF-8 without control characters of ASCII. */
MUST_USE enum err password_check(struct slice password, struct diag *diag);
MUST_USE enum err password_cost_check(const struct password_cost *cost, struct diag *diag);

/* The salt is drawn from `random`. ERR_INVALID: password or cost; ERR_NOMEM: the memory that the
 * cost asks for is not there. */
MUST_USE enum err
password_hash(struct slice password, const struct password_cost *cost, struct random_source *random,
              struct password_hash *ret_hash, struct diag *diag);
/*
 * Is it the password the text was made from? The work of a hash is done whatever the password is,
 * one out of its limits included. ERR_CORRUPT: the text is none of ours (nothing was spent);
 * m down to 8 and t down to 1 are read, so that weaker hashes of other programs can be taken over.
 * ERR_NOMEM as above.
 */
MUST_USE enum err password_verify(struct slice hash_text, struct slice password, bool *ret_is_right,
                                  struct diag *diag);
/* The work of password_verify for an account that is not there, so that the time taken does not
 * tell which names exist. Errors as of password_hash. */
MUST_USE enum err password_verify_dummy(const struct password_cost *cost, struct diag *diag);
/* Does this cost ask for more memory or for more passes than it was made with? Then hash anew at
 * the next login, when the password is at hand. A dearer hash stays as it is: no setting makes what
 * is stored weaker. ERR_CORRUPT as above. */
MUST_USE enum err password_needs_rehash(struct slice hash_text, const struct password_cost *cost,
                                        bool *ret_needs, struct diag *diag);

/* 20 characters of lower-case base32, 100 random bits: for a first administrator. Shown once: wipe
 * it after use. */
void password_generate(struct random_source *random, char ret_text[PASSWORD_GENERATED_BYTES + 1]);

#endif
