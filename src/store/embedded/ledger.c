/*
 * ledger - append, roll, close. See ledger.h.
 *
 * Room for frames is taken in steps before it is written, so that an append changes no metadata but
 * once a step and a full disk is met before anything is written. Room that was taken but never
 * written still costs a journal commit at the sync of its first write, so small frames bring zeros
 * with them for the next ones: their syncs then take about half the time (docs/PERFORMANCE.md).
 * Rolling: the new segment is made first (file, header, folder, all synced), then the old one gets
 * its footer (synced); a crash between leaves an empty last segment, which recovery uses.
 */
#include "store/embedded/ledger.h"
#include "base/mem.h"
#include <assert.h>

#define ALLOCATE_STEP (UINT64_C(16) << 20)
#define ALLOCATE_STEP_SMALL (UINT64_C(1) << 20)
#define ZERO_FRAME_BYTES_MAX (UINT64_C(64) << 10) /* larger frames gain nothing by zeros */
#define ZERO_PART_BYTES ((size_t)64 << 10)
#define ZERO_PARTS 8

static const char zeros[ZERO_PART_BYTES];

/* --- shared helpers ------------------------------------------------------------------------ */

enum err
ledger_add_mark(struct ledger_segment *segment, uint64_t seq, uint64_t offset)
{
    struct segment_mark *grown = NULL;

    if (segment->mark_count != 0 &&
        offset - segment->marks[segment->mark_count - 1].offset < SEGMENT_MARK_BYTES)
        return ERR_OK;
    if (segment->mark_count == segment->marks_max) {
        const uint32_t wanted = segment->marks_max == 0 ? 16 : segment->marks_max * 2;

        grown = mem_realloc(segment->marks, wanted * sizeof(segment->marks[0]));
        if (grown == NULL)
            return ERR_NOMEM;
        segment->marks = grown;
        segment->marks_max = wanted;
    }
    segment->marks[segment->mark_count++] = (struct segment_mark){.seq = seq, .offset = offset};
    return ERR_OK;
}

/* Room for one more in the list. Under the lock, or before anyone reads. */
static enum err
reserve_segment(struct ledger *ledger)
{
    struct ledger_segment *grown = NULL;
    const uint32_t wanted = ledger->segments_max == 0 ? 16 : ledger->segments_max * 2;

    if (ledger->segment_count < ledger->segments_max)
        return ERR_OK;
    grown = mem_realloc(ledger->segments, wanted * sizeof(ledger->segments[0]));
    if (grown == NULL)
        return ERR_NOMEM;
    ledger->segments = grown;
    ledger->segments_max = wanted;
    return ERR_OK;
}

enum err
ledger_add_segment(struct ledger *ledger, const struct ledger_segment *segment)
{
    const enum err err = reserve_segment(ledger);

    if (err == ERR_OK)
        ledger->segments[ledger->segment_count++] = *segment;
    return err;
}

enum err
ledger_remove_segment(const char *dir, const char *path)
{
    const enum err err = file_unlink(path, NULL);

    return err == ERR_OK ? file_sync_dir(dir, NULL) : err;
}

enum err
ledger_make_segment(const char *dir, const uint8_t id[LEDGER_ID_BYTES], uint64_t first_seq,
                    int64_t now_us, char *ret_path, int *ret_fd, uint32_t *ret_chain,
                    struct diag *diag)
{
    CLOSE_FD int fd = -1;
    char name[SEGMENT_NAME_BYTES];
    struct segment_header header;
    enum err err = ERR_OK;

    segment_name(first_seq, name);
    if (!file_path(ret_path, dir, name)) {
        diag_set(diag, "%s: the path of the folder is too long", dir);
        return ERR_INVALID;
    }
    segment_header_make(id, first_seq, now_us, &header);
    err = file_open(ret_path, FILE_CREATE_NEW, &fd, diag);
    if (err != ERR_OK)
        return err;
    err = file_write_at(fd, ret_path, &header, sizeof(header), 0, diag);
    if (err == ERR_OK)
        err = file_sync(fd, ret_path, diag);
    if (err == ERR_OK)
        err = file_sync_dir(dir, diag);
    if (err != ERR_OK)
        return ledger_remove_segment(dir, ret_path) == ERR_OK ? err : ERR_FATAL;
    *ret_chain = header.crc;
    *ret_fd = fd;
    fd = -1;
    return ERR_OK;
}

