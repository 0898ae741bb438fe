/*
 * account - what does not depend on where the rows stand: arguments, key texts, the clock. See
 * account.h; backend.h is what comes below.
 */
#include "account/account.h"

#include "account/backend.h"
#include "base/mem.h"
#include "codec/hash.h"
#include "codec/utf8.h"
#include <assert.h>
#include <sodium.h>

#define KEY_RANDOM_BYTES 20
#define KEY_PREFIX_BYTES 3

/* RFC 4648 section 6, in lower case; 20 bytes make 32 characters without padding. */
static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";

enum err
account_open(const struct account_config *config, struct account **ret_account, struct diag *diag)
{
    struct account *account = NULL;
    enum err err = config->postgres_url != NULL
                       ? account_postgres_open(config, &account, diag)
                       : account_sqlite_open(config->data_dir, config->may_create, &account, diag);

    if (err != ERR_OK)
        return err;
    account->clock = config->clock;
    account->random = config->random;
    *ret_account = account;
    return ERR_OK;
}

void
account_close(struct account **account)
{
    if (*account == NULL)
        return;
    (*account)->backend->close(*account);
    *account = NULL;
}

static enum err
check_zone(const char *time_zone, struct diag *diag)
{
    size_t len = strlen(time_zone);

    if (len >= 1 && len <= ACCOUNT_ZONE_BYTES)
        return ERR_OK;
    diag_set_field(diag, "time_zone", "time_zone: must be 1 to %d bytes", ACCOUNT_ZONE_BYTES);
    return ERR_INVALID;
}

static enum err
check_name(const char *name, struct diag *diag)
{
    size_t len = strlen(name);
    bool is_clean = utf8_is_valid(slice_of_text(name));

    for (size_t i = 0; i < len; i++)
        is_clean = is_clean && (unsigned char)name[i] >= 0x20 && name[i] != 0x7F;
    if (len >= 1 && len <= ACCOUNT_NAME_BYTES && is_clean)
        return ERR_OK;
    diag_set_field(diag, "name", "name: must be 1 to %d bytes of UTF-8 without control characters",
                   ACCOUNT_NAME_BYTES);
    return ERR_INVALID;
}

enum err
account_project_ensure_default(struct account *account, const char *time_zone,
                               struct account_project *ret_project, bool *ret_is_new,
                               struct diag *diag)
{
    struct account_project project = {.id = ACCOUNT_PROJECT_DEFAULT,
                                      .name = "default",
                                      .created_at_us = clock_wall_us(account->clock)};
    enum err err = check_zone(time_zone, diag);

    if (err != ERR_OK)
        return err;
    memcpy(project.time_zone, time_zone, strlen(time_zone) + 1);
    return account->backend->project_ensure(account, &project, ret_project, ret_is_new, diag);
}

enum err
account_project_get(struct account *account, uint32_t project_id,
                    struct account_project *ret_project, struct diag *diag)
{
    return account->backend->project_get(account, project_id, ret_project, diag);
}

enum err
account_project_set_zone(struct account *account, uint32_t project_id, const char *time_zone,
                         struct diag *diag)
{
    enum err err = check_zone(time_zone, diag);

    if (err != ERR_OK)
        return err;
    return account->backend->project_set_zone(account, project_id, time_zone, diag);
}

static void
make_key_text(struct account *account, enum account_key_kind kind,
              char ret_text[ACCOUNT_KEY_TEXT_BYTES + 1])
{
    uint8_t bytes[KEY_RANDOM_BYTES];
    size_t len = KEY_PREFIX_BYTES;

    memcpy(ret_text, kind == ACCOUNT_KEY_WRITE ? "wk_" : "rk_", KEY_PREFIX_BYTES);
    random_fill(account->random, bytes, sizeof(bytes));
    for (size_t bit = 0; bit < KEY_RANDOM_BYTES * 8; bit += 5) {
        size_t byte = bit / 8;
        unsigned pair = (unsigned)bytes[byte] << 8;

        pair |= byte + 1 < KEY_RANDOM_BYTES ? bytes[byte + 1] : 0U;
        ret_text[len++] = base32[(pair >> (11 - bit % 8)) & 31U];
    }
    assert(len == ACCOUNT_KEY_TEXT_BYTES);
    ret_text[len] = '\0';
    sodium_memzero(bytes, sizeof(bytes));
}

void
account_key_make_text(struct account *account, enum account_key_kind kind,
                      char ret_text[ACCOUNT_KEY_TEXT_BYTES + 1])
{
    make_key_text(account, kind, ret_text);
}

/* The row of a key with this text; no id yet. */
static enum err
make_key(struct account *account, uint32_t project_id, const char *name, struct slice text,
         struct account_key *ret_key, struct diag *diag)
{
    struct account_key key = {.project_id = project_id};
    enum err err = check_name(name, diag);

