/*
 * source - the bytes of a file to import: read as a stream, gzip and zstd undone, `-` is stdin.
 *
 * Layer 8, the main thread. Compression is known by the magic bytes at the start, whatever the
 * name.
 */
#ifndef POTIK_CLI_SOURCE_H
#define POTIK_CLI_SOURCE_H

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

struct source {
    const char *path;
    uint64_t total_bytes; /* as stored; 0: unknown (a pipe) */
    uint64_t read_bytes;  /* of these, so far */
    bool tells_path;      /* source_run failed on the file itself: the words name it already */
    /* Takes a piece; another err than ERR_OK stops and is handed back, with its words in the diag.
     */
    enum err (*take)(void *state, struct slice piece, struct diag *diag);
    void *state;
};

/* Size of a file for the progress of several; 0: unknown. */
uint64_t source_bytes(const char *path);
/* Reads it whole. ERR_ABSENT, ERR_IO, ERR_BAD_COMPRESSION, ERR_CANCELLED (^C), or what `take` gave.
 */
MUST_USE enum err source_run(struct source *source, struct diag *diag);

#endif
