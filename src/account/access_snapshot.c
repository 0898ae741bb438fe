/*
 * access_snapshot - a counted, immutable picture of who may do what. See access.h.
 *
 * Slots hold 1 + the place of a key; a free slot is 0. The table is at most half full, the hashes
 * are SHA-256, so a search looks at one or two slots. Keys are secrets of 160 random bits: what the
 * time of a search tells about the first bytes of a hash is worth nothing without the text that
 * makes it; the whole hash is compared in constant time all the same.
 *
 * Only the times of use change in a snapshot that stands: `used` beside the keys, noted by loops,
 * taken by the watcher (`taken` is its own). Logins, memberships and revoked sessions are sorted,
 * and searched by halving.
 */
#include "account/access_inside.h"

#include "account/access_plans.h"
#include "base/mem.h"
#include "codec/hash.h"
#include <assert.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NOTE_EVERY_US 1000000
#define US_PER_S INT64_C(1000000)

struct known_key {
    uint8_t hash[ACCOUNT_HASH_BYTES];
    struct access_key key;
};

struct access_use {
    _Atomic int64_t used_at_us; /* 0: not since this process began */
    int64_t taken_at_us;        /* the watcher's: of this it was told last */
};

struct access_snapshot {
    _Atomic uint32_t holders;
    uint64_t generation; /* 1, 2 … */
    struct known_key *keys;
    struct access_use *uses; /* one a key */
    size_t key_count;
    uint32_t *slots;
    size_t slot_mask;
    struct account_project *projects; /* by id */
    size_t project_count;
    struct login_list logins;
    struct session_id *revoked; /* sorted */
    size_t revoked_count;
    struct access_plans plans;
    bool has_ring;
    struct key_ring ring;
};

void
access_rows_free(struct access_rows *rows)
{
    account_list_free(&rows->keys);
    login_list_free(&rows->logins);
    mem_free(rows->revoked);
    access_plans_free(&rows->plans);
    *rows = (struct access_rows){0};
}

static void
snapshot_free(struct access_snapshot **snapshot)
{
    struct access_snapshot *s = *snapshot;

    if (s == NULL)
        return;
    mem_free(s->keys);
    mem_free(s->uses);
    mem_free(s->slots);
    mem_free(s->projects);
    login_list_free(&s->logins);
    mem_free(s->revoked);
    access_plans_free(&s->plans);
    sodium_memzero(&s->ring, sizeof(s->ring));
    mem_free(s);
    *snapshot = NULL;
}

/* --- making one -------------------------------------------------------------------------------*/

static size_t
slot_of(const struct access_snapshot *snapshot, const uint8_t hash[ACCOUNT_HASH_BYTES])
{
    uint64_t first;

    memcpy(&first, hash, sizeof(first));
    return (size_t)first & snapshot->slot_mask;
}

static void
enter(struct access_snapshot *snapshot, const struct account_key *key)
{
    size_t slot = slot_of(snapshot, key->hash);
    size_t place = snapshot->key_count++;
    struct known_key *known = &snapshot->keys[place];

    memcpy(known->hash, key->hash, ACCOUNT_HASH_BYTES);
    known->key = (struct access_key){
        .key_id = key->id,
        .project_id = key->project_id,
        .kind = key->kind,
        .expires_at_us = key->expires_at_us,
        .place = (uint32_t)place,
    };
    while (snapshot->slots[slot] != 0)
        slot = (slot + 1) & snapshot->slot_mask;
    snapshot->slots[slot] = (uint32_t)place + 1;
}

/* Both by id of the key. What a loop notes in `before` later than this is lost: a second of use. */
static void
carry_uses(struct access_snapshot *snapshot, const struct access_snapshot *before)
{
    size_t old = 0;

    for (size_t i = 0; before != NULL && i < snapshot->key_count; i++) {
        uint64_t id = snapshot->keys[i].key.key_id;

        while (old < before->key_count && before->keys[old].key.key_id < id)
            old++;
        if (old == before->key_count || before->keys[old].key.key_id != id)
            continue;
        atomic_init(&snapshot->uses[i].used_at_us, atomic_load(&before->uses[old].used_at_us));
        snapshot->uses[i].taken_at_us = before->uses[old].taken_at_us;
    }
}

