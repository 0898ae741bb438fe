/*
 * freed - see freed.h.
 */
#include "store/embedded/freed.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include <assert.h>

struct freed_head {
    char magic[8];
    uint64_t first_seq;
    uint64_t rows;
    uint32_t count;
    uint32_t crc;
};
_Static_assert(sizeof(struct freed_head) == 32, "as on disk");

static uint32_t
record_crc(const struct freed_head *head, const struct run_key *keys)
{
    return crc32c(crc32c(0, head, sizeof(*head) - sizeof(head->crc)), keys,
                  head->count * sizeof(keys[0]));
}

static uint64_t
record_bytes(const struct freed_head *head)
{
    return sizeof(*head) + (uint64_t)head->count * sizeof(struct run_key);
}

/* The record at `offset`, checked; `keys` has room for the most there may be. *ret_is_sound false:
 * none. */
static enum err
read_record(const struct freed *freed, uint64_t offset, uint64_t file_bytes,
            struct freed_head *ret_head, struct run_key *keys, bool *ret_is_sound,
            struct diag *diag)
{
    enum err err = ERR_OK;

    *ret_is_sound = false;
    if (file_bytes - offset < sizeof(*ret_head))
        return ERR_OK;
    err = file_read_at(freed->fd, freed->path, ret_head, sizeof(*ret_head), offset, diag);
    if (err != ERR_OK || memcmp(ret_head->magic, "potikfrd", sizeof(ret_head->magic)) != 0 ||
        ret_head->count == 0 || ret_head->count > FREED_RECORD_KEYS_MAX ||
        record_bytes(ret_head) > file_bytes - offset)
        return err;
    err = file_read_at(freed->fd, freed->path, keys, ret_head->count * sizeof(keys[0]),
                       offset + sizeof(*ret_head), diag);
    *ret_is_sound = err == ERR_OK && record_crc(ret_head, keys) == ret_head->crc;
    return err;
}

/* One that has been checked before. */
static enum err
read_head(const struct freed *freed, uint64_t offset, struct freed_head *ret_head,
          struct diag *diag)
{
    enum err err = file_read_at(freed->fd, freed->path, ret_head, sizeof(*ret_head), offset, diag);

    if (err == ERR_OK && (ret_head->count == 0 || ret_head->count > FREED_RECORD_KEYS_MAX ||
                          record_bytes(ret_head) > freed->end - offset)) {
        diag_set(diag, "%s: changed since it was opened", freed->path);
        err = ERR_CORRUPT;
    }
    return err;
}

static enum err
find_end(struct freed *freed, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct run_key *keys = MEM_NEW(struct run_key, FREED_RECORD_KEYS_MAX);
    struct freed_head head;
    uint64_t bytes = 0;
    bool is_sound = true;
    enum err err = file_size(freed->fd, freed->path, &bytes, diag);

    if (keys == NULL)
        return ERR_NOMEM;
    while (err == ERR_OK && is_sound) {
        err = read_record(freed, freed->end, bytes, &head, keys, &is_sound, diag);
        if (err == ERR_OK && is_sound)
            freed->end += record_bytes(&head);
    }
    /* Synced in any case: a cut that was not must not be believed. */
    return err == ERR_OK ? freed_cut(freed, freed->end, diag) : err;
}

enum err
freed_open(struct freed *freed, const char *dir, struct diag *diag)
{
    enum err err = ERR_OK;

    freed->fd = -1;
    freed->end = 0;
    if (!file_path(freed->dir, dir, ".") || !file_path(freed->path, dir, "freed"))
        return ERR_INVALID;
    err = file_open(freed->path, FILE_WRITE, &freed->fd, NULL);
    if (err == ERR_ABSENT)
        return ERR_OK;
    return err == ERR_OK ? find_end(freed, diag) : err;
}

void
freed_close(struct freed *freed)
{
    file_close(&freed->fd);
}

enum err
freed_add(struct freed *freed, uint64_t first_seq, uint64_t rows, const struct run_key *keys,
          uint32_t count, struct diag *diag)
{
    struct freed_head head = {.first_seq = first_seq, .rows = rows, .count = count};
    struct slice parts[2];
    enum err err = ERR_OK;

    assert(count != 0 && count <= FREED_RECORD_KEYS_MAX);
    if (freed->fd < 0) {
        err = file_open(freed->path, FILE_CREATE, &freed->fd, diag);
        if (err == ERR_OK)
            err = file_sync_dir(freed->dir, diag);
        if (err != ERR_OK) {
            file_close(&freed->fd); /* so that its name is synced the next time */
            return err;
        }
    }
    memcpy(head.magic, "potikfrd", sizeof(head.magic));
    head.crc = record_crc(&head, keys);
    parts[0] = slice_of((const char *)&head, sizeof(head));
    parts[1] = slice_of((const char *)keys, count * sizeof(keys[0]));
    err = file_write_parts_at(freed->fd, freed->path, parts, 2, freed->end, diag);
    if (err == ERR_OK)
        freed->end += record_bytes(&head);
    return err;
}

