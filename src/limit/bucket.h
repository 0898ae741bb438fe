/*
 * bucket - one token bucket, as one number (GCRA, the generic cell rate algorithm).
 *
 * Layer 3, pure. `full_ns` is the time at which the bucket is full again if nothing more comes. At
 * or after it, it is full. A cost pushes it on by cost ÷ rate. Costs up to the burst are let in
 * where full_ns is then at most a burst ahead of now: what has come in any stretch of time t is at
 * most (t + burst) × rate. A cost over the burst, which could never be let in so, is where the
 * bucket is full: it goes below zero, and the rate holds over the time it takes to come back.
 *
 * Times are of the steady clock. A cost becomes time by one multiplication, in units of 2^-32 ns,
 * and is rounded down to whole nanoseconds: at 100,000 requests a second one in 10,000 too much.
 */
#ifndef POTIK_LIMIT_BUCKET_H
#define POTIK_LIMIT_BUCKET_H

#include "base/clock.h"

#include <stdbool.h>
#include <stdint.h>

__extension__ typedef unsigned __int128 wide; /* products of two of 64 bits */

#define BUCKET_NS_MAX (INT64_MAX / 4) /* longer than any server runs; sums of three fit */

struct bucket_rate {
    uint64_t per_second; /* 0: no limit */
    int64_t burst_ns;
    uint64_t unit_time; /* of a cost of 1, in 2^-32 ns */
};

static inline struct bucket_rate
bucket_rate(uint64_t per_second, int64_t burst_ns)
{
    return (struct bucket_rate){
        .per_second = per_second,
        .burst_ns = burst_ns,
        .unit_time = per_second == 0 ? 0 : ((uint64_t)NS_PER_S << 32) / per_second,
    };
}

static inline int64_t
bucket_cost_ns(const struct bucket_rate *rate, uint64_t cost)
{
    const wide ns = (wide)cost * rate->unit_time >> 32;

    return ns < (wide)BUCKET_NS_MAX ? (int64_t)ns : BUCKET_NS_MAX;
}

/* How long the bucket needs to be full. */
static inline int64_t
bucket_debt_ns(int64_t full_ns, int64_t now_ns)
{
    return full_ns > now_ns ? full_ns - now_ns : 0;
}

/* 0: `cost_ns` has room beside that debt; else how long until it has. Of a cost over the burst as
 * if it were just the burst. */
static inline int64_t
bucket_wait_ns(const struct bucket_rate *rate, int64_t debt_ns, int64_t cost_ns)
{
    const int64_t asked_ns = cost_ns < rate->burst_ns ? cost_ns : rate->burst_ns;
    const int64_t wait_ns = debt_ns + asked_ns - rate->burst_ns;

    return wait_ns > 0 ? wait_ns : 0;
}

/* full_ns when that has been counted, too. */
static inline int64_t
bucket_take(int64_t full_ns, int64_t cost_ns, int64_t now_ns)
{
    const int64_t from_ns = full_ns > now_ns ? full_ns : now_ns;

    return from_ns < BUCKET_NS_MAX * 2 ? from_ns + cost_ns : from_ns;
}

uint64_t bucket_quota(const struct bucket_rate *rate); /* of a full one */
uint64_t bucket_left(const struct bucket_rate *rate, int64_t debt_ns);

#endif
