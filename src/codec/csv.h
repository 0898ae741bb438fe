/*
 * csv - reads RFC 4180 as it arrives, row by row, strictly and with limits.
 *
 * Layer 1, one thread at a time, any split of the input. A UTF-8 byte order mark at the start is
 * left out; rows end with LF or CRLF, the last one also with the end; a cell in quotes may hold
 * delimiters, line ends and doubled quotes. Lines without a byte are left out. Refused, because
 * guessing would alter data: a quote within a cell that does not begin with one, text behind a
 * closing quote, a lone CR. Cells are bytes: whether they are UTF-8 is asked by who knows their
 * meaning.
 */
#ifndef POTIK_CODEC_CSV_H
#define POTIK_CODEC_CSV_H

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"
#include <stdint.h>

struct csv_config {
    char delimiter;          /* not a quote, CR or LF */
    uint32_t columns_max;    /* cells a row */
    uint32_t cell_bytes_max; /* a cell, quotes resolved */
    uint32_t row_bytes_max;  /* the cells of a row together */
};

struct csv_row {
    const struct slice *cells; /* valid until the next call; an empty cell has len 0 */
    uint32_t count;
    uint64_t number; /* of the row, from 1, the header included, empty lines not */
    uint64_t line;   /* of the input at which it begins, from 1 */
};

enum csv_step { CSV_MORE, CSV_ROW, CSV_FAILED };

struct csv_reader;
/* ERR_INVALID: the delimiter. ERR_NOMEM. */
MUST_USE enum err
csv_reader_new(const struct csv_config *config, struct csv_reader **ret_reader, struct diag *diag);
void csv_reader_free(struct csv_reader **reader);

/*
 * The next row from *input, which is moved on. CSV_MORE: the input is used up. CSV_FAILED: told in
 * `diag` with row and line, and in *ret_err (ERR_INVALID, ERR_NOMEM); final.
 */
MUST_USE enum csv_step csv_read(struct csv_reader *reader, struct slice *input,
                                struct csv_row *ret_row, enum err *ret_err, struct diag *diag);
/* The stream has ended: a last row without a line end (CSV_ROW), nothing more (CSV_MORE), or an
 * open quote. */
MUST_USE enum csv_step
csv_end(struct csv_reader *reader, struct csv_row *ret_row, enum err *ret_err, struct diag *diag);

#endif
