/*
 * session - families of refresh tokens, as rows. See session.h.
 *
 * States of a refresh token, looked at in this order, all in one transaction that writes:
 *
 *     not in the table                          UNKNOWN
 *     its session was revoked                   REVOKED
 *     used before, within the grace             RACED
 *     used before                               REUSED, and the session is revoked
 *     its session's time is over                EXPIRED
 *     else                                      used now; the next one is made: RENEWED
 */
#include "account/session.h"

#include "account/inside.h"
#include "base/mem.h"
#include "codec/hash.h"
#include "session_sql.h"
#include <sodium.h>
#include <string.h>

#define REFRESH_RANDOM_BYTES 32
#define REFRESH_PREFIX "rt_"
#define REFRESH_PREFIX_BYTES 3

static const struct db_statement session_insert = DB_BOTH(sql_session_insert);
static const struct db_statement session_token = DB_BOTH(sql_session_token);
static const struct db_statement session_use = DB_BOTH(sql_session_use);
static const struct db_statement session_find = DB_BOTH(sql_session_find);
static const struct db_statement session_token_used = DB_BOTH(sql_session_token_used);
static const struct db_statement session_renew = DB_BOTH(sql_session_renew);
static const struct db_statement session_end = DB_BOTH(sql_session_revoke);
static const struct db_statement session_excess = DB_BOTH(sql_session_excess);
static const struct db_statement session_revoked = DB_BOTH(sql_session_revoked);
static const struct db_statement session_delete = DB_BOTH(sql_session_sweep);

bool
session_is_refresh(struct slice text)
{
    if (text.len != SESSION_REFRESH_BYTES ||
        memcmp(text.ptr, REFRESH_PREFIX, REFRESH_PREFIX_BYTES) != 0)
        return false;
    for (size_t i = REFRESH_PREFIX_BYTES; i < text.len; i++) {
        char c = text.ptr[i];

        if ((c < 'a' || c > 'z') && (c < '2' || c > '7'))
            return false;
    }
    return true;
}

/* A fresh token of the session, its row written. */
static enum err
add_token(struct account *account, const char *session_id,
          char ret_refresh[SESSION_REFRESH_BYTES + 1], struct diag *diag)
{
    uint8_t random[REFRESH_RANDOM_BYTES];
    uint8_t hash[HASH_SHA256_BYTES];
    struct db_values values = {0};

    random_fill(account->random, random, sizeof(random));
    memcpy(ret_refresh, REFRESH_PREFIX, REFRESH_PREFIX_BYTES);
    account_base32(random, sizeof(random), ret_refresh + REFRESH_PREFIX_BYTES);
    sodium_memzero(random, sizeof(random));
    hash_sha256(slice_of(ret_refresh, SESSION_REFRESH_BYTES), hash);
    db_add_bytes(&values, hash, sizeof(hash));
    db_add_text(&values, session_id);
    return db_run(account->db, &session_token, &values, diag);
}

static enum err
note_use(struct account *account, uint64_t login_id, int64_t now_us, struct diag *diag)
{
    struct db_values values = {0};

    db_add_number(&values, (int64_t)login_id);
    db_add_time(&values, now_us);
    return db_run(account->db, &session_use, &values, diag);
}

/* Within a transaction. *ret_was: it was in force. */
static enum err
revoke(struct account *account, const char *session_id, int64_t now_us, bool *ret_was,
       uint64_t *ret_login_id, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_text(&values, session_id);
    db_add_time(&values, now_us);
    err = db_ask(account->db, &session_end, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    *ret_was = db_count(rows) == 1;
    if (*ret_was)
        *ret_login_id = (uint64_t)db_number(rows, 0, 0);
    return ERR_OK;
}

/* --- beginning --------------------------------------------------------------------------------*/

static enum err
end_excess(struct account *account, uint64_t login_id, int64_t now_us, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, (int64_t)login_id);
    db_add_time(&values, now_us);
    db_add_number(&values, SESSION_PER_LOGIN_MAX);
    err = db_ask(account->db, &session_excess, &values, &rows, diag);
    for (uint32_t row = 0; err == ERR_OK && row < db_count(rows); row++) {
        char id[SESSION_ID_BYTES + 1];
        uint64_t ignored_id;
        bool was;

        db_text(rows, row, 0, id, sizeof(id));
        err = revoke(account, id, now_us, &was, &ignored_id, diag);
    }
    return err;
}

