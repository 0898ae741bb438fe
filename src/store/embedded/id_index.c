/*
 * id_index - see id_index.h.
 */
#include "store/embedded/id_index.h"
#include "base/mem.h"
#include "codec/hash.h"
#include <assert.h>
#include <stdatomic.h>

/* So many young ids mean load: from then on the table is resident as a whole. */
#define POPULATE_PART 256      /* of what the table holds when it is sealed */
#define EVENT_ID_BYTES_MAX 255 /* a length in a row is one byte */

static void
report_discarded(void *state, const char *path, const char *why)
{
    const struct id_index *index = state;

    SINK(index->sink, LOG_LEVEL_WARN, "id_run.discarded", LOG_TEXT("file", path),
         LOG_TEXT("reason", why));
}

enum err
id_index_open(const struct id_index_config *config, struct id_index *ret_index, struct diag *diag)
{
    struct run_set_config runs = {.dir = config->dir,
                                  .covered_max = config->last_seq,
                                  .discarded = report_discarded,
                                  .discarded_state = ret_index};
    enum err err = ERR_OK;

    *ret_index = (struct id_index){.young_max = config->young_max,
                                   .young_seal = config->young_seal,
                                   .replay_seal = config->young_seal,
                                   .sink = config->sink};
    if (ret_index->replay_seal <
        config->young_max / 2) /* a start is quick; the loader seals soon */
        ret_index->replay_seal = config->young_max / 2;
    memcpy(ret_index->secret, config->secret, SECRET_BYTES);
    hash_siphash_128(config->secret, slice_of((const char *)config->ledger_id, 16), runs.owner);
    ret_index->young = id_table_new(config->young_max);
    if (ret_index->young == NULL)
        return ERR_NOMEM;
    err = run_set_open(&runs, &ret_index->runs, diag);
    if (err != ERR_OK)
        id_table_free(&ret_index->young);
    return err;
}

void
id_index_close(struct id_index *index)
{
    run_set_close(&index->runs);
    id_table_free(&index->young);
    id_table_free(&index->frozen);
    id_table_free(&index->held);
}

uint64_t
id_index_covered(const struct id_index *index)
{
    return run_set_covered(index->runs);
}

struct run_key
id_index_key(const uint8_t secret[SECRET_BYTES], uint32_t project_id, struct slice event_id)
{
    uint8_t input[1 + sizeof(project_id) + EVENT_ID_BYTES_MAX];
    uint8_t digest[HASH_SIPHASH_128_BYTES];
    struct run_key key;

    assert(event_id.len <= EVENT_ID_BYTES_MAX);
    input[0] = sizeof(project_id);
    memcpy(input + 1, &project_id, sizeof(project_id));
    memcpy(input + 1 + sizeof(project_id), event_id.ptr, event_id.len);
    hash_siphash_128(secret, slice_of((const char *)input, 1 + sizeof(project_id) + event_id.len),
                     digest);
    memcpy(&key.hi, digest, 8);
    memcpy(&key.lo, digest + 8, 8);
    return key;
}

/* --- young ids ----------------------------------------------------------------------------- */

void
id_index_probe_young(const struct id_index *index, const struct run_key *keys, uint32_t count,
                     uint8_t *found)
{
    id_table_probe(index->young, keys, count, found);
    if (index->frozen != NULL)
        id_table_probe(index->frozen, keys, count, found);
    if (index->held != NULL)
        id_table_probe(index->held, keys, count, found);
}

enum err
id_index_hold(struct id_index *index, pthread_mutex_t *lock, const struct run_key *keys,
              uint32_t count)
{
    CLEANUP(id_table_free) struct id_table *table = count != 0 ? id_table_new(count) : NULL;
    struct id_table *old = NULL;

    if (count != 0 && table == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const bool is_added = id_table_add(table, keys[i]);

        assert(is_added);
        (void)is_added;
    }
    pthread_mutex_lock(lock);
    old = index->held;
    index->held = MOVE(table);
    pthread_mutex_unlock(lock);
    id_table_free(&old); /* large: not under the lock */
    return ERR_OK;
}

bool
id_index_has_room(const struct id_index *index, uint32_t count)
{
    return count <= index->young_max - id_table_count(index->young);
}

