/*
 * folder - making and locking the data folder. See folder.h.
 */
#include "app/folder.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* Every folder on the way, then the last. */
static enum err
make_with_parents(const char *path, struct diag *diag)
{
    char part[FILE_PATH_MAX];
    size_t len = strlen(path);

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
            enum err err = file_make_dir(part, diag);

            if (err != ERR_OK)
                return err;
        }
    }
    return file_make_dir(path, diag);
}

static void
say_where(struct diag *diag, const char *data_dir)
{
    struct diag why = *diag;

    diag_set(diag, "data folder %s cannot be used: %s", data_dir, why.message);
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
            diag_set(&why, "another potik is using it (%s is locked); stop that one first", path);
    }
    if (err != ERR_OK) {
        *diag = why;
        say_where(diag, data_dir);
        return err;
    }
    *ret_lock_fd = fd;
    fd = -1;
    return ERR_OK;
}
