/*
 * names - names of properties, types and enum texts by their bytes. See inside.h.
 *
 * The hash mixes the length with the first and last eight bytes: names are the plan's own, so that
 * who sends events can only search, and the longest search is as long as the plan's author made it.
 */
#include "plan/inside.h"

#include <assert.h>

static uint64_t
load(const char *at, size_t len)
{
    uint64_t value = 0;

    memcpy(&value, at, len);
    return value;
}

static inline uint32_t
hash_of(struct slice text)
{
    uint64_t first, last, hash;

    if (text.len >= 8) {
        first = load(text.ptr, 8);
        last = load(text.ptr + text.len - 8, 8);
    } else if (text.len >= 4) {
        first = load(text.ptr, 4);
        last = load(text.ptr + text.len - 4, 4);
    } else {
        first = text.len == 0 ? 0 : (unsigned char)text.ptr[0];
        last = text.len == 0 ? 0
                             : (uint64_t)(unsigned char)text.ptr[text.len / 2] << 8 |
                                   (unsigned char)text.ptr[text.len - 1];
    }
    hash = (first ^ (last << 29 | last >> 35) ^ text.len) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(hash >> 32);
}

bool
names_init(struct names *names, struct arena *arena, uint32_t max)
{
    uint32_t slots = 4;

    *names = (struct names){0};
    while (slots < max * 2)
        slots *= 2;
    names->list = ARENA_NEW(arena, struct name, max + 1);
    names->slots = ARENA_NEW(arena, uint32_t, slots);
    names->slot_mask = slots - 1;
    return names->list != NULL && names->slots != NULL;
}

struct name *
names_find(const struct names *names, struct slice text)
{
    uint32_t slot;

    if (names->count == 0)
        return NULL;
    for (slot = hash_of(text) & names->slot_mask; names->slots[slot] != 0;
         slot = (slot + 1) & names->slot_mask) {
        struct name *name = &names->list[names->slots[slot] - 1];

        if (slice_equal(name->text, text))
            return name;
    }
    return NULL;
}

struct name *
names_add(struct names *names, struct slice text)
{
    uint32_t slot = hash_of(text) & names->slot_mask;
    struct name *name = &names->list[names->count++];

    assert(names->count <= names->slot_mask);
    while (names->slots[slot] != 0)
        slot = (slot + 1) & names->slot_mask;
    names->slots[slot] = names->count;
    *name = (struct name){.text = text, .required = NOT_REQUIRED};
    return name;
}
