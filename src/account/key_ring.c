/*
 * key_ring - see key_ring.h.
 *
 * Who changes the file holds a lock on the folder from reading to replacing, so that of two who
 * rotate at once none loses the other's key: tokens signed with it would be refused.
 */
#include "account/key_ring.h"

#include "base/file.h"
#include "base/mem.h"
#include "codec/base64.h"
#include "codec/crc32c.h"
#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#define FIRST_LINE "potik-token-keys 1"
#define FIRST_WORD "potik-token-keys "
#define SECRET_CHARACTERS_MAX 86 /* of 64 bytes */
#define LAST_LINE_BYTES 16       /* "crc32c 1a2b3c4d" and LF */

_Static_assert(sizeof(FIRST_LINE) + LAST_LINE_BYTES +
                       KEY_RING_KEYS_MAX *
                           (TOKEN_KID_BYTES_MAX + SECRET_CHARACTERS_MAX + 5 + 2 * 12 + 5) <=
                   KEY_RING_FILE_BYTES_MAX,
               "every ring fits into its file");

void
key_ring_close(struct key_ring **ring)
{
    if (*ring == NULL)
        return;
    sodium_memzero(*ring, sizeof(**ring));
    mem_free(*ring);
    *ring = NULL;
}

const struct token_key *
key_ring_signer(const struct key_ring *ring)
{
    assert(ring->key_count >= 1 && ring->keys[0].retire_at_s == 0);
    return &ring->keys[0];
}

static const struct token_key *
find_kid(const struct key_ring *ring, struct slice kid)
{
    for (uint32_t i = 0; i < ring->key_count; i++)
        if (slice_equal(slice_of_text(ring->keys[i].kid), kid))
            return &ring->keys[i];
    return NULL;
}

const struct token_key *
key_ring_find(const struct key_ring *ring, struct slice kid, int64_t now_s)
{
    const struct token_key *key = find_kid(ring, kid);

    return key != NULL && (key->retire_at_s == 0 || now_s < key->retire_at_s) ? key : NULL;
}

/* --- the text ---------------------------------------------------------------------------------*/

void
key_ring_format(const struct key_ring *ring, struct buf *buf)
{
    const size_t start = buf->len;
    char secret[SECRET_CHARACTERS_MAX + 1];

    buf_add_text(buf, FIRST_LINE "\n");
    for (uint32_t i = 0; i < ring->key_count; i++) {
        const struct token_key *key = &ring->keys[i];

        (void)sodium_bin2base64(secret, sizeof(secret), key->secret, key->secret_len,
                                sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        buf_add_text(buf, key->kid);
        buf_add_char(buf, ' ');
        buf_add_slice(buf, token_alg_name(key->alg));
        buf_add_char(buf, ' ');
        buf_add_text(buf, secret); /* not by printf, which may keep a copy */
        buf_printf(buf, " %" PRId64 " %" PRId64 "\n", key->created_at_s, key->retire_at_s);
    }
    sodium_memzero(secret, sizeof(secret));
    if (!buf_failed(buf))
        buf_printf(buf, "crc32c %08x\n", crc32c(0, buf->ptr + start, buf->len - start));
}

/* Up to `end`, which must be there and is taken, too. */
static bool
take_until(struct slice *rest, char end, struct slice *ret_part)
{
    const char *at = rest->len != 0 ? memchr(rest->ptr, end, rest->len) : NULL;

    if (at == NULL)
        return false;
    *ret_part = slice_of(rest->ptr, (size_t)(at - rest->ptr));
    *rest = slice_of(at + 1, rest->len - ret_part->len - 1);
    return true;
}

/* Decimal digits, without a leading zero. */
static bool
read_time(struct slice text, int64_t *ret_time_s)
{
    int64_t time_s = 0;

    if (text.len == 0 || (text.ptr[0] == '0' && text.len > 1))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        time_s = time_s * 10 + (text.ptr[i] - '0');
        if (time_s > KEY_RING_TIME_S_MAX)
            return false;
    }
    *ret_time_s = time_s;
    return true;
}

static bool
read_key(struct slice line, struct token_key *ret_key)
{
    struct slice kid, alg_name, secret_text, created, retire = line;
    uint8_t secret[TOKEN_SECRET_BYTES_MAX];
    size_t secret_len = 0;
    int64_t created_at_s = 0, retire_at_s = 0;
    enum token_alg alg = TOKEN_HS256;
    bool is_good = take_until(&retire, ' ', &kid) && take_until(&retire, ' ', &alg_name) &&
                   take_until(&retire, ' ', &secret_text) && take_until(&retire, ' ', &created) &&
                   token_alg_of_name(alg_name, &alg) && read_time(created, &created_at_s) &&
                   read_time(retire, &retire_at_s);

    if (!is_good)
        return false;
    is_good =
        base64_decode_exact(secret_text, true, secret, sizeof(secret), &secret_len) &&
        token_key_init(ret_key, alg, kid, slice_of((const char *)secret, secret_len)) == ERR_OK;
    sodium_memzero(secret, sizeof(secret));
    if (!is_good)
        return false;
    ret_key->created_at_s = created_at_s;
    ret_key->retire_at_s = retire_at_s;
    return true;
}

