/* rooms: codec */
/*
 * fuzz_csv - any text: whole and in pieces give the same rows and the same error; written again
 * with all cells in quotes and read once more, they are unchanged.
 */
#include "base/buf.h"
#include "codec/csv.h"
#include <stdlib.h>

static void
require(bool is_so)
{
    if (!is_so)
        abort();
}

static void
write_row(struct buf *text, const struct csv_row *row)
{
    for (uint32_t i = 0; i < row->count; i++) {
        buf_add_text(text, i != 0 ? ",\"" : "\"");
        for (size_t k = 0; k < row->cells[i].len; k++) {
            if (row->cells[i].ptr[k] == '"')
                buf_add_char(text, '"');
            buf_add_char(text, row->cells[i].ptr[k]);
        }
        buf_add_char(text, '"');
    }
    buf_add_char(text, '\n');
}

static enum err
read_all(struct slice input, size_t piece_bytes, struct buf *text)
{
    struct csv_config config = {
        .delimiter = ',', .columns_max = 8, .cell_bytes_max = 64, .row_bytes_max = 256};
    struct csv_reader *reader = NULL;
    struct csv_row row;
    struct diag diag = DIAG_INIT;
    enum err err = ERR_OK;
    enum csv_step step = CSV_MORE;

    require(csv_reader_new(&config, &reader, &diag) == ERR_OK);
    for (size_t at = 0; step != CSV_FAILED && at < input.len; at += piece_bytes) {
        struct slice piece =
            slice_of(input.ptr + at, input.len - at < piece_bytes ? input.len - at : piece_bytes);

        while ((step = csv_read(reader, &piece, &row, &err, &diag)) == CSV_ROW)
            write_row(text, &row);
    }
    if (step != CSV_FAILED && (step = csv_end(reader, &row, &err, &diag)) == CSV_ROW)
        write_row(text, &row);
    if (step == CSV_FAILED)
        buf_printf(text, "!%s", diag.message);
    csv_reader_free(&reader);
    return step == CSV_FAILED ? err : ERR_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct slice input = slice_of((const char *)bytes + 1, len - 1);
    struct buf whole;
    struct buf pieces;
    struct buf again;

    if (len == 0)
        return 0;
    buf_init(&whole, (size_t)1 << 28);
    buf_init(&pieces, (size_t)1 << 28);
    buf_init(&again, (size_t)1 << 28);
    enum err err = read_all(input, input.len + 1, &whole);
    require(err == read_all(input, (size_t)bytes[0] + 1, &pieces));
    require(slice_equal(buf_slice(&whole), buf_slice(&pieces)));
    if (err == ERR_OK) {
        require(read_all(buf_slice(&whole), 1000, &again) == ERR_OK);
        require(slice_equal(buf_slice(&whole), buf_slice(&again)));
    }
    buf_fini(&whole);
    buf_fini(&pieces);
    buf_fini(&again);
    return 0;
}
