/*
 * requests - see requests.h.
 */
#include "requests.h"

#include "base/mem.h"
#include "peer.h"

#define CASE(status, kept, begin, fill, count, end)                                                \
    {__LINE__,                                                                                     \
     (status),                                                                                     \
     (kept),                                                                                       \
     {("" begin), sizeof(begin) - 1},                                                              \
     (fill),                                                                                       \
     (count),                                                                                      \
     {("" end), sizeof(end) - 1}},
#define KEPT(status, bytes) CASE(status, true, bytes, 0, 0, "")
#define ENDS(status, bytes) CASE(status, false, bytes, 0, 0, "")
#define LONG_KEPT(status, begin, fill, count, end) CASE(status, true, begin, fill, count, end)
#define LONG_ENDS(status, begin, fill, count, end) CASE(status, false, begin, fill, count, end)

const struct request_case request_cases[] = {
#include "requests.inc"
};
const size_t request_case_count = COUNT_OF(request_cases);

struct slice
request_case_bytes(const struct request_case *request_case)
{
    size_t len = request_case->begin.len + request_case->fill_count + request_case->end.len;
    char *bytes = (char *)mem_alloc(len + 1);

    memcpy(bytes, request_case->begin.ptr, request_case->begin.len);
    memset(bytes + request_case->begin.len, request_case->fill, request_case->fill_count);
    memcpy(bytes + len - request_case->end.len, request_case->end.ptr, request_case->end.len);
    return slice_of(bytes, len);
}

/* A reader of one request, fed piece by piece, as input.c is. */
struct reader {
    struct http_head head;
    struct http_request request;
    struct http_chunk chunk;
    bool is_head_read;
    struct verdict verdict;
};

static const struct http_head_limits limits = {16384, 8192};
#define BODY_BYTES_MAX (1u << 20)

static void
refuse(struct reader *reader, enum err err, const char *reason)
{
    reader->verdict.status = err_status(err);
    reader->verdict.reason = reason;
}

static void
read_head(struct reader *reader, struct slice all)
{
    const char *reason = NULL;
    enum http_parse parse = http_head_parse(&reader->head, &limits, all.ptr, all.len);
    const struct http_head *head = &reader->head;
    enum err err;

    if (parse == HTTP_PARSE_BAD)
        refuse(reader, head->err, head->reason);
    if (parse != HTTP_PARSE_DONE)
        return;
    reader->is_head_read = true;
    reader->verdict.used = head->bytes;
    reader->verdict.head_hash = peer_hash(2166136261u, (const char *)head->fields,
                                          head->field_count * sizeof(*head->fields));
    http_chunk_init(&reader->chunk);
    err = http_request_read(head, all.ptr, &reader->request, &reason);
    reader->verdict.head_hash = peer_hash(reader->verdict.head_hash, (const char *)&reader->request,
                                          sizeof(reader->request));
    if (err != ERR_OK)
        refuse(reader, err, reason);
    else if (reader->request.content_length > (int64_t)BODY_BYTES_MAX)
        refuse(reader, ERR_BODY_TOO_LARGE, NULL);
    else if (!reader->request.is_chunked && reader->request.content_length <= 0)
        reader->verdict.status = 200;
}

static void
take_body(struct reader *reader, const char *bytes, size_t len)
{
    reader->verdict.body_bytes += len;
    reader->verdict.body_hash = peer_hash(reader->verdict.body_hash, bytes, len);
}

static void
read_body(struct reader *reader, struct slice piece)
{
    size_t at = 0;

    if (!reader->request.is_chunked) {
        size_t left = (size_t)reader->request.content_length - (size_t)reader->verdict.body_bytes;
        size_t take = piece.len < left ? piece.len : left;

        take_body(reader, piece.ptr, take);
        reader->verdict.used += take;
        if (take == left)
            reader->verdict.status = 200;
        return;
    }
    while (at < piece.len && reader->verdict.status == 0) {
        struct slice data;
        size_t used;
        enum http_parse parse =
            http_chunk_parse(&reader->chunk, piece.ptr + at, piece.len - at, &used, &data);

        at += used;
        reader->verdict.used += used;
        if (http_chunk_left(&reader->chunk) > BODY_BYTES_MAX ||
            reader->verdict.body_bytes + data.len + http_chunk_left(&reader->chunk) >
                BODY_BYTES_MAX)
            refuse(reader, ERR_BODY_TOO_LARGE, NULL);
        else if (parse == HTTP_PARSE_BAD)
            refuse(reader, reader->chunk.err, reader->chunk.reason);
        else if (parse == HTTP_PARSE_DONE)
            reader->verdict.status = 200;
        if (reader->verdict.status <= 200)
            take_body(reader, data.ptr, data.len);
    }
}

struct verdict
request_read_split(struct slice bytes, size_t split, size_t step)
{
    static _Thread_local struct reader reader;
    size_t at = 0;

    memset(&reader, 0, sizeof(reader));
    reader.verdict.body_hash = 2166136261u;
    http_head_init(&reader.head);
    while (at < bytes.len && reader.verdict.status == 0) {
        size_t to = step != 0 ? at + step : at < split ? split : bytes.len;
        size_t from = at;

        if (to > bytes.len)
            to = bytes.len;
        if (!reader.is_head_read) {
            read_head(&reader, slice_of(bytes.ptr, to));
            from = reader.is_head_read ? reader.head.bytes : to;
        }
        if (reader.is_head_read && reader.verdict.status == 0 && from < to)
            read_body(&reader, slice_of(bytes.ptr + from, to - from));
        at = to;
    }
    /* What lies behind an error is of no interest, and where it was noticed may differ. */
    if (reader.verdict.status != 200)
        reader.verdict.used = 0;
    if (reader.verdict.status > 200)
        reader.verdict.body_bytes = reader.verdict.body_hash = 0;
    return reader.verdict;
}
