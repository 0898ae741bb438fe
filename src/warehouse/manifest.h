/*
 * manifest - what stands sealed of a project: its files and all that is needed to trust them.
 *
 * Layer 4. Plain data, and its text form: warehouse/<project>/manifest.json, replaced as a whole.
 * The text is JSON for other readers (pandas, Spark …), but only ours writes it, so it is read back
 * strictly in the form it is written in, after the checksum in its last line is found right. Bytes:
 * docs/FORMATS.md.
 */
#ifndef POTIK_WAREHOUSE_MANIFEST_H
#define POTIK_WAREHOUSE_MANIFEST_H

#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"
#include "store/store.h"
#include <stdint.h>

#define MANIFEST_FORMAT 1 /* of the text */
#define MANIFEST_LAYOUT 2 /* of the files: another is rebuilt */
#define MANIFEST_BYTES_MAX ((size_t)64 << 20)
#define MANIFEST_FILES_MAX 65536
#define MANIFEST_TYPES_MAX 64
#define MANIFEST_MARKS 16

struct manifest_file {
    uint32_t number; /* rows: <number>.parquet, minima: <number>.first.parquet */
    uint32_t level;  /* 0: sealed, not split by time; 1: compacted and split */
    uint64_t rows;
    uint64_t bytes;
    uint32_t checksum; /* CRC32C of the file */
    uint64_t first_rows;
    uint64_t first_bytes;
    uint32_t first_checksum;
    struct store_position covered; /* the store's rows in it stand at or before it */
    uint64_t seq_min;
    uint64_t seq_max;
    int64_t time_min_us; /* of occurred_at */
    int64_t time_max_us;
    int64_t received_min_us;
    int64_t part_from_us; /* level 1: the stretch of time it was split to, and all its neighbours of
                             one merge, */
    int64_t part_to_us;   /* [from, to); level 0: 0 and 0 */
    uint64_t persons;     /* ids in it are below this */
    uint32_t marks[MANIFEST_MARKS]; /* the person at row rows * (i + 1) / (MARKS + 1): to cut scans
                                       evenly */
};

struct manifest_types {
    uint32_t number; /* types.<number> */
    uint32_t count;
    uint64_t bytes;
    uint32_t checksum;
};

struct manifest_learnt { /* learnt.<number> */
    uint32_t number;
    uint64_t bytes;
    uint32_t checksum;
};

struct manifest {
    uint64_t generation; /* of the store when loading began: of the ledger, or an earlier one */
    uint32_t project_id;
    uint32_t epoch;       /* rises by one with each rebuild; names the person runs */
    uint64_t number;      /* rises by one with each replacement */
    uint32_t next_number; /* of files */
    struct store_position covered;
    uint64_t seq_max;
    uint64_t rows;
    uint64_t persons;
    uint32_t type_count;
    int64_t received_min_us;
    struct manifest_types types[MANIFEST_TYPES_MAX];
    uint32_t types_count;          /* files of types */
    struct manifest_learnt learnt; /* of the sealed rows */
    uint32_t learnt_count;         /* 0 or 1 */
    struct manifest_file *files;   /* by seq_min; owned */
    uint32_t file_count;
};

void manifest_fini(struct manifest *manifest);
void manifest_write(const struct manifest *manifest, struct buf *buf);
/* ERR_CORRUPT, ERR_TOO_NEW (a format above ours), ERR_NOMEM. Another layout: ERR_INVALID. */
MUST_USE enum err
manifest_parse(struct slice text, struct manifest *ret_manifest, struct diag *diag);

/* checkpoint.json: where the store is read from at start, and what must be found then. */
struct checkpoint_project {
    uint32_t project_id;
    uint64_t number; /* of its manifest at least */
    uint64_t rows;   /* sealed then */
};
struct checkpoint {
    struct store_position position;
    struct checkpoint_project *projects; /* by id; owned */
    uint32_t project_count;
};
void checkpoint_free(struct checkpoint **checkpoint);
void checkpoint_format(const struct checkpoint *checkpoint, struct buf *buf);
MUST_USE enum err
checkpoint_parse(struct slice text, struct checkpoint **ret_checkpoint, struct diag *diag);

#endif
