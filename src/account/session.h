/*
 * session - who is logged in: a family of refresh tokens, of which one is good at a time.
 *
 * Layer 3; calls of account.h's link: not on loops. A session begins with a login and has an id (16
 * random bytes in hexadecimal; the first part of `jti` of its access tokens). A refresh token is
 * `rt_` and 256 random bits in lower-case base32, shown once and kept as SHA-256. It is good once:
 * using it gives the next one (rotation, RFC 9700 section 4.14). A used one that comes again means
 * that somebody else has a copy: the whole session is revoked. But within SESSION_GRACE_US of its
 * rotation it is only refused: the reply may have been lost, and that must not log people out (the
 * newer token, if it arrived after all, stays good).
 *
 * Sessions revoked within the life of an access token are told to loops by the access table, so
 * that access tokens end with their session.
 */
#ifndef POTIK_ACCOUNT_SESSION_H
#define POTIK_ACCOUNT_SESSION_H

#include "account/login.h"

#define SESSION_ID_BYTES 32
#define SESSION_REFRESH_BYTES 55 /* "rt_" and 52 characters */
#define SESSION_GRACE_US INT64_C(10000000)
#define SESSION_PER_LOGIN_MAX 100 /* a further login ends the one unused for longest */

struct session {
    char id[SESSION_ID_BYTES + 1];
    uint64_t login_id;
    uint64_t refresh_count; /* rotations so far: the second part of `jti` */
    int64_t created_at_us;
    int64_t expires_at_us; /* of the present refresh token */
};

enum session_outcome {
    SESSION_RENEWED,
    SESSION_UNKNOWN, /* no such token, or of a session that ended long ago */
    SESSION_EXPIRED,
    SESSION_REVOKED,
    SESSION_RACED,  /* used within the grace: refused, the session goes on */
    SESSION_REUSED, /* used before: the session was revoked now */
};

/* life_us: how long its refresh token is good, from each use. Audit: login. */
MUST_USE enum err
session_begin(struct account *account, const struct account_actor *by, uint64_t login_id,
              int64_t life_us, char ret_refresh[SESSION_REFRESH_BYTES + 1],
              struct session *ret_session, struct diag *diag);
/*
 * ERR_OK whatever the outcome; the texts are set for SESSION_RENEWED alone, `ret_session` for
 * RENEWED and REUSED. `by` has the address; the login is found by the token. Of two that use one
 * token at once, one renews and one is RACED.
 */
MUST_USE enum err
session_refresh(struct account *account, const struct account_actor *by, struct slice refresh,
                int64_t life_us, enum session_outcome *ret_outcome,
                char ret_refresh[SESSION_REFRESH_BYTES + 1], struct session *ret_session,
                struct diag *diag);
/* Logout. ERR_OK, too, where it has ended already or is not known. */
MUST_USE enum err session_revoke(struct account *account, const struct account_actor *by,
                                 const char *session_id, struct diag *diag);
/* Sessions revoked at or after since_us, the newest `max` at most, in any order: for the access
 * table. *ret_ids (NULL where there is none) is freed with mem_free. */
struct session_id {
    char text[SESSION_ID_BYTES]; /* no NUL */
};
MUST_USE enum err
session_list_revoked(struct account *account, int64_t since_us, size_t max,
                     struct session_id **ret_ids, size_t *ret_count, struct diag *diag);
/* Rows of sessions that ended or expired over `kept_us` ago go. The access table's thread. */
MUST_USE enum err session_sweep(struct account *account, int64_t kept_us, struct diag *diag);

/* Whether it has the form of a refresh token; says nothing about its being known. */
bool session_is_refresh(struct slice text);

#endif
