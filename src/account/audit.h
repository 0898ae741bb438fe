/*
 * audit - who did what, when, from where: a log that is only added to.
 *
 * Layer 3; calls of account.h's link: not on loops. Changes of projects, keys, logins, roles,
 * sessions and erasures write their line themselves, in their own transaction; audit_add is for
 * what changes no row. The database refuses to change or remove a line. Lines hold no secret, no
 * password, no user_id of an event: a person to be erased is named by a keyed hash.
 */
#ifndef POTIK_ACCOUNT_AUDIT_H
#define POTIK_ACCOUNT_AUDIT_H

#include "account/account.h"

#define AUDIT_ACTION_BYTES 31
#define AUDIT_TARGET_BYTES 300
#define AUDIT_DETAIL_BYTES 300
#define AUDIT_LIMIT_MAX 1000

struct audit_line {
    uint64_t id; /* rises */
    int64_t at_us;
    struct account_actor actor;
    char action[AUDIT_ACTION_BYTES + 1]; /* "login.failed", "key.created", … : docs/SECURITY.md */
    uint32_t project_id;                 /* 0: of no project */
    char target[AUDIT_TARGET_BYTES + 1]; /* "key 7", "account 3 ann@example.com"; cut if longer */
    char detail[AUDIT_DETAIL_BYTES + 1]; /* "role analyst"; may be empty */
};

/* line->id is not read; at_us is set to now where it is 0. */
MUST_USE enum err
audit_add(struct account *account, const struct audit_line *line, struct diag *diag);

/* "account", "key", "cli", "server", "nobody" */
const char *audit_actor_name(enum account_actor_kind kind);

struct audit_question {
    int64_t from_us; /* from_us <= at < to_us */
    int64_t to_us;
    uint32_t project_id; /* 0: all */
    uint64_t before_id;  /* lines older than this one; 0: from the newest */
    uint32_t limit;      /* 1 … AUDIT_LIMIT_MAX */
};
/* Newest first. `each` is called on this thread. */
MUST_USE enum err audit_list(struct account *account, const struct audit_question *question,
                             void (*each)(void *state, const struct audit_line *line), void *state,
                             struct diag *diag);

#endif
