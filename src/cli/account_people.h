/*
 * account_people - `potik account list`: the people who log in, as a table or as JSON.
 *
 * Layer 8, the main thread.
 */
#ifndef POTIK_CLI_ACCOUNT_PEOPLE_H
#define POTIK_CLI_ACCOUNT_PEOPLE_H

#include "cli/admin.h"

/* Gives the exit status. */
int account_list_people(struct admin *admin);
/* The members of one account, without its roles: no braces. */
void account_login_add_json(struct buf *buf, const struct login *login);
/* login_list_free, and the hashes are wiped before. */
void account_free_logins(struct login_list *list);

#endif
