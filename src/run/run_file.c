/*
 * run_file - opening runs, reading their blocks. The bytes: run_file.h. The writer: run_writer.c.
 *
 * Any thread; nothing here changes once opened, save the counts of holders.
 */
#include "run/run_file.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CURSOR_BLOCKS 64

void
run_name(uint64_t covered_from, uint64_t covered_to, const char *suffix,
         char ret_name[RUN_NAME_BYTES])
{
    const int len = snprintf(ret_name, RUN_NAME_BYTES, "%020" PRIu64 "-%020" PRIu64 "%s",
                             covered_from, covered_to, suffix);

    assert(len > 0 && len < RUN_NAME_BYTES);
}

static bool
parse_digits(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (int i = 0; i < 20; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return false;
    }
    *ret_value = value;
    return true;
}

bool
run_name_parse(const char *name, uint64_t *ret_from, uint64_t *ret_to)
{
    return strlen(name) == 45 && name[20] == '-' && strcmp(name + 41, ".run") == 0 &&
           parse_digits(name, ret_from) && parse_digits(name + 21, ret_to);
}

void
run_file_hold(struct run_file *file)
{
    atomic_fetch_add_explicit(&file->holders, 1, memory_order_relaxed);
}

void
run_file_free(struct run_file **file_ptr)
{
    struct run_file *file = *file_ptr;

    *file_ptr = NULL;
    if (file == NULL || atomic_fetch_sub_explicit(&file->holders, 1, memory_order_acq_rel) != 1)
        return;
    file_close(&file->fd);
    if (atomic_load(&file->is_superseded)) {
        /* If it stays, the next open finds it superseded and removes it. */
        const enum err err = file_unlink_gently(file->path, NULL);

        (void)err;
    }
    mem_free(file->path);
    mem_free(file);
}

void
run_part_hold(struct run_part *part)
{
    atomic_fetch_add_explicit(&part->holders, 1, memory_order_relaxed);
}

void
run_part_free(struct run_part **part_ptr)
{
    struct run_part *part = *part_ptr;

    *part_ptr = NULL;
    if (part == NULL || atomic_fetch_sub_explicit(&part->holders, 1, memory_order_acq_rel) != 1)
        return;
    run_file_free(&part->file);
    mem_free(part->lookup);
    mem_free(part);
}

void
run_parts_free(struct run_part ***parts_ptr, uint32_t partition_bits)
{
    struct run_part **parts = *parts_ptr;

    *parts_ptr = NULL;
    if (parts == NULL)
        return;
    for (uint32_t i = 0; i < (UINT32_C(1) << partition_bits); i++)
        run_part_free(&parts[i]);
    mem_free(parts);
}

