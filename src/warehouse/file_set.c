/*
 * file_set - the Parquet files of a project: held by manifests and views, checked once, unlinked by
 * the last holder.
 *
 * Layer 4, any thread. A path is never used for a second file: numbers only rise.
 */
#include "codec/crc32c.h"
#include "warehouse/inside.h"
#include <stdio.h>
#include <string.h>

#define READ_BYTES ((size_t)1 << 20)

enum err
data_file_new(const char *project_dir, const struct manifest_file *facts,
              struct data_file **ret_file)
{
    struct data_file *file = MEM_NEW(struct data_file, 1);
    char rows[32], first[32];

    if (file == NULL)
        return ERR_NOMEM;
    snprintf(rows, sizeof(rows), "%010u.parquet", (unsigned)facts->number);
    snprintf(first, sizeof(first), "%010u.first.parquet", (unsigned)facts->number);
    if (!file_path(file->rows_path, project_dir, rows) ||
        !file_path(file->first_path, project_dir, first)) {
        mem_free(file);
        return ERR_INVALID;
    }
    file->life = MEM_NEW(struct file_life, 1);
    if (file->life == NULL) {
        mem_free(file);
        return ERR_NOMEM;
    }
    atomic_init(&file->life->references, 1);
    file->life->number = facts->number;
    atomic_init(&file->references, 1);
    pthread_mutex_init(&file->check_lock, NULL);
    file->facts = *facts;
    *ret_file = file;
    return ERR_OK;
}

struct data_file *
data_file_hold(struct data_file *file)
{
    atomic_fetch_add_explicit(&file->references, 1, memory_order_relaxed);
    return file;
}

static void
life_release(struct file_life *life)
{
    if (atomic_fetch_sub_explicit(&life->references, 1, memory_order_acq_rel) == 1)
        mem_free(life);
}

void
data_file_drop(struct data_file *file, struct file_life **lives)
{
    atomic_fetch_add_explicit(&file->life->references, 1, memory_order_relaxed);
    file->life->next = *lives;
    *lives = file->life;
    atomic_store(&file->is_dropped, true);
}

bool
file_lives_have(struct file_life **lives, uint32_t number)
{
    bool is_found = false;

    while (*lives != NULL) {
        struct file_life *life = *lives;

        if (atomic_load(&life->is_over)) {
            *lives = life->next;
            life_release(life);
        } else {
            is_found |= life->number == number;
            lives = &life->next;
        }
    }
    return is_found;
}

void
file_lives_free(struct file_life **lives)
{
    while (*lives != NULL) {
        struct file_life *life = *lives;

        *lives = life->next;
        life_release(life);
    }
}

void
data_file_release(struct data_file **file_place)
{
    struct data_file *file = *file_place;

    *file_place = NULL;
    if (file == NULL || atomic_fetch_sub_explicit(&file->references, 1, memory_order_acq_rel) != 1)
        return;
    if (atomic_load(&file->is_dropped)) {
        /* One that stays behind is not named by the manifest: it goes when the project is opened
         * next. */
        (void)!file_unlink_gently(file->rows_path, NULL);
        (void)!file_unlink_gently(file->first_path, NULL);
    }
    atomic_store(&file->life->is_over, true);
    life_release(file->life);
    pthread_mutex_destroy(&file->check_lock);
    mem_free(file);
}

enum err
checksum_file(const char *path, uint64_t *ret_bytes, uint32_t *ret_checksum, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    CLEANUP(mem_free_ptr) char *piece = mem_alloc(READ_BYTES);
    uint64_t offset = 0;
    uint32_t checksum = 0;
    size_t len = READ_BYTES;
    enum err err = piece != NULL ? file_open(path, FILE_READ, &fd, diag) : ERR_NOMEM;

    while (err == ERR_OK && len == READ_BYTES) {
        err = file_read_some_at(fd, path, piece, READ_BYTES, offset, &len, diag);
        if (err == ERR_OK) {
            checksum = crc32c(checksum, piece, len);
            offset += len;
        }
    }
    if (err != ERR_OK)
        return err;
    *ret_bytes = offset;
    *ret_checksum = checksum;
    return ERR_OK;
}

static enum err
check_one(const char *path, uint64_t bytes, uint32_t checksum, struct diag *diag)
{
    uint64_t found_bytes = 0;
    uint32_t found = 0;
    enum err err = checksum_file(path, &found_bytes, &found, diag);

    if (err == ERR_ABSENT) {
        diag_set(diag, "%s: missing", path);
        return ERR_CORRUPT;
    }
    if (err != ERR_OK)
        return err;
    if (found_bytes != bytes || found != checksum) {
        diag_set(diag, "%s: its bytes are not those that were written", path);
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

enum err
data_file_check(struct data_file *file, struct diag *diag)
{
    const struct manifest_file *facts = &file->facts;
    enum err err = ERR_OK;

    if (atomic_load(&file->check) == FILE_SOUND)
        return ERR_OK;
    pthread_mutex_lock(&file->check_lock);
    if (atomic_load(&file->check) != FILE_SOUND) {
        err = check_one(file->rows_path, facts->bytes, facts->checksum, diag);
        if (err == ERR_OK)
            err = check_one(file->first_path, facts->first_bytes, facts->first_checksum, diag);
        if (err == ERR_OK || err == ERR_CORRUPT)
            atomic_store(&file->check, err == ERR_OK ? FILE_SOUND : FILE_DAMAGED);
    }
    pthread_mutex_unlock(&file->check_lock);
    return err;
}

enum err
file_set_new(struct data_file *const *files, uint32_t count, struct file_set **ret_set)
{
    struct file_set *set = mem_zalloc(1, sizeof(*set) + count * sizeof(set->files[0]));

    if (set == NULL)
        return ERR_NOMEM;
    atomic_init(&set->references, 1);
    set->count = count;
    for (uint32_t i = 0; i < count; i++)
        set->files[i] = data_file_hold(files[i]);
    *ret_set = set;
    return ERR_OK;
}

struct file_set *
file_set_hold(struct file_set *set)
{
    atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

void
file_set_release(struct file_set **set_place)
{
    struct file_set *set = *set_place;

    *set_place = NULL;
    if (set == NULL || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < set->count; i++)
        data_file_release(&set->files[i]);
    mem_free(set);
}
