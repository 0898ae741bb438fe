/*
 * file - the one door to disk. No other file of ours calls open, write, sync, rename or unlink
 * (DuckDB and SQLite write their own).
 *
 * Layer 0, any thread. Calls loop over short transfers and EINTR. errno becomes words in `diag`
 * (with the path) and an enum err here: ENOSPC and EDQUOT → ERR_STORAGE_FULL, ENOENT → ERR_ABSENT,
 * EEXIST → ERR_EXISTS, EWOULDBLOCK of a lock → ERR_LOCKED, ENOMEM → ERR_NOMEM, all else → ERR_IO.
 * A failed sync is final for the file's unsynced bytes: callers must not sync again and believe it.
 */
#ifndef POTIK_BASE_FILE_H
#define POTIK_BASE_FILE_H

#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/slice.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum file_mode {
    FILE_READ,       /* must exist */
    FILE_WRITE,      /* read and write; must exist */
    FILE_CREATE,     /* read and write; created if absent (0600), kept as it is otherwise */
    FILE_CREATE_NEW, /* read and write; ERR_EXISTS if it exists */
    FILE_REPLACE,    /* read and write; created or emptied */
    FILE_APPEND,     /* write, always at the end; created if absent (0600) */
};

MUST_USE enum err file_open(const char *path, enum file_mode mode, int *ret_fd, struct diag *diag);
void file_close(int *fd); /* sets −1; takes −1 */
#define CLOSE_FD CLEANUP(file_close)
/* file_close of a writable fd. If the file has no name any more and nobody else has it open, its
 * room is given back a piece at a time before that: where the file system tells the disk at once
 * what is free (mount -o discard), all of a large file is one request, and a sync of another file
 * waits behind it (measured: 13 ms for 96 MiB). To be called when the name's going is durable. */
void file_close_gently(int *fd);

/* Exactly `len` bytes, or ERR_IO ("ends early"). `path` is only for words. */
MUST_USE enum err
file_read_at(int fd, const char *path, void *bytes, size_t len, uint64_t offset, struct diag *diag);
/* Up to `len` bytes; *ret_len < len only at the end of the file. */
MUST_USE enum err file_read_some_at(int fd, const char *path, void *bytes, size_t len,
                                    uint64_t offset, size_t *ret_len, struct diag *diag);
/* From where the fd stands, for pipes too: up to `len` bytes, 0 at the end. */
MUST_USE enum err file_read_next(int fd, const char *path, void *bytes, size_t len, size_t *ret_len,
                                 struct diag *diag);
MUST_USE enum err file_write_at(int fd, const char *path, const void *bytes, size_t len,
                                uint64_t offset, struct diag *diag);
/* One pwritev, looped: `parts` written one after the other from `offset`. */
MUST_USE enum err file_write_parts_at(int fd, const char *path, const struct slice *parts,
                                      size_t part_count, uint64_t offset, struct diag *diag);
/* `bytes` from the beginning into a new file, synced; each piece is shown when it is written. */
typedef void file_copy_seen(void *state, const void *bytes, size_t len);
MUST_USE enum err file_copy(int fd, const char *path, uint64_t bytes, const char *to,
                            file_copy_seen *seen, void *state, struct diag *diag);
MUST_USE enum err file_sync_data(int fd, const char *path, struct diag *diag); /* fdatasync */
MUST_USE enum err file_sync(int fd, const char *path, struct diag *diag);      /* fsync */
/* Writes what is dirty from `from` up to `to` back in small pieces, one after the other, so that
 * the sync of another file has to wait for one piece at most. Makes nothing durable. */
