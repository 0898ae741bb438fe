/*
 * snapshot - see snapshot.h; and the probe, which is what snapshots are for.
 */
#include "run/snapshot.h"
#include "base/mem.h"
#include <assert.h>

#define COUNT_BITS 48
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)
/* Stands in the balance until the snapshot is replaced, so that it cannot reach zero before. */
#define BALANCE_PUBLISHED (INT64_C(1) << 60)
#define PROBE_GROUP 64

enum err
snapshot_new(const struct run_view *views, uint32_t view_count, uint64_t covered,
             struct run_snapshot **ret_snapshot)
{
    struct run_snapshot *snapshot = NULL;
    struct run_part **parts = NULL;
    size_t part_count = 0;

    for (uint32_t i = 0; i < view_count; i++)
        part_count += (size_t)1 << views[i].partition_bits;
    snapshot = mem_zalloc(1, sizeof(*snapshot) + view_count * sizeof(snapshot->views[0]) +
                                 part_count * sizeof(struct run_part *));
    if (snapshot == NULL)
        return ERR_NOMEM;
    parts = (struct run_part **)(void *)&snapshot->views[view_count];
    snapshot->covered = covered;
    snapshot->view_count = view_count;
    atomic_init(&snapshot->balance, BALANCE_PUBLISHED);
    for (uint32_t i = 0; i < view_count; i++) {
        const uint32_t count = UINT32_C(1) << views[i].partition_bits;

        snapshot->views[i] = views[i];
        snapshot->views[i].parts = parts;
        snapshot->file_bytes += views[i].file_bytes;
        for (uint32_t k = 0; k < count; k++) {
            struct run_part *part = views[i].parts[k];

            parts[k] = part;
            if (part == NULL)
                continue;
            run_part_hold(part);
            snapshot->keys += part->keys;
            snapshot->memory_bytes += sizeof(*part) + part->lookup_bytes;
        }
        parts += count;
    }
    *ret_snapshot = snapshot;
    return ERR_OK;
}

static void
snapshot_destroy(struct run_snapshot *snapshot)
{
    for (uint32_t i = 0; i < snapshot->view_count; i++)
        for (uint32_t k = 0; k < (UINT32_C(1) << snapshot->views[i].partition_bits); k++)
            run_part_free(&snapshot->views[i].parts[k]);
    if (snapshot->box != NULL)
        atomic_store_explicit(&snapshot->box->slots[snapshot->slot], NULL, memory_order_release);
    mem_free(snapshot);
}

void
snapshot_discard(struct run_snapshot **snapshot)
{
    if (*snapshot != NULL)
        snapshot_destroy(*snapshot);
    *snapshot = NULL;
}

static void
snapshot_retire(struct run_snapshot *snapshot, uint64_t taken)
{
    const int64_t change = (int64_t)taken - BALANCE_PUBLISHED;

    if (atomic_fetch_add_explicit(&snapshot->balance, change, memory_order_acq_rel) + change == 0)
        snapshot_destroy(snapshot);
}

enum err
snapshot_publish(struct snapshot_box *box, struct run_snapshot *snapshot)
{
    uint32_t slot = 1; /* slot 0: an empty box */
    uint64_t before = 0;

    while (slot < SNAPSHOT_SLOTS &&
           atomic_load_explicit(&box->slots[slot], memory_order_acquire) != NULL)
        slot++;
    if (slot == SNAPSHOT_SLOTS)
        return ERR_FULL;
    snapshot->box = box;
    snapshot->slot = slot;
    atomic_store_explicit(&box->slots[slot], snapshot, memory_order_release);
    before =
        atomic_exchange_explicit(&box->head, (uint64_t)slot << COUNT_BITS, memory_order_acq_rel);
    if (before >> COUNT_BITS != 0)
        snapshot_retire(atomic_load(&box->slots[before >> COUNT_BITS]), before & COUNT_MASK);
    return ERR_OK;
}

struct run_snapshot *
snapshot_take(struct snapshot_box *box)
{
    const uint64_t head = atomic_fetch_add_explicit(&box->head, 1, memory_order_acq_rel);

    assert(head >> COUNT_BITS != 0);
    return atomic_load_explicit(&box->slots[head >> COUNT_BITS], memory_order_acquire);
}

void
snapshot_box_close(struct snapshot_box *box)
{
    const uint64_t before = atomic_exchange_explicit(&box->head, 0, memory_order_acq_rel);

    if (before >> COUNT_BITS != 0)
        snapshot_retire(atomic_load(&box->slots[before >> COUNT_BITS]), before & COUNT_MASK);
}

void
run_snapshot_free(struct run_snapshot **snapshot_ptr)
{
    struct run_snapshot *snapshot = *snapshot_ptr;

    *snapshot_ptr = NULL;
    if (snapshot != NULL &&
        atomic_fetch_sub_explicit(&snapshot->balance, 1, memory_order_acq_rel) == 1)
        snapshot_destroy(snapshot);
}

uint64_t
run_snapshot_covered(const struct run_snapshot *snapshot)
{
    return snapshot->covered;
}

/* --- probing ------------------------------------------------------------------------------- */

/* One group of keys against one run: all filter cells are asked for before any is looked at. */
static enum err
probe_group(const struct run_view *view, const struct run_key *keys, uint32_t count, uint8_t *found,
            uint32_t *payloads, struct diag *diag)
{
    struct filter_place places[PROBE_GROUP];
    const struct run_part *parts[PROBE_GROUP];

    for (uint32_t i = 0; i < count; i++) {
        parts[i] =
            found[i] != 0 ? NULL : view->parts[run_partition_of(keys[i], view->partition_bits)];
        if (parts[i] == NULL)
            continue;
        places[i] = filter_place_of(&parts[i]->filter, run_filter_key(keys[i]));
        filter_prefetch(&parts[i]->filter, &places[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        bool is_found = false;
        uint32_t payload = 0;
        enum err err = ERR_OK;

        if (parts[i] == NULL || !filter_passes(&parts[i]->filter, &places[i]))
            continue;
        err = run_part_find(parts[i], keys[i], &is_found, &payload, diag);
        if (err != ERR_OK)
            return err;
        if (!is_found)
            continue;
        found[i] = 1;
        if (payloads != NULL)
            payloads[i] = payload;
    }
    return ERR_OK;
}

enum err
run_snapshot_probe(const struct run_snapshot *snapshot, uint64_t covered_after,
                   const struct run_key *keys, uint32_t count, uint8_t *found, uint32_t *payloads,
                   struct diag *diag)
{
    for (uint32_t i = 0; i < snapshot->view_count; i++) {
        const struct run_view *view = &snapshot->views[i];

        if (view->covered_to <= covered_after)
            continue;
        for (uint32_t first = 0; first < count; first += PROBE_GROUP) {
            const uint32_t in_group = count - first < PROBE_GROUP ? count - first : PROBE_GROUP;
            const enum err err = probe_group(view, keys + first, in_group, found + first,
                                             payloads != NULL ? payloads + first : NULL, diag);

            if (err != ERR_OK)
                return err;
        }
    }
    return ERR_OK;
}
