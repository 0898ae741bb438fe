/*
 * db_sqlite_backup - a copy of <data_dir>/accounts.db beside whoever writes to it. See account.h.
 *
 * SQLite's own backup, in one step: the copy is that of one moment, and holds what stands in the
 * write-ahead log. Writers wait for it, at most as long as a few megabytes take.
 */
#include "account/account.h"

#include "base/file.h"
#include <sqlite3.h>

#define BUSY_TIMEOUT_MS 5000

static void
close_file(sqlite3 **file)
{
    (void)sqlite3_close(*file);
    *file = NULL;
}
#define SQLITE_FILE CLEANUP(close_file) sqlite3 *

static enum err
failed(const char *path, sqlite3 *file, struct diag *diag)
{
    const int code = file != NULL ? sqlite3_errcode(file) : SQLITE_NOMEM;

    diag_set(diag, "%s: %s", path, file != NULL ? sqlite3_errmsg(file) : "out of memory");
    return code == SQLITE_BUSY || code == SQLITE_LOCKED ? ERR_LOCKED
           : code == SQLITE_FULL                        ? ERR_STORAGE_FULL
           : code == SQLITE_NOMEM                       ? ERR_NOMEM
                                                        : ERR_IO;
}

/* The new file with the rights that all of ours have. */
static enum err
make_private(const char *path, struct diag *diag)
{
    CLOSE_FD int fd = -1;

    return file_open(path, FILE_CREATE_NEW, &fd, diag);
}

enum err
account_backup(const char *data_dir, const char *to, struct diag *diag)
{
    SQLITE_FILE from = NULL;
    SQLITE_FILE copy = NULL;
    sqlite3_backup *backup;
    char path[FILE_PATH_MAX];
    enum err err;

    if (!file_path(path, data_dir, "accounts.db"))
        return ERR_INVALID;
    if (sqlite3_open_v2(path, &from, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        return failed(path, from, diag);
    (void)sqlite3_busy_timeout(from, BUSY_TIMEOUT_MS);
    err = make_private(to, diag);
    if (err != ERR_OK)
        return err;
    if (sqlite3_open_v2(to, &copy, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        return failed(to, copy, diag);
    backup = sqlite3_backup_init(copy, "main", from, "main");
    if (backup != NULL) {
        (void)sqlite3_backup_step(backup, -1);
        (void)sqlite3_backup_finish(backup);
    }
    if (sqlite3_errcode(copy) != SQLITE_OK)
        return failed(to, copy, diag);
    return ERR_OK;
}
