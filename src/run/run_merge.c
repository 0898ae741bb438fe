/*
 * run_merge - the keeper's work on a set of runs: merging in tiers, scrubbing.
 *
 * Layer 2 (run). A run's tier is the logarithm of its keys to the base of the merge width.
 * Neighbours are merged when at least `width` of them stand in one tier or below, and the largest
 * is at most half of all: so a key is written again about once a tier, and runs stay O(log n).
 *
 * A merge goes partition by partition of the run it makes, one a step. As soon as one is finished,
 * probes use it (its file has no name yet, but can be read) and the old parts it replaces are let
 * go: memory holds one partition twice, never all. The old files stay until the new one is
 * complete, synced and has its name; a crash before that costs only the work. If a merge must be
 * called off, the old parts are read in again.
 */
#include "base/mem.h"
#include "run/run_set.h"
#include <assert.h>

#define SCRUB_BLOCKS 64

void
merge_free(struct merge **merge_ptr)
{
    struct merge *merge = *merge_ptr;

    *merge_ptr = NULL;
    if (merge == NULL)
        return;
    for (uint32_t i = 0; i < merge->count; i++)
        run_cursor_free(&merge->cursors[i]);
    run_writer_free(&merge->writer);
    run_parts_free(&merge->done.parts, merge->done.partition_bits);
    mem_free(merge->without);
    mem_free(merge);
}

static uint32_t
tier_of(const struct run_set *set, const struct run *run)
{
    uint64_t keys = run->file->info.keys;
    uint32_t tier = 0;

    for (; keys >= set->config.merge_width; keys /= set->config.merge_width)
        tier++;
    return tier;
}

/* The first group due, smallest tiers first. Under the lock. */
static bool
choose_group(const struct run_set *set, uint32_t *ret_first, uint32_t *ret_count)
{
    for (uint32_t tier = 0; tier < 64; tier++) {
        for (uint32_t first = 0; first < set->run_count; first++) {
            uint64_t sum = 0;
            uint64_t largest = 0;
            uint32_t count = 0;

            while (count < MERGE_WIDTH_MAX && first + count < set->run_count &&
                   tier_of(set, &set->runs[first + count]) <= tier) {
                const uint64_t keys = set->runs[first + count].file->info.keys;

                sum += keys;
                largest = keys > largest ? keys : largest;
                count++;
            }
            if (count >= set->config.merge_width && largest <= 2 * (sum - largest)) {
                *ret_first = first;
                *ret_count = count;
                return true;
            }
        }
    }
    return false;
}

/* Makes the merge, nothing read or written yet. Under the lock. */
static enum err
merge_begin(struct run_set *set, uint32_t first, uint32_t count)
{
    CLEANUP(merge_free) struct merge *merge = MEM_NEW(struct merge, 1);
    uint64_t keys = 0;
    enum err err = ERR_OK;

    if (merge == NULL)
        return ERR_NOMEM;
    merge->first = first;
    merge->count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct run *run = &set->runs[first + i];

        keys += run->file->info.keys;
        err = run_cursor_new(run->parts, run->file, &merge->cursors[i]);
        if (err != ERR_OK)
            return err;
    }
    merge->done = (struct run_view){
        .covered_from = set->runs[first].file->info.covered_from,
        .covered_to = set->runs[first + count - 1].file->info.covered_to,
        .partition_bits = run_set_partition_bits(set, keys),
    };
    merge->done.parts = MEM_NEW(struct run_part *, (size_t)1 << merge->done.partition_bits);
    if (merge->done.parts == NULL)
        return ERR_NOMEM;
    set->merge = MOVE(merge);
    return ERR_OK;
}

/* Opens what is written, goes to the first entries of what is read. */
static enum err
merge_start(struct run_set *set, struct merge *merge, struct diag *diag)
{
    struct run_info info = {.covered_from = merge->done.covered_from,
                            .covered_to = merge->done.covered_to,
                            .payload_bytes = set->config.payload_bytes};
    enum err err = ERR_OK;

    memcpy(info.owner, set->config.owner, RUN_OWNER_BYTES);
    err = run_writer_new(set->dir, &info, merge->done.partition_bits, &merge->writer, diag);
    for (uint32_t i = 0; i < merge->count && err == ERR_OK; i++)
        err = run_cursor_next(merge->cursors[i], diag);
    return err;
}

