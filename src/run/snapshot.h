/*
 * snapshot - the runs of a set at one moment, handed out without a lock.
 *
 * Layer 2 (run). The current snapshot is published as one 64-bit word: its slot (upper 16 bits) and
 * how often it was handed out (lower 48). To take it is one fetch_add, which names the slot and
 * counts at once, so no reader ever waits for a writer that lost its processor (the keeper runs
 * when nobody else does). Who replaces it learns from the exchange how often it was handed out and
 * adds that to the snapshot's balance, from which each return takes one; at zero it is freed, by
 * whoever came last.
 */
#ifndef POTIK_RUN_SNAPSHOT_H
#define POTIK_RUN_SNAPSHOT_H

#include "run/run_file.h"

#define SNAPSHOT_SLOTS 256

/* One run as a snapshot sees it. parts[i] NULL: no keys there, or a merge has taken them over. */
struct run_view {
    uint64_t covered_from;
    uint64_t covered_to;
    uint64_t keys;
    uint64_t file_bytes;
    uint32_t partition_bits;
    struct run_part **parts;
};

struct snapshot_box {
    _Atomic uint64_t head;
    _Atomic(struct run_snapshot *) slots[SNAPSHOT_SLOTS];
};

struct run_snapshot {
    struct snapshot_box *box;
    _Atomic int64_t balance;
    uint32_t slot;
    uint64_t covered;
    uint64_t keys;
    uint64_t file_bytes;
    uint64_t memory_bytes;
    uint32_t view_count;
    struct run_view views[];
};

/* A snapshot of these views, their parts held. */
MUST_USE enum err snapshot_new(const struct run_view *views, uint32_t view_count, uint64_t covered,
                               struct run_snapshot **ret_snapshot);
/* One never published. */
void snapshot_discard(struct run_snapshot **snapshot);

/* Makes it the current one; the one before goes when its last holder does. One publisher at a time.
 * ERR_FULL: all slots are taken by snapshots still held; nothing has changed. */
MUST_USE enum err snapshot_publish(struct snapshot_box *box, struct run_snapshot *snapshot);
struct run_snapshot *snapshot_take(struct snapshot_box *box);
/* Retires the current one; the box is then empty. */
void snapshot_box_close(struct snapshot_box *box);

#endif
