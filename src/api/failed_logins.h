/*
 * failed_logins - lines of the audit log for logins that failed, bounded: who guesses passwords
 * must not fill the database.
 *
 * Layer 6, the hasher's thread alone. At most FAILED_LINES_MAX lines a minute; what was left out,
 * and what was throttled (counted on loops), is told as one line by the first failure of a later
 * minute.
 */
#ifndef POTIK_API_FAILED_LOGINS_H
#define POTIK_API_FAILED_LOGINS_H

#include "account/account.h"

#include <stdatomic.h>

#define FAILED_LINES_MAX 60

struct failed_logins {
    int64_t minute;
    uint32_t lines;
    uint64_t left_out;
    _Atomic uint64_t throttled; /* any thread */
};

/* One statement to the rows, or none where the minute is full, whatever the reason: `email` known
 * or not. */
MUST_USE enum err failed_logins_note(struct failed_logins *failed, struct account *account,
                                     const struct account_actor *by, const char *email,
                                     const char *reason, int64_t now_us, struct diag *diag);

#endif