/* Whether it is one of the keys to be left out. They and the keys asked for rise. */
static bool
is_left_out(struct merge *merge, struct run_key key)
{
    while (merge->without_next < merge->without_count &&
           run_key_compare(merge->without[merge->without_next], key) < 0)
        merge->without_next++;
    return merge->without_next < merge->without_count &&
           run_key_compare(merge->without[merge->without_next], key) == 0;
}

/* Writes the keys of one partition from all cursors. */
static enum err
merge_partition(struct merge *merge, struct diag *diag)
{
    const uint32_t partition = run_writer_partition(merge->writer);
    enum err err = ERR_OK;

    while (err == ERR_OK) {
        const struct run_entry *least = NULL;
        uint32_t from = 0;

        for (uint32_t i = 0; i < merge->count; i++) {
            const struct run_entry *entry = run_cursor_entry(merge->cursors[i]);

            if (entry != NULL && (least == NULL || run_key_compare(entry->key, least->key) < 0)) {
                least = entry;
                from = i;
            }
        }
        if (least == NULL || run_partition_of(least->key, merge->done.partition_bits) > partition)
            break;
        if (!is_left_out(merge, least->key))
            err = run_writer_add(merge->writer, least, diag);
        if (err == ERR_OK)
            err = run_cursor_next(merge->cursors[from], diag);
    }
    return err == ERR_OK ? run_writer_end_partition(merge->writer, diag) : err;
}

/* Lets probes use the partition just finished, and lets go of old parts that end with it or before.
 */
static enum err
merge_show_partition(struct run_set *set, struct merge *merge)
{
    const uint32_t done = run_writer_partition(merge->writer);
    const uint32_t bits = merge->done.partition_bits;
    struct run_part *old[MERGE_WIDTH_MAX] = {NULL};
    enum err err = ERR_OK;

    pthread_mutex_lock(&set->lock);
    merge->done.parts[done - 1] = run_writer_parts(merge->writer)[done - 1];
    if (merge->done.parts[done - 1] != NULL)
        run_part_hold(merge->done.parts[done - 1]);
    for (uint32_t i = 0; i < merge->count; i++) {
        struct run *run = &set->runs[merge->first + i];
        const uint32_t run_bits = run->file->partition_bits;
        /* a run has at most as many partitions as the sum of it and others */
        const uint32_t shift = bits >= run_bits ? bits - run_bits : 0;

        if (bits >= run_bits && (done & ((UINT32_C(1) << shift) - 1)) == 0) {
            old[i] = run->parts[(done >> shift) - 1];
            run->parts[(done >> shift) - 1] = NULL;
        }
    }
    err = run_set_publish(set);
    if (err != ERR_OK) { /* nothing is let go; the old parts go on serving beside the new one */
        for (uint32_t i = 0; i < merge->count; i++) {
            struct run *run = &set->runs[merge->first + i];

            if (old[i] != NULL)
                run->parts[(done >> (bits - run->file->partition_bits)) - 1] = MOVE(old[i]);
        }
    }
    pthread_mutex_unlock(&set->lock);
    for (uint32_t i = 0; i < merge->count; i++)
        run_part_free(&old[i]);
    return err;
}

/* The new run takes the place of the old ones, which are unlinked when their last holder leaves. */
static enum err
merge_finish(struct run_set *set, struct merge *merge, struct diag *diag)
{
    struct run old[MERGE_WIDTH_MAX];
    struct run merged = {.file = NULL};
    enum err err = run_writer_finish(merge->writer, &merged.file, &merged.parts, diag);

    if (err != ERR_OK)
        return err;
    pthread_mutex_lock(&set->lock);
    memcpy(old, &set->runs[merge->first], merge->count * sizeof(old[0]));
    set->runs[merge->first] = merged;
    memmove(&set->runs[merge->first + 1], &set->runs[merge->first + merge->count],
            (set->run_count - merge->first - merge->count) * sizeof(old[0]));
    set->run_count -= merge->count - 1;
    set->merge = NULL;
    err = run_set_publish(set);
    if (err != ERR_OK) {
        /* The last snapshot serves on, with the same keys; the next one made will be of the new
         * list. */
        diag_set(diag, "%s: merged, but not in use yet", merged.file->path);
    }
    pthread_mutex_unlock(&set->lock);
    for (uint32_t i = 0; i < merge->count; i++) {
        if (merge->count > 1) /* else the new file has its name, and is what would be unlinked */
            atomic_store(&old[i].file->is_superseded, true);
        run_clear(&old[i]);
    }
    merge_free(&merge);
    return err;
}

