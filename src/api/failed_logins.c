/*
 * failed_logins - a line, or a count. See failed_logins.h.
 */
#include "api/failed_logins.h"

#include "account/audit.h"

#include <inttypes.h>
#include <stdio.h>

static enum err
add_counts(struct failed_logins *failed, struct account *account, struct diag *diag)
{
    uint64_t throttled = atomic_exchange(&failed->throttled, 0);
    struct audit_line line = {.action = "login.failed"};

    if (failed->left_out == 0 && throttled == 0)
        return ERR_OK;
    (void)snprintf(line.detail, sizeof(line.detail),
                   "%" PRIu64 " more failed, %" PRIu64 " were throttled", failed->left_out,
                   throttled);
    failed->left_out = 0;
    return audit_add(account, &line, diag);
}

enum err
failed_logins_note(struct failed_logins *failed, struct account *account,
                   const struct account_actor *by, const char *email, const char *reason,
                   int64_t now_us, struct diag *diag)
{
    struct audit_line line = {.actor = *by, .action = "login.failed"};
    int64_t minute = now_us / (60 * US_PER_S);
    enum err err = ERR_OK;

    if (minute != failed->minute) {
        failed->minute = minute;
        failed->lines = 0;
        err = add_counts(failed, account, diag);
    }
    if (err != ERR_OK)
        return err;
    if (failed->lines >= FAILED_LINES_MAX) {
        failed->left_out++;
        return ERR_OK;
    }
    failed->lines++;
    (void)snprintf(line.target, sizeof(line.target), "account %s", email);
    (void)snprintf(line.detail, sizeof(line.detail), "%s", reason);
    return audit_add(account, &line, diag);
}
