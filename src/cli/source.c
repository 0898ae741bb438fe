/*
 * source - see source.h.
 */
#include "cli/source.h"

#include "base/file.h"
#include "base/mem.h"
#include "cli/client.h"
#include "codec/compress.h"
#include <unistd.h>

#define PIECE_BYTES (256u * 1024)
#define MAGIC_BYTES 4

struct inflated {
    struct source *source;
    struct diag *diag;
};

uint64_t
source_bytes(const char *path)
{
    uint64_t bytes = 0;

    if (strcmp(path, "-") == 0 || file_size_of_path(path, &bytes, NULL) != ERR_OK)
        return 0;
    return bytes;
}

static enum err
take_inflated(void *sink, const char *bytes, size_t len)
{
    struct inflated *inflated = (struct inflated *)sink;

    return inflated->source->take(inflated->source->state, slice_of(bytes, len), inflated->diag);
}

/* Pipes give little pieces: the first is filled up until the magic bytes are there, or the end. */
static enum err
read_piece(struct source *source, int fd, char *bytes, size_t wanted, size_t *ret_len,
           struct diag *diag)
{
    size_t len = 0, got = 1;

    while (len < wanted && got != 0) {
        enum err err = file_read_next(fd, source->path, bytes + len, PIECE_BYTES - len, &got, diag);

        if (err != ERR_OK) {
            source->tells_path = true;
            return err;
        }
        len += got;
        if (client_is_interrupted())
            return ERR_CANCELLED;
    }
    source->read_bytes += len;
    *ret_len = len;
    return ERR_OK;
}

static enum err
run(struct source *source, int fd, char *bytes, struct decompress **decompress, struct diag *diag)
{
    struct inflated inflated = {source, diag};
    struct decompress_config config = {.kind = COMPRESS_GZIP, .output_bytes_max = UINT64_MAX};
    size_t wanted = MAGIC_BYTES, len = 0;

    for (;;) {
        enum err err = read_piece(source, fd, bytes, wanted, &len, diag);
        struct slice piece = slice_of(bytes, len);

        if (err == ERR_OK && wanted != 1 && (compress_is_gzip(piece) || compress_is_zstd(piece))) {
            config.kind = compress_is_gzip(piece) ? COMPRESS_GZIP : COMPRESS_ZSTD;
            err = decompress_new(&config, decompress, diag);
        }
        wanted = 1;
        if (err == ERR_OK && len == 0)
            return *decompress != NULL ? decompress_end(*decompress, diag) : ERR_OK;
        if (err == ERR_OK)
            err = *decompress != NULL
                      ? decompress_feed(*decompress, bytes, len, take_inflated, &inflated, diag)
                      : source->take(source->state, piece, diag);
        if (err != ERR_OK)
            return err;
    }
}

enum err
source_run(struct source *source, struct diag *diag)
{
    CLEANUP(mem_free_ptr) char *bytes = (char *)mem_alloc(PIECE_BYTES);
    CLEANUP(decompress_free) struct decompress *decompress = NULL;
    CLOSE_FD int fd = -1;
    enum err err = ERR_OK;

    if (bytes == NULL)
        return ERR_NOMEM;
    source->total_bytes = source_bytes(source->path);
    source->read_bytes = 0;
    source->tells_path = false;
    if (strcmp(source->path, "-") == 0)
        return run(source, STDIN_FILENO, bytes, &decompress, diag);
    err = file_open(source->path, FILE_READ, &fd, diag);
    source->tells_path = err != ERR_OK;
    return err != ERR_OK ? err : run(source, fd, bytes, &decompress, diag);
}
