/*
 * persons - the map of a project from person key to dense id 0, 1, 2 … in commit order.
 *
 * Layer 4. A key is the 128-bit SipHash of the text under the warehouse's secret. Ids that a seal
 * has covered stand in sorted runs (run/run.h, payload = id); those given since ("young") in a hash
 * table; and two bounded tables ("hot" and, once hot is full, the former hot) remember what was
 * looked up in the runs, so that an active person costs no read. The order in which ids are given
 * is that of the stream alone, so a rebuild and a replay after a crash give the same ids again.
 *
 * Threads: the loader resolves and seals; any thread may find (under the lock that the loader holds
 * only while it changes a table); the keeper merges and scrubs the runs.
 */
#ifndef POTIK_WAREHOUSE_PERSONS_H
#define POTIK_WAREHOUSE_PERSONS_H

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"
#include "run/run.h"
#include <pthread.h>
#include <stdint.h>

#define PERSONS_SECRET_BYTES 16
#define PERSONS_HOT_SLOTS_MAX (1u << 20) /* 24 MiB; twice, of a project with very many persons */
#define PERSONS_MAX UINT32_MAX

struct persons_slot {
    struct run_key key;
    uint32_t id;
    uint32_t is_used;
};
struct persons_table {
    struct persons_slot *slots;
    uint32_t slot_count; /* a power of two, or 0 */
    uint32_t used;
};
struct persons {
    const uint8_t *secret;         /* PERSONS_SECRET_BYTES, the warehouse's */
    uint64_t count;                /* ids given: 0 … count−1 */
    uint64_t sealed;               /* of them, in runs */
    struct run_set *runs;          /* NULL until the first seal */
    struct run_snapshot *snapshot; /* the loader's */
    pthread_mutex_t lock;          /* of young, and of `runs` becoming non-NULL, against finders */
    struct persons_table young;
    struct persons_table hot;
    struct persons_table warm; /* what was hot before */
};

void persons_init(struct persons *persons, const uint8_t *secret);
void persons_fini(struct persons *persons);
/* Where the runs stand, and whose they are: a set of another owner is discarded. */
struct persons_runs {
    const char *dir;
    const uint8_t *owner; /* RUN_OWNER_BYTES */
};
/* Opens the runs that cover persons 0 … sealed−1. ERR_CORRUPT: they cover less (rebuild the
 * project). */
MUST_USE enum err persons_open_runs(struct persons *persons, const struct persons_runs *runs,
                                    uint64_t sealed, struct diag *diag);

/* The loader's: the id of the person with this key text, given now if new. ERR_FULL at 2^32 − 1. */
MUST_USE enum err
persons_resolve(struct persons *persons, struct slice text, uint32_t *ret_id, struct diag *diag);
/* The loader's: the young ids become a run that covers all given so far. `runs` names the folder
 * (used at the first). */
MUST_USE enum err
persons_seal(struct persons *persons, const struct persons_runs *runs, struct diag *diag);
/* Forgets what only saves reads: an idle project. */
void persons_shrink(struct persons *persons);

/* Any thread. ERR_ABSENT: nobody of that key has been loaded. */
MUST_USE enum err
persons_find(struct persons *persons, struct slice text, uint32_t *ret_id, struct diag *diag);

#endif
