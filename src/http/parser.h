/*
 * parser - the bytes of a request: its head (request line and fields) and a chunked body.
 *
 * Layer 5 (http), any thread, pure: no allocation, no system call, no clock. Both parsers may be
 * stopped at any byte and go on later; the verdict depends on the bytes alone, never on how they
 * were split (test_parser and the fuzzers hold them to it). Sources: RFC 9112 §2–§7, RFC 9110 §5.
 *
 * The head. The caller keeps all bytes of the head in one place (it may move; offsets stay) and
 * calls again with more behind the old ones. Fields come out as offsets into those bytes.
 *
 *     [CRLF] method SP target SP HTTP/d.d CRLF *( name ":" OWS value OWS CRLF ) CRLF
 *
 * Stricter than the grammar's "MAY": one empty line before the request line, no bare CR or LF, no
 * folding, no white space before the colon or before the first field. The target's path holds what
 * RFC 3986 allows; its query also what browsers leave raw there ([ ] { } | \ ^ `), since a filter
 * is JSON.
 *
 * The chunked body. Sizes of at most 16 hex digits; extensions are bounded in sum and dropped;
 * trailer fields are held to the form of fields, bounded in sum and dropped.
 */
#ifndef POTIK_HTTP_PARSER_H
#define POTIK_HTTP_PARSER_H

#include "base/err.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_FIELDS_MAX 128            /* 431 beyond */
#define HTTP_METHOD_BYTES_MAX 32       /* 501 beyond, RFC 9112 §3 */
#define HTTP_HEAD_BYTES_LIMIT 65000    /* offsets have 16 bits */
#define HTTP_CHUNK_EXTENSIONS_MAX 4096 /* of one body, all chunks together; 400 beyond */
#define HTTP_TRAILER_BYTES_MAX 8192    /* of one body; 431 beyond */
#define HTTP_CHUNK_SIZE_DIGITS_MAX 16

enum http_parse {
    HTTP_PARSE_MORE, /* good so far; call again with more */
    HTTP_PARSE_DONE,
    HTTP_PARSE_BAD, /* `err` and `reason` are set; the stream cannot be trusted any more */
};

struct http_field {
    uint16_t name_at;
    uint16_t name_len;
    uint16_t value_at; /* trimmed */
    uint16_t value_len;
};

struct http_head {
    /* When done. */
    uint32_t bytes; /* of the whole head, with an empty line before it and its end */
    uint16_t method_at;
    uint16_t method_len;
    uint16_t target_at;
    uint16_t target_len;
    uint16_t query_at; /* of the first '?'; 0: none */
    uint8_t minor;     /* HTTP/1.minor: 0 or 1 */
    uint16_t field_count;
    /* When bad. */
    enum err err;
    const char *reason; /* static */
    /* The parser's own. */
    uint8_t state;
    uint16_t start; /* 2 behind an empty line, else 0 */
    uint16_t version_at;
    uint32_t at;
    struct http_field fields[HTTP_FIELDS_MAX]; /* the first field_count are set */
};

struct http_head_limits {
    uint32_t head_bytes_max; /* ≤ HTTP_HEAD_BYTES_LIMIT; an empty line before it not counted */
    uint32_t url_bytes_max;
};

void http_head_init(struct http_head *head);
/* `bytes`: all of the head so far (what was given before, and more). A bad head stays bad. */
enum http_parse http_head_parse(struct http_head *head, const struct http_head_limits *limits,
                                const char *bytes, size_t len);
/* Has anything but an empty line come? */
bool http_head_is_begun(const struct http_head *head);

struct http_chunk {
    enum err err; /* when bad */
    const char *reason;
    /* The decoder's own. */
    uint8_t state;
    uint8_t digits;
    uint64_t left; /* of this chunk's data; its size while that is read */
    uint32_t extension_bytes;
    uint32_t trailer_bytes;
};

void http_chunk_init(struct http_chunk *chunk);
/*
 * Decodes a step of `bytes`: *ret_used of them are done with, and *ret_data (a part of them,
 * perhaps empty) is body. Call in a loop until MORE with everything used, DONE (the rest belongs to
 * the next request) or BAD.
 */
enum http_parse http_chunk_parse(struct http_chunk *chunk, const char *bytes, size_t len,
                                 size_t *ret_used, struct slice *ret_data);
/* Bytes of data still to come in the chunk being read, 0 between chunks. */
uint64_t http_chunk_left(const struct http_chunk *chunk);

/* What a byte may be; for the rules of request.c, too. */
enum {
    HTTP_CLASS_TOKEN = 1, /* tchar */
    HTTP_CLASS_PATH = 2,  /* pchar, '/' */
    HTTP_CLASS_QUERY = 4, /* path, '?', and what browsers send raw */
    HTTP_CLASS_VALUE = 8, /* VCHAR, obs-text, SP, HTAB */
    HTTP_CLASS_HOST = 16, /* reg-name */
    HTTP_CLASS_HEX = 32,
    HTTP_CLASS_DIGIT = 64,
    HTTP_CLASS_ID = 128, /* of X-Request-Id: letters, digits, . _ - */
};
extern const uint8_t http_classes[256];

static inline bool
http_is(char c, unsigned class)
{
    return (http_classes[(unsigned char)c] & class) != 0;
}

#endif
