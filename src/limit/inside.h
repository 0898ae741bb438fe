/*
 * inside - the tables of limits, as local.c counts in them and share.c hands on what was counted.
 *
 * Layer 3 (limit), seen by this room alone.
 */
#ifndef POTIK_LIMIT_INSIDE_H
#define POTIK_LIMIT_INSIDE_H

#include "limit/bucket.h"
#include "limit/limit.h"
#include "limit/share.h"

#include <sched.h>
#include <stdatomic.h>

#define LIMIT_WAYS 8
#define LIMIT_LOCKS 64
#define LIMIT_SPINS 100 /* then the holder of a lock has lost its core */

struct entry {
    uint64_t hash;                     /* of a free one anything: its buckets are full */
    int64_t full_ns[LIMIT_WHAT_COUNT]; /* bucket.h; of a limit that is absent 0 */
};

/* Of the entry at the same place: what others have not been told of it. */
struct share {
    uint64_t id;
    int64_t untold_ns[LIMIT_WHAT_COUNT];
    uint32_t line; /* the connection over which the rest of what is owed is known; see share.c */
    bool is_queued;
};

struct table {
    struct entry *entries; /* NULL: no limit for this who */
    struct share *shares;  /* NULL: counted for this process alone */
    uint64_t set_mask;
    struct bucket_rate rates[LIMIT_WHAT_COUNT]; /* per_second 0: no limit */
};

struct limit {
    uint64_t key[3]; /* of the ids' hash; the last two odd */
    struct table tables[LIMIT_WHO_COUNT];
    _Atomic bool locks[LIMIT_LOCKS];
    struct queue *queue; /* share.c; NULL: counted for this process alone */
    enum limit_fallback fallback;
    _Atomic bool is_away;
    _Atomic uint32_t line;
};

static inline void
limit_lock(_Atomic bool *taken)
{
    for (unsigned tries = 1; atomic_exchange_explicit(taken, true, memory_order_acquire); tries++)
        if (tries % LIMIT_SPINS == 0)
            (void)sched_yield();
}

static inline void
limit_unlock(_Atomic bool *taken)
{
    atomic_store_explicit(taken, false, memory_order_release);
}

/* Of a set, and of the entries in it. */
static inline _Atomic bool *
limit_lock_of(struct limit *limit, uint64_t set)
{
    return &limit->locks[set % LIMIT_LOCKS];
}

/* share.c. Under the entry's lock, all but the first two. What is untold stays within
 * SHARE_UNTOLD_NS_MAX, and what the rate has let in since: no sum overflows. */
#define SHARE_UNTOLD_NS_MAX (INT64_MAX / 2)
MUST_USE enum err share_init(struct limit *limit);
void share_fini(struct limit *limit);
/* The entry at `place` is of `id` from now on. */
void share_begin(struct limit *limit, enum limit_who who, uint64_t place, uint64_t id);
/* So much was counted, or less than 0: given back. */
void share_add(struct limit *limit, enum limit_who who, uint64_t place,
               const int64_t cost_ns[LIMIT_WHAT_COUNT]);
/* The entry has something to tell for the first time. */
void share_enqueue(struct limit *limit, enum limit_who who, uint64_t place);

/* share_add of costs that had room in the bucket. */
static inline void
share_add_few(struct limit *limit, enum limit_who who, uint64_t place,
              const int64_t cost_ns[LIMIT_WHAT_COUNT])
{
    struct share *share = &limit->tables[who].shares[place];

#pragma GCC unroll 3
    for (int what = 0; what < LIMIT_WHAT_COUNT; what++)
        share->untold_ns[what] += cost_ns[what];
    if (__builtin_expect(!share->is_queued, false))
        share_enqueue(limit, who, place);
}

#endif
