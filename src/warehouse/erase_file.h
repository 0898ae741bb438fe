/*
 * erase_file - the pieces of an erasure: one file without the rows of a selection, which types
 * files have rows of, what may stand in the folder.
 *
 * Layer 4, the keeper's thread.
 */
#ifndef POTIK_WAREHOUSE_ERASE_FILE_H
#define POTIK_WAREHOUSE_ERASE_FILE_H

#include "warehouse/inside.h"

/* Whether the file can have selected rows, by what the manifest says of it. */
bool erase_may_hold(const struct selection *selection, const struct manifest_file *facts);

struct erase_file {
    struct project *project;
    struct lexicon *lexicon; /* of the file's time */
    struct engine *engine;
    struct engine_guard *guard;
    const struct selection *selection;
    uint32_t type_count;
};
/*
 * Looks through the file; if it has selected rows, the rows that stay become a new file (or none)
 * in its place. *ret_rows: erased. *ret_number: of the new file, 0 for none. ERR_CORRUPT;
 * ERR_CANCELLED: the guard was stopped, or the project discarded; ERR_STORAGE_FULL, ERR_IO,
 * ERR_NOMEM. On error nothing changed.
 */
MUST_USE enum err erase_file(const struct erase_file *erase, struct data_file *file,
                             uint64_t *ret_rows, uint32_t *ret_number, struct diag *diag);

/* is_used[type] of type_count, for the types that the files have rows of. */
MUST_USE enum err erase_used_types(const struct erase_file *erase, const struct file_set *set,
                                   bool *is_used, struct diag *diag);

/* One that is not there is as good. */
MUST_USE enum err erase_unlink(const char *path, struct diag *diag);
/* Under seal_lock. What the manifest does not name: older names of types and what a failed write
 * left go; *ret_is_clean false: views hold dropped files still. */
MUST_USE enum err
erase_clear_folder(struct project *project, bool *ret_is_clean, struct diag *diag);
/* Under seal_lock, of a project without a manifest: the folder goes, once no view holds persons of
 * an earlier time. */
MUST_USE enum err
erase_remove_folder(const struct project *project, bool *ret_is_gone, struct diag *diag);

#endif
