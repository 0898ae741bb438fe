/*
 * commit - one batch from a loop: who is new, who is stored already; one frame, one sync, one
 * answer.
 *
 * Layer 3 (store/embedded). On the loop's thread, whole within embedded_submit. The order of things
 * is what makes "exactly once" true:
 *
 *   without a lock   keys; copies within the batch; sealed runs (a snapshot); rows and their CRC
 *   commit lock      runs published since that snapshot; young and frozen ids; rows again if some
 * fell away; append and sync the frame; enter the new ids; durable_seq after it         verdicts,
 * sleepers, counters
 *
 * Ids enter only when durable, so nobody is told `duplicate` of what may be lost; a failed append
 * leaves nothing behind. A batch without new events neither appends nor syncs.
 *
 * Copies within a batch: the first that is no probe wins. Index order decides for a probe: behind
 * its twin it is a duplicate, before it it is absent unless stored earlier.
 */
#include "base/counter.h"
#include "base/mem.h"
#include "store/embedded/store_embedded.h"
#include <assert.h>

GAUGE_DEFINE(ledger_bytes, "potik_ledger_bytes", "bytes of the ledger on disk");

#define FRAME_KEPT_BYTES ((size_t)4 << 20) /* scratch beyond this is given back after the batch */

/* Of an item; anything but FOUND_NOT is a duplicate. */
enum found { FOUND_NOT = 0, FOUND_STORED = 1, FOUND_COPY = 2 };

void
embedded_show_bytes(struct embedded *store)
{
    gauge_set(&ledger_bytes, (double)atomic_load(&store->ledger->bytes));
}

/* --- scratch ------------------------------------------------------------------------------- */

void
embedded_link_free(struct embedded_link **link_ptr)
{
    struct embedded_link *link = *link_ptr;

    *link_ptr = NULL;
    if (link == NULL)
        return;
    mem_free(link->keys);
    mem_free(link->found);
    mem_free(link->twins);
    mem_free(link->frame);
    mem_free(link);
}

static enum err
reserve_items(struct embedded_link *link, uint32_t count)
{
    uint32_t items_max = 64;
    uint32_t twins_max = 0;

    if (count <= link->items_max)
        return ERR_OK;
    if (count > UINT32_C(1) << 24)
        return ERR_OVERLOADED;
    while (items_max < count)
        items_max *= 2;
    twins_max = items_max * 2;
    link->items_max = 0;
    mem_free(link->keys);
    mem_free(link->found);
    mem_free(link->twins);
    link->keys = MEM_NEW(struct run_key, items_max);
    link->found = MEM_NEW(uint8_t, items_max);
    link->twins = MEM_NEW(uint32_t, twins_max);
    if (link->keys == NULL || link->found == NULL || link->twins == NULL)
        return ERR_OVERLOADED;
    link->items_max = items_max;
    link->twins_max = twins_max;
    return ERR_OK;
}

static enum err
reserve_frame(struct embedded_link *link, size_t bytes)
{
    size_t wanted = link->frame_bytes_max == 0 ? 65536 : link->frame_bytes_max;

    if (bytes <= link->frame_bytes_max)
        return ERR_OK;
    while (wanted < bytes)
        wanted *= 2;
    mem_free(link->frame);
    link->frame = mem_alloc(wanted);
    link->frame_bytes_max = link->frame != NULL ? wanted : 0;
    return link->frame != NULL ? ERR_OK : ERR_OVERLOADED;
}

/* --- without a lock ------------------------------------------------------------------------ */

