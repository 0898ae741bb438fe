/*
 * redis - see redis.h. Here: the connection, made, watched, lost and made again; what is said over
 * it: redis_ask.c.
 *
 * What the loop watches is one epoll descriptor for the link's whole life. In it stand
 *
 *     the socket      hiredis's, another one after each connect
 *     the timer       end of the backoff; of the time for an answer; the next telling
 *     an eventfd      something has been counted, on any thread
 *     another         the resolver's answer
 *
 *     AWAY ─timer─▶ RESOLVING ─▶ CONNECTING ─▶ GREETING ─▶ IDLE ◀─▶ ASKING
 *      ▲                                                    │
 *      └───────────── any failure, any deadline ◀───────────┘
 *
 * hiredis frees a context by itself, in the midst of its own calls, and tells so by the `cleanup`
 * hook: that is the one place where a connection is lost. Its connect would block on a name, so it
 * is only given addresses.
 */
#include "limit/redis_inside.h"

#include "base/counter.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/random.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NS_PER_MS INT64_C(1000000)
#define BACKOFF_MS_MIN 50
#define BACKOFF_MS_MAX 2000
#define LOG_EACH_NS (60 * NS_PER_S)

enum { WATCH_SOCKET, WATCH_TIMER, WATCH_COUNTED, WATCH_RESOLVER };

GAUGE_DEFINE(up, "potik_redis_up",
             "1: limits are kept together with other nodes; 0: Redis is away");
COUNTER_DEFINE(losses, "potik_redis_failures_total",
               "connections to Redis that failed, were lost or did not answer in time");

/* --- what is watched -------------------------------------------------------------------------- */

static bool
watch(const struct limit_redis *redis, int operation, int fd, uint32_t events, uint32_t what)
{
    struct epoll_event event = {.events = events, .data.u32 = what};

    return epoll_ctl(redis->epoll_fd, operation, fd, &event) == 0;
}

static void
watch_socket(struct limit_redis *redis, uint32_t events)
{
    const int fd = redis->context->c.fd;

    if (events == redis->socket_events)
        return;
    if (redis->socket_events == 0)
        (void)watch(redis, EPOLL_CTL_ADD, fd, events, WATCH_SOCKET);
    else
        (void)watch(redis, events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD, fd, events, WATCH_SOCKET);
    redis->socket_events = events;
}

static void
add_read(void *state)
{
    struct limit_redis *redis = state;

    watch_socket(redis, redis->socket_events | EPOLLIN);
}

static void
remove_read(void *state)
{
    struct limit_redis *redis = state;

    watch_socket(redis, redis->socket_events & ~(uint32_t)EPOLLIN);
}

static void
add_write(void *state)
{
    struct limit_redis *redis = state;

    watch_socket(redis, redis->socket_events | EPOLLOUT);
}

static void
remove_write(void *state)
{
    struct limit_redis *redis = state;

    watch_socket(redis, redis->socket_events & ~(uint32_t)EPOLLOUT);
}

/* When the state ends by itself; 0: it does not. */
static void
arm(struct limit_redis *redis, int64_t at_ns)
{
    const int64_t left_ns = at_ns - clock_steady_ns(redis->config.clock);
    struct itimerspec when = {0};

    if (at_ns != 0) {
        when.it_value.tv_sec = left_ns > 0 ? left_ns / NS_PER_S : 0;
        when.it_value.tv_nsec = left_ns > 0 ? left_ns % NS_PER_S : 1;
    }
    (void)timerfd_settime(redis->timer_fd, 0, &when, NULL);
}

void
redis_enter(struct limit_redis *redis, enum redis_state state, int64_t ms)
{
    redis->state = state;
    arm(redis, ms == 0 ? 0 : clock_steady_ns(redis->config.clock) + ms * NS_PER_MS);
}

/* --- losing ----------------------------------------------------------------------------------- */

