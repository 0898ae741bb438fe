/*
 * types - see types.h. Open addressing on a 32-bit hash of the name, at most half full.
 *
 * Layer 4. The hash is FNV-1a over words, mixed: names come from clients, so the table's seed is
 * made of random bits at start; nothing of it is stored.
 */
#include "warehouse/types.h"
#include "base/mem.h"
#include "base/random.h"
#include <stdatomic.h>
#include <string.h>

#define SLOTS_FIRST 64
#define NAMES_BYTES_MAX ((size_t)TYPES_MAX * 256)

static uint64_t
hash_seed(void)
{
    static uint64_t seed;
    uint64_t value = __atomic_load_n(&seed, __ATOMIC_RELAXED);

    if (value == 0) {
        uint64_t none = 0;

        value = random_u64(random_system()) | 1;
        if (!__atomic_compare_exchange_n(&seed, &none, value, false, __ATOMIC_RELAXED,
                                         __ATOMIC_RELAXED))
            value = none;
    }
    return value;
}

static uint32_t
name_hash(struct slice name)
{
    uint64_t hash = hash_seed() ^ (name.len * UINT64_C(0x9e3779b97f4a7c15));
    size_t i = 0;

    for (; i + 8 <= name.len; i += 8) {
        uint64_t word = 0;

        memcpy(&word, name.ptr + i, 8);
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    if (i < name.len) {
        uint64_t word = 0;

        memcpy(&word, name.ptr + i, name.len - i);
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    hash *= UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t)(hash >> 32);
}

void
types_init(struct types *types)
{
    *types = (struct types){0};
    pthread_mutex_init(&types->lock, NULL);
    arena_init(&types->names, 1024, NAMES_BYTES_MAX);
}

void
types_fini(struct types *types)
{
    for (size_t i = 0; i < TYPES_BLOCKS; i++)
        mem_free(types->blocks[i]);
    mem_free(types->slots);
    arena_fini(&types->names);
    pthread_mutex_destroy(&types->lock);
}

enum err
types_new(struct types **ret_types)
{
    struct types *types = MEM_NEW(struct types, 1);

    if (types == NULL)
        return ERR_NOMEM;
    types_init(types);
    atomic_init(&types->references, 1);
    *ret_types = types;
    return ERR_OK;
}

struct types *
types_hold(struct types *types)
{
    atomic_fetch_add_explicit(&types->references, 1, memory_order_relaxed);
    return types;
}

void
types_release(struct types **types_place)
{
    struct types *types = *types_place;

    *types_place = NULL;
    if (types == NULL ||
        atomic_fetch_sub_explicit(&types->references, 1, memory_order_acq_rel) != 1)
        return;
    types_fini(types);
    mem_free(types);
}

static uint32_t
block_of(uint32_t id, uint32_t *ret_offset)
{
    const uint32_t block = 31u - (uint32_t)__builtin_clz(id / TYPES_BLOCK_FIRST + 1);

    *ret_offset = id - TYPES_BLOCK_FIRST * ((1u << block) - 1);
    return block;
}

struct slice
types_name(const struct types *types, uint32_t id)
{
    uint32_t offset = 0;
    const uint32_t block = block_of(id, &offset);

    return types->blocks[block][offset];
}

/* The slot of `name`, or the empty one where it would stand. */
static struct types_slot *
slot_of(const struct types *types, struct slice name, uint32_t hash)
{
    const uint32_t mask = types->slot_count - 1;

    for (uint32_t place = hash & mask;; place = (place + 1) & mask) {
        struct types_slot *slot = &types->slots[place];

        if (slot->id_and_one == 0 ||
            (slot->hash == hash && slice_equal(types_name(types, slot->id_and_one - 1), name)))
            return slot;
    }
}

static enum err
slots_grow(struct types *types)
{
    const uint32_t slot_count = types->slot_count == 0 ? SLOTS_FIRST : types->slot_count * 2;
    struct types_slot *slots = MEM_NEW(struct types_slot, slot_count);
    struct types_slot *old = types->slots;

    if (slots == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < types->slot_count; i++) {
        uint32_t place = old[i].hash & (slot_count - 1);

        if (old[i].id_and_one == 0)
            continue;
        while (slots[place].id_and_one != 0)
            place = (place + 1) & (slot_count - 1);
        slots[place] = old[i];
    }
    types->slots = slots;
    types->slot_count = slot_count;
    mem_free(old);
    return ERR_OK;
}

/* Where the name of the next id stands; NULL: out of memory. */
static struct slice *
next_place(struct types *types)
{
    uint32_t offset = 0;
    const uint32_t block = block_of(types->count, &offset);

    if (types->blocks[block] == NULL)
        types->blocks[block] = MEM_NEW(struct slice, (size_t)TYPES_BLOCK_FIRST << block);
    return types->blocks[block] != NULL ? &types->blocks[block][offset] : NULL;
}

/* Under the lock. */
static enum err
type_add(struct types *types, struct slice name, uint32_t hash, uint32_t *ret_id)
{
    struct slice copy;
    struct slice *place = NULL;
    struct types_slot *slot = NULL;

    if (types->count == TYPES_MAX)
        return ERR_FULL;
    if (types->count >= types->slot_count / 2 && slots_grow(types) != ERR_OK)
        return ERR_NOMEM;
    place = next_place(types);
    if (place == NULL)
        return ERR_NOMEM;
    copy = arena_copy(&types->names, name);
    if (copy.ptr == NULL)
        return ERR_NOMEM;
    slot = slot_of(types, name, hash);
    *place = copy;
    *ret_id = types->count++;
    *slot = (struct types_slot){hash, *ret_id + 1};
    return ERR_OK;
}

enum err
types_resolve(struct types *types, struct slice name, uint32_t *ret_id)
{
    const uint32_t hash = name_hash(name);
    enum err err = ERR_OK;

    if (types->slot_count != 0) { /* the loader alone writes: it reads without the lock */
        const struct types_slot *slot = slot_of(types, name, hash);

        if (slot->id_and_one != 0) {
            *ret_id = slot->id_and_one - 1;
            return ERR_OK;
        }
    }
    pthread_mutex_lock(&types->lock);
    err = type_add(types, name, hash, ret_id);
    pthread_mutex_unlock(&types->lock);
    return err;
}

enum err
types_add_hole(struct types *types)
{
    struct slice *place = NULL;
    enum err err = types->count == TYPES_MAX ? ERR_FULL : ERR_OK;

    pthread_mutex_lock(&types->lock);
    place = err == ERR_OK ? next_place(types) : NULL;
    if (place != NULL) {
        *place = SLICE_NONE;
        types->count++;
    } else if (err == ERR_OK) {
        err = ERR_NOMEM;
    }
    pthread_mutex_unlock(&types->lock);
    return err;
}

enum err
types_copy(const struct types *types, const bool *is_gone, struct types **ret_types)
{
    CLEANUP(types_release) struct types *copy = NULL;
    enum err err = types_new(&copy);

    for (uint32_t id = 0; err == ERR_OK && id < types->count; id++) {
        const struct slice name = types_name(types, id);
        uint32_t same = 0;

        if (is_gone[id] || name.len == 0)
            err = types_add_hole(copy);
        else
            err = types_resolve(copy, name, &same);
    }
    if (err == ERR_OK)
        *ret_types = MOVE(copy);
    return err;
}

bool
types_find(struct types *types, struct slice name, uint32_t *ret_id)
{
    bool is_found = false;

    pthread_mutex_lock(&types->lock);
    if (types->slot_count != 0) {
        const struct types_slot *slot = slot_of(types, name, name_hash(name));

        is_found = slot->id_and_one != 0;
        if (is_found)
            *ret_id = slot->id_and_one - 1;
    }
    pthread_mutex_unlock(&types->lock);
    return is_found;
}
