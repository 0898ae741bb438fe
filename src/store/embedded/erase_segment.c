/*
 * erase_segment - looks through one segment, and writes it anew without what is selected. See
 * erase.h.
 *
 * The new file has the header of the old one, byte for byte, so the same first seq and time made.
 * Then, in this order:
 *
 *   1. tombstones: keys of the rows that go now (unless their ids are freed: erase_free.c), 64 Ki
 *      of them a frame at most, then those the old file held. They come first, so that a replay has
 *      entered them before it seals anything of this segment (ledger_replay.c).
 *   2. rows and gaps: the rows that stay, with the seqs they had. A frame that loses rows from its
 *      middle falls into several; gaps that meet, old or new, become one.
 *   3. the footer, for what the file holds now.
 *
 * The old file is walked three times: to count (and to see that it is whole: a damaged segment is
 * never written anew here), for the keys, for the rows. So memory is bounded whatever the segment's
 * size: a window to read through, 1 MiB of output, 1 MiB of keys.
 *
 * It is written as NAME.tmp, handed to the disk piece by piece so that no commit's sync waits long,
 * synced, renamed over the old file. A kill leaves the old file and perhaps the .tmp, which the
 * next start removes, or the new file. A reader that has the old file open goes on in it; the page
 * after begins in the new one, with the same seqs (ledger_replace_segment). The old file's room is
 * given back piece by piece, too, when the new name is durable (file_close_gently).
 */
#include "base/counter.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include "store/embedded/erase.h"
#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define OUT_BYTES ((size_t)1 << 20)
#define WRITTEN_REST_NS 20000000 /* behind so many bytes */
#define READ_BYTES ((uint64_t)1 << 16)
#define READ_REST_NS 1000000 /* behind so many, or a frame */

#define KEYS_A_FRAME FREED_RECORD_KEYS_MAX

COUNTER_DEFINE(erased_events, "potik_ledger_erased_events_total", "events erased from the ledger");
COUNTER_DEFINE(rewritten_segments, "potik_ledger_rewritten_segments_total",
               "segments of the ledger written anew without erased events");

/* A segment being looked through, and perhaps written anew. */
struct rewrite {
    struct embedded *store;
    const struct selection *selection;
    const struct ledger_segment *old;
    uint64_t rows_left; /* of the segment without the selected ones */
    bool frees_ids;
    bool is_active;
    uint64_t selected;
    struct segment_reader reader;
    struct segment_header header;
    char path[FILE_PATH_MAX];
    /* what is written */
    char tmp[FILE_PATH_MAX];
    int fd;
    struct ledger_segment fresh; /* its end: behind what has been given to `out` */
    uint32_t chain;
    uint64_t gap;     /* seqs gone since the last frame of rows, no frame written for them yet */
    uint64_t written; /* bytes of the file that have left `out` */
    size_t used;      /* of out */
    uint8_t *out;
    uint32_t key_count;
    struct run_key *keys;
    uint64_t seq_seen; /* durable when the piece before was written */
};

typedef enum err (*look_at)(struct rewrite *work, const struct segment_frame *frame,
                            struct diag *diag);

static void
rewrite_fini(struct rewrite *work)
{
    segment_reader_close(&work->reader);
    file_close(&work->fd);
    mem_free(work->fresh.marks);
    mem_free(work->out);
    mem_free(work->keys);
}

static enum err
rewrite_init(struct rewrite *work, struct embedded *store, const struct selection *selection,
             const struct ledger_segment *segment, struct diag *diag)
{
    char name[SEGMENT_NAME_BYTES];
    enum err err = ERR_OK;

    work->fd = -1;
    work->reader.fd = -1;
    work->store = store;
    work->selection = selection;
    work->old = segment;
    segment_name(segment->first_seq, name);
    if (!file_path(work->path, store->ledger->dir, name))
        return ERR_INVALID;
    err = segment_reader_open(&work->reader, work->path, diag);
    if (err == ERR_OK && work->reader.file_bytes >= segment->end)
        work->reader.file_bytes = segment->end; /* of the active one, no more than is durable */
    return err;
}

/* --- walking ------------------------------------------------------------------------------- */

static enum err
corrupt(const struct rewrite *work, const char *what, uint64_t offset, struct diag *diag)
{
    diag_set(diag, "%s: %s (offset %" PRIu64 "); run `potik doctor` on the data folder", work->path,
             what, offset);
    return ERR_CORRUPT;
}

