/*
 * output - replies leave: those at the front of a connection's queue, in one system call.
 *
 * Layer 5 (http), on the loop's thread, at the end of a turn. What the socket does not take waits
 * for EPOLLOUT, under the write deadline; the exchange and its reply's memory stay until then.
 */
#include "http/connection.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define PARTS_MAX ((size_t)2 * HTTP_PIPELINE_LIMIT)

static size_t
gather(const struct connection *connection, struct iovec parts[PARTS_MAX])
{
    size_t count = 0;

    for (struct http_exchange *exchange = connection->first; exchange != NULL;
         exchange = exchange->next) {
        const size_t sent = exchange->sent;
        const size_t reply_len = exchange->reply.len;

        if (exchange->is_broken)
            break;
        if (sent < reply_len)
            parts[count++] = (struct iovec){exchange->reply.ptr + sent, reply_len - sent};
        if (exchange->still.len > 0 && sent < reply_len + exchange->still.len) {
            const size_t skip = sent > reply_len ? sent - reply_len : 0;

            parts[count++] = (struct iovec){(char *)(uintptr_t)exchange->still.ptr + skip,
                                            exchange->still.len - skip};
        }
        if (!exchange->is_replied || exchange->is_closing || count + 2 > PARTS_MAX)
            break;
    }
    return count;
}

/* Takes replies that have left out of the queue. false: the connection is to end now. */
static bool
retire(struct connection *connection, size_t sent)
{
    struct http_loop *loop = connection->loop;

    while (connection->first != NULL) {
        struct http_exchange *exchange = connection->first;
        size_t left = exchange_unsent(exchange);
        size_t take = sent < left ? sent : left;
        bool is_closing = exchange->is_closing;

        if (exchange->is_broken)
            return true; /* the connection is cut, rather than that the next reply is taken for it
                          */
        exchange->sent += take;
        connection->unsent_bytes -= take;
        sent -= take;
        if (!exchange->is_replied || take < left || exchange == connection->reading)
            return true;
        connection->first = exchange->next;
        if (connection->first == NULL)
            connection->last = NULL;
        connection->exchange_count--;
        exchange_done(exchange);
        exchange_recycle(loop, exchange);
        if (is_closing)
            return false;
    }
    connection->idle_from_ns = loop->now_ns;
    return !connection->is_last;
}

static void
write_blocked(struct connection *connection, bool is_blocked)
{
    struct http_loop *loop = connection->loop;

    if (is_blocked && !connection->is_write_blocked) {
        connection->write_until_ns = loop_after_ms(loop, loop->config->write_timeout_ms);
        connection->write_bytes = 0;
    }
    connection->is_write_blocked = is_blocked;
    connection_update_out(connection);
}

/* Bytes that the socket took; < 0: the connection is to be closed. */
static ssize_t
send_parts(struct connection *connection, const struct msghdr *message, size_t total)
{
    ssize_t sent;

    if (connection->tls != NULL)
        return secure_send(connection, message->msg_iov, message->msg_iovlen, total);
    do
        sent = message->msg_iovlen == 1
                   ? send(connection->fd, message->msg_iov->iov_base, total, MSG_NOSIGNAL)
                   : sendmsg(connection->fd, message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : sent;
}

void
connection_flush(struct connection *connection)
{
    struct http_loop *loop = connection->loop;
    struct iovec parts[PARTS_MAX];
    struct msghdr message = {.msg_iov = parts};
    size_t total = 0;
    ssize_t sent = 0;
    bool goes_on;

    message.msg_iovlen = gather(connection, parts);
    for (size_t i = 0; i < message.msg_iovlen; i++)
        total += parts[i].iov_len;
    if (total > 0) {
        sent = send_parts(connection, &message, total);
        if (sent < 0) {
            connection_close(connection);
            return;
        }
    }
    connection->write_bytes += (uint64_t)sent;
    goes_on = retire(connection, (size_t)sent);
    if (connection->first != NULL && connection->first->is_broken) {
        connection_close(connection);
        return;
    }
    if (!goes_on || (connection->first == NULL && connection->is_last)) {
        connection_end(connection);
        return;
    }
    if ((size_t)sent < total || connection->is_write_blocked)
        write_blocked(connection, (size_t)sent < total);
    if (connection->leftover != NULL || (connection->events & EPOLLIN) == 0)
        loop_resume_later(loop, connection);
    if (loop->is_stopping && connection->first == NULL && connection->leftover == NULL)
        connection_end(connection);
    else
        connection_schedule(connection);
}
