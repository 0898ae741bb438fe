/*
 * persons - see persons.h.
 *
 * Layer 4. Tables are open addressing by the key's low bits (keys are keyed hashes, so uniform), at
 * most half full.
 */
#include "warehouse/persons.h"
#include "base/mem.h"
#include "codec/hash.h"
#include <assert.h>
#include <string.h>

#define TABLE_SLOTS_FIRST 64

_Static_assert(PERSONS_SECRET_BYTES == HASH_SIPHASH_KEY_BYTES, "the secret is the key");

static struct run_key
key_of(const struct persons *persons, struct slice text)
{
    uint8_t bytes[HASH_SIPHASH_128_BYTES];
    struct run_key key;

    hash_siphash_128(persons->secret, text, bytes);
    memcpy(&key.hi, bytes, 8);
    memcpy(&key.lo, bytes + 8, 8);
    return key;
}

static const struct persons_slot *
table_find(const struct persons_table *table, struct run_key key)
{
    const uint32_t mask = table->slot_count - 1;

    if (table->slot_count == 0)
        return NULL;
    for (uint32_t place = (uint32_t)key.lo & mask;; place = (place + 1) & mask) {
        const struct persons_slot *slot = &table->slots[place];

        if (!slot->is_used)
            return NULL;
        if (slot->key.hi == key.hi && slot->key.lo == key.lo)
            return slot;
    }
}

static void
table_put(struct persons_table *table, struct run_key key, uint32_t id)
{
    const uint32_t mask = table->slot_count - 1;
    uint32_t place = (uint32_t)key.lo & mask;

    while (table->slots[place].is_used)
        place = (place + 1) & mask;
    table->slots[place] = (struct persons_slot){key, id, 1};
    table->used++;
}

static enum err
table_grow(struct persons_table *table)
{
    const uint32_t slot_count = table->slot_count == 0 ? TABLE_SLOTS_FIRST : table->slot_count * 2;
    struct persons_table larger = {MEM_NEW(struct persons_slot, slot_count), slot_count, 0};

    if (larger.slots == NULL || slot_count == 0) {
        mem_free(larger.slots);
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < table->slot_count; i++) {
        if (table->slots[i].is_used)
            table_put(&larger, table->slots[i].key, table->slots[i].id);
    }
    mem_free(table->slots);
    *table = larger;
    return ERR_OK;
}

static void
table_free(struct persons_table *table)
{
    mem_free(table->slots);
    *table = (struct persons_table){0};
}

void
persons_init(struct persons *persons, const uint8_t *secret)
{
    *persons = (struct persons){.secret = secret};
    pthread_mutex_init(&persons->lock, NULL);
}

void
persons_shrink(struct persons *persons)
{
    table_free(&persons->hot);
    table_free(&persons->warm);
}

void
persons_fini(struct persons *persons)
{
    persons_shrink(persons);
    table_free(&persons->young);
    run_snapshot_free(&persons->snapshot);
    run_set_close(&persons->runs);
    pthread_mutex_destroy(&persons->lock);
}

static enum err
runs_open(const struct persons_runs *runs, uint64_t covered_max, struct run_set **ret_set,
          struct diag *diag)
{
    struct run_set_config config = {
        .dir = runs->dir, .payload_bytes = 4, .covered_max = covered_max};

    memcpy(config.owner, runs->owner, RUN_OWNER_BYTES);
    return run_set_open(&config, ret_set, diag);
}

enum err
persons_open_runs(struct persons *persons, const struct persons_runs *runs, uint64_t sealed,
                  struct diag *diag)
{
    enum err err = runs_open(runs, sealed, &persons->runs, diag);

    if (err != ERR_OK)
        return err;
    if (run_set_covered(persons->runs) != sealed) {
        diag_set(diag, "%s: the person runs cover less than the manifest says", runs->dir);
        run_set_close(&persons->runs);
        return ERR_CORRUPT;
    }
    persons->snapshot = run_set_snapshot(persons->runs);
    persons->count = sealed;
    persons->sealed = sealed;
    return ERR_OK;
}

/* Remembers a person found in the runs; what is full moves to warm, what was warm is forgotten. */
static void
hot_put(struct persons *persons, struct run_key key, uint32_t id)
{
    if (persons->hot.used >= persons->hot.slot_count / 2) {
        if (persons->hot.slot_count >= PERSONS_HOT_SLOTS_MAX) {
            table_free(&persons->warm);
            persons->warm = persons->hot;
            persons->hot = (struct persons_table){0};
        }
        if (table_grow(&persons->hot) != ERR_OK)
            return; /* out of memory: it is looked up again next time */
    }
    table_put(&persons->hot, key, id);
}

