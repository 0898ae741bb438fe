/*
 * redis_inside - the link to Redis, as redis.c connects it and redis_ask.c speaks over it.
 *
 * Layer 3 (limit), seen by these two alone, on the loop's thread that opened the link.
 */
#ifndef POTIK_LIMIT_REDIS_INSIDE_H
#define POTIK_LIMIT_REDIS_INSIDE_H

#include "base/buf.h"
#include "base/resolver.h"
#include "limit/redis.h"
#include "limit/redis_url.h"
#include "limit/share.h"

#include <hiredis/async.h>

#define REDIS_PARTS_MAX 1000 /* told at once; the rest right after the answer */
#define REDIS_TELL_EACH_NS (INT64_C(10) * 1000000) /* at the most so often */
#define REDIS_COMMAND_BYTES_MAX (1024 * 1024)

enum redis_state {
    REDIS_AWAY,       /* waits for the end of its backoff */
    REDIS_RESOLVING,  /* for the host's address */
    REDIS_CONNECTING, /* for the socket */
    REDIS_GREETING,   /* for the answers to password, database, script */
    REDIS_IDLE,       /* these two are connected */
    REDIS_ASKING,
};

struct limit_redis {
    struct limit_redis_config config;
    struct redis_url url;
    char prefix[REDIS_PREFIX_BYTES_MAX + 1];
    enum limit_fallback fallback;
    enum redis_state state;
    int epoll_fd;
    int timer_fd;
    int counted_fd;
    struct resolver *resolver;
    struct resolver_request *request;
    redisAsyncContext *context; /* NULL: none */
    uint32_t socket_events;
    uint32_t tries;
    uint32_t address_count; /* of the host; 0: not known, or none */
    int64_t backoff_ms;
    int64_t asked_ns;   /* the last telling */
    int64_t told_ns;    /* the last log line */
    bool is_away_told;  /* a log line has said so */
    bool is_first_over; /* the first connection stands, or has failed */
    bool is_more;       /* something was counted since the last telling */
    bool is_closing;
    char words[256]; /* why redis_drop was called */
    char script[41]; /* the script's SHA-1, as Redis told it */
    struct buf command;
    size_t part_count;
    struct share_part parts[REDIS_PARTS_MAX];
};

/* redis.c */
/* ms: until the state ends by itself; 0: it does not. */
void redis_enter(struct limit_redis *redis, enum redis_state state, int64_t ms);
/* The connection will not do. */
void redis_drop(struct limit_redis *redis, const char *words);
/* Connected; and: something was told, and answered: only that shows that it works. */
void redis_note_greeted(struct limit_redis *redis);
void redis_note_told(struct limit_redis *redis);

/* redis_ask.c */
void redis_greet(struct limit_redis *redis);
/* Tells what has been counted, if anything was: at once, or when the interval since the last
 * telling is over. */
void redis_tell_soon(struct limit_redis *redis); /* redis.c */
void redis_tell(struct limit_redis *redis);

#endif
