/*
 * backup - a copy of the ledger beside a running server. See embedded.h.
 *
 * Layer 3, the thread of who asks; reads files alone, and takes no lock of the server's.
 *
 * The copy is the ledger up to one seq, the last that stood whole when the backup began: all that
 * was durable then. That seq is found first, by walking the last segment; then accounts are copied,
 * by who calls; then the ledger. So every project of the copied events is among the copied
 * accounts, and an erasure that was done in the accounts has left the segments before they are
 * copied.
 *
 * Segments that have ended never change, and where an erasure puts a new file in one's place the
 * opened one is read on. The one with that seq is walked frame by frame to it: those bytes never
 * change either, whatever is appended behind them. It has no footer in the copy: it is the last
 * there.
 *
 * The files: secret; ledger/<first seq>.seg. Not those set aside, which hold no event that counts;
 * nor ids/, which is derived but for ids/freed, of which losing records is safe (freed.h).
 */
#include "base/clock.h"
#include "base/mem.h"
#include "store/embedded/embedded.h"
#include "store/embedded/segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define TRIES 50 /* a second, in all */
#define REST_NS 20000000

struct backup {
    const char *data_dir;
    const char *to;
    uint64_t seq_max;
    const struct embedded_backup *how;
};

/* What the server is just writing reads as damage, for a moment. Waits for it. */
static bool
is_to_be_tried_again(enum err err, int tries)
{
    const struct timespec rest = {.tv_nsec = REST_NS};

    if (tries == TRIES || (err != ERR_CORRUPT && err != ERR_IO))
        return false;
    (void)nanosleep(&rest, NULL);
    return true;
}

static enum err
copy(const struct backup *backup, int fd, const char *path, uint64_t bytes, const char *name,
     struct diag *diag)
{
    char to[FILE_PATH_MAX];
    enum err err;

    if (!file_path(to, backup->to, name))
        return ERR_INVALID;
    backup->how->begin(backup->how->state, name);
    err = file_copy(fd, path, bytes, to, backup->how->seen, backup->how->state, diag);
    return err == ERR_OK ? backup->how->end(backup->how->state, diag) : err;
}

/* Walks to the end of the frame with seq_max, or of the last whole one. ERR_CORRUPT: a frame stands
 * behind what is none. */
static enum err
find_end(struct segment_reader *reader, uint64_t seq_max, struct segment_place *ret_place,
         struct diag *diag)
{
    struct segment_header header;
    struct segment_frame frame;
    enum segment_found found = SEGMENT_FRAME;
    bool is_more = false;
    uint64_t behind = 0;
    enum err err = segment_read_header(reader, &header, ret_place, diag);

    while (err == ERR_OK && found == SEGMENT_FRAME && ret_place->next_seq <= seq_max)
        err = segment_read_frame(reader, ret_place, &found, &frame, diag);
    if (err == ERR_OK && found == SEGMENT_BAD)
        err = segment_find_behind(reader, ret_place->offset, ret_place->next_seq, &is_more, &behind,
                                  diag);
    if (err == ERR_OK && is_more) {
        diag_set(diag, "%s: %s (offset %" PRIu64 "); run `potik doctor` on the data folder",
                 reader->path, frame.what, ret_place->offset);
        err = ERR_CORRUPT;
    }
    return err;
}

static enum err
lacks(const struct segment_reader *reader, const char *what, struct diag *diag)
{
    diag_set(diag, "%s lacks %s; run `potik doctor` on the data folder", reader->path, what);
    return ERR_CORRUPT;
}

/*
 * How much of the segment is to be copied: of the last up to seq_max, of others all. While the
 * server ends a segment it grows a footer and loses what was reserved behind it, and while a commit
 * is under way a frame is half there: then this fails, and is to be tried again.
 */
static enum err
find_bytes(struct segment_reader *reader, uint64_t seq_max, bool is_last, uint64_t *ret_bytes,
           struct diag *diag)
{
    struct segment_place place = {0};
    struct segment_frame frame;
    struct footer_tail tail;
    bool has_footer = false;
    enum err err;

    *ret_bytes = reader->file_bytes;
    if (!is_last) {
        err = segment_read_footer(reader, &has_footer, &frame, &tail, diag);
        return err != ERR_OK || has_footer ? err : lacks(reader, "its footer", diag);
    }
    err = find_end(reader, seq_max, &place, diag);
    *ret_bytes = place.offset;
    return err == ERR_OK && place.next_seq <= seq_max ? lacks(reader, "frames at its end", diag)
                                                      : err;
}

