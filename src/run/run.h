/*
 * run - sets of 128-bit keys that only grow, kept on disk in immutable sorted runs.
 *
 * Layer 2, a room of its own: the id index (no payload) and the warehouse's person map (payload =
 * dense person id) stand on it. Why it is made this way: docs/adr/0003-runs.md; bytes: run_file.h
 * and docs/FORMATS.md.
 *
 * Keys are keyed hashes, so uniform; they are ordered by (hi, lo). A run covers a stretch (from,
 * to] of its owner's count (a ledger's seqs, a project's person ids); the runs of a set cover (0,
 * covered] without gap or overlap. A run is cut by hash prefix into partitions, each with a
 * binary-fuse filter of 16 bits a key in memory and a sparse index of its blocks; a probe reads a
 * block (pread) only where a filter says "perhaps" (1 in 65,536 when the key is absent). Memory:
 * about 2.3 bytes a key.
 *
 * Threads: probes by any thread, on a snapshot, without a lock. run_set_add by one thread at a time
 * (the loader), run_set_merge_step and run_set_scrub_step by one thread at a time (the keeper),
 * beside each other.
 */
#ifndef POTIK_RUN_RUN_H
#define POTIK_RUN_RUN_H

#include "base/diag.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct run_key {
    uint64_t hi;
    uint64_t lo;
};
/* payload is kept only in sets with payload_bytes 4, and 0 else. */
struct run_entry {
    struct run_key key;
    uint32_t payload;
};
#define RUN_OWNER_BYTES 16

static inline int
run_key_compare(struct run_key a, struct run_key b)
{
    if (a.hi != b.hi)
        return a.hi < b.hi ? -1 : 1;
    return (a.lo > b.lo) - (a.lo < b.lo);
}

struct run_set_config {
    const char *dir; /* created if absent (its parent must exist); *.run files live here */
    uint8_t owner[RUN_OWNER_BYTES]; /* ledger id or the like: runs of another owner are discarded */
    uint8_t payload_bytes;          /* 0 or 4: runs with another are discarded */
    uint64_t covered_max;           /* runs that cover more than this are discarded */
    uint32_t merge_width;    /* that many neighbours of one tier are merged: 2 … 16; 0 = 4 */
    uint32_t partition_keys; /* target keys of a partition: 2^10 … 2^24; 0 = 2^19 */
    /* Told of each file that open discards, and why; may be NULL. */
    void (*discarded)(void *state, const char *path, const char *why);
    void *discarded_state;
};

struct run_set;
/*
 * Opens what stands in `dir`. Leftovers (*.tmp, runs a merge has replaced) are removed. A run that
 * is damaged (set aside as NAME.damaged), of another owner, payload or beyond covered_max (removed)
 * is discarded with all after it: all runs can be rebuilt, so ask run_set_covered() and add the
 * rest again. ERR_TOO_NEW: a newer format. ERR_IO, ERR_NOMEM, ERR_STORAGE_FULL.
 */
MUST_USE enum err
run_set_open(const struct run_set_config *config, struct run_set **ret_set, struct diag *diag);
/* A merge under way is called off. Snapshots must be freed before. Takes NULL. */
void run_set_close(struct run_set **set);

/* Everything up to here is in the set. */
uint64_t run_set_covered(struct run_set *set);

/*
 * Writes, syncs and publishes one run that covers (run_set_covered(), covered_to]. Sorts `entries`
 * in place; a key that stands twice keeps its lowest payload. count 0 is allowed (covers a stretch
 * without keys). On error nothing has changed: ERR_STORAGE_FULL, ERR_IO, ERR_NOMEM.
 */
MUST_USE enum err run_set_add(struct run_set *set, struct run_entry *entries, size_t count,
                              uint64_t covered_to, struct diag *diag);

/*
 * One step of merging (one partition; well under 1 s). *ret_did_work false: nothing to merge. On
 * error the merge is called off (its runs stay as they were) and may be tried again. ERR_CORRUPT
 * names file and offset.
 */
MUST_USE enum err run_set_merge_step(struct run_set *set, bool *ret_did_work, struct diag *diag);
/*
 * The keeper: one step of taking `keys` (rising, each once) out of the set. A run that holds any is
 * written anew, alone, as merges write, under its name; a merge under way is finished before.
 * Another run at each time, until *ret_did_work is false: then no run holds any. While that lasts
 * some keys are gone and others not, and run_set_merge_step goes on with a run begun. Errors as
 * there.
 */
MUST_USE enum err run_set_remove_step(struct run_set *set, const struct run_key *keys,
                                      uint32_t count, bool *ret_did_work, struct diag *diag);
/* Reads and checks about bytes_max of blocks further on, round after round. *ret_is_round_done: all
 * have been read once. */
MUST_USE enum err run_set_scrub_step(struct run_set *set, size_t bytes_max, bool *ret_is_round_done,
                                     struct diag *diag);

struct run_set_stats {
    uint64_t keys;
    uint64_t file_bytes;
    uint64_t memory_bytes; /* filters and indexes; a merge's working memory left out */
    uint64_t covered;
    uint32_t runs;
};
void run_set_stats(struct run_set *set, struct run_set_stats *ret_stats);

/* --- probing ------------------------------------------------------------------------------- */

/* The runs at one moment; they stay readable, files included, until it is freed. Never NULL. */
struct run_snapshot;
struct run_snapshot *run_set_snapshot(struct run_set *set);
void run_snapshot_free(struct run_snapshot **snapshot); /* takes NULL */
uint64_t run_snapshot_covered(const struct run_snapshot *snapshot);

/*
 * Looks for many keys at once, in the runs that cover anything beyond `covered_after` (0: all of
 * them). found[i] is set to 1 where keys[i] stands in one, and payloads[i] to its payload (payloads
 * may be NULL); others are left as they are, and keys with found[i] != 0 at the call are not looked
 * for. No lock is taken. ERR_CORRUPT (file and offset in diag), ERR_IO: some found[i] may be set
 * already.
 */
MUST_USE enum err run_snapshot_probe(const struct run_snapshot *snapshot, uint64_t covered_after,
                                     const struct run_key *keys, uint32_t count, uint8_t *found,
                                     uint32_t *payloads, struct diag *diag);

/* --- doctor -------------------------------------------------------------------------------- */

/* What a run file says of itself. */
struct run_info {
    uint8_t owner[RUN_OWNER_BYTES];
    uint64_t covered_from;
    uint64_t covered_to;
    uint64_t keys;
    uint64_t bytes;
    uint8_t payload_bytes;
};
/* Reads the whole file: every checksum, the order of keys, each key against its filter. ERR_CORRUPT
 * (offset in *ret_offset and words in diag), ERR_TOO_NEW, ERR_IO, ERR_NOMEM, ERR_ABSENT. */
MUST_USE enum err run_check_file(const char *path, struct run_info *ret_info, uint64_t *ret_offset,
                                 struct diag *diag);

#endif
