/*
 * redis_url - the address of a Redis server:
 *
 *     redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]
 *     unix:/path/of/redis.sock
 *
 * Layer 3 (limit), any thread, pure. User and password are percent-decoded. HOST is a name, an
 * address, or an IPv6 address in brackets; 6379 is the port and 0 the database where none is given.
 */
#ifndef POTIK_LIMIT_REDIS_URL_H
#define POTIK_LIMIT_REDIS_URL_H

#include "base/diag.h"
#include "base/err.h"

#include <stdint.h>

#define REDIS_HOST_BYTES 256
#define REDIS_PATH_BYTES 108 /* of a unix socket's address, as the kernel has it */
#define REDIS_SECRET_BYTES 256

struct redis_url {
    char host[REDIS_HOST_BYTES]; /* "": a unix socket */
    char port[8];
    char path[REDIS_PATH_BYTES];
    char user[REDIS_SECRET_BYTES];     /* "": none */
    char password[REDIS_SECRET_BYTES]; /* "": none */
    uint32_t database;
};

/* ERR_INVALID: told in `diag`, without the password. */
MUST_USE enum err redis_url_parse(const char *text, struct redis_url *ret_url, struct diag *diag);

#endif