/* Keys of all items, and which of them are copies of an earlier one that is no probe. */
static void
find_copies(struct embedded_link *link, const struct store_batch *batch)
{
    uint32_t slots = 2;

    while (slots < batch->count * 2)
        slots *= 2;
    memset(link->twins, 0, slots * sizeof(link->twins[0]));
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct store_item *item = &batch->items[i];
        const struct run_key key =
            id_index_key(link->store->ids.secret, item->event->project_id, item->event->event_id);
        uint32_t slot = (uint32_t)key.lo & (slots - 1);

        link->keys[i] = key;
        link->found[i] = FOUND_NOT;
        while (link->twins[slot] != 0 &&
               run_key_compare(link->keys[link->twins[slot] - 1], key) != 0)
            slot = (slot + 1) & (slots - 1);
        if (link->twins[slot] != 0)
            link->found[i] = FOUND_COPY;
        else if (!item->is_probe)
            link->twins[slot] = i + 1;
    }
}

/* Writes the rows of all items that are new into the link's frame. *ret_count 0: there are none. */
static enum err
encode_rows(struct embedded_link *link, const struct store_batch *batch, uint32_t *ret_count)
{
    struct frame_header header;
    uint8_t *place = NULL;
    size_t bytes = 0;
    uint32_t count = 0;
    enum err err = ERR_OK;

    for (uint32_t i = 0; i < batch->count; i++) {
        if (link->found[i] != FOUND_NOT || batch->items[i].is_probe)
            continue;
        bytes += row_bytes(batch->items[i].event);
        count++;
    }
    *ret_count = count;
    if (count == 0)
        return ERR_OK;
    if (bytes > FRAME_PAYLOAD_BYTES_MAX)
        return ERR_OVERLOADED;
    err = reserve_frame(link, sizeof(header) + segment_pad(bytes));
    if (err != ERR_OK)
        return err;
    place = link->frame + sizeof(header);
    for (uint32_t i = 0; i < batch->count; i++)
        if (link->found[i] == FOUND_NOT && !batch->items[i].is_probe)
            place = row_write(place, batch->items[i].event);
    memset(place, 0, segment_pad(bytes) - bytes);
    frame_header_prepare(FRAME_ROWS, count, (uint32_t)bytes,
                         frame_payload_crc(link->frame + sizeof(header), (uint32_t)bytes), &header);
    memcpy(link->frame, &header, sizeof(header));
    return ERR_OK;
}

/* --- under the lock ------------------------------------------------------------------------ */

/* New events among the items. */
static uint32_t
count_new(const struct embedded_link *link, const struct store_batch *batch)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < batch->count; i++)
        count += link->found[i] == FOUND_NOT && !batch->items[i].is_probe;
    return count;
}

/* Appends the frame as it stands, and enters its ids. */
static enum err
append(struct embedded_link *link, const struct store_batch *batch, uint32_t count,
       struct diag *diag)
{
    struct embedded *store = link->store;
    enum err err = ERR_OK;

    if (embedded_is_disk_full(store))
        return ERR_STORAGE_FULL;
    if (!id_index_has_room(&store->ids, count))
        return ERR_OVERLOADED;
    err = ledger_append(store->ledger, link->frame, diag);
    if (err == ERR_FATAL)
        atomic_store(&store->is_fatal, true);
    if (err != ERR_OK)
        return err;
    for (uint32_t i = 0; i < batch->count; i++)
        if (link->found[i] == FOUND_NOT && !batch->items[i].is_probe)
            id_index_add_young(&store->ids, link->keys[i]);
    return ERR_OK;
}

/* The part under the lock. *io_count: rows in the frame, before and after. */
static enum err
commit_locked(struct embedded_link *link, const struct store_batch *batch, uint64_t covered,
              uint32_t *io_count, struct diag *diag)
{
    struct embedded *store = link->store;
    enum err err = ERR_OK;
    uint32_t count = 0;

    if (atomic_load(&store->is_fatal))
        return ERR_FATAL;
    if (id_index_covered(&store->ids) > covered) {
        CLEANUP(run_snapshot_free)
        struct run_snapshot *snapshot = run_set_snapshot(store->ids.runs);

        err = run_snapshot_probe(snapshot, covered, link->keys, batch->count, link->found, NULL,
                                 diag);
        if (err != ERR_OK)
            return err;
    }
    id_index_probe_young(&store->ids, link->keys, batch->count, link->found);
    count = count_new(link, batch);
    if (count != *io_count)
        err = encode_rows(link, batch, &count);
    *io_count = count;
    if (err != ERR_OK || count == 0)
        return err;
    return append(link, batch, count, diag);
}

