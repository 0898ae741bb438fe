/*
 * key - keys of projects: their texts, and their rows. See account.h; db.h is what comes below.
 */
#include "account/account.h"

#include "account/inside.h"
#include "base/mem.h"
#include "codec/hash.h"
#include "key_sql.h"
#include <sodium.h>
#include <string.h>

#define KEY_RANDOM_BYTES 20
#define KEY_PREFIX_BYTES 3

static const struct db_statement key_count = DB_BOTH(sql_key_count);
static const struct db_statement key_insert = DB_BOTH(sql_key_insert);
static const struct db_statement key_known = DB_BOTH(sql_key_known);
static const struct db_statement key_list = DB_BOTH(sql_key_list);
static const struct db_statement key_revoke = DB_BOTH(sql_key_revoke);
static const struct db_statement key_use = DB_BOTH(sql_key_use);

/* --- texts of keys ----------------------------------------------------------------------------*/

void
account_base32(const uint8_t *bytes, size_t len, char *ret_text)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    size_t at = 0;

    for (size_t bit = 0; bit < len * 8; bit += 5) {
        size_t byte = bit / 8;
        unsigned pair = (unsigned)bytes[byte] << 8;

        pair |= byte + 1 < len ? bytes[byte + 1] : 0U;
        ret_text[at++] = alphabet[(pair >> (11 - bit % 8)) & 31U];
    }
    ret_text[at] = '\0';
}

