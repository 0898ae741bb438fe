/*
 * arena - memory of one request: many small pieces, freed in one call.
 *
 * Layer 0, one thread at a time. Blocks grow from block_bytes; the sum never passes bytes_max:
 * then arena_alloc gives NULL. arena_clear keeps the first block for reuse.
 */
#ifndef POTIK_BASE_ARENA_H
#define POTIK_BASE_ARENA_H

#include "base/slice.h"
#include <stddef.h>
#include <stdint.h>

struct arena_block;
struct arena {
    struct arena_block *first;
    struct arena_block *current;
    size_t block_bytes;
    size_t bytes_max;
    size_t bytes_used; /* of all blocks, slack included */
};

void arena_init(struct arena *arena, size_t block_bytes, size_t bytes_max);
void arena_fini(struct arena *arena);
void arena_clear(struct arena *arena);
/* Aligned to 16, not zeroed. NULL: out of memory or over bytes_max. bytes = 0 gives a valid
 * pointer. */
void *arena_alloc(struct arena *arena, size_t bytes) __attribute__((warn_unused_result));
void *
arena_zalloc(struct arena *arena, size_t count, size_t bytes) __attribute__((warn_unused_result));
/* A copy with a NUL behind it (not counted); ptr NULL when out of memory (or s.ptr NULL). */
struct slice arena_copy(struct arena *arena, struct slice s);
struct slice
arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define ARENA_NEW(arena, type, count) ((type *)arena_zalloc((arena), (count), sizeof(type)))

#endif
