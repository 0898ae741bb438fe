/*
 * new_password - a password from the person at the terminal, or from standard input; never from the
 * command line, which `ps` shows to everybody.
 *
 * Layer 8, the main thread.
 */
#ifndef POTIK_CLI_NEW_PASSWORD_H
#define POTIK_CLI_NEW_PASSWORD_H

#include "account/password.h"

/* Room for what is longer than it may be, so that this is seen: a CR, and a byte more. */
struct new_password {
    char text[PASSWORD_BYTES_MAX + 3];
    size_t len;
};
void new_password_wipe(struct new_password *password);

/*
 * Standard input: a terminal is asked twice, without echo; from elsewhere the first line, without
 * its line end. ERR_INVALID: out of the limits of password.h, or the two differ; ERR_CANCELLED: ^C;
 * ERR_IO. Wiped on error.
 */
MUST_USE enum err new_password_read(struct new_password *ret_password, struct diag *diag);
/* One that is in force already: a terminal is asked once, and no limit is checked. ERR_CANCELLED,
 * ERR_IO. Wiped on error. */
MUST_USE enum err new_password_ask(struct new_password *ret_password, struct diag *diag);
/* A random one: password_generate. */
void new_password_make(struct new_password *ret_password);

#endif
