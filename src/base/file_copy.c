/*
 * file_copy - a file copied, and shown to who wants to count or to check it on the way. See file.h.
 */
#include "base/file.h"

#include "base/mem.h"

#define PIECE_BYTES ((size_t)1 << 20)

enum err
file_copy(int fd, const char *path, uint64_t bytes, const char *to, file_copy_seen *seen,
          void *state, struct diag *diag)
{
    CLOSE_FD int to_fd = -1;
    CLEANUP(mem_free_ptr) char *piece = mem_alloc(PIECE_BYTES);
    enum err err = piece != NULL ? file_open(to, FILE_CREATE_NEW, &to_fd, diag) : ERR_NOMEM;

    for (uint64_t done = 0; err == ERR_OK && done < bytes;) {
        const size_t len = bytes - done < PIECE_BYTES ? (size_t)(bytes - done) : PIECE_BYTES;

        err = file_read_at(fd, path, piece, len, done, diag);
        if (err == ERR_OK)
            err = file_write_at(to_fd, to, piece, len, done, diag);
        if (err == ERR_OK)
            err = file_write_back(to_fd, to, done, done + len, diag);
        if (err == ERR_OK)
            seen(state, piece, len);
        done += len;
    }
    return err == ERR_OK ? file_sync(to_fd, to, diag) : err;
}
