/*
 * bucket - what of a bucket is told. See bucket.h.
 */
#include "limit/bucket.h"

static uint64_t
of_time(const struct bucket_rate *rate, int64_t ns)
{
    return (uint64_t)((wide)rate->per_second * (uint64_t)ns / (uint64_t)NS_PER_S);
}

uint64_t
bucket_quota(const struct bucket_rate *rate)
{
    return of_time(rate, rate->burst_ns);
}

uint64_t
bucket_left(const struct bucket_rate *rate, int64_t debt_ns)
{
    return debt_ns < rate->burst_ns ? of_time(rate, rate->burst_ns - debt_ns) : 0;
}
