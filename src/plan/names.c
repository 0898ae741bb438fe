/*
 * names - names of properties, types and enum texts by their bytes. See inside.h.
 *
 * The hash mixes the length with the first and last eight bytes: names are the plan's own, so that
 * who sends events can only search, and the longest search is as long as the plan's author made it.
 */
#include "plan/inside.h"

#include <assert.h>

bool
names_init(struct names *names, struct arena *arena, uint32_t max)
{
    uint32_t slots = 4;

    *names = (struct names){.max = max + 1};
    while (slots < max * 2)
        slots *= 2;
    names->list = ARENA_NEW(arena, struct name, max + 1);
    names->slots = ARENA_NEW(arena, uint32_t, slots);
    names->slot_mask = slots - 1;
    return names->list != NULL && names->slots != NULL;
}

struct name *
names_add(struct names *names, struct slice text)
{
    struct name *name;
    uint64_t first, last;
    uint32_t slot;

    if (names->count == names->max)
        return NULL;
    name = &names->list[names->count++];
    names_ends(text, &first, &last);
    slot = names_hash(text.len, first, last) & names->slot_mask;
    assert(names->count <= names->slot_mask);
    while (names->slots[slot] != 0)
        slot = (slot + 1) & names->slot_mask;
    names->slots[slot] = names->count;
    *name = (struct name){.text = text, .first = first, .last = last, .required = NOT_REQUIRED};
    return name;
}

bool
names_quote(struct name *name, struct arena *arena)
{
    char *quoted;

    for (size_t i = 0; i < name->text.len; i++) {
        const unsigned char c = (unsigned char)name->text.ptr[i];

        if (c < 0x20 || c == '"' || c == '\\') /* needs an escape */
            return true;
    }
    if (name->text.len == 0)
        return true;
    quoted = arena_alloc(arena, name->text.len + NAMES_QUOTES);
    if (quoted == NULL)
        return false;
    quoted[0] = '"';
    memcpy(quoted + 1, name->text.ptr, name->text.len);
    memcpy(quoted + 1 + name->text.len, "\":", 2);
    name->quoted = quoted;
    return true;
}