static void
tell_away(struct limit_redis *redis, const char *words)
{
    static const char *const fallbacks[] = {"local", "open", "closed"};
    const int64_t now_ns = clock_steady_ns(redis->config.clock);

    if (redis->told_ns != 0 && now_ns - redis->told_ns < LOG_EACH_NS)
        return;
    redis->told_ns = now_ns;
    redis->is_away_told = true;
    SINK(redis->config.sink, LOG_LEVEL_WARN, "redis.away", LOG_TEXT("reason", words),
         LOG_TEXT("limit_fallback", fallbacks[redis->fallback]));
}

/* The context is gone, or was never made. */
static void
lose(struct limit_redis *redis, const char *words)
{
    if (redis->state >= REDIS_IDLE)
        limit_set_away(redis->config.limit, true);
    gauge_set(&up, 0);
    counter_add(&losses, 1);
    tell_away(redis, words);
    redis->is_first_over = redis->tries >= redis->address_count; /* each once */
    redis_enter(redis, REDIS_AWAY,
                random_backoff_ms(&redis->backoff_ms, BACKOFF_MS_MIN, BACKOFF_MS_MAX));
}

static void
forget_context(void *state)
{
    struct limit_redis *redis = state;
    struct diag diag = DIAG_INIT;

    diag_set(&diag, "%s",
             redis->words[0] != '\0' ? redis->words
             : redis->context->errstr != NULL && redis->context->errstr[0] != '\0'
                 ? redis->context->errstr
                 : "it hung up");
    redis->words[0] = '\0';
    watch_socket(redis, 0);
    redis->context = NULL;
    if (!redis->is_closing)
        lose(redis, diag.message);
}

void
redis_drop(struct limit_redis *redis, const char *words)
{
    (void)snprintf(redis->words, sizeof(redis->words), "%s", words);
    if (redis->context != NULL)
        redisAsyncFree(redis->context); /* at once, or when hiredis's call under way is over */
    else
        lose(redis, words);
}

/* --- connecting ------------------------------------------------------------------------------- */

static void
note_connected(const redisAsyncContext *context, int status)
{
    struct limit_redis *redis = context->data;

    if (status == REDIS_OK)
        redis_greet(redis);
}

static void
adopt(struct limit_redis *redis, redisAsyncContext *context)
{
    if (context == NULL) {
        lose(redis, "out of memory");
        return;
    }
    if (context->err != 0) {
        struct diag diag = DIAG_INIT;

        diag_set(&diag, "%s", context->errstr);
        redisAsyncFree(context);
        lose(redis, diag.message);
        return;
    }
    redis->context = context;
    redis->socket_events = 0;
    context->data = redis;
    context->ev.data = redis;
    context->ev.addRead = add_read;
    context->ev.delRead = remove_read;
    context->ev.addWrite = add_write;
    context->ev.delWrite = remove_write;
    context->ev.cleanup = forget_context;
    redis_enter(redis, REDIS_CONNECTING, redis->config.timeout_ms);
    if (redisAsyncSetConnectCallback(context, note_connected) != REDIS_OK)
        redis_drop(redis, "out of memory");
}

/* A name may have several addresses; each try takes the next one. */
static void
connect_to_answer(struct limit_redis *redis)
{
    const struct resolver_address *addresses;
    struct diag diag = DIAG_INIT;
    const uint32_t count = resolver_request_addresses(redis->request, &addresses, &diag);
    const struct resolver_address *address;

    redis->address_count = count;
    if (count == 0) {
        resolver_request_free(&redis->request);
        lose(redis, diag.message);
        return;
    }
    address = &addresses[redis->tries++ % count];
    adopt(redis, redisAsyncConnect(address->hostaddr[0] != '\0' ? address->hostaddr : address->host,
                                   (int)strtol(address->port, NULL, 10)));
    resolver_request_free(&redis->request);
}

