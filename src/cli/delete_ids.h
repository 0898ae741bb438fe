/*
 * delete_ids - the event ids of a file, as `potik import` would make or find them: what
 * `potik delete --import FILE` erases.
 *
 * Layer 8, the main thread. Rows without an id of their own get the one that the import gave them
 * (import_ids.h), which depends on the rows before: so the whole file is read, in its order. The id
 * of a row that the server had refused is among them, too; a row that was not even sent has none.
 */
#ifndef POTIK_CLI_DELETE_IDS_H
#define POTIK_CLI_DELETE_IDS_H

#include "cli/import_file.h"

struct delete_ids_counts {
    uint64_t ids;     /* repeated ones counted each time */
    uint64_t without; /* rows that have none */
};

/*
 * `take` gets them in pieces of at most ids_max, each piece rising bytewise and each id once in it,
 * valid until it returns; NULL: they are only counted. Errors as of import_file_run, and what
 * `take` gave; the file's name stands in `diag`. Of `asked` the format, the delimiter and the text
 * columns are read.
 */
MUST_USE enum err
delete_ids_read(const struct import_file *asked, const char *path, uint32_t ids_max,
                enum err (*take)(void *state, const struct slice *ids, uint32_t count,
                                 struct diag *diag),
                void *state, struct delete_ids_counts *ret_counts, struct diag *diag);

#endif
