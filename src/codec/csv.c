/*
 * csv - see csv.h. The bytes of a row's cells, quotes resolved, stand one behind the other in
 * `text`; `ends` tells where each cell ends. Plain runs are taken over at once.
 */
#include "codec/csv.h"
#include "base/buf.h"
#include "base/mem.h"

enum csv_state {
    CSV_BOM, /* the first three bytes of the stream */
    CSV_ROW_START,
    CSV_CELL_START, /* behind a delimiter */
    CSV_PLAIN,
    CSV_QUOTED,
    CSV_QUOTE_SEEN, /* within a quoted cell, behind a quote */
    CSV_CR_SEEN,
    CSV_STOPPED,
};

struct csv_reader {
    struct csv_config config;
    enum csv_state state;
    uint32_t bom_seen;
    struct buf text;
    uint32_t *ends;      /* columns_max of them */
    struct slice *cells; /* … */
    uint32_t count;      /* cells ended */
    bool is_row_given;   /* the row is the caller's until the next call */
    uint64_t rows;       /* given */
    uint64_t line;       /* of the byte under way */
    uint64_t row_line;
    enum err err;
    struct diag diag;
};

enum err
csv_reader_new(const struct csv_config *config, struct csv_reader **ret_reader, struct diag *diag)
{
    struct csv_reader *reader = NULL;

    if (config->delimiter == '"' || config->delimiter == '\r' || config->delimiter == '\n' ||
        config->columns_max == 0) {
        diag_set(diag, "a quote or a line end cannot be the delimiter, and a row needs a column");
        return ERR_INVALID;
    }
    reader = MEM_NEW(struct csv_reader, 1);
    if (reader == NULL)
        return ERR_NOMEM;
    reader->config = *config;
    buf_init(&reader->text, config->row_bytes_max);
    reader->line = 1;
    reader->ends = MEM_NEW(uint32_t, config->columns_max);
    reader->cells = MEM_NEW(struct slice, config->columns_max);
    if (reader->ends == NULL || reader->cells == NULL) {
        csv_reader_free(&reader);
        return ERR_NOMEM;
    }
    *ret_reader = reader;
    return ERR_OK;
}

void
csv_reader_free(struct csv_reader **reader)
{
    if (*reader == NULL)
        return;
    buf_fini(&(*reader)->text);
    mem_free((*reader)->ends);
    mem_free((*reader)->cells);
    mem_free(*reader);
    *reader = NULL;
}

static bool
fail(struct csv_reader *reader, enum err err, const char *message)
{
    reader->err = err;
    reader->state = CSV_STOPPED;
    diag_set(&reader->diag, "row %llu (line %llu): %s", (unsigned long long)reader->rows + 1,
             (unsigned long long)reader->row_line, message);
    return false;
}

static uint32_t
cell_start(const struct csv_reader *reader)
{
    return reader->count != 0 ? reader->ends[reader->count - 1] : 0;
}

static bool
add(struct csv_reader *reader, const char *bytes, size_t len)
{
    struct buf *text = &reader->text;
    const uint64_t cell_end_max = (uint64_t)cell_start(reader) + reader->config.cell_bytes_max;
    const uint64_t row_end_max = reader->config.row_bytes_max;

    /* Of the two the one that is met first, however the input was cut. */
    if (text->len + len > cell_end_max && cell_end_max <= row_end_max)
        return fail(reader, ERR_INVALID, "a cell is larger than allowed; is a quote not closed?");
    if (text->len + len > row_end_max)
        return fail(reader, ERR_INVALID, "the row is larger than allowed; is a quote not closed?");
    buf_add(text, bytes, len);
    return !buf_failed(text) || fail(reader, ERR_NOMEM, "out of memory");
}

static bool
end_cell(struct csv_reader *reader)
{
    if (reader->count == reader->config.columns_max)
        return fail(reader, ERR_INVALID, "more columns than allowed");
    reader->ends[reader->count++] = (uint32_t)reader->text.len;
    return true;
}

static bool
end_row(struct csv_reader *reader, struct csv_row *ret_row)
{
    const char *text = buf_slice(&reader->text).ptr;
    uint32_t begin = 0;

    if (!end_cell(reader))
        return false;
    for (uint32_t i = 0; i < reader->count; i++) {
        reader->cells[i] = slice_of(text + begin, reader->ends[i] - begin);
        begin = reader->ends[i];
    }
    reader->rows++;
    reader->is_row_given = true;
    reader->state = CSV_ROW_START;
    *ret_row = (struct csv_row){.cells = reader->cells,
                                .count = reader->count,
                                .number = reader->rows,
                                .line = reader->row_line};
    return true;
}

/* The bytes from `at` that mean nothing special in this state. */
static size_t
plain_len(const struct csv_reader *reader, const char *at, const char *end)
{
    const char *p = at;

    if (reader->state == CSV_QUOTED) {
        const char *quote = memchr(at, '"', (size_t)(end - at));

        return (size_t)((quote != NULL ? quote : end) - at);
    }
    while (p < end && *p != reader->config.delimiter && *p != '"' && *p != '\r' && *p != '\n')
        p++;
    return (size_t)(p - at);
}

static bool
take_plain(struct csv_reader *reader, const char **at, size_t len)
{
    if (reader->state == CSV_QUOTED)
        for (size_t i = 0; i < len; i++)
            reader->line += (*at)[i] == '\n';
    if (!add(reader, *at, len))
        return false;
    *at += len;
    return true;
}

