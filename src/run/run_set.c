/*
 * run_set - open, add and close a set of runs; see run.h, run_set.h.
 *
 * Opening: names tell what each run covers. Walking up from 0, at each point the run that reaches
 * furthest and is sound is taken; runs that lie within one taken are what a merge left behind, and
 * go. Where none is sound the set ends, and what stands beyond cannot be used: it goes too, and is
 * rebuilt by the owner.
 */
#include "run/run_set.h"
#include "base/mem.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define MERGE_WIDTH 4
#define PARTITION_KEYS (UINT32_C(1) << 19)
#define BUCKET_KEYS 8 /* of sorting: wanted mean */

void
run_clear(struct run *run)
{
    if (run->parts != NULL)
        run_parts_free(&run->parts, run->file->partition_bits);
    run_file_free(&run->file);
}

uint32_t
run_set_partition_bits(const struct run_set *set, uint64_t keys)
{
    uint32_t bits = 0;

    while (bits < RUN_PARTITION_BITS_MAX && (keys >> bits) > set->config.partition_keys)
        bits++;
    return bits;
}

enum err
run_set_publish(struct run_set *set)
{
    CLEANUP(mem_free_ptr) struct run_view *views = NULL;
    struct run_snapshot *snapshot = NULL;
    const uint32_t count = set->run_count + (set->merge != NULL ? 1 : 0);
    uint64_t covered = 0;
    enum err err = ERR_OK;

    views = MEM_NEW(struct run_view, (size_t)count + 1);
    if (views == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < set->run_count; i++) {
        const struct run *run = &set->runs[i];

        views[i] = (struct run_view){.covered_from = run->file->info.covered_from,
                                     .covered_to = run->file->info.covered_to,
                                     .keys = run->file->info.keys,
                                     .file_bytes = run->file->info.bytes,
                                     .partition_bits = run->file->partition_bits,
                                     .parts = run->parts};
        covered = run->file->info.covered_to;
    }
    if (set->merge != NULL)
        views[set->run_count] = set->merge->done;
    err = snapshot_new(views, count, covered, &snapshot);
    if (err != ERR_OK)
        return err;
    err = snapshot_publish(&set->box, snapshot);
    if (err != ERR_OK)
        snapshot_discard(&snapshot);
    return err;
}

/* --- opening ------------------------------------------------------------------------------- */

static void
tell_discarded(const struct run_set *set, const char *path, const char *why)
{
    if (set->config.discarded != NULL)
        set->config.discarded(set->config.discarded_state, path, why);
}

/* A damaged run keeps its bytes under another name; others can be made again and go. */
static enum err
discard_run(const struct run_set *set, const char *path, const char *why, bool is_damaged,
            struct diag *diag)
{
    char aside[FILE_PATH_MAX];
    enum err err = ERR_OK;

    if (is_damaged) {
        const int len = snprintf(aside, sizeof(aside), "%s.damaged", path);

        if (len < 0 || len >= (int)sizeof(aside))
            return ERR_INVALID;
        err = file_rename(path, aside, diag);
    } else {
        err = file_unlink_gently(path, diag);
    }
    if (err == ERR_OK && why != NULL)
        tell_discarded(set, path, why);
    return err;
}

/* Room for one more run. */
static enum err
reserve_run(struct run_set *set)
{
    struct run *grown = NULL;
    const uint32_t wanted = set->runs_max == 0 ? 16 : set->runs_max * 2;

    if (set->run_count < set->runs_max)
        return ERR_OK;
    if (wanted > RUNS_MAX)
        return ERR_FULL;
    grown = mem_realloc(set->runs, wanted * sizeof(struct run));
    if (grown == NULL)
        return ERR_NOMEM;
    set->runs = grown;
    set->runs_max = wanted;
    return ERR_OK;
}

/* Takes the run into the set, or discards it; the error is one that ends the opening. */
static enum err
open_run(struct run_set *set, const char *path, uint64_t from, uint64_t to, struct diag *diag)
{
    struct run run = {.file = NULL};
    struct diag why = DIAG_INIT;
    uint64_t offset = 0;
    enum err err = reserve_run(set);

    if (err != ERR_OK)
        return err;
    if (to > set->config.covered_max)
        return discard_run(set, path, "it covers more than its owner holds", false, diag);
    err = run_file_open(path, &run.file, &run.parts, &offset, &why);
    if (err == ERR_OK && (run.file->info.covered_from != from || run.file->info.covered_to != to)) {
        diag_set(&why, "%s: the run's name and header tell different things", path);
        err = ERR_CORRUPT;
    }
    if (err == ERR_CORRUPT) {
        run_clear(&run);
        return discard_run(set, path, why.message, true, diag);
    }
    if (err != ERR_OK) {
        if (diag != NULL)
            *diag = why;
        return err;
    }
    if (memcmp(run.file->info.owner, set->config.owner, RUN_OWNER_BYTES) != 0 ||
        run.file->info.payload_bytes != set->config.payload_bytes) {
        run_clear(&run);
        return discard_run(set, path, "it belongs to another owner", false, diag);
    }
    set->runs[set->run_count++] = run;
    atomic_store(&set->covered, to);
    return ERR_OK;
}

