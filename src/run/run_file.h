/*
 * run_file - one run on disk: its bytes, its writer, its reader.
 *
 * Layer 2 (run). A file is written by one thread, complete before it gets its name, never changed
 * after. All numbers are little-endian. The file is a row of blocks of 4,096 bytes:
 *
 *   header       block 0: struct run_header_disk, zeros, and in the last 4 bytes the CRC32C of the
 * 4,092 before partitions   one after the other, in the order of their prefixes; of each: keys
 * blocks: CRC32C of the 4,092 bytes after it (4), count (4), number of this block in the file (8),
 * then count entries of 16 bytes (hi, lo) or 20 (and payload), rising, then zeros. All but the last
 * are full lookup     the filter's cells (2 bytes each), zeros up to 8 bytes, hi of the first key
 * of each block of keys (8 bytes each), zeros up to a whole block table        one struct
 * run_partition_disk a partition, zeros up to a whole block
 *
 * Every byte lies under a CRC32C: header and blocks under their own, each lookup under one in the
 * table, the table under one in the header. A run with `partition_bits` b has 2^b partitions; a key
 * belongs to the one numbered by its b leading bits. A partition without keys has no blocks. Names:
 * <covered_from>-<covered_to>.run, 20 digits each.
 */
#ifndef POTIK_RUN_RUN_FILE_H
#define POTIK_RUN_RUN_FILE_H

#include "base/file.h"
#include "run/filter.h"
#include "run/run.h"
#include <stdatomic.h>

#define RUN_FILE_VERSION 1
#define RUN_BLOCK_BYTES 4096
#define RUN_BLOCK_HEAD_BYTES 16
#define RUN_PARTITION_BITS_MAX 16
#define RUN_NAME_BYTES 64 /* of "<from>-<to>.run.tmp" and its NUL */

struct run_header_disk {
    char magic[8]; /* "potikrun" */
    uint32_t version;
    uint32_t payload_bytes;
    uint8_t owner[RUN_OWNER_BYTES];
    uint64_t covered_from; /* exclusive */
    uint64_t covered_to;   /* inclusive */
    uint64_t keys;
    uint64_t table_offset;
    uint64_t file_bytes;
    uint32_t partition_bits;
    uint32_t table_crc; /* of the table with its zeros */
};
struct run_partition_disk {
    uint64_t offset; /* of the first block of keys; the lookup follows the last */
    uint64_t keys;
    uint64_t filter_seed;
    uint32_t block_count;
    uint32_t cell_count;
    uint32_t segment_cells;
    uint32_t start_cells;
    uint32_t lookup_bytes; /* with its zeros */
    uint32_t lookup_crc;
};
_Static_assert(sizeof(struct run_header_disk) == 80, "as on disk");
_Static_assert(sizeof(struct run_partition_disk) == 48, "as on disk");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the structs above are the bytes");

/* An open file. Counted: by its parts and by who opened it. */
struct run_file {
    atomic_uint holders;
    atomic_bool is_superseded; /* unlinked when the last holder leaves */
    int fd;
    uint32_t partition_bits;
    struct run_info info;
    char *path;
};
/* One partition in memory. Counted: by snapshots and by the set. */
struct run_part {
    atomic_uint holders;
    struct run_file *file;
    struct filter filter;
    const uint64_t *first_keys; /* hi of each block's first key */
    uint64_t first_block;       /* number of the first block in the file */
    uint64_t keys;
    uint32_t block_count;
    uint32_t lookup_bytes;
    void *lookup; /* owned: cells and first keys as on disk */
};

static inline size_t
run_entry_bytes(uint8_t payload_bytes)
{
    return 16U + payload_bytes;
}
static inline uint32_t
run_block_entries(uint8_t payload_bytes)
{
    return (uint32_t)((RUN_BLOCK_BYTES - RUN_BLOCK_HEAD_BYTES) / run_entry_bytes(payload_bytes));
}
static inline uint32_t
run_partition_of(struct run_key key, uint32_t partition_bits)
{
    return partition_bits == 0 ? 0 : (uint32_t)(key.hi >> (64 - partition_bits));
}
static inline uint64_t
run_filter_key(struct run_key key)
{
    return key.lo ^ (key.hi * UINT64_C(0x9e3779b97f4a7c15));
}