/* The byte order mark may be cut anywhere; what looked like its start is data if it is none. */
static bool
step_bom(struct csv_reader *reader, const char **at)
{
    static const char mark[] = "\xef\xbb\xbf";

    if (**at == mark[reader->bom_seen]) {
        ++*at;
        reader->bom_seen++;
        if (reader->bom_seen == 3)
            reader->state = CSV_ROW_START;
        return true;
    }
    reader->state = reader->bom_seen != 0 ? CSV_PLAIN : CSV_ROW_START;
    reader->row_line = 1;
    return reader->bom_seen == 0 || add(reader, mark, reader->bom_seen);
}

/* A delimiter, CR or LF behind a cell. *ret_is_row: the row is whole. */
static bool
step_end(struct csv_reader *reader, char c, struct csv_row *ret_row, bool *ret_is_row)
{
    if (c == reader->config.delimiter) {
        reader->state = CSV_CELL_START;
        return end_cell(reader);
    }
    if (c == '\r') {
        reader->state = CSV_CR_SEEN;
        return true;
    }
    reader->line++;
    *ret_is_row = true;
    return end_row(reader, ret_row);
}

/* One byte that is special or begins something. */
static bool
step(struct csv_reader *reader, char c, struct csv_row *ret_row, bool *ret_is_row)
{
    switch (reader->state) {
    case CSV_ROW_START:
        if (c == '\n') {
            reader->line++;
            return true;
        }
        reader->row_line = reader->line;
        reader->state = c == '"' ? CSV_QUOTED : CSV_PLAIN;
        return c == '"' || step_end(reader, c, ret_row, ret_is_row);
    case CSV_CELL_START:
        reader->state = c == '"' ? CSV_QUOTED : CSV_PLAIN;
        return c == '"' || step_end(reader, c, ret_row, ret_is_row);
    case CSV_PLAIN:
        if (c == '"')
            return fail(reader, ERR_INVALID,
                        "a quote inside a cell; put the cell in quotes and double it");
        return step_end(reader, c, ret_row, ret_is_row);
    case CSV_QUOTED:
        reader->state = CSV_QUOTE_SEEN;
        return true;
    case CSV_QUOTE_SEEN:
        if (c == '"') {
            reader->state = CSV_QUOTED;
            return add(reader, "\"", 1);
        }
        if (c != reader->config.delimiter && c != '\r' && c != '\n')
            return fail(reader, ERR_INVALID, "text behind the closing quote of a cell");
        return step_end(reader, c, ret_row, ret_is_row);
    case CSV_CR_SEEN:
        if (c != '\n')
            return fail(reader, ERR_INVALID, "a CR without LF; put the cell in quotes");
        return step_end(reader, c, ret_row, ret_is_row);
    case CSV_BOM:
    case CSV_STOPPED:
        break;
    }
    return false;
}

/* The row that was given last is the caller's no more. */
static void
begin_call(struct csv_reader *reader)
{
    if (!reader->is_row_given)
        return;
    buf_clear(&reader->text);
    reader->count = 0;
    reader->is_row_given = false;
}

static enum csv_step
tell(const struct csv_reader *reader, enum err *ret_err, struct diag *diag)
{
    *ret_err = reader->err;
    if (diag != NULL)
        *diag = reader->diag;
    return CSV_FAILED;
}

enum csv_step
csv_read(struct csv_reader *reader, struct slice *input, struct csv_row *ret_row, enum err *ret_err,
         struct diag *diag)
{
    const char *at = input->ptr;
    const char *end = input->ptr + input->len;
    bool is_row = false;
    bool is_good = reader->state != CSV_STOPPED;

    begin_call(reader);
    while (is_good && !is_row && at < end) {
        size_t len = 0;

        if (reader->state == CSV_BOM) {
            is_good = step_bom(reader, &at);
            continue;
        }
        if (reader->state != CSV_QUOTE_SEEN && reader->state != CSV_CR_SEEN)
            len = plain_len(reader, at, end);
        if (len != 0) {
            if (reader->state == CSV_ROW_START)
                reader->row_line = reader->line;
            if (reader->state != CSV_QUOTED)
                reader->state = CSV_PLAIN;
            is_good = take_plain(reader, &at, len);
        } else {
            is_good = step(reader, *at++, ret_row, &is_row);
        }
    }
    *input = slice_of(at, (size_t)(end - at));
    if (!is_good)
        return tell(reader, ret_err, diag);
    return is_row ? CSV_ROW : CSV_MORE;
}

enum csv_step
csv_end(struct csv_reader *reader, struct csv_row *ret_row, enum err *ret_err, struct diag *diag)
{
    begin_call(reader);
    switch (reader->state) {
    case CSV_BOM:
        if (reader->bom_seen == 0)
            return CSV_MORE;
        reader->row_line = 1;
        if (!add(reader, "\xef\xbb\xbf", reader->bom_seen))
            return tell(reader, ret_err, diag);
        break;
    case CSV_ROW_START:
        return CSV_MORE;
    case CSV_CELL_START:
    case CSV_PLAIN:
    case CSV_QUOTE_SEEN:
        break;
    case CSV_QUOTED:
        (void)fail(reader, ERR_INVALID, "the input ends within a quoted cell");
        return tell(reader, ret_err, diag);
    case CSV_CR_SEEN:
        (void)fail(reader, ERR_INVALID, "a CR without LF; put the cell in quotes");
        return tell(reader, ret_err, diag);
    case CSV_STOPPED:
        return tell(reader, ret_err, diag);
    }
    return end_row(reader, ret_row) ? CSV_ROW : tell(reader, ret_err, diag);
}
