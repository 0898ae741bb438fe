/*
 * power - the journal that the power-loss shim writes and the replayer reads.
 *
 * The shim (power_shim.c, a preload under the server, so that SQLite's and DuckDB's writes do not
 * escape it either) records every change below one folder, POWER_ROOT, and every sync that
 * succeeded. The replayer (power_replay.mjs) starts from a copy of the folder as it was before the
 * run and builds a state the disk could have been left in by a power cut: what was synced is there;
 * what was not is there, or not, or in part, by seed.
 *
 * The journal is a sequence of records, host byte order: struct power_record, then `path_bytes` of
 * path (relative to POWER_ROOT), then for RENAME as many again in `data_bytes` for the new name,
 * for WRITE the bytes written.
 *
 * A file is named by `file_id`: a number given at its creation (or at its first open, for files
 * that stood there before). A folder is named by its path. Durability, by the letter of POSIX:
 *   - bytes and length of a file: as far as records before the `begin` of a sync of that file go;
 *   - an entry of a folder (create, rename, unlink, mkdir): as far as records before the `begin` of
 * a sync of that folder go. A file's own sync does not make its name durable.
 */
#ifndef POTIK_TEST_FAULT_POWER_H
#define POTIK_TEST_FAULT_POWER_H

#include <stdint.h>

#define POWER_MAGIC UINT32_C(0x50575230)

enum power_kind {
    POWER_OPEN,     /* file_id now known as `path`; it stood there before the run */
    POWER_CREATE,   /* a new, empty file */
    POWER_WRITE,    /* data at offset */
    POWER_TRUNCATE, /* length becomes offset */
    POWER_EXTEND,   /* fallocate: length becomes at least offset */
    POWER_SYNC,     /* of a file; begin = records that were complete when it was called */
    POWER_SYNC_DIR, /* of a folder, by path */
    POWER_RENAME,
    POWER_UNLINK,
    POWER_MKDIR,
    POWER_RMDIR,
};

struct power_record {
    uint32_t magic;
    uint32_t kind;
    uint64_t file_id;
    uint64_t offset;
    uint64_t begin;
    uint32_t path_bytes;
    uint32_t data_bytes;
};

#endif
