/*
 * key_ring - the keys that access tokens are signed and verified with, in one file.
 *
 * Layer 3. A ring does not change once it is open, so any number of threads may read it; rotating
 * gives a new one. The first key signs. When another takes its place it goes on verifying until its
 * retire time, so that a rotation logs nobody out. Why HS256: docs/adr/0010-tokens.md.
 *
 * The file is <dir>/token-keys, mode 0600, lines of text ended by LF, at most 4 KiB:
 *
 *     potik-token-keys 1
 *     <kid> <alg> <secret> <created_at> <retire_at>        1 … 16 of these, the newest first
 *     crc32c <CRC32C of all bytes before this line, 8 digits of hexadecimal>
 *
 * alg is HS256 or EdDSA; the secret (for EdDSA its seed) stands in base64 for URLs without padding;
 * times are Unix seconds. The first key, and only that, has a retire_at of 0. There is one way to
 * write a ring, and only that is read. The file is the secret: who reads it can log in as anybody.
 * Without it access tokens made before are refused, and nothing else is lost.
 */
#ifndef POTIK_ACCOUNT_KEY_RING_H
#define POTIK_ACCOUNT_KEY_RING_H

#include "account/token_key.h"
#include "base/buf.h"
#include "base/diag.h"

#define KEY_RING_KEYS_MAX 16
#define KEY_RING_FILE "token-keys"
#define KEY_RING_FILE_BYTES_MAX 4096
/* No token lives longer than TOKEN_LIFE_S_MAX, and a node may sign with the key that was for
 * TOKEN_LEEWAY_S until it has read the new ring: after that the old key has nothing to verify. */
#define KEY_RING_KEEP_S_MAX (TOKEN_LIFE_S_MAX + TOKEN_LEEWAY_S)
#define KEY_RING_TIME_S_MAX INT64_C(253402300799) /* the end of the year 9999 */

struct key_ring_config {
    const char *dir;    /* the data folder; it exists */
    bool may_create;    /* key_ring_open makes a ring of one key where there is none */
    enum token_alg alg; /* of keys made */
    struct random_source *random;
};

struct key_ring {
    uint32_t key_count; /* 1 … KEY_RING_KEYS_MAX */
    struct token_key keys[KEY_RING_KEYS_MAX];
};

/*
 * Both: ERR_INVALID: others than its owner may read or change the file, told with the cure;
 * ERR_CORRUPT: it is damaged (it is left as it is); ERR_TOO_NEW; ERR_LOCKED: another process is
 * writing it; ERR_STORAGE_FULL, ERR_NOMEM, ERR_IO. On error the file is as it was, but where the
 * folder's sync failed (ERR_IO): then it may be the new one. now_s is ≥ 1.
 */

/* ERR_ABSENT: there is none, and it may not be created. */
MUST_USE enum err key_ring_open(const struct key_ring_config *config, int64_t now_s,
                                struct key_ring **ret_ring, struct diag *diag);
void key_ring_close(struct key_ring **ring); /* wipes it */
/*
 * The file gets a new key that signs, and *ret_ring is the ring as it is then. No older key
 * verifies for longer than `keep_s` from now, 0 … KEY_RING_KEEP_S_MAX: the maximum refuses no
 * token in use, 0 is for a key that has leaked and refuses all access tokens made before. Sessions
 * go on in either case: refresh tokens are not signed. Keys past their time are dropped.
 * The file keeps its owner and mode, whoever rotates. ERR_FULL: all 16 are still in force.
 * ERR_ABSENT: there is no file. ERR_INVALID: keep_s, too.
 */
MUST_USE enum err key_ring_rotate(const struct key_ring_config *config, int64_t keep_s,
                                  int64_t now_s, struct key_ring **ret_ring, struct diag *diag);

/* The key that signs. */
const struct token_key *key_ring_signer(const struct key_ring *ring);
/* The key of that kid if it verifies at this time; else NULL. */
const struct token_key *key_ring_find(const struct key_ring *ring, struct slice kid, int64_t now_s);

/* The file's text, both ways. ERR_CORRUPT with the line's number, ERR_TOO_NEW; ret_ring is then
 * wiped. */
MUST_USE enum err key_ring_parse(struct slice text, struct key_ring *ret_ring, struct diag *diag);
void key_ring_format(const struct key_ring *ring, struct buf *buf);

#endif
