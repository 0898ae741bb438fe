/*
 * power_shim - a preload that records what a process writes and what it syncs. See power.h.
 *
 * POWER_ROOT: the folder watched (absolute, no link in it). POWER_JOURNAL: the journal, outside of
 * it. POWER_NO_SYNC=1: syncs report success without being recorded: the negative control, under
 * which the test must report loss. Every wrapped call holds one lock over the real call and its
 * record, so that the journal's order is the order of the changes; syncs run outside of it and
 * record where they began.
 */
#undef _FILE_OFFSET_BITS /* else `pwrite` here would be `pwrite64`, and both are wanted */
#include "power.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FD_MAX 65536
#define INODE_MAX 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_len;
static int journal_fd = -1;
static uint64_t record_count;
static uint64_t next_file_id = 1;
static bool is_sync_dropped;
static uint64_t fd_file[FD_MAX]; /* 0: not watched */
static char *fd_dir[FD_MAX];     /* a folder opened for its sync */

/* Which id an inode has now; an inode number is used again after an unlink, so CREATE overwrites.
 */
static struct {
    ino_t inode;
    uint64_t file_id;
} inodes[INODE_MAX];
static uint32_t inode_count;

static void
journal_write(const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        long n = syscall(SYS_write, journal_fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            abort();
        at += n;
        len -= (size_t)n;
    }
}

static void
record(enum power_kind kind, uint64_t file_id, uint64_t offset, uint64_t begin, const char *path,
       const void *data, size_t data_bytes)
{
    struct power_record r = {.magic = POWER_MAGIC,
                             .kind = kind,
                             .file_id = file_id,
                             .offset = offset,
                             .begin = begin,
                             .path_bytes = path != NULL ? (uint32_t)strlen(path) : 0,
                             .data_bytes = (uint32_t)data_bytes};
    struct iovec parts[3] = {{&r, sizeof r},
                             {(void *)(uintptr_t)path, r.path_bytes},
                             {(void *)(uintptr_t)data, data_bytes}};
    size_t total = sizeof r + r.path_bytes + data_bytes;
    long n = syscall(SYS_writev, journal_fd, parts, 3);

    if (n != (long)total) { /* a short write: finish it piece by piece */
        size_t done = n > 0 ? (size_t)n : 0;
        for (int i = 0; i < 3; i++) {
            size_t skip = done < parts[i].iov_len ? done : parts[i].iov_len;
            journal_write((char *)parts[i].iov_base + skip, parts[i].iov_len - skip);
            done -= skip;
        }
    }
    record_count++;
}

__attribute__((constructor)) static void
start(void)
{
    const char *wanted = getenv("POWER_ROOT");
    const char *journal = getenv("POWER_JOURNAL");

    is_sync_dropped = getenv("POWER_NO_SYNC") != NULL;
    if (wanted == NULL || journal == NULL || realpath(wanted, root) == NULL)
        return;
    root_len = strlen(root);
    journal_fd = (int)syscall(SYS_openat, AT_FDCWD, journal,
                              O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal_fd >= 0) { /* high, so that it does not take a number anybody expects */
        int high = fcntl(journal_fd, F_DUPFD_CLOEXEC, 60000 < sysconf(_SC_OPEN_MAX) ? 60000 : 900);
        if (high >= 0) {
            syscall(SYS_close, journal_fd);
            journal_fd = high;
        }
    }
}

/* The path below the root, or NULL if it lies elsewhere. `out` has PATH_MAX bytes. The last part
 * may not exist yet. */
static const char *
below_root(int dir_fd, const char *path, char *out)
{
    char dir[PATH_MAX];
    char real[PATH_MAX];
    const char *name;
    size_t len;

    if (journal_fd < 0 || path == NULL || (dir_fd != AT_FDCWD && path[0] != '/'))
        return NULL;
    len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len >= PATH_MAX)
        return NULL;
    memcpy(dir, path, len);
    dir[len] = '\0';
    name = strrchr(dir, '/');
    if (name == NULL) {
        if (realpath(".", real) == NULL)
            return NULL;
        name = dir;
    } else {
        char name_copy[NAME_MAX + 1];
        snprintf(name_copy, sizeof name_copy, "%s", name + 1);
        dir[name - dir + (name == dir)] = '\0';
        if (realpath(dir, real) == NULL)
            return NULL;
        snprintf(dir, sizeof dir, "%s", name_copy);
        name = dir;
    }
    if (snprintf(out, PATH_MAX, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name) >= PATH_MAX)
        return NULL;
    if (strncmp(out, root, root_len) != 0 || (out[root_len] != '/' && out[root_len] != '\0'))
        return NULL;
    memmove(out, out + root_len, strlen(out + root_len) + 1);
    return out[0] == '/' ? out + 1 : out; /* "" is the root itself */
}