static void
begin_connecting(struct limit_redis *redis)
{
    struct diag diag = DIAG_INIT;

    if (redis->url.host[0] == '\0') {
        adopt(redis, redisAsyncConnectUnix(redis->url.path));
        return;
    }
    /* A lookup that took too long goes on: asking again would only queue behind it. */
    if (redis->request == NULL && resolver_ask(redis->resolver, redis->url.host, NULL,
                                               redis->url.port, &redis->request, &diag) != ERR_OK) {
        lose(redis, diag.message[0] != '\0' ? diag.message : "out of memory");
        return;
    }
    if (resolver_request_is_answered(redis->request)) {
        connect_to_answer(redis);
        return;
    }
    (void)watch(redis, EPOLL_CTL_ADD, resolver_request_fd(redis->request), EPOLLIN,
                WATCH_RESOLVER); /* stands there already where the lookup went on */
    redis_enter(redis, REDIS_RESOLVING, redis->config.timeout_ms);
}

void
redis_note_greeted(struct limit_redis *redis)
{
    redis->is_first_over = true;
    limit_set_away(redis->config.limit, false);
    gauge_set(&up, 1);
    redis_tell(redis);
}

void
redis_note_told(struct limit_redis *redis)
{
    redis->backoff_ms = 0;
    if (redis->is_away_told)
        SINK(redis->config.sink, LOG_LEVEL_INFO, "redis.back");
    redis->is_away_told = false;
}

/* --- what has happened ------------------------------------------------------------------------ */

/* false: it is not readable any more, as a timer that was armed anew meanwhile. */
static bool
clear(int fd)
{
    uint64_t count;
    ssize_t got;

    do
        got = read(fd, &count, sizeof(count));
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof(count);
}

