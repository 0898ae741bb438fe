/*
 * ledger_open - recovery: from whatever a stop, a kill or a power cut has left to a ledger one can
 * append to.
 *
 * Older segments: header and footer. The last one is read whole. What may be met, and what is done:
 *
 *   nothing                           a new ledger
 *   a footer at the end               a clean stop: the footer is cut off, appending goes on behind
 * the frames no footer                         an unclean stop: the last whole frame is written
 * again in place and synced (a frame in the page cache is not yet a frame on disk) bad bytes, no
 * sound frame behind  a torn end: cut off, its bytes set aside as cut-<segment>-<offset> bad bytes,
 * a sound frame behind   corruption: the start stops a last segment without frames     used again
 * (its header too is made anew if it is torn); the one before may then lack its footer, which is
 * written now anything else                     corruption
 */
#include "base/counter.h"
#include "base/mem.h"
#include "base/random.h"
#include "store/embedded/ledger.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

COUNTER_DEFINE(ledger_cuts, "potik_ledger_cuts_total", "torn ends of the ledger cut and set aside");

/* One segment read whole. */
struct walk {
    struct ledger_segment segment;
    struct segment_place place; /* behind the last good frame, a footer left out */
    uint64_t last_offset;       /* of the last frame, footer left out; 0: none */
    uint64_t bad_offset;
    const char *what; /* NULL: it ends well */
    bool has_footer;
};

static enum err
corrupt(const char *path, const char *what, uint64_t offset, struct diag *diag)
{
    diag_set(diag, "%s: %s (offset %" PRIu64 "); run `potik doctor` on the data folder", path, what,
             offset);
    return ERR_CORRUPT;
}

/* All frames from `walk->place` on. Stops at the end, or at the first that is not good. */
static enum err
walk_frames(struct segment_reader *reader, struct walk *walk, struct diag *diag)
{
    enum err err = ERR_OK;

    while (err == ERR_OK && !walk->has_footer) {
        struct segment_place place = walk->place;
        struct segment_frame frame;
        enum segment_found found = SEGMENT_END;

        err = segment_read_frame(reader, &place, &found, &frame, diag);
        if (err != ERR_OK || found == SEGMENT_END)
            return err;
        if (found == SEGMENT_BAD) {
            walk->what = frame.what;
            walk->bad_offset = frame.offset;
            return ERR_OK;
        }
        if (frame.header.kind == FRAME_FOOTER) {
            walk->has_footer = true;
            return ERR_OK;
        }
        err = ledger_add_mark(&walk->segment, frame.header.first_seq, frame.offset);
        walk->segment.rows += frame.header.kind == FRAME_ROWS ? frame.header.count : 0;
        walk->segment.tombstones += frame.header.kind == FRAME_TOMBSTONES ? frame.header.count : 0;
        walk->segment.next_seq = place.next_seq;
        walk->segment.end = place.offset;
        walk->last_offset = frame.offset;
        walk->place = place;
    }
    return err;
}

/* Header and all frames of a segment; its header must fit its name and the ledger. */
static enum err
walk_segment(struct segment_reader *reader, const struct ledger *ledger, uint64_t first_seq,
             struct walk *walk, struct diag *diag)
{
    struct segment_header header;
    enum err err = segment_read_header(reader, &header, &walk->place, diag);

    if (err != ERR_OK)
        return err;
    if (header.first_seq != first_seq ||
        (ledger->segment_count != 0 && memcmp(header.ledger_id, ledger->id, LEDGER_ID_BYTES) != 0))
        return corrupt(reader->path, "the segment belongs to another place or ledger", 0, diag);
    walk->segment.first_seq = first_seq;
    walk->segment.next_seq = first_seq;
    walk->segment.end = walk->place.offset;
    return walk_frames(reader, walk, diag);
}

/* --- cutting ------------------------------------------------------------------------------- */

/* Where the bytes that are not zero end. */
static enum err
find_content_end(struct segment_reader *reader, uint64_t from, uint64_t *ret_end, struct diag *diag)
{
    *ret_end = from;
    for (uint64_t offset = from; offset < reader->file_bytes;) {
        const uint64_t left = reader->file_bytes - offset;
        const size_t len = left < 4096 ? (size_t)left : 4096;
        const uint8_t *bytes = NULL;
        const enum err err = segment_reader_at(reader, offset, len, &bytes, diag);

        if (err != ERR_OK)
            return err;
        for (size_t i = 0; i < len; i++)
            if (bytes[i] != 0)
                *ret_end = offset + i + 1;
        offset += len;
    }
    return ERR_OK;
}