enum err
ledger_write_footer(int fd, const char *path, const struct ledger_segment *segment, uint64_t end,
                    uint32_t chain, uint64_t *ret_end, struct diag *diag)
{
    CLEANUP(mem_free_ptr) uint8_t *frame = NULL;
    const size_t marks_bytes = segment->mark_count * sizeof(segment->marks[0]);
    const size_t payload_bytes = marks_bytes + sizeof(struct footer_tail);
    struct frame_header header;
    struct footer_tail tail = {.mark_count = segment->mark_count,
                               .rows = segment->rows,
                               .tombstones = segment->tombstones,
                               .footer_offset = end};
    enum err err = ERR_OK;

    memcpy(tail.magic, "potikend", sizeof(tail.magic));
    frame = mem_alloc(sizeof(header) + payload_bytes);
    if (frame == NULL)
        return ERR_NOMEM;
    if (marks_bytes != 0)
        memcpy(frame + sizeof(header), segment->marks, marks_bytes);
    memcpy(frame + sizeof(header) + marks_bytes, &tail, sizeof(tail));
    frame_header_prepare(FRAME_FOOTER, 0, (uint32_t)payload_bytes,
                         frame_payload_crc(frame + sizeof(header), (uint32_t)payload_bytes),
                         &header);
    frame_header_finish(&header, segment->next_seq, chain);
    memcpy(frame, &header, sizeof(header));
    err = file_write_at(fd, path, frame, sizeof(header) + payload_bytes, end, diag);
    if (err == ERR_OK)
        err = file_truncate(fd, path, end + sizeof(header) + payload_bytes, diag);
    if (err == ERR_OK)
        err = file_sync(fd, path, diag);
    if (err == ERR_OK)
        *ret_end = end + sizeof(header) + payload_bytes;
    return err;
}

/* --- appending ----------------------------------------------------------------------------- */

/* After this nothing more is written by this process. */
static enum err
fail_for_good(struct ledger *ledger)
{
    ledger->is_fatal = true;
    return ERR_FATAL;
}

enum err
ledger_roll(struct ledger *ledger, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    char path[FILE_PATH_MAX];
    struct ledger_segment ended;
    struct ledger_segment fresh = {.first_seq = ledger->next_seq, .next_seq = ledger->next_seq};
    uint32_t chain = 0;
    uint64_t size = 0;
    enum err err = ERR_OK;

    pthread_mutex_lock(&ledger->lock);
    err = reserve_segment(ledger);
    ended = ledger->segments[ledger->segment_count - 1]; /* only this thread changes it */
    pthread_mutex_unlock(&ledger->lock);
    if (err != ERR_OK)
        return err;
    err = ledger_make_segment(ledger->dir, ledger->id, ledger->next_seq,
                              clock_wall_us(ledger->config.clock), path, &fd, &chain, diag);
    if (err == ERR_FATAL)
        return fail_for_good(ledger);
    if (err != ERR_OK)
        return err;
    err = ledger_write_footer(ledger->fd, ledger->path, &ended, ledger->end, ledger->chain, &size,
                              diag);
    if (err != ERR_OK) {
        /* The footer may be there in part, its sync may be what failed: no more trust in this file.
         */
        if (err != ERR_STORAGE_FULL && err != ERR_NOMEM)
            return fail_for_good(ledger);
        if (file_truncate(ledger->fd, ledger->path, ledger->end, NULL) != ERR_OK ||
            ledger_remove_segment(ledger->dir, path) != ERR_OK)
            return fail_for_good(ledger);
        ledger->allocated = ledger->end;
        ledger->zeroed = 0;
        return err;
    }
    fresh.end = sizeof(struct segment_header);
    pthread_mutex_lock(&ledger->lock);
    ledger->segments[ledger->segment_count - 1].end = size;
    ledger->segments[ledger->segment_count++] = fresh;
    pthread_mutex_unlock(&ledger->lock);
    file_close(&ledger->fd);
    ledger->fd = fd;
    fd = -1;
    memcpy(ledger->path, path, sizeof(path));
    atomic_fetch_add(&ledger->bytes, size - ledger->end + fresh.end);
    ledger->end = fresh.end;
    ledger->allocated = fresh.end;
    ledger->zeroed = 0;
    ledger->chain = chain;
    ledger->has_frames = false;
    return ERR_OK;
}

