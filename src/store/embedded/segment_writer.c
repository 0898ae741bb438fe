/*
 * segment_writer - see segment_writer.h. Written pages go to the disk as they come, in pieces, so
 * that the sync at the end does not hold up the syncs of commits.
 */
#include "store/embedded/segment_writer.h"

#include "base/mem.h"
#include <stdio.h>
#include <string.h>

#define WRITE_BACK_BYTES (UINT64_C(1) << 20)

enum err
segment_writer_open(struct segment_writer *writer, const char *segment_path,
                    const struct segment_header *header, struct diag *diag)
{
    const int len = snprintf(writer->path, sizeof(writer->path), "%s.tmp", segment_path);
    enum err err;

    writer->fd = -1;
    writer->segment =
        (struct ledger_segment){.first_seq = header->first_seq, .next_seq = header->first_seq};
    writer->end = sizeof(*header);
    writer->written_back = 0;
    writer->chain = header->crc;
    if (len < 0 || len >= (int)sizeof(writer->path))
        return ERR_INVALID;
    err = file_open(writer->path, FILE_REPLACE, &writer->fd, diag);
    return err == ERR_OK ? file_write_at(writer->fd, writer->path, header, sizeof(*header), 0, diag)
                         : err;
}

enum err
segment_writer_frame(struct segment_writer *writer, struct frame_header header,
                     const uint8_t *payload, struct diag *diag)
{
    const size_t payload_bytes = (size_t)segment_pad(header.payload_bytes);
    struct ledger_segment *segment = &writer->segment;
    struct slice parts[2];
    enum err err = ledger_add_mark(segment, segment->next_seq, writer->end);

    if (err != ERR_OK)
        return err;
    frame_header_finish(&header, segment->next_seq, writer->chain);
    parts[0] = slice_of((const char *)&header, sizeof(header));
    parts[1] = slice_of((const char *)payload, payload_bytes);
    err = file_write_parts_at(writer->fd, writer->path, parts, payload_bytes != 0 ? 2 : 1,
                              writer->end, diag);
    if (err != ERR_OK)
        return err;
    writer->end += sizeof(header) + payload_bytes;
    writer->chain = header.crc;
    if (header.kind == FRAME_ROWS || header.kind == FRAME_GAP)
        segment->next_seq += header.count;
    if (header.kind == FRAME_ROWS)
        segment->rows += header.count;
    if (header.kind == FRAME_TOMBSTONES)
        segment->tombstones += header.count;
    if (writer->end - writer->written_back < WRITE_BACK_BYTES)
        return ERR_OK;
    err = file_write_back(writer->fd, writer->path, writer->written_back, writer->end, diag);
    writer->written_back = writer->end;
    return err;
}

enum err
segment_writer_gap(struct segment_writer *writer, uint64_t until_seq, uint64_t *ret_seqs,
                   struct diag *diag)
{
    enum err err = ERR_OK;

    while (err == ERR_OK && writer->segment.next_seq < until_seq) {
        const uint64_t left = until_seq - writer->segment.next_seq;
        struct frame_header header;

        frame_header_prepare(FRAME_GAP, left < UINT32_MAX ? (uint32_t)left : UINT32_MAX, 0,
                             frame_payload_crc("", 0), &header);
        *ret_seqs += header.count;
        err = segment_writer_frame(writer, header, NULL, diag);
    }
    return err;
}

enum err
segment_writer_finish(struct segment_writer *writer, struct diag *diag)
{
    uint64_t size = 0;
    enum err err = ledger_write_footer(writer->fd, writer->path, &writer->segment, writer->end,
                                       writer->chain, &size, diag);

    if (err == ERR_OK)
        writer->segment.end = size;
    return err;
}

void
segment_writer_close(struct segment_writer *writer)
{
    enum err err = ERR_OK;

    if (writer->fd >= 0 && file_exists(writer->path))
        err = file_unlink(writer->path, NULL); /* if that fails, the next start does it */
    (void)err;
    file_close(&writer->fd);
    mem_free(writer->segment.marks);
    writer->segment.marks = NULL;
}

enum err
segment_writer_remove_leftovers(const char *dir, struct diag *diag)
{
    CLEANUP(file_list_free) struct file_list list = {0};
    enum err err = file_list_dir(dir, &list, diag);

    for (size_t i = 0; err == ERR_OK && i < list.count; i++) {
        const size_t len = strlen(list.names[i]);
        char path[FILE_PATH_MAX];

        if (len > 8 && strcmp(list.names[i] + len - 8, ".seg.tmp") == 0 &&
            file_path(path, dir, list.names[i]))
            err = file_unlink(path, diag);
    }
    return err;
}