MUST_USE enum err
file_write_back(int fd, const char *path, uint64_t from, uint64_t to, struct diag *diag);
/* file_write_back of the whole file, then file_sync: for a file that may be large. */
MUST_USE enum err file_sync_bulk(int fd, const char *path, struct diag *diag);
MUST_USE enum err file_sync_dir(const char *dir, struct diag *diag);
MUST_USE enum err file_truncate(int fd, const char *path, uint64_t bytes, struct diag *diag);
/* posix_fallocate: bytes offset .. offset+len exist and have room. */
MUST_USE enum err
file_allocate(int fd, const char *path, uint64_t offset, uint64_t len, struct diag *diag);
MUST_USE enum err file_size(int fd, const char *path, uint64_t *ret_bytes, struct diag *diag);
MUST_USE enum err file_size_of_path(const char *path, uint64_t *ret_bytes, struct diag *diag);
/* Whether the file's mode lets nobody but its owner read, write or run it. Links are followed. */
MUST_USE enum err file_is_private(const char *path, bool *ret_is_private, struct diag *diag);
MUST_USE enum err file_rename(const char *from, const char *to, struct diag *diag);
/* file_rename, then fsync of the folder of `to`: the new name outlasts a loss of power. On an
 * error of that fsync the file has its new name all the same. */
MUST_USE enum err file_rename_synced(const char *from, const char *to, struct diag *diag);
/* ERR_ABSENT if it was not there. */
MUST_USE enum err file_unlink(const char *path, struct diag *diag);
/* The same, and its room is given back as by file_close_gently: for a file that may be large, and
 * that is of no use if it comes back after a loss of power. */
MUST_USE enum err file_unlink_gently(const char *path, struct diag *diag);
/* ERR_OK if it is a folder already; parents must exist. Mode 0700. */
MUST_USE enum err file_make_dir(const char *path, struct diag *diag);
/* ERR_EXISTS if anything of that name is there. */
MUST_USE enum err file_make_new_dir(const char *path, struct diag *diag);
MUST_USE enum err file_remove_tree(const char *path, struct diag *diag); /* no following of links */
bool file_exists(const char *path);
/* Both lead to one file (device and inode, links followed). False if one cannot be looked at. */
bool file_is_same(const char *path, const char *other);
/* A folder itself, no link to one, on the file system of the folder it is in: no mount point. A
 * rename can replace it if it is empty. False if it cannot be looked at. */
bool file_is_plain_folder(const char *path);
/* A plain file, links followed: no folder, device, pipe. False if it cannot be looked at. */
bool file_is_regular(const char *path);

/* The whole file, at most bytes_max (ERR_FULL beyond), appended to `buf`. */
MUST_USE enum err
file_read_whole(const char *path, size_t bytes_max, struct buf *buf, struct diag *diag);
/* path.tmp, write, fsync, rename, fsync of the directory: old or new, never half. */
MUST_USE enum err file_replace_whole(const char *path, struct slice bytes, struct diag *diag);
/* The same, and the new file has the owner, group and mode of the old one, so that whoever could
 * read it still can when another user (root) has replaced it. path.tmp is never followed as a link.
 */
MUST_USE enum err file_replace_whole_alike(const char *path, struct slice bytes, struct diag *diag);

/* Names (not paths) in byte order, "." and ".." left out. Free with file_list_free. */
struct file_list {
    char **names;
    size_t count;
};
MUST_USE enum err file_list_dir(const char *dir, struct file_list *ret_list, struct diag *diag);
void file_list_free(struct file_list *list);

/* Where lines are added and never waited for: a file, a pipe, a terminal, stderr. */
struct file_stream {
    int fd; /* −1 before the first open */
    _Atomic int kind;
};
/* At the end of the file of this name, made if absent (0600); "-": stderr. Of one that is open: the
 * new one in its place, while other threads add to it. Not by two threads at once. On an error all
 * stays. */
MUST_USE enum err file_stream_open(struct file_stream *stream, const char *path, struct diag *diag);
void file_stream_close(struct file_stream *stream);
/* Whole lines, from any thread. Returns how many bytes were taken without waiting; a pipe takes
 * whole lines. */
size_t file_stream_add(struct file_stream *stream, const char *bytes, size_t len);

/* Exclusive flock without waiting; ERR_LOCKED if held. Held until the fd is closed. */
MUST_USE enum err file_lock(int fd, const char *path, struct diag *diag);
/* Bytes an ordinary user may still write, and the size of the file system. */
MUST_USE enum err file_disk_space(const char *path, uint64_t *ret_free_bytes,
                                  uint64_t *ret_total_bytes, struct diag *diag);

/* "dir/name" into a fixed array; false if it does not fit. */
#define FILE_PATH_MAX 4096
bool file_path(char ret_path[FILE_PATH_MAX], const char *dir, const char *name);

#endif
