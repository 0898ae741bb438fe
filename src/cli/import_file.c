/*
 * import_file - see import_file.h.
 */
#include "cli/import_file.h"

#include "base/file.h"
#include <string.h>

enum err
import_file_set_flags(struct import_file *file, const char *format, const char *delimiter,
                      struct diag *diag)
{
    if (delimiter != NULL && strcmp(delimiter, "\\t") == 0)
        delimiter = "\t";
    if (delimiter != NULL && (strlen(delimiter) != 1 || strchr("\"\r\n", delimiter[0]) != NULL)) {
        diag_set(diag, "--delimiter: must be one byte, no quote and no line end");
        return ERR_INVALID;
    }
    file->delimiter_asked = delimiter != NULL ? delimiter[0] : '\0';
    if (format != NULL && strcmp(format, "csv") != 0 && strcmp(format, "ndjson") != 0) {
        diag_set(diag, "--format: must be csv or ndjson, not \"%s\"", format);
        return ERR_INVALID;
    }
    file->format_asked = format == NULL               ? IMPORT_BY_LOOK
                         : strcmp(format, "csv") == 0 ? IMPORT_CSV
                                                      : IMPORT_NDJSON;
    return ERR_OK;
}

static bool
has_ending(const char *path, const char *ending)
{
    size_t len = strlen(path), ending_len = strlen(ending);

    return len >= ending_len && strcmp(path + len - ending_len, ending) == 0;
}

/* The name without .gz and .zst, else the first byte that is no white space. */
static enum err
find_format(struct import_file *file, struct slice piece, struct diag *diag)
{
    char name[FILE_PATH_MAX];
    size_t len = strlen(file->source.path);

    len = len < sizeof(name) ? len : sizeof(name) - 1;
    memcpy(name, file->source.path, len);
    name[len] = '\0';
    if (has_ending(name, ".gz"))
        name[len - 3] = '\0';
    else if (has_ending(name, ".zst"))
        name[len - 4] = '\0';
    file->format = file->format_asked;
    if (file->format == IMPORT_BY_LOOK && (has_ending(name, ".csv") || has_ending(name, ".tsv")))
        file->format = IMPORT_CSV;
    if (file->format == IMPORT_BY_LOOK &&
        (has_ending(name, ".ndjson") || has_ending(name, ".jsonl")))
        file->format = IMPORT_NDJSON;
    if (file->format == IMPORT_BY_LOOK) {
        size_t i = 0;

        while (i < piece.len && piece_is_space(piece.ptr[i]))
            i++;
        if (i < piece.len && piece.ptr[i] == '[') {
            diag_set(diag, "it begins with '[': a JSON array is not read; write one event a line "
                           "(jq -c '.[]' does)");
            return ERR_INVALID;
        }
        file->format = i < piece.len && piece.ptr[i] == '{' ? IMPORT_NDJSON : IMPORT_CSV;
    }
    file->delimiter = file->delimiter_asked != 0 ? file->delimiter_asked
                      : has_ending(name, ".tsv") ? '\t'
                                                 : ',';
    return ERR_OK;
}

static enum err
begin_file(struct import_file *file, struct slice piece, struct diag *diag)
{
    enum err err = find_format(file, piece, diag);
    struct csv_config config = {.delimiter = file->delimiter,
                                .columns_max = IMPORT_COLUMNS_MAX,
                                .cell_bytes_max = IMPORT_ROW_BYTES_MAX,
                                .row_bytes_max = IMPORT_ROW_BYTES_MAX};

    if (err != ERR_OK)
        return err;
    err = import_ids_new(&file->ids);
    if (err == ERR_OK && file->format == IMPORT_CSV)
        err = csv_reader_new(&config, &file->csv, diag);
    return err;
}

/* The first row is the header. */
static enum err
take_row(struct import_file *file, const struct csv_row *row, struct diag *diag)
{
    enum err err;

    if (file->columns != NULL)
        return file->take_row(file->state, row, diag);
    err = import_columns_new(row->cells, row->count, &file->text_columns, &file->columns, diag);
    if (err == ERR_OK && file->take_header != NULL)
        err = file->take_header(file->state, row, diag);
    return err;
}

static enum err
take_piece(void *state, struct slice piece, struct diag *diag)
{
    struct import_file *file = (struct import_file *)state;
    enum err err = ERR_OK;

    if (piece.len == 0)
        return ERR_OK;
    if (file->ids == NULL)
        err = begin_file(file, piece, diag);
    while (err == ERR_OK && file->format == IMPORT_CSV) {
        struct csv_row row;
        enum csv_step step = csv_read(file->csv, &piece, &row, &err, diag);

        if (step == CSV_MORE)
            return ERR_OK;
        if (step == CSV_ROW)
            err = take_row(file, &row, diag);
    }
    while (err == ERR_OK && file->format == IMPORT_NDJSON) {
        struct ndjson_line line;

        if (!ndjson_next(&file->ndjson, &piece, &line, &err))
            return err;
        err = file->take_line(file->state, &line, diag);
    }
    return err;
}

static enum err
end_stream(struct import_file *file, struct diag *diag)
{
    struct ndjson_line line;
    struct csv_row row;
    enum err err = ERR_OK;

    if (file->ids == NULL) {
        diag_set(diag, "the file is empty");
        return ERR_INVALID;
    }
    if (file->format == IMPORT_NDJSON)
        return ndjson_end(&file->ndjson, &line) ? file->take_line(file->state, &line, diag)
                                                : ERR_OK;
    if (csv_end(file->csv, &row, &err, diag) == CSV_ROW)
        err = take_row(file, &row, diag);
    return err;
}

enum err
import_file_run(struct import_file *file, const char *path, struct diag *diag)
{
    enum err err;

    file->source = (struct source){.path = path, .take = take_piece, .state = file};
    ndjson_init(&file->ndjson, IMPORT_LINE_BYTES_MAX);
    err = source_run(&file->source, diag);
    return err == ERR_OK ? end_stream(file, diag) : err;
}

void
import_file_end(struct import_file *file)
{
    csv_reader_free(&file->csv);
    ndjson_fini(&file->ndjson);
    import_columns_free(&file->columns);
    import_ids_free(&file->ids);
}
