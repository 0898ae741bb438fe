/*
 * backup - copying a data folder. See backup.h; the other way: restore.c.
 */
#include "app/backup.h"

#include "account/account.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "codec/crc32c.h"
#include "store/embedded/embedded.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct copying {
    backup_show *show;
    void *show_state;
    struct buf manifest;
    struct backup_facts facts;
    uint64_t total;
    const char *name; /* of the file under way */
    uint64_t bytes;
    uint32_t crc;
    struct diag found; /* of the check */
};

/* --- folders made whole ---------------------------------------------------------------------- */

/* Absent, or a folder with nothing in it that a rename can replace. */
static enum err
check_free(const char *place, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    enum err err;

    if (!file_exists(place))
        return ERR_OK;
    if (!file_is_plain_folder(place)) {
        diag_set(diag, "%s is no folder, a link, or a mount point; name a new folder within it",
                 place);
        return ERR_EXISTS;
    }
    err = file_list_dir(place, &list, diag);
    if (err != ERR_OK || list.count == 0)
        return err;
    diag_set(diag, "%s is not empty; name a folder that is not there yet", place);
    return ERR_EXISTS;
}

static enum err
lock_folder(const struct backup_folder *folder, int *ret_fd, struct diag *diag)
{
    enum err err = file_open(folder->partial, FILE_READ, ret_fd, diag);

    if (err == ERR_OK)
        err = file_lock(*ret_fd, folder->partial, diag);
    if (err == ERR_LOCKED)
        diag_set(diag, "%s: another potik is making it", folder->partial);
    return err;
}

static bool
is_left_by_us(const char *name)
{
    static const char *const starts[] = {"accounts.db", "token-keys", "secret", "ledger",
                                         BACKUP_MANIFEST};

    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return true;
    }
    return false;
}

/* What one that was cut short has left; anything else is somebody's, and stays. */
static enum err
remove_old(const struct backup_folder *folder, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {NULL, 0};
    CLOSE_FD int fd = -1;
    bool is_ours;
    enum err err;

    if (!file_exists(folder->partial))
        return ERR_OK;
    is_ours = file_is_plain_folder(folder->partial);
    err = is_ours ? file_list_dir(folder->partial, &list, diag) : ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < list.count; i++)
        is_ours = is_ours && is_left_by_us(list.names[i]);
    if (err == ERR_OK && !is_ours) {
        diag_set(diag,
                 "%s is in the way, and holds what no backup has left; move it away, or name "
                 "another folder",
                 folder->partial);
        return ERR_EXISTS;
    }
    if (err == ERR_OK)
        err = lock_folder(folder, &fd, diag);
    return err == ERR_OK ? file_remove_tree(folder->partial, diag) : err;
}

enum err
backup_begin_folder(const char *place, struct backup_folder *ret_folder, struct diag *diag)
{
    size_t len = strlen(place);
    enum err err;

    ret_folder->fd = -1;
    while (len > 1 && place[len - 1] == '/')
        len--;
    if (len == 0 || len + sizeof(BACKUP_PARTIAL) > FILE_PATH_MAX) {
        diag_set(diag, "%s: the path is empty or too long", place);
        return ERR_INVALID;
    }
    (void)snprintf(ret_folder->place, FILE_PATH_MAX, "%.*s", (int)len, place);
    (void)snprintf(ret_folder->partial, FILE_PATH_MAX, "%.*s%s", (int)len, place, BACKUP_PARTIAL);
    err = check_free(ret_folder->place, diag);
    if (err == ERR_OK)
        err = remove_old(ret_folder, diag);
    if (err == ERR_OK)
        err = file_make_new_dir(ret_folder->partial, diag);
    if (err != ERR_OK)
        return err;
    err = lock_folder(ret_folder, &ret_folder->fd, diag);
    if (err != ERR_OK) {
        file_close(&ret_folder->fd);
        if (err != ERR_LOCKED) /* another that was quicker has it */
            (void)!file_remove_tree(ret_folder->partial, NULL);
    }
    return err;
}

enum err
backup_end_folder(struct backup_folder *folder, enum err err, struct diag *diag)
{
    if (err == ERR_OK)
        err = file_sync_dir(folder->partial, diag);
    if (err == ERR_OK)
        err = file_rename_synced(folder->partial, folder->place, diag);
    if (err != ERR_OK) {
        const enum err removed = file_remove_tree(folder->partial, NULL); /* else the next does */

        (void)removed;
    }
    file_close(&folder->fd);
    return err;
}

/* --- one file after another ------------------------------------------------------------------ */

static void
listed(void *state, uint64_t bytes)
{
    struct copying *copying = state;

    copying->total += bytes;
}

static void
begin(void *state, const char *name)
{
    struct copying *copying = state;

    copying->name = name;
    copying->bytes = 0;
    copying->crc = 0;
}

static void
seen(void *state, const void *bytes, size_t len)
{
    struct copying *copying = state;

    copying->crc = crc32c(copying->crc, bytes, len);
    copying->bytes += len;
    copying->facts.bytes += len;
    copying->show(copying->show_state, copying->facts.bytes, copying->total);
}

static enum err
end(void *state, struct diag *diag)
{
    struct copying *copying = state;

    buf_printf(&copying->manifest, "file %" PRIu64 " %08" PRIx32 " %s\n", copying->bytes,
               copying->crc, copying->name);
    copying->facts.files++;
    if (!buf_failed(&copying->manifest))
        return ERR_OK;
    diag_set(diag, "out of memory");
    return ERR_NOMEM;
}

