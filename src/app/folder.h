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

/*
 * Takes the lock; with `may_create` the folder and its parents are made first. ERR_LOCKED: another
 * process has it; ERR_ABSENT: no such folder; ERR_IO, ERR_STORAGE_FULL: it cannot be made or
 * written to; each in one sentence. *ret_lock_fd is closed by file_close to give the lock back.
 */
MUST_USE enum err
folder_lock(const char *data_dir, bool may_create, int *ret_lock_fd, struct diag *diag);

#endif
