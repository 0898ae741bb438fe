/*
 * loop - one thread's turns: wait, read and hand over, commit, reply.
 *
 * Layer 5 (http). A turn: epoll_wait; posted calls, watched fds, new connections, one small read of
 * each ready client; reads within bodies, in rotation, until turn_bytes_max; deadlines; turn_end;
 * replies flushed. So everything that arrived in a turn is one batch, a client with one small event
 * never waits for another's whole import, and with a crowd of importers a turn is no longer than
 * with one.
 */
#include "http/connection.h"

#include "base/random.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 512
#define NS_PER_MS 1000000

/* --- queues of connections, each at most once in each
 * -------------------------------------------*/

#define QUEUE_ADD(loop, connection, queue, flag)                                                   \
    do {                                                                                           \
        if ((connection)->flag)                                                                    \
            break;                                                                                 \
        (connection)->flag = true;                                                                 \
        (connection)->next_##queue = NULL;                                                         \
        if ((loop)->queue##_last != NULL)                                                          \
            (loop)->queue##_last->next_##queue = (connection);                                     \
        else                                                                                       \
            (loop)->queue##_first = (connection);                                                  \
        (loop)->queue##_last = (connection);                                                       \
    } while (0)

#define QUEUE_TAKE(loop, connection, queue, flag)                                                  \
    do {                                                                                           \
        (connection) = (loop)->queue##_first;                                                      \
        if ((connection) == NULL)                                                                  \
            break;                                                                                 \
        (loop)->queue##_first = (connection)->next_##queue;                                        \
        if ((loop)->queue##_first == NULL)                                                         \
            (loop)->queue##_last = NULL;                                                           \
        (connection)->flag = false;                                                                \
    } while (0)

void
loop_flush_later(struct http_loop *loop, struct connection *connection)
{
    QUEUE_ADD(loop, connection, flush, is_in_flush);
}

void
loop_more_later(struct http_loop *loop, struct connection *connection)
{
    QUEUE_ADD(loop, connection, more, is_in_more);
}

void
loop_resume_later(struct http_loop *loop, struct connection *connection)
{
    QUEUE_ADD(loop, connection, resume, is_in_resume);
}

/* --- start and end
 * ------------------------------------------------------------------------------*/

static void
update_time(struct http_loop *loop)
{
    int64_t second = clock_wall_us(loop->config->clock) / US_PER_S;
    struct tm parts;
    time_t seconds = (time_t)second;

    loop->now_ns = clock_steady_ns(loop->config->clock);
    if (second == loop->date_s)
        return;
    loop->date_s = second;
    gmtime_r(&seconds, &parts);
    /* The C locale's names, whatever the process has set: RFC 9110 §5.6.7. */
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    (void)snprintf(loop->date, sizeof(loop->date), "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
                   days + 3 * parts.tm_wday, (unsigned)parts.tm_mday % 100,
                   months + 3 * parts.tm_mon, (unsigned)(parts.tm_year + 1900) % 10000,
                   (unsigned)parts.tm_hour % 100, (unsigned)parts.tm_min % 100,
                   (unsigned)parts.tm_sec % 100);
}

static enum err
epoll_add(struct http_loop *loop, int fd, uint32_t events, struct source *source)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? ERR_OK : ERR_IO;
}

enum err
loop_init(struct http_loop *loop, struct http_server *server, uint32_t number, struct diag *diag)
{
    uint8_t random[5];
    enum err err;

    loop->server = server;
    loop->config = &server->config;
    loop->number = number;
    loop->date_s = INT64_MIN;
    loop->listener.source.kind = SOURCE_LISTENER;
    loop->mailbox_source.kind = SOURCE_MAILBOX;
    buf_init(&loop->error_body, 65536);
    random_fill(random_system(), random, sizeof(random));
    loop->id_prefix_len =
        (size_t)snprintf(loop->id_prefix, sizeof(loop->id_prefix), "%02x%02x%02x%02x%02x-",
                         random[0], random[1], random[2], random[3], random[4]);
    err = mailbox_init(&loop->mailbox);
    if (err != ERR_OK) {
        diag_set(diag, "http: no memory or no file descriptor for a loop");
        return err;
    }
    loop->scratch = (char *)mem_alloc(HTTP_READ_BYTES);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->scratch == NULL || loop->epoll_fd < 0 ||
        epoll_add(loop, loop->mailbox.wake_fd, EPOLLIN, &loop->mailbox_source) != ERR_OK ||
        epoll_add(loop, loop->listener.fd,
                  EPOLLIN | (loop->listener.is_shared ? (uint32_t)EPOLLEXCLUSIVE : 0),
                  &loop->listener.source) != ERR_OK) {
        diag_set(diag, "http: no memory or no file descriptor for a loop");
        return ERR_NOMEM;
    }
    update_time(loop);
    deadline_wheel_init(&loop->wheel, loop->now_ns);
    return ERR_OK;
}

