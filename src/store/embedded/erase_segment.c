/*
 * erase_segment - one segment without what is selected. See erase.h.
 *
 * Two passes. The first looks at each row and gathers the keys of those selected; none: done. The
 * second writes NAME.tmp: the segment's header; tombstones, those the segment had and the new ones,
 * first, so that a replay has entered them before any row after which ids may be sealed; then each
 * frame of rows without the selected ones, its other rows with the seqs they had, and gaps between.
 * Gaps that meet become one. A segment whose rows are all gone is tombstones, a gap and a footer.
 * Then: sync, rename over the old file, sync the folder, and the list of segments is changed while
 * the reader is kept out, so that a page is made of the old file or the new one, never of both.
 */
#include "store/embedded/erase.h"

#include "base/counter.h"
#include "base/mem.h"
#include "store/embedded/segment_writer.h"
#include <assert.h>
#include <inttypes.h>

#define TOMBSTONES_A_FRAME 65536U

COUNTER_DEFINE(segments_rewritten, "potik_erased_segments_total", "segments written anew");
COUNTER_DEFINE(events_erased, "potik_erased_events_total", "events erased from the ledger");

struct key_list {
    struct run_key *keys;
    uint64_t count;
    uint64_t max;
};

static void
free_keys(struct key_list *list)
{
    mem_free(list->keys);
}

static enum err
add_key(struct key_list *list, struct run_key key)
{
    if (list->count == list->max) {
        const uint64_t max = list->max == 0 ? 1024 : list->max * 2;
        struct run_key *grown = mem_realloc(list->keys, max * sizeof(*grown));

        if (grown == NULL)
            return ERR_NOMEM;
        list->keys = grown;
        list->max = max;
    }
    list->keys[list->count++] = key;
    return ERR_OK;
}

/* --- walking ----------------------------------------------------------------------------------*/

struct walk {
    struct segment_reader *reader;
    struct segment_header header;
    struct segment_place place;
};

static enum err
walk_open(struct walk *walk, struct segment_reader *reader, const char *path, struct diag *diag)
{
    enum err err = segment_reader_open(reader, path, diag);

    walk->reader = reader;
    return err == ERR_OK ? segment_read_header(reader, &walk->header, &walk->place, diag) : err;
}

/* *ret_has false: behind the last frame (the footer is not given). */
static enum err
walk_next(struct walk *walk, struct segment_frame *ret_frame, bool *ret_has, struct diag *diag)
{
    enum segment_found found = SEGMENT_END;
    enum err err = segment_read_frame(walk->reader, &walk->place, &found, ret_frame, diag);

    if (err != ERR_OK)
        return err;
    if (found == SEGMENT_BAD) {
        diag_set(diag, "%s: %s (offset %" PRIu64 "); run `potik doctor` on the data folder",
                 walk->reader->path, ret_frame->what, ret_frame->offset);
        return ERR_CORRUPT;
    }
    *ret_has = found == SEGMENT_FRAME && ret_frame->header.kind != FRAME_FOOTER;
    return ERR_OK;
}

/* --- looking ----------------------------------------------------------------------------------*/

static enum err
look_at_rows(const struct segment_frame *frame, const struct selection *selection,
             const uint8_t *secret, struct key_list *list, uint64_t *ret_events)
{
    const uint8_t *place = frame->payload;
    size_t left = frame->header.payload_bytes;
    enum err err = ERR_OK;

    for (uint32_t i = 0; i < frame->header.count && err == ERR_OK; i++) {
        struct event event;
        const size_t len = row_read(place, left, &event);

        place += len;
        left -= len;
        if (!selection_matches(selection, &event, frame->header.first_seq + i))
            continue;
        (*ret_events)++;
        if (list != NULL)
            err = add_key(list, id_index_key(secret, event.project_id, event.event_id));
    }
    return err;
}

static enum err
look(const char *path, const struct selection *selection, const uint8_t *secret,
     struct key_list *list, uint64_t *ret_events, struct diag *diag)
{
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    struct segment_frame frame;
    struct walk walk;
    bool has = true;
    enum err err = walk_open(&walk, &reader, path, diag);

    *ret_events = 0;
    while (err == ERR_OK && has) {
        err = walk_next(&walk, &frame, &has, diag);
        if (err == ERR_OK && has && frame.header.kind == FRAME_ROWS)
            err = look_at_rows(&frame, selection, secret, list, ret_events);
    }
    return err;
}

/* --- writing ----------------------------------------------------------------------------------*/

static enum err
write_tombstones(struct segment_writer *writer, const struct run_key *keys, uint64_t count,
                 struct diag *diag)
{
    enum err err = ERR_OK;