/* --- the whole ----------------------------------------------------------------------------- */

static enum err
commit(struct embedded_link *link, const struct store_batch *batch, uint32_t *ret_count,
       struct diag *diag)
{
    CLEANUP(run_snapshot_free) struct run_snapshot *snapshot = NULL;
    struct embedded *store = link->store;
    uint64_t covered = 0;
    enum err err = reserve_items(link, batch->count);

    if (err != ERR_OK)
        return err;
    find_copies(link, batch);
    snapshot = run_set_snapshot(store->ids.runs);
    covered = run_snapshot_covered(snapshot);
    err = run_snapshot_probe(snapshot, 0, link->keys, batch->count, link->found, NULL, diag);
    if (err == ERR_OK)
        err = encode_rows(link, batch, ret_count);
    if (err != ERR_OK)
        return err;
    if (store->config.between_probes != NULL)
        store->config.between_probes(store->config.between_probes_state);
    pthread_mutex_lock(&store->commit_lock);
    err = commit_locked(link, batch, covered, ret_count, diag);
    pthread_mutex_unlock(&store->commit_lock);
    return err;
}

/* Errors a caller knows; the others are told to the sink and become one of them. */
static enum err
answer_error(struct embedded *store, enum err err, const struct diag *diag)
{
    if (err == ERR_OK || err == ERR_STORAGE_FULL || err == ERR_OVERLOADED)
        return err;
    if (err == ERR_FATAL) {
        embedded_fail(store, diag->message);
        return ERR_FATAL;
    }
    if (err == ERR_NOMEM)
        return ERR_OVERLOADED;
    if (err != ERR_CORRUPT || !atomic_exchange(&store->is_index_damaged, true))
        SINK(store->config.sink, LOG_LEVEL_ERROR, "ledger.commit_failed",
             LOG_TEXT("code", err_name(err)), LOG_TEXT("reason", diag->message));
    return ERR_NOT_READY;
}

static void
give_verdicts(const struct embedded_link *link, struct store_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        struct store_item *item = &batch->items[i];

        if (link->found[i] != FOUND_NOT)
            item->verdict = STORE_DUPLICATE;
        else
            item->verdict = item->is_probe ? STORE_ABSENT : STORE_ACCEPTED;
    }
}

void
embedded_submit(struct store_link *base, struct store_batch *batch)
{
    struct embedded_link *link = (struct embedded_link *)base;
    struct embedded *store = link->store;
    const int64_t began_ns = clock_steady_ns(store->config.clock);
    struct diag diag = DIAG_INIT;
    uint32_t count = 0;

    for (uint32_t i = 0; i < batch->count; i++)
        batch->items[i].verdict = STORE_PENDING;
    batch->accepted_count = 0;
    batch->position = (struct store_position){0};
    batch->err = answer_error(store, commit(link, batch, &count, &diag), &diag);
    if (batch->err == ERR_OK) {
        give_verdicts(link, batch);
        batch->accepted_count = count;
        batch->position = embedded_position(store, atomic_load(&store->ledger->durable_seq));
        if (count != 0) {
            embedded_tell_waiters(store);
            store_count_commit(count,
                               (double)(clock_steady_ns(store->config.clock) - began_ns) / 1e9);
            embedded_show_bytes(store);
        }
    }
    if (link->frame_bytes_max > FRAME_KEPT_BYTES) {
        mem_free(link->frame);
        link->frame = NULL;
        link->frame_bytes_max = 0;
    }
    batch->done(batch);
}