/* Reads parts that were let go in again, and forgets the merge. May itself fail, and be tried
 * again. */
static enum err
merge_call_off(struct run_set *set, struct diag *diag)
{
    struct merge *merge = set->merge;
    struct run whole[MERGE_WIDTH_MAX] = {{.file = NULL}};
    uint64_t offset = 0;
    enum err err = ERR_OK;

    merge->is_failed = true;
    for (uint32_t i = 0; i < merge->count && err == ERR_OK; i++)
        err = run_file_open(run_cursor_path(merge->cursors[i]), &whole[i].file, &whole[i].parts,
                            &offset, diag);
    if (err == ERR_OK) {
        pthread_mutex_lock(&set->lock);
        for (uint32_t i = 0; i < merge->count; i++) {
            const struct run run = set->runs[merge->first + i];

            set->runs[merge->first + i] = whole[i];
            whole[i] = run;
        }
        set->merge = NULL;
        err = run_set_publish(set);
        if (err != ERR_OK)
            set->merge = merge;
        pthread_mutex_unlock(&set->lock);
    }
    if (err == ERR_OK)
        merge_free(&merge);
    for (uint32_t i = 0; i < MERGE_WIDTH_MAX; i++)
        run_clear(&whole[i]);
    return err;
}

/* One partition, and what follows from it. `err`: of what came before. */
static enum err
merge_go_on(struct run_set *set, enum err err, bool *ret_did_work, struct diag *diag)
{
    if (err == ERR_OK)
        err = merge_partition(set->merge, diag);
    if (err == ERR_OK)
        err = merge_show_partition(set, set->merge);
    if (err == ERR_OK &&
        run_writer_partition(set->merge->writer) == UINT32_C(1) << set->merge->done.partition_bits)
        err = merge_finish(set, set->merge, diag);
    *ret_did_work = err == ERR_OK;
    if (err != ERR_OK && set->merge != NULL) {
        const enum err restored = merge_call_off(set, NULL); /* if not: at the next step */

        (void)restored;
    }
    return err;
}

enum err
run_set_merge_step(struct run_set *set, bool *ret_did_work, struct diag *diag)
{
    enum err err = ERR_OK;

    *ret_did_work = false;
    if (set->merge != NULL && set->merge->is_failed) {
        err = merge_call_off(set, diag);
        if (err != ERR_OK)
            return err;
    }
    if (set->merge == NULL) {
        uint32_t first = 0;
        uint32_t count = 0;
        bool is_due = false;

        pthread_mutex_lock(&set->lock);
        is_due = choose_group(set, &first, &count);
        if (is_due)
            err = merge_begin(set, first, count);
        pthread_mutex_unlock(&set->lock);
        if (!is_due || err != ERR_OK)
            return err;
        err = merge_start(set, set->merge, diag);
    }
    return merge_go_on(set, err, ret_did_work, diag);
}

/* --- removing ------------------------------------------------------------------------------ */

/* Only the keeper changes a run's parts, so they are looked at without the lock. */
static enum err
run_holds_any(const struct run *run, const struct run_key *keys, uint32_t count, bool *ret_holds,
              struct diag *diag)
{
    enum err err = ERR_OK;

    *ret_holds = false;
    for (uint32_t i = 0; i < count && err == ERR_OK && !*ret_holds; i++) {
        const struct run_part *part =
            run->parts[run_partition_of(keys[i], run->file->partition_bits)];
        uint32_t payload = 0;
        struct filter_place place;

        if (part == NULL)
            continue;
        place = filter_place_of(&part->filter, run_filter_key(keys[i]));
        if (filter_passes(&part->filter, &place))
            err = run_part_find(part, keys[i], ret_holds, &payload, diag);
    }
    return err;
}

