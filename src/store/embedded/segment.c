/*
 * segment - making and reading frames. The bytes: segment.h.
 */
#include "store/embedded/segment.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include "event/limits.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define WINDOW_BYTES ((size_t)1 << 20)

void
segment_name(uint64_t first_seq, char ret_name[SEGMENT_NAME_BYTES])
{
    const int len = snprintf(ret_name, SEGMENT_NAME_BYTES, "%020" PRIu64 ".seg", first_seq);

    assert(len == 24);
}

bool
segment_name_parse(const char *name, uint64_t *ret_first_seq)
{
    uint64_t value = 0;

    if (strlen(name) != 24 || strcmp(name + 20, ".seg") != 0)
        return false;
    for (int i = 0; i < 20; i++)
        if (name[i] < '0' || name[i] > '9' || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(name[i] - '0'), &value))
            return false;
    *ret_first_seq = value;
    return true;
}

/* --- writing ------------------------------------------------------------------------------- */

void
segment_header_make(const uint8_t ledger_id[LEDGER_ID_BYTES], uint64_t first_seq,
                    int64_t made_at_us, struct segment_header *ret_header)
{
    memset(ret_header, 0, sizeof(*ret_header));
    memcpy(ret_header->magic, "potikseg", sizeof(ret_header->magic));
    ret_header->version = SEGMENT_VERSION;
    memcpy(ret_header->ledger_id, ledger_id, LEDGER_ID_BYTES);
    ret_header->first_seq = first_seq;
    ret_header->made_at_us = made_at_us;
    ret_header->crc = crc32c(0, ret_header, sizeof(*ret_header) - 4);
}

uint32_t
frame_payload_crc(const void *payload, uint32_t payload_bytes)
{
    return crc32c(0, payload, segment_pad(payload_bytes));
}

void
frame_header_prepare(enum frame_kind kind, uint32_t count, uint32_t payload_bytes,
                     uint32_t payload_crc, struct frame_header *ret_header)
{
    *ret_header = (struct frame_header){.magic = FRAME_MAGIC,
                                        .kind = kind,
                                        .payload_bytes = payload_bytes,
                                        .count = count,
                                        .payload_crc = payload_crc};
}

void
frame_header_finish(struct frame_header *header, uint64_t first_seq, uint32_t chain)
{
    header->first_seq = first_seq;
    header->chain = chain;
    header->crc = crc32c(0, header, sizeof(*header) - 4);
}

size_t
row_bytes(const struct event *event)
{
    return ROW_HEAD_BYTES + event->event_id.len + event->event_type.len + event->user_id.len +
           event->anonymous_id.len + event->session_id.len + event->properties.len;
}

static uint8_t *
write_text(uint8_t *place, struct slice text)
{
    if (text.len != 0)
        memcpy(place, text.ptr, text.len);
    return place + text.len;
}

uint8_t *
row_write(uint8_t *place, const struct event *event)
{
    const uint32_t properties_bytes = (uint32_t)event->properties.len;

    memcpy(place, &event->project_id, 4);
    memcpy(place + 4, &event->occurred_at_us, 8);
    memcpy(place + 12, &event->received_at_us, 8);
    memcpy(place + 20, &properties_bytes, 4);
    place[24] = (uint8_t)event->event_id.len;
    place[25] = (uint8_t)event->event_type.len;
    place[26] = (uint8_t)event->user_id.len;
    place[27] = (uint8_t)event->anonymous_id.len;
    place[28] = (uint8_t)event->session_id.len;
    place = write_text(place + ROW_HEAD_BYTES, event->event_id);
    place = write_text(place, event->event_type);
    place = write_text(place, event->user_id);
    place = write_text(place, event->anonymous_id);
    place = write_text(place, event->session_id);
    return write_text(place, event->properties);
}

static struct slice
read_text(const uint8_t **place, size_t len)
{
    const struct slice text = len != 0 ? slice_of((const char *)*place, len) : SLICE_NONE;

    *place += len;
    return text;
}