/* Keeps the bytes from `offset` on as ledger/cut-…, synced, before they are cut off. */
static enum err
set_aside(struct ledger *ledger, struct segment_reader *reader, uint64_t first_seq, uint64_t offset,
          const char *what, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    char name[128];
    char path[FILE_PATH_MAX];
    uint64_t end = 0;
    uint64_t done = offset;
    enum err err = find_content_end(reader, offset, &end, diag);

    if (err != ERR_OK || end == offset)
        return err;
    for (unsigned i = 0; i < 1000; i++) {
        const int len = snprintf(name, sizeof(name), "cut-%020" PRIu64 "-%" PRIu64 "%s%.0u",
                                 first_seq, offset, i == 0 ? "" : "-", i);

        if (len < 0 || len >= (int)sizeof(name) || !file_path(path, ledger->dir, name))
            return ERR_INVALID;
        err = file_open(path, FILE_CREATE_NEW, &fd, diag);
        if (err != ERR_EXISTS)
            break;
    }
    while (err == ERR_OK && done < end) {
        const size_t len = end - done < 65536 ? (size_t)(end - done) : 65536;
        const uint8_t *bytes = NULL;

        err = segment_reader_at(reader, done, len, &bytes, diag);
        if (err == ERR_OK)
            err = file_write_at(fd, path, bytes, len, done - offset, diag);
        done += len;
    }
    if (err == ERR_OK)
        err = file_sync(fd, path, diag);
    if (err == ERR_OK)
        err = file_sync_dir(ledger->dir, diag);
    if (err != ERR_OK) {
        const enum err removed = fd >= 0 ? file_unlink(path, NULL) : ERR_OK; /* half is of no use */

        (void)removed;
        return err;
    }
    counter_add(&ledger_cuts, 1);
    SINK(ledger->config.sink, LOG_LEVEL_WARN, "ledger.torn_end_cut", LOG_TEXT("file", reader->path),
         LOG_U64("offset", offset), LOG_U64("bytes", end - offset), LOG_TEXT("reason", what),
         LOG_TEXT("set_aside_as", path));
    return ERR_OK;
}

/* Bad bytes in a segment that may have a torn end: set aside and cut, or corruption. */
static enum err
cut_torn_end(struct ledger *ledger, struct segment_reader *reader, const struct walk *walk, int fd,
             struct diag *diag)
{
    bool is_found = false;
    uint64_t offset = 0;
    enum err err = segment_find_behind(reader, walk->bad_offset, walk->place.next_seq, &is_found,
                                       &offset, diag);

    if (err != ERR_OK)
        return err;
    if (is_found)
        return corrupt(reader->path, walk->what, walk->bad_offset, diag);
    err = set_aside(ledger, reader, walk->segment.first_seq, walk->bad_offset, walk->what, diag);
    if (err == ERR_OK)
        err = file_truncate(fd, reader->path, walk->bad_offset, diag);
    if (err == ERR_OK)
        err = file_sync(fd, reader->path, diag);
    return err;
}

/* --- the last segment ---------------------------------------------------------------------- */

/* The same bytes again. */
static enum err
rewrite(struct segment_reader *reader, int fd, uint64_t offset, uint64_t behind, struct diag *diag)
{
    const uint8_t *bytes = NULL;
    enum err err = segment_reader_at(reader, offset, (size_t)(behind - offset), &bytes, diag);

    if (err == ERR_OK)
        err = file_write_at(fd, reader->path, bytes, (size_t)(behind - offset), offset, diag);
    return err;
}

/* After an unclean stop: header and last frame may stand in the page cache alone. */
static enum err
rewrite_last_frame(struct segment_reader *reader, const struct walk *walk, int fd,
                   struct diag *diag)
{
    enum err err = rewrite(reader, fd, 0, sizeof(struct segment_header), diag);

    if (err == ERR_OK && walk->last_offset != 0)
        err = rewrite(reader, fd, walk->last_offset, walk->place.offset, diag);
    return err == ERR_OK ? file_sync(fd, reader->path, diag) : err;
}

/* A header that was never whole: nothing can be in the file. The segment is made again. */
static enum err
remake_segment(struct ledger *ledger, struct segment_reader *reader, uint64_t first_seq,
               struct diag *diag)
{
    bool is_found = false;
    uint64_t offset = 0;
    struct diag why = DIAG_INIT;
    enum err err = segment_find_behind(reader, 0, first_seq, &is_found, &offset, diag);