    for (uint64_t done = 0; done < count && err == ERR_OK; done += TOMBSTONES_A_FRAME) {
        const uint64_t left = count - done;
        const uint32_t some = left < TOMBSTONES_A_FRAME ? (uint32_t)left : TOMBSTONES_A_FRAME;
        const uint32_t bytes = some * (uint32_t)sizeof(*keys); /* a multiple of 8: no zeros */
        struct frame_header header;

        frame_header_prepare(FRAME_TOMBSTONES, some, bytes, frame_payload_crc(keys + done, bytes),
                             &header);
        err = segment_writer_frame(writer, header, (const uint8_t *)(keys + done), diag);
    }
    return err;
}

static enum err
copy_tombstones(struct segment_writer *writer, const char *path, struct diag *diag)
{
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    struct segment_frame frame;
    struct walk walk;
    bool has = true;
    enum err err = walk_open(&walk, &reader, path, diag);

    while (err == ERR_OK && has) {
        err = walk_next(&walk, &frame, &has, diag);
        if (err == ERR_OK && has && frame.header.kind == FRAME_TOMBSTONES)
            err = segment_writer_frame(writer, frame.header, frame.payload, diag);
    }
    return err;
}

/* The kept rows of a frame on their way out. */
struct keeping {
    struct segment_writer *writer;
    const struct selection *selection;
    struct buf bytes;
    uint64_t gap_seqs;
};

static enum err
flush_rows(struct keeping *keeping, uint64_t first_seq, uint32_t count, struct diag *diag)
{
    struct buf *bytes = &keeping->bytes;
    const uint32_t payload_bytes = (uint32_t)bytes->len;
    struct frame_header header;
    enum err err = segment_writer_gap(keeping->writer, first_seq, &keeping->gap_seqs, diag);

    while (bytes->len < segment_pad(payload_bytes))
        buf_add_char(bytes, '\0');
    if (err == ERR_OK && buf_failed(bytes))
        err = ERR_NOMEM;
    if (err == ERR_OK) {
        frame_header_prepare(FRAME_ROWS, count, payload_bytes,
                             frame_payload_crc(bytes->ptr, payload_bytes), &header);
        err = segment_writer_frame(keeping->writer, header, (const uint8_t *)bytes->ptr, diag);
    }
    buf_clear(bytes);
    return err;
}

/* What is between two kept stretches becomes a gap when the next one is written. */
static enum err
keep_rows(struct keeping *keeping, const struct segment_frame *frame, struct diag *diag)
{
    const uint8_t *place = frame->payload;
    size_t left = frame->header.payload_bytes;
    uint32_t kept = 0;
    enum err err = ERR_OK;

    for (uint32_t i = 0; i < frame->header.count && err == ERR_OK; i++) {
        const uint64_t seq = frame->header.first_seq + i;
        struct event event;
        const size_t len = row_read(place, left, &event);

        if (!selection_matches(keeping->selection, &event, seq)) {
            buf_add(&keeping->bytes, (const char *)place, len);
            kept++;
        } else if (kept != 0) {
            err = flush_rows(keeping, seq - kept, kept, diag);
            kept = 0;
        }
        place += len;
        left -= len;
    }
    if (err == ERR_OK && kept != 0)
        err = flush_rows(keeping, frame->header.first_seq + frame->header.count - kept, kept, diag);
    return err;
}

static enum err
write_rows(struct segment_writer *writer, const struct selection *selection, const char *path,
           uint64_t next_seq, struct diag *diag)
{
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    struct keeping keeping = {.writer = writer, .selection = selection};
    struct segment_frame frame;
    struct walk walk;
    bool has = true;
    enum err err = walk_open(&walk, &reader, path, diag);

    buf_init(&keeping.bytes, FRAME_PAYLOAD_BYTES_MAX);
    while (err == ERR_OK && has) {
        err = walk_next(&walk, &frame, &has, diag);
        if (err == ERR_OK && has && frame.header.kind == FRAME_ROWS)
            err = keep_rows(&keeping, &frame, diag);
    }
    if (err == ERR_OK)
        err = segment_writer_gap(writer, next_seq, &keeping.gap_seqs, diag);
    buf_fini(&keeping.bytes);
    return err;
}

/* --- taking the old one's place ---------------------------------------------------------------*/