size_t
row_read(const uint8_t *bytes, size_t len, struct event *ret_event)
{
    const uint8_t *place = bytes + ROW_HEAD_BYTES;
    uint32_t properties_bytes = 0;
    size_t total = 0;

    if (len < ROW_HEAD_BYTES)
        return 0;
    memcpy(&properties_bytes, bytes + 20, 4);
    total = (size_t)ROW_HEAD_BYTES + bytes[24] + bytes[25] + bytes[26] + bytes[27] + bytes[28] +
            properties_bytes;
    if (total > len || bytes[24] == 0)
        return 0;
    memcpy(&ret_event->project_id, bytes, 4);
    memcpy(&ret_event->occurred_at_us, bytes + 4, 8);
    memcpy(&ret_event->received_at_us, bytes + 12, 8);
    ret_event->event_id = read_text(&place, bytes[24]);
    ret_event->event_type = read_text(&place, bytes[25]);
    ret_event->user_id = read_text(&place, bytes[26]);
    ret_event->anonymous_id = read_text(&place, bytes[27]);
    ret_event->session_id = read_text(&place, bytes[28]);
    ret_event->properties = read_text(&place, properties_bytes);
    return total;
}

/* --- reading ------------------------------------------------------------------------------- */

enum err
segment_reader_open(struct segment_reader *reader, const char *path, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    uint64_t bytes = 0;
    enum err err = file_open(path, FILE_READ, &fd, diag);

    if (err == ERR_OK)
        err = file_size(fd, path, &bytes, diag);
    if (err != ERR_OK)
        return err;
    *reader = (struct segment_reader){.fd = fd, .path = path, .file_bytes = bytes};
    fd = -1;
    return ERR_OK;
}

void
segment_reader_over(struct segment_reader *reader, const void *bytes, size_t len)
{
    *reader = (struct segment_reader){
        .fd = -1, .path = "memory", .file_bytes = len, .window = bytes, .window_bytes = len};
}

void
segment_reader_close(struct segment_reader *reader)
{
    if (reader->path == NULL)
        return;
    file_close(&reader->fd);
    mem_free(reader->memory);
    *reader = (struct segment_reader){.fd = -1};
}

enum err
segment_reader_at(struct segment_reader *reader, uint64_t offset, size_t len,
                  const uint8_t **ret_bytes, struct diag *diag)
{
    size_t wanted = len < WINDOW_BYTES ? WINDOW_BYTES : len;
    enum err err = ERR_OK;

    assert(offset <= reader->file_bytes && len <= reader->file_bytes - offset);
    if (offset >= reader->window_offset &&
        offset + len <= reader->window_offset + reader->window_bytes) {
        *ret_bytes = reader->window + (offset - reader->window_offset);
        return ERR_OK;
    }
    if (wanted > reader->file_bytes - offset)
        wanted = (size_t)(reader->file_bytes - offset);
    if (wanted > reader->memory_bytes) {
        const size_t room = wanted < WINDOW_BYTES ? WINDOW_BYTES : wanted;

        mem_free(reader->memory);
        reader->memory = mem_alloc(room);
        reader->memory_bytes = reader->memory != NULL ? room : 0;
        reader->window_bytes = 0;
        if (reader->memory == NULL)
            return ERR_NOMEM;
    }
    reader->window_bytes = 0;
    err = file_read_at(reader->fd, reader->path, reader->memory, wanted, offset, diag);
    if (err != ERR_OK)
        return err;
    reader->window = reader->memory;
    reader->window_offset = offset;
    reader->window_bytes = wanted;
    *ret_bytes = reader->memory;
    return ERR_OK;
}

enum err
segment_read_header(struct segment_reader *reader, struct segment_header *ret_header,
                    struct segment_place *ret_place, struct diag *diag)
{
    const uint8_t *bytes = NULL;
    enum err err = ERR_OK;

    if (reader->file_bytes < sizeof(*ret_header)) {
        diag_set(diag, "%s: a segment of %" PRIu64 " bytes is shorter than its header",
                 reader->path, reader->file_bytes);
        return ERR_CORRUPT;
    }
    err = segment_reader_at(reader, 0, sizeof(*ret_header), &bytes, diag);
    if (err != ERR_OK)
        return err;
    memcpy(ret_header, bytes, sizeof(*ret_header));
    if (memcmp(ret_header->magic, "potikseg", 8) != 0 ||
        ret_header->crc != crc32c(0, ret_header, sizeof(*ret_header) - 4)) {
        diag_set(diag, "%s: the segment's header fails its check (offset 0)", reader->path);
        return ERR_CORRUPT;
    }
    if (ret_header->version > SEGMENT_VERSION || ret_header->flags != 0) {
        diag_set(diag,
                 "%s: ledger format %" PRIu32
                 " is newer than this program's (%d); use the newer program",
                 reader->path, ret_header->version, SEGMENT_VERSION);
        return ERR_TOO_NEW;
    }
    *ret_place = (struct segment_place){.offset = sizeof(*ret_header),
                                        .next_seq = ret_header->first_seq,
                                        .chain = ret_header->crc,
                                        .is_chain_known = true};
    return ERR_OK;
}