/* The last line is right for all before it. *ret_body: those lines. */
static bool
check_crc(struct slice text, struct slice *ret_body)
{
    char line[LAST_LINE_BYTES + 1];

    if (text.len <= LAST_LINE_BYTES)
        return false;
    *ret_body = slice_of(text.ptr, text.len - LAST_LINE_BYTES);
    (void)snprintf(line, sizeof(line), "crc32c %08x\n", crc32c(0, ret_body->ptr, ret_body->len));
    return memcmp(line, text.ptr + ret_body->len, LAST_LINE_BYTES) == 0;
}

/* Of each line what is wrong, never what stands in it. */
static enum err
parse_lines(struct slice rest, struct key_ring *ring, struct diag *diag)
{
    struct slice line;

    if (!take_until(&rest, '\n', &line) || !slice_equal(line, SLICE(FIRST_LINE))) {
        diag_set(diag, "line 1 is not '" FIRST_LINE "'");
        return ERR_CORRUPT;
    }
    while (take_until(&rest, '\n', &line)) {
        struct token_key *key = &ring->keys[ring->key_count];
        const uint32_t number = ring->key_count + 2;

        if (ring->key_count == KEY_RING_KEYS_MAX) {
            diag_set(diag, "line %u: more than %d keys", number, KEY_RING_KEYS_MAX);
            return ERR_CORRUPT;
        }
        if (!read_key(line, key)) {
            diag_set(diag, "line %u is not 'kid alg secret created_at retire_at'", number);
            return ERR_CORRUPT;
        }
        if ((key->retire_at_s == 0) != (ring->key_count == 0)) {
            diag_set(diag, "line %u: the first key has a retire_at of 0, and only that", number);
            return ERR_CORRUPT;
        }
        if (find_kid(ring, slice_of_text(key->kid)) != NULL) {
            diag_set(diag, "line %u: a kid stands twice", number);
            return ERR_CORRUPT;
        }
        ring->key_count++;
    }
    if (rest.len == 0 && ring->key_count != 0)
        return ERR_OK;
    diag_set(diag, ring->key_count == 0 ? "there is no key in it" : "the last line is not ended");
    return ERR_CORRUPT;
}

/* A later layout may end otherwise, so its name is looked at before the checksum. */
static bool
is_too_new(struct slice text)
{
    struct slice line;
    const size_t len = sizeof(FIRST_WORD) - 1;
    int64_t version = 0;

    return take_until(&text, '\n', &line) && line.len > len &&
           memcmp(line.ptr, FIRST_WORD, len) == 0 &&
           read_time(slice_of(line.ptr + len, line.len - len), &version) && version > 1;
}

enum err
key_ring_parse(struct slice text, struct key_ring *ret_ring, struct diag *diag)
{
    struct slice body;
    enum err err = ERR_OK;

    sodium_memzero(ret_ring, sizeof(*ret_ring));
    if (is_too_new(text)) {
        diag_set(diag, "written by a newer version of the program");
        return ERR_TOO_NEW;
    }
    if (!check_crc(text, &body)) {
        diag_set(diag, "its checksum is wrong");
        return ERR_CORRUPT;
    }
    err = parse_lines(body, ret_ring, diag);
    if (err != ERR_OK)
        sodium_memzero(ret_ring, sizeof(*ret_ring));
    return err;
}

/* --- the file ---------------------------------------------------------------------------------*/

static enum err
read_file(const char *path, struct key_ring *ring, struct diag *diag)
{
    struct diag why = DIAG_INIT;
    struct buf buf;
    bool is_private = false;
    enum err err = file_is_private(path, &is_private, diag);

    if (err != ERR_OK)
        return err;
    if (!is_private) {
        diag_set(diag,
                 "%s: others than its owner may read or change it, and with it log in as anybody; "
                 "make it private (chmod 600), and rotate the keys if somebody may have read them",
                 path);
        return ERR_INVALID;
    }
    buf_init(&buf, KEY_RING_FILE_BYTES_MAX);
    /* All at once: growing would leave pieces behind. */
    if (!buf_reserve(&buf, KEY_RING_FILE_BYTES_MAX)) {
        buf_fini(&buf);
        return ERR_NOMEM;
    }
    err = file_read_whole(path, KEY_RING_FILE_BYTES_MAX, &buf, &why);
    if (err == ERR_OK)
        err = key_ring_parse(buf_slice(&buf), ring, &why);
    else if (err == ERR_FULL)
        err = ERR_CORRUPT;
    if (err == ERR_CORRUPT)
        diag_set(diag, "%s is damaged: %s; put back a copy, or remove it: then all log in again",
                 path, why.message);
    else if (err != ERR_OK)
        diag_set(diag, "%s: %s", path, why.message);
    buf_wipe(&buf);
    return err;
}