void
id_index_add_young(struct id_index *index, struct run_key key)
{
    const bool is_added = id_table_add(index->young, key);

    assert(is_added); /* the caller has asked for room */
    (void)is_added;
}

/* --- sealing ------------------------------------------------------------------------------- */

static enum err
write_table(struct id_index *index, const struct id_table *table, uint64_t covered_to,
            struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct run_entry *entries = NULL;
    const uint32_t count = id_table_count(table);

    entries = MEM_NEW(struct run_entry, (size_t)count + 1);
    if (entries == NULL)
        return ERR_NOMEM;
    id_table_entries(table, entries);
    return run_set_add(index->runs, entries, count, covered_to, diag);
}

enum err
id_index_seal(struct id_index *index, pthread_mutex_t *lock, const _Atomic uint64_t *durable_seq,
              bool is_forced, bool *ret_did_work, struct diag *diag)
{
    CLEANUP(id_table_free) struct id_table *table = NULL;
    uint32_t count = 0;
    enum err err = ERR_OK;

    *ret_did_work = false;
    is_forced |= id_index_covered(index) < atomic_load(&index->seal_to);
    pthread_mutex_lock(lock);
    count = id_table_count(index->young);
    pthread_mutex_unlock(lock);
    if (count > index->young_seal / POPULATE_PART)
        id_table_populate(index->young); /* only this thread puts another one in its place */
    if (index->frozen == NULL && (count >= index->young_seal || is_forced)) {
        table = id_table_new(index->young_max);
        if (table == NULL)
            return ERR_NOMEM;
        if (count >= index->young_seal)
            id_table_populate(table);
        pthread_mutex_lock(lock);
        index->frozen = index->young;
        index->frozen_to = atomic_load(durable_seq);
        index->young = MOVE(table);
        pthread_mutex_unlock(lock);
    }
    if (index->frozen == NULL) /* only this thread sets it */
        return ERR_OK;
    err = write_table(index, index->frozen, index->frozen_to, diag);
    if (err != ERR_OK)
        return err;
    pthread_mutex_lock(lock);
    table = MOVE(index->frozen);
    pthread_mutex_unlock(lock);
    id_table_free(&table); /* large: not under the lock */
    *ret_did_work = true;
    return ERR_OK;
}

enum err
id_index_replay(struct id_index *index, struct run_key key)
{
    /* A frame alone may hold more than the table: it then grows, once, while nobody looks. */
    if (!id_index_has_room(index, 1)) {
        CLEANUP(mem_free_ptr) struct run_entry *entries = NULL;
        CLEANUP(id_table_free) struct id_table *larger = NULL;
        const uint32_t count = id_table_count(index->young);

        larger = id_table_new(index->young_max * 2);
        entries = MEM_NEW(struct run_entry, (size_t)count + 1);
        if (larger == NULL || entries == NULL)
            return ERR_NOMEM;
        id_table_entries(index->young, entries);
        for (uint32_t i = 0; i < count; i++) {
            const bool is_added = id_table_add(larger, entries[i].key);

            assert(is_added);
            (void)is_added;
        }
        id_table_free(&index->young);
        index->young = MOVE(larger);
        index->young_max *= 2;
    }
    id_index_add_young(index, key);
    return ERR_OK;
}

enum err
id_index_replayed(struct id_index *index, uint64_t seq, struct diag *diag)
{
    struct id_table *fresh = NULL;
    enum err err = ERR_OK;

    if (id_table_count(index->young) < index->replay_seal || seq <= id_index_covered(index))
        return ERR_OK;
    fresh = id_table_new(index->young_max);
    if (fresh == NULL)
        return ERR_NOMEM;
    err = write_table(index, index->young, seq, diag);
    if (err != ERR_OK) {
        id_table_free(&fresh);
        if (err != ERR_STORAGE_FULL)
            return err;
        if (index->replay_seal <= UINT32_MAX / 2) /* they stay young; the loader seals them later */
            index->replay_seal *= 2;
        return ERR_OK;
    }
    id_table_free(&index->young);
    index->young = fresh;
    return ERR_OK;
}
