/*
 * run_writer - writes one run, entry after entry in rising order. The bytes: run_file.h.
 *
 * Layer 2 (run). One thread a writer (the loader when it seals, the keeper when it merges). Memory:
 * a megabyte of blocks, and of the current partition 8 bytes a key and what building its filter
 * takes; parts already ended keep their filter, which is what probes will use.
 */
#include "base/mem.h"
#include "codec/crc32c.h"
#include "run/run_file.h"
#include <assert.h>

#define OUT_BLOCKS 256

struct run_writer {
    struct run_file *file;
    struct run_part **parts; /* ended ones */
    struct run_partition_disk *table;
    char *dir;
    char *tmp_path;
    uint64_t next_block; /* number in the file of the next block to be written */
    uint32_t partition;  /* current */
    /* the current partition */
    uint64_t *filter_keys;
    size_t filter_keys_max;
    uint64_t *first_keys;
    size_t first_keys_max;
    uint64_t keys;
    uint64_t first_block;
    uint32_t block_count; /* begun */
    /* blocks on their way out */
    uint32_t out_count;     /* whole blocks */
    uint32_t entries_count; /* entries in the block begun behind them */
    struct run_key last_key;
    bool has_last_key;
    bool is_finished;
    uint8_t out[OUT_BLOCKS * RUN_BLOCK_BYTES];
};

enum err
run_writer_new(const char *dir, const struct run_info *info, uint32_t partition_bits,
               struct run_writer **ret_writer, struct diag *diag)
{
    CLEANUP(run_writer_free) struct run_writer *writer = NULL;
    char name[RUN_NAME_BYTES];
    char path[FILE_PATH_MAX];
    enum err err = ERR_OK;

    assert(partition_bits <= RUN_PARTITION_BITS_MAX);
    writer = MEM_NEW(struct run_writer, 1);
    if (writer == NULL)
        return ERR_NOMEM;
    writer->file = MEM_NEW(struct run_file, 1);
    writer->parts = MEM_NEW(struct run_part *, (size_t)1 << partition_bits);
    writer->table = MEM_NEW(struct run_partition_disk, (size_t)1 << partition_bits);
    writer->dir = mem_strdup(dir);
    if (writer->file != NULL) {
        writer->file->fd = -1;
        atomic_init(&writer->file->holders, 1);
        writer->file->partition_bits = partition_bits;
        writer->file->info = *info;
        writer->file->info.keys = 0;
    }
    if (writer->file == NULL || writer->parts == NULL || writer->table == NULL ||
        writer->dir == NULL)
        return ERR_NOMEM;
    run_name(info->covered_from, info->covered_to, ".run", name);
    if (!file_path(path, dir, name)) {
        diag_set(diag, "%s: the path of the folder is too long", dir);
        return ERR_INVALID;
    }
    writer->file->path = mem_strdup(path);
    run_name(info->covered_from, info->covered_to, ".run.tmp", name);
    if (writer->file->path == NULL || !file_path(path, dir, name))
        return ERR_NOMEM;
    err = file_open(path, FILE_REPLACE, &writer->file->fd, diag);
    if (err != ERR_OK)
        return err;
    writer->tmp_path = mem_strdup(path);
    if (writer->tmp_path == NULL) {
        const enum err unlinked = file_unlink(path, NULL); /* else the next open does it */

        (void)unlinked;
        return ERR_NOMEM;
    }
    writer->next_block = 1;
    writer->first_block = 1;
    *ret_writer = MOVE(writer);
    return ERR_OK;
}

void
run_writer_free(struct run_writer **writer_ptr)
{
    struct run_writer *writer = *writer_ptr;

    *writer_ptr = NULL;
    if (writer == NULL)
        return;
    if (writer->tmp_path != NULL && !writer->is_finished) {
        const enum err err = file_unlink(writer->tmp_path, NULL); /* else the next open does it */

        (void)err;
    }
    if (writer->file != NULL)
        run_parts_free(&writer->parts, writer->file->partition_bits);
    mem_free(writer->parts);
    run_file_free(&writer->file);
    mem_free(writer->table);
    mem_free(writer->dir);
    mem_free(writer->tmp_path);
    mem_free(writer->filter_keys);
    mem_free(writer->first_keys);
    mem_free(writer);
}

static enum err
write_out(struct run_writer *writer, struct diag *diag)
{
    const uint64_t from = writer->next_block * RUN_BLOCK_BYTES;
    const uint64_t bytes = (uint64_t)writer->out_count * RUN_BLOCK_BYTES;
    enum err err = ERR_OK;

    if (writer->out_count == 0)
        return ERR_OK;
    err = file_write_at(writer->file->fd, writer->tmp_path, writer->out, (size_t)bytes, from, diag);
    if (err == ERR_OK)
        err = file_write_back(writer->file->fd, writer->tmp_path, from, from + bytes, diag);
    if (err != ERR_OK)
        return err;
    writer->next_block += writer->out_count;
    writer->out_count = 0;
    return ERR_OK;
}