static enum err
begin(struct account *account, const struct account_actor *by, struct session *session,
      char ret_refresh[SESSION_REFRESH_BYTES + 1], struct diag *diag)
{
    struct db_values values = {0};
    struct login login;
    enum err err = login_get(account, session->login_id, &login, diag);

    if (err != ERR_OK)
        return err;
    db_add_text(&values, session->id);
    db_add_number(&values, (int64_t)session->login_id);
    db_add_time(&values, session->created_at_us);
    db_add_time(&values, session->expires_at_us);
    err = db_run(account->db, &session_insert, &values, diag);
    if (err == ERR_OK)
        err = add_token(account, session->id, ret_refresh, diag);
    if (err == ERR_OK)
        err = note_use(account, session->login_id, session->created_at_us, diag);
    if (err == ERR_OK)
        err = end_excess(account, session->login_id, session->created_at_us, diag);
    if (err != ERR_OK)
        return err;
    return account_note(account, by, "login.ok", 0, diag, NULL, "account %llu %s",
                        (unsigned long long)login.id, login.email);
}

enum err
session_begin(struct account *account, const struct account_actor *by, uint64_t login_id,
              int64_t life_us, char ret_refresh[SESSION_REFRESH_BYTES + 1],
              struct session *ret_session, struct diag *diag)
{
    struct session session = {.login_id = login_id, .created_at_us = clock_wall_us(account->clock)};
    char refresh[SESSION_REFRESH_BYTES + 1];
    uint8_t random[SESSION_ID_BYTES / 2];
    enum err err = db_begin(account->db, true, diag);

    if (err != ERR_OK)
        return err;
    session.expires_at_us = session.created_at_us + life_us;
    random_fill(account->random, random, sizeof(random));
    hash_hex(random, sizeof(random), session.id);
    err = begin(account, by, &session, refresh, diag);
    err = db_end(account->db, err, diag);
    if (err == ERR_OK) {
        *ret_session = session;
        memcpy(ret_refresh, refresh, sizeof(refresh));
    }
    sodium_memzero(refresh, sizeof(refresh));
    return err;
}

/* --- renewing ---------------------------------------------------------------------------------*/

struct found {
    bool is_known;
    struct session session;
    int64_t revoked_at_us;
    int64_t used_at_us; /* of the token; 0: never */
};

static enum err
find(struct account *account, const uint8_t hash[HASH_SHA256_BYTES], struct found *ret_found,
     struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    *ret_found = (struct found){0};
    db_add_bytes(&values, hash, HASH_SHA256_BYTES);
    err = db_ask(account->db, &session_find, &values, &rows, diag);
    if (err != ERR_OK || db_count(rows) == 0)
        return err;
    ret_found->is_known = true;
    db_text(rows, 0, 0, ret_found->session.id, sizeof(ret_found->session.id));
    ret_found->session.login_id = (uint64_t)db_number(rows, 0, 1);
    ret_found->session.refresh_count = (uint64_t)db_number(rows, 0, 2);
    ret_found->session.created_at_us = db_time(rows, 0, 3);
    ret_found->session.expires_at_us = db_time(rows, 0, 4);
    ret_found->revoked_at_us = db_time(rows, 0, 5);
    ret_found->used_at_us = db_time(rows, 0, 6);
    return ERR_OK;
}

static enum session_outcome
judge(const struct found *found, int64_t now_us)
{
    if (!found->is_known)
        return SESSION_UNKNOWN;
    if (found->revoked_at_us != 0)
        return SESSION_REVOKED;
    /* A clock that was put back makes a reuse look young: it is refused, no more. */
    if (found->used_at_us != 0)
        return now_us - found->used_at_us < SESSION_GRACE_US ? SESSION_RACED : SESSION_REUSED;
    return now_us >= found->session.expires_at_us ? SESSION_EXPIRED : SESSION_RENEWED;
}

static enum err
end_reused(struct account *account, const struct account_actor *by, const struct session *session,
           int64_t now_us, struct diag *diag)
{
    uint64_t login_id;
    bool was;
    enum err err = revoke(account, session->id, now_us, &was, &login_id, diag);

    if (err != ERR_OK)
        return err;
    return account_note(account, by, "session.reused", 0, diag,
                        "a refresh token came a second time; the session ended", "account %llu",
                        (unsigned long long)session->login_id);
}

