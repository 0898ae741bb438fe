/*
 * client - see client.h. Reads just enough HTTP for replies with Content-Length.
 */
#include "client.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void
fail(const char *what)
{
    perror(what);
    exit(1);
}

void
client_connect(struct client *client)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    int one = 1;

    for (uint32_t tries = 0;; tries++) {
        client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (client->fd < 0)
            fail("load: socket");
        if (connect(client->fd, (const struct sockaddr *)&client->address,
                    sizeof(client->address)) == 0)
            break;
        if (tries == 50)
            fail("load: connect");
        (void)close(client->fd);
        (void)usleep(100000); /* a server that starts again gets 5 s */
    }
    (void)setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    client->wants_out = false;
    client->in_len = 0;
    client->has_head = false;
    client->is_answered = false;
    if (epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) != 0)
        fail("load: epoll_ctl");
}

static enum client_event
client_lose(struct client *client)
{
    (void)close(client->fd);
    client_connect(client);
    return CLIENT_LOST;
}

static void
client_want_out(struct client *client, bool wants_out)
{
    struct epoll_event event = {.events = EPOLLIN | (wants_out ? EPOLLOUT : 0U),
                                .data.ptr = client};

    if (client->wants_out == wants_out)
        return;
    client->wants_out = wants_out;
    if (epoll_ctl(client->epoll_fd, EPOLL_CTL_MOD, client->fd, &event) != 0)
        fail("load: epoll_ctl");
}

static enum client_event
client_push(struct client *client)
{
    while (client->out_sent < client->out_len) {
        ssize_t sent = send(client->fd, client->out + client->out_sent,
                            client->out_len - client->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            client_want_out(client, true);
            return CLIENT_NOTHING;
        }
        if (sent < 0)
            return client_lose(client);
        client->out_sent += (size_t)sent;
    }
    client_want_out(client, false);
    client->state = CLIENT_WAITING;
    if (!client->is_answered)
        return CLIENT_NOTHING;
    client->is_answered = false;
    return CLIENT_REPLIED;
}

enum client_event
client_send(struct client *client)
{
    client->state = CLIENT_SENDING;
    client->out_sent = 0;
    return client_push(client);
}

/* The value of a header field in the head, or NULL. `name` with its colon. */
static const char *
head_value(const char *head, const char *name)
{
    const char *found = strcasestr(head, name);

    return found != NULL ? found + strlen(name) : NULL;
}

static void
client_read_head(struct client *client, char *end)
{
    const char *length;
    const char *retry;
    const char *connection;

    *end = '\0';
    if (strncmp(client->in, "HTTP/1.1 ", 9) != 0) {
        (void)fprintf(stderr, "load: not an HTTP/1.1 reply: %.60s\n", client->in);
        exit(1);
    }
    client->status = (int)strtol(client->in + 9, NULL, 10);
    length = head_value(client->in, "\r\ncontent-length:");
    retry = client->status >= 400 ? head_value(client->in, "\r\nretry-after:") : NULL;
    client->body_left = length != NULL ? strtoull(length, NULL, 10) : 0;
    client->retry_after_s = retry != NULL ? (uint32_t)strtoul(retry, NULL, 10) : 0;
    connection = head_value(client->in, "\r\nconnection:");
    client->is_closing = connection != NULL && strncasecmp(connection, " close", 6) == 0;
    client->body_len = 0;
    client->has_head = true;
}

static void
client_keep_body(struct client *client, const char *bytes, size_t len)
{
    size_t room = CLIENT_BODY_KEPT - client->body_len;
    size_t kept = len < room ? len : room;

    memcpy(client->body + client->body_len, bytes, kept);
    client->body_len += kept;
    client->body_left -= len;
}

static enum client_event
client_pull(struct client *client)
{
    ssize_t got = recv(client->fd, client->in + client->in_len,
                       sizeof(client->in) - 1 - client->in_len, MSG_DONTWAIT);
    size_t used = 0;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return CLIENT_NOTHING;
    if (got <= 0)
        return client_lose(client);
    client->in_len += (size_t)got;
    client->in[client->in_len] = '\0';
    if (!client->has_head) {
        char *end = memmem(client->in, client->in_len, "\r\n\r\n", 4);

        if (end == NULL)
            return client->in_len == sizeof(client->in) - 1 ? client_lose(client) : CLIENT_NOTHING;
        client_read_head(client, end);
        used = (size_t)(end - client->in) + 4;
    }
    client_keep_body(client, client->in + used,
                     client->in_len - used < client->body_left ? client->in_len - used
                                                               : client->body_left);
    client->in_len = 0;
    if (client->body_left != 0)
        return CLIENT_NOTHING;
    client->has_head = false;
    client->body[client->body_len] = '\0';
    if (client->is_closing) {
        (void)close(client->fd);
        client_connect(client);
    } else if (client->out_sent < client->out_len) { /* refused early; the next begins behind it */
        client->is_answered = true;
        return CLIENT_NOTHING;
    }
    return CLIENT_REPLIED;
}

enum client_event
client_ready(struct client *client, uint32_t events)
{
    if (client->state == CLIENT_SENDING && (events & EPOLLOUT) != 0) {
        enum client_event event = client_push(client);

        if (event != CLIENT_NOTHING)
            return event;
    }
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
        return client_pull(client);
    return CLIENT_NOTHING;
}

uint64_t
client_reply_number(const struct client *client, const char *quoted_name)
{
    const char *found = strstr(client->body, quoted_name);

    return found != NULL ? strtoull(found + strlen(quoted_name), NULL, 10) : 0;
}
