/*
 * filter - building a binary fuse filter by peeling. See filter.h.
 *
 * Each key is an edge over its three cells. A cell touched by one key alone gives that key away:
 * the key is put on a stack and taken out of its two other cells, which may leave those with one
 * key alone, and so on. If all keys come off, the cells are filled in the reverse order, each key
 * by the cell that was its own. Else (seldom; for small sets more often) it starts over with the
 * next seed. Hashes are first sorted coarsely, so that neighbours in time are neighbours in
 * memory.
 */
#include "run/filter.h"
#include "base/mem.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS_MAX 100
#define SEGMENT_CELLS_MAX 262144U

/* What a cell knows while peeling. */
struct cell {
    uint64_t hashes; /* XOR of the hashes of its keys */
    uint32_t count;
};

/* A key that came off, and the cell that was its own. */
struct peeled {
    uint64_t hash;
    uint32_t cell;
};

void
filter_measure(uint32_t key_count, struct filter *ret_filter)
{
    const double keys = key_count < 2 ? 2.0 : (double)key_count;
    double factor = 0.875 + 0.25 * log(1e6) / log(keys);
    uint32_t segment_cells = 4;
    uint32_t segments = 0;

    memset(ret_filter, 0, sizeof(*ret_filter));
    if (key_count == 0)
        return;
    if (factor < 1.125)
        factor = 1.125;
    segment_cells = UINT32_C(1) << (unsigned)floor(log(keys) / log(3.33) + 2.25);
    if (segment_cells > SEGMENT_CELLS_MAX)
        segment_cells = SEGMENT_CELLS_MAX;
    segments = (uint32_t)ceil(keys * factor / segment_cells);
    /* The first and last segments are touched by fewer keys than those between them, which the
     * factor knows nothing of: with few segments, sizes that just fill the last one would need
     * dozens of seeds, or have none. One segment more makes the first seed do, nearly always. */
    segments = segments < 3 ? 3 : segments + 1;
    ret_filter->segment_cells = segment_cells;
    ret_filter->start_cells = (segments - 2) * segment_cells;
    ret_filter->cell_count = segments * segment_cells;
}

int
filter_is_sound(const struct filter *filter)
{
    const uint32_t segment = filter->segment_cells;

    if (filter->cell_count == 0)
        return filter->segment_cells == 0 && filter->start_cells == 0;
    return segment != 0 && (segment & (segment - 1)) == 0 && segment <= SEGMENT_CELLS_MAX &&
           filter->start_cells != 0 && filter->start_cells % segment == 0 &&
           (uint64_t)filter->start_cells + 2 * (uint64_t)segment == filter->cell_count;
}

/* Hashes all keys into `hashes`, ordered by their leading bits. */
static void
hash_keys(uint64_t seed, const uint64_t *keys, uint32_t key_count, uint64_t *hashes)
{
    uint32_t starts[257] = {0};

    for (uint32_t i = 0; i < key_count; i++)
        starts[(filter_hash(keys[i], seed) >> 56) + 1]++;
    for (uint32_t i = 1; i < 257; i++)
        starts[i] += starts[i - 1];
    for (uint32_t i = 0; i < key_count; i++) {
        const uint64_t hash = filter_hash(keys[i], seed);

        hashes[starts[hash >> 56]++] = hash;
    }
}

/* Takes keys off until none can be; how many came off. `queue` has room for each cell once. */
static uint32_t
peel(const struct filter *filter, struct cell *cells, uint32_t *queue, struct peeled *stack)
{
    uint32_t queued = 0;
    uint32_t count = 0;

    for (uint32_t i = 0; i < filter->cell_count; i++)
        if (cells[i].count == 1)
            queue[queued++] = i;
    while (queued > 0) {
        const uint32_t own = queue[--queued];
        const uint64_t hash = cells[own].hashes;
        struct filter_place place;

        if (cells[own].count != 1)
            continue;
        place = filter_place_of_hash(filter, hash);
        stack[count++] = (struct peeled){.hash = hash, .cell = own};
        for (uint32_t k = 0; k < 3; k++) {
            struct cell *cell = &cells[place.cells[k]];

            cell->hashes ^= hash;
            cell->count--;
            if (cell->count == 1)
                queue[queued++] = place.cells[k];
        }
    }
    return count;
}

/* Fills the cells, last peeled first: a key's own cell is then touched by no key filled in before.
 */
static void
fill(struct filter *filter, const struct peeled *stack, uint32_t count)
{
    memset(filter->cells, 0, sizeof(filter->cells[0]) * filter->cell_count);
    while (count-- > 0) {
        const struct filter_place place = filter_place_of_hash(filter, stack[count].hash);
        uint16_t value = place.fingerprint;

        for (uint32_t k = 0; k < 3; k++)
            value ^= filter->cells[place.cells[k]]; /* its own is still 0 */
        filter->cells[stack[count].cell] = value;
    }
}

static int
compare_keys(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a;
    const uint64_t right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

static uint32_t
sort_and_drop_equals(uint64_t *keys, uint32_t key_count)
{
    uint32_t kept = 0;

    qsort(keys, key_count, sizeof(keys[0]), compare_keys);
    for (uint32_t i = 0; i < key_count; i++)
        if (kept == 0 || keys[i] != keys[kept - 1])
            keys[kept++] = keys[i];
    return kept;
}

enum err
filter_build(struct filter *filter, uint64_t *keys, uint32_t key_count)
{
    CLEANUP(mem_free_ptr) struct cell *cells = NULL;
    CLEANUP(mem_free_ptr) uint32_t *queue = NULL;
    CLEANUP(mem_free_ptr) struct peeled *stack = NULL;
    CLEANUP(mem_free_ptr) uint64_t *hashes = NULL;

    if (key_count == 0)
        return ERR_OK;
    assert(filter->cell_count != 0 && filter_is_sound(filter));
    cells = MEM_NEW(struct cell, filter->cell_count);
    queue = MEM_NEW(uint32_t, filter->cell_count);
    stack = MEM_NEW(struct peeled, key_count);
    hashes = MEM_NEW(uint64_t, key_count);
    if (cells == NULL || queue == NULL || stack == NULL || hashes == NULL)
        return ERR_NOMEM;
    filter->seed = UINT64_C(0x726b2b9d438b9d4d);
    for (uint32_t attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        filter->seed = filter_hash(filter->seed, UINT64_C(0x9e3779b97f4a7c15));
        if (attempt == 2) /* most likely equal keys, which can never be peeled */
            key_count = sort_and_drop_equals(keys, key_count);
        hash_keys(filter->seed, keys, key_count, hashes);
        memset(cells, 0, sizeof(cells[0]) * filter->cell_count);
        for (uint32_t i = 0; i < key_count; i++) {
            const struct filter_place place = filter_place_of_hash(filter, hashes[i]);

            for (uint32_t k = 0; k < 3; k++) {
                cells[place.cells[k]].hashes ^= hashes[i];
                cells[place.cells[k]].count++;
            }
        }
        if (peel(filter, cells, queue, stack) == key_count) {
            fill(filter, stack, key_count);
            return ERR_OK;
        }
    }
    assert(!"binary fuse filter: 100 seeds failed"); /* chance below 10^-100 */
    return ERR_NOMEM;
}