static int
compare_sessions(const void *a, const void *b)
{
    return memcmp(((const struct session_id *)a)->text, ((const struct session_id *)b)->text,
                  SESSION_ID_BYTES);
}

static void
take_rows(struct access_snapshot *snapshot, struct access_rows *rows)
{
    snapshot->projects = MOVE(rows->keys.projects);
    snapshot->project_count = rows->keys.project_count;
    rows->keys.project_count = 0;
    snapshot->logins = rows->logins;
    rows->logins = (struct login_list){0};
    /* Loops need no hashes, and what is not there cannot leak. */
    for (size_t i = 0; i < snapshot->logins.login_count; i++)
        sodium_memzero(&snapshot->logins.logins[i].password, sizeof(struct password_hash));
    snapshot->plans = rows->plans;
    rows->plans = (struct access_plans){0};
    snapshot->revoked = MOVE(rows->revoked);
    snapshot->revoked_count = rows->revoked_count;
    rows->revoked_count = 0;
    if (snapshot->revoked_count != 0)
        qsort(snapshot->revoked, snapshot->revoked_count, sizeof(*snapshot->revoked),
              compare_sessions);
}

enum err
access_snapshot_new(struct access_rows *rows, const struct key_ring *ring, uint64_t generation,
                    const struct access_snapshot *before, struct access_snapshot **ret_snapshot)
{
    CLEANUP(snapshot_free) struct access_snapshot *snapshot = MEM_NEW(struct access_snapshot, 1);
    const struct account_list *list = &rows->keys;
    size_t slots = 16;

    if (snapshot == NULL)
        return ERR_NOMEM;
    while (slots < list->key_count * 2)
        slots *= 2;
    snapshot->keys = MEM_NEW(struct known_key, list->key_count);
    snapshot->uses = MEM_NEW(struct access_use, list->key_count);
    snapshot->slots = MEM_NEW(uint32_t, slots);
    if (snapshot->keys == NULL || snapshot->uses == NULL || snapshot->slots == NULL)
        return ERR_NOMEM;
    snapshot->slot_mask = slots - 1;
    atomic_init(&snapshot->holders, 1);
    snapshot->generation = generation;
    for (size_t i = 0; i < list->key_count; i++) {
        if (list->keys[i].revoked_at_us == 0)
            enter(snapshot, &list->keys[i]);
    }
    carry_uses(snapshot, before);
    take_rows(snapshot, rows);
    snapshot->has_ring = ring != NULL;
    if (ring != NULL)
        snapshot->ring = *ring;
    *ret_snapshot = MOVE(snapshot);
    return ERR_OK;
}

struct access_snapshot *
access_hold(struct access_snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->holders, 1, memory_order_relaxed);
    return snapshot;
}

void
access_release(struct access_snapshot **snapshot)
{
    struct access_snapshot *s = *snapshot;

    if (s == NULL)
        return;
    *snapshot = NULL;
    if (atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel) == 1)
        snapshot_free(&s);
}

uint64_t
access_generation(const struct access_snapshot *snapshot)
{
    return snapshot->generation;
}

/* --- uses -------------------------------------------------------------------------------------*/

void
access_note_use(const struct access_snapshot *snapshot, const struct access_key *key,
                int64_t now_us)
{
    _Atomic int64_t *used_at_us = &snapshot->uses[key->place].used_at_us;

    assert(key->place < snapshot->key_count);
    /* Seldom, so that loops do not pass one cache line to and fro. */
    if (now_us - atomic_load_explicit(used_at_us, memory_order_relaxed) >= NOTE_EVERY_US)
        atomic_store_explicit(used_at_us, now_us, memory_order_relaxed);
}