/* Closes the block begun: zeros behind it, head before it. */
static enum err
end_block(struct run_writer *writer, struct diag *diag)
{
    uint8_t *block = writer->out + (size_t)writer->out_count * RUN_BLOCK_BYTES;
    const size_t used = RUN_BLOCK_HEAD_BYTES +
                        writer->entries_count * run_entry_bytes(writer->file->info.payload_bytes);
    const uint64_t number = writer->next_block + writer->out_count;
    uint32_t crc = 0;

    if (writer->entries_count == 0)
        return ERR_OK;
    memset(block + used, 0, RUN_BLOCK_BYTES - used);
    memcpy(block + 4, &writer->entries_count, 4);
    memcpy(block + 8, &number, 8);
    crc = crc32c(0, block + 4, RUN_BLOCK_BYTES - 4);
    memcpy(block, &crc, 4);
    writer->out_count++;
    writer->entries_count = 0;
    return writer->out_count == OUT_BLOCKS ? write_out(writer, diag) : ERR_OK;
}

/* Room for one more number at the end of a growing array. */
static bool
reserve_u64(uint64_t **array, size_t *max, size_t count)
{
    uint64_t *grown = NULL;
    const size_t wanted = *max == 0 ? 4096 : *max * 2;

    if (count < *max)
        return true;
    grown = mem_realloc(*array, wanted * sizeof(uint64_t));
    if (grown == NULL)
        return false;
    *array = grown;
    *max = wanted;
    return true;
}

enum err
run_writer_add(struct run_writer *writer, const struct run_entry *entry, struct diag *diag)
{
    const uint8_t payload_bytes = writer->file->info.payload_bytes;
    const uint32_t partition = run_partition_of(entry->key, writer->file->partition_bits);
    uint8_t *place = NULL;
    enum err err = ERR_OK;

    if (writer->has_last_key) {
        const int order = run_key_compare(writer->last_key, entry->key);

        assert(order <= 0);
        if (order == 0)
            return ERR_OK;
    }
    while (writer->partition < partition) {
        err = run_writer_end_partition(writer, diag);
        if (err != ERR_OK)
            return err;
    }
    if (!reserve_u64(&writer->filter_keys, &writer->filter_keys_max, writer->keys) ||
        !reserve_u64(&writer->first_keys, &writer->first_keys_max, writer->block_count))
        return ERR_NOMEM;
    if (writer->entries_count == 0)
        writer->first_keys[writer->block_count++] = entry->key.hi;
    place = writer->out + (size_t)writer->out_count * RUN_BLOCK_BYTES + RUN_BLOCK_HEAD_BYTES +
            writer->entries_count * run_entry_bytes(payload_bytes);
    memcpy(place, &entry->key.hi, 8);
    memcpy(place + 8, &entry->key.lo, 8);
    if (payload_bytes != 0)
        memcpy(place + 16, &entry->payload, 4);
    writer->filter_keys[writer->keys++] = run_filter_key(entry->key);
    writer->last_key = entry->key;
    writer->has_last_key = true;
    if (++writer->entries_count == run_block_entries(payload_bytes))
        return end_block(writer, diag);
    return ERR_OK;
}

/* Builds filter and index in one piece of memory, exactly as they will stand in the file. */
static enum err
build_lookup(struct run_writer *writer, struct run_part *part)
{
    size_t cell_bytes = 0;
    size_t used = 0;
    size_t bytes = 0;
    enum err err = ERR_OK;

    if (writer->keys > UINT32_MAX / 4) /* a partition grows that large only if keys are no hashes */
        return ERR_FULL;
    filter_measure((uint32_t)writer->keys, &part->filter);
    cell_bytes = ((size_t)part->filter.cell_count * 2 + 7) & ~(size_t)7;
    used = cell_bytes + (size_t)writer->block_count * 8;
    bytes = (used + RUN_BLOCK_BYTES - 1) / RUN_BLOCK_BYTES * RUN_BLOCK_BYTES;
    part->lookup = mem_zalloc(bytes, 1);
    if (part->lookup == NULL)
        return ERR_NOMEM;
    part->lookup_bytes = (uint32_t)bytes;
    part->filter.cells = part->lookup;
    part->first_keys = (const uint64_t *)((const char *)part->lookup + cell_bytes);
    memcpy((char *)part->lookup + cell_bytes, writer->first_keys, (size_t)writer->block_count * 8);
    err = filter_build(&part->filter, writer->filter_keys, (uint32_t)writer->keys);
    part->keys = writer->keys;
    part->block_count = writer->block_count;
    part->first_block = writer->first_block;
    return err;
}