/*
 * Beside commits each piece that was read or written is followed by a rest: their syncs find the
 * disk free, and the loops a core. Pieces that are read are small, some 80 µs of computing: a
 * kernel that preempts lazily (Linux 6.13 and later) leaves a core to the thread that has it until
 * the next tick, 4 ms later, though a loop was woken for it.
 */
static void
rest(struct rewrite *work, long rest_ns)
{
    const uint64_t seq = atomic_load(&work->store->ledger->durable_seq);
    const struct timespec pause = {.tv_nsec = rest_ns};

    if (seq != work->seq_seen)
        (void)nanosleep(&pause, NULL);
    work->seq_seen = seq;
}

/* Shows all frames but the footer. All is well only where they reach as far as the list tells. */
static enum err
walk(struct rewrite *work, look_at each, struct diag *diag)
{
    struct segment_place place;
    struct segment_frame frame;
    enum segment_found found = SEGMENT_FRAME;
    bool has_footer = false;
    uint64_t rest_at = READ_BYTES;
    enum err err = segment_read_header(&work->reader, &work->header, &place, diag);

    if (err == ERR_OK && work->header.first_seq != work->old->first_seq)
        return corrupt(work, "the segment belongs to another place", 0, diag);
    while (err == ERR_OK && !has_footer) {
        err = segment_read_frame(&work->reader, &place, &found, &frame, diag);
        if (err != ERR_OK)
            return err;
        if (found == SEGMENT_BAD)
            return corrupt(work, frame.what, frame.offset, diag);
        if (found == SEGMENT_END)
            break;
        has_footer = frame.header.kind == FRAME_FOOTER;
        if (place.offset >= rest_at) {
            rest(work, READ_REST_NS);
            rest_at = place.offset + READ_BYTES;
        }
        if (!has_footer)
            err = each(work, &frame, diag);
    }
    if (err == ERR_OK && (place.next_seq != work->old->next_seq || has_footer == work->is_active))
        err = corrupt(work, "frames are missing at the end", place.offset, diag);
    return err;
}

/* The next row of a frame. */
struct row_place {
    const uint8_t *bytes;
    size_t left;
    uint32_t number; /* of the row behind the one given last */
};

/* false: there are no more. The frame has been judged: its rows fit. */
static bool
next_row(const struct segment_frame *frame, struct row_place *place, struct event *ret_event)
{
    size_t len = 0;

    if (place->number == frame->header.count)
        return false;
    len = row_read(place->bytes, place->left, ret_event);
    assert(len != 0);
    place->bytes += len;
    place->left -= len;
    place->number++;
    return true;
}

static struct row_place
first_row(const struct segment_frame *frame)
{
    return (struct row_place){.bytes = frame->payload, .left = frame->header.payload_bytes};
}

static bool
is_selected(const struct rewrite *work, const struct segment_frame *frame,
            const struct row_place *behind, const struct event *event)
{
    return selection_matches(work->selection, event, frame->header.first_seq + behind->number - 1);
}

static enum err
count_frame(struct rewrite *work, const struct segment_frame *frame, struct diag *diag)
{
    struct row_place place = first_row(frame);
    struct event event;

    (void)diag;
    if (frame->header.kind == FRAME_ROWS)
        while (next_row(frame, &place, &event))
            work->selected += is_selected(work, frame, &place, &event);
    return ERR_OK;
}

enum err
erase_count(struct embedded *store, const struct selection *selection,
            const struct ledger_segment *segment, bool is_active, uint64_t *ret_events,
            struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct rewrite *work = MEM_NEW(struct rewrite, 1);
    enum err err = ERR_NOMEM;

    if (work == NULL)
        return err;
    work->is_active = is_active;
    err = rewrite_init(work, store, selection, segment, diag);
    if (err == ERR_OK)
        err = walk(work, count_frame, diag);
    if (err == ERR_OK)
        *ret_events = work->selected;
    rewrite_fini(work);
    return err;
}

/* --- writing ------------------------------------------------------------------------------- */

static enum err
flush(struct rewrite *work, struct diag *diag)
{
    enum err err = file_write_at(work->fd, work->tmp, work->out, work->used, work->written, diag);

    if (err == ERR_OK)
        err = file_write_back(work->fd, work->tmp, work->written, work->written + work->used, diag);
    work->written += work->used;
    work->used = 0;
    rest(work, WRITTEN_REST_NS);
    return err;
}