size_t
access_take_uses(const struct access_snapshot *snapshot, struct account_key_use *ret_uses,
                 size_t max)
{
    size_t count = 0;

    for (size_t i = 0; i < snapshot->key_count && count < max; i++) {
        struct access_use *use = &snapshot->uses[i];
        int64_t used_at_us = atomic_load_explicit(&use->used_at_us, memory_order_relaxed);

        if (used_at_us == use->taken_at_us)
            continue;
        use->taken_at_us = used_at_us;
        ret_uses[count++] = (struct account_key_use){snapshot->keys[i].key.key_id, used_at_us};
    }
    return count;
}

void
access_give_back_uses(const struct access_snapshot *snapshot, const struct account_key_use *uses,
                      size_t count)
{
    size_t at = 0;

    for (size_t i = 0; i < snapshot->key_count && at < count; i++) {
        if (snapshot->keys[i].key.key_id != uses[at].key_id)
            continue;
        snapshot->uses[i].taken_at_us = 0;
        at++;
    }
}

/* --- asking -----------------------------------------------------------------------------------*/

bool
access_find_key(const struct access_snapshot *snapshot, struct slice text, int64_t now_us,
                struct access_key *ret_key)
{
    uint8_t hash[ACCOUNT_HASH_BYTES];
    enum account_key_kind kind;

    if (!account_key_is_wellformed(text, &kind))
        return false;
    hash_sha256(text, hash);
    for (size_t slot = slot_of(snapshot, hash); snapshot->slots[slot] != 0;
         slot = (slot + 1) & snapshot->slot_mask) {
        const struct known_key *known = &snapshot->keys[snapshot->slots[slot] - 1];

        if (sodium_memcmp(known->hash, hash, sizeof(hash)) != 0)
            continue;
        if (known->key.expires_at_us != 0 && now_us >= known->key.expires_at_us)
            return false;
        *ret_key = known->key;
        return true;
    }
    return false;
}

static const struct login *
find_login(const struct access_snapshot *snapshot, uint64_t login_id)
{
    size_t low = 0, high = snapshot->logins.login_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (snapshot->logins.logins[middle].id < login_id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == snapshot->logins.login_count || snapshot->logins.logins[low].id != login_id)
        return NULL;
    return &snapshot->logins.logins[low];
}

