/*
 * ndjson - see ndjson.h. A line within one input is given as it lies there; only a line cut by the
 * end of an input is gathered in the piece.
 */
#include "codec/ndjson.h"

void
ndjson_init(struct ndjson *ndjson, size_t line_bytes_max)
{
    piece_init(&ndjson->piece, line_bytes_max);
    ndjson->line_bytes_max = line_bytes_max;
    ndjson->lines_ended = 0;
    ndjson->is_clear_due = false;
}

void
ndjson_fini(struct ndjson *ndjson)
{
    piece_fini(&ndjson->piece);
}

static struct slice
trim(struct slice text)
{
    while (text.len > 0 && piece_is_space(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && piece_is_space(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

static void
give_piece(struct ndjson *ndjson, struct ndjson_line *ret_line)
{
    *ret_line = (struct ndjson_line){.text = piece_text(&ndjson->piece),
                                     .len = ndjson->piece.trimmed,
                                     .number = ndjson->lines_ended,
                                     .is_in_input = false};
    ndjson->is_clear_due = true; /* the text is the caller's until the next call */
}

bool
ndjson_next(struct ndjson *ndjson, struct slice *input, struct ndjson_line *ret_line,
            enum err *ret_err)
{
    *ret_err = ERR_OK;
    if (ndjson->is_clear_due) {
        piece_clear(&ndjson->piece);
        ndjson->is_clear_due = false;
    }
    while (input->len > 0) {
        const char *feed = memchr(input->ptr, '\n', input->len);
        size_t len = feed != NULL ? (size_t)(feed - input->ptr) : input->len;
        struct slice line = slice_of(input->ptr, len);

        input->ptr += feed != NULL ? len + 1 : len;
        input->len -= feed != NULL ? len + 1 : len;
        ndjson->lines_ended += feed != NULL ? 1 : 0;
        if (feed == NULL || ndjson->piece.seen != 0) {
            *ret_err = piece_add(&ndjson->piece, line.ptr, line.len, NULL);
            if (*ret_err != ERR_OK)
                return false;
            if (feed != NULL) {
                give_piece(ndjson, ret_line);
                return true;
            }
            continue;
        }
        line = trim(line);
        if (line.len != 0) {
            *ret_line = (struct ndjson_line){
                .text = line, .len = line.len, .number = ndjson->lines_ended, .is_in_input = true};
            if (line.len > ndjson->line_bytes_max)
                ret_line->text.len = ndjson->line_bytes_max;
            return true;
        }
    }
    return false;
}

bool
ndjson_end(struct ndjson *ndjson, struct ndjson_line *ret_line)
{
    if (ndjson->is_clear_due)
        piece_clear(&ndjson->piece);
    ndjson->is_clear_due = false;
    if (ndjson->piece.trimmed == 0)
        return false;
    ndjson->lines_ended++;
    give_piece(ndjson, ret_line);
    return true;
}
