/*
 * compress - gzip (RFC 1952) and zstd (RFC 8878), undone as they arrive, with a cap on what comes
 * out.
 *
 * Layer 1, one thread at a time, any split of the input. Several members or frames one behind the
 * other are one stream. A body that ends early, or goes on with something else, is refused. Memory
 * is bounded: a zstd window over 8 MiB is refused (the size RFC 8878 asks every reader to take),
 * and output over the cap, or too much of it for its input, stops at once: a bomb costs what a body
 * of that size costs, no more.
 */
#ifndef POTIK_CODEC_COMPRESS_H
#define POTIK_CODEC_COMPRESS_H

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"
#include <stdint.h>

enum compress_kind { COMPRESS_GZIP, COMPRESS_ZSTD };

struct decompress_config {
    enum compress_kind kind;
    uint64_t output_bytes_max;
    uint32_t ratio_max; /* output a byte of input, asked above 1 MiB of output; 0: not asked */
};

/* Takes a piece of output; another err than ERR_OK stops the work and is handed back. */
typedef enum err (*decompress_sink)(void *sink, const char *bytes, size_t len);

struct decompress;
MUST_USE enum err decompress_new(const struct decompress_config *config,
                                 struct decompress **ret_decompress, struct diag *diag);
void decompress_free(struct decompress **decompress);
/* ERR_BAD_COMPRESSION: not such a stream. ERR_BODY_TOO_LARGE: over cap or ratio. ERR_NOMEM, the
 * sink's. All final. */
MUST_USE enum err decompress_feed(struct decompress *decompress, const char *bytes, size_t len,
                                  decompress_sink sink_call, void *sink, struct diag *diag);
/* ERR_BAD_COMPRESSION: cut off, or nothing came. */
MUST_USE enum err decompress_end(struct decompress *decompress, struct diag *diag);

/* By the magic bytes at the start of a body (3 for gzip, 4 for zstd). */
bool compress_is_gzip(struct slice start);
bool compress_is_zstd(struct slice start);

#endif