/* A decimal number without sign or leading zero, as token_issue was given it. */
static bool
parse_subject(const char *text, uint64_t *ret_login_id)
{
    uint64_t value = 0;

    if (text[0] == '\0' || text[0] == '0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || value > (INT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *ret_login_id = value;
    return true;
}

static bool
is_revoked(const struct access_snapshot *snapshot, const char *session_id)
{
    return snapshot->revoked_count != 0 &&
           bsearch(session_id, snapshot->revoked, snapshot->revoked_count,
                   sizeof(*snapshot->revoked), compare_sessions) != NULL;
}

enum err
access_find_token(const struct access_snapshot *snapshot, struct slice text, int64_t now_us,
                  struct access_login *ret_login, struct diag *diag)
{
    struct access_login found = {0};
    struct token_claims claims;
    const struct login *login;
    enum err err;

    if (!snapshot->has_ring) {
        diag_set(diag, "tokens are not taken here");
        return ERR_UNAUTHORIZED;
    }
    err = token_verify(&snapshot->ring, text, now_us / US_PER_S, &claims, diag);
    if (err != ERR_OK)
        return err;
    login = parse_subject(claims.subject, &found.login_id) ? find_login(snapshot, found.login_id)
                                                           : NULL;
    if (login == NULL) {
        diag_set(diag, "the account of this token is there no longer");
        return ERR_UNAUTHORIZED;
    }
    if (strlen(claims.token_id) <= SESSION_ID_BYTES || claims.token_id[SESSION_ID_BYTES] != '.') {
        diag_set(diag, "jti: not of a session");
        return ERR_UNAUTHORIZED;
    }
    if (is_revoked(snapshot, claims.token_id)) {
        diag_set(diag, "this session has ended; log in again");
        return ERR_UNAUTHORIZED;
    }
    found.is_admin = login->is_admin;
    memcpy(found.session_id, claims.token_id, SESSION_ID_BYTES);
    found.expires_at_us = claims.expires_at_s * US_PER_S;
    *ret_login = found;
    return ERR_OK;
}

/* Place of the first membership of the login at this project or a later one. */
static size_t
first_membership(const struct access_snapshot *snapshot, uint64_t login_id, uint32_t project_id)
{
    const struct login_membership *all = snapshot->logins.memberships;
    size_t low = 0, high = snapshot->logins.membership_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (all[middle].login_id < login_id ||
            (all[middle].login_id == login_id && all[middle].project_id < project_id))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

enum login_role
access_role(const struct access_snapshot *snapshot, const struct access_login *login,
            uint32_t project_id)
{
    const struct login_membership *all = snapshot->logins.memberships;
    size_t place = first_membership(snapshot, login->login_id, project_id);

    if (access_project(snapshot, project_id) == NULL)
        return LOGIN_ROLE_NONE;
    if (login->is_admin)
        return LOGIN_ROLE_OWNER;
    if (place == snapshot->logins.membership_count || all[place].login_id != login->login_id ||
        all[place].project_id != project_id)
        return LOGIN_ROLE_NONE;
    return all[place].role;
}

uint32_t
access_only_project(const struct access_snapshot *snapshot, const struct access_login *login)
{
    const struct login_membership *all = snapshot->logins.memberships;
    uint32_t only = 0;

    if (login->is_admin)
        return snapshot->project_count == 1 ? snapshot->projects[0].id : 0;
    for (size_t i = first_membership(snapshot, login->login_id, 0);
         i < snapshot->logins.membership_count && all[i].login_id == login->login_id; i++) {
        if (access_project(snapshot, all[i].project_id) == NULL)
            continue;
        if (only != 0)
            return 0;
        only = all[i].project_id;
    }
    return only;
}

const struct login_membership *
access_memberships(const struct access_snapshot *snapshot, uint64_t login_id, size_t *ret_count)
{
    size_t first = first_membership(snapshot, login_id, 0);
    size_t end = first_membership(snapshot, login_id + 1, 0);

    *ret_count = end - first;
    return *ret_count != 0 ? snapshot->logins.memberships + first : NULL;
}

const struct key_ring *
access_ring(const struct access_snapshot *snapshot)
{
    return snapshot->has_ring ? &snapshot->ring : NULL;
}

const struct account_project *
access_project(const struct access_snapshot *snapshot, uint32_t project_id)
{
    size_t low = 0, high = snapshot->project_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (snapshot->projects[middle].id < project_id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == snapshot->project_count || snapshot->projects[low].id != project_id)
        return NULL;
    return &snapshot->projects[low];
}

const struct account_project *
access_projects(const struct access_snapshot *snapshot, size_t *ret_count)
{
    *ret_count = snapshot->project_count;
    return snapshot->projects;
}

const struct plan *
access_plan(const struct access_snapshot *snapshot, uint32_t project_id, uint64_t *ret_revision)
{
    const struct access_plan *found =
        snapshot->plans.count != 0 ? access_plans_find(&snapshot->plans, project_id) : NULL;

    if (found != NULL && ret_revision != NULL)
        *ret_revision = found->revision;
    return found != NULL ? found->plan : NULL;
}

const char *
access_email(const struct access_snapshot *snapshot, uint64_t login_id)
{
    const struct login *login = find_login(snapshot, login_id);

    return login != NULL ? login->email : NULL;
}

bool
access_is_admin(const struct access_snapshot *snapshot, uint64_t login_id)
{
    const struct login *login = find_login(snapshot, login_id);

    return login != NULL && login->is_admin;
}
