/*
 * record - see record.h.
 */
#include "rejects/record.h"

#include "codec/crc32c.h"

#include <string.h>

#define ABSENT UINT16_MAX
#define STATE_KEPT UINT64_C(0)
#define STATE_GONE UINT64_MAX
#define TEXTS 5

static const char file_magic[8] = {'P', 'T', 'K', 'R', 'E', 'J', '0', '1'};
static const char record_magic[4] = {'R', 'J', '0', '1'};

struct file_disk {
    char magic[8];
    uint32_t salt;
    uint32_t project_id;
    uint64_t first_id;
    uint32_t zero;
    uint32_t crc;
};
_Static_assert(sizeof(struct file_disk) == RECORD_FILE_HEADER_BYTES, "as on disk");

struct record_disk {
    char magic[4];
    uint32_t payload_bytes;
    uint64_t id;
    int64_t received_at_us;
    uint32_t payload_crc;
    uint32_t crc;
    uint64_t state;
};
_Static_assert(sizeof(struct record_disk) == RECORD_HEADER_BYTES, "as on disk");
_Static_assert(offsetof(struct record_disk, state) == RECORD_STATE_OFFSET, "as on disk");

struct payload_disk {
    uint64_t sender_id;
    uint32_t index;
    uint16_t text_bytes[TEXTS];
    uint8_t is_cut;
    uint8_t sender_kind;
};
_Static_assert(sizeof(struct payload_disk) == RECORD_FIXED_BYTES, "as on disk");

/* --- writing ----------------------------------------------------------------------------------*/

void
record_make_file_header(const struct record_file *file, char ret_bytes[RECORD_FILE_HEADER_BYTES])
{
    struct file_disk disk = {
        .salt = file->salt, .project_id = file->project_id, .first_id = file->first_id};

    memcpy(disk.magic, file_magic, sizeof(disk.magic));
    disk.crc = crc32c(0, &disk, offsetof(struct file_disk, crc));
    memcpy(ret_bytes, &disk, sizeof(disk));
}

static void
texts_of(const struct reject *reject, struct slice ret_texts[TEXTS])
{
    const struct slice texts[TEXTS] = {reject->code, reject->field, reject->message,
                                       reject->event_id, reject->request_id};

    for (size_t i = 0; i < TEXTS; i++) {
        ret_texts[i] = texts[i];
        if (ret_texts[i].len > RECORD_TEXT_BYTES_MAX)
            ret_texts[i].len = RECORD_TEXT_BYTES_MAX;
    }
}

static size_t
original_bytes(const struct reject *reject)
{
    return reject->original.len < RECORD_ORIGINAL_MAX ? reject->original.len : RECORD_ORIGINAL_MAX;
}

size_t
record_payload_bytes(const struct reject *reject)
{
    struct slice texts[TEXTS];
    size_t bytes = RECORD_FIXED_BYTES + original_bytes(reject);

    texts_of(reject, texts);
    for (size_t i = 0; i < TEXTS; i++)
        bytes += texts[i].len;
    return bytes;
}

static char *
put(char *at, struct slice bytes)
{
    if (bytes.ptr != NULL && bytes.len != 0)
        memcpy(at, bytes.ptr, bytes.len);
    return at + bytes.len;
}

void
record_make_payload(const struct reject *reject, char *ret_bytes)
{
    const size_t original = original_bytes(reject);
    struct payload_disk disk = {
        .sender_id = reject->sender_id,
        .index = reject->index,
        .is_cut = reject->is_cut || original < reject->original.len,
        .sender_kind = reject->sender_kind,
    };
    struct slice texts[TEXTS];
    char *at = ret_bytes + sizeof(disk);

    texts_of(reject, texts);
    for (size_t i = 0; i < TEXTS; i++) {
        disk.text_bytes[i] = texts[i].ptr != NULL ? (uint16_t)texts[i].len : ABSENT;
        at = put(at, texts[i]);
    }
    memcpy(ret_bytes, &disk, sizeof(disk));
    (void)put(at, slice_of(reject->original.ptr, original));
}

static uint32_t
header_crc(uint32_t salt, const struct record_disk *disk)
{
    return crc32c(crc32c(0, &salt, sizeof(salt)), disk, offsetof(struct record_disk, crc));
}

void
record_make_header(uint32_t salt, uint64_t id, int64_t received_at_us, struct slice payload,
                   char ret_bytes[RECORD_HEADER_BYTES])
{
    struct record_disk disk = {
        .payload_bytes = (uint32_t)payload.len,
        .id = id,
        .received_at_us = received_at_us,
        .payload_crc = crc32c(0, payload.ptr, payload.len),
        .state = STATE_KEPT,
    };

    memcpy(disk.magic, record_magic, sizeof(disk.magic));
    disk.crc = header_crc(salt, &disk);
    memcpy(ret_bytes, &disk, sizeof(disk));
}

