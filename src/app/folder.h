/*
 * folder - the data folder and its LOCK, which keeps a second process that writes out.
 *
 * Layer 7, the main thread. The lock is a flock on <data-dir>/LOCK: it ends with the process,
 * however that ends.
 */
#ifndef POTIK_APP_FOLDER_H
#define POTIK_APP_FOLDER_H

#include "base/diag.h"
#include "base/err.h"

#include <stdbool.h>

/*
 * Takes the lock; with `may_create` the folder and its parents are made first. ERR_LOCKED: another
 * process has it; ERR_ABSENT: no such folder; ERR_IO, ERR_STORAGE_FULL: it cannot be made or
 * written to; each in one sentence. *ret_lock_fd is closed by file_close to give the lock back.
 */
MUST_USE enum err
folder_lock(const char *data_dir, bool may_create, int *ret_lock_fd, struct diag *diag);
/*
 * Whether the folder is one of this kind of store, or a new one. ERR_EXISTS: it holds a ledger
 * while PostgreSQL is asked for, or was used with PostgreSQL while a ledger is. Either way events
 * would seem to be gone, and those sent now would be missing later on; so it is refused, with the
 * cure.
 */
MUST_USE enum err folder_check_store(const char *data_dir, bool is_postgres, struct diag *diag);

#endif