void
account_key_make_text(struct account *account, enum account_key_kind kind,
                      char ret_text[ACCOUNT_KEY_TEXT_BYTES + 1])
{
    uint8_t bytes[KEY_RANDOM_BYTES];

    memcpy(ret_text, kind == ACCOUNT_KEY_WRITE ? "wk_" : "rk_", KEY_PREFIX_BYTES);
    random_fill(account->random, bytes, sizeof(bytes));
    account_base32(bytes, sizeof(bytes), ret_text + KEY_PREFIX_BYTES);
    sodium_memzero(bytes, sizeof(bytes));
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

/* --- keys -------------------------------------------------------------------------------------*/

/* The row of a key with this text; no id yet. */
static enum err
make_key(struct account *account, uint32_t project_id, const char *name, int64_t expires_at_us,
         struct slice text, struct account_key *ret_key, struct diag *diag)
{
    struct account_key key = {.project_id = project_id, .expires_at_us = expires_at_us};
    enum err err = account_check_name(name, diag);

    if (err == ERR_OK && !account_key_is_wellformed(text, &key.kind)) {
        diag_set(diag, "the text is not that of a key");
        err = ERR_INVALID;
    }
    key.created_at_us = clock_wall_us(account->clock);
    if (err == ERR_OK && expires_at_us != 0 && expires_at_us <= key.created_at_us) {
        diag_set_field(diag, "expires_at", "expires_at: must be in the future");
        err = ERR_INVALID;
    }
    if (err != ERR_OK)
        return err;
    memcpy(key.name, name, strlen(name) + 1);
    hash_sha256(text, key.hash);
    memcpy(key.last4, text.ptr + text.len - 4, 4);
    *ret_key = key;
    return ERR_OK;
}

static enum err
check_key_room(struct account *account, struct diag *diag)
{
    DB_ROWS rows = NULL;
    enum err err = db_ask(account->db, &key_count, NULL, &rows, diag);

    if (err != ERR_OK || db_number(rows, 0, 0) < ACCOUNT_KEYS_MAX)
        return err;
    diag_set(diag, "there are %d keys already, revoked ones included: as many as may be",
             ACCOUNT_KEYS_MAX);
    return ERR_FULL;
}

/* Within a transaction. */
static enum err
insert_key(struct account *account, const struct account_actor *by, struct account_key *key,
           struct diag *diag)
{
    struct account_project project;
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err = account_project_get(account, key->project_id, &project, diag);

    if (err == ERR_OK)
        err = check_key_room(account, diag);
    if (err != ERR_OK)
        return err;
    db_add_number(&values, key->project_id);
    db_add_text(&values, account_kind_name(key->kind));
    db_add_text(&values, key->name);
    db_add_bytes(&values, key->hash, sizeof(key->hash));
    db_add_text(&values, key->last4);
    db_add_time(&values, key->created_at_us);
    db_add_time(&values, key->expires_at_us);
    err = db_ask(account->db, &key_insert, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    key->id = (uint64_t)db_number(rows, 0, 0);
    return account_note(account, by, "key.created", key->project_id, diag,
                        account_kind_name(key->kind), "key %llu …%s %s",
                        (unsigned long long)key->id, key->last4, key->name);
}

enum err
account_key_add(struct account *account, const struct account_actor *by, uint32_t project_id,
                const char *name, int64_t expires_at_us, struct slice text,
                struct account_key *ret_key, struct diag *diag)
{
    struct account_key key;
    enum err err = make_key(account, project_id, name, expires_at_us, text, &key, diag);

    if (err == ERR_OK)
        err = db_begin(account->db, true, diag);
    if (err != ERR_OK)
        return err;
    err = insert_key(account, by, &key, diag);
    err = db_end(account->db, err, diag);
    if (err == ERR_OK)
        *ret_key = key;
    return err;
}

enum err
account_key_new(struct account *account, const struct account_actor *by, uint32_t project_id,
                enum account_key_kind kind, const char *name, int64_t expires_at_us,
                char ret_text[ACCOUNT_KEY_TEXT_BYTES + 1], struct account_key *ret_key,
                struct diag *diag)
{
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];
    enum err err;

    account_key_make_text(account, kind, text);
    err = account_key_add(account, by, project_id, name, expires_at_us,
                          slice_of(text, ACCOUNT_KEY_TEXT_BYTES), ret_key, diag);
    if (err == ERR_OK)
        memcpy(ret_text, text, sizeof(text));
    sodium_memzero(text, sizeof(text));
    return err;
}

/* false: the row is none of ours (edited by hand). */
static bool
key_of_row(const struct db_rows *rows, uint32_t row, struct account_key *ret_key)
{
    struct slice hash = db_bytes(rows, row, 5);

    *ret_key = (struct account_key){0};
    if (hash.ptr == NULL || hash.len != ACCOUNT_HASH_BYTES)
        return false;
    ret_key->id = (uint64_t)db_number(rows, row, 0);
    ret_key->project_id = (uint32_t)db_number(rows, row, 1);
    ret_key->kind =
        slice_equal(db_bytes(rows, row, 2), SLICE("write")) ? ACCOUNT_KEY_WRITE : ACCOUNT_KEY_READ;
    db_text(rows, row, 3, ret_key->name, sizeof(ret_key->name));
    db_text(rows, row, 4, ret_key->last4, sizeof(ret_key->last4));
    memcpy(ret_key->hash, hash.ptr, ACCOUNT_HASH_BYTES);
    ret_key->created_at_us = db_time(rows, row, 6);
    ret_key->expires_at_us = db_time(rows, row, 7);
    ret_key->last_used_at_us = db_time(rows, row, 8);
    ret_key->revoked_at_us = db_time(rows, row, 9);
    return true;
}

static enum err
read_keys(struct account *account, struct account_list *list, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, ACCOUNT_KEYS_MAX);
    err = db_ask(account->db, &key_list, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    list->keys = MEM_NEW(struct account_key, db_count(rows) + 1);
    if (list->keys == NULL)
        return ERR_NOMEM;
    for (uint32_t row = 0; row < db_count(rows); row++) {
        if (!key_of_row(rows, row, &list->keys[list->key_count++])) {
            diag_set(diag, "the table of keys: key %lld is damaged",
                     (long long)db_number(rows, row, 0));
            return ERR_CORRUPT;
        }
    }
    return ERR_OK;
}

static enum err
read_all(struct account *account, struct account_list *list, struct diag *diag)
{
    enum err err = account_read_projects(account, list, diag);

    if (err == ERR_OK)
        err = read_keys(account, list, diag);
    if (err == ERR_NOMEM)
        diag_set(diag, "projects and keys: out of memory");
    return err;
}

enum err
account_list(struct account *account, struct account_list *ret_list, struct diag *diag)
{
    CLEANUP(account_list_free) struct account_list list = {NULL, 0, NULL, 0};
    enum err err = db_begin(account->db, false, diag);

    if (err != ERR_OK)
        return err;
    err = read_all(account, &list, diag);
    err = db_end(account->db, err, diag);
    if (err == ERR_OK) {
        *ret_list = list;
        list = (struct account_list){NULL, 0, NULL, 0};
    }
    return err;
}

void
account_list_free(struct account_list *list)
{
    mem_free(list->keys);
    mem_free(list->projects);
    *list = (struct account_list){NULL, 0, NULL, 0};
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

static enum err
add_first(struct account *account, struct account_key *keys, size_t count, bool *ret_is_first,
          struct diag *diag)
{
    static const struct account_actor server = {.kind = ACCOUNT_ACTOR_SERVER};
    CLEANUP(account_list_free) struct account_list list = {NULL, 0, NULL, 0};
    enum err err = read_keys(account, &list, diag);

    if (err != ERR_OK)
        return err;
    *ret_is_first = account_mark_known(&list, keys, count);
    for (size_t i = 0; i < count && *ret_is_first && err == ERR_OK; i++) {
        if (keys[i].id == 0)
            err = insert_key(account, &server, &keys[i], diag);
    }
    return err;
}

enum err
account_keys_add_first(struct account *account, uint32_t project_id, const char *name,
                       const struct slice texts[2], bool *ret_is_first, struct diag *diag)
{
    struct account_key keys[2];
    bool is_first = false;
    enum err err = ERR_OK;

    for (size_t i = 0; i < COUNT_OF(keys) && err == ERR_OK; i++)
        err = make_key(account, project_id, name, 0, texts[i], &keys[i], diag);
    if (err == ERR_OK)
        err = db_begin(account->db, true, diag);
    if (err != ERR_OK)
        return err;
    err = add_first(account, keys, COUNT_OF(keys), &is_first, diag);
    err = db_end(account->db, err, diag);
    if (err == ERR_OK)
        *ret_is_first = is_first;
    return err;
}

/* Revoked before, by whomever: nothing changes, so the audit log has no second line. */
static enum err
check_known(struct account *account, const struct db_values *values, uint64_t key_id,
            struct diag *diag)
{
    DB_ROWS rows = NULL;
    enum err err = db_ask(account->db, &key_known, values, &rows, diag);

    if (err != ERR_OK || db_count(rows) != 0)
        return err;
    if (key_id != 0)
        diag_set(diag, "there is no key %llu", (unsigned long long)key_id);
    else
        diag_set(diag, "this key is not known here");
    return ERR_ABSENT;
}

static enum err
revoke(struct account *account, const struct account_actor *by, uint32_t project_id,
       uint64_t key_id, const uint8_t hash[ACCOUNT_HASH_BYTES], struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    char last4[5], name[ACCOUNT_NAME_BYTES + 1];
    enum err err;

    db_add_number(&values, (int64_t)key_id);
    db_add_bytes(&values, hash, ACCOUNT_HASH_BYTES);
    db_add_number(&values, project_id);
    db_add_time(&values, clock_wall_us(account->clock));
    err = db_ask(account->db, &key_revoke, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    if (db_count(rows) == 0) {
        values.count = 3; /* without the time */
        return check_known(account, &values, key_id, diag);
    }
    db_text(rows, 0, 3, name, sizeof(name));
    db_text(rows, 0, 4, last4, sizeof(last4));
    return account_note(account, by, "key.revoked", (uint32_t)db_number(rows, 0, 1), diag, NULL,
                        "key %lld …%s %s", (long long)db_number(rows, 0, 0), last4, name);
}

enum err
account_key_revoke(struct account *account, const struct account_actor *by, uint32_t project_id,
                   uint64_t key_id, struct diag *diag)
{
    static const uint8_t none[ACCOUNT_HASH_BYTES];
    enum err err;

    if (key_id == 0 || key_id > INT64_MAX) {
        diag_set(diag, "there is no key %llu", (unsigned long long)key_id);
        return ERR_ABSENT;
    }
    err = db_begin(account->db, true, diag);
    if (err != ERR_OK)
        return err;
    err = revoke(account, by, project_id, key_id, none, diag);
    return db_end(account->db, err, diag);
}

enum err
account_key_revoke_text(struct account *account, const struct account_actor *by, struct slice text,
                        struct diag *diag)
{
    uint8_t hash[ACCOUNT_HASH_BYTES];
    enum account_key_kind kind;
    enum err err;

    if (!account_key_is_wellformed(text, &kind)) {
        diag_set(diag, "this is not the text of a key");
        return ERR_ABSENT;
    }
    hash_sha256(text, hash);
    err = db_begin(account->db, true, diag);
    if (err != ERR_OK)
        return err;
    err = revoke(account, by, 0, 0, hash, diag);
    return db_end(account->db, err, diag);
}

enum err
account_keys_used(struct account *account, const struct account_key_use *uses, size_t count,
                  struct diag *diag)
{
    enum err err = db_begin(account->db, true, diag);

    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        struct db_values values = {0};

        db_add_number(&values, (int64_t)uses[i].key_id);
        db_add_time(&values, uses[i].used_at_us);
        err = db_run(account->db, &key_use, &values, diag);
    }
    return db_end(account->db, err, diag);
}
