/*
 * filter - "perhaps, or certainly not" for a fixed set of keys: a binary fuse filter of 16 bits.
 *
 * Layer 2 (run). Built once by one thread, then read by any. Source: Graf and Lemire, "Binary Fuse
 * Filters: Fast and Smaller Than Xor Filters" (2022), the 3-wise kind.
 *
 * The cells (16 bits each, about 1.14 for each key) are cut into segments of equal length, a power
 * of two. A key's hash names three cells, one in each of three neighbouring segments, and a
 * fingerprint of 16 bits; the cells are filled so that the three of a key XOR to its fingerprint.
 * Of keys not in the set 1 in 65,536 passes.
 */
#ifndef POTIK_RUN_FILTER_H
#define POTIK_RUN_FILTER_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

struct filter {
    uint16_t *cells; /* owned by whoever holds the filter */
    uint64_t seed;
    uint32_t cell_count; /* 0: an empty set, nothing passes */
    uint32_t segment_cells;
    uint32_t start_cells; /* first cells of keys lie below this */
};

/* The three cells and the fingerprint of one key. */
struct filter_place {
    uint32_t cells[3];
    uint16_t fingerprint;
};

static inline uint64_t
filter_hash(uint64_t key, uint64_t seed)
{
    uint64_t hash = key + seed;

    hash ^= hash >> 33;
    hash *= UINT64_C(0xff51afd7ed558ccd);
    hash ^= hash >> 33;
    hash *= UINT64_C(0xc4ceb9fe1a85ec53);
    hash ^= hash >> 33;
    return hash;
}

static inline struct filter_place
filter_place_of_hash(const struct filter *filter, uint64_t hash)
{
    __extension__ typedef unsigned __int128 wide;
    const uint32_t mask = filter->segment_cells - 1;
    const uint32_t first = (uint32_t)(((wide)hash * filter->start_cells) >> 64);
    struct filter_place place;

    place.cells[0] = first;
    place.cells[1] = (first + filter->segment_cells) ^ ((uint32_t)(hash >> 18) & mask);
    place.cells[2] = (first + 2 * filter->segment_cells) ^ ((uint32_t)hash & mask);
    place.fingerprint = (uint16_t)(hash ^ (hash >> 32));
    return place;
}

static inline struct filter_place
filter_place_of(const struct filter *filter, uint64_t key)
{
    return filter_place_of_hash(filter, filter_hash(key, filter->seed));
}

static inline void
filter_prefetch(const struct filter *filter, const struct filter_place *place)
{
    __builtin_prefetch(filter->cells + place->cells[0]);
    __builtin_prefetch(filter->cells + place->cells[1]);
    __builtin_prefetch(filter->cells + place->cells[2]);
}

static inline int
filter_passes(const struct filter *filter, const struct filter_place *place)
{
    return (uint16_t)(filter->cells[place->cells[0]] ^ filter->cells[place->cells[1]] ^
                      filter->cells[place->cells[2]]) == place->fingerprint;
}

/* Fills in everything but cells and seed for so many keys. */
void filter_measure(uint32_t key_count, struct filter *ret_filter);
/* Whether the numbers (read from a file, say) belong together, so that no probe reads outside the
 * cells. */
int filter_is_sound(const struct filter *filter);
/*
 * Fills `filter` (measured for key_count, its cells there and room for cell_count of them). Equal
 * keys may stand in `keys`; their order is changed. ERR_NOMEM (about 50 bytes a key are used
 * meanwhile).
 */
MUST_USE enum err filter_build(struct filter *filter, uint64_t *keys, uint32_t key_count);

#endif
