/*
 * account_token_keys - `potik account rotate-keys`: a new key signs access tokens.
 *
 * Layer 8, the main thread. The ring is a file of the data folder (account/key_ring.h), with
 * PostgreSQL too, where each node has its own.
 */
#ifndef POTIK_CLI_ACCOUNT_TOKEN_KEYS_H
#define POTIK_CLI_ACCOUNT_TOKEN_KEYS_H

#include "cli/admin.h"

/* Gives the exit status. */
int account_rotate_token_keys(struct admin *admin, bool is_leaked);

#endif
