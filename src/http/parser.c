/*
 * parser - see parser.h. One state a kind of byte; runs of like bytes are walked by table.
 */
#include "http/parser.h"

/* clang-format off */
/* Rows of 16; the bits are HTTP_CLASS_…; test_parser checks them against the RFCs' lists. */
const uint8_t http_classes[256] = {
      0,   0,   0,   0,   0,   0,   0,   0,   0,   8,   0,   0,   0,   0,   0,   0,
      0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
      8,  31,   8,   9,  31,  31,  31,  31,  30,  30,  31,  31,  30, 159, 159,  14,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255,  14,  30,   8,  30,   8,  12,
     14, 191, 191, 191, 191, 191, 191, 159, 159, 159, 159, 159, 159, 159, 159, 159,
    159, 159, 159, 159, 159, 159, 159, 159, 159, 159, 159,  12,  12,  12,  13, 159,
     13, 191, 191, 191, 191, 191, 191, 159, 159, 159, 159, 159, 159, 159, 159, 159,
    159, 159, 159, 159, 159, 159, 159, 159, 159, 159, 159,  12,  13,  12,  31,   0,
      8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,
      8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,
      8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,
      8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,
      8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,
      8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,
      8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,
      8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,   8,
};
/* clang-format on */

enum head_state {
    HEAD_START,
    HEAD_START_LF,
    HEAD_METHOD,
    HEAD_TARGET,
    HEAD_VERSION,
    HEAD_LINE_LF,
    HEAD_FIELD_START,
    HEAD_NAME,
    HEAD_VALUE_START,
    HEAD_VALUE,
    HEAD_VALUE_LF,
    HEAD_END_LF,
    HEAD_DONE,
    HEAD_BAD,
};

void
http_head_init(struct http_head *head)
{
    head->bytes = 0;
    head->method_at = 0;
    head->method_len = 0;
    head->target_at = 0;
    head->target_len = 0;
    head->query_at = 0;
    head->minor = 0;
    head->field_count = 0;
    head->err = ERR_OK;
    head->reason = NULL;
    head->state = HEAD_START;
    head->start = 0;
    head->version_at = 0;
    head->at = 0;
}

bool
http_head_is_begun(const struct http_head *head)
{
    return head->state > HEAD_START_LF && head->at > head->start;
}

static enum http_parse
head_bad(struct http_head *head, enum err err, const char *reason)
{
    head->state = HEAD_BAD;
    head->err = err;
    head->reason = reason;
    return HTTP_PARSE_BAD;
}

/* The first place from `at` whose byte is not of `class`, or `end`. */
static inline size_t
skip_class(const char *bytes, size_t at, size_t end, unsigned class)
{
    while (end - at >= 4) {
        if (!http_is(bytes[at], class))
            return at;
        if (!http_is(bytes[at + 1], class))
            return at + 1;
        if (!http_is(bytes[at + 2], class))
            return at + 2;
        if (!http_is(bytes[at + 3], class))
            return at + 3;
        at += 4;
    }
    while (at < end && http_is(bytes[at], class))
        at++;
    return at;
}

/* The steps below get at < end and go on from *at; each is one state. */

static enum http_parse
step_start(struct http_head *head, const char *bytes, size_t *at)
{
    if (head->state == HEAD_START) {
        if (bytes[*at] == '\r') {
            head->state = HEAD_START_LF;
            ++*at;
            return HTTP_PARSE_MORE;
        }
    } else {
        if (bytes[*at] != '\n')
            return head_bad(head, ERR_BAD_REQUEST, "a CR stands without its LF");
        ++*at;
        head->start = 2;
    }
    head->state = HEAD_METHOD;
    head->method_at = head->start;
    return HTTP_PARSE_MORE;
}

static enum http_parse
step_method(struct http_head *head, const char *bytes, size_t *at, size_t end)
{
    size_t next = skip_class(bytes, *at, end, HTTP_CLASS_TOKEN);

    if (next - head->method_at > HTTP_METHOD_BYTES_MAX)
        return head_bad(head, ERR_NOT_IMPLEMENTED, "the method is longer than any known");
    *at = next;
    if (next == end)
        return HTTP_PARSE_MORE;
    if (bytes[next] != ' ' || next == head->method_at)
        return head_bad(head, ERR_BAD_REQUEST,
                        "the request line does not begin with a method and a space");
    head->method_len = (uint16_t)(next - head->method_at);
    head->target_at = (uint16_t)(next + 1);
    head->state = HEAD_TARGET;
    *at = next + 1;
    return HTTP_PARSE_MORE;
}

