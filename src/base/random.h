/*
 * random - bytes nobody can guess (the kernel's), or a seeded stream for tests and demo data.
 *
 * Layer 0. random_system: any thread. A seeded source (xoshiro256++, seeded by splitmix64):
 * one thread at a time; the same seed gives the same bytes on every machine.
 */
#ifndef POTIK_BASE_RANDOM_H
#define POTIK_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random_source {
    void (*fill)(struct random_source *source, void *bytes, size_t len);
    uint64_t state[4];
};

struct random_source *random_system(void); /* shared; never fails (aborts if the kernel has none) */
void random_seeded_init(struct random_source *source, uint64_t seed);
void random_fill(struct random_source *source, void *bytes, size_t len);
uint64_t random_u64(struct random_source *source);
uint64_t random_below(struct random_source *source, uint64_t bound); /* 0 .. bound−1, unbiased */
double random_unit(struct random_source *source);                    /* [0, 1) */
/* How long to wait before the next try: *wait_ms doubles from min_ms (0: the first) to max_ms; what
 * is told is that, less up to half, so that many do not come back at once. */
int64_t random_backoff_ms(int64_t *wait_ms, int64_t min_ms, int64_t max_ms);

#endif