void
loop_fini(struct http_loop *loop)
{
    assert(loop->connections == NULL);
    while (loop->watches != NULL) {
        struct watch *watch = loop->watches;

        loop->watches = watch->next;
        mem_free(watch);
    }
    while (loop->free_connections != NULL) {
        struct connection *connection = loop->free_connections;

        loop->free_connections = connection->next_dead;
        mem_free(connection);
    }
    while (loop->free_exchanges != NULL) {
        struct http_exchange *exchange = loop->free_exchanges;

        loop->free_exchanges = exchange->next;
        exchange_free(exchange);
    }
    buf_fini(&loop->error_body);
    mem_free(loop->scratch);
    mailbox_fini(&loop->mailbox);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
}

/* --- a turn
 * -------------------------------------------------------------------------------------*/

static void
run_posted(struct http_loop *loop)
{
    struct message message;

    mailbox_quiet(&loop->mailbox);
    for (uint32_t i = 0; i < MAILBOX_MESSAGES_MAX; i++) {
        if (!mailbox_take(&loop->mailbox, &message))
            return;
        message.run(loop->app_state, message.arg);
    }
    mailbox_wake(&loop->mailbox); /* more have come meanwhile: the next turn */
}

static void
dispatch(struct http_loop *loop, const struct epoll_event *event)
{
    struct source *source = (struct source *)event->data.ptr;
    struct watch *watch;

    switch (source->kind) {
    case SOURCE_LISTENER:
        listener_accept(loop);
        break;
    case SOURCE_MAILBOX:
        run_posted(loop);
        break;
    case SOURCE_CONNECTION:
        connection_ready((struct connection *)source, event->events);
        break;
    case SOURCE_WATCH:
        watch = (struct watch *)source;
        if (watch->fd >= 0)
            watch->ready(loop->app_state, watch->arg, event->events);
        break;
    }
}

/* Those with more to read, in rotation, while the turn's budget lasts. */
static void
read_more(struct http_loop *loop)
{
    struct connection *connection;

    /* The rest stays in the queue for the next turn, so that each has its turn. */
    while (loop->turn_bytes < loop->config->turn_bytes_max) {
        QUEUE_TAKE(loop, connection, more, is_in_more);
        if (connection == NULL)
            return;
        connection_read_more(connection);
    }
}

static void
resume_paused(struct http_loop *loop)
{
    struct connection *end = loop->resume_last;
    struct connection *connection;

    if (end == NULL)
        return;
    do {
        QUEUE_TAKE(loop, connection, resume, is_in_resume);
        if (connection->state == CONNECTION_OPEN)
            connection_resume(connection);
    } while (connection != end);
}

static void
flush_replies(struct http_loop *loop)
{
    struct connection *connection;

    for (;;) {
        QUEUE_TAKE(loop, connection, flush, is_in_flush);
        if (connection == NULL)
            return;
        if (connection->state == CONNECTION_OPEN)
            connection_flush(connection);
    }
}

static void
free_dead(struct http_loop *loop)
{
    struct connection *connection = loop->dead;

    loop->dead = NULL;
    while (connection != NULL) {
        struct connection *next = connection->next_dead;

        if (connection->is_in_resume || connection->is_in_flush || connection->is_in_more) {
            connection->next_dead = loop->dead; /* a queue still names it: next turn */
            loop->dead = connection;
        } else {
            connection_free(connection);
        }
        connection = next;
    }
}

static void
free_removed_watches(struct http_loop *loop)
{
    struct watch **place = &loop->watches;

    loop->has_removed_watches = false;
    while (*place != NULL) {
        struct watch *watch = *place;

        if (watch->fd >= 0) {
            place = &watch->next;
        } else {
            *place = watch->next;
            mem_free(watch);
        }
    }
}

static int
wait_ms(const struct http_loop *loop)
{
    int64_t wait = deadline_wait_ns(&loop->wheel, loop->now_ns);
    int64_t until;

    if (loop->resume_first != NULL || loop->more_first != NULL)
        return 0;
    if (loop->listener.is_paused) {
        until = loop->listener.resume_ns - loop->now_ns;
        wait = wait < 0 || until < wait ? until : wait;
    }
    if (loop->is_stopping) {
        until = loop->stop_until_ns - loop->now_ns;
        wait = wait < 0 || until < wait ? until : wait;
    }
    if (wait < 0)
        return loop->is_stopping || loop->listener.is_paused ? 0 : -1;
    return (int)((wait + NS_PER_MS - 1) / NS_PER_MS);
}

static void
expire(struct http_loop *loop)
{
    struct deadline *deadline;

    while ((deadline = deadline_expired(&loop->wheel, loop->now_ns)) != NULL)
        connection_expire(
            (struct connection *)((char *)deadline - offsetof(struct connection, deadline)));
}

