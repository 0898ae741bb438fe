/*
 * listen - from "127.0.0.1:8700", "[::1]:0" or "unix:/path" to listening sockets.
 *
 * Layer 5 (http), called once by http_server_start. A fixed port is first bound exclusively, so
 * that a second server fails instead of taking half of the traffic, then by one SO_REUSEPORT socket
 * a loop. For port 0 and a unix socket there is one listener, shared by all loops. A unix socket
 * that nobody answers on is left over from a crash and is replaced; any other file of that name is
 * left alone.
 */
#include "http/connection.h"

#include "base/file.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096 /* the kernel caps it by somaxconn */
#define ADDRESS_TEXT_MAX 256

struct place {
    struct sockaddr_storage address;
    socklen_t len;
    uint16_t port;
};

static enum err
fail(struct diag *diag, const char *listen, const char *what, int errno_value)
{
    if (errno_value == EADDRINUSE) {
        diag_set(diag,
                 "listen %s: another program serves there: stop that one, or give another --listen "
                 "(port 0 picks a free one)",
                 listen);
        return ERR_EXISTS;
    }
    diag_set(diag, "listen %s: %s", listen, what);
    diag_add_errno(diag, errno_value);
    return ERR_IO;
}

/* Ownership leaves; CLOSE_FD now sees −1. */
static int
keep(int *fd)
{
    int kept = *fd;

    *fd = -1;
    return kept;
}

/* --- a unix socket
 * ------------------------------------------------------------------------------*/

static enum err
clear_old_socket(const char *listen, const struct sockaddr_un *address, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    struct stat status;

    if (lstat(address->sun_path, &status) != 0)
        return errno == ENOENT ? ERR_OK : fail(diag, listen, "cannot look at the path", errno);
    if (!S_ISSOCK(status.st_mode)) {
        diag_set(diag, "listen %s: a file of that name exists and is no socket", listen);
        return ERR_EXISTS;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(diag, listen, "cannot make a socket", errno);
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
        errno != ECONNREFUSED) {
        diag_set(diag, "listen %s: another server answers there", listen);
        return ERR_EXISTS;
    }
    return file_unlink(address->sun_path, diag);
}

static enum err
check_unix_path(const char *path, struct diag *diag)
{
    const size_t bytes_max = sizeof((struct sockaddr_un){0}.sun_path) - 1;

    if (*path != '\0' && strlen(path) <= bytes_max)
        return ERR_OK;
    diag_set_field(diag, "listen", "listen: a unix socket's path has 1 to %zu bytes", bytes_max);
    return ERR_INVALID;
}

static enum err
listen_unix(struct http_server *server, const char *path, struct diag *diag)
{
    const char *listen_text = server->config.listen;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLOSE_FD int fd = -1;
    enum err err = check_unix_path(path, diag);

    if (err != ERR_OK)
        return err;
    memcpy(address.sun_path, path, strlen(path) + 1);
    err = clear_old_socket(listen_text, &address, diag);
    if (err != ERR_OK)
        return err;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(diag, listen_text, "cannot make a socket", errno);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        return fail(diag, listen_text, "cannot bind", errno);
    server->unix_path = mem_strdup(path);
    server->address = mem_strdup(listen_text);
    if (listen(fd, BACKLOG) != 0)
        return fail(diag, listen_text, "cannot listen", errno);
    server->shared_fd = keep(&fd);
    return server->address != NULL && server->unix_path != NULL ? ERR_OK : ERR_NOMEM;
}

/* --- TCP
 * ----------------------------------------------------------------------------------------*/

