/*
 * file - open, read, write, sync: the calls on one file. See file.h; file_tree.c has those on names
 * and folders, file_internal.h the one place where errno becomes an enum err.
 */
#include "base/file.h"

#include "base/file_internal.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

/* One pwritev's parts: some of the kernel's IOV_MAX (1,024), on the stack. */
#define PARTS_AT_ONCE 64
#define WRITE_BACK_BYTES (UINT64_C(1) << 20)
#define GIVE_BACK_BYTES ((off_t)4 << 20)

static enum err
err_of_errno(int errno_value)
{
    switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
        return ERR_STORAGE_FULL;
    case ENOENT:
        return ERR_ABSENT;
    case EEXIST:
        return ERR_EXISTS;
    case ENOMEM:
        return ERR_NOMEM;
    default:
        return ERR_IO;
    }
}

enum err
file_failed(const char *verb, const char *path, int errno_value, struct diag *diag)
{
    diag_set(diag, "%s %s", verb, path);
    diag_add_errno(diag, errno_value);
    return err_of_errno(errno_value);
}

/* Offsets are int64 in the kernel: what does not fit there is no place in a file. */
static bool
is_range_valid(uint64_t offset, uint64_t len)
{
    return offset <= INT64_MAX && len <= (uint64_t)INT64_MAX - offset;
}