/* --- reading ----------------------------------------------------------------------------------*/

bool
record_read_file_header(struct slice bytes, struct record_file *ret_file)
{
    struct file_disk disk;

    if (bytes.len < sizeof(disk))
        return false;
    memcpy(&disk, bytes.ptr, sizeof(disk));
    if (memcmp(disk.magic, file_magic, sizeof(disk.magic)) != 0 ||
        disk.crc != crc32c(0, &disk, offsetof(struct file_disk, crc)))
        return false;
    *ret_file = (struct record_file){disk.salt, disk.project_id, disk.first_id};
    return true;
}

bool
record_reader_init(struct record_reader *reader, struct slice bytes)
{
    *reader = (struct record_reader){.bytes = bytes};
    if (!record_read_file_header(bytes, &reader->file))
        return false;
    reader->at = RECORD_FILE_HEADER_BYTES;
    reader->good_end = reader->at;
    reader->last_id = reader->file.first_id != 0 ? reader->file.first_id - 1 : 0;
    return true;
}

/* The header at `at`, if one stands there that passes, and its payload lies within the file. */
static bool
read_header(const struct record_reader *reader, size_t at, struct record_disk *ret_disk)
{
    const size_t left = reader->bytes.len - at;

    if (left < sizeof(*ret_disk))
        return false;
    memcpy(ret_disk, reader->bytes.ptr + at, sizeof(*ret_disk));
    return memcmp(ret_disk->magic, record_magic, sizeof(ret_disk->magic)) == 0 &&
           ret_disk->crc == header_crc(reader->file.salt, ret_disk) &&
           ret_disk->payload_bytes <= left - sizeof(*ret_disk) && ret_disk->id > reader->last_id;
}

/* Where the next such header stands, at or behind `at`; false: nowhere. */
static bool
find_header(const struct record_reader *reader, size_t at, size_t *ret_at,
            struct record_disk *ret_disk)
{
    for (;;) {
        const char *found = memmem(reader->bytes.ptr + at, reader->bytes.len - at, record_magic,
                                   sizeof(record_magic));

        if (found == NULL)
            return false;
        at = (size_t)(found - reader->bytes.ptr);
        if (read_header(reader, at, ret_disk)) {
            *ret_at = at;
            return true;
        }
        at++;
    }
}

static bool
read_payload(struct slice payload, struct reject *reject)
{
    struct slice *const texts[TEXTS] = {&reject->code, &reject->field, &reject->message,
                                        &reject->event_id, &reject->request_id};
    struct payload_disk disk;
    size_t at = sizeof(disk);

    if (payload.len < sizeof(disk))
        return false;
    memcpy(&disk, payload.ptr, sizeof(disk));
    for (size_t i = 0; i < TEXTS; i++) {
        if (disk.text_bytes[i] == ABSENT)
            continue;
        if (disk.text_bytes[i] > payload.len - at)
            return false;
        *texts[i] = slice_of(payload.ptr + at, disk.text_bytes[i]);
        at += disk.text_bytes[i];
    }
    reject->original = slice_of(payload.ptr + at, payload.len - at);
    reject->sender_id = disk.sender_id;
    reject->index = disk.index;
    reject->is_cut = disk.is_cut != 0;
    reject->sender_kind = disk.sender_kind;
    return true;
}

/* A record whose header passed. */
static bool
read_record(const struct record_reader *reader, size_t at, const struct record_disk *disk,
            struct record *ret_record)
{
    struct slice payload =
        slice_of(reader->bytes.ptr + at + RECORD_HEADER_BYTES, disk->payload_bytes);
    struct record record = {
        .reject = {.id = disk->id,
                   .received_at_us = disk->received_at_us,
                   .project_id = reader->file.project_id},
        .is_gone = disk->state == STATE_GONE,
        .offset = at,
        .len = RECORD_HEADER_BYTES + payload.len,
    };

    if ((disk->state != STATE_KEPT && disk->state != STATE_GONE) ||
        disk->payload_crc != crc32c(0, payload.ptr, payload.len) ||
        !read_payload(payload, &record.reject))
        return false;
    *ret_record = record;
    return true;
}

bool
record_next(struct record_reader *reader, struct record *ret_record)
{
    struct record_disk disk;
    size_t at;

    while (find_header(reader, reader->at, &at, &disk)) {
        const bool is_good = read_record(reader, at, &disk, ret_record);

        /* A gap before a good header is damage within: a torn end has nothing behind it. */
        reader->damaged += at != reader->at;
        reader->damaged += !is_good;
        reader->at = at + RECORD_HEADER_BYTES + disk.payload_bytes;
        reader->good_end = reader->at;
        reader->last_id = disk.id;
        if (is_good)
            return true;
    }
    return false;
}
