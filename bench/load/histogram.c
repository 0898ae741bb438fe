/*
 * histogram - see histogram.h.
 */
#include "histogram.h"

static uint32_t
bucket_of(uint64_t value)
{
    uint32_t shift;
    uint32_t bucket;

    if (value < (UINT64_C(1) << HISTOGRAM_SUB_BITS))
        return (uint32_t)value;
    shift = 63U - (uint32_t)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    bucket = ((shift + 1) << HISTOGRAM_SUB_BITS) +
             (uint32_t)((value >> shift) - (UINT64_C(1) << HISTOGRAM_SUB_BITS));
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static uint64_t
upper_edge(uint32_t bucket)
{
    uint32_t shift;

    if (bucket < (1U << HISTOGRAM_SUB_BITS))
        return bucket;
    shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    return (((bucket & ((1U << HISTOGRAM_SUB_BITS) - 1)) + (UINT64_C(1) << HISTOGRAM_SUB_BITS) + 1)
            << shift) -
           1;
}

void
histogram_add(struct histogram *histogram, uint64_t value_ns)
{
    histogram->buckets[bucket_of(value_ns)]++;
    histogram->count++;
    if (value_ns > histogram->max_ns)
        histogram->max_ns = value_ns;
}

uint64_t
histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t rank = (uint64_t)(share * (double)histogram->count);
    uint64_t seen = 0;

    if (histogram->count == 0)
        return 0;
    if (rank >= histogram->count)
        rank = histogram->count - 1;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > rank)
            return upper_edge(i) < histogram->max_ns ? upper_edge(i) : histogram->max_ns;
    }
    return histogram->max_ns;
}
