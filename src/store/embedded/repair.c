/*
 * repair - see repair.h.
 */
#include "store/embedded/repair.h"
#include "base/mem.h"
#include "store/embedded/ledger.h"
#include <stdio.h>

/* The segment being written. */
struct repaired {
    struct ledger_segment segment;
    const char *path;
    int fd;
    uint64_t end;
    uint32_t chain;
};

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

/* One frame, its seq and chain made new. */
static enum err
write_frame(struct repaired *out, struct frame_header header, const uint8_t *payload,
            struct diag *diag)
{
    const size_t payload_bytes = (size_t)segment_pad(header.payload_bytes);
    struct slice parts[2];
    enum err err = ledger_add_mark(&out->segment, out->segment.next_seq, out->end);

    if (err != ERR_OK)
        return err;
    frame_header_finish(&header, out->segment.next_seq, out->chain);
    parts[0] = slice_of((const char *)&header, sizeof(header));
    parts[1] = slice_of((const char *)payload, payload_bytes);
    err =
        file_write_parts_at(out->fd, out->path, parts, payload_bytes != 0 ? 2 : 1, out->end, diag);
    if (err != ERR_OK)
        return err;
    out->end += sizeof(header) + payload_bytes;
    out->chain = header.crc;
    if (header.kind == FRAME_ROWS || header.kind == FRAME_GAP)
        out->segment.next_seq += header.count;
    if (header.kind == FRAME_ROWS)
        out->segment.rows += header.count;
    if (header.kind == FRAME_TOMBSTONES)
        out->segment.tombstones += header.count;
    return ERR_OK;
}

static enum err
write_gap(struct repair *repair, struct repaired *out, uint64_t until_seq, struct diag *diag)
{
    enum err err = ERR_OK;

    while (err == ERR_OK && out->segment.next_seq < until_seq) {
        const uint64_t left = until_seq - out->segment.next_seq;
        struct frame_header header;

        frame_header_prepare(FRAME_GAP, left < UINT32_MAX ? (uint32_t)left : UINT32_MAX, 0,
                             frame_payload_crc("", 0), &header);
        repair->lost_seqs += header.count;
        err = write_frame(out, header, NULL, diag);
    }
    return err;
}

/* Goes from good frame to good frame; what lies between becomes a gap. */
static enum err
write_frames(struct repair *repair, struct segment_reader *reader, struct repaired *out,
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
                err = write_frame(out, frame.header, frame.payload, diag);
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
        err = write_gap(repair, out, frame.header.first_seq, diag);
    }
    return err;
}

/* The old header's word, where it can be read: it bounds when the rows came (erase.c). 0: unknown.
 */
static int64_t
read_made_at(struct segment_reader *reader)
{
    struct segment_header header;
    struct segment_place place;

    return segment_read_header(reader, &header, &place, NULL) == ERR_OK ? header.made_at_us : 0;
}

enum err
repair_segment(struct repair *repair, struct diag *diag)
{
    CLEANUP(segment_reader_close) struct segment_reader reader = {.fd = -1};
    CLOSE_FD int fd = -1;
    struct repaired out = {
        .segment = {.first_seq = repair->first_seq, .next_seq = repair->first_seq}};
    struct segment_header header;
    char name[SEGMENT_NAME_BYTES];
    char path[FILE_PATH_MAX];
    char tmp[FILE_PATH_MAX];
    int tmp_len = 0;
    uint64_t size = 0;
    enum err err = ERR_OK;

    segment_name(repair->first_seq, name);
    if (!file_path(path, repair->dir, name))
        return ERR_INVALID;
    tmp_len = snprintf(tmp, sizeof(tmp), "%s.tmp", path);
    if (tmp_len < 0 || tmp_len >= (int)sizeof(tmp))
        return ERR_INVALID;
    err = segment_reader_open(&reader, path, diag);
    if (err == ERR_OK)
        err = copy_aside(&reader, repair, diag);
    if (err == ERR_OK)
        err = file_open(tmp, FILE_REPLACE, &fd, diag);
    if (err != ERR_OK)
        return err;
    segment_header_make(repair->ledger_id, repair->first_seq, read_made_at(&reader), &header);
    out.fd = fd;
    out.path = tmp;
    out.end = sizeof(header);
    out.chain = header.crc;
    err = file_write_at(fd, tmp, &header, sizeof(header), 0, diag);
    if (err == ERR_OK)
        err = write_frames(repair, &reader, &out, diag);
    if (err == ERR_OK && repair->next_first_seq != 0)
        err = write_gap(repair, &out, repair->next_first_seq, diag);
    if (err == ERR_OK)
        err = ledger_write_footer(fd, tmp, &out.segment, out.end, out.chain, &size, diag);
    mem_free(out.segment.marks);
    if (err == ERR_OK)
        err = file_rename(tmp, path, diag);
    return err == ERR_OK ? file_sync_dir(repair->dir, diag) : err;
}