static enum err
replace(struct embedded *store, struct segment_writer *writer, const char *path, struct diag *diag)
{
    struct ledger *ledger = store->ledger;
    struct ledger_segment *segment = NULL;
    enum err err;

    pthread_mutex_lock(&ledger->read_lock);
    err = file_rename_synced(writer->path, path, diag);
    if (err != ERR_OK) {
        pthread_mutex_unlock(&ledger->read_lock);
        return err;
    }
    pthread_mutex_lock(&ledger->lock);
    for (uint32_t i = 0; i < ledger->segment_count; i++) {
        if (ledger->segments[i].first_seq == writer->segment.first_seq)
            segment = &ledger->segments[i];
    }
    assert(segment != NULL); /* segments never go */
    atomic_fetch_sub(&ledger->rows, segment->rows - writer->segment.rows);
    atomic_fetch_sub(&ledger->bytes, segment->end - writer->segment.end);
    counter_add(&events_erased, segment->rows - writer->segment.rows);
    mem_free(segment->marks);
    *segment = writer->segment;
    writer->segment.marks = NULL;
    pthread_mutex_unlock(&ledger->lock);
    if (ledger->reader_first_seq == segment->first_seq) {
        segment_reader_close(&ledger->reader);
        ledger->reader_first_seq = 0;
        ledger->read_after = UINT64_MAX;
    }
    pthread_mutex_unlock(&ledger->read_lock);
    embedded_scrub_close(store); /* or it holds the old file's bytes on the disk */
    counter_add(&segments_rewritten, 1);
    embedded_show_bytes(store);
    return ERR_OK;
}

enum err
erase_segment(struct embedded *store, const struct store_erasure *erasure, uint64_t first_seq,
              uint64_t *ret_events, struct diag *diag)
{
    CLEANUP(segment_writer_close) struct segment_writer writer = {.fd = -1};
    CLEANUP(free_keys) struct key_list list = {0};
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    struct walk walk;
    char name[SEGMENT_NAME_BYTES];
    char path[FILE_PATH_MAX];
    uint64_t next_seq = 0;
    enum err err;

    segment_name(first_seq, name);
    if (!file_path(path, store->ledger->dir, name))
        return ERR_INVALID;
    pthread_mutex_lock(&store->ledger->lock);
    for (uint32_t i = 0; i < store->ledger->segment_count; i++) {
        if (store->ledger->segments[i].first_seq == first_seq)
            next_seq = store->ledger->segments[i].next_seq;
    }
    pthread_mutex_unlock(&store->ledger->lock);
    err = look(path, &erasure->selection, store->ids.secret,
               erasure->is_dry_run || erasure->frees_ids ? NULL : &list, ret_events, diag);
    if (err != ERR_OK || erasure->is_dry_run || *ret_events == 0)
        return err;
    err = walk_open(&walk, &reader, path, diag);
    if (err == ERR_OK)
        err = segment_writer_open(&writer, path, &walk.header, diag);
    if (err == ERR_OK)
        err = copy_tombstones(&writer, path, diag);
    if (err == ERR_OK)
        err = write_tombstones(&writer, list.keys, list.count, diag);
    if (err == ERR_OK)
        err = write_rows(&writer, &erasure->selection, path, next_seq, diag);
    if (err == ERR_OK)
        err = segment_writer_finish(&writer, diag);
    return err == ERR_OK ? replace(store, &writer, path, diag) : err;
}

/* --- files set aside --------------------------------------------------------------------------*/

#define ASIDE_BYTES_MAX ((size_t)5 << 30)

static bool
frame_is_selected(const uint8_t *bytes, size_t len, const struct selection *selection)
{
    struct frame_header header;
    const uint8_t *place = bytes + sizeof(header);
    size_t left;

    if (len < sizeof(header))
        return false;
    memcpy(&header, bytes, sizeof(header));
    if (header.magic != FRAME_MAGIC || header.kind != FRAME_ROWS ||
        header.payload_bytes > len - sizeof(header))
        return false;
    left = header.payload_bytes;
    for (uint32_t i = 0; i < header.count; i++) {
        struct event event;
        const size_t row = row_read(place, left, &event);

        if (row == 0)
            return false;
        /* Seqs of what was cut off may have been given again: only the content counts. */
        if (selection_matches(selection, &event, 0))
            return true;
        place += row;
        left -= row;
    }
    return false;
}

enum err
erase_is_in_file(const char *path, const struct selection *selection, bool *ret_is_in,
                 struct diag *diag)
{
    struct buf file;
    enum err err;

    *ret_is_in = false;
    buf_init(&file, ASIDE_BYTES_MAX);
    err = file_read_whole(path, ASIDE_BYTES_MAX, &file, diag);
    if (err == ERR_OK && selection->kind == SELECTION_PERSON)
        *ret_is_in = file.len != 0 && memmem(file.ptr, file.len, selection->person.ptr,
                                             selection->person.len) != NULL;
    for (size_t at = 0; err == ERR_OK && !*ret_is_in && at + sizeof(struct frame_header) < file.len;
         at++)
        *ret_is_in = (uint8_t)file.ptr[at] == (FRAME_MAGIC & 0xFF) &&
                     frame_is_selected((const uint8_t *)file.ptr + at, file.len - at, selection);
    buf_fini(&file);
    return err;
}