static enum err
probe_runs(const struct run_snapshot *snapshot, struct run_key key, bool *ret_is_found,
           uint32_t *ret_id, struct diag *diag)
{
    uint8_t found = 0;
    enum err err = run_snapshot_probe(snapshot, 0, &key, 1, &found, ret_id, diag);

    *ret_is_found = found != 0;
    return err;
}

static enum err
person_add(struct persons *persons, struct run_key key, uint32_t *ret_id, struct diag *diag)
{
    enum err err = ERR_OK;

    if (persons->count >= PERSONS_MAX) {
        diag_set(diag, "a project holds at most 4,294,967,295 persons");
        return ERR_FULL;
    }
    pthread_mutex_lock(&persons->lock);
    if (persons->young.used >= persons->young.slot_count / 2)
        err = table_grow(&persons->young);
    if (err == ERR_OK) {
        *ret_id = (uint32_t)persons->count++;
        table_put(&persons->young, key, *ret_id);
    }
    pthread_mutex_unlock(&persons->lock);
    return err;
}

enum err
persons_resolve(struct persons *persons, struct slice text, uint32_t *ret_id, struct diag *diag)
{
    const struct run_key key = key_of(persons, text);
    const struct persons_slot *slot = table_find(&persons->hot, key);
    bool is_found = false;

    if (slot == NULL)
        slot = table_find(&persons->young, key);
    if (slot != NULL) {
        *ret_id = slot->id;
        return ERR_OK;
    }
    slot = table_find(&persons->warm, key);
    if (slot != NULL) {
        *ret_id = slot->id;
        is_found = true;
    } else if (persons->snapshot != NULL) {
        enum err err = probe_runs(persons->snapshot, key, &is_found, ret_id, diag);

        if (err != ERR_OK)
            return err;
    }
    if (is_found) {
        hot_put(persons, key, *ret_id);
        return ERR_OK;
    }
    return person_add(persons, key, ret_id, diag);
}

enum err
persons_seal(struct persons *persons, const struct persons_runs *runs, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct run_entry *entries = NULL;
    size_t made = 0;
    enum err err = ERR_OK;

    if (persons->count == persons->sealed && persons->runs != NULL)
        return ERR_OK;
    entries = MEM_NEW(struct run_entry, (size_t)persons->young.used + 1);
    if (entries == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < persons->young.slot_count; i++) {
        const struct persons_slot *slot = &persons->young.slots[i];

        if (slot->is_used)
            entries[made++] = (struct run_entry){slot->key, slot->id};
    }
    assert(made == persons->count - persons->sealed);
    if (persons->runs == NULL) {
        struct run_set *set = NULL;

        err = runs_open(runs, 0, &set, diag);
        if (err != ERR_OK)
            return err;
        pthread_mutex_lock(&persons->lock);
        persons->runs = set;
        pthread_mutex_unlock(&persons->lock);
    }
    err = run_set_add(persons->runs, entries, made, persons->count, diag);
    if (err != ERR_OK)
        return err;
    run_snapshot_free(&persons->snapshot);
    persons->snapshot = run_set_snapshot(persons->runs);
    persons->sealed = persons->count;
    /* The young stay active: they become hot before the table is emptied. */
    for (size_t i = 0; i < made; i++)
        hot_put(persons, entries[i].key, entries[i].payload);
    pthread_mutex_lock(&persons->lock);
    table_free(&persons->young);
    pthread_mutex_unlock(&persons->lock);
    return ERR_OK;
}

enum err
persons_find(struct persons *persons, struct slice text, uint32_t *ret_id, struct diag *diag)
{
    const struct run_key key = key_of(persons, text);
    const struct persons_slot *slot = NULL;
    struct run_snapshot *snapshot = NULL;
    bool is_found = false;
    enum err err = ERR_OK;

    pthread_mutex_lock(&persons->lock);
    slot = table_find(&persons->young, key);
    is_found = slot != NULL;
    if (is_found)
        *ret_id = slot->id;
    else if (persons->runs != NULL)
        snapshot = run_set_snapshot(persons->runs);
    pthread_mutex_unlock(&persons->lock);
    if (snapshot != NULL)
        err = probe_runs(snapshot, key, &is_found, ret_id, diag);
    run_snapshot_free(&snapshot);
    if (err != ERR_OK)
        return err;
    return is_found ? ERR_OK : ERR_ABSENT;
}
