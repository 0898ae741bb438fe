/*
 * ledger_read - pages of rows in order of seq, up to durable_seq. See ledger.h.
 *
 * A reader sees of the last segment only what was durable when it looked (its `end` bounds the
 * window), so nothing half written is ever looked at. Where the last page ended is remembered: the
 * next goes on there. Elsewhere the marks (about one a MiB) tell where to begin.
 */
#include "base/mem.h"
#include "store/embedded/ledger.h"
#include <inttypes.h>

/* What the page being filled has, and may have. */
struct filling {
    struct arena *arena;
    struct store_row *rows;
    uint64_t after_seq; /* behind the last row given, or the gap passed over */
    size_t bytes;
    size_t bytes_max;
    uint32_t count;
    uint32_t rows_max;
};

/* The segment that holds what comes after `after_seq`, as it stands now. false: there is nothing.
 */
static bool
find_segment(struct ledger *ledger, uint64_t after_seq, struct ledger_segment *ret_segment,
             struct segment_place *ret_start)
{
    bool is_found = false;

    pthread_mutex_lock(&ledger->lock);
    for (uint32_t i = ledger->segment_count; i-- > 0;) {
        const struct ledger_segment *segment = &ledger->segments[i];
        uint32_t mark = 0;

        if (segment->first_seq > after_seq + 1 && i > 0)
            continue;
        if (segment->next_seq <= after_seq + 1 && i + 1 < ledger->segment_count)
            segment = &ledger->segments[++i]; /* it ends right here */
        if (segment->mark_count == 0 || segment->next_seq <= after_seq + 1)
            break;
        while (mark + 1 < segment->mark_count && segment->marks[mark + 1].seq <= after_seq + 1 &&
               segment->marks[mark + 1].offset < segment->end)
            mark++;
        *ret_segment = *segment;
        *ret_start = (struct segment_place){.offset = segment->marks[mark].offset,
                                            .next_seq = segment->marks[mark].seq};
        is_found = true;
        break;
    }
    pthread_mutex_unlock(&ledger->lock);
    return is_found;
}

static enum err
open_reader(struct ledger *ledger, const struct ledger_segment *segment, struct diag *diag)
{
    char name[SEGMENT_NAME_BYTES];
    enum err err = ERR_OK;

    if (ledger->reader_first_seq != segment->first_seq) {
        segment_reader_close(&ledger->reader);
        ledger->reader_first_seq = 0;
        ledger->read_after = UINT64_MAX;
        segment_name(segment->first_seq, name);
        if (!file_path(ledger->reader_path, ledger->dir, name))
            return ERR_INVALID;
        err = segment_reader_open(&ledger->reader, ledger->reader_path, diag);
        if (err != ERR_OK)
            return err;
        ledger->reader_first_seq = segment->first_seq;
    }
    ledger->reader.file_bytes = segment->end;
    return ERR_OK;
}

/* Gives rows of a frame from after_seq + 1 on, as many as there is room for: one copy of their
 * bytes. */
static enum err
take_rows(struct filling *filling, const struct segment_frame *frame, bool *ret_is_full,
          struct diag *diag)
{
    const uint64_t first_seq = frame->header.first_seq;
    const uint8_t *start = NULL;
    const uint8_t *place = frame->payload;
    const uint8_t *behind = frame->payload + frame->header.payload_bytes;
    uint32_t wanted = 0;
    uint32_t i = 0;
    uint8_t *copy = NULL;

    for (; i < frame->header.count && first_seq + i <= filling->after_seq; i++) {
        struct event event;

        place += row_read(place, (size_t)(behind - place), &event);
    }
    start = place;
    while (i + wanted < frame->header.count && filling->count + wanted < filling->rows_max) {
        struct event event;
        const size_t len = row_read(place, (size_t)(behind - place), &event);

        if (filling->count + wanted > 0 &&
            filling->bytes + (size_t)(place - start) + len > filling->bytes_max)
            break;
        place += len;
        wanted++;
    }
    *ret_is_full = i + wanted < frame->header.count;
    if (wanted == 0)
        return ERR_OK;
    copy = arena_alloc(filling->arena, (size_t)(place - start));
    if (copy == NULL) {
        diag_set(diag, "no memory for a page of %zu bytes", (size_t)(place - start));
        return ERR_NOMEM;
    }
    memcpy(copy, start, (size_t)(place - start));
    filling->bytes += (size_t)(place - start);
    for (size_t left = (size_t)(place - start); wanted > 0; wanted--, i++) {
        struct store_row *row = &filling->rows[filling->count++];
        const size_t len = row_read(copy, left, &row->event);

        row->seq = first_seq + i;
        filling->after_seq = row->seq;
        copy += len;
        left -= len;
    }
    return ERR_OK;
}

