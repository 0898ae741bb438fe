/*
 * first_admin - where no account stands, the start makes one: a server admin with a generated
 * password, told once.
 *
 * Layer 7, the main thread, before listening. As with the first keys, nothing is in force without
 * its text being safe: first-run.txt gets `admin_email=`, `admin_password=` and `admin_told=no`
 * first; then the account is made; then, once the server listens, it is told and `admin_told=`
 * goes. A start that failed in between is made good by the next one. Of several nodes that start at
 * once on one database, one makes it.
 */
#ifndef POTIK_APP_FIRST_ADMIN_H
#define POTIK_APP_FIRST_ADMIN_H

#include "account/login.h"

struct first_admin {
    bool is_untold;
    char email[LOGIN_EMAIL_BYTES + 1];
    char password[PASSWORD_GENERATED_BYTES + 1];
};

/* An account is there afterwards. Errors of account.h, file.h, password.h. */
MUST_USE enum err
first_admin_ensure(struct account *account, const char *data_dir, const struct password_cost *cost,
                   struct first_admin *ret_admin, struct diag *diag);
/* On stderr, if it was not told yet. The password in `admin` is wiped. */
MUST_USE enum err
first_admin_tell(struct first_admin *admin, const char *data_dir, struct diag *diag);

#endif
