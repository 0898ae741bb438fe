/*
 * demo_server - see demo_server.h.
 */
#include "cli/demo_server.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/random.h"
#include "cli/client.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_NS (60 * NS_PER_S)
#define STOP_NS (10 * NS_PER_S)
#define STEP_MS 50
#define LINE_BYTES 512

struct demo_server {
    pid_t pid; /* 0: not running */
    int out;   /* its stdout */
    char folder[FILE_PATH_MAX];
    char data_dir[FILE_PATH_MAX];
    char log[FILE_PATH_MAX];
    char address[LINE_BYTES];
};

static enum err
make_folder(struct demo_server *server, struct diag *diag)
{
    const char *parent = getenv("TMPDIR");
    char name[64];
    enum err err;

    (void)snprintf(name, sizeof(name), "potik-demo-%016llx",
                   (unsigned long long)random_u64(random_system()));
    if (!file_path(server->folder, parent != NULL && *parent != '\0' ? parent : "/tmp", name) ||
        !file_path(server->data_dir, server->folder, "data") ||
        !file_path(server->log, server->folder, "server.log")) {
        server->folder[0] = '\0';
        diag_set(diag, "TMPDIR is too long");
        return ERR_INVALID;
    }
    err = file_make_dir(server->folder, diag);
    if (err == ERR_OK)
        return file_make_dir(server->data_dir, diag);
    server->folder[0] = '\0';
    return err;
}

/* After fork: only calls that are safe there. */
static void
become_server(const char *data_dir, int out, int log, pid_t parent)
{
    char *argv[] = {(char *)(uintptr_t) "potik",
                    (char *)(uintptr_t) "serve",
                    (char *)(uintptr_t) "--data-dir",
                    (char *)(uintptr_t)data_dir,
                    (char *)(uintptr_t) "--listen",
                    (char *)(uintptr_t) "127.0.0.1:0",
                    NULL};

    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(127);
    (void)setpgid(0, 0); /* ^C on the terminal is for the demo, which ends its server in order */
    if (dup2(out, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        _exit(127);
    (void)execv("/proc/self/exe", argv);
    _exit(127);
}

static enum err
spawn(struct demo_server *server, struct diag *diag)
{
    CLOSE_FD int log = -1;
    int ends[2];
    pid_t parent = getpid();
    enum err err = file_open(server->log, FILE_CREATE, &log, diag);

    if (err != ERR_OK)
        return err;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        diag_set(diag, "pipe");
        diag_add_errno(diag, errno);
        return ERR_IO;
    }
    server->pid = fork();
    if (server->pid == 0)
        become_server(server->data_dir, ends[1], log, parent);
    (void)close(ends[1]);
    server->out = ends[0];
    if (server->pid > 0)
        return ERR_OK;
    server->pid = 0;
    diag_set(diag, "fork");
    diag_add_errno(diag, errno);
    return ERR_IO;
}

/* "listening on ADDRESS\n" */
static enum err
read_address(struct demo_server *server, struct diag *diag)
{
    static const char start[] = "listening on ";
    int64_t deadline = clock_steady_ns(clock_system()) + START_NS;
    char line[LINE_BYTES] = {0};
    size_t len = 0, got = 0;

    while (len < sizeof(line) - 1 && memchr(line, '\n', len) == NULL) {
        struct pollfd place = {.fd = server->out, .events = POLLIN};

        if (client_is_interrupted())
            return ERR_CANCELLED;
        if (clock_steady_ns(clock_system()) > deadline)
            break;
        if (poll(&place, 1, STEP_MS) <= 0)
            continue;
        if (file_read_next(server->out, "server", line + len, sizeof(line) - 1 - len, &got, diag) !=
                ERR_OK ||
            got == 0)
            break;
        len += got;
    }
    line[len] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, start, sizeof(start) - 1) == 0) {
        memcpy(server->address, line + sizeof(start) - 1, strlen(line + sizeof(start) - 1) + 1);
        return ERR_OK;
    }
    diag_set(diag, "the server did not start");
    return ERR_IO;
}

/* What the server said last, for a person. */
static void
explain(struct demo_server *server, struct diag *diag)
{
    struct buf buf;
    struct slice text;

    buf_init(&buf, 1u << 20);
    if (file_read_whole(server->log, 1u << 20, &buf, NULL) == ERR_OK && buf.len != 0) {
        text = buf_slice(&buf);
        if (text.len > 300)
            text = slice_of(text.ptr + text.len - 300, 300);
        diag_set(diag, "%s; its last words: %.*s", diag->message, SLICE_ARGS(text));
    }
    buf_fini(&buf);
}

enum err
demo_server_start(struct demo_server **ret_server, struct diag *diag)
{
    CLEANUP(demo_server_stop) struct demo_server *server = MEM_NEW(struct demo_server, 1);
    enum err err;

    if (server == NULL)
        return ERR_NOMEM;
    server->out = -1;
    err = make_folder(server, diag);
    if (err == ERR_OK)
        err = spawn(server, diag);
    if (err == ERR_OK) {
        err = read_address(server, diag);
        if (err == ERR_IO && diag != NULL)
            explain(server, diag);
    }
    if (err != ERR_OK)
        return err;
    *ret_server = MOVE(server);
    return ERR_OK;
}

const char *
demo_server_address(const struct demo_server *server)
{
    return server->address;
}

const char *
demo_server_data_dir(const struct demo_server *server)
{
    return server->data_dir;
}

static void
end_process(pid_t pid)
{
    int64_t deadline = clock_steady_ns(clock_system()) + STOP_NS;
    bool is_killed = false;

    (void)kill(pid, SIGTERM);
    while (waitpid(pid, NULL, WNOHANG) == 0) {
        if (!is_killed && clock_steady_ns(clock_system()) > deadline) {
            (void)kill(pid, SIGKILL);
            is_killed = true;
        }
        (void)poll(NULL, 0, STEP_MS);
    }
}

void
demo_server_stop(struct demo_server **server)
{
    struct demo_server *s = *server;
    enum err err = ERR_OK;

    if (s == NULL)
        return;
    if (s->pid != 0)
        end_process(s->pid);
    file_close(&s->out);
    if (s->folder[0] != '\0')
        err = file_remove_tree(s->folder, NULL);
    if (err != ERR_OK)
        fprintf(stderr, "potik demo: %s could not be removed\n", s->folder);
    mem_free(s);
    *server = NULL;
}
