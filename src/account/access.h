/*
 * access - who may do what, in memory, for the loops: from a presented key or token to a project
 * and a right.
 *
 * Layer 3 (account). A snapshot is immutable and counted; the table holds the newest: keys in
 * force, projects, logins with their roles, sessions revoked of late, the ring of token keys,
 * tracking plans. A
 * watcher thread asks every WATCH_MS whether another link has committed (a read of a few bytes) or
 * the file of token keys has been replaced, and publishes a new snapshot then: what is changed
 * beside a server takes effect within 1 s. If the rows cannot be read, the last snapshot goes on
 * serving and the sink hears of it, once, and once more when they can be read again. It serves for
 * cache_ms_max at most, if that is set: then access_is_usable says no, and nobody is to be told
 * that a key is unknown.
 *
 * The watcher also writes down, once a minute, when keys were last used (access_note_use), and
 * sweeps ended sessions, hourly.
 *
 * A loop keeps a snapshot in hand and renews it at each look-up (one atomic read if nothing
 * changed):
 *
 *     access_renew(table, &loop->access);
 *     if (!access_find_key(loop->access, text, now_us, &found)) … 401
 *
 * A snapshot finds a key by its SHA-256: open addressing on the hash's first bytes, then a
 * comparison of the whole in constant time.
 */
#ifndef POTIK_ACCOUNT_ACCESS_H
#define POTIK_ACCOUNT_ACCESS_H

#include "account/account.h"
#include "account/login.h"
#include "account/session.h"
#include "account/token.h"
#include "base/log.h"
#include "plan/plan.h"

struct access_table;
struct access_snapshot;

struct access_key {
    uint64_t key_id;
    uint32_t project_id;
    enum account_key_kind kind;
    int64_t expires_at_us; /* 0: no end */
    uint32_t place;        /* in the snapshot it was found in */
};

struct access_config {
    const struct log_sink *sink;
    const struct clock *clock;
    int64_t cache_ms_max;        /* how long rows serve that cannot be read anew; 0: for ever */
    int64_t token_life_s;        /* of access tokens: so long revoked sessions are remembered */
    struct key_ring_config ring; /* dir NULL: no tokens here (tests) */
};
/*
 * Reads all and starts the watcher. `account` belongs to the table from here on, error or not, and
 * *account is NULL. ERR_NOMEM, and what account_list, login_list, key_ring_open give.
 */
MUST_USE enum err access_start(struct account **account, const struct access_config *config,
                               struct access_table **ret_table, struct diag *diag);
/* Snapshots still held stay valid. */
void access_stop(struct access_table **table);
/* Read at once, on the caller's thread: after a change made through another link of this process,
 * whether or not this table's link has heard of it. */
MUST_USE enum err access_refresh(struct access_table *table, struct diag *diag);

/* Any thread, no lock. false: the rows have been unreadable for longer than cache_ms_max. */
MUST_USE bool access_is_usable(const struct access_table *table);
/* Any thread; give back by access_release. Never NULL. */
struct access_snapshot *access_get(struct access_table *table);
/* *held (NULL at first) becomes the newest; what it was is given back. */
void access_renew(struct access_table *table, struct access_snapshot **held);
void access_release(struct access_snapshot **snapshot); /* takes NULL */
/* Rises with each snapshot of a table: 1, 2 … */
uint64_t access_generation(const struct access_snapshot *snapshot);

/* --- asking: any thread, no lock, nothing is allocated ----------------------------------------*/

/* false: unknown, revoked, expired, of a deleted project, or not the form of a key. */
MUST_USE bool access_find_key(const struct access_snapshot *snapshot, struct slice text,
                              int64_t now_us, struct access_key *ret_key);
/* The key, found in this snapshot, is used now: written down within a minute. An atomic read, and a
 * store once a second at most. */
void access_note_use(const struct access_snapshot *snapshot, const struct access_key *key,
                     int64_t now_us);

/* Who a token speaks for. */
struct access_login {
    uint64_t login_id;
    bool is_admin;
    char session_id[SESSION_ID_BYTES + 1];
    int64_t expires_at_us; /* of the token: whoever keeps the answer asks again from then on */
};
/* The token is sound (token_verify), its login is there, its session was not revoked. Else
 * ERR_UNAUTHORIZED, with words for the client. */
MUST_USE enum err
access_find_token(const struct access_snapshot *snapshot, struct slice text, int64_t now_us,
                  struct access_login *ret_login, struct diag *diag);
/* LOGIN_ROLE_NONE: no such project, or not for this login: the two are not told apart. An admin is
 * owner everywhere. */
enum login_role access_role(const struct access_snapshot *snapshot,
                            const struct access_login *login, uint32_t project_id);
/* The one project the login has a role in (an admin: the only one there is); 0: none or several.
 */
uint32_t
access_only_project(const struct access_snapshot *snapshot, const struct access_login *login);
/* The ring that signs. Lives as long as the snapshot. */
const struct key_ring *access_ring(const struct access_snapshot *snapshot);

/* Whom /v1/auth/me and the like tell of: all roles of a login, by project; *ret_count of them. An
 * admin has none but those given. Lives as long as the snapshot. */
const struct login_membership *
access_memberships(const struct access_snapshot *snapshot, uint64_t login_id, size_t *ret_count);

/* NULL: no such project. Lives as long as the snapshot. */
const struct account_project *
access_project(const struct access_snapshot *snapshot, uint32_t project_id);
/* Of rising id, for those who must go over all. */
const struct account_project *
access_projects(const struct access_snapshot *snapshot, size_t *ret_count);
/* The tracking plan in force; NULL: none. Lives as long as the snapshot. *ret_revision may be NULL.
 */
const struct plan *
access_plan(const struct access_snapshot *snapshot, uint32_t project_id, uint64_t *ret_revision);
bool access_is_admin(const struct access_snapshot *snapshot, uint64_t login_id);
/* NULL: no such login. */
const char *access_email(const struct access_snapshot *snapshot, uint64_t login_id);

#endif
