/*
 * secret - see secret.h.
 */
#include "store/embedded/secret.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/random.h"
#include "codec/crc32c.h"
#include <sodium.h>

#define SECRET_VERSION 1

struct secret_disk {
    char magic[8];
    uint32_t version;
    uint8_t key[SECRET_BYTES];
    uint32_t crc;
};
_Static_assert(sizeof(struct secret_disk) == 32, "as on disk");

enum err
secret_read(const char *data_dir, uint8_t ret_secret[SECRET_BYTES], struct diag *diag)
{
    CLOSE_FD int fd = -1;
    char path[FILE_PATH_MAX];
    struct secret_disk disk;
    size_t len = 0;
    enum err err = ERR_OK;

    if (!file_path(path, data_dir, "secret"))
        return ERR_INVALID;
    err = file_open(path, FILE_READ, &fd, diag);
    if (err == ERR_OK)
        err = file_read_some_at(fd, path, &disk, sizeof(disk), 0, &len, diag);
    if (err != ERR_OK)
        return err;
    if (len != sizeof(disk) || memcmp(disk.magic, "potikkey", sizeof(disk.magic)) != 0 ||
        disk.crc != crc32c(0, &disk, sizeof(disk) - 4)) {
        diag_set(diag, "%s: the secret fails its check (offset 0); put it back from a backup",
                 path);
        return ERR_CORRUPT;
    }
    if (disk.version != SECRET_VERSION) {
        diag_set(diag, "%s: written by a newer version of the program", path);
        return ERR_TOO_NEW;
    }
    memcpy(ret_secret, disk.key, SECRET_BYTES);
    sodium_memzero(&disk, sizeof(disk));
    return ERR_OK;
}

enum err
secret_make(const char *data_dir, uint8_t ret_secret[SECRET_BYTES], struct diag *diag)
{
    char path[FILE_PATH_MAX];
    struct secret_disk disk = {.version = SECRET_VERSION};
    enum err err = ERR_OK;

    if (!file_path(path, data_dir, "secret"))
        return ERR_INVALID;
    memcpy(disk.magic, "potikkey", sizeof(disk.magic));
    random_fill(random_system(), disk.key, SECRET_BYTES);
    disk.crc = crc32c(0, &disk, sizeof(disk) - 4);
    err = file_replace_whole(path, slice_of((const char *)&disk, sizeof(disk)), diag);
    if (err == ERR_OK)
        memcpy(ret_secret, disk.key, SECRET_BYTES);
    sodium_memzero(&disk, sizeof(disk));
    return err;
}
