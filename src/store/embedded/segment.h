/*
 * segment - the bytes of the ledger: one file of frames, how they are made and how they are read.
 *
 * Layer 3 (store/embedded). Pure format: no state of the ledger stands here. log.c appends,
 * log_read.c reads on, recovery.c and doctor.c read whole. docs/FORMATS.md repeats this for people
 * who read the files.
 *
 * ledger/<first seq, 20 digits>.seg; all numbers little-endian; everything starts at a multiple of
 * 8 bytes:
 *
 *   segment header, 64 bytes   magic "potikseg", format version, ledger id, first seq, time made,
 * CRC32C of the 60 bytes before it frames, one a commit       header of 40 bytes, payload, zeros up
 * to a multiple of 8 zeros                      room taken in advance, in a segment that is not
 * ended
 *
 * Frame header: magic (its outer bytes can stand in no UTF-8 text), kind, payload length, count,
 * first seq, CRC32C of payload and zeros, CRC32C of the header before this one (of the segment's
 * header, in the first frame), CRC32C of the 36 bytes before it. So a frame of another place or
 * another file never passes for one of here. Kinds:
 *
 *   rows        count events, with the seqs first seq … first seq + count − 1
 *   gap         count seqs whose events were erased; no payload
 *   tombstones  count keys (16 bytes) of the id index, of erased events: refused for ever; takes no
 * seq footer      ends a segment (when rolled, and at a clean stop); first seq is the next
 * segment's; takes no seq. Payload: pairs (seq, offset of its frame), about one a MiB; number of
 * pairs, of rows, of tombstone keys; the footer's own offset; "potikend". The file ends with it
 *
 * A row is: project id (4), occurred_at (8), received_at (8), properties length (4), lengths of
 * event_id, event_type, user_id, anonymous_id, session_id (1 each; 0 = absent), then the texts in
 * that order, properties last.
 *
 * A segment written anew by an erasure begins with its tombstones, before all rows and gaps
 * (erase_segment.c).
 */
#ifndef POTIK_STORE_EMBEDDED_SEGMENT_H
#define POTIK_STORE_EMBEDDED_SEGMENT_H

#include "base/file.h"
#include "event/event.h"
#include <stdint.h>

#define SEGMENT_VERSION 1
#define LEDGER_ID_BYTES 16
#define SEGMENT_NAME_BYTES 32
#define FRAME_PAYLOAD_BYTES_MAX (UINT32_C(1) << 30)
#define ROW_HEAD_BYTES 29
#define SEGMENT_MARK_BYTES (UINT64_C(1) << 20) /* about one pair (seq, offset) for so many */

struct segment_header {
    char magic[8];
    uint32_t version;
    uint32_t flags; /* 0 */
    uint8_t ledger_id[LEDGER_ID_BYTES];
    uint64_t first_seq;
    int64_t made_at_us;
    uint8_t zeros[12];
    uint32_t crc;
};
_Static_assert(sizeof(struct segment_header) == 64, "as on disk");

enum frame_kind { FRAME_ROWS = 1, FRAME_GAP = 2, FRAME_TOMBSTONES = 3, FRAME_FOOTER = 4 };

struct frame_header {
    uint32_t magic;
    uint32_t kind;
    uint32_t payload_bytes; /* without the zeros */
    uint32_t count;
    uint64_t first_seq;
    uint32_t payload_crc; /* with the zeros */
    uint32_t chain;
    uint32_t zero;
    uint32_t crc;
};
_Static_assert(sizeof(struct frame_header) == 40, "as on disk");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the structs above are the bytes");
#define FRAME_MAGIC UINT32_C(0xFE4650FF) /* bytes FF 'P' 'F' FE */

struct segment_mark {
    uint64_t seq;    /* first seq of the frame */
    uint64_t offset; /* of the frame */
};
/* The end of a footer's payload. */
struct footer_tail {
    uint64_t mark_count;
    uint64_t rows;
    uint64_t tombstones;
    uint64_t footer_offset;
    char magic[8]; /* "potikend" */
};

static inline uint64_t
segment_pad(uint64_t bytes)
{
    return (bytes + 7) & ~UINT64_C(7);
}