struct named_run {
    uint64_t from;
    uint64_t to;
    const char *name;
};

/* By from; of equals the furthest reaching first. */
static int
compare_named(const void *a, const void *b)
{
    const struct named_run *left = a;
    const struct named_run *right = b;

    if (left->from != right->from)
        return left->from < right->from ? -1 : 1;
    return (left->to < right->to) - (left->to > right->to);
}

static enum err
open_named(struct run_set *set, const struct named_run *named, size_t count, struct diag *diag)
{
    char path[FILE_PATH_MAX];
    enum err err = ERR_OK;

    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        const uint64_t covered = atomic_load(&set->covered);

        if (!file_path(path, set->dir, named[i].name))
            return ERR_INVALID;
        if (named[i].from == covered && named[i].to > covered)
            err = open_run(set, path, named[i].from, named[i].to, diag);
        else if (named[i].to <= covered)
            err = discard_run(set, path, NULL, false, diag); /* a merge left it behind */
        else
            err = discard_run(set, path, "what comes before it is missing", false, diag);
    }
    return err;
}

static enum err
open_dir(struct run_set *set, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    CLEANUP(mem_free_ptr) struct named_run *named = NULL;
    char path[FILE_PATH_MAX];
    size_t count = 0;
    enum err err = file_make_dir(set->dir, diag);

    if (err == ERR_OK)
        err = file_list_dir(set->dir, &list, diag);
    if (err != ERR_OK)
        return err;
    named = MEM_NEW(struct named_run, list.count + 1);
    if (named == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < list.count; i++) {
        const size_t len = strlen(list.names[i]);

        if (run_name_parse(list.names[i], &named[count].from, &named[count].to)) {
            named[count++].name = list.names[i];
        } else if (len > 8 && strcmp(list.names[i] + len - 8, ".run.tmp") == 0) {
            if (!file_path(path, set->dir, list.names[i]))
                return ERR_INVALID;
            err = file_unlink_gently(path, diag);
            if (err != ERR_OK)
                return err;
        }
    }
    qsort(named, count, sizeof(named[0]), compare_named);
    err = open_named(set, named, count, diag);
    /* What was discarded must not come back after a power cut, when the owner has grown past it. */
    return err == ERR_OK ? file_sync_dir(set->dir, diag) : err;
}

enum err
run_set_open(const struct run_set_config *config, struct run_set **ret_set, struct diag *diag)
{
    CLEANUP(run_set_close) struct run_set *set = NULL;
    enum err err = ERR_OK;

    assert(config->payload_bytes == 0 || config->payload_bytes == 4);
    assert(config->merge_width <= MERGE_WIDTH_MAX && config->merge_width != 1);
    set = MEM_NEW(struct run_set, 1);
    if (set == NULL)
        return ERR_NOMEM;
    pthread_mutex_init(&set->lock, NULL);
    set->config = *config;
    if (set->config.merge_width == 0)
        set->config.merge_width = MERGE_WIDTH;
    if (set->config.partition_keys == 0)
        set->config.partition_keys = PARTITION_KEYS;
    set->dir = mem_strdup(config->dir);
    if (set->dir == NULL)
        return ERR_NOMEM;
    set->config.dir = set->dir;
    err = open_dir(set, diag);
    if (err == ERR_OK)
        err = run_set_publish(set);
    if (err != ERR_OK)
        return err;
    *ret_set = MOVE(set);
    return ERR_OK;
}

void
run_set_close(struct run_set **set_ptr)
{
    struct run_set *set = *set_ptr;

    *set_ptr = NULL;
    if (set == NULL)
        return;
    snapshot_box_close(&set->box);
    merge_free(&set->merge);
    for (uint32_t i = 0; i < set->run_count; i++)
        run_clear(&set->runs[i]);
    mem_free(set->runs);
    pthread_mutex_destroy(&set->lock);
    mem_free(set->dir);
    mem_free(set);
}

uint64_t
run_set_covered(struct run_set *set)
{
    return atomic_load(&set->covered);
}