static uint64_t
file_id_of(ino_t inode)
{
    for (uint32_t i = inode_count; i > 0; i--)
        if (inodes[i - 1].inode == inode)
            return inodes[i - 1].file_id;
    return 0;
}

static void
remember(ino_t inode, uint64_t file_id)
{
    if (inode_count == INODE_MAX) { /* forget the older half */
        memmove(inodes, inodes + INODE_MAX / 2, sizeof inodes / 2);
        inode_count = INODE_MAX / 2;
    }
    inodes[inode_count].inode = inode;
    inodes[inode_count++].file_id = file_id;
}

static int
open_watched(int dir_fd, const char *path, int flags, mode_t mode)
{
    char out[PATH_MAX];
    const char *name = below_root(dir_fd, path, out);
    struct stat st;
    bool existed;
    int fd;

    if (name == NULL)
        return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    pthread_mutex_lock(&lock);
    existed = stat(path, &st) == 0;
    fd = (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    if (fd >= 0 && fd < FD_MAX && fstat(fd, &st) == 0) {
        int saved = errno;
        if (S_ISDIR(st.st_mode)) {
            free(fd_dir[fd]);
            fd_dir[fd] = strdup(name);
        } else if (S_ISREG(st.st_mode)) {
            uint64_t id = existed ? file_id_of(st.st_ino) : 0;
            if (id == 0) {
                id = next_file_id++;
                remember(st.st_ino, id);
                record(existed ? POWER_OPEN : POWER_CREATE, id, 0, 0, name, NULL, 0);
            }
            if (existed && (flags & O_TRUNC) != 0)
                record(POWER_TRUNCATE, id, 0, 0, NULL, NULL, 0);
            fd_file[fd] = id;
        }
        errno = saved;
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

static mode_t
mode_argument(int flags, va_list arguments)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

#define OPEN_BODY(dir_fd)                                                                          \
    va_list arguments;                                                                             \
    mode_t mode;                                                                                   \
    va_start(arguments, flags);                                                                    \
    mode = mode_argument(flags, arguments);                                                        \
    va_end(arguments);                                                                             \
    return open_watched(dir_fd, path, flags, mode)

int
open(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}
int
open64(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}
int
openat(int dir_fd, const char *path, int flags, ...)
{
    OPEN_BODY(dir_fd);
}
int
openat64(int dir_fd, const char *path, int flags, ...)
{
    OPEN_BODY(dir_fd);
}

/* What _FORTIFY_SOURCE makes of an open without a mode. */
int
__open_2(const char *path, int flags)
{
    return open_watched(AT_FDCWD, path, flags, 0);
}
int
__open64_2(const char *path, int flags)
{
    return open_watched(AT_FDCWD, path, flags, 0);
}
int
__openat_2(int dir_fd, const char *path, int flags)
{
    return open_watched(dir_fd, path, flags, 0);
}
int
__openat64_2(int dir_fd, const char *path, int flags)
{
    return open_watched(dir_fd, path, flags, 0);
}

int
close(int fd)
{
    if (fd >= 0 && fd < FD_MAX && (fd_file[fd] != 0 || fd_dir[fd] != NULL)) {
        pthread_mutex_lock(&lock);
        fd_file[fd] = 0;
        free(fd_dir[fd]);
        fd_dir[fd] = NULL;
        pthread_mutex_unlock(&lock);
    }
    return (int)syscall(SYS_close, fd);
}

static bool
is_watched(int fd)
{
    return journal_fd >= 0 && fd >= 0 && fd < FD_MAX && fd_file[fd] != 0;
}

ssize_t
pwrite64(int fd, const void *bytes, size_t len, off64_t offset)
{
    ssize_t n;

    if (!is_watched(fd))
        return syscall(SYS_pwrite64, fd, bytes, len, offset);
    pthread_mutex_lock(&lock);
    n = syscall(SYS_pwrite64, fd, bytes, len, offset);
    if (n > 0)
        record(POWER_WRITE, fd_file[fd], (uint64_t)offset, 0, NULL, bytes, (size_t)n);
    pthread_mutex_unlock(&lock);
    return n;
}
ssize_t
pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    return pwrite64(fd, bytes, len, offset);
}

ssize_t
write(int fd, const void *bytes, size_t len)
{
    off_t at;
    ssize_t n;

    if (!is_watched(fd))
        return syscall(SYS_write, fd, bytes, len);
    pthread_mutex_lock(&lock);
    n = syscall(SYS_write, fd, bytes, len);
    at = n > 0 ? lseek(fd, 0, SEEK_CUR) : 0;
    if (n > 0)
        record(POWER_WRITE, fd_file[fd], (uint64_t)(at - n), 0, NULL, bytes, (size_t)n);
    pthread_mutex_unlock(&lock);
    return n;
}

ssize_t
pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    ssize_t n;
    size_t left;
    uint64_t at = (uint64_t)offset;

    if (!is_watched(fd))
        return syscall(SYS_pwritev, fd, parts, count, offset, 0);
    pthread_mutex_lock(&lock);
    n = syscall(SYS_pwritev, fd, parts, count, offset, 0);
    left = n > 0 ? (size_t)n : 0;
    for (int i = 0; i < count && left > 0; i++) {
        size_t part = parts[i].iov_len < left ? parts[i].iov_len : left;
        if (part > 0)
            record(POWER_WRITE, fd_file[fd], at, 0, NULL, parts[i].iov_base, part);
        at += part;
        left -= part;
    }
    pthread_mutex_unlock(&lock);
    return n;
}
ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return pwritev64(fd, parts, count, offset);
}

