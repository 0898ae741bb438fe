/* rooms: store */
/*
 * fuzz_segment - the segment reader on arbitrary bytes: no read outside them, no endless walk.
 *
 * A first byte with its lowest bit set asks for checksums, magics and chain to be put right first,
 * so that what lies behind them is reached too.
 */
#include "codec/crc32c.h"
#include "store/embedded/segment.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Makes header and frames pass their checks, as far as their lengths allow. */
static void
put_right(uint8_t *bytes, size_t len)
{
    struct segment_header header;
    uint64_t seq = 0;
    uint32_t chain = 0;

    if (len < sizeof(header))
        return;
    memcpy(&header, bytes, sizeof(header));
    memcpy(header.magic, "potikseg", 8);
    header.version = SEGMENT_VERSION;
    header.flags = 0;
    header.crc = crc32c(0, &header, sizeof(header) - 4);
    memcpy(bytes, &header, sizeof(header));
    seq = header.first_seq;
    chain = header.crc;
    for (size_t place = sizeof(header); len - place >= sizeof(struct frame_header);) {
        struct frame_header frame;
        size_t payload = 0;

        memcpy(&frame, bytes + place, sizeof(frame));
        frame.magic = FRAME_MAGIC;
        frame.kind = frame.kind % 4 + 1;
        frame.zero = 0;
        frame.payload_bytes %= 4096;
        frame.count %= 64;
        payload = (size_t)segment_pad(frame.payload_bytes);
        if (payload > len - place - sizeof(frame))
            return;
        if (frame.kind == FRAME_FOOTER && frame.payload_bytes >= sizeof(struct footer_tail)) {
            const uint64_t offset = place;
            uint8_t *tail = bytes + place + sizeof(frame) + payload - sizeof(struct footer_tail);

            memcpy(tail + offsetof(struct footer_tail, footer_offset), &offset, sizeof(offset));
            memcpy(tail + offsetof(struct footer_tail, magic), "potikend", 8);
        }
        frame.payload_crc = crc32c(0, bytes + place + sizeof(frame), payload);
        frame_header_finish(&frame, seq, chain);
        memcpy(bytes + place, &frame, sizeof(frame));
        chain = frame.crc;
        seq += frame.kind == FRAME_ROWS || frame.kind == FRAME_GAP ? frame.count : 0;
        place += sizeof(frame) + payload;
    }
}

/* Reads rows to their last byte, so that a sanitizer sees each access. */
static unsigned
touch_rows(const struct segment_frame *frame)
{
    const uint8_t *place = frame->payload;
    size_t left = frame->header.payload_bytes;
    unsigned sum = 0;

    for (uint32_t i = 0; i < frame->header.count; i++) {
        struct event event;
        const size_t len = row_read(place, left, &event);

        assert(len != 0 && len <= left); /* a frame is good only if its rows are */
        for (size_t k = 0; k < event.event_id.len; k++)
            sum += (unsigned char)event.event_id.ptr[k];
        for (size_t k = 0; k < event.properties.len; k++)
            sum += (unsigned char)event.properties.ptr[k];
        place += len;
        left -= len;
    }
    assert(left == 0);
    return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    struct segment_reader reader;
    struct segment_header header;
    struct segment_place place;
    struct segment_frame frame;
    struct footer_tail tail;
    struct diag diag;
    enum segment_found found = SEGMENT_FRAME;
    bool flag = false;
    uint64_t offset = 0;
    volatile unsigned sum = 0;
    uint8_t *bytes = NULL;
    enum err err = ERR_OK;

    if (len == 0)
        return 0;
    bytes = malloc(len); /* exactly, so that one byte behind is noticed */
    if (bytes == NULL)
        return 0;
    memcpy(bytes, input + 1, len - 1);
    if ((input[0] & 1) != 0)
        put_right(bytes, len - 1);
    segment_reader_over(&reader, bytes, len - 1);
    if (segment_read_header(&reader, &header, &place, &diag) == ERR_OK) {
        while (found == SEGMENT_FRAME) {
            const uint64_t before = place.offset;

            err = segment_read_frame(&reader, &place, &found, &frame, &diag);
            assert(err == ERR_OK);
            if (found != SEGMENT_FRAME)
                break;
            assert(place.offset > before && place.offset <= len - 1);
            if (frame.header.kind == FRAME_ROWS)
                sum += touch_rows(&frame);
        }
        err = segment_find_behind(&reader, place.offset, place.next_seq, &flag, &offset, &diag);
        assert(err == ERR_OK && (!flag || offset > place.offset));
    }
    err = segment_read_footer(&reader, &flag, &frame, &tail, &diag);
    assert(err == ERR_OK);
    if (flag)
        assert(tail.mark_count * sizeof(struct segment_mark) + sizeof(tail) <=
               frame.header.payload_bytes);
    segment_reader_close(&reader);
    free(bytes);
    return 0;
}
