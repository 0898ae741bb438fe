/*
 * client_find - which server a command asks, and with which key: the order of places in client.h.
 *
 * Layer 8, the main thread. Reads flags, the environment and first-run.txt; asks nobody.
 */
#ifndef POTIK_CLI_CLIENT_FIND_H
#define POTIK_CLI_CLIENT_FIND_H

#include "cli/client.h"
#include <string.h>

#define CLIENT_KEY_BYTES 1024 /* a token has some 400 */

/* Wipe it after use. */
struct client_found {
    char server[CLIENT_URL_BYTES];
    char key[CLIENT_KEY_BYTES];  /* "": of CLIENT_NO_KEY */
    char ca[CLIENT_URL_BYTES];   /* "": what the system trusts */
    char name[CLIENT_URL_BYTES]; /* that its certificate is made out for; "": its host */
};

/* ERR_ABSENT: no server or no key, with the cure; ERR_INVALID: the name of a file is too long. */
MUST_USE enum err client_find(const struct client_flags *flags, enum client_key which,
                              struct client_found *ret_found, struct diag *diag);

static inline bool
client_has_start(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

#endif
