/* rooms: rejects */
/*
 * fuzz_rejected_file - the reader of files of refused events on arbitrary bytes: no read outside
 * them, no endless walk, records that rise and lie within.
 *
 * A first byte with its lowest bit set asks for the checks to be put right first, so that what lies
 * behind them is reached too.
 */
#include "codec/crc32c.h"
#include "rejects/record.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
require(bool is_so)
{
    if (!is_so)
        abort();
}

/* Makes the file's header and the records that follow each other pass their checks. */
static void
put_right(char *bytes, size_t len)
{
    struct record_file file = {0};
    uint64_t id = 1;

    if (len < RECORD_FILE_HEADER_BYTES)
        return;
    memcpy(&file.salt, bytes + 8, sizeof(file.salt));
    file.first_id = 1;
    record_make_file_header(&file, bytes);
    for (size_t at = RECORD_FILE_HEADER_BYTES; len - at >= RECORD_HEADER_BYTES; id++) {
        size_t payload = (unsigned char)bytes[at + 4];
        uint64_t state;

        if (payload > len - at - RECORD_HEADER_BYTES)
            return;
        memcpy(&state, bytes + at + RECORD_STATE_OFFSET, sizeof(state));
        record_make_header(file.salt, id, 0, slice_of(bytes + at + RECORD_HEADER_BYTES, payload),
                           bytes + at);
        memcpy(bytes + at + RECORD_STATE_OFFSET, &state, sizeof(state));
        at += RECORD_HEADER_BYTES + payload;
    }
}

static uint64_t
sum(struct slice text)
{
    uint64_t value = text.len;

    for (size_t i = 0; text.ptr != NULL && i < text.len; i++)
        value += (unsigned char)text.ptr[i];
    return value;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static volatile uint64_t all;
    struct record_reader reader;
    struct record record;
    uint64_t last_id = 0;
    size_t end = RECORD_FILE_HEADER_BYTES;
    char *copy;

    if (len == 0)
        return 0;
    copy = malloc(len - 1 + (len == 1));
    require(copy != NULL);
    memcpy(copy, bytes + 1, len - 1);
    if ((bytes[0] & 1) != 0)
        put_right(copy, len - 1);
    if (record_reader_init(&reader, slice_of(copy, len - 1))) {
        while (record_next(&reader, &record)) {
            require(record.reject.id > last_id);
            require(record.offset >= end && record.len <= len - 1 - record.offset);
            last_id = record.reject.id;
            end = record.offset + record.len;
            all += sum(record.reject.code) + sum(record.reject.field) + sum(record.reject.message) +
                   sum(record.reject.event_id) + sum(record.reject.request_id) +
                   sum(record.reject.original);
        }
        require(reader.good_end >= end && reader.good_end <= len - 1);
    }
    free(copy);
    return 0;
}