static enum err
renew(struct account *account, const uint8_t hash[HASH_SHA256_BYTES], struct session *session,
      int64_t now_us, int64_t life_us, char ret_refresh[SESSION_REFRESH_BYTES + 1],
      struct diag *diag)
{
    struct db_values used = {0};
    struct db_values renewed = {0};
    enum err err;

    session->refresh_count++;
    session->expires_at_us = now_us + life_us;
    db_add_bytes(&used, hash, HASH_SHA256_BYTES);
    db_add_time(&used, now_us);
    err = db_run(account->db, &session_token_used, &used, diag);
    if (err != ERR_OK)
        return err;
    db_add_text(&renewed, session->id);
    db_add_time(&renewed, now_us);
    db_add_time(&renewed, session->expires_at_us);
    err = db_run(account->db, &session_renew, &renewed, diag);
    if (err == ERR_OK)
        err = note_use(account, session->login_id, now_us, diag);
    return err == ERR_OK ? add_token(account, session->id, ret_refresh, diag) : err;
}

enum err
session_refresh(struct account *account, const struct account_actor *by, struct slice refresh,
                int64_t life_us, enum session_outcome *ret_outcome,
                char ret_refresh[SESSION_REFRESH_BYTES + 1], struct session *ret_session,
                struct diag *diag)
{
    int64_t now_us = clock_wall_us(account->clock);
    char next[SESSION_REFRESH_BYTES + 1] = "";
    uint8_t hash[HASH_SHA256_BYTES];
    enum session_outcome outcome;
    struct found found;
    enum err err;

    if (!session_is_refresh(refresh)) {
        *ret_outcome = SESSION_UNKNOWN;
        return ERR_OK;
    }
    hash_sha256(refresh, hash);
    err = db_begin(account->db, true, diag);
    if (err != ERR_OK)
        return err;
    err = find(account, hash, &found, diag);
    outcome = err == ERR_OK ? judge(&found, now_us) : SESSION_UNKNOWN;
    if (err == ERR_OK && outcome == SESSION_REUSED)
        err = end_reused(account, by, &found.session, now_us, diag);
    if (err == ERR_OK && outcome == SESSION_RENEWED)
        err = renew(account, hash, &found.session, now_us, life_us, next, diag);
    err = db_end(account->db, err, diag);
    if (err == ERR_OK) {
        *ret_outcome = outcome;
        *ret_session = found.session;
        memcpy(ret_refresh, next, sizeof(next));
    }
    sodium_memzero(next, sizeof(next));
    return err;
}

/* --- ending -----------------------------------------------------------------------------------*/

enum err
session_revoke(struct account *account, const struct account_actor *by, const char *session_id,
               struct diag *diag)
{
    uint64_t login_id = 0;
    bool was = false;
    enum err err = db_begin(account->db, true, diag);

    if (err != ERR_OK)
        return err;
    err = revoke(account, session_id, clock_wall_us(account->clock), &was, &login_id, diag);
    if (err == ERR_OK && was)
        err = account_note(account, by, "logout", 0, diag, NULL, "account %llu",
                           (unsigned long long)login_id);
    return db_end(account->db, err, diag);
}

enum err
session_list_revoked(struct account *account, int64_t since_us, size_t max,
                     struct session_id **ret_ids, size_t *ret_count, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    struct session_id *ids;
    size_t count = 0;
    enum err err;

    db_add_time(&values, since_us > 0 ? since_us : 1);
    db_add_number(&values, (int64_t)max);
    err = db_ask(account->db, &session_revoked, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    ids = MEM_NEW(struct session_id, db_count(rows) + 1);
    if (ids == NULL) {
        diag_set(diag, "revoked sessions: out of memory");
        return ERR_NOMEM;
    }
    for (uint32_t row = 0; row < db_count(rows); row++) {
        struct slice id = db_bytes(rows, row, 0);

        if (id.len == SESSION_ID_BYTES)
            memcpy(ids[count++].text, id.ptr, SESSION_ID_BYTES);
    }
    *ret_ids = ids;
    *ret_count = count;
    return ERR_OK;
}

enum err
session_sweep(struct account *account, int64_t kept_us, struct diag *diag)
{
    struct db_values values = {0};
    int64_t before_us = clock_wall_us(account->clock) - kept_us;
    enum err err = db_begin(account->db, true, diag);

    if (err != ERR_OK)
        return err;
    db_add_time(&values, before_us > 0 ? before_us : 1);
    err = db_run(account->db, &session_delete, &values, diag);
    return db_end(account->db, err, diag);
}
