/*
 * secure - a connection whose bytes go through TLS: handshake, reading, writing, goodbye.
 *
 * Layer 5 (http), on the loop's thread. connection.c and output.c come here where a connection has
 * a link (tls.h), and use the socket itself where it has none: that is all a plain connection knows
 * of TLS.
 *
 * Handshake. It stands under the head's deadline, from the connection's opening on, a byte a second
 * or none; at most HANDSHAKES_A_TURN steps a turn, since each may sign with the key, so that a
 * thousand newcomers do not hold those who send events. What is left unread is named by epoll
 * again.
 *
 * Readiness. Either way of TLS may wait for either way of the socket: `reads_when_writable` and
 * `writes_when_readable` say so, and decide about EPOLLOUT. What OpenSSL has taken from the socket
 * is not named by epoll any more: a connection with such bytes stays in the loop's queue `more`,
 * over the end of the turn if need be; and where it is paused (connection.h) EPOLLIN is taken back,
 * which makes output.c resume it.
 *
 * A client that speaks HTTP without TLS is told so in its own language: nothing of its request was
 * read, the link is dropped, and 400 goes out as plain text.
 */
#include "http/connection.h"

#include "base/counter.h"
#include "http/tls.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define HANDSHAKES_A_TURN 8
#define RECORD_BYTES 16384
#define SEND_BYTES_A_TURN ((size_t)1024 * 1024) /* then others are served; epoll comes back */
#define TLS_FIRST_BYTE 0x16                     /* a record of kind handshake: RFC 8446 §5.1 */

#define HANDSHAKES "potik_tls_handshakes_total"
#define HANDSHAKES_HELP "TLS handshakes, by how they ended"
COUNTER_LABEL_DEFINE(count_full, "potik_tls_handshakes_total", HANDSHAKES_HELP, "result", "full");
COUNTER_LABEL_DEFINE(count_resumed, HANDSHAKES, HANDSHAKES_HELP, "result", "resumed");
COUNTER_LABEL_DEFINE(count_failed, HANDSHAKES, HANDSHAKES_HELP, "result", "failed");
COUNTER_LABEL_DEFINE(count_timeout, HANDSHAKES, HANDSHAKES_HELP, "result", "timeout");
COUNTER_LABEL_DEFINE(count_plain_http, HANDSHAKES, HANDSHAKES_HELP, "result", "plain_http");

bool
secure_open(struct connection *connection)
{
    struct http_loop *loop = connection->loop;

    connection->tls = tls_link_new(loop->server->tls, connection->fd);
    connection->is_handshaking = true;
    connection->is_unseen = true;
    /* Its idle deadline is the handshake's until that is done. */
    connection->idle_from_ns = loop_after_ms(loop, loop->config->head_timeout_ms) -
                               loop->config->idle_timeout_ms * 1000000;
    return connection->tls != NULL;
}

void
secure_expired(const struct connection *connection)
{
    if (connection->is_handshaking) {
        loop_count(&connection->loop->timeouts);
        counter_add(&count_timeout, 1);
    }
}

void
secure_close(struct connection *connection)
{
    /* Half a record may wait in the link: behind it a goodbye would be no record. */
    if (connection->state == CONNECTION_OPEN && !connection->is_handshaking &&
        !connection->is_write_blocked)
        tls_say_goodbye(connection->tls);
    tls_link_free(&connection->tls);
}

void
secure_end(struct connection *connection)
{
    if (!connection->is_handshaking)
        tls_say_goodbye(connection->tls);
}

static ssize_t
fail(struct connection *connection)
{
    if (connection->is_handshaking)
        counter_add(&count_failed, 1);
    tls_link_free(&connection->tls); /* so that nothing is said any more */
    return RECEIVED_FAILURE;
}

static void
set_reads_when_writable(struct connection *connection, bool is_so)
{
    if (connection->reads_when_writable == is_so)
        return;
    connection->reads_when_writable = is_so;
    connection_update_out(connection);
}

uint32_t
secure_events(struct connection *connection, uint32_t events)
{
    if ((events & EPOLLIN) != 0 && connection->writes_when_readable)
        loop_flush_later(connection->loop, connection);
    if ((events & EPOLLOUT) != 0 && connection->reads_when_writable)
        events |= EPOLLIN;
    return connection->is_handshaking ? events & ~(uint32_t)EPOLLOUT : events;
}

/* --- the handshake ----------------------------------------------------------------------------*/

static ssize_t
tell_plain_http(struct connection *connection)
{
    struct http_exchange *exchange;

    counter_add(&count_plain_http, 1);
    tls_link_free(&connection->tls);
    connection->is_handshaking = false;
    connection->idle_from_ns = connection->loop->now_ns;
    exchange = exchange_begin(connection);
    if (exchange == NULL)
        return RECEIVED_FAILURE;
    exchange_refuse(exchange, ERR_BAD_REQUEST,
                    "plain HTTP was sent to a port that speaks TLS: use https://");
    connection_schedule(connection);
    return RECEIVED_NOTHING;
}

/* The first byte tells a TLS client from one that begins with a method. DONE: TLS, or what it will
 * refuse by itself. */
