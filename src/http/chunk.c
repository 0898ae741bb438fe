/*
 * chunk - a chunked body, byte by byte around the data and by runs within it. See parser.h.
 *
 *     *( size [ extensions ] CRLF data CRLF ) 1*"0" [ extensions ] CRLF *( field CRLF ) CRLF
 *
 * Layer 5 (http), any thread, pure. RFC 9112 §7.1.
 */
#include "http/parser.h"

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_SPACE, /* white space after the size: only an extension may follow */
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START,
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_DONE,
    CHUNK_BAD,
};

void
http_chunk_init(struct http_chunk *chunk)
{
    *chunk = (struct http_chunk){.err = ERR_OK, .state = CHUNK_SIZE};
}

uint64_t
http_chunk_left(const struct http_chunk *chunk)
{
    return chunk->state == CHUNK_DATA ? chunk->left : 0;
}

static enum http_parse
chunk_bad(struct http_chunk *chunk, enum err err, const char *reason)
{
    chunk->state = CHUNK_BAD;
    chunk->err = err;
    chunk->reason = reason;
    return HTTP_PARSE_BAD;
}

static uint64_t
hex_value(char c)
{
    return (uint64_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static enum http_parse
chunk_size_byte(struct http_chunk *chunk, char c)
{
    if (http_is(c, HTTP_CLASS_HEX)) {
        if (chunk->digits == HTTP_CHUNK_SIZE_DIGITS_MAX)
            return chunk_bad(chunk, ERR_BAD_REQUEST, "a chunk size has more than 16 digits");
        chunk->left = chunk->left << 4 | hex_value(c);
        chunk->digits++;
        return HTTP_PARSE_MORE;
    }
    if (chunk->digits == 0)
        return chunk_bad(chunk, ERR_BAD_REQUEST, "a chunk size is not hexadecimal");
    if (c == '\r')
        chunk->state = CHUNK_SIZE_LF;
    else if (c == ';')
        chunk->state = CHUNK_EXTENSION;
    else if (c == ' ' || c == '\t')
        chunk->state = CHUNK_SPACE;
    else
        return chunk_bad(chunk, ERR_BAD_REQUEST, "a chunk size is not hexadecimal");
    return HTTP_PARSE_MORE;
}

static enum http_parse
chunk_extension_byte(struct http_chunk *chunk, char c)
{
    if (++chunk->extension_bytes > HTTP_CHUNK_EXTENSIONS_MAX)
        return chunk_bad(chunk, ERR_BAD_REQUEST, "chunk extensions are over 4,096 bytes");
    if (chunk->state == CHUNK_SPACE) {
        if (c == ';')
            chunk->state = CHUNK_EXTENSION;
        else if (c != ' ' && c != '\t')
            return chunk_bad(chunk, ERR_BAD_REQUEST, "white space stands after a chunk size");
        return HTTP_PARSE_MORE;
    }
    if (c == '\r')
        chunk->state = CHUNK_SIZE_LF;
    else if (!http_is(c, HTTP_CLASS_VALUE))
        return chunk_bad(chunk, ERR_BAD_REQUEST, "a chunk extension has a control character");
    return HTTP_PARSE_MORE;
}

static enum http_parse
chunk_trailer_byte(struct http_chunk *chunk, char c)
{
    if (++chunk->trailer_bytes > HTTP_TRAILER_BYTES_MAX)
        return chunk_bad(chunk, ERR_HEADER_TOO_LARGE, "trailer fields are over 8,192 bytes");
    if (chunk->state == CHUNK_TRAILER_START && http_is(c, HTTP_CLASS_TOKEN))
        chunk->state = CHUNK_TRAILER_NAME;
    else if (chunk->state == CHUNK_TRAILER_NAME && c == ':')
        chunk->state = CHUNK_TRAILER_VALUE;
    else if (chunk->state == CHUNK_TRAILER_VALUE && c == '\r')
        chunk->state = CHUNK_TRAILER_LF;
    else if (!http_is(c, chunk->state == CHUNK_TRAILER_VALUE  ? HTTP_CLASS_VALUE
                         : chunk->state == CHUNK_TRAILER_NAME ? HTTP_CLASS_TOKEN
                                                              : 0))
        return chunk_bad(chunk, ERR_BAD_REQUEST, "a trailer line is not \"name: value\"");
    return HTTP_PARSE_MORE;
}

/* The CR and LF that stand at fixed places. */
static enum http_parse
chunk_line_byte(struct http_chunk *chunk, char c)
{
    if (c != (chunk->state == CHUNK_DATA_CR ? '\r' : '\n'))
        return chunk_bad(chunk, ERR_BAD_REQUEST,
                         chunk->state == CHUNK_DATA_CR || chunk->state == CHUNK_DATA_LF
                             ? "a chunk is longer than its size says"
                             : "a CR stands without its LF");
    if (chunk->state == CHUNK_SIZE_LF) {
        chunk->state = chunk->left == 0 ? CHUNK_TRAILER_START : CHUNK_DATA;
    } else if (chunk->state == CHUNK_DATA_CR) {
        chunk->state = CHUNK_DATA_LF;
    } else if (chunk->state == CHUNK_DATA_LF) {
        chunk->state = CHUNK_SIZE;
        chunk->digits = 0;
        chunk->left = 0;
    } else if (chunk->state == CHUNK_TRAILER_LF) {
        chunk->state = CHUNK_TRAILER_START;
    } else {
        chunk->state = CHUNK_DONE;
        return HTTP_PARSE_DONE;
    }
    return HTTP_PARSE_MORE;
}

static enum http_parse
chunk_byte(struct http_chunk *chunk, char c)
{
    switch ((enum chunk_state)chunk->state) {
    case CHUNK_SIZE:
        return chunk_size_byte(chunk, c);
    case CHUNK_SPACE:
    case CHUNK_EXTENSION:
        return chunk_extension_byte(chunk, c);
    case CHUNK_TRAILER_START:
        if (c == '\r') {
            chunk->state = CHUNK_END_LF;
            return HTTP_PARSE_MORE;
        }
        return chunk_trailer_byte(chunk, c);
    case CHUNK_TRAILER_NAME:
    case CHUNK_TRAILER_VALUE:
        return chunk_trailer_byte(chunk, c);
    case CHUNK_SIZE_LF:
    case CHUNK_DATA_CR:
    case CHUNK_DATA_LF:
    case CHUNK_TRAILER_LF:
    case CHUNK_END_LF:
        return chunk_line_byte(chunk, c);
    case CHUNK_DATA:
        return HTTP_PARSE_MORE;
    case CHUNK_DONE:
        return HTTP_PARSE_DONE;
    case CHUNK_BAD:
        return HTTP_PARSE_BAD;
    }
    __builtin_unreachable();
}

enum http_parse
http_chunk_parse(struct http_chunk *chunk, const char *bytes, size_t len, size_t *ret_used,
                 struct slice *ret_data)
{
    size_t at = 0;

    *ret_data = SLICE_NONE;
    while (chunk->state == CHUNK_DONE || chunk->state == CHUNK_BAD || at < len) {
        enum http_parse parse;

        if (chunk->state == CHUNK_DATA) {
            size_t take = len - at < chunk->left ? len - at : (size_t)chunk->left;

            *ret_data = slice_of(bytes + at, take);
            chunk->left -= take;
            if (chunk->left == 0)
                chunk->state = CHUNK_DATA_CR;
            *ret_used = at + take;
            return HTTP_PARSE_MORE;
        }
        if (chunk->state == CHUNK_DONE || chunk->state == CHUNK_BAD) {
            *ret_used = at;
            return chunk->state == CHUNK_DONE ? HTTP_PARSE_DONE : HTTP_PARSE_BAD;
        }
        parse = chunk_byte(chunk, bytes[at++]);
        if (parse != HTTP_PARSE_MORE) {
            *ret_used = at;
            return parse;
        }
    }
    *ret_used = at;
    return HTTP_PARSE_MORE;
}