/* Reads frames of one segment until it ends or the page is full. */
static enum err
read_segment(struct ledger *ledger, const struct segment_place *start, struct filling *filling,
             bool *ret_is_full, struct diag *diag)
{
    struct segment_place place =
        ledger->read_after == filling->after_seq ? ledger->read_place : *start;
    enum err err = ERR_OK;

    *ret_is_full = false;
    while (place.offset < ledger->reader.file_bytes && !*ret_is_full) {
        const struct segment_place here = place;
        enum segment_found found = SEGMENT_END;
        struct segment_frame frame;

        err = segment_read_frame(&ledger->reader, &place, &found, &frame, diag);
        if (err != ERR_OK)
            break;
        if (found != SEGMENT_FRAME) {
            diag_set(diag, "%s: %s (offset %" PRIu64 "); run `potik doctor` on the data folder",
                     ledger->reader_path,
                     found == SEGMENT_BAD ? frame.what : "frames are missing at the end",
                     frame.offset);
            err = ERR_CORRUPT;
            break;
        }
        if (frame.header.kind == FRAME_ROWS)
            err = take_rows(filling, &frame, ret_is_full, diag);
        else if (frame.header.kind == FRAME_GAP &&
                 frame.header.first_seq + frame.header.count - 1 > filling->after_seq)
            filling->after_seq = frame.header.first_seq + frame.header.count - 1;
        if (err != ERR_OK)
            break;
        if (*ret_is_full)
            place = here;
        else
            *ret_is_full = filling->count == filling->rows_max ||
                           (filling->count > 0 && filling->bytes >= filling->bytes_max);
    }
    ledger->read_after = err == ERR_OK ? filling->after_seq : UINT64_MAX;
    ledger->read_place = place;
    return err;
}

static enum err
read_page(struct ledger *ledger, struct filling *filling, struct diag *diag)
{
    struct ledger_segment segment;
    struct segment_place start;
    bool is_full = false;

    while (!is_full && find_segment(ledger, filling->after_seq, &segment, &start)) {
        const uint64_t before = filling->after_seq;
        enum err err = open_reader(ledger, &segment, diag);

        if (err == ERR_OK)
            err = read_segment(ledger, &start, filling, &is_full, diag);
        if (err == ERR_OK && !is_full && filling->after_seq == before) {
            diag_set(diag, "%s: the segment holds less than its footer tells", ledger->reader_path);
            err = ERR_CORRUPT;
        }
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

enum err
ledger_read(struct ledger *ledger, uint64_t after_seq, uint32_t rows_max, size_t bytes_max,
            struct arena *arena, struct store_page *ret_page, struct diag *diag)
{
    const uint64_t durable = atomic_load(&ledger->durable_seq);
    struct filling filling = {
        .arena = arena, .after_seq = after_seq, .bytes_max = bytes_max, .rows_max = rows_max};
    enum err err = ERR_OK;

    if (after_seq < durable) {
        if (filling.rows_max == 0)
            filling.rows_max = 1;
        if (durable - after_seq < filling.rows_max)
            filling.rows_max = (uint32_t)(durable - after_seq);
        filling.rows = arena_alloc(arena, filling.rows_max * sizeof(struct store_row));
        if (filling.rows == NULL) {
            diag_set(diag, "no memory for a page of %u rows", filling.rows_max);
            return ERR_NOMEM;
        }
        pthread_mutex_lock(&ledger->read_lock);
        err = read_page(ledger, &filling, diag);
        pthread_mutex_unlock(&ledger->read_lock);
        if (err != ERR_OK)
            return err;
    }
    ret_page->rows = filling.rows;
    ret_page->count = filling.count;
    ret_page->next = (struct store_position){.minor = filling.after_seq};
    ret_page->is_caught_up = filling.after_seq >= durable;
    return ERR_OK;
}