/* Whether nothing but zeros stands from `offset` to the end of the file. */
static enum err
is_zero_from(struct segment_reader *reader, uint64_t offset, bool *ret_is_zero, struct diag *diag)
{
    static const uint8_t zeros[4096];

    *ret_is_zero = true;
    while (offset < reader->file_bytes) {
        const uint64_t left = reader->file_bytes - offset;
        const size_t len = left < sizeof(zeros) ? (size_t)left : sizeof(zeros);
        const uint8_t *bytes = NULL;
        const enum err err = segment_reader_at(reader, offset, len, &bytes, diag);

        if (err != ERR_OK)
            return err;
        if (memcmp(bytes, zeros, len) != 0) {
            *ret_is_zero = false;
            return ERR_OK;
        }
        offset += len;
    }
    return ERR_OK;
}

/* NULL, or what is wrong with a header, as far as it can be told without the payload. */
static const char *
judge_header(const struct segment_reader *reader, const struct segment_place *place,
             const struct frame_header *header)
{
    if (header->magic != FRAME_MAGIC || header->crc != crc32c(0, header, sizeof(*header) - 4))
        return "a frame's header fails its check";
    if (header->kind < FRAME_ROWS || header->kind > FRAME_FOOTER || header->zero != 0)
        return "a frame is of a kind this program does not know";
    if (header->first_seq != place->next_seq)
        return "a frame's seq does not follow the one before";
    if (place->is_chain_known && header->chain != place->chain)
        return "a frame does not belong behind the one before";
    if (header->payload_bytes > FRAME_PAYLOAD_BYTES_MAX ||
        segment_pad(header->payload_bytes) > reader->file_bytes - place->offset - sizeof(*header))
        return "a frame is cut off by the end of the file";
    return NULL;
}

/* The same for a payload whose CRC is right: only a fault of a program could make it wrong. */
static const char *
judge_payload(const struct frame_header *header, const uint8_t *payload)
{
    switch ((enum frame_kind)header->kind) {
    case FRAME_ROWS: {
        const uint8_t *place = payload;
        size_t left = header->payload_bytes;

        for (uint32_t i = 0; i < header->count; i++) {
            struct event event;
            const size_t len = row_read(place, left, &event);

            if (len == 0)
                return "a frame's rows do not fit its payload";
            place += len;
            left -= len;
        }
        return left == 0 && header->count != 0 ? NULL : "a frame's rows do not fit its payload";
    }
    case FRAME_GAP:
        return header->payload_bytes == 0 && header->count != 0 ? NULL : "a gap has a payload";
    case FRAME_TOMBSTONES:
        return header->payload_bytes == (uint64_t)header->count * 16
                   ? NULL
                   : "tombstones do not fit their payload";
    case FRAME_FOOTER:
        return header->count == 0 && header->payload_bytes >= sizeof(struct footer_tail)
                   ? NULL
                   : "a footer does not fit its payload";
    }
    return "a frame is of a kind this program does not know";
}

enum err
segment_read_frame(struct segment_reader *reader, struct segment_place *place,
                   enum segment_found *ret_found, struct segment_frame *ret_frame,
                   struct diag *diag)
{
    const uint64_t left = reader->file_bytes - place->offset;
    const uint8_t *bytes = NULL;
    bool is_zero = false;
    enum err err = ERR_OK;