static enum err
put(struct rewrite *work, const void *bytes, size_t len, struct diag *diag)
{
    const uint8_t *from = bytes;
    enum err err = ERR_OK;

    work->fresh.end += len;
    while (len > 0 && err == ERR_OK) {
        const size_t part = len < OUT_BYTES - work->used ? len : OUT_BYTES - work->used;

        memcpy(work->out + work->used, from, part);
        work->used += part;
        from += part;
        len -= part;
        if (work->used == OUT_BYTES)
            err = flush(work, diag);
    }
    return err;
}

static enum err
put_frame(struct rewrite *work, enum frame_kind kind, uint32_t count, const void *payload,
          uint32_t payload_bytes, struct diag *diag)
{
    static const uint8_t zeros[8];
    const size_t zero_bytes = (size_t)segment_pad(payload_bytes) - payload_bytes;
    const uint32_t payload_crc = crc32c(crc32c(0, payload, payload_bytes), zeros, zero_bytes);
    struct frame_header header;
    enum err err = ledger_add_mark(&work->fresh, work->fresh.next_seq, work->fresh.end);

    if (err != ERR_OK)
        return err;
    frame_header_prepare(kind, count, payload_bytes, payload_crc, &header);
    frame_header_finish(&header, work->fresh.next_seq, work->chain);
    err = put(work, &header, sizeof(header), diag);
    if (err == ERR_OK)
        err = put(work, payload, payload_bytes, diag);
    if (err == ERR_OK)
        err = put(work, zeros, zero_bytes, diag);
    work->chain = header.crc;
    if (kind == FRAME_ROWS || kind == FRAME_GAP)
        work->fresh.next_seq += count;
    work->fresh.rows += kind == FRAME_ROWS ? count : 0;
    work->fresh.tombstones += kind == FRAME_TOMBSTONES ? count : 0;
    return err;
}

static enum err
put_gap(struct rewrite *work, struct diag *diag)
{
    enum err err = ERR_OK;

    while (work->gap > 0 && err == ERR_OK) {
        const uint32_t count = work->gap < UINT32_MAX ? (uint32_t)work->gap : UINT32_MAX;

        err = put_frame(work, FRAME_GAP, count, "", 0, diag);
        work->gap -= count;
    }
    return err;
}

/* `count` rows that stay, one behind the other in the old file. */
static enum err
put_rows(struct rewrite *work, const uint8_t *from, const uint8_t *behind, uint32_t count,
         struct diag *diag)
{
    enum err err = ERR_OK;

    if (count == 0)
        return ERR_OK;
    err = put_gap(work, diag);
    return err == ERR_OK ? put_frame(work, FRAME_ROWS, count, from, (uint32_t)(behind - from), diag)
                         : err;
}

static enum err
put_keys(struct rewrite *work, struct diag *diag)
{
    const uint32_t count = work->key_count;

    work->key_count = 0;
    if (work->frees_ids && count != 0)
        return freed_add(&work->store->freed, work->old->first_seq, work->rows_left, work->keys,
                         count, diag);
    return count == 0 ? ERR_OK
                      : put_frame(work, FRAME_TOMBSTONES, count, work->keys,
                                  count * (uint32_t)sizeof(work->keys[0]), diag);
}

/* --- what of a frame goes where ------------------------------------------------------------ */

static enum err
bury_frame(struct rewrite *work, const struct segment_frame *frame, struct diag *diag)
{
    struct row_place place = first_row(frame);
    struct event event;
    enum err err = ERR_OK;

    if (frame->header.kind != FRAME_ROWS)
        return ERR_OK;
    while (err == ERR_OK && next_row(frame, &place, &event)) {
        if (!is_selected(work, frame, &place, &event))
            continue;
        work->keys[work->key_count++] =
            id_index_key(work->store->ids.secret, event.project_id, event.event_id);
        if (work->key_count == KEYS_A_FRAME)
            err = put_keys(work, diag);
    }
    return err;
}

static enum err
keep_rows(struct rewrite *work, const struct segment_frame *frame, struct diag *diag)
{
    struct row_place place = first_row(frame);
    const uint8_t *from = place.bytes;
    const uint8_t *here = place.bytes;
    struct event event;
    uint32_t kept = 0;
    enum err err = ERR_OK;

    while (err == ERR_OK && next_row(frame, &place, &event)) {
        if (is_selected(work, frame, &place, &event)) {
            err = put_rows(work, from, here, kept, diag);
            work->gap++;
            from = place.bytes;
            kept = 0;
        } else {
            kept++;
        }
        here = place.bytes;
    }
    return err == ERR_OK ? put_rows(work, from, here, kept, diag) : err;
}