enum err
file_open(const char *path, enum file_mode mode, int *ret_fd, struct diag *diag)
{
    int flags = O_CLOEXEC;
    int fd;

    switch (mode) {
    case FILE_READ:
        flags |= O_RDONLY;
        break;
    case FILE_WRITE:
        flags |= O_RDWR;
        break;
    case FILE_CREATE:
        flags |= O_RDWR | O_CREAT;
        break;
    case FILE_CREATE_NEW:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
    case FILE_REPLACE:
        flags |= O_RDWR | O_CREAT | O_TRUNC;
        break;
    case FILE_APPEND:
        flags |= O_WRONLY | O_CREAT | O_APPEND;
        break;
    }
    do {
        fd = open(path, flags, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return file_failed("open", path, errno, diag);
    *ret_fd = fd;
    return ERR_OK;
}

void
file_close(int *fd)
{
    if (*fd < 0)
        return;
    (void)close(*fd);
    *fd = -1;
}

/* Whether nobody can reach the file but through this fd. A write lease is given only then
 * (fcntl(2), F_SETLEASE); where the file system has no leases nothing is told. */
static bool
is_ours_alone(int fd)
{
    if (fcntl(fd, F_SETLEASE, F_WRLCK) != 0)
        return false;
    return fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
}

void
file_close_gently(int *fd)
{
    struct stat facts;

    if (*fd >= 0 && fstat(*fd, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_nlink == 0 &&
        facts.st_size > GIVE_BACK_BYTES && is_ours_alone(*fd)) {
        off_t left = facts.st_size;

        while (left > GIVE_BACK_BYTES && ftruncate(*fd, left - GIVE_BACK_BYTES) == 0)
            left -= GIVE_BACK_BYTES;
    }
    file_close(fd);
}

enum err
file_read_some_at(int fd, const char *path, void *bytes, size_t len, uint64_t offset,
                  size_t *ret_len, struct diag *diag)
{
    size_t done = 0;

    if (!is_range_valid(offset, len))
        return file_failed("read", path, EOVERFLOW, diag);
    while (done < len) {
        ssize_t got = pread(fd, (char *)bytes + done, len - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return file_failed("read", path, errno, diag);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *ret_len = done;
    return ERR_OK;
}

enum err
file_read_at(int fd, const char *path, void *bytes, size_t len, uint64_t offset, struct diag *diag)
{
    size_t done = 0;
    enum err err = file_read_some_at(fd, path, bytes, len, offset, &done, diag);

    if (err != ERR_OK)
        return err;
    if (done < len) {
        diag_set(diag, "read %s: ends early: %zu of %zu bytes at %llu", path, done, len,
                 (unsigned long long)offset);
        return ERR_IO;
    }
    return ERR_OK;
}

enum err
file_read_next(int fd, const char *path, void *bytes, size_t len, size_t *ret_len,
               struct diag *diag)
{
    ssize_t got;

    do {
        got = read(fd, bytes, len < SSIZE_MAX ? len : SSIZE_MAX);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return file_failed("read", path, errno, diag);
    *ret_len = (size_t)got;
    return ERR_OK;
}

enum err
file_write_at(int fd, const char *path, const void *bytes, size_t len, uint64_t offset,
              struct diag *diag)
{
    size_t done = 0;

    if (!is_range_valid(offset, len))
        return file_failed("write", path, EOVERFLOW, diag);
    while (done < len) {
        ssize_t put = pwrite(fd, (const char *)bytes + done, len - done, (off_t)(offset + done));

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return file_failed("write", path, put < 0 ? errno : EIO, diag);
        done += (size_t)put;
    }
    return ERR_OK;
}

enum err
file_write_parts_at(int fd, const char *path, const struct slice *parts, size_t part_count,
                    uint64_t offset, struct diag *diag)
{
    size_t next = 0;    /* the first part not wholly written */
    size_t written = 0; /* bytes of it that are */

    while (next < part_count) {
        struct iovec vectors[PARTS_AT_ONCE];
        int count = 0;
        size_t wanted = 0;
        ssize_t put;

        for (size_t i = next; i < part_count && count < PARTS_AT_ONCE; i++) {
            size_t skip = i == next ? written : 0;

            if (parts[i].len - skip > SSIZE_MAX - wanted)
                break;
            /* iovec has no const; pwritev only reads. */
            vectors[count].iov_base = (char *)((uintptr_t)parts[i].ptr + skip);
            vectors[count].iov_len = parts[i].len - skip;
            wanted += vectors[count].iov_len;
            count++;
        }
        if (count == 0 || !is_range_valid(offset, wanted))
            return file_failed("write", path, EOVERFLOW, diag);
        put = wanted != 0 ? pwritev(fd, vectors, count, (off_t)offset) : 0;
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 || (put == 0 && wanted != 0))
            return file_failed("write", path, put < 0 ? errno : EIO, diag);
        offset += (uint64_t)put;
        written += (size_t)put;
        while (next < part_count && written >= parts[next].len) {
            written -= parts[next].len;
            next++;
        }
    }
    return ERR_OK;
}

enum err
file_sync_data(int fd, const char *path, struct diag *diag)
{
    /* Not repeated on EINTR: after a failed sync nothing more can be believed of this file. */
    return fdatasync(fd) == 0 ? ERR_OK : file_failed("fdatasync", path, errno, diag);
}

enum err
file_sync(int fd, const char *path, struct diag *diag)
{
    return fsync(fd) == 0 ? ERR_OK : file_failed("fsync", path, errno, diag);
}

enum err
file_write_back(int fd, const char *path, uint64_t from, uint64_t to, struct diag *diag)
{
    for (uint64_t at = from; at < to; at += WRITE_BACK_BYTES) {
        const uint64_t len = to - at < WRITE_BACK_BYTES ? to - at : WRITE_BACK_BYTES;

        if (sync_file_range(fd, (off_t)at, (off_t)len,
                            SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) == 0)
            continue;
        if (errno == ENOSYS || errno == ESPIPE || errno == EINVAL)
            break; /* not here: the sync does it all */
        /* The sync would not tell it again. */
        return file_failed("sync_file_range", path, errno, diag);
    }
    return ERR_OK;
}

enum err
file_sync_bulk(int fd, const char *path, struct diag *diag)
{
    uint64_t bytes = 0;
    enum err err = file_size(fd, path, &bytes, diag);

    if (err == ERR_OK)
        err = file_write_back(fd, path, 0, bytes, diag);
    return err == ERR_OK ? file_sync(fd, path, diag) : err;
}

enum err
file_truncate(int fd, const char *path, uint64_t bytes, struct diag *diag)
{
    int failed;

    if (!is_range_valid(bytes, 0))
        return file_failed("truncate", path, EOVERFLOW, diag);
    do {
        failed = ftruncate(fd, (off_t)bytes);
    } while (failed != 0 && errno == EINTR);
    return failed == 0 ? ERR_OK : file_failed("truncate", path, errno, diag);
}

enum err
file_allocate(int fd, const char *path, uint64_t offset, uint64_t len, struct diag *diag)
{
    int errno_value;

    if (!is_range_valid(offset, len))
        return file_failed("allocate", path, EOVERFLOW, diag);
    if (len == 0)
        return ERR_OK;
    do {
        errno_value = posix_fallocate(fd, (off_t)offset, (off_t)len);
    } while (errno_value == EINTR);
    return errno_value == 0 ? ERR_OK : file_failed("allocate", path, errno_value, diag);
}

enum err
file_size(int fd, const char *path, uint64_t *ret_bytes, struct diag *diag)
{
    struct stat facts;

    if (fstat(fd, &facts) != 0)
        return file_failed("stat", path, errno, diag);
    *ret_bytes = (uint64_t)facts.st_size;
    return ERR_OK;
}

enum err
file_read_whole(const char *path, size_t bytes_max, struct buf *buf, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    size_t start = buf->len;
    enum err err = file_open(path, FILE_READ, &fd, diag);

    /* By reading, not by its size: /proc and files that grow have none to trust. */
    while (err == ERR_OK) {
        size_t have = buf->len - start;
        size_t step = bytes_max - have < 64 * 1024 ? bytes_max - have + 1 : 64 * 1024;
        char extra;
        size_t got = 0;

        if (step == 1) {
            /* at the maximum: one byte more would be too many */
            err = file_read_some_at(fd, path, &extra, 1, have, &got, diag);
            if (err == ERR_OK && got != 0) {
                diag_set(diag, "read %s: over %zu bytes", path, bytes_max);
                err = ERR_FULL;
            }
            break;
        }
        step = step > bytes_max - have ? bytes_max - have : step;
        if (!buf_reserve(buf, step)) {
            diag_set(diag, "read %s: no room for its bytes", path);
            err = ERR_NOMEM;
            break;
        }
        err = file_read_some_at(fd, path, buf->ptr + buf->len, step, have, &got, diag);
        if (err != ERR_OK)
            break;
        buf->len += got;
        if (got < step)
            break;
    }
    if (err != ERR_OK)
        buf->len = start;
    return err;
}

enum err
file_lock(int fd, const char *path, struct diag *diag)
{
    int failed;

    do {
        failed = flock(fd, LOCK_EX | LOCK_NB);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0 && errno == EWOULDBLOCK) {
        diag_set(diag, "%s: held by another process", path);
        return ERR_LOCKED;
    }
    return failed == 0 ? ERR_OK : file_failed("lock", path, errno, diag);
}

enum err
file_disk_space(const char *path, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes,
                struct diag *diag)
{
    struct statvfs facts;
    int failed;

    do {
        failed = statvfs(path, &facts);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0)
        return file_failed("statvfs", path, errno, diag);
    *ret_free_bytes = (uint64_t)facts.f_bavail * facts.f_frsize;
    *ret_total_bytes = (uint64_t)facts.f_blocks * facts.f_frsize;
    return ERR_OK;
}