/* Of data_dir into `partial`. */
static enum err
copy_one(struct copying *copying, const char *data_dir, const char *partial, const char *name,
         struct diag *diag)
{
    CLOSE_FD int fd = -1;
    char from[FILE_PATH_MAX];
    char to[FILE_PATH_MAX];
    uint64_t bytes = 0;
    enum err err = ERR_INVALID;

    if (file_path(from, data_dir, name) && file_path(to, partial, name))
        err = file_open(from, FILE_READ, &fd, diag);
    if (err == ERR_OK)
        err = file_size(fd, from, &bytes, diag);
    begin(copying, name);
    if (err == ERR_OK)
        err = file_copy(fd, from, bytes, to, seen, copying, diag);
    return err == ERR_OK ? end(copying, diag) : err;
}

/* SQLite writes the copy; it is read for its CRC then. */
static enum err
copy_accounts(struct copying *copying, const char *data_dir, const char *partial, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    char place[FILE_PATH_MAX];
    char copy[FILE_PATH_MAX];
    enum err err = ERR_INVALID;

    if (file_path(place, partial, "accounts.db") && file_path(copy, partial, "accounts.db.copy"))
        err = account_backup(data_dir, copy, diag);
    if (err == ERR_OK)
        err = file_rename(copy, place, diag);
    if (err == ERR_OK)
        err = file_open(place, FILE_WRITE, &fd, diag);
    if (err == ERR_OK)
        err = file_sync(fd, place, diag);
    begin(copying, "accounts.db");
    for (uint64_t offset = 0; err == ERR_OK;) {
        char piece[65536];
        size_t len = 0;

        err = file_read_some_at(fd, place, piece, sizeof(piece), offset, &len, diag);
        if (err != ERR_OK || len == 0)
            break;
        seen(copying, piece, len);
        offset += len;
    }
    return err == ERR_OK ? end(copying, diag) : err;
}

/* --- the whole ------------------------------------------------------------------------------- */

static enum err
copy_all(struct copying *copying, const char *data_dir, const char *partial, struct diag *diag)
{
    const struct embedded_backup how = {
        .listed = listed, .begin = begin, .seen = seen, .end = end, .state = copying};
    char tokens[FILE_PATH_MAX];
    uint64_t seq_max = 0;
    enum err err = embedded_backup_bound(data_dir, &seq_max, diag);

    if (err != ERR_OK)
        return err;
    buf_printf(&copying->manifest, "%s\nmade_at %" PRId64 "\n", BACKUP_FIRST_LINE,
               copying->facts.made_at_us);
    err = copy_accounts(copying, data_dir, partial, diag);
    if (err == ERR_OK && file_path(tokens, data_dir, "token-keys") && file_exists(tokens))
        err = copy_one(copying, data_dir, partial, "token-keys", diag);
    return err == ERR_OK ? embedded_backup(data_dir, partial, seq_max, &how, diag) : err;
}

static void
found(void *state, const struct embedded_finding *finding)
{
    struct copying *copying = state;

    if (finding->is_error && copying->found.message[0] == '\0')
        diag_set(&copying->found, "%s at byte %" PRIu64 ": %s", finding->file, finding->offset,
                 finding->what);
}

/* Every frame read back, as the server and doctor would. */
static enum err
check(struct copying *copying, const char *partial, struct diag *diag)
{
    const enum err err = embedded_doctor(partial, false, false, found, copying, diag);

    if (err == ERR_CORRUPT)
        diag_set(diag, "the copy does not read: %s; run `potik doctor` on the data folder",
                 copying->found.message);
    return err;
}

static enum err
write_manifest(struct copying *copying, const char *partial, struct diag *diag)
{
    const struct slice text = buf_slice(&copying->manifest);
    const uint32_t crc = crc32c(0, text.ptr, text.len);
    char path[FILE_PATH_MAX];

    buf_printf(&copying->manifest, "end %" PRIu64 " %08" PRIx32 "\n", copying->facts.files, crc);
    if (buf_failed(&copying->manifest) || !file_path(path, partial, BACKUP_MANIFEST))
        return ERR_NOMEM;
    return file_replace_whole(path, buf_slice(&copying->manifest), diag);
}

static enum err
check_is_ledger(const char *data_dir, struct diag *diag)
{
    char path[FILE_PATH_MAX];

    if (file_path(path, data_dir, "ledger") && file_exists(path))
        return ERR_OK;
    diag_set(diag, "%s holds no ledger", data_dir);
    return ERR_ABSENT;
}

enum err
backup_run(const char *data_dir, const char *to, backup_show *show, void *state,
           struct backup_facts *ret_facts, struct diag *diag)
{
    struct copying copying = {
        .show = show,
        .show_state = state,
        .facts = {.made_at_us = clock_wall_us(clock_system())},
        .found = DIAG_INIT,
    };
    struct backup_folder folder;
    enum err err = check_is_ledger(data_dir, diag);

    if (err == ERR_OK)
        err = backup_begin_folder(to, &folder, diag);
    if (err != ERR_OK)
        return err;
    buf_init(&copying.manifest, BACKUP_MANIFEST_BYTES_MAX);
    err = copy_all(&copying, data_dir, folder.partial, diag);
    if (err == ERR_OK)
        err = check(&copying, folder.partial, diag);
    if (err == ERR_OK)
        err = write_manifest(&copying, folder.partial, diag);
    err = backup_end_folder(&folder, err, diag);
    buf_fini(&copying.manifest);
    *ret_facts = copying.facts;
    return err;
}
