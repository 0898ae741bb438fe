/*
 * id_table - the young ids: a hash table of 128-bit keys, of fixed size, that only fills up.
 *
 * Layer 3 (store/embedded). Under the commit lock while it is young; frozen, it is only read. Open
 * addressing, linear probing, at most three quarters full; the slot comes from the key's leading
 * bits, since keys are keyed hashes. The memory is zeroed by the kernel as it is touched, so a
 * table costs what it holds, until it is populated.
 */
#ifndef POTIK_STORE_EMBEDDED_ID_TABLE_H
#define POTIK_STORE_EMBEDDED_ID_TABLE_H

#include "run/run.h"

struct id_table;
/* Room for ids_max. NULL: out of memory. */
struct id_table *id_table_new(uint32_t ids_max);
void id_table_free(struct id_table **table);
/* The loader, while others probe and add: all of it becomes resident, once, so that no commit waits
 * for the kernel to bring a page (under load ids touch every page within a second or two). */
void id_table_populate(struct id_table *table);
uint32_t id_table_count(const struct id_table *table);
uint64_t id_table_memory(const struct id_table *table); /* at most */
/* Sets found[i] where keys[i] is in it; keys with found[i] != 0 are not looked for. */
void id_table_probe(const struct id_table *table, const struct run_key *keys, uint32_t count,
                    uint8_t *found);
/* false: it is full, and the key is not in it. Twice the same is once. */
bool id_table_add(struct id_table *table, struct run_key key);
/* All keys, in no order worth naming; room for id_table_count. */
void id_table_entries(const struct id_table *table, struct run_entry *ret_entries);

#endif
