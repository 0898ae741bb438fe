/*
 * backup - a copy of the ledger beside a running server. See embedded.h.
 *
 * Layer 3, the thread of who asks; reads files alone, and takes no lock of the server's.
 *
 * What was durable when the folder was listed lies in the segments of that list. All but the last
 * have ended: they never change, and where an erasure puts a new file in one's place the opened one
 * is read on. The last is walked first, frame by frame: up to the end of its last whole frame its
 * bytes never change, whatever is appended meanwhile. What lies behind is not copied, nor are
 * segments made later: the copy is the ledger of one moment, after the beginning.
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
    const struct embedded_backup *how;
};

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

/* Where the last whole frame ends. ERR_CORRUPT: a frame stands behind what is none. */
static enum err
find_end(struct segment_reader *reader, uint64_t *ret_end, struct diag *diag)
{
    struct segment_header header;
    struct segment_place place;
    struct segment_frame frame;
    enum segment_found found = SEGMENT_FRAME;
    bool is_more = false;
    uint64_t behind = 0;
    enum err err = segment_read_header(reader, &header, &place, diag);

    while (err == ERR_OK && found == SEGMENT_FRAME)
        err = segment_read_frame(reader, &place, &found, &frame, diag);
    if (err == ERR_OK && found == SEGMENT_BAD)
        err = segment_find_behind(reader, place.offset, place.next_seq, &is_more, &behind, diag);
    if (err == ERR_OK && is_more) {
        diag_set(diag, "%s: %s (offset %" PRIu64 "); run `potik doctor` on the data folder",
                 reader->path, frame.what, place.offset);
        err = ERR_CORRUPT;
    }
    *ret_end = place.offset;
    return err;
}

/*
 * How much of the segment is to be copied: all of one that has its footer by its end; of the last,
 * or one whose successor is still empty, up to its last whole frame. While the server ends a
 * segment it grows a footer and loses what was reserved behind it, and while a commit is under way
 * a frame is half there: then this fails, and is to be tried again.
 */
static enum err
find_bytes(struct segment_reader *reader, bool may_be_open, uint64_t *ret_bytes, struct diag *diag)
{
    struct segment_frame frame;
    struct footer_tail tail;
    bool has_footer = false;
    enum err err = segment_read_footer(reader, &has_footer, &frame, &tail, diag);

    *ret_bytes = reader->file_bytes;
    if (err != ERR_OK || has_footer)
        return err;
    if (may_be_open)
        return find_end(reader, ret_bytes, diag);
    diag_set(diag, "%s lacks its footer; run `potik doctor` on the data folder", reader->path);
    return ERR_CORRUPT;
}

/* `behind`: how many segments follow. One of a killed server may lack its footer where the one
 * behind is empty; if that is not empty, the check of the copy tells. */
static enum err
copy_segment(const struct backup *backup, uint64_t first_seq, size_t behind, struct diag *diag)
{
    const struct timespec rest = {.tv_nsec = REST_NS};
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
            err = find_bytes(&reader, behind == 0 || (behind == 1 && tries == TRIES), &bytes, diag);
        if (err == ERR_OK)
            return copy(backup, reader.fd, path, bytes, name, diag);
        if (tries == TRIES || (err != ERR_CORRUPT && err != ERR_IO))
            return err;
        (void)nanosleep(&rest, NULL);
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

/* Whether the last segment has its header: its name stands there a moment before. */
static bool
is_last_begun(const char *ledger_dir, uint64_t first_seq)
{
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    struct segment_header header;
    struct segment_place place;
    char name[SEGMENT_NAME_BYTES];
    char path[FILE_PATH_MAX];

    segment_name(first_seq, name);
    return file_path(path, ledger_dir, name) &&
           segment_reader_open(&reader, path, NULL) == ERR_OK &&
           segment_read_header(&reader, &header, &place, NULL) == ERR_OK;
}

/* A last segment that does not become one stays in the list: reading it tells why. */
static enum err
wait_for_list(const char *ledger_dir, uint64_t **ret_first_seqs, size_t *ret_count,
              uint64_t *ret_bytes, struct diag *diag)
{
    const struct timespec rest = {.tv_nsec = REST_NS};

    for (int tries = 0;; tries++) {
        const enum err err = list_segments(ledger_dir, ret_first_seqs, ret_count, ret_bytes, diag);

        if (err != ERR_OK || *ret_count == 0 || tries == TRIES ||
            is_last_begun(ledger_dir, (*ret_first_seqs)[*ret_count - 1]))
            return err;
        mem_free(*ret_first_seqs);
        *ret_first_seqs = NULL;
        (void)nanosleep(&rest, NULL);
    }
}

enum err
embedded_backup(const char *data_dir, const char *to, const struct embedded_backup *how,
                struct diag *diag)
{
    const struct backup backup = {.data_dir = data_dir, .to = to, .how = how};
    CLEANUP(mem_free_ptr) uint64_t *first_seqs = NULL;
    char ledger_dir[FILE_PATH_MAX];
    size_t count = 0;
    uint64_t bytes = 0;
    enum err err = ERR_INVALID;

    if (file_path(ledger_dir, data_dir, "ledger"))
        err = wait_for_list(ledger_dir, &first_seqs, &count, &bytes, diag);
    if (err != ERR_OK)
        return err;
    how->listed(how->state, bytes);
    if (!file_path(ledger_dir, to, "ledger"))
        return ERR_INVALID;
    err = file_make_dir(ledger_dir, diag);
    if (err == ERR_OK)
        err = copy_secret(&backup, diag);
    for (size_t i = 0; err == ERR_OK && i < count; i++)
        err = copy_segment(&backup, first_seqs[i], count - i - 1, diag);
    return err == ERR_OK ? file_sync_dir(ledger_dir, diag) : err;
}
