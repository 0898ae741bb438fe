/*
 * id_table - see id_table.h.
 */
#include "store/embedded/id_table.h"
#include "base/mem.h"

#define PROBE_GROUP 64

struct id_table {
    uint64_t slot_count; /* a power of two */
    unsigned shift;      /* 64 − its logarithm */
    uint32_t ids_max;
    uint32_t count;
    struct run_key *slots; /* all zero: empty */
    bool is_populated;     /* the loader's */
};

struct id_table *
id_table_new(uint32_t ids_max)
{
    struct id_table *table = MEM_NEW(struct id_table, 1);

    if (table == NULL)
        return NULL;
    table->slot_count = 64;
    table->shift = 64 - 6;
    table->ids_max = ids_max;
    while (table->slot_count / 4 * 3 < ids_max) {
        table->slot_count *= 2;
        table->shift--;
    }
    table->slots = MEM_NEW(struct run_key, table->slot_count);
    if (table->slots == NULL)
        id_table_free(&table);
    return table;
}

void
id_table_free(struct id_table **table)
{
    if (*table != NULL)
        mem_free((*table)->slots);
    mem_free(*table);
    *table = NULL;
}

void
id_table_populate(struct id_table *table)
{
    if (!table->is_populated)
        mem_populate(table->slots, table->slot_count * sizeof(struct run_key));
    table->is_populated = true;
}

uint32_t
id_table_count(const struct id_table *table)
{
    return table->count;
}

uint64_t
id_table_memory(const struct id_table *table)
{
    return table->slot_count * sizeof(struct run_key);
}

static bool
is_empty(struct run_key key)
{
    return (key.hi | key.lo) == 0;
}

/* The slot with the key, or the empty one where it would go. The key 0 is kept as (0, 1). */
static struct run_key *
find_slot(const struct id_table *table, struct run_key *key)
{
    uint64_t slot = key->hi >> table->shift;

    if (is_empty(*key))
        key->lo = 1;
    while (!is_empty(table->slots[slot]) && run_key_compare(table->slots[slot], *key) != 0)
        slot = (slot + 1) & (table->slot_count - 1);
    return &table->slots[slot];
}

void
id_table_probe(const struct id_table *table, const struct run_key *keys, uint32_t count,
               uint8_t *found)
{
    for (uint32_t first = 0; first < count; first += PROBE_GROUP) {
        const uint32_t behind = count - first < PROBE_GROUP ? count : first + PROBE_GROUP;

        for (uint32_t i = first; i < behind; i++)
            __builtin_prefetch(&table->slots[keys[i].hi >> table->shift]);
        for (uint32_t i = first; i < behind; i++) {
            struct run_key key = keys[i];

            if (found[i] == 0 && !is_empty(*find_slot(table, &key)))
                found[i] = 1;
        }
    }
}

bool
id_table_add(struct id_table *table, struct run_key key)
{
    struct run_key *slot = find_slot(table, &key);

    if (!is_empty(*slot))
        return true;
    if (table->count == table->ids_max)
        return false;
    *slot = key;
    table->count++;
    return true;
}

void
id_table_entries(const struct id_table *table, struct run_entry *ret_entries)
{
    uint32_t count = 0;

    for (uint64_t i = 0; i < table->slot_count; i++)
        if (!is_empty(table->slots[i]))
            ret_entries[count++] = (struct run_entry){.key = table->slots[i]};
}
