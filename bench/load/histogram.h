/*
 * histogram - latencies, exact to 1/64, from 1 ns to about 1,000 s in 20 KiB: buckets of equal
 * width within each power of two (the shape of HdrHistogram). One thread; starts zeroed.
 */
#ifndef POTIK_BENCH_LOAD_HISTOGRAM_H
#define POTIK_BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_BUCKETS ((40 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max_ns;
};

void histogram_add(struct histogram *histogram, uint64_t value_ns);
/* The upper edge of the bucket that holds the value of that rank; share 0 … 1. 0 when empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