static enum err
write_file(const char *path, const struct key_ring *ring, struct diag *diag)
{
    struct buf buf;
    enum err err = ERR_NOMEM;

    buf_init(&buf, KEY_RING_FILE_BYTES_MAX);
    if (buf_reserve(&buf, KEY_RING_FILE_BYTES_MAX)) {
        key_ring_format(ring, &buf);
        assert(!buf_failed(&buf));
        err = file_replace_whole_alike(path, buf_slice(&buf), diag);
    }
    buf_wipe(&buf);
    return err;
}

static enum err
find_path(const char *dir, char ret_path[FILE_PATH_MAX], struct diag *diag)
{
    if (file_path(ret_path, dir, KEY_RING_FILE))
        return ERR_OK;
    diag_set(diag, "the path of the data folder is too long");
    return ERR_IO;
}

/* Held until the fd is closed. */
static enum err
lock_folder(const char *dir, int *ret_fd, struct diag *diag)
{
    enum err err = file_open(dir, FILE_READ, ret_fd, diag);

    return err == ERR_OK ? file_lock(*ret_fd, dir, diag) : err;
}

static enum err
create_file(const struct key_ring_config *config, const char *path, int64_t now_s,
            struct key_ring *ring, struct diag *diag)
{
    CLOSE_FD int lock_fd = -1;
    enum err err = lock_folder(config->dir, &lock_fd, diag);

    if (err != ERR_OK)
        return err;
    err = read_file(path, ring, diag); /* another one may have been quicker */
    if (err != ERR_ABSENT)
        return err;
    token_key_make(&ring->keys[0], config->alg, config->random, now_s);
    ring->key_count = 1;
    return write_file(path, ring, diag);
}

enum err
key_ring_open(const struct key_ring_config *config, int64_t now_s, struct key_ring **ret_ring,
              struct diag *diag)
{
    CLEANUP(key_ring_close) struct key_ring *ring = NULL;
    char path[FILE_PATH_MAX];
    enum err err = find_path(config->dir, path, diag);

    assert(now_s >= 1 && now_s <= KEY_RING_TIME_S_MAX);
    if (err != ERR_OK)
        return err;
    ring = MEM_NEW(struct key_ring, 1);
    if (ring == NULL)
        return ERR_NOMEM;
    err = read_file(path, ring, diag);
    if (err == ERR_ABSENT && config->may_create)
        err = create_file(config, path, now_s, ring, diag);
    if (err == ERR_OK)
        *ret_ring = MOVE(ring);
    return err;
}

/* The keys of `old` that are in force after a rotation, behind a new one. */
static enum err
rotate(const struct key_ring_config *config, const struct key_ring *old, int64_t keep_s,
       int64_t now_s, struct key_ring *ring, struct diag *diag)
{
    const int64_t retire_max_s = now_s + keep_s;

    token_key_make(&ring->keys[0], config->alg, config->random, now_s);
    ring->key_count = 1;
    for (uint32_t i = 0; i < old->key_count; i++) {
        struct token_key key = old->keys[i];

        if (key.retire_at_s == 0 || key.retire_at_s > retire_max_s)
            key.retire_at_s = retire_max_s;
        if (key.retire_at_s > now_s && ring->key_count == KEY_RING_KEYS_MAX) {
            diag_set(diag,
                     "%d keys are in force already: wait until the oldest has retired, or retire "
                     "all old ones at once, and with them every access token made before",
                     KEY_RING_KEYS_MAX);
            token_key_wipe(&key);
            return ERR_FULL;
        }
        if (key.retire_at_s > now_s)
            ring->keys[ring->key_count++] = key;
        token_key_wipe(&key);
    }
    return ERR_OK;
}

enum err
key_ring_rotate(const struct key_ring_config *config, int64_t keep_s, int64_t now_s,
                struct key_ring **ret_ring, struct diag *diag)
{
    CLEANUP(key_ring_close) struct key_ring *old = NULL;
    CLEANUP(key_ring_close) struct key_ring *ring = NULL;
    CLOSE_FD int lock_fd = -1;
    char path[FILE_PATH_MAX];
    enum err err = find_path(config->dir, path, diag);

    assert(now_s >= 1 && now_s <= KEY_RING_TIME_S_MAX - KEY_RING_KEEP_S_MAX);
    if (err != ERR_OK)
        return err;
    if (keep_s < 0 || keep_s > KEY_RING_KEEP_S_MAX) {
        diag_set_field(diag, "keep_s", "keep_s: must be 0 to %d", KEY_RING_KEEP_S_MAX);
        return ERR_INVALID;
    }
    old = MEM_NEW(struct key_ring, 1);
    ring = MEM_NEW(struct key_ring, 1);
    if (old == NULL || ring == NULL)
        return ERR_NOMEM;
    err = lock_folder(config->dir, &lock_fd, diag);
    if (err == ERR_OK)
        err = read_file(path, old, diag);
    if (err == ERR_OK)
        err = rotate(config, old, keep_s, now_s, ring, diag);
    if (err == ERR_OK)
        err = write_file(path, ring, diag);
    if (err == ERR_OK)
        *ret_ring = MOVE(ring);
    return err;
}
