/*
 * file_tree - names and folders: rename, unlink, list, replace whole. See file.h.
 *
 * A new name is durable only when its folder has been synced (fsync(2) of the folder), so
 * file_replace_whole ends with that; other callers call file_sync_dir where they need it.
 */
#include "base/file.h"

#include "base/file_internal.h"
#include "base/mem.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE_FDS_MAX 16
#define LIST_NAMES_MAX ((size_t)1 << 24)

enum err
file_sync_dir(const char *dir, struct diag *diag)
{
    CLOSE_FD int fd = -1;

    do {
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return file_failed("open", dir, errno, diag);
    return file_sync(fd, dir, diag);
}

enum err
file_size_of_path(const char *path, uint64_t *ret_bytes, struct diag *diag)
{
    struct stat facts;

    if (stat(path, &facts) != 0)
        return file_failed("stat", path, errno, diag);
    *ret_bytes = (uint64_t)facts.st_size;
    return ERR_OK;
}

enum err
file_is_private(const char *path, bool *ret_is_private, struct diag *diag)
{
    struct stat facts;

    if (stat(path, &facts) != 0)
        return file_failed("stat", path, errno, diag);
    *ret_is_private = (facts.st_mode & (S_IRWXG | S_IRWXO)) == 0;
    return ERR_OK;
}

enum err
file_rename(const char *from, const char *to, struct diag *diag)
{
    if (rename(from, to) == 0)
        return ERR_OK;
    return file_failed("rename", from, errno, diag);
}

enum err
file_unlink(const char *path, struct diag *diag)
{
    return unlink(path) == 0 ? ERR_OK : file_failed("unlink", path, errno, diag);
}

enum err
file_unlink_gently(const char *path, struct diag *diag)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); /* −1: then at once */
    const enum err err = file_unlink(path, diag);

    file_close_gently(&fd);
    return err;
}

enum err
file_make_dir(const char *path, struct diag *diag)
{
    struct stat facts;
    int errno_value;

    if (mkdir(path, 0700) == 0)
        return ERR_OK;
    errno_value = errno;
    if (errno_value == EEXIST && stat(path, &facts) == 0 && S_ISDIR(facts.st_mode))
        return ERR_OK;
    return file_failed("make folder", path, errno_value, diag);
}

/* "a/b/c" → "a/b", "c" → ".", "/c" → "/". */
static bool
parent_of(const char *path, char ret_dir[FILE_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);

    if (slash == NULL || slash == path) {
        memcpy(ret_dir, slash == NULL ? "." : "/", 2);
        return true;
    }
    if (len >= FILE_PATH_MAX)
        return false;
    memcpy(ret_dir, path, len);
    ret_dir[len] = '\0';
    return true;
}

enum err
file_make_new_dir(const char *path, struct diag *diag)
{
    return mkdir(path, 0700) == 0 ? ERR_OK : file_failed("make folder", path, errno, diag);
}

bool
file_is_plain_folder(const char *path)
{
    struct stat facts;
    struct stat parent;
    char dir[FILE_PATH_MAX];

    return parent_of(path, dir) && lstat(path, &facts) == 0 && S_ISDIR(facts.st_mode) &&
           stat(dir, &parent) == 0 && facts.st_dev == parent.st_dev &&
           facts.st_ino != parent.st_ino;
}

static int
remove_entry(const char *path, const struct stat *facts, int kind, struct FTW *place)
{
    (void)facts;
    (void)kind;
    (void)place;
    return remove(path);
}

