/*
 * store_embedded - inside of the embedded store: what commit.c, embedded.c and scrub.c share.
 *
 * Layer 3 (store/embedded). Lock order: commit_lock, then the ledger's own lock or wait_lock, each
 * for a few instructions.
 */
#ifndef POTIK_STORE_EMBEDDED_STORE_EMBEDDED_H
#define POTIK_STORE_EMBEDDED_STORE_EMBEDDED_H

#include "store/embedded/embedded.h"
#include "store/embedded/freed.h"
#include "store/embedded/id_index.h"
#include "store/embedded/ledger.h"

/* Where scrubbing stands. The keeper's. */
struct scrub {
    struct segment_reader reader; /* open on the segment below; path NULL: closed */
    struct segment_place place;
    char path[FILE_PATH_MAX];
    uint64_t first_seq; /* of the segment being read, or to be read next */
    int64_t next_ns;    /* steady time of the next step */
    bool is_at_runs;
};

struct embedded {
    struct store base;
    struct embedded_config config;
    char *data_dir;
    struct ledger *ledger;
    struct id_index ids;
    struct freed freed;
    uint64_t generation;
    pthread_mutex_t commit_lock;
    atomic_bool is_fatal;
    atomic_bool is_fatal_told;
    atomic_bool is_index_damaged;
    /* room on the disk, looked at every 100 ms at most */
    _Atomic int64_t space_checked_ns;
    atomic_bool is_disk_full;
    /* readers that sleep */
    pthread_mutex_t wait_lock;
    pthread_cond_t wait_cond;
    uint64_t wake_count; /* under wait_lock */
    atomic_uint waiters;
    struct scrub scrub;
};

/* A loop's link: its scratch, kept from batch to batch. */
struct embedded_link {
    struct store_link base;
    struct embedded *store;
    uint32_t items_max;
    struct run_key *keys;
    uint8_t *found;  /* enum found of each item */
    uint32_t *twins; /* hash table of item numbers + 1 */
    uint32_t twins_max;
    uint8_t *frame; /* struct frame_header, payload, zeros */
    size_t frame_bytes_max;
};

/* commit.c */
void embedded_submit(struct store_link *base, struct store_batch *batch);
void embedded_link_free(struct embedded_link **link);
void embedded_show_bytes(struct embedded *store); /* to /metrics */
/* embedded.c */
bool embedded_is_disk_full(struct embedded *store);
void embedded_tell_waiters(struct embedded *store);
void embedded_fail(struct embedded *store, const char *reason);
struct store_position embedded_position(const struct embedded *store, uint64_t seq);
/* scrub.c: one step, if it is time for one. ERR_CORRUPT names file and offset. */
MUST_USE enum err embedded_scrub(struct embedded *store, struct diag *diag);
void embedded_scrub_close(struct embedded *store);

#endif