    if (err != ERR_OK)
        return err;
    if (is_found)
        return corrupt(reader->path, "the segment's header fails its check", 0, diag);
    err = set_aside(ledger, reader, first_seq, 0, "the segment's header is not whole", diag);
    if (err == ERR_OK)
        err = file_unlink(ledger->path, diag);
    if (err == ERR_OK)
        err = ledger_make_segment(ledger->dir, ledger->id, first_seq,
                                  clock_wall_us(ledger->config.clock), ledger->path, &ledger->fd,
                                  &ledger->chain, &why);
    if (err != ERR_OK && diag != NULL && why.message[0] != '\0')
        *diag = why;
    return err;
}

/* Reads the last segment whole and brings its end into order. *ret_is_empty: it has no frames. */
static enum err
open_last(struct ledger *ledger, uint64_t first_seq, struct ledger_segment *ret_segment,
          struct diag *diag)
{
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    struct walk walk = {.last_offset = 0};
    char name[SEGMENT_NAME_BYTES];
    enum err err = ERR_OK;

    segment_name(first_seq, name);
    if (!file_path(ledger->path, ledger->dir, name))
        return ERR_INVALID;
    err = segment_reader_open(&reader, ledger->path, diag);
    if (err != ERR_OK)
        return err;
    err = walk_segment(&reader, ledger, first_seq, &walk, diag);
    if (err == ERR_CORRUPT && walk.segment.first_seq == 0) {
        struct segment_header header;

        if (segment_read_header(&reader, &header, &walk.place, NULL) == ERR_CORRUPT) {
            walk.segment = (struct ledger_segment){.first_seq = first_seq,
                                                   .next_seq = first_seq,
                                                   .end = sizeof(struct segment_header)};
            err = remake_segment(ledger, &reader, first_seq, diag);
            *ret_segment = walk.segment;
            return err;
        }
    }
    if (err == ERR_OK)
        err = file_open(ledger->path, FILE_WRITE, &ledger->fd, diag);
    if (err == ERR_OK && walk.what != NULL)
        err = cut_torn_end(ledger, &reader, &walk, ledger->fd, diag);
    if (err == ERR_OK && walk.has_footer) /* need not be durable: it may come back, or in part */
        err = file_truncate(ledger->fd, ledger->path, walk.place.offset, diag);
    else if (err == ERR_OK)
        err = rewrite_last_frame(&reader, &walk, ledger->fd, diag);
    if (err != ERR_OK) {
        mem_free(walk.segment.marks);
        return err;
    }
    ledger->chain = walk.place.chain;
    *ret_segment = walk.segment;
    return ERR_OK;
}

/* --- older segments ------------------------------------------------------------------------ */

/* What the footer tells, as if the segment had been read. */
static enum err
take_footer(const struct segment_frame *frame, const struct footer_tail *tail, uint64_t file_bytes,
            struct ledger_segment *segment)
{
    segment->marks = MEM_NEW(struct segment_mark, (size_t)tail->mark_count + 1);
    if (segment->marks == NULL)
        return ERR_NOMEM;
    memcpy(segment->marks, frame->payload, (size_t)tail->mark_count * sizeof(segment->marks[0]));
    segment->mark_count = (uint32_t)tail->mark_count;
    segment->marks_max = (uint32_t)tail->mark_count;
    segment->next_seq = frame->header.first_seq;
    segment->end = file_bytes;
    segment->rows = tail->rows;
    segment->tombstones = tail->tombstones;
    return ERR_OK;
}

/* The one behind has no frames yet: this footer may stand in the page cache alone, and must be
 * there before they come. */
static enum err
sync_footer(struct segment_reader *reader, uint64_t footer_offset, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    enum err err = file_open(reader->path, FILE_WRITE, &fd, diag);

    if (err == ERR_OK)
        err = rewrite(reader, fd, footer_offset, reader->file_bytes, diag);
    return err == ERR_OK ? file_sync(fd, reader->path, diag) : err;
}

/* A segment without a sound footer: only right before an empty one can that be the mark of a crash.
 */
static enum err
end_segment(struct ledger *ledger, struct segment_reader *reader, const struct segment_header *head,
            uint64_t next_first_seq, bool may_be_torn, struct ledger_segment *ret_segment,
            struct diag *diag)
{
    CLOSE_FD int fd = -1;
    struct walk walk = {.last_offset = 0};
    enum err err = walk_segment(reader, ledger, head->first_seq, &walk, diag);