static bool
is_zero(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* --- opening ------------------------------------------------------------------------------- */

static enum err
read_header(const struct run_file *file, struct run_header_disk *ret_header, struct diag *diag)
{
    uint8_t block[RUN_BLOCK_BYTES];
    uint64_t bytes = 0;
    uint32_t crc = 0;
    enum err err = file_size(file->fd, file->path, &bytes, diag);

    if (err != ERR_OK)
        return err;
    if (bytes < RUN_BLOCK_BYTES) {
        diag_set(diag, "%s: a run of %" PRIu64 " bytes is shorter than its header", file->path,
                 bytes);
        return ERR_CORRUPT;
    }
    err = file_read_at(file->fd, file->path, block, sizeof(block), 0, diag);
    if (err != ERR_OK)
        return err;
    memcpy(ret_header, block, sizeof(*ret_header));
    memcpy(&crc, block + RUN_BLOCK_BYTES - 4, sizeof(crc));
    if (memcmp(ret_header->magic, "potikrun", 8) != 0 ||
        crc != crc32c(0, block, RUN_BLOCK_BYTES - 4)) {
        diag_set(diag, "%s: the run's header fails its check (offset 0)", file->path);
        return ERR_CORRUPT;
    }
    if (ret_header->version > RUN_FILE_VERSION) {
        diag_set(diag, "%s: run format %" PRIu32 " is newer than this program's (%d)", file->path,
                 ret_header->version, RUN_FILE_VERSION);
        return ERR_TOO_NEW;
    }
    if (ret_header->version != RUN_FILE_VERSION ||
        (ret_header->payload_bytes != 0 && ret_header->payload_bytes != 4) ||
        ret_header->partition_bits > RUN_PARTITION_BITS_MAX || ret_header->file_bytes != bytes ||
        ret_header->covered_from > ret_header->covered_to ||
        ret_header->table_offset % RUN_BLOCK_BYTES != 0 || ret_header->table_offset >= bytes ||
        bytes - ret_header->table_offset > UINT64_C(64) << 20 ||
        (sizeof(struct run_partition_disk) << ret_header->partition_bits) >
            bytes - ret_header->table_offset ||
        !is_zero(block + sizeof(*ret_header), RUN_BLOCK_BYTES - 4 - sizeof(*ret_header))) {
        diag_set(diag, "%s: the run's header does not fit the file of %" PRIu64 " bytes",
                 file->path, bytes);
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

/* Reads a partition's lookup and makes the part. */
static enum err
open_part(struct run_file *file, const struct run_partition_disk *disk, uint64_t file_bytes,
          struct run_part **ret_part, struct diag *diag)
{
    CLEANUP(run_part_free) struct run_part *part = NULL;
    const uint64_t lookup_offset = disk->offset + (uint64_t)disk->block_count * RUN_BLOCK_BYTES;
    const size_t cell_bytes = ((size_t)disk->cell_count * 2 + 7) & ~(size_t)7;
    enum err err = ERR_OK;

    part = MEM_NEW(struct run_part, 1);
    if (part == NULL)
        return ERR_NOMEM;
    atomic_init(&part->holders, 1);
    part->filter = (struct filter){.seed = disk->filter_seed,
                                   .cell_count = disk->cell_count,
                                   .segment_cells = disk->segment_cells,
                                   .start_cells = disk->start_cells};
    if (disk->offset % RUN_BLOCK_BYTES != 0 || disk->offset > file_bytes ||
        lookup_offset > file_bytes || disk->lookup_bytes > file_bytes - lookup_offset ||
        disk->block_count == 0 || !filter_is_sound(&part->filter) || disk->cell_count == 0 ||
        cell_bytes + (size_t)disk->block_count * 8 > disk->lookup_bytes) {
        diag_set(diag, "%s: the run's table names places outside the file", file->path);
        return ERR_CORRUPT;
    }
    part->lookup = mem_alloc(disk->lookup_bytes);
    if (part->lookup == NULL)
        return ERR_NOMEM;
    part->file = file;
    run_file_hold(file);
    err = file_read_at(file->fd, file->path, part->lookup, disk->lookup_bytes, lookup_offset, diag);
    if (err != ERR_OK)
        return err;
    if (crc32c(0, part->lookup, disk->lookup_bytes) != disk->lookup_crc) {
        diag_set(diag, "%s: a filter of the run fails its check (offset %" PRIu64 ")", file->path,
                 lookup_offset);
        return ERR_CORRUPT;
    }
    part->filter.cells = part->lookup;
    part->first_keys = (const uint64_t *)((const char *)part->lookup + cell_bytes);
    part->first_block = disk->offset / RUN_BLOCK_BYTES;
    part->keys = disk->keys;
    part->block_count = disk->block_count;
    part->lookup_bytes = disk->lookup_bytes;
    *ret_part = MOVE(part);
    return ERR_OK;
}

static enum err
open_parts(struct run_file *file, const struct run_header_disk *header, struct run_part **parts,
           uint64_t *ret_offset, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct run_partition_disk *table = NULL;
    const size_t table_bytes = (size_t)(header->file_bytes - header->table_offset);
    uint64_t keys = 0;
    enum err err = ERR_OK;

    *ret_offset = header->table_offset;
    table = mem_alloc(table_bytes);
    if (table == NULL)
        return ERR_NOMEM;
    err = file_read_at(file->fd, file->path, table, table_bytes, header->table_offset, diag);
    if (err != ERR_OK)
        return err;
    if (crc32c(0, table, table_bytes) != header->table_crc) {
        diag_set(diag, "%s: the run's table fails its check (offset %" PRIu64 ")", file->path,
                 header->table_offset);
        return ERR_CORRUPT;
    }
    for (uint32_t i = 0; i < (UINT32_C(1) << header->partition_bits); i++) {
        if (table[i].keys == 0)
            continue;
        *ret_offset = table[i].offset + (uint64_t)table[i].block_count * RUN_BLOCK_BYTES;
        err = open_part(file, &table[i], header->table_offset, &parts[i], diag);
        if (err != ERR_OK)
            return err;
        keys += table[i].keys;
    }
    if (keys != header->keys) {
        diag_set(diag, "%s: the run's header tells another number of keys than its table",
                 file->path);
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

enum err
run_file_open(const char *path, struct run_file **ret_file, struct run_part ***ret_parts,
              uint64_t *ret_offset, struct diag *diag)
{
    CLEANUP(run_file_free) struct run_file *file = NULL;
    struct run_part **parts = NULL;
    struct run_header_disk header;
    enum err err = ERR_OK;

    *ret_offset = 0;
    file = MEM_NEW(struct run_file, 1);
    if (file == NULL)
        return ERR_NOMEM;
    file->fd = -1;
    atomic_init(&file->holders, 1);
    atomic_init(&file->is_superseded, false);
    file->path = mem_strdup(path);
    if (file->path == NULL)
        return ERR_NOMEM;
    err = file_open(path, FILE_READ, &file->fd, diag);
    if (err != ERR_OK)
        return err;
    err = read_header(file, &header, diag);
    if (err != ERR_OK)
        return err;
    file->partition_bits = header.partition_bits;
    memcpy(file->info.owner, header.owner, RUN_OWNER_BYTES);
    file->info.covered_from = header.covered_from;
    file->info.covered_to = header.covered_to;
    file->info.keys = header.keys;
    file->info.bytes = header.file_bytes;
    file->info.payload_bytes = (uint8_t)header.payload_bytes;
    parts = MEM_NEW(struct run_part *, (size_t)1 << header.partition_bits);
    if (parts == NULL)
        return ERR_NOMEM;
    err = open_parts(file, &header, parts, ret_offset, diag);
    if (err != ERR_OK) {
        run_parts_free(&parts, header.partition_bits);
        return err;
    }
    *ret_parts = parts;
    *ret_file = MOVE(file);
    return ERR_OK;
}

/* --- blocks -------------------------------------------------------------------------------- */

enum err
run_block_check(const struct run_file *file, uint64_t number, const uint8_t bytes[RUN_BLOCK_BYTES],
                uint32_t *ret_count, struct diag *diag)
{
    uint32_t crc = 0;
    uint32_t count = 0;
    uint64_t own_number = 0;

    memcpy(&crc, bytes, 4);
    memcpy(&count, bytes + 4, 4);
    memcpy(&own_number, bytes + 8, 8);
    if (crc != crc32c(0, bytes + 4, RUN_BLOCK_BYTES - 4) || own_number != number || count == 0 ||
        count > run_block_entries(file->info.payload_bytes)) {
        diag_set(diag,
                 "%s: a block of keys fails its check (offset %" PRIu64
                 "); run `potik doctor` on the data folder",
                 file->path, number * RUN_BLOCK_BYTES);
        return ERR_CORRUPT;
    }
    *ret_count = count;
    return ERR_OK;
}

enum err
run_block_read(const struct run_file *file, uint64_t number, uint8_t bytes[RUN_BLOCK_BYTES],
               uint32_t *ret_count, struct diag *diag)
{
    const enum err err =
        file_read_at(file->fd, file->path, bytes, RUN_BLOCK_BYTES, number * RUN_BLOCK_BYTES, diag);

    return err != ERR_OK ? err : run_block_check(file, number, bytes, ret_count, diag);
}

struct run_entry
run_block_entry(const uint8_t *bytes, uint32_t i, uint8_t payload_bytes)
{
    const uint8_t *place = bytes + RUN_BLOCK_HEAD_BYTES + i * run_entry_bytes(payload_bytes);
    struct run_entry entry = {.payload = 0};

    memcpy(&entry.key.hi, place, 8);
    memcpy(&entry.key.lo, place + 8, 8);
    if (payload_bytes != 0)
        memcpy(&entry.payload, place + 16, 4);
    return entry;
}

/* The first block whose first hi is not below `hi`. */
static uint32_t
block_at_or_after(const struct run_part *part, uint64_t hi)
{
    uint32_t low = 0;
    uint32_t high = part->block_count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (part->first_keys[middle] < hi)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

enum err
run_part_find(const struct run_part *part, struct run_key key, bool *ret_is_found,
              uint32_t *ret_payload, struct diag *diag)
{
    uint8_t bytes[RUN_BLOCK_BYTES];
    const uint8_t payload_bytes = part->file->info.payload_bytes;
    uint32_t block = block_at_or_after(part, key.hi);

    *ret_is_found = false;
    if (block > 0)
        block--; /* the key may stand behind the first of the block before */
    for (; block < part->block_count && part->first_keys[block] <= key.hi; block++) {
        uint32_t count = 0;
        uint32_t low = 0;
        uint32_t high = 0;
        const enum err err =
            run_block_read(part->file, part->first_block + block, bytes, &count, diag);

        if (err != ERR_OK)
            return err;
        high = count;
        while (low < high) {
            const uint32_t middle = low + (high - low) / 2;
            const struct run_entry entry = run_block_entry(bytes, middle, payload_bytes);
            const int order = run_key_compare(entry.key, key);

            if (order == 0) {
                *ret_is_found = true;
                *ret_payload = entry.payload;
                return ERR_OK;
            }
            if (order < 0)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < count)
            break; /* a greater key was seen: it is not here */
    }
    return ERR_OK;
}

/* --- cursor -------------------------------------------------------------------------------- */

struct run_cursor {
    struct run_file *file;
    struct run_part **parts; /* held */
    uint32_t part_count;
    uint32_t part;        /* the part of the next block to read */
    uint32_t block;       /* within it */
    uint32_t chunk_first; /* blocks chunk_first … of the chunk are still to be entered */
    uint32_t chunk_count;
    uint32_t entry_next; /* within the current block */
    uint32_t entry_count;
    uint64_t chunk_number; /* number in the file of the chunk's first block */
    bool is_at_entry;
    struct run_entry entry;
    uint8_t chunk[CURSOR_BLOCKS * RUN_BLOCK_BYTES];
};

enum err
run_cursor_new(struct run_part *const *parts, struct run_file *file, struct run_cursor **ret_cursor)
{
    struct run_cursor *cursor = MEM_NEW(struct run_cursor, 1);
    const uint32_t part_count = UINT32_C(1) << file->partition_bits;

    if (cursor == NULL)
        return ERR_NOMEM;
    cursor->parts = MEM_NEW(struct run_part *, part_count);
    if (cursor->parts == NULL) {
        mem_free(cursor);
        return ERR_NOMEM;
    }
    cursor->file = file;
    run_file_hold(file);
    cursor->part_count = part_count;
    for (uint32_t i = 0; i < part_count; i++) {
        cursor->parts[i] = parts[i];
        if (parts[i] != NULL)
            run_part_hold(parts[i]);
    }
    *ret_cursor = cursor;
    return ERR_OK;
}

void
run_cursor_free(struct run_cursor **cursor_ptr)
{
    struct run_cursor *cursor = *cursor_ptr;

    *cursor_ptr = NULL;
    if (cursor == NULL)
        return;
    for (uint32_t i = 0; i < cursor->part_count; i++)
        run_part_free(&cursor->parts[i]);
    mem_free(cursor->parts);
    run_file_free(&cursor->file);
    mem_free(cursor);
}

const char *
run_cursor_path(const struct run_cursor *cursor)
{
    return cursor->file->path;
}

const struct run_entry *
run_cursor_entry(const struct run_cursor *cursor)
{
    return cursor->is_at_entry ? &cursor->entry : NULL;
}

/* Reads the next blocks of the current part; parts read to their end are let go. false: the end. */
static enum err
cursor_read_chunk(struct run_cursor *cursor, bool *ret_is_end, struct diag *diag)
{
    const struct run_part *part = NULL;

    *ret_is_end = false;
    while (cursor->part < cursor->part_count) {
        part = cursor->parts[cursor->part];
        if (part != NULL && cursor->block < part->block_count)
            break;
        run_part_free(&cursor->parts[cursor->part]);
        cursor->part++;
        cursor->block = 0;
    }
    if (cursor->part >= cursor->part_count) {
        *ret_is_end = true;
        return ERR_OK;
    }
    cursor->chunk_first = 0;
    cursor->chunk_count = part->block_count - cursor->block;
    if (cursor->chunk_count > CURSOR_BLOCKS)
        cursor->chunk_count = CURSOR_BLOCKS;
    cursor->chunk_number = part->first_block + cursor->block;
    cursor->block += cursor->chunk_count;
    return file_read_at(cursor->file->fd, cursor->file->path, cursor->chunk,
                        (size_t)cursor->chunk_count * RUN_BLOCK_BYTES,
                        cursor->chunk_number * RUN_BLOCK_BYTES, diag);
}

enum err
run_cursor_next(struct run_cursor *cursor, struct diag *diag)
{
    const uint8_t *block = NULL;
    enum err err = ERR_OK;

    if (cursor->entry_next == cursor->entry_count) {
        bool is_end = false;

        cursor->is_at_entry = false;
        if (cursor->chunk_first == cursor->chunk_count) {
            err = cursor_read_chunk(cursor, &is_end, diag);
            if (err != ERR_OK || is_end)
                return err;
        }
        err = run_block_check(cursor->file, cursor->chunk_number + cursor->chunk_first,
                              cursor->chunk + (size_t)cursor->chunk_first * RUN_BLOCK_BYTES,
                              &cursor->entry_count, diag);
        if (err != ERR_OK)
            return err;
        cursor->chunk_first++;
        cursor->entry_next = 0;
    }
    block = cursor->chunk + (size_t)(cursor->chunk_first - 1) * RUN_BLOCK_BYTES;
    cursor->entry = run_block_entry(block, cursor->entry_next, cursor->file->info.payload_bytes);
    cursor->entry_next++;
    cursor->is_at_entry = true;
    return ERR_OK;
}