    if (err == ERR_OK && !account_key_is_wellformed(text, &key.kind)) {
        diag_set(diag, "the text is not that of a key");
        err = ERR_INVALID;
    }
    if (err != ERR_OK)
        return err;
    memcpy(key.name, name, strlen(name) + 1);
    key.created_at_us = clock_wall_us(account->clock);
    hash_sha256(text, key.hash);
    memcpy(key.last4, text.ptr + text.len - 4, 4);
    *ret_key = key;
    return ERR_OK;
}

enum err
account_key_add(struct account *account, uint32_t project_id, const char *name, struct slice text,
                struct account_key *ret_key, struct diag *diag)
{
    struct account_key key;
    enum err err = make_key(account, project_id, name, text, &key, diag);

    if (err == ERR_OK)
        err = account->backend->key_insert(account, &key, diag);
    if (err == ERR_OK)
        *ret_key = key;
    return err;
}

bool
account_mark_known(const struct account_list *stored, struct account_key *keys, size_t count)
{
    bool is_one_known = false;

    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < stored->key_count; k++) {
            if (sodium_memcmp(stored->keys[k].hash, keys[i].hash, ACCOUNT_HASH_BYTES) == 0) {
                keys[i].id = stored->keys[k].id;
                is_one_known = true;
            }
        }
    }
    return is_one_known || stored->key_count == 0;
}

enum err
account_keys_add_first(struct account *account, uint32_t project_id, const char *name,
                       const struct slice texts[2], bool *ret_is_first, struct diag *diag)
{
    struct account_key keys[2];

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        enum err err = make_key(account, project_id, name, texts[i], &keys[i], diag);

        if (err != ERR_OK)
            return err;
    }
    return account->backend->key_insert_first(account, keys, COUNT_OF(keys), ret_is_first, diag);
}

enum err
account_key_new(struct account *account, uint32_t project_id, enum account_key_kind kind,
                const char *name, char ret_text[ACCOUNT_KEY_TEXT_BYTES + 1],
                struct account_key *ret_key, struct diag *diag)
{
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];
    enum err err;

    make_key_text(account, kind, text);
    err = account_key_add(account, project_id, name, slice_of(text, ACCOUNT_KEY_TEXT_BYTES),
                          ret_key, diag);
    if (err == ERR_OK)
        memcpy(ret_text, text, sizeof(text));
    sodium_memzero(text, sizeof(text));
    return err;
}

enum err
account_list(struct account *account, struct account_list *ret_list, struct diag *diag)
{
    return account->backend->list(account, ret_list, diag);
}

void
account_list_free(struct account_list *list)
{
    mem_free(list->keys);
    mem_free(list->projects);
    *list = (struct account_list){NULL, 0, NULL, 0};
}

enum err
account_key_revoke(struct account *account, uint64_t key_id, struct diag *diag)
{
    static const uint8_t none[ACCOUNT_HASH_BYTES];

    if (key_id == 0 || key_id > INT64_MAX) {
        diag_set(diag, "there is no key %llu", (unsigned long long)key_id);
        return ERR_ABSENT;
    }
    return account->backend->key_revoke(account, key_id, none, clock_wall_us(account->clock), diag);
}

enum err
account_key_revoke_text(struct account *account, struct slice text, struct diag *diag)
{
    uint8_t hash[ACCOUNT_HASH_BYTES];
    enum account_key_kind kind;

    if (!account_key_is_wellformed(text, &kind)) {
        diag_set(diag, "this is not the text of a key");
        return ERR_ABSENT;
    }
    hash_sha256(text, hash);
    return account->backend->key_revoke(account, 0, hash, clock_wall_us(account->clock), diag);
}

enum err
account_has_changed(struct account *account, bool *ret_has_changed, struct diag *diag)
{
    return account->backend->has_changed(account, ret_has_changed, diag);
}

const char *
account_kind_name(enum account_key_kind kind)
{
    return kind == ACCOUNT_KEY_WRITE ? "write" : "read";
}

bool
account_key_is_wellformed(struct slice text, enum account_key_kind *ret_kind)
{
    if (text.len != ACCOUNT_KEY_TEXT_BYTES)
        return false;
    if ((text.ptr[0] != 'w' && text.ptr[0] != 'r') || text.ptr[1] != 'k' || text.ptr[2] != '_')
        return false;
    for (size_t i = KEY_PREFIX_BYTES; i < text.len; i++) {
        char c = text.ptr[i];

        if ((c < 'a' || c > 'z') && (c < '2' || c > '7'))
            return false;
    }
    *ret_kind = text.ptr[0] == 'w' ? ACCOUNT_KEY_WRITE : ACCOUNT_KEY_READ;
    return true;
}