/* The first run that holds one of the keys. */
static enum err
find_holder(struct run_set *set, const struct run_key *keys, uint32_t count, uint32_t *ret_i,
            bool *ret_is_found, struct diag *diag)
{
    enum err err = ERR_OK;

    *ret_is_found = false;
    for (uint32_t i = 0; err == ERR_OK; i++) {
        struct run run = {.file = NULL};

        pthread_mutex_lock(&set->lock); /* the list may grow meanwhile, and move */
        if (i < set->run_count)
            run = set->runs[i];
        pthread_mutex_unlock(&set->lock);
        if (run.file == NULL)
            return ERR_OK;
        err = run_holds_any(&run, keys, count, ret_is_found, diag);
        if (*ret_is_found) {
            *ret_i = i;
            return err;
        }
    }
    return err;
}

enum err
run_set_remove_step(struct run_set *set, const struct run_key *keys, uint32_t count,
                    bool *ret_did_work, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct run_key *without = NULL;
    uint32_t i = 0;
    bool is_found = false;
    enum err err = ERR_OK;

    *ret_did_work = false;
    if (set->merge != NULL)
        return run_set_merge_step(set, ret_did_work, diag);
    err = find_holder(set, keys, count, &i, &is_found, diag);
    if (err != ERR_OK || !is_found)
        return err;
    without = MEM_NEW(struct run_key, count);
    if (without == NULL)
        return ERR_NOMEM;
    memcpy(without, keys, count * sizeof(keys[0]));
    pthread_mutex_lock(&set->lock);
    err = merge_begin(set, i, 1);
    pthread_mutex_unlock(&set->lock);
    if (err != ERR_OK)
        return err;
    set->merge->without = MOVE(without);
    set->merge->without_count = count;
    return merge_go_on(set, merge_start(set, set->merge, diag), ret_did_work, diag);
}

/* --- scrubbing ----------------------------------------------------------------------------- */

/* Checks up to SCRUB_BLOCKS blocks of a part from the set's place on; moves the place. */
static enum err
scrub_blocks(struct run_set *set, const struct run_part *part, uint8_t *bytes, size_t *ret_bytes,
             struct diag *diag)
{
    uint32_t count = part->block_count - set->scrub_block;
    const uint64_t number = part->first_block + set->scrub_block;
    uint32_t entries = 0;
    enum err err = ERR_OK;

    if (count > SCRUB_BLOCKS)
        count = SCRUB_BLOCKS;
    err = file_read_at(part->file->fd, part->file->path, bytes, (size_t)count * RUN_BLOCK_BYTES,
                       number * RUN_BLOCK_BYTES, diag);
    for (uint32_t i = 0; i < count && err == ERR_OK; i++)
        err = run_block_check(part->file, number + i, bytes + (size_t)i * RUN_BLOCK_BYTES, &entries,
                              diag);
    set->scrub_block += count; /* damage is told once a round */
    *ret_bytes += (size_t)count * RUN_BLOCK_BYTES;
    return err;
}

enum err
run_set_scrub_step(struct run_set *set, size_t bytes_max, bool *ret_is_round_done,
                   struct diag *diag)
{
    CLEANUP(run_snapshot_free) struct run_snapshot *snapshot = run_set_snapshot(set);
    CLEANUP(mem_free_ptr) uint8_t *bytes = mem_alloc(SCRUB_BLOCKS * RUN_BLOCK_BYTES);
    size_t done = 0;

    *ret_is_round_done = false;
    if (bytes == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < snapshot->view_count; i++) {
        const struct run_view *view = &snapshot->views[i];

        if (view->covered_to <= set->scrub_to)
            continue; /* read before, in this round */
        for (; set->scrub_part < UINT32_C(1) << view->partition_bits; set->scrub_part++) {
            const struct run_part *part = view->parts[set->scrub_part];

            while (part != NULL && set->scrub_block < part->block_count) {
                const enum err err =
                    done < bytes_max ? scrub_blocks(set, part, bytes, &done, diag) : ERR_OK;

                if (err != ERR_OK || done >= bytes_max)
                    return err;
            }
            set->scrub_block = 0;
        }
        set->scrub_part = 0;
        set->scrub_to = view->covered_to;
    }
    set->scrub_to = 0;
    *ret_is_round_done = true;
    return ERR_OK;
}
