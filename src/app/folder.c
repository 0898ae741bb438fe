/*
 * folder - making and locking the data folder. See folder.h.
 */
#include "app/folder.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The name of `path` in the folder above it is made to last. A folder above that may not be read
 * cannot be synced: then its file system must see to it. */
static void
sync_name(const char *path)
{
    char above[FILE_PATH_MAX];
    const enum err err = file_path(above, path, "..") ? file_sync_dir(above, NULL) : ERR_INVALID;

    (void)err;
}

/* Every folder on the way, then the last. */
static enum err
make_with_parents(const char *path, struct diag *diag)
{
    char part[FILE_PATH_MAX];
    size_t len = strlen(path);
    enum err err = ERR_OK;

    if (len >= sizeof(part)) {
        diag_set(diag, "the path of the data folder is too long");
        return ERR_IO;
    }
    for (size_t i = 1; i < len; i++) {
        if (path[i] != '/' || path[i - 1] == '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (!file_exists(part)) {
            err = file_make_dir(part, diag);
            if (err != ERR_OK)
                return err;
            sync_name(part);
        }
    }
    err = file_make_dir(path, diag);
    if (err == ERR_OK)
        sync_name(path); /* even if it was there: a kill may have come before its sync */
    return err;
}

static void
say_where(struct diag *diag, const char *data_dir)
{
    struct diag why = *diag;

    diag_set(diag, "data folder %s cannot be used: %s", data_dir, why.message);
}

/* Only for the words of who comes second; the lock itself is the kernel's. */
static void
write_holder(int fd, const char *path)
{
    char text[24];
    const int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    enum err err = file_truncate(fd, path, 0, NULL);

    if (err == ERR_OK)
        err = file_write_at(fd, path, text, (size_t)len, 0, NULL);
    (void)err; /* a full disk: then it is not named */
}

static void
say_who_holds(int fd, const char *path, struct diag *diag)
{
    char text[24] = "";
    size_t len = 0;
    size_t digits = 0;

    if (file_read_some_at(fd, path, text, sizeof(text) - 1, 0, &len, NULL) == ERR_OK)
        digits = strspn(text, "0123456789");
    /* 1 is a container's only one: nobody outside finds it by that. */
    if (digits > 1 || (digits == 1 && text[0] > '1'))
        diag_set(diag, "another potik is using it, process %.*s; stop that one first", (int)digits,
                 text);
    else
        diag_set(diag, "another potik is using it (%s is locked); stop that one first", path);
}

enum err
folder_lock(const char *data_dir, bool may_create, int *ret_lock_fd, struct diag *diag)
{
    struct diag why = DIAG_INIT;
    char path[FILE_PATH_MAX];
    CLOSE_FD int fd = -1;
    enum err err = ERR_OK;

    if (may_create)
        err = make_with_parents(data_dir, &why);
    if (err == ERR_OK && !file_path(path, data_dir, "LOCK")) {
        diag_set(&why, "its path is too long");
        err = ERR_IO;
    }
    if (err == ERR_OK)
        err = file_open(path, FILE_CREATE, &fd, &why);
    if (err == ERR_OK) {
        err = file_lock(fd, path, &why);
        if (err == ERR_LOCKED)
            say_who_holds(fd, path, &why);
    }
    if (err == ERR_OK)
        write_holder(fd, path);
    if (err != ERR_OK) {
        *diag = why;
        say_where(diag, data_dir);
        return err;
    }
    *ret_lock_fd = fd;
    fd = -1;
    return ERR_OK;
}

static bool
holds(const char *data_dir, const char *name)
{
    char path[FILE_PATH_MAX];

    return file_path(path, data_dir, name) && file_exists(path);
}

enum err
folder_check_store(const char *data_dir, bool is_postgres, struct diag *diag)
{
    if (is_postgres && holds(data_dir, "ledger")) {
        diag_set(diag,
                 "data folder %s holds events of its own (a ledger), which PostgreSQL would not "
                 "have: give another --data-dir, or leave --store out",
                 data_dir);
        return ERR_EXISTS;
    }
    if (!is_postgres && holds(data_dir, "postgres-node.json")) {
        diag_set(diag,
                 "data folder %s belongs to a node whose events are in PostgreSQL: give --store "
                 "postgres://… as before (or POTIK_STORE), or another --data-dir",
                 data_dir);
        return ERR_EXISTS;
    }
    return ERR_OK;
}