static enum err
keep_frame(struct rewrite *work, const struct segment_frame *frame, struct diag *diag)
{
    switch ((enum frame_kind)frame->header.kind) {
    case FRAME_ROWS:
        return keep_rows(work, frame, diag);
    case FRAME_GAP:
        work->gap += frame->header.count;
        return ERR_OK;
    case FRAME_TOMBSTONES:
        return put_frame(work, FRAME_TOMBSTONES, frame->header.count, frame->payload,
                         frame->header.payload_bytes, diag);
    case FRAME_FOOTER:
        break;
    }
    assert(!"the walk shows no footer, and the frame has been judged");
    return ERR_OK;
}

/* --- the whole ----------------------------------------------------------------------------- */

/* The new file, whole and synced. */
static enum err
write_file(struct rewrite *work, struct diag *diag)
{
    uint64_t size = 0;
    enum err err = ERR_OK;

    err = put(work, &work->header, sizeof(work->header), diag);
    if (err == ERR_OK)
        err = walk(work, bury_frame, diag);
    if (err == ERR_OK)
        err = put_keys(work, diag);
    if (err == ERR_OK && work->frees_ids)
        err = freed_sync(&work->store->freed, diag); /* before the rows go */
    if (err == ERR_OK)
        err = walk(work, keep_frame, diag);
    if (err == ERR_OK)
        err = put_gap(work, diag);
    if (err == ERR_OK)
        err = flush(work, diag);
    if (err != ERR_OK)
        return err;
    assert(work->fresh.next_seq == work->old->next_seq);
    if (work->fresh.rows != work->rows_left)
        return corrupt(work, "the segment's footer tells another number of rows", 0, diag);
    err = ledger_write_footer(work->fd, work->tmp, &work->fresh, work->fresh.end, work->chain,
                              &size, diag);
    if (err == ERR_OK)
        work->fresh.end = size;
    return err;
}

static enum err
rewrite(struct rewrite *work, int *ret_old_fd, struct diag *diag)
{
    CLOSE_FD int old_fd = -1;
    const int len = snprintf(work->tmp, sizeof(work->tmp), "%s.tmp", work->path);
    struct segment_place place;
    enum err err = ERR_OK;

    if (len < 0 || len >= (int)sizeof(work->tmp))
        return ERR_INVALID;
    work->out = mem_alloc(OUT_BYTES);
    work->keys = MEM_NEW(struct run_key, KEYS_A_FRAME);
    if (work->out == NULL || work->keys == NULL)
        return ERR_NOMEM;
    err = segment_read_header(&work->reader, &work->header, &place, diag);
    if (err == ERR_OK)
        err = file_open(work->tmp, FILE_REPLACE, &work->fd, diag);
    if (err != ERR_OK)
        return err;
    work->chain = work->header.crc;
    work->fresh.first_seq = work->fresh.next_seq = work->old->first_seq;
    err = write_file(work, diag);
    if (err == ERR_OK)
        err = file_open(work->path, FILE_WRITE, &old_fd, diag);
    if (err == ERR_OK)
        err =
            ledger_replace_segment(work->store->ledger, work->tmp, work->path, &work->fresh, diag);
    if (err != ERR_OK) {
        const enum err removed = file_unlink(work->tmp, NULL); /* else the next start does it */

        (void)removed;
        return err;
    }
    work->fresh.marks = NULL; /* the list's now */
    *ret_old_fd = old_fd;
    old_fd = -1;
    counter_add(&erased_events, work->old->rows - work->fresh.rows);
    counter_add(&rewritten_segments, 1);
    return ERR_OK;
}

enum err
erase_rewrite(struct embedded *store, const struct store_erasure *erasure,
              const struct ledger_segment *segment, uint64_t events, int *ret_old_fd,
              struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct rewrite *work = MEM_NEW(struct rewrite, 1);
    enum err err = ERR_NOMEM;

    if (work == NULL)
        return err;
    work->frees_ids = erasure->frees_ids;
    work->rows_left = segment->rows - events;
    err = rewrite_init(work, store, &erasure->selection, segment, diag);
    if (err == ERR_OK)
        err = rewrite(work, ret_old_fd, diag);
    rewrite_fini(work);
    return err;
}
