/*
 * erase - an erasure of the ledger: which segments are written anew, a step at a time. See store.h,
 * "Erasing events"; one segment: erase_segment.c; files set aside: erase_aside.c; ids that may be
 * stored again: erase_free.c.
 *
 * Layer 3 (store/embedded), the keeper's thread.
 *
 * A step looks through one segment and, if it holds selected rows, writes it anew without them.
 * Only ended segments are written anew; where the active one holds such rows it is rolled first,
 * under the commit lock, as an append does when it is full. That, and changing an entry of the list
 * of segments, is all that others can wait for. The last step looks through the files set aside.
 *
 * Nothing is remembered on disk (but keys to be freed). A kill leaves each segment old or new; run
 * again from the start, what is gone already is not found again, so the erasure ends all the same.
 * Keys of the rows that went stay in the runs and the young table of the id index, and in the
 * segment's tombstones, from which the index can be made anew: at no moment is an erased id taken
 * for a new one.
 *
 * Passed over without being read are:
 *
 *   segments that begin behind seq_max
 *   of a range of received_at: a segment that was made DAY_US or more after the range ended, or
 *   whose successor was made over DAY_US before it began. A row was received about between the two
 *   moments; the day is for clocks that were set and for requests that took their time. A made_at
 *   of 0 (a repair did not know it) tells nothing
 *
 * occurred_at is the client's word and bounds nothing: such a range reads all segments.
 */
#include "store/embedded/erase.h"
#include "base/mem.h"
#include "codec/hash.h"
#include <assert.h>
#include <string.h>

#define PERSON_BYTES_MAX 256 /* of a user_id or an anonymous_id */
#define DAY_US (INT64_C(24) * 3600 * US_PER_S)

struct erase {
    struct store_erase base;
    struct embedded *store;
    struct store_erasure erasure;
    struct store_erasure_progress progress;
    uint32_t next;      /* number of the segment to look at */
    bool is_sync_due;   /* a rename in ledger/ may not be durable */
    int old_fd;         /* of the file that rename replaced; −1: none */
    bool is_settle_due; /* a segment that frees ids was not written anew for an error */
    bool is_old_freed;  /* what an earlier erasure has left to free is done */
    bool are_asides_done;
    struct freeing freeing;
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

enum err
embedded_erase_open(struct store *base, const struct store_erasure *erasure,
                    struct store_erase **ret_erase, struct diag *diag)
{
    struct embedded *store = (struct embedded *)base;
    struct ledger_segment segment;
    bool is_active = false;
    struct erase *erase = NULL;

