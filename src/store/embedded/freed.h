/*
 * freed - ids on their way out of the index: the keys of rows that an erasure takes from the ledger
 * without a tombstone, so that their ids may be stored again. The file ids/freed.
 *
 * Layer 3 (store/embedded). At start, then the keeper's thread. Why there is such a file, and the
 * order of things: erase_free.c.
 *
 * Records, one behind the other, without room between; all numbers little-endian:
 *
 *   magic "potikfrd"; first seq of the segment that loses the rows (8); how many rows it holds
 *   without them (8); count, 1 … 65,536 (4); CRC32C of the 28 bytes before and of the keys (4);
 *   `count` keys (hi, lo) of 16 bytes
 *
 * They are appended, and taken off at the end. What is not a whole record ends the file. To lose a
 * record is safe at any time: its ids then stay refused, or are free already.
 */
#ifndef POTIK_STORE_EMBEDDED_FREED_H
#define POTIK_STORE_EMBEDDED_FREED_H

#include "store/embedded/ledger.h"

#include "run/run.h"

#define FREED_RECORD_KEYS_MAX ((uint32_t)1 << 16)
#define FREED_TAIL_KEYS_MAX ((uint32_t)1 << 20)

struct freed {
    char dir[FILE_PATH_MAX];
    char path[FILE_PATH_MAX];
    int fd;       /* −1: there is no file */
    uint64_t end; /* behind the last record */
};

/* dir: ids/. The file need not be there, nor the folder. A torn end is cut off. */
MUST_USE enum err freed_open(struct freed *freed, const char *dir, struct diag *diag);
void freed_close(struct freed *freed);

/* Appends a record; not durable before freed_sync. */
MUST_USE enum err freed_add(struct freed *freed, uint64_t first_seq, uint64_t rows,
                            const struct run_key *keys, uint32_t count, struct diag *diag);
MUST_USE enum err freed_sync(struct freed *freed, struct diag *diag);
/* Takes the last records off if the segment they tell of has not lost the rows: then the erasure
 * was cut short before its rename. Before anything else is appended or freed. */
MUST_USE enum err freed_settle(struct freed *freed, struct ledger *ledger, struct diag *diag);
/* Shows the keys of all records whose segment ends behind `covered_seq`. */
MUST_USE enum err
freed_each(struct freed *freed, struct ledger *ledger, uint64_t covered_seq,
           enum err (*each)(void *state, struct run_key key), void *state, struct diag *diag);
/* The keys of the last records, as many as FREED_TAIL_KEYS_MAX allows; the caller frees them.
 * *ret_offset: where the first of those records begins. */
MUST_USE enum err freed_read_tail(struct freed *freed, struct run_key **ret_keys,
                                  uint32_t *ret_count, uint64_t *ret_offset, struct diag *diag);
/* Takes all records from `offset` on off, durably. */
MUST_USE enum err freed_cut(struct freed *freed, uint64_t offset, struct diag *diag);

#endif
