/*
 * import_file - a file of events cut into rows, by the rules of `potik import`: CSV or NDJSON,
 * plain or compressed.
 *
 * Layer 8, the main thread. The stream of the file (source.h) is cut by codec/csv and codec/ndjson.
 * `potik import` sends the rows; `potik delete --import` asks only for their ids, which must be the
 * same ones: so both read here, and keep the rows in one order.
 */
#ifndef POTIK_CLI_IMPORT_FILE_H
#define POTIK_CLI_IMPORT_FILE_H

#include "cli/import_row.h"
#include "cli/source.h"
#include "codec/csv.h"
#include "codec/ndjson.h"

#define IMPORT_ROW_BYTES_MAX (1024u * 1024)
/* Over the server's limit of an event, so that it refuses. */
#define IMPORT_LINE_BYTES_MAX (1024u * 1024 + 1024)

enum import_format { IMPORT_BY_LOOK, IMPORT_CSV, IMPORT_NDJSON };

struct import_file {
    /* asked for */
    enum import_format format_asked;
    char delimiter_asked; /* 0: by the name */
    struct flag_texts text_columns;
    /* Each row, in the order of the file; another err than ERR_OK ends the reading and is handed
     * back. take_header may be NULL. Of a line over IMPORT_LINE_BYTES_MAX the start alone is there.
     */
    enum err (*take_header)(void *state, const struct csv_row *row, struct diag *diag);
    enum err (*take_row)(void *state, const struct csv_row *row, struct diag *diag);
    enum err (*take_line)(void *state, const struct ndjson_line *line, struct diag *diag);
    void *state;
    /* the file under way */
    struct source source;
    enum import_format format;
    char delimiter;
    struct csv_reader *csv;
    struct ndjson ndjson;
    struct import_columns *columns; /* of CSV, once the header was read */
    struct import_ids *ids;         /* for rows without one; NULL before the first byte */
};

/* --format and --delimiter; NULL: not given. ERR_INVALID. */
MUST_USE enum err import_file_set_flags(struct import_file *file, const char *format,
                                        const char *delimiter, struct diag *diag);
/* Reads it whole. What the callbacks gave, source_run's errors, ERR_INVALID: it is no such file
 * (file->source.tells_path: whether `diag` names it already). import_file_end follows in any case.
 */
MUST_USE enum err import_file_run(struct import_file *file, const char *path, struct diag *diag);
void import_file_end(struct import_file *file);

#endif