int
ftruncate64(int fd, off64_t len)
{
    int result;

    if (!is_watched(fd))
        return (int)syscall(SYS_ftruncate, fd, len);
    pthread_mutex_lock(&lock);
    result = (int)syscall(SYS_ftruncate, fd, len);
    if (result == 0)
        record(POWER_TRUNCATE, fd_file[fd], (uint64_t)len, 0, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int
ftruncate(int fd, off_t len)
{
    return ftruncate64(fd, len);
}

static int
allocate(int fd, int mode, off64_t offset, off64_t len)
{
    int result;

    if (!is_watched(fd))
        return (int)syscall(SYS_fallocate, fd, mode, offset, len);
    pthread_mutex_lock(&lock);
    result = (int)syscall(SYS_fallocate, fd, mode, offset, len);
    if (result == 0 && mode == 0)
        record(POWER_EXTEND, fd_file[fd], (uint64_t)(offset + len), 0, NULL, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int
fallocate64(int fd, int mode, off64_t offset, off64_t len)
{
    return allocate(fd, mode, offset, len);
}
int
fallocate(int fd, int mode, off_t offset, off_t len)
{
    return allocate(fd, mode, offset, len);
}
int
posix_fallocate64(int fd, off64_t offset, off64_t len)
{
    return allocate(fd, 0, offset, len) == 0 ? 0 : errno;
}
int
posix_fallocate(int fd, off_t offset, off_t len)
{
    return allocate(fd, 0, offset, len) == 0 ? 0 : errno;
}

static int
sync_watched(int fd, long number)
{
    uint64_t begin;
    int result;

    if (journal_fd < 0 || fd < 0 || fd >= FD_MAX || (fd_file[fd] == 0 && fd_dir[fd] == NULL))
        return (int)syscall(number, fd);
    if (is_sync_dropped)
        return 0;
    pthread_mutex_lock(&lock);
    begin = record_count;
    pthread_mutex_unlock(&lock);
    result = (int)syscall(number, fd);
    if (result == 0) {
        pthread_mutex_lock(&lock);
        if (fd_dir[fd] != NULL)
            record(POWER_SYNC_DIR, 0, 0, begin, fd_dir[fd], NULL, 0);
        else
            record(POWER_SYNC, fd_file[fd], 0, begin, NULL, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    return result;
}
int
fsync(int fd)
{
    return sync_watched(fd, SYS_fsync);
}
int
fdatasync(int fd)
{
    return sync_watched(fd, SYS_fdatasync);
}

int
renameat(int old_dir, const char *from, int new_dir, const char *to)
{
    char from_out[PATH_MAX];
    char to_out[PATH_MAX];
    const char *from_name = below_root(old_dir, from, from_out);
    const char *to_name = below_root(new_dir, to, to_out);
    int result;

    if (from_name == NULL || to_name == NULL)
        return (int)syscall(SYS_renameat, old_dir, from, new_dir, to);
    pthread_mutex_lock(&lock);
    result = (int)syscall(SYS_renameat, old_dir, from, new_dir, to);
    if (result == 0)
        record(POWER_RENAME, 0, 0, 0, from_name, to_name, strlen(to_name));
    pthread_mutex_unlock(&lock);
    return result;
}
int
rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int
unlinkat(int dir_fd, const char *path, int flags)
{
    char out[PATH_MAX];
    const char *name = below_root(dir_fd, path, out);
    int result;

    if (name == NULL)
        return (int)syscall(SYS_unlinkat, dir_fd, path, flags);
    pthread_mutex_lock(&lock);
    result = (int)syscall(SYS_unlinkat, dir_fd, path, flags);
    if (result == 0)
        record((flags & AT_REMOVEDIR) != 0 ? POWER_RMDIR : POWER_UNLINK, 0, 0, 0, name, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int
unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}
int
rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int
mkdir(const char *path, mode_t mode)
{
    char out[PATH_MAX];
    const char *name = below_root(AT_FDCWD, path, out);
    int result;

    if (name == NULL)
        return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    pthread_mutex_lock(&lock);
    result = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (result == 0)
        record(POWER_MKDIR, 0, 0, 0, name, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