/* Takes room for `bytes` at the end: a large step, a small one, or just what is needed. */
static enum err
allocate(struct ledger *ledger, uint64_t bytes, struct diag *diag)
{
    const uint64_t steps[] = {ALLOCATE_STEP, ALLOCATE_STEP_SMALL, 1};
    enum err err = ERR_OK;

    if (ledger->end + bytes <= ledger->allocated)
        return ERR_OK;
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        const uint64_t step =
            steps[i] < ledger->config.segment_bytes ? steps[i] : ledger->config.segment_bytes;
        const uint64_t wanted = (ledger->end + bytes + step - 1) / step * step;

        err = file_allocate(ledger->fd, ledger->path, ledger->allocated, wanted - ledger->allocated,
                            diag);
        if (err == ERR_OK) {
            ledger->allocated = wanted;
            return ERR_OK;
        }
        if (err != ERR_STORAGE_FULL)
            return err;
    }
    return err;
}

/* Gives back what a failed append has written or taken. */
static enum err
cut_back(struct ledger *ledger, enum err cause, struct diag *diag)
{
    if (file_truncate(ledger->fd, ledger->path, ledger->end, diag) != ERR_OK)
        return fail_for_good(ledger);
    ledger->allocated = ledger->end;
    ledger->zeroed = 0;
    return cause;
}

/* Into room that was taken; a small frame that comes to room never written brings zeros along. */
static enum err
write_frame(struct ledger *ledger, const uint8_t *frame, uint64_t bytes, struct diag *diag)
{
    struct slice parts[1 + ZERO_PARTS] = {slice_of((const char *)frame, (size_t)bytes)};
    uint64_t end = ledger->end + bytes;
    size_t part_count = 1;
    enum err err;

    if (bytes <= ZERO_FRAME_BYTES_MAX && end > ledger->zeroed)
        while (part_count < COUNT_OF(parts) && ledger->allocated - end >= ZERO_PART_BYTES) {
            parts[part_count++] = slice_of(zeros, ZERO_PART_BYTES);
            end += ZERO_PART_BYTES;
        }
    err = file_write_parts_at(ledger->fd, ledger->path, parts, part_count, ledger->end, diag);
    if (err == ERR_OK && end > ledger->zeroed)
        ledger->zeroed = end;
    return err;
}

/* Lets readers see the frame. */
static void
publish(struct ledger *ledger, const struct frame_header *header, uint64_t bytes)
{
    struct ledger_segment *segment = NULL;
    const bool takes_seqs = header->kind == FRAME_ROWS || header->kind == FRAME_GAP;

    pthread_mutex_lock(&ledger->lock);
    segment = &ledger->segments[ledger->segment_count - 1];
    segment->end = ledger->end + bytes;
    segment->next_seq += takes_seqs ? header->count : 0;
    segment->rows += header->kind == FRAME_ROWS ? header->count : 0;
    segment->tombstones += header->kind == FRAME_TOMBSTONES ? header->count : 0;
    pthread_mutex_unlock(&ledger->lock);
    ledger->end += bytes;
    ledger->chain = header->crc;
    ledger->next_seq += takes_seqs ? header->count : 0;
    ledger->has_frames = true;
    atomic_fetch_add(&ledger->bytes, bytes);
    atomic_fetch_add(&ledger->rows, header->kind == FRAME_ROWS ? header->count : 0);
    atomic_store(&ledger->durable_seq, ledger->next_seq - 1);
}

enum err
ledger_append(struct ledger *ledger, uint8_t *frame, struct diag *diag)
{
    struct frame_header header;
    uint64_t bytes = 0;
    enum err err = ERR_OK;

    if (ledger->is_fatal)
        return ERR_FATAL;
    memcpy(&header, frame, sizeof(header));
    bytes = sizeof(header) + segment_pad(header.payload_bytes);
    if (ledger->has_frames && ledger->end + bytes > ledger->config.segment_bytes) {
        err = ledger_roll(ledger, diag);
        if (err != ERR_OK)
            return err;
    }
    frame_header_finish(&header, ledger->next_seq, ledger->chain);
    memcpy(frame, &header, sizeof(header));
    pthread_mutex_lock(&ledger->lock); /* before the write: it may fail for want of memory */
    err = ledger_add_mark(&ledger->segments[ledger->segment_count - 1], ledger->next_seq,
                          ledger->end);
    pthread_mutex_unlock(&ledger->lock);
    if (err == ERR_OK) {
        err = allocate(ledger, bytes, diag);
        if (err == ERR_OK)
            err = write_frame(ledger, frame, bytes, diag);
        if (err != ERR_OK)
            return cut_back(ledger, err, diag);
        if (file_sync_data(ledger->fd, ledger->path, diag) != ERR_OK)
            return fail_for_good(ledger);
        publish(ledger, &header, bytes);
    }
    return err;
}