static void
begin_stop(struct http_loop *loop)
{
    struct connection *next;

    loop->is_stopping = true;
    loop->stop_until_ns = loop->now_ns + atomic_load(&loop->server->drain_ms) * NS_PER_MS;
    listener_close(loop);
    for (struct connection *connection = loop->connections; connection != NULL; connection = next) {
        next = connection->next;
        connection_stop(connection);
    }
}

static void
take_turn(struct http_loop *loop)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, wait_ms(loop));

    assert(count >= 0 || errno == EINTR);
    update_time(loop);
    loop->turn_bytes = 0;
    loop->turn_handshakes = 0;
    resume_paused(loop);
    for (int i = 0; i < count; i++)
        dispatch(loop, &events[i]);
    if (!loop->is_stopping && atomic_load(&loop->server->is_stopping))
        begin_stop(loop);
    read_more(loop);
    expire(loop);
    if (loop->listener.is_paused && loop->listener.resume_ns <= loop->now_ns)
        listener_resume(loop);
    loop->config->handler->turn_end(loop->app_state);
    flush_replies(loop);
    if (loop->config->tells_done)
        loop->config->handler->turn_sent(loop->app_state);
    if (loop->dead != NULL)
        free_dead(loop);
    if (loop->has_removed_watches)
        free_removed_watches(loop);
}

/* --- the thread
 * ---------------------------------------------------------------------------------*/

static void
end_stop(struct http_loop *loop)
{
    while (loop->connections != NULL)
        connection_close(loop->connections);
    /* Nothing is taken in any more; what was is run, so that whoever posted can free it. */
    mailbox_close(&loop->mailbox);
    run_posted(loop);
    while (loop->connections != NULL) /* handed over meanwhile */
        connection_close(loop->connections);
    loop->config->handler->turn_end(loop->app_state);
    resume_paused(loop); /* empties the queues, so that nothing names the dead */
    loop->turn_bytes = 0;
    read_more(loop);
    flush_replies(loop);
    free_dead(loop);
    loop->config->handler->loop_stop(loop->app_state);
}

static enum err
report_start(struct http_loop *loop)
{
    struct http_server *server = loop->server;
    struct diag diag = DIAG_INIT;
    enum err err =
        loop->config->handler->loop_start(loop->config->app, loop, &loop->app_state, &diag);

    pthread_mutex_lock(&server->start_lock);
    server->ready_loops++;
    if (err != ERR_OK && server->start_err == ERR_OK) {
        server->start_err = err;
        server->start_diag = diag;
    }
    pthread_cond_signal(&server->start_moved);
    pthread_mutex_unlock(&server->start_lock);
    return err;
}

void
loop_run(void *arg)
{
    struct http_loop *loop = (struct http_loop *)arg;

    if (report_start(loop) != ERR_OK) {
        mailbox_close(&loop->mailbox);
        return;
    }
    for (;;) {
        take_turn(loop);
        if (loop->is_stopping && (loop->connections == NULL || loop->now_ns >= loop->stop_until_ns))
            break;
    }
    end_stop(loop);
}

/* --- calls of the contract
 * ----------------------------------------------------------------------*/

bool
http_loop_post(struct http_loop *loop, void (*run)(void *loop_state, void *arg), void *arg)
{
    return mailbox_post(&loop->mailbox, (struct message){run, arg});
}

uint32_t
http_loop_number(const struct http_loop *loop)
{
    return loop->number;
}

int64_t
http_loop_now_ns(const struct http_loop *loop)
{
    return loop->now_ns;
}

enum err
http_loop_watch(struct http_loop *loop, int fd, uint32_t events,
                void (*ready)(void *loop_state, void *arg, uint32_t events), void *arg)
{
    struct epoll_event event = {.events = events};
    struct watch *watch = loop->watches;
    bool is_new;

    while (watch != NULL && watch->fd != fd)
        watch = watch->next;
    if (events == 0) {
        if (watch == NULL)
            return ERR_ABSENT;
        watch->fd = -1;
        loop->has_removed_watches = true;
        (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* may be closed already */
        return ERR_OK;
    }
    is_new = watch == NULL;
    if (is_new) {
        watch = MEM_NEW(struct watch, 1);
        if (watch == NULL)
            return ERR_NOMEM;
    }
    event.data.ptr = watch;
    /* A known fd may have been closed and opened anew by its owner: then epoll has forgotten it. */
    if ((is_new || epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0) &&
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        if (is_new)
            mem_free(watch);
        return ERR_IO;
    }
    watch->source.kind = SOURCE_WATCH;
    watch->fd = fd;
    watch->ready = ready;
    watch->arg = arg;
    if (is_new) {
        watch->next = loop->watches;
        loop->watches = watch;
    }
    return ERR_OK;
}