void run_name(uint64_t covered_from, uint64_t covered_to, const char *suffix,
              char ret_name[RUN_NAME_BYTES]);
/* false: not "<20 digits>-<20 digits>.run". */
bool run_name_parse(const char *name, uint64_t *ret_from, uint64_t *ret_to);

void run_file_hold(struct run_file *file);
void run_file_free(struct run_file **file); /* one holder less; takes NULL */
void run_part_hold(struct run_part *part);
void run_part_free(struct run_part **part);

/*
 * Opens a run: header, table and lookups are read and checked, blocks of keys are not. *ret_parts:
 * 2^bits of them, NULL where a partition has no keys; freed by run_parts_free. ERR_CORRUPT with
 * offset, ERR_TOO_NEW.
 */
MUST_USE enum err
run_file_open(const char *path, struct run_file **ret_file, struct run_part ***ret_parts,
              uint64_t *ret_offset, struct diag *diag);
void run_parts_free(struct run_part ***parts, uint32_t partition_bits);

/* --- reading ------------------------------------------------------------------------------- */

/* Reads block `number` of the file and checks it. *ret_count entries stand behind its head. */
MUST_USE enum err
run_block_read(const struct run_file *file, uint64_t number, uint8_t bytes[RUN_BLOCK_BYTES],
               uint32_t *ret_count, struct diag *diag);
/* Checks a block read already. */
MUST_USE enum err
run_block_check(const struct run_file *file, uint64_t number, const uint8_t bytes[RUN_BLOCK_BYTES],
                uint32_t *ret_count, struct diag *diag);
struct run_entry run_block_entry(const uint8_t *bytes, uint32_t i, uint8_t payload_bytes);
/* Looks for one key whose filter passed. */
MUST_USE enum err run_part_find(const struct run_part *part, struct run_key key, bool *ret_is_found,
                                uint32_t *ret_payload, struct diag *diag);

/* The entries of a run in order, read in large pieces. */
struct run_cursor;
MUST_USE enum err run_cursor_new(struct run_part *const *parts, struct run_file *file,
                                 struct run_cursor **ret_cursor);
const char *run_cursor_path(const struct run_cursor *cursor);
void run_cursor_free(struct run_cursor **cursor);
/* The entry it stands on, or NULL at the end. */
const struct run_entry *run_cursor_entry(const struct run_cursor *cursor);
/* To the first, then the next entry. */
MUST_USE enum err run_cursor_next(struct run_cursor *cursor, struct diag *diag);

/* --- writing ------------------------------------------------------------------------------- */

struct run_writer;
/* Begins <dir>/<from>-<to>.run.tmp. info: owner, covered_*, payload_bytes. */
MUST_USE enum err
run_writer_new(const char *dir, const struct run_info *info, uint32_t partition_bits,
               struct run_writer **ret_writer, struct diag *diag);
/* Without run_writer_finish: the file is removed. */
void run_writer_free(struct run_writer **writer);
/* Entries rise; one equal to the last is left out. Partitions before the entry's are ended. */
MUST_USE enum err
run_writer_add(struct run_writer *writer, const struct run_entry *entry, struct diag *diag);
/* Writes out and builds the filter of the current partition and goes to the next. */
MUST_USE enum err run_writer_end_partition(struct run_writer *writer, struct diag *diag);
uint32_t run_writer_partition(const struct run_writer *writer); /* the current one: 0 … 2^bits */
/* Partitions ended so far, readable already: 2^bits places, NULL: without keys or not ended. */
struct run_part *const *run_writer_parts(const struct run_writer *writer);
/* Ends all partitions, syncs, gives the file its name, syncs the folder. Parts go to the caller. */
MUST_USE enum err run_writer_finish(struct run_writer *writer, struct run_file **ret_file,
                                    struct run_part ***ret_parts, struct diag *diag);

#endif