/* --- replacing ----------------------------------------------------------------------------- */

/* Under the ledger's lock. */
static struct ledger_segment *
find_first_seq(struct ledger *ledger, uint64_t first_seq)
{
    uint32_t low = 0;
    uint32_t high = ledger->segment_count;

    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;

        if (ledger->segments[middle].first_seq <= first_seq)
            low = middle;
        else
            high = middle;
    }
    assert(ledger->segments[low].first_seq == first_seq && low + 1 < ledger->segment_count);
    return &ledger->segments[low];
}

enum err
ledger_replace_segment(struct ledger *ledger, const char *tmp, const char *path,
                       const struct ledger_segment *fresh, struct diag *diag)
{
    struct ledger_segment old;
    struct ledger_segment *place = NULL;
    enum err err = ERR_OK;

    pthread_mutex_lock(&ledger->read_lock); /* name and list change as one for who reads */
    err = file_rename(tmp, path, diag);
    if (err == ERR_OK) {
        pthread_mutex_lock(&ledger->lock);
        place = find_first_seq(ledger, fresh->first_seq);
        old = *place;
        *place = *fresh;
        pthread_mutex_unlock(&ledger->lock);
        if (ledger->reader_first_seq == fresh->first_seq) {
            segment_reader_close(&ledger->reader);
            ledger->reader_first_seq = 0;
            ledger->read_after = UINT64_MAX;
        }
    }
    pthread_mutex_unlock(&ledger->read_lock);
    if (err != ERR_OK)
        return err;
    assert(old.next_seq == fresh->next_seq);
    atomic_fetch_sub(&ledger->rows, old.rows - fresh->rows);
    atomic_fetch_sub(&ledger->bytes, old.end - fresh->end); /* below 0, where it has grown */
    mem_free(old.marks);
    return ERR_OK;
}

bool
ledger_segment_at(struct ledger *ledger, uint32_t i, struct ledger_segment *ret_segment,
                  bool *ret_is_active)
{
    bool is_there = false;

    pthread_mutex_lock(&ledger->lock);
    is_there = i < ledger->segment_count;
    if (is_there) {
        *ret_segment = ledger->segments[i];
        *ret_is_active = i + 1 == ledger->segment_count;
    }
    pthread_mutex_unlock(&ledger->lock);
    return is_there;
}

/* --- closing ------------------------------------------------------------------------------- */

void
ledger_close(struct ledger **ledger_ptr)
{
    struct ledger *ledger = *ledger_ptr;

    *ledger_ptr = NULL;
    if (ledger == NULL)
        return;
    if (ledger->fd >= 0 && !ledger->is_fatal && ledger->has_frames) {
        struct diag diag = DIAG_INIT;
        uint64_t size = 0;
        const struct ledger_segment *last = &ledger->segments[ledger->segment_count - 1];
        const enum err err = ledger_write_footer(ledger->fd, ledger->path, last, ledger->end,
                                                 ledger->chain, &size, &diag);

        if (err != ERR_OK) /* all frames are durable; the next start treats it as an unclean stop */
            SINK(ledger->config.sink, LOG_LEVEL_WARN, "ledger.close_failed",
                 LOG_TEXT("reason", diag.message));
    }
    file_close(&ledger->fd);
    segment_reader_close(&ledger->reader);
    for (uint32_t i = 0; i < ledger->segment_count; i++)
        mem_free(ledger->segments[i].marks);
    mem_free(ledger->segments);
    pthread_mutex_destroy(&ledger->lock);
    pthread_mutex_destroy(&ledger->read_lock);
    mem_free(ledger->dir);
    mem_free(ledger);
}

uint32_t
ledger_segment_count(struct ledger *ledger)
{
    uint32_t count = 0;

    pthread_mutex_lock(&ledger->lock);
    count = ledger->segment_count;
    pthread_mutex_unlock(&ledger->lock);
    return count;
}
