/*
 * run_keys - the i-th key of all tests of runs: looks random, is known.
 */
#ifndef POTIK_TEST_RUN_KEYS_H
#define POTIK_TEST_RUN_KEYS_H

#include "base/random.h"
#include "run/run.h"

static inline struct run_key
key_of(uint64_t i)
{
    struct random_source source;
    struct run_key key;

    random_seeded_init(&source, i);
    key.hi = random_u64(&source);
    key.lo = random_u64(&source);
    return key;
}

#endif