static enum http_parse
target_bad(struct http_head *head, const char *bytes, size_t at)
{
    char c = bytes[at];

    if (c == '#')
        return head_bad(head, ERR_BAD_REQUEST, "a fragment does not belong in a request target");
    if (c != '\r' && c != '\n')
        return head_bad(head, ERR_BAD_REQUEST,
                        "the request target has a character that must be percent-encoded");
    /* RFC 1945's simple request, "GET /path", is HTTP/0.9. */
    if (c == '\r' && head->method_len == 3 && memcmp(bytes + head->method_at, "GET", 3) == 0 &&
        at > head->target_at)
        return head_bad(head, ERR_HTTP_VERSION_NOT_SUPPORTED, "HTTP/0.9 is not spoken here");
    return head_bad(head, ERR_BAD_REQUEST, "the request line has no HTTP version");
}

static enum http_parse
step_target(struct http_head *head, const struct http_head_limits *limits, const char *bytes,
            size_t *at, size_t end)
{
    size_t next = *at;

    /* Brackets belong to an address in absolute form; request.c looks closer. */
    if (head->query_at == 0) {
        bool is_path = next > head->target_at ? bytes[head->target_at] == '/' : bytes[next] == '/';

        next = skip_class(bytes, next, end, HTTP_CLASS_PATH);
        while (!is_path && next < end && (bytes[next] == '[' || bytes[next] == ']'))
            next = skip_class(bytes, next + 1, end, HTTP_CLASS_PATH);
        if (next < end && bytes[next] == '?')
            head->query_at = (uint16_t)next;
    }
    if (head->query_at != 0)
        next = skip_class(bytes, next, end, HTTP_CLASS_QUERY);
    if (next - head->target_at > limits->url_bytes_max)
        return head_bad(head, ERR_URI_TOO_LONG, "the request target is over its limit");
    *at = next;
    if (next == end)
        return HTTP_PARSE_MORE;
    if (bytes[next] != ' ')
        return target_bad(head, bytes, next);
    if (next == head->target_at)
        return head_bad(head, ERR_BAD_REQUEST, "the request line has an empty target");
    head->target_len = (uint16_t)(next - head->target_at);
    head->version_at = (uint16_t)(next + 1);
    head->state = HEAD_VERSION;
    *at = next + 1;
    return HTTP_PARSE_MORE;
}

static enum http_parse
step_version(struct http_head *head, const char *bytes, size_t *at, size_t end)
{
    static const char form[] = "HTTP/0.0\r"; /* 0: any digit */
    const char *version = bytes + head->version_at;

    while (*at < end) {
        size_t i = *at - head->version_at;
        bool is_right =
            form[i] == '0' ? http_is(bytes[*at], HTTP_CLASS_DIGIT) : bytes[*at] == form[i];

        if (!is_right)
            return head_bad(head, ERR_BAD_REQUEST, "the request line does not end with HTTP/1.1");
        ++*at;
        if (i == sizeof(form) - 2) {
            if (version[5] != '1' || version[7] > '1')
                return head_bad(head, ERR_HTTP_VERSION_NOT_SUPPORTED,
                                "HTTP/1.1 and HTTP/1.0 are spoken here");
            head->minor = (uint8_t)(version[7] - '0');
            head->state = HEAD_LINE_LF;
            return HTTP_PARSE_MORE;
        }
    }
    return HTTP_PARSE_MORE;
}

static enum http_parse
step_field_start(struct http_head *head, const char *bytes, size_t *at)
{
    char c = bytes[*at];

    if (c == '\r') {
        head->state = HEAD_END_LF;
        ++*at;
        return HTTP_PARSE_MORE;
    }
    if (c == ' ' || c == '\t')
        return head_bad(head, ERR_BAD_REQUEST,
                        "a header line begins with white space (folded lines are refused)");
    if (c == '\n')
        return head_bad(head, ERR_BAD_REQUEST, "an LF stands without its CR");
    if (head->field_count == HTTP_FIELDS_MAX)
        return head_bad(head, ERR_HEADER_TOO_LARGE, "the head has more than 128 fields");
    head->fields[head->field_count].name_at = (uint16_t)*at;
    head->state = HEAD_NAME;
    return HTTP_PARSE_MORE;
}

