/*
 * connection - one client's socket: opening, reading, deadlines, and its end.
 *
 * Layer 5 (http), on the loop's thread. See connection.h for the life of a connection. Sources: RFC
 * 9112 §9.6 (closing without losing the last reply); epoll(7).
 */
#include "http/connection.h"

#include "codec/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void
connection_want(struct connection *connection, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};

    if (connection->events == events)
        return;
    connection->events = events;
    /* Cannot fail for an fd that is registered. */
    if (epoll_ctl(connection->loop->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) != 0)
        assert(!"epoll_ctl of a registered fd");
}

void
connection_update_out(struct connection *connection)
{
    bool is_wanted = (connection->is_write_blocked && !connection->writes_when_readable) ||
                     connection->reads_when_writable;

    connection_want(connection, is_wanted ? connection->events | EPOLLOUT
                                          : connection->events & ~(uint32_t)EPOLLOUT);
}

void
connection_schedule(struct connection *connection)
{
    struct http_loop *loop = connection->loop;
    int64_t at = DEADLINE_NONE;

    if (connection->state == CONNECTION_LINGERING) {
        at = connection->linger_until_ns;
    } else {
        if (connection->reading != NULL)
            at = connection->read_until_ns < connection->request_until_ns
                     ? connection->read_until_ns
                     : connection->request_until_ns;
        else if (connection->first == NULL && connection->leftover == NULL)
            at = connection->idle_from_ns + loop->config->idle_timeout_ms * 1000000;
        if (connection->is_write_blocked && connection->write_until_ns < at)
            at = connection->write_until_ns;
    }
    deadline_set(&loop->wheel, &connection->deadline, at);
}

static void
write_peer(struct connection *connection, const void *address)
{
    const struct sockaddr *any = (const struct sockaddr *)address;

    if (any->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, connection->peer,
                  HTTP_PEER_BYTES);
    else if (any->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, connection->peer,
                  HTTP_PEER_BYTES);
    else
        memcpy(connection->peer, "unix", 5);
    connection->peer_len = (uint8_t)strlen(connection->peer);
    connection->peer_network = address_network(slice_of(connection->peer, connection->peer_len));
}

static struct connection *
connection_take(struct http_loop *loop)
{
    struct connection *connection = loop->free_connections;

    if (connection == NULL)
        return MEM_NEW(struct connection, 1);
    loop->free_connections = connection->next_dead;
    loop->free_connection_count--;
    memset(connection, 0, sizeof(*connection));
    return connection;
}

/* Through the same path as any reply. */
void
connection_refuse(struct connection *connection)
{
    struct http_exchange *exchange = exchange_begin(connection);

    loop_count(&connection->loop->refused);
    if (exchange == NULL) {
        connection_close(connection);
        return;
    }
    exchange_refuse(exchange, ERR_OVERLOADED, "too many connections");
}

void
connection_open(struct http_loop *loop, int fd, const void *address, bool is_refused)
{
    struct connection *connection = connection_take(loop);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

    if (connection == NULL || epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        mem_free(connection);
        close(fd);
        atomic_fetch_sub(&loop->server->connection_count, 1);
        atomic_fetch_sub(&loop->connection_count, 1);
        return;
    }
    connection->source.kind = SOURCE_CONNECTION;
    connection->fd = fd;
    connection->events = EPOLLIN;
    connection->loop = loop;
    connection->next = loop->connections;
    if (loop->connections != NULL)
        loop->connections->previous = connection;
    loop->connections = connection;
    deadline_init(&connection->deadline);
    connection->idle_from_ns = loop->now_ns;
    write_peer(connection, address);
    connection->is_refused = is_refused;
    if (loop->server->tls != NULL && !secure_open(connection))
        connection_close(connection);
    else if (is_refused && connection->tls == NULL)
        connection_refuse(connection);
    if (connection->state == CONNECTION_DEAD)
        return;
    connection_schedule(connection);
    if (loop->is_stopping)
        connection_stop(connection);
}

void
connection_close(struct connection *connection)
{
    struct http_loop *loop = connection->loop;
    struct http_exchange *exchange = connection->first;

    assert(connection->state != CONNECTION_DEAD);
    if (connection->tls != NULL)
        secure_close(connection);
    connection->state = CONNECTION_DEAD;
    while (exchange != NULL) {
        struct http_exchange *next = exchange->next;

        exchange_done(exchange);
        exchange_gone(exchange);
        exchange_recycle(loop, exchange);
        exchange = next;
    }
    connection->first = connection->last = connection->reading = NULL;
    connection->exchange_count = 0;
    mem_free(connection->leftover);
    connection->leftover = NULL;
    deadline_remove(&loop->wheel, &connection->deadline);
    close(connection->fd); /* leaves epoll by itself */
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        loop->connections = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    atomic_fetch_sub_explicit(&loop->server->connection_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&loop->connection_count, 1, memory_order_relaxed);
    connection->next_dead = loop->dead;
    loop->dead = connection;
}

