/*
 * erase_free - takes the ids of erased rows out of the index, so that they may be stored again. See
 * erase.h; the file of keys: freed.h.
 *
 * Layer 3 (store/embedded), the keeper's thread, but for erase_free_at_start. An id must be refused
 * from the commit of its row until the row has gone durably, and from then on until nothing will
 * take its key out of a run any more: else a row that came in between would lose its key, and could
 * come twice. So, of the rows of each segment:
 *
 *   1. their keys are appended to ids/freed, synced (erase_segment.c)
 *   2. the segment is written anew without rows and tombstones; rename, the folder synced
 *
 * and when no segment holds a selected row any more, from the file's end on, a part at a time of at
 * most FREED_TAIL_KEYS_MAX keys:
 *
 *   3. the young table is sealed (by the loader, asked for by seal_to), so that the keys stand in
 *      runs alone
 *   4. the part's keys are held: refused whatever the runs hold
 *   5. the runs that hold any are written anew without
 *   6. the part is cut off the file, synced; then no more held. Now the ids are free
 *
 * After a kill: records whose segment still has the rows (between 1 and 2) are dropped. The keys of
 * the others are refused again before anyone may commit: runs hold them, or, where the index lost
 * them (it was sealed no further, or is made anew), they are entered once more from the file; the
 * last part, from which some may be gone, is held. An erasure begins with what is left in the file.
 * Where ids/ is deleted, file and index go together, and the ids are free.
 */
#include "base/mem.h"
#include "store/embedded/erase.h"
#include <stdlib.h>

static int
compare_keys(const void *a, const void *b)
{
    return run_key_compare(*(const struct run_key *)a, *(const struct run_key *)b);
}

/* The last part of the file, rising, and held. */
static enum err
load_part(struct embedded *store, struct freeing *freeing, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct run_key *keys = NULL;
    uint32_t count = 0;
    uint32_t kept = 0;
    uint64_t offset = 0;
    enum err err = freed_read_tail(&store->freed, &keys, &count, &offset, diag);

    if (err != ERR_OK)
        return err;
    if (count != 0)
        qsort(keys, count, sizeof(keys[0]), compare_keys);
    for (uint32_t i = 0; i < count; i++) /* a step that was repeated has written some twice */
        if (kept == 0 || run_key_compare(keys[kept - 1], keys[i]) != 0)
            keys[kept++] = keys[i];
    err = id_index_hold(&store->ids, &store->commit_lock, keys, kept);
    if (err != ERR_OK)
        return err;
    freeing->keys = MOVE(keys);
    freeing->count = kept;
    freeing->offset = offset;
    return ERR_OK;
}

void
erase_free_close(struct freeing *freeing)
{
    mem_free(freeing->keys);
    *freeing = (struct freeing){.keys = NULL};
}

static enum err
end_part(struct embedded *store, struct freeing *freeing, struct diag *diag)
{
    enum err err = file_sync_dir(store->freed.dir, diag); /* the runs' new files have their names */

    if (err == ERR_OK)
        err = freed_cut(&store->freed, freeing->offset, diag);
    if (err == ERR_OK)
        err = id_index_hold(&store->ids, &store->commit_lock, NULL, 0);
    if (err == ERR_OK) {
        mem_free(freeing->keys);
        freeing->keys = NULL;
    }
    return err;
}

enum err
erase_free_step(struct embedded *store, struct freeing *freeing, bool *ret_is_done,
                struct diag *diag)
{
    bool did_work = false;
    enum err err = ERR_OK;

    *ret_is_done = store->freed.end == 0;
    if (*ret_is_done) /* none of a part that was dropped either */
        return store->ids.held != NULL ? id_index_hold(&store->ids, &store->commit_lock, NULL, 0)
                                       : ERR_OK;
    if (!freeing->is_sealing) {
        freeing->is_sealing = true;
        atomic_store(&store->ids.seal_to, atomic_load(&store->ledger->durable_seq));
    }
    if (id_index_covered(&store->ids) < atomic_load(&store->ids.seal_to))
        return ERR_OK; /* the loader's turn */
    if (freeing->keys == NULL)
        err = load_part(store, freeing, diag);
    if (err == ERR_OK)
        err = run_set_remove_step(store->ids.runs, freeing->keys, freeing->count, &did_work, diag);
    if (err == ERR_OK && !did_work)
        err = end_part(store, freeing, diag);
    return err;
}

/* --- at start ------------------------------------------------------------------------------ */

static enum err
enter_key(void *state, struct run_key key)
{
    return id_index_replay(state, key);
}

enum err
erase_free_at_start(struct embedded *store, const char *ids_dir, struct diag *diag)
{
    struct freeing freeing = {.keys = NULL};
    enum err err = freed_open(&store->freed, ids_dir, diag);

    if (err == ERR_OK)
        err = freed_settle(&store->freed, store->ledger, diag);
    if (err != ERR_OK || store->freed.end == 0)
        return err;
    err = freed_each(&store->freed, store->ledger, id_index_covered(&store->ids), enter_key,
                     &store->ids, diag);
    if (err == ERR_OK)
        err = load_part(store, &freeing, diag);
    erase_free_close(&freeing);
    return err;
}
