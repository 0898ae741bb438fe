/*
 * types - the dictionary of a project: event type text → dense id 0, 1, 2 … in commit order.
 *
 * Layer 4. An id is never used again: where a type was erased there is a hole, an id without a name
 * that no name leads to; the same name coming again gets another id. Holes are made in a copy, so
 * whoever holds the older dictionary goes on with it.
 *
 * The loader's thread adds. Names of ids below a published count are read by any thread
 * without a lock: they stand in blocks that never move (block k holds 64 * 2^k names). Finding by
 * name from another thread takes the lock, which the loader holds only while it adds.
 */
#ifndef POTIK_WAREHOUSE_TYPES_H
#define POTIK_WAREHOUSE_TYPES_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define TYPES_MAX (1u << 24)
#define TYPES_BLOCK_FIRST 64
#define TYPES_BLOCKS 19 /* 64 * (2^19 − 1) > TYPES_MAX */

struct types {
    _Atomic uint32_t references; /* of types_new */
    pthread_mutex_t lock; /* of slots against readers; writers besides the loader there are none */
    uint32_t count;
    uint32_t slot_count; /* a power of two; 0 before the first */
    struct types_slot {
        uint32_t hash;
        uint32_t id_and_one; /* 0: empty */
    } * slots;
    struct slice *blocks[TYPES_BLOCKS];
    struct arena names;
};

void types_init(struct types *types);
void types_fini(struct types *types);
MUST_USE enum err types_new(struct types **ret_types);
struct types *types_hold(struct types *types);
void types_release(struct types **types); /* takes NULL */
/* Absent in a hole. */
struct slice types_name(const struct types *types, uint32_t id);
/* The loader's: the id of `name`, added if new. ERR_NOMEM, ERR_FULL. */
MUST_USE enum err types_resolve(struct types *types, struct slice name, uint32_t *ret_id);
/* The loader's: the next id becomes a hole. ERR_NOMEM, ERR_FULL. */
MUST_USE enum err types_add_hole(struct types *types);
/* The loader's: the same ids, but holes where is_gone[id]. ERR_NOMEM. */
MUST_USE enum err
types_copy(const struct types *types, const bool *is_gone, struct types **ret_types);
/* Any thread. */
bool types_find(struct types *types, struct slice name, uint32_t *ret_id);

#endif
