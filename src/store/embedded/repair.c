/*
 * repair - see repair.h.
 */
#include "store/embedded/repair.h"
#include "base/mem.h"
#include "store/embedded/segment_writer.h"
#include <stdio.h>

#define ASIDES_MAX 1000U

/* A new file for the copy; one of an earlier repair, perhaps cut short, stays as it is. */
static enum err
open_aside(struct repair *repair, char path[FILE_PATH_MAX], int *ret_fd, struct diag *diag)
{
    char name[SEGMENT_NAME_BYTES];
    enum err err = ERR_EXISTS;

    segment_name(repair->first_seq, name);
    for (unsigned i = 0; i < ASIDES_MAX && err == ERR_EXISTS; i++) {
        const int len = snprintf(repair->kept_as, sizeof(repair->kept_as), "%s%s%.0u.damaged", name,
                                 i == 0 ? "" : ".", i);

        if (len < 0 || len >= (int)sizeof(repair->kept_as) ||
            !file_path(path, repair->dir, repair->kept_as))
            return ERR_INVALID;
        err = file_open(path, FILE_CREATE_NEW, ret_fd, diag);
    }
    return err;
}

static enum err
copy_aside(struct segment_reader *reader, struct repair *repair, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    char path[FILE_PATH_MAX];
    enum err err = open_aside(repair, path, &fd, diag);

    for (uint64_t done = 0; err == ERR_OK && done < reader->file_bytes;) {
        const uint64_t left = reader->file_bytes - done;
        const size_t len = left < 65536 ? (size_t)left : 65536;
        const uint8_t *bytes = NULL;

        err = segment_reader_at(reader, done, len, &bytes, diag);
        if (err == ERR_OK)
            err = file_write_at(fd, path, bytes, len, done, diag);
        done += len;
    }
    if (err == ERR_OK)
        err = file_sync(fd, path, diag);
    return err == ERR_OK ? file_sync_dir(repair->dir, diag) : err;
}

/* Goes from good frame to good frame; what lies between becomes a gap. */
static enum err
write_frames(struct repair *repair, struct segment_reader *reader, struct segment_writer *out,
             struct diag *diag)
{
    struct segment_place place = {.offset = sizeof(struct segment_header),
                                  .next_seq = repair->first_seq};
    enum err err = ERR_OK;

    while (err == ERR_OK && place.offset < reader->file_bytes) {
        struct segment_frame frame;
        enum segment_found found = SEGMENT_END;
        bool is_found = false;
        uint64_t offset = 0;
        const uint8_t *bytes = NULL;

        err = segment_read_frame(reader, &place, &found, &frame, diag);
        if (err != ERR_OK || found == SEGMENT_END)
            break;
        if (found == SEGMENT_FRAME) {
            if (frame.header.kind != FRAME_FOOTER)
                err = segment_writer_frame(out, frame.header, frame.payload, diag);
            continue;
        }
        err = segment_find_behind(reader, frame.offset, place.next_seq, &is_found, &offset, diag);
        if (err != ERR_OK || !is_found)
            break;
        err = segment_reader_at(reader, offset, sizeof(frame.header), &bytes, diag);
        if (err != ERR_OK)
            break;
        memcpy(&frame.header, bytes, sizeof(frame.header));
        place = (struct segment_place){.offset = offset, .next_seq = frame.header.first_seq};
        err = segment_writer_gap(out, frame.header.first_seq, &repair->lost_seqs, diag);
    }
    return err;
}

enum err
repair_segment(struct repair *repair, struct diag *diag)
{
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    CLEANUP(segment_writer_close) struct segment_writer out = {.fd = -1};
    struct segment_header header;
    char name[SEGMENT_NAME_BYTES];
    char path[FILE_PATH_MAX];
    enum err err = ERR_OK;

    segment_name(repair->first_seq, name);
    if (!file_path(path, repair->dir, name))
        return ERR_INVALID;
    err = segment_reader_open(&reader, path, diag);
    if (err == ERR_OK)
        err = copy_aside(&reader, repair, diag);
    segment_header_make(repair->ledger_id, repair->first_seq, repair->now_us, &header);
    if (err == ERR_OK)
        err = segment_writer_open(&out, path, &header, diag);
    if (err == ERR_OK)
        err = write_frames(repair, &reader, &out, diag);
    if (err == ERR_OK && repair->next_first_seq != 0)
        err = segment_writer_gap(&out, repair->next_first_seq, &repair->lost_seqs, diag);
    if (err == ERR_OK)
        err = segment_writer_finish(&out, diag);
    if (err == ERR_OK)
        err = file_rename(out.path, path, diag);
    return err == ERR_OK ? file_sync_dir(repair->dir, diag) : err;
}
