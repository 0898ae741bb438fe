/*
 * account - projects and their keys: who may write events where, and who may read them.
 *
 * Layer 3. The contract; the rows stand in SQLite beside the ledger, or in the PostgreSQL database
 * that holds the events; db.h is the seam. A `struct account` is one link to them, used by one
 * thread at a time; several links to the same rows may be open, in several processes: `potik key
 * new` works beside a running server. Nothing here is called by a loop: loops ask the access table
 * (access.h). People who log in: login.h; their sessions: session.h; who did what: audit.h; events
 * to be erased: erasure.h.
 *
 * Each change names who makes it (struct account_actor) and writes its line of the audit log in the
 * same transaction, so that no change is without one.
 *
 * A key is `wk_` (write) or `rk_` (read) and 160 random bits in lower-case base32. The text is
 * shown once; only its SHA-256 is stored (with so many random bits a slow hash would add nothing),
 * with the last four characters so that a person can tell keys apart.
 */
#ifndef POTIK_ACCOUNT_ACCOUNT_H
#define POTIK_ACCOUNT_ACCOUNT_H

#include "base/clock.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/random.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

#define ACCOUNT_NAME_BYTES 64   /* of a project or a key: 1 … 64 bytes of UTF-8, no control */
#define ACCOUNT_ZONE_BYTES 63   /* an IANA name */
#define ACCOUNT_KEYS_MAX 100000 /* stored, revoked ones included */
#define ACCOUNT_PROJECTS_MAX 10000
#define ACCOUNT_KEY_TEXT_BYTES 35 /* "wk_" and 32 characters */
#define ACCOUNT_HASH_BYTES 32
#define ACCOUNT_EVENTS_PER_MONTH_MAX (UINT64_C(1) << 53) /* exact in every JSON reader */
#define ACCOUNT_PROJECT_DEFAULT 1U                       /* id of project `default` */

enum account_key_kind { ACCOUNT_KEY_WRITE, ACCOUNT_KEY_READ };

/* ISO 8601 weeks begin on Monday. */
enum account_week_start { ACCOUNT_WEEK_MONDAY, ACCOUNT_WEEK_SUNDAY };

struct account_project {
    uint32_t id;                       /* ≥ 1, never used again */
    char name[ACCOUNT_NAME_BYTES + 1]; /* of those not deleted, each once */
    char time_zone[ACCOUNT_ZONE_BYTES + 1];
    enum account_week_start week_start;
    uint32_t retention_days; /* events go so long after received_at: 1 … 36,500; 0: kept for ever */
    uint64_t events_per_month; /* 1 … ACCOUNT_EVENTS_PER_MONTH_MAX; 0: no quota of its own */
    int64_t created_at_us;
};

struct account_key {
    uint64_t id; /* ≥ 1, never used again */
    uint32_t project_id;
    enum account_key_kind kind;
    char name[ACCOUNT_NAME_BYTES + 1];
    char last4[5];
    uint8_t hash[ACCOUNT_HASH_BYTES]; /* SHA-256 of the text */
    int64_t created_at_us;
    int64_t expires_at_us;   /* in force before it; 0: no end */
    int64_t last_used_at_us; /* to about a minute; 0: never */
    int64_t revoked_at_us;   /* 0: in force */
};

/* Who makes a change, and from where; for the audit log. */
enum account_actor_kind {
    ACCOUNT_ACTOR_NOBODY, /* not known (yet): a login that failed */
    ACCOUNT_ACTOR_LOGIN,  /* id: of the login */
    ACCOUNT_ACTOR_KEY,    /* id: of the key */
    ACCOUNT_ACTOR_CLI,    /* the command line on the server's machine; id: the user id there */
    ACCOUNT_ACTOR_SERVER, /* the server by itself: a retention, the first admin */
};
#define ACCOUNT_FROM_BYTES 63
struct account_actor {
    enum account_actor_kind kind;
    uint64_t id;
    char from[ACCOUNT_FROM_BYTES + 1]; /* the peer's address, "unix", or "" */
};

struct account_list {
    struct account_key *keys; /* by id */
    size_t key_count;
    struct account_project *projects; /* by id */
    size_t project_count;
};

struct account_config {
    const char *data_dir; /* the file is <data_dir>/accounts.db */
    bool may_create;      /* false: ERR_ABSENT where there is none yet */
    /* NULL: the file above. Else postgres://…: its tables are made by the store's migrations, never
     * here; the two times must be set. */
    const char *postgres_url;
    int64_t connect_timeout_ms;
    int64_t statement_timeout_ms;
    const struct clock *clock;
    struct random_source *random; /* random_system(), or a seeded one in tests */
};

struct account;

/*
 * Common errors of all calls: ERR_LOCKED (another process writes for over 5 s), ERR_NOT_READY,
 * ERR_OVERLOADED (PostgreSQL is away or refuses), ERR_IO, ERR_STORAGE_FULL, ERR_CORRUPT, ERR_NOMEM.
 * On error nothing has changed, but where the connection to PostgreSQL was lost during a commit:
 * then the change may have been made.
 */

