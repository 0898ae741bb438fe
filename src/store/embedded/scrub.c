/*
 * scrub - the keeper reads old segments and runs in turn, so that rot is found while a backup still
 * helps.
 *
 * Layer 3 (store/embedded). A step of 8 MiB at most once in 2 seconds (4 MiB/s); then the next
 * round. What is bad is told by the error; the place has moved on, so the next step goes on behind
 * it.
 */
#include "store/embedded/store_embedded.h"
#include <inttypes.h>

#define STEP_BYTES ((size_t)8 << 20)
#define STEP_NS (2 * NS_PER_S)

void
embedded_scrub_close(struct embedded *store)
{
    segment_reader_close(&store->scrub.reader);
}

/* The first ended segment from scrub.first_seq on. false: none. */
static bool
next_segment(struct embedded *store, uint64_t *ret_first_seq)
{
    struct ledger *ledger = store->ledger;
    bool is_found = false;

    pthread_mutex_lock(&ledger->lock);
    for (uint32_t i = 0; i + 1 < ledger->segment_count && !is_found; i++) {
        if (ledger->segments[i].first_seq < store->scrub.first_seq)
            continue;
        *ret_first_seq = ledger->segments[i].first_seq;
        is_found = true;
    }
    pthread_mutex_unlock(&ledger->lock);
    return is_found;
}

static enum err
open_segment(struct embedded *store, uint64_t first_seq, struct diag *diag)
{
    struct scrub *scrub = &store->scrub;
    struct segment_header header;
    char name[SEGMENT_NAME_BYTES];
    enum err err = ERR_OK;

    segment_name(first_seq, name);
    scrub->first_seq = first_seq + 1; /* whatever comes of it: the next time, the next one */
    if (!file_path(scrub->path, store->ledger->dir, name))
        return ERR_INVALID;
    err = segment_reader_open(&scrub->reader, scrub->path, diag);
    if (err != ERR_OK)
        return err;
    err = segment_read_header(&scrub->reader, &header, &scrub->place, diag);
    if (err != ERR_OK)
        segment_reader_close(&scrub->reader);
    return err;
}

static enum err
scrub_frames(struct scrub *scrub, struct diag *diag)
{
    const uint64_t until = scrub->place.offset + STEP_BYTES;
    enum segment_found found = SEGMENT_FRAME;
    struct segment_frame frame;
    enum err err = ERR_OK;

    while (err == ERR_OK && found == SEGMENT_FRAME && scrub->place.offset < until)
        err = segment_read_frame(&scrub->reader, &scrub->place, &found, &frame, diag);
    if (err == ERR_OK && found == SEGMENT_BAD) {
        diag_set(diag, "%s: %s (offset %" PRIu64 "); run `potik doctor` on the data folder",
                 scrub->path, frame.what, frame.offset);
        err = ERR_CORRUPT;
    }
    if (err != ERR_OK || found == SEGMENT_END)
        segment_reader_close(&scrub->reader);
    return err;
}

enum err
embedded_scrub(struct embedded *store, struct diag *diag)
{
    struct scrub *scrub = &store->scrub;
    const int64_t now_ns = clock_steady_ns(store->config.clock);
    uint64_t first_seq = 0;
    bool is_round_done = false;
    enum err err = ERR_OK;

    if (now_ns < scrub->next_ns)
        return ERR_OK;
    scrub->next_ns = now_ns + STEP_NS;
    if (scrub->reader.path == NULL && !scrub->is_at_runs) {
        if (next_segment(store, &first_seq))
            err = open_segment(store, first_seq, diag);
        else
            scrub->is_at_runs = true;
        if (err != ERR_OK)
            return err;
    }
    if (scrub->reader.path != NULL)
        return scrub_frames(scrub, diag);
    err = run_set_scrub_step(store->ids.runs, STEP_BYTES, &is_round_done, diag);
    if (is_round_done) {
        scrub->is_at_runs = false;
        scrub->first_seq = 0;
    }
    return err;
}
