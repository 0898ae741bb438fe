/*
 * erase - one erasure under way: which segments, a step at a time; then files that were set aside.
 * See erase.h.
 *
 * A step looks at one segment. Passed over unread are those that begin behind seq_max, and, of a
 * range of time of receipt, those that were made over DAY_US after its end: what is in a segment
 * was received after it was made, give or take how far a clock was put back, or how long a batch
 * was under way.
 *
 * Files set aside (ledger/cut-…, *.damaged) are raw bytes of rows, kept for people; one that holds
 * a selected row is deleted, and the sink hears of it.
 *
 * Freed ids: the runs of the id index hold keys alone and are made of the ledger, so they are made
 * anew by the next start: ids/rebuild says so (id_index.c). Until then the freed ids are refused
 * still. A deleted project's are not freed that way: its id is never used again.
 */
#include "store/embedded/erase.h"

#include "base/mem.h"
#include "codec/hash.h"
#include <assert.h>
#include <string.h>

#define DAY_US (INT64_C(24) * 3600 * 1000000)
#define PERSON_BYTES_MAX 256

struct erase {
    struct store_erase base; /* first */
    struct embedded *store;
    struct store_erasure erasure;
    uint64_t next_first_seq; /* the next segment begins here or later */
    struct store_erasure_progress progress;
    bool are_segments_done;
};

enum err
embedded_erase_bound(struct store *base, struct selection *selection,
                     struct store_position *ret_position, struct diag *diag)
{
    struct embedded *store = (struct embedded *)base;

    (void)diag;
    selection->seq_max = atomic_load(&store->ledger->durable_seq);
    selection->received_max_us = INT64_MAX;
    *ret_position = embedded_position(store, selection->seq_max);
    return ERR_OK;
}

void
embedded_hash_person(struct store *base, uint32_t project_id, struct slice person,
                     char ret_hash[STORE_PERSON_HASH_TEXT + 1])
{
    const struct embedded *store = (const struct embedded *)base;
    uint8_t input[1 + sizeof(project_id) + PERSON_BYTES_MAX];
    uint8_t digest[HASH_SIPHASH_128_BYTES];
    size_t len = person.len < PERSON_BYTES_MAX ? person.len : PERSON_BYTES_MAX;

    input[0] = 'p'; /* no id of an event begins so: those have the length of the project's id */
    memcpy(input + 1, &project_id, sizeof(project_id));
    memcpy(input + 1 + sizeof(project_id), person.ptr, len);
    hash_siphash_128(store->ids.secret, slice_of((const char *)input, 1 + sizeof(project_id) + len),
                     digest);
    hash_hex(digest, sizeof(digest), ret_hash);
    ret_hash[STORE_PERSON_HASH_TEXT] = '\0';
}

/* --- opening ----------------------------------------------------------------------------------*/

static enum err
roll_if_needed(struct embedded *store, const struct selection *selection, struct diag *diag)
{
    enum err err = ERR_OK;

    pthread_mutex_lock(&store->commit_lock);
    if (store->ledger->has_frames &&
        store->ledger->segments[store->ledger->segment_count - 1].first_seq <= selection->seq_max)
        err = ledger_roll(store->ledger, diag);
    pthread_mutex_unlock(&store->commit_lock);
    if (err == ERR_FATAL)
        embedded_fail(store, "the ledger could not be rolled");
    return err;
}

enum err
embedded_erase_open(struct store *base, const struct store_erasure *erasure,
                    struct store_erase **ret_erase, struct diag *diag)
{
    struct embedded *store = (struct embedded *)base;
    struct erase *erase = MEM_NEW(struct erase, 1);
    enum err err = ERR_OK;

    if (erase == NULL)
        return ERR_NOMEM;
    erase->base.vtable = store->base.vtable;
    erase->store = store;
    erase->erasure = *erasure;
    if (!erasure->is_dry_run)
        err = roll_if_needed(store, &erasure->selection, diag);
    if (err != ERR_OK) {
        mem_free(erase);
        return err;
    }
    pthread_mutex_lock(&store->ledger->lock);
    erase->progress.total = store->ledger->segment_count;
    pthread_mutex_unlock(&store->ledger->lock);
    *ret_erase = &erase->base;
    return ERR_OK;
}

void
embedded_erase_close(struct store_erase *base)
{
    mem_free(base);
}

/* --- the steps --------------------------------------------------------------------------------*/