static enum err
copy_segment(const struct backup *backup, uint64_t first_seq, bool is_last, struct diag *diag)
{
    char segment[SEGMENT_NAME_BYTES];
    char name[SEGMENT_NAME_BYTES + 8];
    char path[FILE_PATH_MAX];
    enum err err;

    segment_name(first_seq, segment);
    (void)snprintf(name, sizeof(name), "ledger/%s", segment);
    if (!file_path(path, backup->data_dir, name))
        return ERR_INVALID;
    for (int tries = 1;; tries++) {
        CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
        uint64_t bytes = 0;

        diag_clear(diag);
        err = segment_reader_open(&reader, path, diag);
        if (err == ERR_OK)
            err = find_bytes(&reader, backup->seq_max, is_last, &bytes, diag);
        if (err == ERR_OK)
            return copy(backup, reader.fd, path, bytes, name, diag);
        if (!is_to_be_tried_again(err, tries))
            return err;
    }
}

static enum err
copy_secret(const struct backup *backup, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    char path[FILE_PATH_MAX];
    uint64_t bytes = 0;
    enum err err = file_path(path, backup->data_dir, "secret") ? ERR_OK : ERR_INVALID;

    if (err == ERR_OK)
        err = file_open(path, FILE_READ, &fd, diag);
    if (err == ERR_OK)
        err = file_size(fd, path, &bytes, diag);
    return err == ERR_OK ? copy(backup, fd, path, bytes, "secret", diag) : err;
}

/* In byte order, which is that of first seqs. */
static enum err
list_segments(const char *ledger_dir, uint64_t **ret_first_seqs, size_t *ret_count,
              uint64_t *ret_bytes, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    CLEANUP(mem_free_ptr) uint64_t *first_seqs = NULL;
    size_t count = 0;
    uint64_t total = 0;
    enum err err = file_list_dir(ledger_dir, &list, diag);

    if (err != ERR_OK)
        return err;
    first_seqs = MEM_NEW(uint64_t, list.count + 1);
    if (first_seqs == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; err == ERR_OK && i < list.count; i++) {
        char path[FILE_PATH_MAX];
        uint64_t bytes = 0;

        if (!segment_name_parse(list.names[i], &first_seqs[count]))
            continue;
        if (!file_path(path, ledger_dir, list.names[i]))
            return ERR_INVALID;
        err = file_size_of_path(path, &bytes, diag);
        total += bytes;
        count++;
    }
    if (err != ERR_OK)
        return err;
    *ret_first_seqs = MOVE(first_seqs);
    *ret_count = count;
    *ret_bytes = total;
    return ERR_OK;
}

static enum err
find_last_seq(const char *ledger_dir, uint64_t *ret_seq, struct diag *diag)
{
    CLEANUP(mem_free_ptr) uint64_t *first_seqs = NULL;
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    struct segment_place place = {.next_seq = 1};
    char name[SEGMENT_NAME_BYTES];
    char path[FILE_PATH_MAX];
    size_t count = 0;
    uint64_t bytes = 0;
    enum err err = list_segments(ledger_dir, &first_seqs, &count, &bytes, diag);

    if (err == ERR_OK && count > 0) {
        segment_name(first_seqs[count - 1], name);
        err = file_path(path, ledger_dir, name) ? ERR_OK : ERR_INVALID;
        if (err == ERR_OK)
            err = segment_reader_open(&reader, path, diag);
        if (err == ERR_OK)
            err = find_end(&reader, UINT64_MAX - 1, &place, diag);
    }
    *ret_seq = place.next_seq - 1;
    return err;
}

/* A segment that has just got its name has no header for a moment. */
enum err
embedded_backup_bound(const char *data_dir, uint64_t *ret_seq_max, struct diag *diag)
{
    char ledger_dir[FILE_PATH_MAX];

    if (!file_path(ledger_dir, data_dir, "ledger"))
        return ERR_INVALID;
    for (int tries = 1;; tries++) {
        enum err err;

        diag_clear(diag);
        err = find_last_seq(ledger_dir, ret_seq_max, diag);
        if (!is_to_be_tried_again(err, tries))
            return err;
    }
}

enum err
embedded_backup(const char *data_dir, const char *to, uint64_t seq_max,
                const struct embedded_backup *how, struct diag *diag)
{
    const struct backup backup = {.data_dir = data_dir, .to = to, .seq_max = seq_max, .how = how};
    CLEANUP(mem_free_ptr) uint64_t *first_seqs = NULL;
    char ledger_dir[FILE_PATH_MAX];
    size_t count = 0;
    uint64_t bytes = 0;
    enum err err = ERR_INVALID;

    if (file_path(ledger_dir, data_dir, "ledger"))
        err = list_segments(ledger_dir, &first_seqs, &count, &bytes, diag);
    if (err != ERR_OK)
        return err;
    while (count > 1 && first_seqs[count - 1] > seq_max)
        count--;
    how->listed(how->state, bytes);
    if (!file_path(ledger_dir, to, "ledger"))
        return ERR_INVALID;
    err = file_make_dir(ledger_dir, diag);
    if (err == ERR_OK)
        err = copy_secret(&backup, diag);
    for (size_t i = 0; err == ERR_OK && i < count; i++)
        err = copy_segment(&backup, first_seqs[i], i + 1 == count, diag);
    return err == ERR_OK ? file_sync_dir(ledger_dir, diag) : err;
}