void
connection_free(struct connection *connection)
{
    struct http_loop *loop = connection->loop;

    if (loop->free_connection_count == HTTP_FREE_CONNECTIONS_MAX) {
        mem_free(connection);
        return;
    }
    connection->next_dead = loop->free_connections;
    loop->free_connections = connection;
    loop->free_connection_count++;
}

/* --- the end ----------------------------------------------------------------------------------*/

void
connection_end(struct connection *connection)
{
    struct http_loop *loop = connection->loop;

    if (connection->is_input_ended || !connection->is_unread) {
        connection_close(connection);
        return;
    }
    if (connection->tls != NULL)
        secure_end(connection);
    if (shutdown(connection->fd, SHUT_WR) != 0) {
        connection_close(connection);
        return;
    }
    connection->state = CONNECTION_LINGERING;
    connection->linger_until_ns =
        loop_after_ms(loop, loop->is_stopping ? HTTP_LINGER_STOPPING_MS : HTTP_LINGER_MS);
    connection_want(connection, EPOLLIN);
    connection_schedule(connection);
}

void
connection_stop(struct connection *connection)
{
    struct http_loop *loop = connection->loop;

    if (connection->state == CONNECTION_LINGERING) {
        int64_t until = loop_after_ms(loop, HTTP_LINGER_STOPPING_MS);

        if (until < connection->linger_until_ns)
            connection->linger_until_ns = until;
        connection_schedule(connection);
        return;
    }
    if (connection->reading != NULL && exchange_drop_empty(connection->reading))
        connection->is_last = true;
    if (connection->first != NULL || connection->leftover != NULL)
        return;
    /* Its next request may lie in the socket already: then it is answered, as the last. */
    connection_read(connection);
    if (connection->state == CONNECTION_OPEN && connection->first == NULL)
        connection_close(connection);
}

/* --- reading ----------------------------------------------------------------------------------*/

/* Within a body as much as is surely its own, else little: what cannot be eaten must be kept. */
static size_t
read_size(const struct connection *connection)
{
    const struct http_exchange *exchange = connection->reading;
    uint64_t body_left = 0;

    if (connection->state == CONNECTION_LINGERING)
        return HTTP_READ_BYTES;
    if (exchange != NULL && exchange->phase != EXCHANGE_HEAD) {
        if (exchange->request.is_chunked)
            body_left = http_chunk_left(&exchange->chunk);
        else
            body_left = (uint64_t)exchange->request.content_length - exchange->body_bytes;
    }
    if (body_left > HTTP_READ_BYTES - HTTP_READ_SMALL_BYTES)
        return HTTP_READ_BYTES;
    return HTTP_READ_SMALL_BYTES + (size_t)body_left;
}

/* Then a read is a large one. */
static bool
is_within_body(const struct connection *connection)
{
    return connection->reading != NULL && connection->reading->phase != EXCHANGE_HEAD &&
           connection->state == CONNECTION_OPEN;
}

static bool
is_paused(const struct connection *connection)
{
    return connection->leftover != NULL ||
           (connection->reading == NULL && connection_is_full(connection));
}

static void
linger_read(struct connection *connection, size_t len)
{
    connection->lingered_bytes += len;
    if (connection->lingered_bytes > HTTP_LINGER_BYTES_MAX)
        connection_close(connection);
}

static void
read_ended(struct connection *connection)
{
    if (connection->state == CONNECTION_LINGERING) {
        connection_close(connection);
        return;
    }
    connection_want(connection, connection->events & ~(uint32_t)EPOLLIN);
    connection_input_ended(connection);
    if (connection->first == NULL)
        connection_close(connection);
    else
        connection_schedule(connection);
}

static ssize_t
receive(const struct connection *connection, size_t want, bool *ret_has_more)
{
    ssize_t got;

    do
        got = recv(connection->fd, connection->loop->scratch, want, 0);
    while (got < 0 && errno == EINTR);
    *ret_has_more = (size_t)got == want;
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? RECEIVED_NOTHING : RECEIVED_FAILURE;
    return got;
}

