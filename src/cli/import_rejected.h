/*
 * import_rejected - the file of refused rows: `potik import --rejected FILE`.
 *
 * Layer 8, the main thread. The rows are written to a new file beside FILE (FILE.tmp; where one is
 * left of an earlier run, FILE.tmp2 and so on: none is ever written over). FILE itself changes only
 * when an import has come to its end and had refused rows: then the new file takes its name, synced
 * as base/file does. Without refused rows nothing is left behind. Where the import broke off, or a
 * write failed, FILE stays as it was, and the rows so far stay where they are, for the caller to
 * name. A FILE that is a symbolic link is replaced, not followed.
 */
#ifndef POTIK_CLI_IMPORT_REJECTED_H
#define POTIK_CLI_IMPORT_REJECTED_H

#include "base/file.h"

struct import_rejected {
    const char *path; /* asked for; NULL: no such file is wanted */
    char temporary[FILE_PATH_MAX];
    int fd; /* of `temporary`; -1: not open */
    uint64_t bytes;
    uint64_t rows;
    enum err err; /* the first write that failed; nothing is written after it */
    struct diag diag;
};

/* Not open: import_rejected_add does nothing. */
#define IMPORT_REJECTED_NONE ((struct import_rejected){.fd = -1})

/*
 * May rows of these inputs (`-`: standard input) be put into `path`? ERR_INVALID: it is one of
 * them, by whatever name, or no plain file; told in `diag`.
 */
MUST_USE enum err
import_rejected_check(const char *path, char *const *inputs, size_t input_count, struct diag *diag);
/* Makes the new file (0600); `path` is borrowed. ERR_EXISTS: too many are left of earlier runs;
 * else what file_open gives. */
MUST_USE enum err
import_rejected_open(struct import_rejected *rejected, const char *path, struct diag *diag);
bool import_rejected_is_open(const struct import_rejected *rejected);
/* The header of a CSV file: no row of its own. */
void import_rejected_add_header(struct import_rejected *rejected, struct slice bytes);
void import_rejected_add(struct import_rejected *rejected, struct slice bytes);
/*
 * Ends it. *ret_place: where the rows stand now, good as long as `rejected`; NULL: there are none.
 * Any error: what failed first, told in `diag`; rows that were written are still in *ret_place.
 */
MUST_USE enum err import_rejected_finish(struct import_rejected *rejected, bool is_whole,
                                         const char **ret_place, struct diag *diag);

#endif
