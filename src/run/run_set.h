/*
 * run_set - inside of a set: what run_set.c (open, add, publish) and run_merge.c (merge, scrub)
 * share.
 *
 * Layer 2 (run). `lock` is held by those who change the list of runs (loader, keeper), for the time
 * it takes to make a snapshot, never while a file is read or written; probes never take it.
 */
#ifndef POTIK_RUN_RUN_SET_H
#define POTIK_RUN_RUN_SET_H

#include "run/snapshot.h"
#include <pthread.h>

#define RUNS_MAX 4096
#define MERGE_WIDTH_MAX 16

/* A run of the set: holds its file and its parts. While a merge goes on, parts it has taken over
 * are NULL. */
struct run {
    struct run_file *file;
    struct run_part **parts;
};

/* A merge of runs[first …], as far as it has come. The keeper's. */
struct merge {
    uint32_t first;
    uint32_t count;
    struct run_cursor *cursors[MERGE_WIDTH_MAX];
    struct run_writer *writer;
    struct run_view done;    /* the parts finished: what probes use already; under the set's lock */
    struct run_key *without; /* rising: keys that are left out; NULL: a merge proper */
    uint32_t without_count;
    uint32_t without_next; /* the first that may come yet */
    bool is_failed;        /* called off, but the old runs are not whole again yet */
};

struct run_set {
    struct run_set_config config;
    char *dir;
    pthread_mutex_t lock;
    struct run *runs; /* by covered_from; room for runs_max */
    uint32_t run_count;
    uint32_t runs_max;
    _Atomic uint64_t covered;
    struct merge *merge; /* pointer under the lock */
    struct snapshot_box box;
    /* scrub: the run (by its end), part and block to go on with */
    uint64_t scrub_to;
    uint32_t scrub_part;
    uint32_t scrub_block;
};

/* Closes both; takes an empty one. */
void run_clear(struct run *run);
/* Makes and publishes a snapshot of the list as it stands. Under the lock. */
MUST_USE enum err run_set_publish(struct run_set *set);
uint32_t run_set_partition_bits(const struct run_set *set, uint64_t keys);
/* Frees a merge with all it holds; the file it was writing is removed. */
void merge_free(struct merge **merge);

#endif