    if (err == ERR_OK && !may_be_torn)
        err = corrupt(reader->path, walk.what != NULL ? walk.what : "the segment lacks its footer",
                      walk.what != NULL ? walk.bad_offset : walk.place.offset, diag);
    if (err == ERR_OK && walk.segment.next_seq != next_first_seq)
        err = corrupt(reader->path, walk.what != NULL ? walk.what : "frames are missing at the end",
                      walk.place.offset, diag);
    if (err == ERR_OK)
        err = file_open(reader->path, FILE_WRITE, &fd, diag);
    if (err == ERR_OK && walk.what != NULL)
        err = cut_torn_end(ledger, reader, &walk, fd, diag);
    if (err == ERR_OK)
        err = ledger_write_footer(fd, reader->path, &walk.segment, walk.place.offset,
                                  walk.place.chain, &walk.segment.end, diag);
    if (err != ERR_OK) {
        mem_free(walk.segment.marks);
        return err;
    }
    *ret_segment = walk.segment;
    return ERR_OK;
}

static enum err
open_older(struct ledger *ledger, uint64_t first_seq, uint64_t next_first_seq, bool may_be_torn,
           struct diag *diag)
{
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    struct ledger_segment segment = {.first_seq = first_seq};
    struct segment_header header;
    struct segment_place place;
    struct segment_frame frame;
    struct footer_tail tail;
    char name[SEGMENT_NAME_BYTES];
    char path[FILE_PATH_MAX];
    bool has_footer = false;
    enum err err = ERR_OK;

    segment_name(first_seq, name);
    if (!file_path(path, ledger->dir, name))
        return ERR_INVALID;
    err = segment_reader_open(&reader, path, diag);
    if (err == ERR_OK)
        err = segment_read_header(&reader, &header, &place, diag);
    if (err != ERR_OK)
        return err;
    if (header.first_seq != first_seq ||
        (ledger->segment_count != 0 && memcmp(header.ledger_id, ledger->id, LEDGER_ID_BYTES) != 0))
        return corrupt(path, "the segment belongs to another place or ledger", 0, diag);
    memcpy(ledger->id, header.ledger_id, LEDGER_ID_BYTES);
    err = segment_read_footer(&reader, &has_footer, &frame, &tail, diag);
    if (err == ERR_OK && has_footer)
        err = take_footer(&frame, &tail, reader.file_bytes, &segment);
    else if (err == ERR_OK)
        err = end_segment(ledger, &reader, &header, next_first_seq, may_be_torn, &segment, diag);
    if (err == ERR_OK && has_footer && may_be_torn)
        err = sync_footer(&reader, tail.footer_offset, diag);
    if (err == ERR_OK && segment.next_seq != next_first_seq)
        err = corrupt(path, "the next segment does not begin where this one ends",
                      has_footer ? tail.footer_offset : segment.end, diag);
    if (err == ERR_OK)
        err = ledger_add_segment(ledger, &segment);
    if (err != ERR_OK)
        mem_free(segment.marks);
    return err;
}

/* --- all ----------------------------------------------------------------------------------- */

static void
make_ledger_id(struct ledger *ledger)
{
    uint64_t low = 0;

    while (low == 0) { /* the low half is the generation of positions: never 0 */
        random_fill(random_system(), ledger->id, LEDGER_ID_BYTES);
        memcpy(&low, ledger->id, sizeof(low));
    }
}

static enum err
open_segments(struct ledger *ledger, const uint64_t *first_seqs, size_t count, struct diag *diag)
{
    struct ledger_segment last = {.first_seq = 1, .next_seq = 1};
    struct segment_header header;
    enum err err = ERR_OK;

    make_ledger_id(ledger);
    for (size_t i = 0; i + 1 < count && err == ERR_OK; i++) {
        bool may_be_torn = false;

        if (i + 2 == count) { /* only the last but one, and only if the last has no frames */
            CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
            char name[SEGMENT_NAME_BYTES];
            char path[FILE_PATH_MAX];
            bool is_found = true;
            uint64_t offset = 0;

            segment_name(first_seqs[i + 1], name);
            if (!file_path(path, ledger->dir, name))
                return ERR_INVALID;
            err = segment_reader_open(&reader, path, diag);
            if (err == ERR_OK)
                err = segment_find_behind(&reader, 0, 0, &is_found, &offset, diag);
            may_be_torn = !is_found;
        }
        if (err == ERR_OK)
            err = open_older(ledger, first_seqs[i], first_seqs[i + 1], may_be_torn, diag);
    }
    if (err != ERR_OK)
        return err;
    if (count == 0) {
        last.end = sizeof(header);
        err = ledger_make_segment(ledger->dir, ledger->id, 1, clock_wall_us(ledger->config.clock),
                                  ledger->path, &ledger->fd, &ledger->chain, diag);
    } else {
        err = open_last(ledger, first_seqs[count - 1], &last, diag);
        if (err == ERR_OK && count == 1) {
            err = file_read_at(ledger->fd, ledger->path, &header, sizeof(header), 0, diag);
            memcpy(ledger->id, header.ledger_id, LEDGER_ID_BYTES);
        }
    }
    if (err == ERR_OK)
        err = ledger_add_segment(ledger, &last);
    if (err != ERR_OK) {
        mem_free(last.marks);
        return err;
    }
    ledger->next_seq = last.next_seq;
    ledger->end = last.end;
    ledger->has_frames = last.next_seq != last.first_seq || last.tombstones != 0;
    return file_size(ledger->fd, ledger->path, &ledger->allocated, diag);
}

