/*
 * import_rejected - see import_rejected.h.
 */
#include "cli/import_rejected.h"

#include <stdio.h>
#include <string.h>

#define TEMPORARIES_MAX 99

enum err
import_rejected_check(const char *path, char *const *inputs, size_t input_count, struct diag *diag)
{
    for (size_t i = 0; i < input_count; i++) {
        const char *input = strcmp(inputs[i], "-") == 0 ? "/dev/stdin" : inputs[i];

        if (file_is_same(path, input)) {
            diag_set(diag, "--rejected %s: that is the input itself; name another file", path);
            return ERR_INVALID;
        }
    }
    /* A rename onto it would take the place of a device or a pipe. */
    if (file_exists(path) && !file_is_regular(path)) {
        diag_set(diag, "--rejected %s: that is no plain file; name another", path);
        return ERR_INVALID;
    }
    return ERR_OK;
}

enum err
import_rejected_open(struct import_rejected *rejected, const char *path, struct diag *diag)
{
    enum err err = ERR_EXISTS;

    *rejected = IMPORT_REJECTED_NONE;
    rejected->path = path;
    for (unsigned i = 1; i <= TEMPORARIES_MAX && err == ERR_EXISTS; i++) {
        char number[16] = "";
        int len;

        if (i != 1)
            (void)snprintf(number, sizeof(number), "%u", i);
        len = snprintf(rejected->temporary, FILE_PATH_MAX, "%s.tmp%s", path, number);
        if (len < 0 || len >= FILE_PATH_MAX) {
            diag_set(diag, "--rejected: the path is too long");
            return ERR_INVALID;
        }
        err = file_open(rejected->temporary, FILE_CREATE_NEW, &rejected->fd, diag);
    }
    if (err == ERR_EXISTS)
        diag_set(diag, "%s.tmp to %s.tmp%d are left of imports that broke off; remove them", path,
                 path, TEMPORARIES_MAX);
    return err;
}

bool
import_rejected_is_open(const struct import_rejected *rejected)
{
    return rejected->fd >= 0;
}

void
import_rejected_add_header(struct import_rejected *rejected, struct slice bytes)
{
    if (rejected->fd < 0 || rejected->err != ERR_OK)
        return;
    rejected->err = file_write_at(rejected->fd, rejected->temporary, bytes.ptr, bytes.len,
                                  rejected->bytes, &rejected->diag);
    if (rejected->err == ERR_OK)
        rejected->bytes += bytes.len;
}

void
import_rejected_add(struct import_rejected *rejected, struct slice bytes)
{
    if (bytes.len == 0)
        return;
    import_rejected_add_header(rejected, bytes);
    if (rejected->fd >= 0 && rejected->err == ERR_OK)
        rejected->rows++;
}

enum err
import_rejected_finish(struct import_rejected *rejected, bool is_whole, const char **ret_place,
                       struct diag *diag)
{
    enum err err = rejected->err;

    *ret_place = NULL;
    if (rejected->fd < 0)
        return ERR_OK;
    if (err != ERR_OK && diag != NULL)
        *diag = rejected->diag;
    if (rejected->rows == 0) {
        enum err unlink_err = file_unlink(rejected->temporary, err == ERR_OK ? diag : NULL);

        file_close(&rejected->fd);
        return err != ERR_OK ? err : unlink_err;
    }
    *ret_place = rejected->temporary;
    if (err == ERR_OK)
        err = file_sync(rejected->fd, rejected->temporary, diag);
    file_close(&rejected->fd);
    if (err != ERR_OK || !is_whole)
        return err;
    err = file_rename_synced(rejected->temporary, rejected->path, diag);
    if (!file_exists(rejected->temporary))
        *ret_place = rejected->path; /* even if its folder could not be synced */
    return err;
}