/* Brings an older layout up to date. ERR_ABSENT (see may_create); ERR_TOO_NEW: a newer program's.
 */
MUST_USE enum err
account_open(const struct account_config *config, struct account **ret_account, struct diag *diag);
void account_close(struct account **account);

/* A copy of accounts.db at `to`, which must not be there, also beside a running server. Not synced.
 */
MUST_USE enum err account_backup(const char *data_dir, const char *to, struct diag *diag);

/* Project 1, `default`: made with this zone if absent (*ret_is_new), else left as it is. */
MUST_USE enum err account_project_ensure_default(struct account *account, const char *time_zone,
                                                 struct account_project *ret_project,
                                                 bool *ret_is_new, struct diag *diag);
/* ERR_ABSENT: no such project. */
MUST_USE enum err account_project_get(struct account *account, uint32_t project_id,
                                      struct account_project *ret_project, struct diag *diag);
/*
 * A further project: name, time_zone, week_start, retention_days and events_per_month are read (the
 * zone is not looked up here: the caller has asked the zone table). ERR_INVALID with the field;
 * ERR_EXISTS: the name; ERR_FULL: ACCOUNT_PROJECTS_MAX, deleted ones included.
 */
MUST_USE enum err account_project_add(struct account *account, const struct account_actor *by,
                                      const struct account_project *project,
                                      struct account_project *ret_project, struct diag *diag);
/* The same fields, of project->id; the quota only if sets_quota, so that who changes the others
 * does not undo what an administrator has set meanwhile. ERR_ABSENT, ERR_INVALID, ERR_EXISTS. To
 * delete: erasure.h. */
MUST_USE enum err
account_project_change(struct account *account, const struct account_actor *by,
                       const struct account_project *project, bool sets_quota, struct diag *diag);

/* The text is shown here and never again: wipe it after use. expires_at_us 0: no end. ERR_ABSENT:
 * no such project; ERR_INVALID: name, expires_at (past); ERR_FULL: ACCOUNT_KEYS_MAX. */
MUST_USE enum err account_key_new(struct account *account, const struct account_actor *by,
                                  uint32_t project_id, enum account_key_kind kind, const char *name,
                                  int64_t expires_at_us, char ret_text[ACCOUNT_KEY_TEXT_BYTES + 1],
                                  struct account_key *ret_key, struct diag *diag);
/* The same in two steps, for who must keep the text safe before it is in force: a fresh text, and a
 * key with a text made so. account_key_add: errors as above, ERR_INVALID for a text that is none.
 */
void account_key_make_text(struct account *account, enum account_key_kind kind,
                           char ret_text[ACCOUNT_KEY_TEXT_BYTES + 1]);
MUST_USE enum err
account_key_add(struct account *account, const struct account_actor *by, uint32_t project_id,
                const char *name, int64_t expires_at_us, struct slice text,
                struct account_key *ret_key, struct diag *diag);
/*
 * The two keys of a first run, by the texts of a write and a read key: both are in force afterwards
 * (*ret_is_first), unless other keys were there before them. Of several who try at once, on one
 * database, one is first.
 */
MUST_USE enum err
account_keys_add_first(struct account *account, uint32_t project_id, const char *name,
                       const struct slice texts[2], bool *ret_is_first, struct diag *diag);
/* All projects that are not deleted and all their keys, revoked ones too, as of one moment. Free
 * with account_list_free. */
MUST_USE enum err
account_list(struct account *account, struct account_list *ret_list, struct diag *diag);
void account_list_free(struct account_list *list);
/* In force no longer. Once revoked it stays so: a second time is ERR_OK, keeps the first time,
 * and leaves no line in the audit log.
 * ERR_ABSENT: no such key, or (project_id not 0) it is another project's. */
MUST_USE enum err account_key_revoke(struct account *account, const struct account_actor *by,
                                     uint32_t project_id, uint64_t key_id, struct diag *diag);
/* The same by the key's whole text. */
MUST_USE enum err account_key_revoke_text(struct account *account, const struct account_actor *by,
                                          struct slice text, struct diag *diag);
/* When keys were last used: no audit, and no other link is told of a change. Unknown ids are passed
 * over; an older time than the stored one changes nothing. */
struct account_key_use {
    uint64_t key_id;
    int64_t used_at_us;
};
MUST_USE enum err account_keys_used(struct account *account, const struct account_key_use *uses,
                                    size_t count, struct diag *diag);
/* Whether another link has committed since the last call (or since the opening); cheap. */
MUST_USE enum err
account_has_changed(struct account *account, bool *ret_has_changed, struct diag *diag);

/* "write", "read" */
const char *account_kind_name(enum account_key_kind kind);
/* false: not the form of a key at all (then nothing is hashed). Says nothing about its being known.
 */
bool account_key_is_wellformed(struct slice text, enum account_key_kind *ret_kind);

#endif
