/*
 * accept - new connections: how many, and to which loop.
 *
 * Layer 5 (http), on the loop's thread. The kernel spreads connections over SO_REUSEPORT listeners
 * by hash, so that 64 clients may fall 40 to 24 on two loops; a loop that has two more than the
 * least loaded hands the new one over by its mailbox, once in the connection's life. Without file
 * descriptors the listener rests for a while instead of spinning.
 */
#include "http/connection.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 64
#define ACCEPTS_AT_STOP 4096 /* the rest of the queue, before the listener is closed */
#define REFUSED_MAX 64       /* connections over the limit that get a 503; others are just closed */
#define BACKOFF_NS INT64_C(100000000)

struct handover {
    struct http_loop *loop;
    int fd;
    bool is_refused;
    struct sockaddr_storage address; /* of accept: a client that has gone has none any more */
};

/* The loop that takes it, counted there already. */
static struct http_loop *
least_loaded(struct http_loop *loop)
{
    struct http_server *server = loop->server;
    struct http_loop *least = loop;
    uint32_t own = atomic_load_explicit(&loop->connection_count, memory_order_relaxed);
    uint32_t least_count = own;

    for (uint32_t i = 0; i < server->config.loops; i++) {
        uint32_t count =
            atomic_load_explicit(&server->loops[i].connection_count, memory_order_relaxed);

        if (count < least_count) {
            least = &server->loops[i];
            least_count = count;
        }
    }
    return own >= least_count + 2 ? least : loop;
}

static void
adopt(void *loop_state, void *arg)
{
    struct handover *handover = (struct handover *)arg;

    (void)loop_state;
    connection_open(handover->loop, handover->fd, &handover->address, handover->is_refused);
    mem_free(handover);
}

static bool
hand_over(struct http_loop *target, int fd, const struct sockaddr_storage *address, bool is_refused)
{
    struct handover *handover = MEM_NEW(struct handover, 1);

    if (handover == NULL)
        return false;
    *handover = (struct handover){target, fd, is_refused, *address};
    if (!mailbox_post(&target->mailbox, (struct message){adopt, handover})) {
        mem_free(handover);
        return false;
    }
    return true;
}

static void
place(struct http_loop *loop, int fd, const struct sockaddr_storage *address)
{
    struct http_server *server = loop->server;
    uint32_t count = atomic_fetch_add(&server->connection_count, 1);
    bool is_refused = count >= server->config.connections_max;
    struct http_loop *target = least_loaded(loop);

    if (count >= server->config.connections_max + REFUSED_MAX) {
        atomic_fetch_sub(&server->connection_count, 1);
        loop_count(&loop->refused);
        close(fd);
        return;
    }
    atomic_fetch_add_explicit(&target->connection_count, 1, memory_order_relaxed);
    if (target != loop && !loop->is_stopping) {
        if (hand_over(target, fd, address, is_refused))
            return;
    }
    if (target != loop) {
        atomic_fetch_sub_explicit(&target->connection_count, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&loop->connection_count, 1, memory_order_relaxed);
    }
    connection_open(loop, fd, address, is_refused);
}

static void
rest(struct http_loop *loop, int errno_value)
{
    struct epoll_event event = {.events = 0, .data.ptr = &loop->listener};
    struct diag diag = DIAG_INIT;

    diag_set(&diag, "accept");
    diag_add_errno(&diag, errno_value);
    SINK(loop->config->sink, LOG_LEVEL_WARN, "http.accept_failed", LOG_TEXT("reason", diag.message),
         LOG_I64("retry_ms", BACKOFF_NS / 1000000));
    /* EPOLLEXCLUSIVE forbids MOD: out and in again serves both kinds. */
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, loop->listener.fd, &event);
    loop->listener.is_paused = true;
    loop->listener.resume_ns = loop->now_ns + BACKOFF_NS;
}

static void
accept_some(struct http_loop *loop, uint32_t count_max)
{
    for (uint32_t i = 0; i < count_max && loop->listener.fd >= 0; i++) {
        struct sockaddr_storage address = {.ss_family = AF_UNIX};
        socklen_t len = sizeof(address);
        int fd = accept4(loop->listener.fd, (struct sockaddr *)&address, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            place(loop, fd, &address);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            rest(loop, errno);
            return;
        }
        /* Else the client went away in the queue: the next. */
    }
}

void
listener_accept(struct http_loop *loop)
{
    if (!loop->listener.is_paused)
        accept_some(loop, ACCEPTS_A_TURN);
}

void
listener_resume(struct http_loop *loop)
{
    struct epoll_event event = {.events = EPOLLIN |
                                          (loop->listener.is_shared ? (uint32_t)EPOLLEXCLUSIVE : 0),
                                .data.ptr = &loop->listener};

    loop->listener.is_paused = false;
    if (loop->listener.fd >= 0 &&
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->listener.fd, &event) != 0)
        rest(loop, errno);
}

void
listener_close(struct http_loop *loop)
{
    if (loop->listener.fd < 0)
        return;
    /* Whoever has connected would be reset by the close: take them in, their requests are answered.
     */
    if (!loop->listener.is_paused)
        accept_some(loop, ACCEPTS_AT_STOP);
    if (loop->listener.is_shared)
        (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, loop->listener.fd, NULL);
    if (!loop->listener.is_shared || atomic_fetch_sub(&loop->server->shared_users, 1) == 1)
        close(loop->listener.fd);
    loop->listener.fd = -1;
    loop->listener.is_paused = false;
}