enum err
file_remove_tree(const char *path, struct diag *diag)
{
    /* Depth first, links themselves and not what they point to, not into other file systems. */
    if (nftw(path, remove_entry, TREE_FDS_MAX, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0)
        return ERR_OK;
    return file_failed("remove", path, errno, diag);
}

bool
file_exists(const char *path)
{
    struct stat facts;

    return lstat(path, &facts) == 0;
}

bool
file_is_same(const char *path, const char *other)
{
    struct stat facts, other_facts;

    return stat(path, &facts) == 0 && stat(other, &other_facts) == 0 &&
           facts.st_dev == other_facts.st_dev && facts.st_ino == other_facts.st_ino;
}

bool
file_is_regular(const char *path)
{
    struct stat facts;

    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
}

bool
file_path(char ret_path[FILE_PATH_MAX], const char *dir, const char *name)
{
    size_t dir_len = strlen(dir);
    const char *separator = dir_len != 0 && dir[dir_len - 1] == '/' ? "" : "/";
    int len = snprintf(ret_path, FILE_PATH_MAX, "%s%s%s", dir, separator, name);

    return len >= 0 && len < FILE_PATH_MAX;
}

enum err
file_rename_synced(const char *from, const char *to, struct diag *diag)
{
    char dir[FILE_PATH_MAX];
    enum err err;

    if (!parent_of(to, dir))
        return file_failed("rename", from, ENAMETOOLONG, diag);
    err = file_rename(from, to, diag);
    return err != ERR_OK ? err : file_sync_dir(dir, diag);
}

/* Owner, group and mode of the file `like`, if there is one. A group that cannot be given is left:
 * what counts is that the owner can go on reading. */
static enum err
become_like(int fd, const char *path, const char *like, struct diag *diag)
{
    struct stat old, new;

    if (stat(like, &old) != 0)
        return errno == ENOENT ? ERR_OK : file_failed("stat", like, errno, diag);
    if (fstat(fd, &new) != 0)
        return file_failed("stat", path, errno, diag);
    if ((old.st_uid != new.st_uid || old.st_gid != new.st_gid) &&
        fchown(fd, old.st_uid, old.st_gid) != 0 && old.st_uid != new.st_uid)
        return file_failed("chown", path, errno, diag);
    return fchmod(fd, old.st_mode & 07777) == 0 ? ERR_OK : file_failed("chmod", path, errno, diag);
}

/* `like`: NULL, or the file it will replace. Then the file is a new one in any case: whoever owns
 * the folder could have put a link there, and would be given what it leads to. */
static enum err
write_synced(const char *path, struct slice bytes, const char *like, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    enum err err;

    if (like != NULL)
        (void)unlink(path);
    err = file_open(path, like != NULL ? FILE_CREATE_NEW : FILE_REPLACE, &fd, diag);
    if (err == ERR_OK)
        err = file_write_at(fd, path, bytes.ptr, bytes.len, 0, diag);
    if (err == ERR_OK && like != NULL)
        err = become_like(fd, path, like, diag);
    if (err == ERR_OK)
        err = file_sync(fd, path, diag);
    return err;
}

static enum err
replace_whole(const char *path, struct slice bytes, bool is_alike, struct diag *diag)
{
    char temporary[FILE_PATH_MAX];
    char dir[FILE_PATH_MAX];
    int len = snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    enum err err;

    if (len < 0 || len >= FILE_PATH_MAX || !parent_of(path, dir))
        return file_failed("write", path, ENAMETOOLONG, diag);
    err = write_synced(temporary, bytes, is_alike ? path : NULL, diag);
    if (err == ERR_OK)
        err = file_rename(temporary, path, diag);
    if (err != ERR_OK) {
        (void)unlink(
            temporary); /* a half file is nobody's; the next call would replace it anyway */
        return err;
    }
    return file_sync_dir(dir, diag);
}

enum err
file_replace_whole(const char *path, struct slice bytes, struct diag *diag)
{
    return replace_whole(path, bytes, false, diag);
}

enum err
file_replace_whole_alike(const char *path, struct slice bytes, struct diag *diag)
{
    return replace_whole(path, bytes, true, diag);
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool
add_name(struct file_list *list, size_t *capacity, const char *name)
{
    char *copy;

    if (list->count == *capacity) {
        size_t wanted = *capacity == 0 ? 16 : *capacity * 2;
        char **names;

        if (wanted > LIST_NAMES_MAX)
            return false;
        names = (char **)mem_realloc(list->names, wanted * sizeof(*names));
        if (names == NULL)
            return false;
        list->names = names;
        *capacity = wanted;
    }
    copy = mem_strdup(name);
    if (copy == NULL)
        return false;
    list->names[list->count++] = copy;
    return true;
}

enum err
file_list_dir(const char *dir, struct file_list *ret_list, struct diag *diag)
{
    struct file_list list = {NULL, 0};
    size_t capacity = 0;
    DIR *stream = opendir(dir);
    enum err err = ERR_OK;

    if (stream == NULL)
        return file_failed("list", dir, errno, diag);
    for (;;) {
        const struct dirent *entry;

        errno = 0;
        entry = readdir(stream);
        if (entry == NULL) {
            if (errno != 0)
                err = file_failed("list", dir, errno, diag);
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!add_name(&list, &capacity, entry->d_name)) {
            diag_set(diag, "list %s: out of memory at %zu names", dir, list.count);
            err = ERR_NOMEM;
            break;
        }
    }
    (void)closedir(stream);
    if (err != ERR_OK) {
        file_list_free(&list);
        return err;
    }
    if (list.count != 0)
        qsort(list.names, list.count, sizeof(*list.names), compare_names);
    *ret_list = list;
    return ERR_OK;
}

void
file_list_free(struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        mem_free(list->names[i]);
    mem_free(list->names);
    *list = (struct file_list){NULL, 0};
}
