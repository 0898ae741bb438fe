/*
 * sample - the event number n of a seed, as JSON: ids are a function of (seed, counter), so that
 * what was meant to be sent needs no file. About 330 bytes, every piece of fixed place or small
 * table: a few memcpy each, since the generator shares its cores with the server.
 */
#ifndef POTIK_BENCH_LOAD_SAMPLE_H
#define POTIK_BENCH_LOAD_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#define SAMPLE_BYTES_MAX 512

struct sample_config {
    uint64_t seed;
    uint32_t users; /* persons, picked evenly */
    char date[11];  /* "2026-01-31": occurred_at lies within this day, by n */
};

/* Writes at most SAMPLE_BYTES_MAX bytes to `place`, without a NUL; returns their count. */
size_t sample_render(const struct sample_config *config, uint64_t counter, char *place);

/* A 64-bit mix of one number (splitmix64's finish): the generator's only randomness. */
uint64_t sample_mix(uint64_t number);

#endif