/* What a kill has left of a segment being written anew: the old one still stands. */
static enum err
remove_rubbish(const char *dir, const char *name, struct diag *diag)
{
    const size_t len = strlen(name);
    char path[FILE_PATH_MAX];

    if (len <= 8 || strcmp(name + len - 8, ".seg.tmp") != 0)
        return ERR_OK;
    return file_path(path, dir, name) ? file_unlink(path, diag) : ERR_INVALID;
}

/* The first seqs by the names of the folder, rising. */
static enum err
list_segments(const char *dir, uint64_t **ret_first_seqs, size_t *ret_count, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    uint64_t *first_seqs = NULL;
    size_t count = 0;
    enum err err = file_list_dir(dir, &list, diag);

    if (err != ERR_OK)
        return err;
    first_seqs = MEM_NEW(uint64_t, list.count + 1);
    if (first_seqs == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < list.count && err == ERR_OK; i++) { /* in byte order, so by number */
        if (segment_name_parse(list.names[i], &first_seqs[count]))
            count++;
        else
            err = remove_rubbish(dir, list.names[i], diag);
    }
    if (err != ERR_OK) {
        mem_free(first_seqs);
        return err;
    }
    *ret_first_seqs = first_seqs;
    *ret_count = count;
    return ERR_OK;
}

static enum err
open_listed(struct ledger *ledger, struct diag *diag)
{
    CLEANUP(mem_free_ptr) uint64_t *first_seqs = NULL;
    size_t count = 0;
    enum err err = list_segments(ledger->dir, &first_seqs, &count, diag);

    if (err != ERR_OK)
        return err;
    if (count != 0 && first_seqs[0] != 1) {
        diag_set(diag,
                 "%s: the ledger's first segment is missing: the oldest begins at %" PRIu64
                 "; put it back from a backup",
                 ledger->dir, first_seqs[0]);
        return ERR_CORRUPT;
    }
    return open_segments(ledger, first_seqs, count, diag);
}

enum err
ledger_open(const struct ledger_config *config, struct ledger **ret_ledger, struct diag *diag)
{
    CLEANUP(ledger_close) struct ledger *ledger = NULL;
    uint64_t rows = 0;
    uint64_t bytes = 0;
    enum err err = ERR_OK;

    ledger = MEM_NEW(struct ledger, 1);
    if (ledger == NULL)
        return ERR_NOMEM;
    ledger->fd = -1;
    ledger->reader.fd = -1;
    ledger->is_fatal = true; /* until all is well: closing must not write a footer */
    pthread_mutex_init(&ledger->lock, NULL);
    pthread_mutex_init(&ledger->read_lock, NULL);
    ledger->config = *config;
    ledger->read_after = UINT64_MAX;
    ledger->dir = mem_strdup(config->dir);
    if (ledger->dir == NULL)
        return ERR_NOMEM;
    ledger->config.dir = ledger->dir;
    err = file_make_dir(ledger->dir, diag);
    if (err == ERR_OK)
        err = file_sync_dir(ledger->dir, diag); /* a kill may have come before its last sync */
    if (err == ERR_OK)
        err = open_listed(ledger, diag);
    if (err != ERR_OK)
        return err;
    for (uint32_t i = 0; i < ledger->segment_count; i++) {
        rows += ledger->segments[i].rows;
        bytes += ledger->segments[i].end;
    }
    atomic_store(&ledger->rows, rows);
    atomic_store(&ledger->bytes, bytes);
    atomic_store(&ledger->durable_seq, ledger->next_seq - 1);
    ledger->is_fatal = false;
    *ret_ledger = MOVE(ledger);
    return ERR_OK;
}