void segment_name(uint64_t first_seq, char ret_name[SEGMENT_NAME_BYTES]);
bool segment_name_parse(const char *name, uint64_t *ret_first_seq);

/* --- writing ------------------------------------------------------------------------------- */

void segment_header_make(const uint8_t ledger_id[LEDGER_ID_BYTES], uint64_t first_seq,
                         int64_t made_at_us, struct segment_header *ret_header);
/* Everything but first seq, chain and the header's own CRC, which only the ledger's lock can tell.
 */
void frame_header_prepare(enum frame_kind kind, uint32_t count, uint32_t payload_bytes,
                          uint32_t payload_crc, struct frame_header *ret_header);
/* CRC of a payload and its zeros, which stand behind it already. */
uint32_t frame_payload_crc(const void *payload, uint32_t payload_bytes);
void frame_header_finish(struct frame_header *header, uint64_t first_seq, uint32_t chain);

size_t row_bytes(const struct event *event);
/* Writes row_bytes(event) bytes; returns the place behind them. */
uint8_t *row_write(uint8_t *place, const struct event *event);
/* Reads one row; slices point into `bytes`. 0: not a row; else its length. */
size_t row_read(const uint8_t *bytes, size_t len, struct event *ret_event);

/* --- reading ------------------------------------------------------------------------------- */

/* Reads a segment through a window. Over a file, or over bytes in memory (fd −1). */
struct segment_reader {
    int fd;
    const char *path; /* borrowed */
    uint64_t file_bytes;
    const uint8_t *window;
    uint64_t window_offset;
    size_t window_bytes;
    uint8_t *memory; /* owned; NULL over bytes */
    size_t memory_bytes;
};
/* The file is opened; ERR_IO, ERR_ABSENT, ERR_NOMEM. */
MUST_USE enum err
segment_reader_open(struct segment_reader *reader, const char *path, struct diag *diag);
void segment_reader_over(struct segment_reader *reader, const void *bytes, size_t len);
void segment_reader_close(struct segment_reader *reader); /* takes a zeroed or closed one */
/* Bytes offset … offset + len, valid until the next call. len: within the file. */
MUST_USE enum err segment_reader_at(struct segment_reader *reader, uint64_t offset, size_t len,
                                    const uint8_t **ret_bytes, struct diag *diag);

/* Where a walk over frames stands. */
struct segment_place {
    uint64_t offset;
    uint64_t next_seq; /* what the frame there must begin with */
    uint32_t chain;    /* CRC of the header before it */
    bool is_chain_known;
};
enum segment_found {
    SEGMENT_FRAME, /* a good frame */
    SEGMENT_END,   /* the file ends here, or nothing but zeros follows */
    SEGMENT_BAD,   /* neither; `what` says why */
};
struct segment_frame {
    struct frame_header header;
    uint64_t offset;
    const uint8_t *payload; /* valid until the reader's next call */
    const char *what;       /* of SEGMENT_BAD */
};

/* ERR_CORRUPT (words in diag), ERR_TOO_NEW. place: of the first frame. A file of zeros or no bytes:
 * ERR_CORRUPT too. */
MUST_USE enum err
segment_read_header(struct segment_reader *reader, struct segment_header *ret_header,
                    struct segment_place *ret_place, struct diag *diag);
/* Looks at the frame at `place` and, if it is good, moves on. An error only where reading itself
 * fails. */
MUST_USE enum err segment_read_frame(struct segment_reader *reader, struct segment_place *place,
                                     enum segment_found *ret_found, struct segment_frame *ret_frame,
                                     struct diag *diag);
/* Whether a sound frame header with first seq >= next_seq stands anywhere behind `offset`. */
MUST_USE enum err
segment_find_behind(struct segment_reader *reader, uint64_t offset, uint64_t next_seq,
                    bool *ret_is_found, uint64_t *ret_offset, struct diag *diag);
/* The footer by the end of the file, without reading frames. *ret_has false: none (or not sound).
 */
MUST_USE enum err
segment_read_footer(struct segment_reader *reader, bool *ret_has, struct segment_frame *ret_frame,
                    struct footer_tail *ret_tail, struct diag *diag);

#endif