static ssize_t
look_first(struct connection *connection)
{
    unsigned char first;
    ssize_t got;

    do
        got = recv(connection->fd, &first, 1, MSG_PEEK);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return RECEIVED_NOTHING;
    if (got <= 0) { /* it went away without a word */
        tls_link_free(&connection->tls);
        return RECEIVED_FAILURE;
    }
    connection->is_unseen = false;
    if (first != TLS_FIRST_BYTE && http_is((char)first, HTTP_CLASS_TOKEN))
        return tell_plain_http(connection);
    return 1;
}

/* > 0: done. */
static ssize_t
step(struct connection *connection)
{
    struct http_loop *loop = connection->loop;
    enum tls_outcome outcome;

    if (connection->is_unseen) {
        ssize_t seen = look_first(connection);

        if (seen <= 0)
            return seen;
    }
    if (loop->turn_handshakes >= HANDSHAKES_A_TURN)
        return RECEIVED_NOTHING;
    loop->turn_handshakes++;
    outcome = tls_handshake(connection->tls);
    set_reads_when_writable(connection, outcome == TLS_WANTS_WRITE);
    if (outcome == TLS_WANTS_READ || outcome == TLS_WANTS_WRITE)
        return RECEIVED_NOTHING;
    if (outcome != TLS_DONE)
        return fail(connection);
    connection->is_handshaking = false;
    counter_add(tls_is_resumed(connection->tls) ? &count_resumed : &count_full, 1);
    connection->idle_from_ns = loop->now_ns;
    connection_schedule(connection);
    return 1;
}

/* --- bytes ------------------------------------------------------------------------------------*/

ssize_t
secure_receive(struct connection *connection, size_t want, bool *ret_has_more)
{
    size_t len = 0;
    enum tls_outcome outcome;

    if (connection->is_handshaking) {
        ssize_t done = step(connection);

        if (done <= 0)
            return done;
        if (connection->is_refused) {
            connection_refuse(connection);
            return RECEIVED_NOTHING;
        }
    }
    outcome = tls_read(connection->tls, connection->loop->scratch, want, &len, ret_has_more);
    set_reads_when_writable(connection, outcome == TLS_WANTS_WRITE);
    switch (outcome) {
    case TLS_DONE:
        return (ssize_t)len;
    case TLS_ENDED:
        return RECEIVED_END;
    case TLS_WANTS_READ:
    case TLS_WANTS_WRITE:
        return RECEIVED_NOTHING;
    case TLS_FAILED:
        break;
    }
    return fail(connection);
}

/* Replies of a pipeline are short and many: they share records. Returns what to write now. */
static struct slice
next_record(const struct connection *connection, const struct iovec *parts, size_t count,
            size_t sent)
{
    char *scratch = connection->loop->scratch;
    size_t len = 0;

    while (sent >= parts->iov_len) {
        sent -= parts->iov_len;
        parts++;
        count--;
    }
    if (count == 1 || parts->iov_len - sent >= RECORD_BYTES)
        return slice_of((const char *)parts->iov_base + sent, parts->iov_len - sent);
    for (size_t i = 0; i < count && len < RECORD_BYTES; i++) {
        size_t take = parts[i].iov_len - sent;

        if (take > RECORD_BYTES - len)
            take = RECORD_BYTES - len;
        memcpy(scratch + len, (const char *)parts[i].iov_base + sent, take);
        len += take;
        sent = 0;
    }
    return slice_of(scratch, len);
}

/*
 * After WANTS_… OpenSSL must be given what it was given before, at least: the queue of replies only
 * grows at its end, and a record is taken from its front, so that is so.
 */
ssize_t
secure_send(struct connection *connection, const struct iovec *parts, size_t count, size_t total)
{
    size_t sent = 0;

    connection->writes_when_readable = false;
    while (sent < total && sent < SEND_BYTES_A_TURN) {
        struct slice record = next_record(connection, parts, count, sent);
        size_t put = 0;

        switch (tls_write(connection->tls, record.ptr, record.len, &put)) {
        case TLS_DONE:
            sent += put;
            break;
        case TLS_WANTS_READ:
            connection->writes_when_readable = true;
            return (ssize_t)sent;
        case TLS_WANTS_WRITE:
            return (ssize_t)sent;
        case TLS_ENDED:
        case TLS_FAILED:
            return fail(connection);
        }
    }
    return (ssize_t)sent;
}

/* Strict-Transport-Security (RFC 6797) binds a name with all its ports, so it is only sent to who
 * asked a name with a dot on https's own port: see docs/SECURITY.md. */
bool
secure_wants_hsts(const struct http_exchange *exchange)
{
    struct slice host = http_header(exchange, "host");
    bool has_letter = false;

    if (host.len == 0 || memchr(host.ptr, ':', host.len) != NULL ||
        memchr(host.ptr, '.', host.len) == NULL ||
        (host.len >= 10 &&
         slice_equal_nocase(slice_of(host.ptr + host.len - 10, 10), SLICE(".localhost"))))
        return false;
    for (size_t i = 0; i < host.len && !has_letter; i++)
        has_letter = (host.ptr[i] | 0x20) >= 'a' && (host.ptr[i] | 0x20) <= 'z';
    return has_letter; /* else an address */
}