struct run_snapshot *
run_set_snapshot(struct run_set *set)
{
    return snapshot_take(&set->box);
}

void
run_set_stats(struct run_set *set, struct run_set_stats *ret_stats)
{
    CLEANUP(run_snapshot_free) struct run_snapshot *snapshot = run_set_snapshot(set);

    *ret_stats = (struct run_set_stats){.keys = snapshot->keys,
                                        .file_bytes = snapshot->file_bytes,
                                        .memory_bytes = snapshot->memory_bytes,
                                        .covered = snapshot->covered,
                                        .runs = snapshot->view_count};
}

/* --- adding -------------------------------------------------------------------------------- */

static int
compare_entries(const void *a, const void *b)
{
    const struct run_entry *left = a;
    const struct run_entry *right = b;
    const int order = run_key_compare(left->key, right->key);

    if (order != 0)
        return order;
    return (left->payload > right->payload) - (left->payload < right->payload);
}

static void
sort_bucket(struct run_entry *entries, size_t count)
{
    if (count > (size_t)8 * BUCKET_KEYS) { /* keys that are no hashes */
        qsort(entries, count, sizeof(entries[0]), compare_entries);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        const struct run_entry entry = entries[i];
        size_t k = i;

        for (; k > 0 && compare_entries(&entries[k - 1], &entry) > 0; k--)
            entries[k] = entries[k - 1];
        entries[k] = entry;
    }
}

/* Keys are uniform: one pass drops them into buckets by their leading bits, of a few keys each. */
static enum err
sort_entries(struct run_entry *entries, size_t count)
{
    CLEANUP(mem_free_ptr) struct run_entry *sorted = NULL;
    CLEANUP(mem_free_ptr) size_t *starts = NULL;
    unsigned bits = 1;

    while (bits < 24 && (count >> bits) > BUCKET_KEYS)
        bits++;
    sorted = MEM_NEW(struct run_entry, count + 1);
    starts = MEM_NEW(size_t, ((size_t)1 << bits) + 1);
    if (sorted == NULL || starts == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        starts[(entries[i].key.hi >> (64 - bits)) + 1]++;
    for (size_t i = 0; i < (size_t)1 << bits; i++)
        starts[i + 1] += starts[i];
    for (size_t i = 0; i < count; i++)
        sorted[starts[entries[i].key.hi >> (64 - bits)]++] = entries[i];
    for (size_t i = 0, first = 0; i < (size_t)1 << bits; first = starts[i], i++)
        sort_bucket(sorted + first,
                    starts[i] - first); /* starts[i] has moved to the bucket's end */
    if (count != 0)
        memcpy(entries, sorted, count * sizeof(entries[0]));
    return ERR_OK;
}

static enum err
write_run(struct run_set *set, const struct run_entry *entries, size_t count, uint64_t covered_to,
          struct run *ret_run, struct diag *diag)
{
    CLEANUP(run_writer_free) struct run_writer *writer = NULL;
    struct run_info info = {.covered_from = run_set_covered(set),
                            .covered_to = covered_to,
                            .payload_bytes = set->config.payload_bytes};
    enum err err = ERR_OK;

    memcpy(info.owner, set->config.owner, RUN_OWNER_BYTES);
    err = run_writer_new(set->dir, &info, run_set_partition_bits(set, count), &writer, diag);
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = run_writer_add(writer, &entries[i], diag);
    if (err == ERR_OK)
        err = run_writer_finish(writer, &ret_run->file, &ret_run->parts, diag);
    return err;
}

enum err
run_set_add(struct run_set *set, struct run_entry *entries, size_t count, uint64_t covered_to,
            struct diag *diag)
{
    struct run run = {.file = NULL};
    const uint64_t covered = run_set_covered(set);
    enum err err = ERR_OK;

    assert(covered_to > covered || (covered_to == covered && count == 0));
    if (covered_to == covered)
        return ERR_OK;
    err = sort_entries(entries, count);
    if (err == ERR_OK)
        err = write_run(set, entries, count, covered_to, &run, diag);
    if (err != ERR_OK)
        return err;
    pthread_mutex_lock(&set->lock);
    err = reserve_run(set);
    if (err == ERR_OK) {
        set->runs[set->run_count++] = run;
        err = run_set_publish(set);
        if (err != ERR_OK)
            set->run_count--;
        else
            atomic_store(&set->covered, covered_to);
    }
    pthread_mutex_unlock(&set->lock);
    if (err != ERR_OK) {
        atomic_store(&run.file->is_superseded, true); /* unlinked as it is closed */
        run_clear(&run);
    }
    return err;
}