enum err
run_writer_end_partition(struct run_writer *writer, struct diag *diag)
{
    CLEANUP(run_part_free) struct run_part *part = NULL;
    struct run_partition_disk *disk = &writer->table[writer->partition];
    enum err err = ERR_OK;

    assert(writer->partition < (UINT32_C(1) << writer->file->partition_bits));
    if (writer->keys == 0) {
        writer->partition++;
        return ERR_OK;
    }
    err = end_block(writer, diag);
    if (err == ERR_OK)
        err = write_out(writer, diag);
    if (err != ERR_OK)
        return err;
    part = MEM_NEW(struct run_part, 1);
    if (part == NULL)
        return ERR_NOMEM;
    atomic_init(&part->holders, 1);
    part->file = writer->file;
    run_file_hold(writer->file);
    err = build_lookup(writer, part);
    if (err == ERR_OK)
        err = file_write_at(writer->file->fd, writer->tmp_path, part->lookup, part->lookup_bytes,
                            writer->next_block * RUN_BLOCK_BYTES, diag);
    if (err != ERR_OK)
        return err;
    *disk = (struct run_partition_disk){
        .offset = writer->first_block * RUN_BLOCK_BYTES,
        .keys = writer->keys,
        .filter_seed = part->filter.seed,
        .block_count = writer->block_count,
        .cell_count = part->filter.cell_count,
        .segment_cells = part->filter.segment_cells,
        .start_cells = part->filter.start_cells,
        .lookup_bytes = part->lookup_bytes,
        .lookup_crc = crc32c(0, part->lookup, part->lookup_bytes),
    };
    writer->next_block += part->lookup_bytes / RUN_BLOCK_BYTES;
    writer->file->info.keys += writer->keys;
    writer->parts[writer->partition++] = MOVE(part);
    writer->first_block = writer->next_block;
    writer->keys = 0;
    writer->block_count = 0;
    return ERR_OK;
}

uint32_t
run_writer_partition(const struct run_writer *writer)
{
    return writer->partition;
}

struct run_part *const *
run_writer_parts(const struct run_writer *writer)
{
    return writer->parts;
}

/* Table, then header: without it the file is no run. */
static enum err
write_table_and_header(struct run_writer *writer, struct diag *diag)
{
    CLEANUP(mem_free_ptr) uint8_t *table = NULL;
    struct run_file *file = writer->file;
    const size_t table_used = sizeof(struct run_partition_disk) << file->partition_bits;
    const size_t table_bytes =
        (table_used + RUN_BLOCK_BYTES - 1) / RUN_BLOCK_BYTES * RUN_BLOCK_BYTES;
    const uint64_t table_offset = writer->next_block * RUN_BLOCK_BYTES;
    uint8_t block[RUN_BLOCK_BYTES] = {0};
    struct run_header_disk header;
    uint32_t crc = 0;
    enum err err = ERR_OK;

    table = mem_zalloc(table_bytes, 1);
    if (table == NULL)
        return ERR_NOMEM;
    memcpy(table, writer->table, table_used);
    file->info.bytes = table_offset + table_bytes;
    header = (struct run_header_disk){
        .version = RUN_FILE_VERSION,
        .payload_bytes = file->info.payload_bytes,
        .covered_from = file->info.covered_from,
        .covered_to = file->info.covered_to,
        .keys = file->info.keys,
        .table_offset = table_offset,
        .file_bytes = file->info.bytes,
        .partition_bits = file->partition_bits,
        .table_crc = crc32c(0, table, table_bytes),
    };
    memcpy(header.magic, "potikrun", sizeof(header.magic));
    memcpy(header.owner, file->info.owner, RUN_OWNER_BYTES);
    memcpy(block, &header, sizeof(header));
    crc = crc32c(0, block, RUN_BLOCK_BYTES - 4);
    memcpy(block + RUN_BLOCK_BYTES - 4, &crc, 4);
    err = file_write_at(file->fd, writer->tmp_path, table, table_bytes, table_offset, diag);
    if (err == ERR_OK)
        err = file_write_at(file->fd, writer->tmp_path, block, sizeof(block), 0, diag);
    return err;
}

enum err
run_writer_finish(struct run_writer *writer, struct run_file **ret_file,
                  struct run_part ***ret_parts, struct diag *diag)
{
    const bool is_replacement = file_exists(writer->file->path); /* of a run that loses keys */
    enum err err = ERR_OK;

    while (err == ERR_OK && writer->partition < (UINT32_C(1) << writer->file->partition_bits))
        err = run_writer_end_partition(writer, diag);
    if (err == ERR_OK)
        err = write_table_and_header(writer, diag);
    if (err == ERR_OK)
        err = file_sync_bulk(writer->file->fd, writer->tmp_path, diag);
    if (err == ERR_OK)
        err = file_rename(writer->tmp_path, writer->file->path, diag);
    if (err != ERR_OK)
        return err;
    err = file_sync_dir(writer->dir, diag);
    if (err != ERR_OK && is_replacement) {
        writer->is_finished = true; /* the run it replaced is gone: this one must stay */
        return err;
    }
    if (err != ERR_OK) {
        char *path = writer->tmp_path; /* it has its name already: that is what goes */

        writer->tmp_path = writer->file->path;
        writer->file->path = path;
        return err;
    }
    writer->is_finished = true;
    *ret_file = writer->file;
    run_file_hold(writer->file);
    *ret_parts = writer->parts;
    writer->parts = NULL;
    return ERR_OK;
}
