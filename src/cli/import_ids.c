/*
 * import_ids - see import_ids.h. Open addressing; key 0 marks a free slot.
 */
#include "cli/import_ids.h"

#include "base/mem.h"
#include "codec/hash.h"
#include <sodium.h>

#define SLOTS_MIN ((size_t)1024)
#define ROWS_MAX ((size_t)1 << 30)

struct import_ids {
    uint64_t *keys;
    uint32_t *counts;
    size_t slot_count; /* a power of two */
    size_t used;
};

enum err
import_ids_new(struct import_ids **ret_ids)
{
    CLEANUP(import_ids_free) struct import_ids *ids = MEM_NEW(struct import_ids, 1);

    if (ids == NULL)
        return ERR_NOMEM;
    ids->slot_count = SLOTS_MIN;
    ids->keys = MEM_NEW(uint64_t, SLOTS_MIN);
    ids->counts = MEM_NEW(uint32_t, SLOTS_MIN);
    if (ids->keys == NULL || ids->counts == NULL)
        return ERR_NOMEM;
    *ret_ids = MOVE(ids);
    return ERR_OK;
}

void
import_ids_free(struct import_ids **ids)
{
    if (*ids == NULL)
        return;
    mem_free((*ids)->keys);
    mem_free((*ids)->counts);
    mem_free(*ids);
    *ids = NULL;
}

static size_t
slot_of(const struct import_ids *ids, uint64_t key)
{
    size_t slot = (size_t)key & (ids->slot_count - 1);

    while (ids->keys[slot] != 0 && ids->keys[slot] != key)
        slot = (slot + 1) & (ids->slot_count - 1);
    return slot;
}

static enum err
grow(struct import_ids *ids)
{
    struct import_ids wider = {.slot_count = ids->slot_count * 2, .used = ids->used};

    if (ids->used >= ROWS_MAX)
        return ERR_FULL;
    wider.keys = MEM_NEW(uint64_t, wider.slot_count);
    wider.counts = MEM_NEW(uint32_t, wider.slot_count);
    if (wider.keys == NULL || wider.counts == NULL) {
        mem_free(wider.keys);
        mem_free(wider.counts);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < ids->slot_count; i++) {
        size_t slot;

        if (ids->keys[i] == 0)
            continue;
        slot = slot_of(&wider, ids->keys[i]);
        wider.keys[slot] = ids->keys[i];
        wider.counts[slot] = ids->counts[i];
    }
    mem_free(ids->keys);
    mem_free(ids->counts);
    *ids = wider;
    return ERR_OK;
}

enum err
import_ids_next(struct import_ids *ids, struct slice row, char ret_id[IMPORT_ID_BYTES])
{
    crypto_generichash_state state;
    uint8_t digest[HASH_BLAKE2B_128_BYTES];
    uint8_t ordinal[4];
    uint64_t key;
    uint32_t count;
    size_t slot;

    if (ids->used * 3 >= ids->slot_count * 2) {
        enum err err = grow(ids);

        if (err != ERR_OK)
            return err;
    }
    hash_blake2b_128(row, digest);
    memcpy(&key, digest, sizeof(key));
    key = key != 0 ? key : 1;
    slot = slot_of(ids, key);
    ids->used += ids->keys[slot] == 0;
    ids->keys[slot] = key;
    count = ids->counts[slot]++;
    for (size_t i = 0; i < 4; i++)
        ordinal[i] = (uint8_t)(count >> (8 * i));
    (void)crypto_generichash_init(&state, NULL, 0, sizeof(digest));
    (void)crypto_generichash_update(&state, (const unsigned char *)row.ptr, row.len);
    (void)crypto_generichash_update(&state, ordinal, sizeof(ordinal));
    (void)crypto_generichash_final(&state, digest, sizeof(digest));
    memcpy(ret_id, "imp-", 4);
    hash_hex(digest, sizeof(digest), ret_id + 4);
    return ERR_OK;
}
