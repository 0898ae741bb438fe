/*
 * ndjson - cuts a stream into lines: LF or CRLF, blank lines left out, white space around trimmed.
 *
 * Layer 1, one thread at a time, any split of the input. Used by the event decoder and by import.
 * What is in a line is not looked at.
 */
#ifndef POTIK_CODEC_NDJSON_H
#define POTIK_CODEC_NDJSON_H

#include "codec/piece.h"

struct ndjson_line {
    struct slice text; /* of a line over the limit: its first line_bytes_max bytes */
    uint64_t len;      /* of the whole trimmed line */
    uint64_t number;   /* in the stream, from 1, blank lines counted */
    bool is_in_input;  /* text points into the input; else it is valid until the next call */
};

struct ndjson {
    struct piece piece;
    size_t line_bytes_max;
    uint64_t lines_ended;
    bool is_clear_due;
};

void ndjson_init(struct ndjson *ndjson, size_t line_bytes_max);
void ndjson_fini(struct ndjson *ndjson);
/*
 * The next line of *input, which is moved on. false: the input is used up (or *ret_err is
 * ERR_NOMEM) and what is left of it is remembered.
 */
MUST_USE bool ndjson_next(struct ndjson *ndjson, struct slice *input, struct ndjson_line *ret_line,
                          enum err *ret_err);
/* At the end of the stream: the last line, if it had no LF. false: there is none. */
MUST_USE bool ndjson_end(struct ndjson *ndjson, struct ndjson_line *ret_line);

#endif
