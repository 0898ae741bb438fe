/*
 * redis - limits kept together by several nodes, in a Redis server.
 *
 * Layer 3 (limit). One link a process, on one loop's thread; it never blocks that loop. Every few
 * milliseconds, if anything was counted, it tells Redis in one call of one script (an atomic step
 * there: sql/redis/limits.lua) and learns what is owed in all; share.h says what that means for
 * requests. Redis away: the fallback of limit.h holds, one log line a minute tells, and connecting
 * is tried again and again.
 */
#ifndef POTIK_LIMIT_REDIS_H
#define POTIK_LIMIT_REDIS_H

#include "base/clock.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/log.h"
#include "limit/limit.h"

#include <stdint.h>

#define REDIS_PREFIX_BYTES_MAX 64

struct limit_redis_config {
    const char *url;     /* redis_url_check */
    const char *prefix;  /* of every key: [A-Za-z0-9_.-], 1 … REDIS_PREFIX_BYTES_MAX */
    int64_t timeout_ms;  /* for connecting, and for each answer */
    struct limit *limit; /* is_shared; outlives the link */
    const struct clock *clock;
    const struct log_sink *sink;
};

struct limit_redis;
/* ERR_INVALID: url (NULL: none) or prefix will not do, told with the setting's name; ERR_NOMEM. */
MUST_USE enum err limit_redis_check(const char *url, const char *prefix, struct diag *diag);
/* Waits until the first connection stands, or has failed (timeout_ms at most): a server that has
 * just said that it listens knows what the others have let in. ERR_NOMEM, ERR_IO (no descriptors);
 * Redis away is no error. */
MUST_USE enum err limit_redis_open(const struct limit_redis_config *config,
                                   struct limit_redis **ret_redis, struct diag *diag);
void limit_redis_close(struct limit_redis **place);
/* Readable when limit_redis_ready is to be called, on the thread that opened it. */
int limit_redis_fd(const struct limit_redis *redis);
void limit_redis_ready(struct limit_redis *redis);

#endif