static enum http_parse
step_name(struct http_head *head, const char *bytes, size_t *at, size_t end)
{
    struct http_field *field = &head->fields[head->field_count];
    size_t next = skip_class(bytes, *at, end, HTTP_CLASS_TOKEN);

    *at = next;
    if (next == end)
        return HTTP_PARSE_MORE;
    if (bytes[next] == ' ' || bytes[next] == '\t')
        return head_bad(head, ERR_BAD_REQUEST, "white space stands in or after a header name");
    if (bytes[next] != ':' || next == field->name_at)
        return head_bad(head, ERR_BAD_REQUEST, "a header line is not \"name: value\"");
    field->name_len = (uint16_t)(next - field->name_at);
    head->state = HEAD_VALUE_START;
    *at = next + 1;
    return HTTP_PARSE_MORE;
}

static enum http_parse
step_value(struct http_head *head, const char *bytes, size_t *at, size_t end)
{
    struct http_field *field = &head->fields[head->field_count];
    size_t next = *at;

    if (head->state == HEAD_VALUE_START) {
        while (next < end && (bytes[next] == ' ' || bytes[next] == '\t'))
            next++;
        *at = next;
        if (next == end)
            return HTTP_PARSE_MORE;
        field->value_at = (uint16_t)next;
        head->state = HEAD_VALUE;
    }
    next = skip_class(bytes, next, end, HTTP_CLASS_VALUE);
    *at = next;
    if (next == end)
        return HTTP_PARSE_MORE;
    if (bytes[next] != '\r')
        return head_bad(head, ERR_BAD_REQUEST,
                        bytes[next] == '\n' ? "an LF stands without its CR"
                                            : "a header value has a control character");
    *at = next + 1;
    while (next > field->value_at && (bytes[next - 1] == ' ' || bytes[next - 1] == '\t'))
        next--;
    field->value_len = (uint16_t)(next - field->value_at);
    head->field_count++;
    head->state = HEAD_VALUE_LF;
    return HTTP_PARSE_MORE;
}

static enum http_parse
step_lf(struct http_head *head, const char *bytes, size_t *at)
{
    if (bytes[*at] != '\n')
        return head_bad(head, ERR_BAD_REQUEST, "a CR stands without its LF");
    ++*at;
    if (head->state != HEAD_END_LF) {
        head->state = HEAD_FIELD_START;
        return HTTP_PARSE_MORE;
    }
    head->state = HEAD_DONE;
    head->bytes = (uint32_t)*at;
    return HTTP_PARSE_DONE;
}

static enum http_parse
head_step(struct http_head *head, const struct http_head_limits *limits, const char *bytes,
          size_t *at, size_t end)
{
    switch ((enum head_state)head->state) {
    case HEAD_START:
    case HEAD_START_LF:
        return step_start(head, bytes, at);
    case HEAD_METHOD:
        return step_method(head, bytes, at, end);
    case HEAD_TARGET:
        return step_target(head, limits, bytes, at, end);
    case HEAD_VERSION:
        return step_version(head, bytes, at, end);
    case HEAD_FIELD_START:
        return step_field_start(head, bytes, at);
    case HEAD_NAME:
        return step_name(head, bytes, at, end);
    case HEAD_VALUE_START:
    case HEAD_VALUE:
        return step_value(head, bytes, at, end);
    case HEAD_LINE_LF:
    case HEAD_VALUE_LF:
    case HEAD_END_LF:
        return step_lf(head, bytes, at);
    case HEAD_DONE:
        return HTTP_PARSE_DONE;
    case HEAD_BAD:
        return HTTP_PARSE_BAD;
    }
    __builtin_unreachable();
}

enum http_parse
http_head_parse(struct http_head *head, const struct http_head_limits *limits, const char *bytes,
                size_t len)
{
    enum http_parse parse = head->state == HEAD_DONE  ? HTTP_PARSE_DONE
                            : head->state == HEAD_BAD ? HTTP_PARSE_BAD
                                                      : HTTP_PARSE_MORE;
    size_t at = head->at;

    while (parse == HTTP_PARSE_MORE) {
        size_t end_max = head->start + (size_t)limits->head_bytes_max;
        size_t end = len < end_max ? len : end_max;

        if (at >= end) {
            if (at >= end_max)
                parse = head_bad(head, ERR_HEADER_TOO_LARGE, "the head is over its limit");
            break;
        }
        parse = head_step(head, limits, bytes, &at, end);
    }
    head->at = (uint32_t)at;
    return parse;
}