    ret_frame->offset = place->offset;
    ret_frame->what = "the file ends within a frame's header";
    if (left < sizeof(ret_frame->header)) {
        err = is_zero_from(reader, place->offset, &is_zero, diag);
        *ret_found = is_zero ? SEGMENT_END : SEGMENT_BAD;
        return err;
    }
    err = segment_reader_at(reader, place->offset, sizeof(ret_frame->header), &bytes, diag);
    if (err != ERR_OK)
        return err;
    memcpy(&ret_frame->header, bytes, sizeof(ret_frame->header));
    ret_frame->what = judge_header(reader, place, &ret_frame->header);
    if (ret_frame->what != NULL) {
        if (ret_frame->header.magic == 0) {
            err = is_zero_from(reader, place->offset, &is_zero, diag);
            if (err != ERR_OK)
                return err;
        }
        *ret_found = is_zero ? SEGMENT_END : SEGMENT_BAD;
        return ERR_OK;
    }
    err = segment_reader_at(reader, place->offset,
                            sizeof(ret_frame->header) +
                                (size_t)segment_pad(ret_frame->header.payload_bytes),
                            &bytes, diag);
    if (err != ERR_OK)
        return err;
    ret_frame->payload = bytes + sizeof(ret_frame->header);
    if (ret_frame->header.payload_crc !=
        frame_payload_crc(ret_frame->payload, ret_frame->header.payload_bytes))
        ret_frame->what = "a frame's payload fails its check";
    else
        ret_frame->what = judge_payload(&ret_frame->header, ret_frame->payload);
    if (ret_frame->what != NULL) {
        *ret_found = SEGMENT_BAD;
        return ERR_OK;
    }
    *ret_found = SEGMENT_FRAME;
    place->offset += sizeof(ret_frame->header) + segment_pad(ret_frame->header.payload_bytes);
    place->chain = ret_frame->header.crc;
    place->is_chain_known = true;
    if (ret_frame->header.kind == FRAME_ROWS || ret_frame->header.kind == FRAME_GAP)
        place->next_seq += ret_frame->header.count;
    return ERR_OK;
}

enum err
segment_find_behind(struct segment_reader *reader, uint64_t offset, uint64_t next_seq,
                    bool *ret_is_found, uint64_t *ret_offset, struct diag *diag)
{
    *ret_is_found = false;
    for (offset = segment_pad(offset + 1);
         reader->file_bytes >= sizeof(struct frame_header) &&
         offset <= reader->file_bytes - sizeof(struct frame_header);
         offset += 8) {
        const uint8_t *bytes = NULL;
        struct frame_header header;
        const enum err err = segment_reader_at(reader, offset, sizeof(header), &bytes, diag);

        if (err != ERR_OK)
            return err;
        memcpy(&header.magic, bytes, sizeof(header.magic));
        if (header.magic != FRAME_MAGIC)
            continue;
        memcpy(&header, bytes, sizeof(header));
        if (header.crc == crc32c(0, &header, sizeof(header) - 4) && header.first_seq >= next_seq) {
            *ret_is_found = true;
            *ret_offset = offset;
            return ERR_OK;
        }
    }
    return ERR_OK;
}

enum err
segment_read_footer(struct segment_reader *reader, bool *ret_has, struct segment_frame *ret_frame,
                    struct footer_tail *ret_tail, struct diag *diag)
{
    struct segment_place place = {.is_chain_known = false};
    enum segment_found found = SEGMENT_BAD;
    const uint8_t *bytes = NULL;
    enum err err = ERR_OK;

    *ret_has = false;
    if (reader->file_bytes <
            sizeof(struct segment_header) + sizeof(struct frame_header) + sizeof(*ret_tail) ||
        reader->file_bytes % 8 != 0)
        return ERR_OK;
    err = segment_reader_at(reader, reader->file_bytes - sizeof(*ret_tail), sizeof(*ret_tail),
                            &bytes, diag);
    if (err != ERR_OK)
        return err;
    memcpy(ret_tail, bytes, sizeof(*ret_tail));
    if (memcmp(ret_tail->magic, "potikend", 8) != 0 ||
        ret_tail->footer_offset < sizeof(struct segment_header) ||
        ret_tail->footer_offset > reader->file_bytes - sizeof(struct frame_header))
        return ERR_OK;
    err = segment_reader_at(reader, ret_tail->footer_offset, sizeof(struct frame_header), &bytes,
                            diag);
    if (err != ERR_OK)
        return err;
    memcpy(&ret_frame->header, bytes, sizeof(ret_frame->header));
    place.offset = ret_tail->footer_offset;
    place.next_seq = ret_frame->header.first_seq;
    err = segment_read_frame(reader, &place, &found, ret_frame, diag);
    if (err != ERR_OK)
        return err;
    *ret_has = found == SEGMENT_FRAME && ret_frame->header.kind == FRAME_FOOTER &&
               place.offset == reader->file_bytes &&
               ret_tail->mark_count <= (ret_frame->header.payload_bytes - sizeof(*ret_tail)) /
                                           sizeof(struct segment_mark);
    return ERR_OK;
}