void
connection_read(struct connection *connection)
{
    struct http_loop *loop = connection->loop;
    size_t want = read_size(connection);
    bool has_more = false;
    /* Who lingers has said goodbye: what still comes is dropped as it is. */
    ssize_t got = connection->tls == NULL || connection->state == CONNECTION_LINGERING
                      ? receive(connection, want, &has_more)
                      : secure_receive(connection, want, &has_more);

    if (got < 0) {
        if (got == RECEIVED_FAILURE)
            connection_close(connection);
        return;
    }
    if (got == RECEIVED_END) {
        read_ended(connection);
        return;
    }
    /* What stopped before it was full stood in many small records. */
    loop->turn_bytes += has_more && (size_t)got < want && got < HTTP_READ_RECORDS_BYTES
                            ? HTTP_READ_RECORDS_BYTES
                            : (uint64_t)got;
    if (connection->state == CONNECTION_LINGERING) {
        linger_read(connection, (size_t)got);
    } else {
        connection->read_bytes += (uint64_t)got;
        connection_input(connection, loop->scratch, (size_t)got);
        connection_schedule(connection);
    }
    if (!has_more || connection->state == CONNECTION_DEAD)
        return;
    if (!is_paused(connection))
        loop_more_later(loop, connection);
    else if (connection->tls != NULL) /* epoll may not name it again: output.c resumes it */
        connection_want(connection, connection->events & ~(uint32_t)EPOLLIN);
}

void
connection_read_more(struct connection *connection)
{
    if (connection->state == CONNECTION_LINGERING ||
        (connection->state == CONNECTION_OPEN && !is_paused(connection)))
        connection_read(connection);
}

void
connection_resume(struct connection *connection)
{
    char *leftover = connection->leftover;
    size_t len = connection->leftover_len;

    connection->leftover_len = 0;
    if (leftover != NULL) {
        connection_input(connection, leftover, len);
        if (connection->leftover_len == 0) {
            mem_free(connection->leftover);
            connection->leftover = NULL;
        }
    }
    if (!is_paused(connection) && !connection->is_input_ended) {
        connection_want(connection, connection->events | EPOLLIN);
        if (connection->tls != NULL)
            loop_more_later(connection->loop, connection);
    }
    connection_schedule(connection);
}

/* --- readiness and deadlines ------------------------------------------------------------------*/

void
connection_ready(struct connection *connection, uint32_t events)
{
    if (connection->state == CONNECTION_DEAD)
        return;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0) {
        connection_close(connection);
        return;
    }
    if (connection->tls != NULL)
        events = secure_events(connection, events);
    if ((events & EPOLLOUT) != 0)
        loop_flush_later(connection->loop, connection);
    if ((events & EPOLLIN) == 0)
        return;
    if (connection->state == CONNECTION_OPEN && is_paused(connection))
        connection_want(connection, connection->events & ~(uint32_t)EPOLLIN);
    else if (is_within_body(connection))
        loop_more_later(connection->loop, connection);
    else
        connection_read(connection);
}

/* Did `bytes` in a window of `ms` keep up with the floor? */
static bool
keeps_up(uint64_t bytes, int64_t ms)
{
    return bytes >= (uint64_t)ms * HTTP_RATE_FLOOR / 1000 && bytes > 0;
}

static void
read_too_slow(struct connection *connection)
{
    struct http_loop *loop = connection->loop;
    struct http_exchange *exchange = connection->reading;
    bool is_empty = exchange_drop_empty(exchange);

    if (!is_empty) {
        loop_count(&loop->timeouts);
        exchange_refuse(exchange, ERR_REQUEST_TIMEOUT, NULL);
    }
    connection->is_last = true;
    connection_schedule(connection);
}

void
connection_expire(struct connection *connection)
{
    struct http_loop *loop = connection->loop;
    const struct http_config *config = loop->config;
    struct http_exchange *exchange = connection->reading;

    if (connection->state == CONNECTION_LINGERING) {
        connection_close(connection);
        return;
    }
    if (connection->is_write_blocked && connection->write_until_ns <= loop->now_ns) {
        if (!keeps_up(connection->write_bytes, config->write_timeout_ms)) {
            loop_count(&loop->timeouts);
            connection_close(connection);
            return;
        }
        connection->write_bytes = 0;
        connection->write_until_ns = loop_after_ms(loop, config->write_timeout_ms);
    }
    if (exchange == NULL) {
        if (connection->first == NULL && connection->leftover == NULL &&
            connection->idle_from_ns + config->idle_timeout_ms * 1000000 <= loop->now_ns) {
            secure_expired(connection);
            connection_close(connection);
            return;
        }
    } else if (connection->request_until_ns <= loop->now_ns) {
        read_too_slow(connection);
        return;
    } else if (connection->read_until_ns <= loop->now_ns) {
        if (exchange->phase == EXCHANGE_HEAD ||
            !keeps_up(connection->read_bytes, config->body_progress_timeout_ms)) {
            read_too_slow(connection);
            return;
        }
        connection->read_bytes = 0;
        connection->read_until_ns = loop_after_ms(loop, config->body_progress_timeout_ms);
    }
    connection_schedule(connection);
}
