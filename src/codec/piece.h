/*
 * piece - bytes gathered over several arrivals, up to a maximum; white space around them is left
 * out.
 *
 * Layer 1, one thread at a time. A line or an element that was cut by the end of a read. What lies
 * beyond the maximum is counted, not kept.
 */
#ifndef POTIK_CODEC_PIECE_H
#define POTIK_CODEC_PIECE_H

#include "base/buf.h"

struct piece {
    struct buf kept; /* from the first byte that is no white space */
    size_t bytes_max;
    uint64_t seen;    /* bytes added since then */
    uint64_t trimmed; /* … without the white space at the end */
};

void piece_init(struct piece *piece, size_t bytes_max);
void piece_fini(struct piece *piece);
void piece_clear(struct piece *piece); /* empty again; a large buffer is given back */
/* ERR_NOMEM. *ret_overflow: how many of the last bytes given were left out as over the maximum
 * (NULL allowed). */
MUST_USE enum err
piece_add(struct piece *piece, const char *bytes, size_t len, size_t *ret_overflow);
/* What is kept of the trimmed text: all of it if trimmed ≤ bytes_max. */
struct slice piece_text(const struct piece *piece);

static inline bool
piece_is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

#endif
