/*
 * login - people who log in: an email, a password's hash, server admin or not, and a role in each
 * project.
 *
 * Layer 3; calls of account.h's link: not on loops. To the outside they are "accounts"
 * (/v1/accounts, potik account); in the code a login, since `struct account` is the link, and the
 * person of an event is somebody else. Emails are compared in lower case of ASCII and kept so.
 *
 * An admin may do everything an owner may, in every project, and looks after accounts and projects.
 * One admin at least stays: the last one can be neither removed nor made less.
 */
#ifndef POTIK_ACCOUNT_LOGIN_H
#define POTIK_ACCOUNT_LOGIN_H

#include "account/account.h"
#include "account/password.h"

#define LOGIN_EMAIL_BYTES 254
#define LOGIN_COUNT_MAX 10000
#define LOGIN_MEMBERSHIPS_MAX 100000
#define LOGIN_FIRST_EMAIL "admin@localhost"

enum login_role {
    LOGIN_ROLE_NONE,
    LOGIN_ROLE_INGEST,  /* writes events */
    LOGIN_ROLE_ANALYST, /* reads */
    LOGIN_ROLE_OWNER,   /* reads, writes, and changes keys, members, settings; erases */
};
struct login {
    uint64_t id; /* ≥ 1, never used again */
    char email[LOGIN_EMAIL_BYTES + 1];
    struct password_hash password; /* never leaves this room but for the hasher */
    bool is_admin;
    int64_t created_at_us;
    int64_t last_login_at_us; /* 0: never */
};
struct login_membership {
    uint64_t login_id;
    uint32_t project_id;
    enum login_role role; /* never NONE */
};
struct login_list {
    struct login *logins; /* by id */
    size_t login_count;
    struct login_membership *memberships; /* by (login_id, project_id) */
    size_t membership_count;
};

/* "owner", "analyst", "ingest"; NONE: "none". */
const char *login_role_name(enum login_role role);
/* false: none of the three. */
bool login_role_parse(struct slice text, enum login_role *ret_role);
/* 3 … 254 bytes of ASCII without spaces and control characters, one '@' with something on both
 * sides. ret_email gets it in lower case. ERR_INVALID, field `email`. */
MUST_USE enum err
login_email_check(struct slice text, char ret_email[LOGIN_EMAIL_BYTES + 1], struct diag *diag);

/* Errors besides those of account.h: ERR_EXISTS: the email; ERR_FULL; ERR_INVALID (email). */
MUST_USE enum err login_add(struct account *account, const struct account_actor *by,
                            const char *email, const struct password_hash *password, bool is_admin,
                            struct login *ret_login, struct diag *diag);
/* An admin, only where no login stands; *ret_is_first: this one was made. */
MUST_USE enum err login_add_first(struct account *account, const struct account_actor *by,
                                  const char *email, const struct password_hash *password,
                                  bool *ret_is_first, struct login *ret_login, struct diag *diag);
/* ERR_ABSENT. */
MUST_USE enum err
login_get(struct account *account, uint64_t login_id, struct login *ret_login, struct diag *diag);
MUST_USE enum err
login_find(struct account *account, const char *email, struct login *ret_login, struct diag *diag);
/* All logins, and memberships of projects that are not deleted, as of one moment. */
MUST_USE enum err
login_list(struct account *account, struct login_list *ret_list, struct diag *diag);
void login_list_free(struct login_list *list);

/* A new password: every session of the login but `keep_session` (NULL or "": none is kept) is
 * revoked in the same transaction. ERR_ABSENT. */
MUST_USE enum err login_set_password(struct account *account, const struct account_actor *by,
                                     uint64_t login_id, const struct password_hash *password,
                                     const char *keep_session, struct diag *diag);
/* The same password at another cost: nothing else changes, no line in the audit log; nothing is
 * done unless `before` still is the stored hash. */
MUST_USE enum err
login_rehash(struct account *account, uint64_t login_id, const struct password_hash *before,
             const struct password_hash *password, struct diag *diag);
/* ERR_ABSENT; ERR_FULL: the last admin would be no more (told in diag). */
MUST_USE enum err login_set_admin(struct account *account, const struct account_actor *by,
                                  uint64_t login_id, bool is_admin, struct diag *diag);
/* Memberships and sessions go with it. ERR_ABSENT; ERR_FULL: the last admin. */
MUST_USE enum err login_remove(struct account *account, const struct account_actor *by,
                               uint64_t login_id, struct diag *diag);
/* LOGIN_ROLE_NONE takes the membership away (ERR_ABSENT: there is none). ERR_ABSENT: no such login
 * or project. */
MUST_USE enum err
login_set_role(struct account *account, const struct account_actor *by, uint64_t login_id,
               uint32_t project_id, enum login_role role, struct diag *diag);

#endif