enum err
freed_sync(struct freed *freed, struct diag *diag)
{
    return file_sync(freed->fd, freed->path, diag);
}

enum err
freed_cut(struct freed *freed, uint64_t offset, struct diag *diag)
{
    enum err err = file_truncate(freed->fd, freed->path, offset, diag);

    if (err == ERR_OK)
        err = file_sync(freed->fd, freed->path, diag);
    if (err == ERR_OK) /* not before: a record that may come back must not count as gone */
        freed->end = offset;
    return err;
}

/* false: there is no such segment. */
static bool
find_segment(struct ledger *ledger, uint64_t first_seq, struct ledger_segment *ret_segment)
{
    bool is_active = false;

    for (uint32_t i = 0; ledger_segment_at(ledger, i, ret_segment, &is_active); i++)
        if (ret_segment->first_seq == first_seq)
            return true;
    return false;
}

enum err
freed_settle(struct freed *freed, struct ledger *ledger, struct diag *diag)
{
    struct freed_head last = {.count = 0};
    struct ledger_segment segment;
    uint64_t group = 0; /* where the last records of one segment begin */

    for (uint64_t offset = 0; offset < freed->end;) {
        struct freed_head head;
        const enum err err = read_head(freed, offset, &head, diag);

        if (err != ERR_OK)
            return err;
        if (last.count == 0 || head.first_seq != last.first_seq || head.rows != last.rows)
            group = offset;
        last = head;
        offset += record_bytes(&head);
    }
    if (last.count == 0 ||
        (find_segment(ledger, last.first_seq, &segment) && segment.rows == last.rows))
        return ERR_OK;
    return freed_cut(freed, group, diag);
}

enum err
freed_each(struct freed *freed, struct ledger *ledger, uint64_t covered_seq,
           enum err (*each)(void *state, struct run_key key), void *state, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct run_key *keys = MEM_NEW(struct run_key, FREED_RECORD_KEYS_MAX);
    enum err err = keys != NULL ? ERR_OK : ERR_NOMEM;

    for (uint64_t offset = 0; offset < freed->end && err == ERR_OK;) {
        struct ledger_segment segment;
        struct freed_head head;
        bool is_sound = false;

        err = read_record(freed, offset, freed->end, &head, keys, &is_sound, diag);
        if (err != ERR_OK || !is_sound)
            return err;
        offset += record_bytes(&head);
        if (find_segment(ledger, head.first_seq, &segment) && segment.next_seq <= covered_seq + 1)
            continue;
        for (uint32_t i = 0; i < head.count && err == ERR_OK; i++)
            err = each(state, keys[i]);
    }
    return err;
}

/* Where the last records begin that hold no more than the tail may. */
static enum err
find_tail(const struct freed *freed, uint64_t *ret_offset, uint32_t *ret_count, struct diag *diag)
{
    struct freed_head head;
    uint64_t count = 0;
    uint64_t offset = 0;
    enum err err = ERR_OK;

    for (; offset < freed->end && err == ERR_OK; offset += record_bytes(&head)) {
        err = read_head(freed, offset, &head, diag);
        if (err != ERR_OK)
            return err;
        count += head.count;
    }
    for (offset = 0; count > FREED_TAIL_KEYS_MAX; offset += record_bytes(&head)) {
        err = read_head(freed, offset, &head, diag);
        if (err != ERR_OK)
            return err;
        count -= head.count;
    }
    *ret_offset = offset;
    *ret_count = (uint32_t)count;
    return ERR_OK;
}

enum err
freed_read_tail(struct freed *freed, struct run_key **ret_keys, uint32_t *ret_count,
                uint64_t *ret_offset, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct run_key *keys = NULL;
    struct freed_head head;
    uint32_t count = 0;
    uint32_t done = 0;
    enum err err = find_tail(freed, ret_offset, &count, diag);

    if (err != ERR_OK)
        return err;
    keys = MEM_NEW(struct run_key, (size_t)count + 1);
    if (keys == NULL)
        return ERR_NOMEM;
    for (uint64_t offset = *ret_offset; offset < freed->end && err == ERR_OK;
         offset += record_bytes(&head)) {
        err = read_head(freed, offset, &head, diag);
        if (err == ERR_OK && head.count > count - done)
            return ERR_CORRUPT;
        if (err == ERR_OK)
            err = file_read_at(freed->fd, freed->path, keys + done, head.count * sizeof(keys[0]),
                               offset + sizeof(head), diag);
        if (err != ERR_OK)
            return err;
        done += head.count;
    }
    *ret_keys = MOVE(keys);
    *ret_count = done;
    return err;
}