/* The next segment to look at: in a dry run the active one, too. */
static bool
next_segment(struct erase *erase, uint64_t *ret_first_seq)
{
    struct ledger *ledger = erase->store->ledger;
    const uint32_t skipped = erase->erasure.is_dry_run ? 0 : 1;
    bool is_found = false;

    pthread_mutex_lock(&ledger->lock);
    for (uint32_t i = 0; i + skipped < ledger->segment_count && !is_found; i++) {
        const struct ledger_segment *segment = &ledger->segments[i];

        if (segment->first_seq < erase->next_first_seq)
            continue;
        if (segment->first_seq > erase->erasure.selection.seq_max)
            break;
        *ret_first_seq = segment->first_seq;
        is_found = true;
    }
    pthread_mutex_unlock(&ledger->lock);
    return is_found;
}

/* Nothing in it can have been received within the range. */
static enum err
was_made_later(const struct erase *erase, uint64_t first_seq, bool *ret_was, struct diag *diag)
{
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    const struct selection *selection = &erase->erasure.selection;
    struct segment_header header;
    struct segment_place place;
    char name[SEGMENT_NAME_BYTES];
    char path[FILE_PATH_MAX];
    enum err err;

    *ret_was = false;
    if (selection->kind != SELECTION_RECEIVED || selection->to_us > INT64_MAX - DAY_US)
        return ERR_OK;
    segment_name(first_seq, name);
    if (!file_path(path, erase->store->ledger->dir, name))
        return ERR_INVALID;
    err = segment_reader_open(&reader, path, diag);
    if (err == ERR_OK)
        err = segment_read_header(&reader, &header, &place, diag);
    if (err == ERR_OK)
        *ret_was = header.made_at_us > selection->to_us + DAY_US;
    return err;
}

static bool
is_set_aside(const char *name)
{
    const char *damaged = strstr(name, ".damaged");

    return strncmp(name, "cut-", 4) == 0 || (damaged != NULL && damaged[8] == '\0');
}

static enum err
remove_asides(struct erase *erase, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    const char *dir = erase->store->ledger->dir;
    enum err err = file_list_dir(dir, &list, diag);

    for (size_t i = 0; err == ERR_OK && i < list.count; i++) {
        char path[FILE_PATH_MAX];
        bool is_in = false;

        if (!is_set_aside(list.names[i]) || !file_path(path, dir, list.names[i]))
            continue;
        err = erase_is_in_file(path, &erase->erasure.selection, &is_in, diag);
        if (err != ERR_OK || !is_in)
            continue;
        err = file_unlink(path, diag);
        if (err == ERR_OK)
            SINK(erase->store->config.sink, LOG_LEVEL_WARN, "erasure.aside_removed",
                 LOG_TEXT("file", path),
                 LOG_TEXT("reason", "it held events that were to be erased"));
    }
    return err == ERR_OK ? file_sync_dir(dir, diag) : err;
}

static enum err
finish(struct erase *erase, struct diag *diag)
{
    enum err err = remove_asides(erase, diag);

    if (err == ERR_OK && erase->erasure.frees_ids && erase->erasure.selection.kind != SELECTION_ALL)
        err = id_index_rebuild_at_start(erase->store->data_dir, diag);
    return err;
}

enum err
embedded_erase_step(struct store_erase *base, bool *ret_is_done,
                    struct store_erasure_progress *ret_progress, struct diag *diag)
{
    struct erase *erase = (struct erase *)(void *)base;
    uint64_t first_seq = 0;
    uint64_t events = 0;
    bool is_later = false;
    enum err err = ERR_OK;

    *ret_is_done = false;
    *ret_progress = erase->progress;
    if (!next_segment(erase, &first_seq)) {
        if (!erase->erasure.is_dry_run)
            err = finish(erase, diag);
        erase->progress.done = erase->progress.total;
        *ret_progress = erase->progress;
        *ret_is_done = err == ERR_OK;
        return err;
    }
    err = was_made_later(erase, first_seq, &is_later, diag);
    if (err == ERR_OK && !is_later)
        err = erase_segment(erase->store, &erase->erasure, first_seq, &events, diag);
    if (err != ERR_OK)
        return err;
    erase->next_first_seq = first_seq + 1;
    erase->progress.events += events;
    if (erase->progress.done < erase->progress.total)
        erase->progress.done++;
    *ret_progress = erase->progress;
    return ERR_OK;
}