/* "HOST:PORT" or "[IPv6]:PORT"; a name is looked up, its first address taken. */
static enum err
resolve(const char *listen_text, struct place *ret_place, struct diag *diag)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[ADDRESS_TEXT_MAX];
    const char *colon = strrchr(listen_text, ':');
    size_t host_len = colon != NULL ? (size_t)(colon - listen_text) : 0;
    bool has_brackets = host_len > 2 && listen_text[0] == '[' && listen_text[host_len - 1] == ']';
    unsigned port = 0;
    size_t digits = 0;

    for (const char *at = colon != NULL ? colon + 1 : ""; *at >= '0' && *at <= '9' && digits < 6;
         at++) {
        port = port * 10 + (unsigned)(*at - '0');
        digits++;
    }
    if (colon == NULL || host_len == 0 || host_len >= sizeof(host) || digits == 0 || port > 65535 ||
        colon[1 + digits] != '\0' ||
        (!has_brackets && memchr(listen_text, ':', host_len) != NULL)) {
        diag_set_field(diag, "listen", "listen: \"%s\" is not HOST:PORT, [IPv6]:PORT or unix:/path",
                       listen_text);
        return ERR_INVALID;
    }
    memcpy(host, listen_text + has_brackets, host_len - 2 * (size_t)has_brackets);
    host[host_len - 2 * (size_t)has_brackets] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0 || found == NULL) {
        diag_set_field(diag, "listen", "listen: the host \"%s\" is not known", host);
        return ERR_INVALID;
    }
    memcpy(&ret_place->address, found->ai_addr, found->ai_addrlen);
    ret_place->len = found->ai_addrlen;
    ret_place->port = (uint16_t)port;
    freeaddrinfo(found);
    return ERR_OK;
}

static enum err
bind_socket(const char *listen_text, const struct place *place, bool is_shared_port, int *ret_fd,
            struct diag *diag)
{
    CLOSE_FD int fd = -1;
    int on = 1;

    fd = socket(place->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(diag, listen_text, "cannot make a socket", errno);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (is_shared_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) !=
            0) /* accepted ones inherit it */
        return fail(diag, listen_text, "cannot set up a socket", errno);
    if (bind(fd, (const struct sockaddr *)&place->address, place->len) != 0)
        return fail(diag, listen_text, "cannot bind", errno);
    *ret_fd = keep(&fd);
    return ERR_OK;
}

static enum err
write_address(struct http_server *server, int fd, struct diag *diag)
{
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof(bound);
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    char text[NI_MAXHOST + NI_MAXSERV + 16];
    bool is_six;

    if (getsockname(fd, (struct sockaddr *)&bound, &len) != 0 ||
        getnameinfo((struct sockaddr *)&bound, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return fail(diag, server->config.listen, "cannot tell the address", errno);
    is_six = bound.ss_family == AF_INET6;
    (void)snprintf(text, sizeof(text), is_six ? "%s://[%s]:%s" : "%s://%s:%s",
                   server->tls != NULL ? "https" : "http", host, port);
    server->address = mem_strdup(text);
    return server->address != NULL ? ERR_OK : ERR_NOMEM;
}

static enum err
listen_on(struct http_server *server, int fd, struct diag *diag)
{
    if (listen(fd, BACKLOG) != 0)
        return fail(diag, server->config.listen, "cannot listen", errno);
    return ERR_OK;
}

static enum err
listen_tcp(struct http_server *server, struct diag *diag)
{
    const char *listen_text = server->config.listen;
    struct place place;
    CLOSE_FD int first = -1;
    enum err err = resolve(listen_text, &place, diag);

    if (err == ERR_OK)
        err = bind_socket(listen_text, &place, false, &first, diag);
    if (err == ERR_OK)
        err = write_address(server, first, diag);
    if (err != ERR_OK)
        return err;
    if (place.port == 0) {
        err = listen_on(server, first, diag);
        if (err == ERR_OK)
            server->shared_fd = keep(&first);
        return err;
    }
    file_close(&first); /* nobody else listens there; now by one socket a loop */
    for (uint32_t i = 0; i < server->config.loops && err == ERR_OK; i++) {
        err = bind_socket(listen_text, &place, true, &server->loops[i].listener.fd, diag);
        if (err == ERR_OK)
            err = listen_on(server, server->loops[i].listener.fd, diag);
    }
    return err;
}

enum err
http_check_listen(const char *listen_text, struct diag *diag)
{
    struct place place;

    if (strncmp(listen_text, "unix:", 5) == 0)
        return check_unix_path(listen_text + 5, diag);
    return resolve(listen_text, &place, diag);
}

enum err
server_listen(struct http_server *server, struct diag *diag)
{
    const char *listen_text = server->config.listen;
    enum err err = strncmp(listen_text, "unix:", 5) == 0
                       ? listen_unix(server, listen_text + 5, diag)
                       : listen_tcp(server, diag);

    if (err == ERR_OK && server->shared_fd >= 0) {
        atomic_store(&server->shared_users, server->config.loops);
        for (uint32_t i = 0; i < server->config.loops; i++) {
            server->loops[i].listener.fd = server->shared_fd;
            server->loops[i].listener.is_shared = true;
        }
    }
    return err;
}