    if (!erasure->is_dry_run) {
        const enum err err = freed_settle(&store->freed, store->ledger, diag);

        if (err != ERR_OK)
            return err;
    }
    erase = MEM_NEW(struct erase, 1);
    if (erase == NULL)
        return ERR_NOMEM;
    erase->base.vtable = base->vtable;
    erase->store = store;
    erase->erasure = *erasure;
    erase->old_fd = -1;
    erase->is_sync_due = !erasure->is_dry_run; /* one before this may have ended between the two */
    for (uint32_t i = 0; ledger_segment_at(store->ledger, i, &segment, &is_active) &&
                         segment.first_seq <= erasure->selection.seq_max;
         i++)
        erase->progress.total++;
    *ret_erase = &erase->base;
    return ERR_OK;
}

void
embedded_erase_close(struct store_erase *base)
{
    struct erase *erase = (struct erase *)base;

    erase_free_close(&erase->freeing);
    file_close(&erase->old_fd);
    mem_free(erase);
}

/* --- which segments ------------------------------------------------------------------------ */

/* 0: unknown. */
static enum err
read_made_at(const struct embedded *store, uint64_t first_seq, int64_t *ret_us, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    struct segment_reader reader;
    struct segment_header header;
    struct segment_place place;
    uint8_t bytes[sizeof(header)];
    char name[SEGMENT_NAME_BYTES];
    char path[FILE_PATH_MAX];
    enum err err = ERR_OK;

    segment_name(first_seq, name);
    if (!file_path(path, store->ledger->dir, name))
        return ERR_INVALID;
    err = file_open(path, FILE_READ, &fd, diag);
    if (err == ERR_OK)
        err = file_read_at(fd, path, bytes, sizeof(bytes), 0, diag);
    if (err != ERR_OK)
        return err;
    segment_reader_over(&reader, bytes, sizeof(bytes));
    reader.path = path;
    err = segment_read_header(&reader, &header, &place, diag);
    if (err == ERR_OK)
        *ret_us = header.made_at_us;
    return err;
}

/* Whether the segment cannot hold a selected row, by the times it and the next one were made. */
static enum err
is_out_of_range(const struct erase *erase, const struct ledger_segment *segment, bool is_active,
                bool *ret_is_out, struct diag *diag)
{
    const struct selection *selection = &erase->erasure.selection;
    const bool is_range = selection->kind == SELECTION_RECEIVED;
    int64_t made_us = 0;
    int64_t latest_us = 0;
    enum err err = ERR_OK;

    *ret_is_out = false;
    if (!is_range && selection->received_max_us == INT64_MAX)
        return ERR_OK;
    err = read_made_at(erase->store, segment->first_seq, &made_us, diag);
    if (err == ERR_OK && made_us > DAY_US)
        *ret_is_out = (is_range && made_us - DAY_US >= selection->to_us) ||
                      made_us - DAY_US > selection->received_max_us;
    if (err != ERR_OK || *ret_is_out || is_active || !is_range)
        return err;
    err = read_made_at(erase->store, segment->next_seq, &made_us, diag);
    if (err == ERR_OK && made_us != 0 && !__builtin_add_overflow(made_us, DAY_US, &latest_us))
        *ret_is_out = latest_us < selection->from_us;
    return err;
}

/* --- the steps ----------------------------------------------------------------------------- */

/* Ends the segment if it is the active one still, and tells it as it is then. */
static enum err
end_segment(const struct erase *erase, struct ledger_segment *ret_segment, struct diag *diag)
{
    struct embedded *store = erase->store;
    bool is_active = false;
    bool is_there = false;
    enum err err = ERR_OK;

    pthread_mutex_lock(&store->commit_lock);
    is_there = ledger_segment_at(store->ledger, erase->next, ret_segment, &is_active);
    if (is_active)
        err = atomic_load(&store->is_fatal) ? ERR_FATAL : ledger_roll(store->ledger, diag);
    if (err == ERR_FATAL)
        atomic_store(&store->is_fatal, true);
    pthread_mutex_unlock(&store->commit_lock);
    if (err == ERR_FATAL)
        embedded_fail(store, diag != NULL ? diag->message : "");
    if (err == ERR_OK && is_active)
        is_there = ledger_segment_at(store->ledger, erase->next, ret_segment, &is_active);
    assert(err != ERR_OK || (is_there && !is_active)); /* segments only come, at the end */
    return err;
}

/* The scrubber must not keep the old file's bytes on the disk; it goes on with the next segment. */
static void
let_go(struct embedded *store, uint64_t first_seq)
{
    if (store->scrub.reader.path != NULL && store->scrub.first_seq == first_seq + 1)
        embedded_scrub_close(store);
}

static enum err
sync_names(struct erase *erase, struct diag *diag)
{
    enum err err = ERR_OK;

    if (erase->is_sync_due)
        err = file_sync_dir(erase->store->ledger->dir, diag);
    if (err != ERR_OK)
        return err;
    erase->is_sync_due = false;
    file_close_gently(&erase->old_fd);
    return ERR_OK;
}

/* Looks through the segment, and takes what is selected out of it. */
static enum err
erase_segment(struct erase *erase, struct ledger_segment segment, bool is_active, struct diag *diag)
{
    struct embedded *store = erase->store;
    const struct selection *selection = &erase->erasure.selection;
    uint64_t events = 0;
    enum err err = erase_count(store, selection, &segment, is_active, &events, diag);

    if (err == ERR_OK && events != 0 && !erase->erasure.is_dry_run) {
        if (is_active)
            err = end_segment(erase, &segment, diag);
        if (err == ERR_OK)
            err = erase_rewrite(store, &erase->erasure, &segment, events, &erase->old_fd, diag);
        erase->is_settle_due = err != ERR_OK && erase->erasure.frees_ids;
        if (err == ERR_OK) {
            let_go(store, segment.first_seq);
            embedded_show_bytes(store);
            erase->is_sync_due = true;
        }
    }
    if (err == ERR_OK) {
        erase->next++;
        erase->progress.done++;
        erase->progress.events += events;
    }
    return err == ERR_OK ? sync_names(erase, diag) : err;
}

/* Goes to the next segment that may hold a selected row. *ret_has false: there is none. */
static enum err
find_segment(struct erase *erase, struct ledger_segment *ret_segment, bool *ret_is_active,
             bool *ret_has, struct diag *diag)
{
    bool is_out = false;
    enum err err = ERR_OK;

    for (;;) {
        *ret_has =
            ledger_segment_at(erase->store->ledger, erase->next, ret_segment, ret_is_active) &&
            ret_segment->first_seq <= erase->erasure.selection.seq_max;
        if (!*ret_has)
            return ERR_OK;
        err = is_out_of_range(erase, ret_segment, *ret_is_active, &is_out, diag);
        if (err != ERR_OK || !is_out)
            return err;
        erase->next++;
        erase->progress.done++;
    }
}

/* What comes when no segment is left to look at. */
static enum err
finish(struct erase *erase, bool *ret_is_done, struct diag *diag)
{
    enum err err = ERR_OK;

    *ret_is_done = erase->erasure.is_dry_run;
    if (erase->erasure.is_dry_run)
        return ERR_OK;
    if (!erase->are_asides_done) {
        err = erase_asides(erase->store, &erase->erasure.selection, diag);
        erase->are_asides_done = err == ERR_OK;
        *ret_is_done = !erase->erasure.frees_ids;
        return err;
    }
    return erase_free_step(erase->store, &erase->freeing, ret_is_done, diag);
}

static enum err
step(struct erase *erase, bool *ret_is_done, struct diag *diag)
{
    struct ledger_segment segment;
    bool is_active = false;
    bool has = false;
    enum err err = sync_names(erase, diag);

    if (err == ERR_OK && erase->is_settle_due)
        err = freed_settle(&erase->store->freed, erase->store->ledger, diag);
    if (err != ERR_OK)
        return err;
    erase->is_settle_due = false;
    if (!erase->is_old_freed && !erase->erasure.is_dry_run) {
        err = erase_free_step(erase->store, &erase->freeing, &erase->is_old_freed, diag);
        if (erase->is_old_freed)
            erase_free_close(&erase->freeing);
        return err;
    }
    err = find_segment(erase, &segment, &is_active, &has, diag);
    if (err != ERR_OK)
        return err;
    return has ? erase_segment(erase, segment, is_active, diag) : finish(erase, ret_is_done, diag);
}

enum err
embedded_erase_step(struct store_erase *base, bool *ret_is_done,
                    struct store_erasure_progress *ret_progress, struct diag *diag)
{
    struct erase *erase = (struct erase *)base;
    bool is_done = false;
    enum err err = ERR_FATAL;

    if (!atomic_load(&erase->store->is_fatal))
        err = step(erase, &is_done, diag);
    if (err != ERR_OK)
        return err;
    *ret_is_done = is_done;
    *ret_progress = erase->progress;
    return ERR_OK;
}
