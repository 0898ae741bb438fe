/*
 * mhd - the bare loop on libmicrohttpd (Debian's package), the outside yardstick: the same work as
 * bench/bare.c.
 *
 *     mhd FOLDER LOOPS      prints "listening on http://127.0.0.1:PORT", serves until SIGTERM
 *
 * Used as its authors mean it for work that is finished elsewhere: one daemon a loop on a
 * SO_REUSEPORT listener, its epoll driven from outside (no thread of its own, no locks). A request
 * that has arrived whole is suspended; at the turn's end its body has been appended, synced, all
 * are resumed, and MHD_run answers them at once.
 */
#include "room.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GATHERED_MAX ((size_t)64 << 20)
#define LOOPS_MAX 64

struct request {
    struct request *next; /* pending, or free */
    struct MHD_Connection *connection;
    enum { READING, PENDING, DURABLE } state;
};

struct loop {
    pthread_t thread;
    struct MHD_Daemon *daemon;
    struct MHD_Response *response;
    struct request *pending;
    struct request *free;
    char *gathered;
    size_t gathered_len;
    int fd;
    off_t offset;
};

static atomic_bool is_stopping;

static void
fail(const char *what)
{
    perror(what);
    exit(1);
}

static enum MHD_Result
handle(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
       const char *version, const char *upload, size_t *upload_len, void **request_place)
{
    struct loop *loop = arg;
    struct request *request = *request_place;

    (void)url;
    (void)method;
    (void)version;
    if (request == NULL) {
        request = loop->free;
        if (request != NULL)
            loop->free = request->next;
        else if ((request = malloc(sizeof(*request))) == NULL)
            return MHD_NO;
        request->connection = connection;
        request->state = READING;
        *request_place = request;
        return MHD_YES;
    }
    if (*upload_len != 0) {
        if (loop->gathered_len + *upload_len > GATHERED_MAX)
            return MHD_NO;
        memcpy(loop->gathered + loop->gathered_len, upload, *upload_len);
        loop->gathered_len += *upload_len;
        *upload_len = 0;
        return MHD_YES;
    }
    if (request->state == DURABLE)
        return MHD_queue_response(connection, 200, loop->response);
    request->state = PENDING;
    request->next = loop->pending;
    loop->pending = request;
    MHD_suspend_connection(connection);
    return MHD_YES;
}

static void
completed(void *arg, struct MHD_Connection *connection, void **request_place,
          enum MHD_RequestTerminationCode code)
{
    struct loop *loop = arg;
    struct request *request = *request_place;

    (void)connection;
    (void)code;
    if (request == NULL)
        return;
    request->next = loop->free;
    loop->free = request;
    *request_place = NULL;
}

static void
commit(struct loop *loop)
{
    if (loop->offset + (off_t)loop->gathered_len > ROOM_BYTES)
        loop->offset = 0;
    for (size_t done = 0; done < loop->gathered_len;) {
        ssize_t wrote = pwrite(loop->fd, loop->gathered + done, loop->gathered_len - done,
                               loop->offset + (off_t)done);

        if (wrote < 0)
            fail("mhd: pwrite");
        done += (size_t)wrote;
    }
    if (fdatasync(loop->fd) != 0)
        fail("mhd: fdatasync");
    loop->offset += (off_t)loop->gathered_len;
    loop->gathered_len = 0;
    while (loop->pending != NULL) {
        struct request *request = loop->pending;

        loop->pending = request->next;
        request->state = DURABLE;
        MHD_resume_connection(request->connection);
    }
    (void)MHD_run(loop->daemon);
}

static void *
serve(void *arg)
{
    struct loop *loop = arg;
    int epoll_fd = MHD_get_daemon_info(loop->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;

    while (!atomic_load_explicit(&is_stopping, memory_order_relaxed)) {
        struct pollfd ready = {.fd = epoll_fd, .events = POLLIN};
        MHD_UNSIGNED_LONG_LONG timeout_ms = 100;

        if (MHD_get_timeout(loop->daemon, &timeout_ms) != MHD_YES || timeout_ms > 100)
            timeout_ms = 100;
        if (poll(&ready, 1, (int)timeout_ms) < 0 && errno != EINTR)
            fail("mhd: poll");
        (void)MHD_run(loop->daemon);
        /* The replies' MHD_run reads what has come meanwhile, which may make a turn of its own. */
        while (loop->pending != NULL)
            commit(loop);
    }
    return NULL;
}

static int
listen_on(uint16_t *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, 1024) != 0 || getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        fail("mhd: listen");
    *port = ntohs(address.sin_port);
    return fd;
}

static void
loop_start(struct loop *loop, const char *folder, unsigned number, uint16_t *port)
{
    static char reply[] = "{\"accepted\":1,\"duplicates\":0,\"rejected\":0,\"position\":\"0\"}\n";
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/mhd-%u", folder, number);
    loop->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (loop->fd < 0 || !room_make(loop->fd))
        fail(path);
    loop->gathered = malloc(GATHERED_MAX);
    loop->response =
        MHD_create_response_from_buffer(sizeof(reply) - 1, reply, MHD_RESPMEM_PERSISTENT);
    if (loop->gathered == NULL || loop->response == NULL ||
        MHD_add_response_header(loop->response, "Content-Type", "application/json") != MHD_YES)
        fail("mhd: memory");
    loop->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle,
                                    loop, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)listen_on(port),
                                    MHD_OPTION_CONNECTION_LIMIT, 10000U,
                                    MHD_OPTION_NOTIFY_COMPLETED, completed, loop, MHD_OPTION_END);
    if (loop->daemon == NULL)
        fail("mhd: MHD_start_daemon");
}

int
main(int argc, char **argv)
{
    static struct loop loops[LOOPS_MAX];
    unsigned count = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    uint16_t port = 0;
    sigset_t stop;
    int number;

    if (count == 0 || count > LOOPS_MAX) {
        (void)fprintf(stderr, "usage: mhd FOLDER LOOPS\n");
        return 2;
    }
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigaddset(&stop, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &stop, NULL);
    for (unsigned i = 0; i < count; i++)
        loop_start(&loops[i], argv[1], i, &port);
    for (unsigned i = 0; i < count; i++) {
        if (pthread_create(&loops[i].thread, NULL, serve, &loops[i]) != 0)
            fail("mhd: pthread_create");
    }
    (void)printf("listening on http://127.0.0.1:%u\n", (unsigned)port);
    (void)fflush(stdout);
    (void)sigwait(&stop, &number);
    atomic_store(&is_stopping, true);
    for (unsigned i = 0; i < count; i++) {
        (void)pthread_join(loops[i].thread, NULL);
        MHD_stop_daemon(loops[i].daemon);
        MHD_destroy_response(loops[i].response);
        (void)close(loops[i].fd);
        free(loops[i].gathered);
        while (loops[i].free != NULL) {
            struct request *request = loops[i].free;

            loops[i].free = request->next;
            free(request);
        }
    }
    return 0;
}