static void
wake(void *state)
{
    const struct limit_redis *redis = state;
    const uint64_t one = 1;

    while (write(redis->counted_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void
end_state(struct limit_redis *redis)
{
    switch (redis->state) {
    case REDIS_AWAY:
        begin_connecting(redis);
        break;
    case REDIS_RESOLVING:
        lose(redis, "the host's name was not resolved in time");
        break;
    case REDIS_CONNECTING:
    case REDIS_GREETING:
        redis_drop(redis, "no connection in time");
        break;
    case REDIS_ASKING:
        redis_drop(redis, "no answer in time");
        break;
    case REDIS_IDLE:
        redis_tell(redis);
        break;
    }
}

void
redis_tell_soon(struct limit_redis *redis)
{
    if (redis->state == REDIS_IDLE)
        arm(redis, redis->asked_ns + REDIS_TELL_EACH_NS);
    else
        redis->is_more = true;
}

/* hiredis ends the program where an answer comes that nobody has asked for. */
static bool
speaks_unasked(const struct limit_redis *redis)
{
    char byte;

    return redis->state == REDIS_IDLE &&
           recv(redis->context->c.fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void
socket_ready(struct limit_redis *redis, uint32_t events)
{
    if (redis->context != NULL && (events & EPOLLIN) != 0 && speaks_unasked(redis)) {
        redis_drop(redis, "it spoke unasked");
        return;
    }
    if (redis->context != NULL && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 &&
        (redis->socket_events & EPOLLIN) != 0)
        redisAsyncHandleRead(redis->context);
    if (redis->context != NULL && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0 &&
        (redis->socket_events & EPOLLOUT) != 0)
        redisAsyncHandleWrite(redis->context);
}

void
limit_redis_ready(struct limit_redis *redis)
{
    struct epoll_event events[8];
    const int count = epoll_wait(redis->epoll_fd, events, (int)COUNT_OF(events), 0);

    for (int i = 0; i < count; i++) {
        switch (events[i].data.u32) {
        case WATCH_SOCKET:
            socket_ready(redis, events[i].events);
            break;
        case WATCH_TIMER:
            if (clear(redis->timer_fd))
                end_state(redis);
            break;
        case WATCH_COUNTED:
            (void)clear(redis->counted_fd);
            redis_tell_soon(redis);
            break;
        default:
            if (redis->state == REDIS_RESOLVING && resolver_request_is_answered(redis->request))
                connect_to_answer(redis);
        }
    }
}

/* --- opening and closing ---------------------------------------------------------------------- */

enum err
limit_redis_check(const char *url, const char *prefix, struct diag *diag)
{
    struct redis_url parsed;
    const size_t len = strlen(prefix);
    bool is_right = len >= 1 && len <= REDIS_PREFIX_BYTES_MAX;

    for (size_t i = 0; i < len; i++)
        is_right =
            is_right && (isalnum((unsigned char)prefix[i]) || strchr("_.-", prefix[i]) != NULL);
    if (!is_right) {
        diag_set_field(diag, "redis-prefix",
                       "redis-prefix: may have 1 to %d letters, digits and - _ . in it",
                       REDIS_PREFIX_BYTES_MAX);
        return ERR_INVALID;
    }
    return url == NULL ? ERR_OK : redis_url_parse(url, &parsed, diag);
}

static enum err
open_descriptors(struct limit_redis *redis, struct diag *diag)
{
    redis->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    redis->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    redis->counted_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (redis->epoll_fd >= 0 && redis->timer_fd >= 0 && redis->counted_fd >= 0 &&
        watch(redis, EPOLL_CTL_ADD, redis->timer_fd, EPOLLIN, WATCH_TIMER) &&
        watch(redis, EPOLL_CTL_ADD, redis->counted_fd, EPOLLIN, WATCH_COUNTED))
        return ERR_OK;
    diag_set(diag, "redis: no file descriptor");
    diag_add_errno(diag, errno);
    return ERR_IO;
}

static void
wait_for_first(struct limit_redis *redis)
{
    const int64_t end_ns =
        clock_steady_ns(redis->config.clock) + redis->config.timeout_ms * NS_PER_MS;

    while (!redis->is_first_over) {
        const int64_t left_ns = end_ns - clock_steady_ns(redis->config.clock);
        struct pollfd fd = {.fd = redis->epoll_fd, .events = POLLIN};

        if (left_ns <= 0 || (poll(&fd, 1, (int)(left_ns / NS_PER_MS) + 1) < 0 && errno != EINTR))
            return;
        limit_redis_ready(redis);
    }
}

enum err
limit_redis_open(const struct limit_redis_config *config, struct limit_redis **ret_redis,
                 struct diag *diag)
{
    CLEANUP(limit_redis_close) struct limit_redis *redis = MEM_NEW(struct limit_redis, 1);
    enum err err = ERR_NOMEM;

    if (redis == NULL)
        return err;
    redis->config = *config;
    redis->fallback = limit_fallback(config->limit);
    redis->epoll_fd = redis->timer_fd = redis->counted_fd = -1;
    buf_init(&redis->command, REDIS_COMMAND_BYTES_MAX);
    err = redis_url_parse(config->url, &redis->url, diag);
    if (err == ERR_OK)
        err = open_descriptors(redis, diag);
    if (err == ERR_OK)
        err = resolver_start(&redis->resolver, diag);
    if (err != ERR_OK)
        return err;
    (void)snprintf(redis->prefix, sizeof(redis->prefix), "%s", config->prefix);
    gauge_set(&up, 0);
    limit_share_with(config->limit, wake, redis);
    begin_connecting(redis);
    wait_for_first(redis);
    *ret_redis = MOVE(redis);
    return ERR_OK;
}

void
limit_redis_close(struct limit_redis **place)
{
    struct limit_redis *redis = *place;

    if (redis == NULL)
        return;
    *place = NULL;
    redis->is_closing = true;
    limit_share_with(redis->config.limit, NULL, NULL);
    if (redis->context != NULL)
        redisAsyncFree(redis->context);
    resolver_request_free(&redis->request);
    resolver_stop(&redis->resolver);
    file_close(&redis->epoll_fd);
    file_close(&redis->timer_fd);
    file_close(&redis->counted_fd);
    buf_fini(&redis->command);
    explicit_bzero(&redis->url, sizeof(redis->url));
    mem_free(redis);
}

int
limit_redis_fd(const struct limit_redis *redis)
{
    return redis->epoll_fd;
}
