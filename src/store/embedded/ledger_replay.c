/*
 * ledger_replay - the frames behind a seq once more, for what is derived from the ledger. See
 * ledger.h.
 *
 * At start, before anyone else reads or appends. A segment that was written anew (an erasure)
 * begins with the tombstones of all its gaps. They are given first even where the place to begin at
 * stands behind them: who seals what it was given "up to seq n" then holds every key up to n, and
 * the next start, from n on, meets the tombstones of the gaps behind n again.
 */
#include "store/embedded/ledger.h"
#include <inttypes.h>

/* A segment to be replayed, and where. */
struct replaying {
    struct segment_reader reader;
    struct segment_place place;
    enum err (*each)(void *state, const struct segment_frame *frame, struct diag *diag);
    void *state;
};

/* Frames from `place` on, up to `end`, or up to the first that is none of the tombstones. */
static enum err
replay_frames(struct replaying *work, uint64_t end, bool is_tombstones_only, struct diag *diag)
{
    enum err err = ERR_OK;

    while (err == ERR_OK && work->place.offset < end) {
        struct segment_frame frame;
        enum segment_found found = SEGMENT_END;

        err = segment_read_frame(&work->reader, &work->place, &found, &frame, diag);
        if (err == ERR_OK && found != SEGMENT_FRAME) {
            diag_set(diag, "%s: %s (offset %" PRIu64 "); run `potik doctor` on the data folder",
                     work->reader.path,
                     found == SEGMENT_BAD ? frame.what : "frames are missing at the end",
                     frame.offset);
            return ERR_CORRUPT;
        }
        if (err == ERR_OK && is_tombstones_only && frame.header.kind != FRAME_TOMBSTONES)
            return ERR_OK;
        if (err == ERR_OK)
            err = work->each(work->state, &frame, diag);
    }
    return err;
}

static enum err
replay_segment(const struct ledger *ledger, const struct ledger_segment *segment,
               uint64_t after_seq, struct replaying *work, struct diag *diag)
{
    struct segment_header header;
    char name[SEGMENT_NAME_BYTES];
    char path[FILE_PATH_MAX];
    uint32_t mark = 0;
    enum err err = ERR_OK;

    while (mark + 1 < segment->mark_count && segment->marks[mark + 1].seq <= after_seq + 1)
        mark++;
    segment_name(segment->first_seq, name);
    if (!file_path(path, ledger->dir, name))
        return ERR_INVALID;
    err = segment_reader_open(&work->reader, path, diag);
    if (err == ERR_OK && mark > 0 && segment->tombstones != 0) {
        err = segment_read_header(&work->reader, &header, &work->place, diag);
        if (err == ERR_OK)
            err = replay_frames(work, segment->marks[mark].offset, true, diag);
    }
    work->place = (struct segment_place){.offset = segment->marks[mark].offset,
                                         .next_seq = segment->marks[mark].seq};
    if (err == ERR_OK)
        err = replay_frames(work, segment->end, false, diag);
    segment_reader_close(&work->reader);
    return err;
}

enum err
ledger_replay(struct ledger *ledger, uint64_t after_seq,
              enum err (*each)(void *state, const struct segment_frame *frame, struct diag *diag),
              void *state, struct diag *diag)
{
    struct replaying work = {.reader = {.fd = -1}, .each = each, .state = state};
    enum err err = ERR_OK;

    for (uint32_t i = 0; i < ledger->segment_count && err == ERR_OK; i++) {
        const struct ledger_segment *segment = &ledger->segments[i];

        if (segment->next_seq > after_seq + 1 && segment->mark_count != 0)
            err = replay_segment(ledger, segment, after_seq, &work, diag);
    }
    return err;
}
