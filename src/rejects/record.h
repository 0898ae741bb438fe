/*
 * record - the form of a refused event that is kept, and of the files these stand in.
 *
 * Layer 3, pure. A file is a header and records, oldest first, ids rising:
 *
 *     file header    magic "PTKREJ01", salt (4 bytes), project (4), id its records begin at (8), 4
 *                    zero bytes, CRC of the 28 bytes before
 *     record header  magic "RJ01", bytes of the payload (4), id (8), received_at (8, Unix
 *                    microseconds), CRC of the payload, CRC of the file's salt and the 28 bytes
 *                    before, state (8: all bits 0 kept, all bits 1 gone)
 *     payload        sender's id (8), index in its request (4), bytes of code, field, message,
 *                    event_id and request id (2 each; ffff: absent), 1 if the original is cut (1),
 *                    kind of sender (1); those five texts; the original, up to the end
 *
 * The state stands outside of both checks, so that it can be written in place; a flipped bit makes
 * it neither of the two. A reader that meets damage looks for the next header that passes its
 * check. What was sent may well look like one: only who knows the salt, which is random and a
 * file's own, could make one that passes. All numbers are little-endian; CRC is CRC32C.
 */
#ifndef POTIK_REJECTS_RECORD_H
#define POTIK_REJECTS_RECORD_H

#include "base/err.h"
#include "base/slice.h"
#include <stdint.h>

#define RECORD_FILE_HEADER_BYTES 32
#define RECORD_HEADER_BYTES 40
#define RECORD_STATE_OFFSET 32     /* of the state within a record */
#define RECORD_FIXED_BYTES 24      /* of a payload, before its texts */
#define RECORD_TEXT_BYTES_MAX 1024 /* code, field, message, ids: longer ones are cut */
#define RECORD_ORIGINAL_MAX (128 * 1024)
#define RECORD_BYTES_MAX                                                                           \
    (RECORD_HEADER_BYTES + RECORD_FIXED_BYTES + 5 * RECORD_TEXT_BYTES_MAX + RECORD_ORIGINAL_MAX)

/* One refused event. Texts are borrowed; ptr NULL: absent. */
struct reject {
    uint64_t id; /* rising; the microsecond it was kept in, or a little above */
    int64_t received_at_us;
    uint32_t project_id;
    uint32_t index; /* in its request */
    uint64_t sender_id;
    uint8_t sender_kind; /* enum account_actor_kind: a key or a login */
    bool is_cut;         /* more was sent than stands in `original` */
    struct slice code;
    struct slice field;
    struct slice message;
    struct slice event_id; /* where it was usable */
    struct slice request_id;
    struct slice original; /* as sent */
};

struct record_file {
    uint32_t salt;
    uint32_t project_id;
    uint64_t first_id; /* no record has a lower one */
};

void
record_make_file_header(const struct record_file *file, char ret_bytes[RECORD_FILE_HEADER_BYTES]);
/* false: damaged, or no such file. */
MUST_USE bool record_read_file_header(struct slice bytes, struct record_file *ret_file);

/* Texts and original are cut to their maxima. */
size_t record_payload_bytes(const struct reject *reject);
/* As many bytes as that. */
void record_make_payload(const struct reject *reject, char *ret_bytes);
/* The header of a record, kept, for that payload. */
void record_make_header(uint32_t salt, uint64_t id, int64_t received_at_us, struct slice payload,
                        char ret_bytes[RECORD_HEADER_BYTES]);

/*
 *     if (record_reader_init(&reader, bytes))            // false: no header
 *         while (record_next(&reader, &record)) …
 */
struct record_reader {
    struct slice bytes; /* of the whole file */
    struct record_file file;
    size_t at;
    uint64_t last_id;
    uint64_t damaged; /* gaps between records, and records that failed a check */
    size_t good_end;  /* behind the last whole record; short of the file's end: a torn end */
};

struct record {
    struct reject reject; /* points into the bytes */
    bool is_gone;
    size_t offset;
    size_t len;
};

MUST_USE bool record_reader_init(struct record_reader *reader, struct slice bytes);
/* false: there are no more. */
MUST_USE bool record_next(struct record_reader *reader, struct record *ret_record);

#endif
