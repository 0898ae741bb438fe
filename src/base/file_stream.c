/*
 * file_stream - whole lines to a file, or to whoever reads a pipe, a terminal or a socket, without
 * ever waiting for him. See file.h.
 *
 * A plain file never makes its writer wait for a reader: all goes by one write. Of the others a
 * write could block, or end in the middle of a line of ours and of another thread's: so they are
 * opened without blocking, and are given whole lines of at most PIPE_BUF bytes at a time, which a
 * pipe takes whole or not at all (pipe(7)). stderr was opened by somebody else and is shared with
 * others, so it must not be set to O_NONBLOCK: it is opened anew through /proc; a socket (the
 * journal's) cannot be, and is written to by send() with MSG_DONTWAIT; where neither can be done it
 * is asked before each piece.
 */
#include "base/file.h"

#include "base/file_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum stream_kind { STREAM_PLAIN, STREAM_NONBLOCK, STREAM_SOCKET, STREAM_ASKED };

static enum stream_kind
kind_of(int fd)
{
    struct stat facts;

    if (fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode))
        return STREAM_PLAIN;
    return STREAM_NONBLOCK;
}

static int
open_without_blocking(const char *path, int more)
{
    int fd;

    do
        fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | more, 0600);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int
open_stderr(enum stream_kind *ret_kind)
{
    struct stat facts;
    bool is_socket = fstat(STDERR_FILENO, &facts) == 0 && S_ISSOCK(facts.st_mode);
    int fd = is_socket ? -1 : open_without_blocking("/proc/self/fd/2", 0);

    if (fd >= 0) {
        *ret_kind = kind_of(fd);
        return fd;
    }
    *ret_kind = is_socket ? STREAM_SOCKET : STREAM_ASKED;
    return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
}

enum err
file_stream_open(struct file_stream *stream, const char *path, struct diag *diag)
{
    bool is_stderr = strcmp(path, "-") == 0;
    enum stream_kind kind = STREAM_NONBLOCK;
    int fd = is_stderr ? open_stderr(&kind) : open_without_blocking(path, O_CREAT);
    enum err err = ERR_OK;

    if (fd < 0 && errno == ENXIO && !is_stderr) {
        diag_set(diag, "open %s: nobody reads that pipe", path);
        return ERR_IO;
    }
    if (fd < 0)
        return file_failed("open", is_stderr ? "stderr" : path, errno, diag);
    if (!is_stderr)
        kind = kind_of(fd);
    if (stream->fd < 0) {
        stream->fd = fd;
    } else { /* its number stays: others write to it */
        if (dup3(fd, stream->fd, O_CLOEXEC) < 0)
            err = file_failed("open", path, errno, diag);
        file_close(&fd);
    }
    if (err == ERR_OK)
        atomic_store(&stream->kind, (int)kind);
    return err;
}

void
file_stream_close(struct file_stream *stream)
{
    file_close(&stream->fd);
}

static ssize_t
give(int fd, enum stream_kind kind, const char *bytes, size_t len)
{
    struct pollfd asked = {.fd = fd, .events = POLLOUT};
    ssize_t put;

    if (kind == STREAM_ASKED && (poll(&asked, 1, 0) != 1 || (asked.revents & POLLOUT) == 0))
        return -1;
    do
        put = kind == STREAM_SOCKET ? send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                                    : write(fd, bytes, len);
    while (put < 0 && errno == EINTR);
    return put;
}

/* Whole lines of at most PIPE_BUF bytes; a longer line goes alone. */
static size_t
piece_len(const char *bytes, size_t len)
{
    const char *newline;

    assert(bytes != NULL);
    if (len <= PIPE_BUF)
        return len;
    newline = memrchr(bytes, '\n', PIPE_BUF);
    if (newline == NULL)
        newline = memchr(bytes, '\n', len);
    return newline != NULL ? (size_t)(newline + 1 - bytes) : len;
}

size_t
file_stream_add(struct file_stream *stream, const char *bytes, size_t len)
{
    enum stream_kind kind = (enum stream_kind)atomic_load(&stream->kind);
    size_t taken = 0;

    while (taken < len) {
        size_t piece = kind == STREAM_PLAIN ? len - taken : piece_len(bytes + taken, len - taken);
        ssize_t put = give(stream->fd, kind, bytes + taken, piece);

        if (put <= 0)
            break;
        taken += (size_t)put;
    }
    return taken;
}
