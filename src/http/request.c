/*
 * request - see request.h.
 */
#include "http/request.h"

#include "base/mem.h"
#include <arpa/inet.h>

/* Eight characters at once; what differs must be the case of letters. */
static bool
word_is(const char *ptr, const char *lower)
{
    uint64_t difference;
    uint64_t other;

    memcpy(&difference, ptr, sizeof(difference));
    memcpy(&other, lower, sizeof(other));
    difference ^= other;
    if ((difference & ~UINT64_C(0x2020202020202020)) != 0)
        return false;
    for (; difference != 0; difference &= difference - 1) {
        const char c = lower[__builtin_ctzll(difference) / 8];

        if (c < 'a' || c > 'z')
            return false;
    }
    return true;
}

bool
http_text_is(const char *ptr, size_t len, const char *lower, size_t lower_len)
{
    const size_t word = sizeof(uint64_t);

    if (len != lower_len)
        return false;
    if (len >= word) {
        for (size_t i = 0; i + word < len; i += word) {
            if (!word_is(ptr + i, lower + i))
                return false;
        }
        return word_is(ptr + (len - word), lower + (len - word)); /* may overlap */
    }
    for (size_t i = 0; i < len; i++) {
        char c = ptr[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        if (c != lower[i])
            return false;
    }
    return true;
}

#define IS(ptr, len, literal) http_text_is((ptr), (len), (literal), sizeof(literal) - 1)

static enum http_method
method_of(const char *ptr, size_t len)
{
    static const struct {
        const char *name;
        size_t len;
        enum http_method method;
    } known[] = {{"POST", 4, HTTP_POST},  {"GET", 3, HTTP_GET},         {"HEAD", 4, HTTP_HEAD},
                 {"PUT", 3, HTTP_PUT},    {"OPTIONS", 7, HTTP_OPTIONS}, {"DELETE", 6, HTTP_DELETE},
                 {"PATCH", 5, HTTP_PATCH}};

    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (known[i].len == len && memcmp(known[i].name, ptr, len) == 0)
            return known[i].method;
    }
    return HTTP_OTHER;
}

/* uri-host [":" port], RFC 3986 §3.2.2. An empty host is left to the caller. */
static bool
host_is_valid(const char *ptr, size_t len)
{
    size_t at = 0;
    unsigned port = 0;

    if (len > 0 && ptr[0] == '[') {
        char text[INET6_ADDRSTRLEN];
        struct in6_addr address;
        const char *end = memchr(ptr, ']', len);

        if (end == NULL || (size_t)(end - ptr) > sizeof(text))
            return false;
        memcpy(text, ptr + 1, (size_t)(end - ptr) - 1);
        text[end - ptr - 1] = '\0';
        if (inet_pton(AF_INET6, text, &address) != 1)
            return false;
        at = (size_t)(end - ptr) + 1;
    } else {
        while (at < len && http_is(ptr[at], HTTP_CLASS_HOST)) {
            if (ptr[at] == '%' && (len - at < 3 || !http_is(ptr[at + 1], HTTP_CLASS_HEX) ||
                                   !http_is(ptr[at + 2], HTTP_CLASS_HEX)))
                return false;
            at++;
        }
    }
    if (at == len)
        return true;
    if (ptr[at++] != ':')
        return false;
    for (; at < len; at++) {
        if (!http_is(ptr[at], HTTP_CLASS_DIGIT))
            return false;
        port = port * 10 + (unsigned)(ptr[at] - '0');
        if (port > 65535)
            return false;
    }
    return true;
}

/* Behind "http://" or "https://": the authority, then a path or nothing. */
static enum err
read_absolute(const char *bytes, size_t at, size_t end, struct http_request *request,
              const char **ret_reason)
{
    size_t host = at;

    while (at < end && bytes[at] != '/' && bytes[at] != '?')
        at++;
    if (at == host || bytes[host] == ':' || !host_is_valid(bytes + host, at - host)) {
        *ret_reason = "the request target has no valid host";
        return ERR_BAD_REQUEST;
    }
    request->path_at = (uint16_t)at;
    return ERR_OK;
}

static bool
escapes_are_valid(const char *bytes, size_t at, size_t end)
{
    for (;;) {
        const char *escape = memchr(bytes + at, '%', end - at);

        if (escape == NULL)
            return true;
        at = (size_t)(escape - bytes) + 3;
        if (at > end || !http_is(escape[1], HTTP_CLASS_HEX) || !http_is(escape[2], HTTP_CLASS_HEX))
            return false;
    }
}

/* RFC 9112 §3.2: origin-form, absolute-form, or "*" with OPTIONS. */
static enum err
read_target(const struct http_head *head, const char *bytes, struct http_request *request,
            const char **ret_reason)
{
    size_t at = head->target_at;
    size_t end = at + head->target_len;
    size_t path_end = head->query_at != 0 ? head->query_at : end;
    enum err err;

    if (request->method == HTTP_OTHER && head->method_len == 7 &&
        memcmp(bytes + head->method_at, "CONNECT", 7) == 0) {
        *ret_reason = "this server is no proxy";
        return ERR_NOT_IMPLEMENTED;
    }
    request->path_at = (uint16_t)at;
    if (bytes[at] != '/') {
        if (head->target_len > 7 && IS(bytes + at, 7, "http://")) {
            err = read_absolute(bytes, at + 7, end, request, ret_reason);
        } else if (head->target_len > 8 && IS(bytes + at, 8, "https://")) {
            err = read_absolute(bytes, at + 8, end, request, ret_reason);
        } else if (head->target_len == 1 && bytes[at] == '*' && request->method == HTTP_OPTIONS) {
            err = ERR_OK;
        } else {
            *ret_reason = "the request target is neither a path nor an http address";
            err = ERR_BAD_REQUEST;
        }
        if (err != ERR_OK)
            return err;
    }
    request->path_len = (uint16_t)(path_end - request->path_at);
    request->has_query = head->query_at != 0;
    request->query_at = (uint16_t)(path_end + 1);
    request->query_len = (uint16_t)(request->has_query ? end - path_end - 1 : 0);
    if (!escapes_are_valid(bytes, at, end)) {
        *ret_reason = "the request target has a % without two hexadecimal digits";
        return ERR_BAD_REQUEST;
    }
    /* Brackets, which the parser lets through for an address, have no place in a path. */
    for (size_t i = request->path_at; bytes[head->target_at] != '/' && i < path_end; i++) {
        if (!http_is(bytes[i], HTTP_CLASS_PATH)) {
            *ret_reason = "the request target has a character that must be percent-encoded";
            return ERR_BAD_REQUEST;
        }
    }
    return ERR_OK;
}

/* What the fields that matter here said; each at most once, save Connection and Expect. */
struct seen {
    bool has_host;
    bool has_content_length;
    bool has_transfer_encoding;
    bool says_close;
    bool says_keep_alive;
    bool expects_continue;
    bool expects_other;
};

static enum err
read_content_length(struct slice value, int64_t *ret_length)
{
    int64_t length = 0;

    if (value.len == 0)
        return ERR_BAD_REQUEST;
    for (size_t i = 0; i < value.len; i++) {
        if (!http_is(value.ptr[i], HTTP_CLASS_DIGIT))
            return ERR_BAD_REQUEST;
        /* Saturates: such a length is over every limit, and answered so. */
        length = length > (INT64_MAX - 9) / 10 ? INT64_MAX : length * 10 + (value.ptr[i] - '0');
    }
    *ret_length = length;
    return ERR_OK;
}

/* RFC 9112 §6.1, §6.3: chunked must be the last coding (else 400), and is the only one known (501).
 */
static enum err
read_transfer_encoding(struct slice value, const char **ret_reason)
{
    size_t last = value.len;

    if (IS(value.ptr, value.len, "chunked"))
        return ERR_OK;
    while (last > 0 && value.ptr[last - 1] != ',')
        last--;
    if (last > 0) {
        struct slice coding = slice_trim(slice_of(value.ptr + last, value.len - last));
        struct slice before = slice_trim(slice_of(value.ptr, last - 1));

        if (IS(coding.ptr, coding.len, "chunked") && before.len > 0 &&
            !(before.len >= 7 && IS(before.ptr + before.len - 7, 7, "chunked"))) {
            *ret_reason = "chunked is the only transfer coding known";
            return ERR_NOT_IMPLEMENTED;
        }
    }
    *ret_reason = "Transfer-Encoding does not end with one chunked";
    return ERR_BAD_REQUEST;
}

static void
read_connection(struct slice value, struct seen *seen)
{
    size_t at = 0;

    while (at <= value.len) {
        const char *comma = at < value.len ? memchr(value.ptr + at, ',', value.len - at) : NULL;
        size_t end = comma != NULL ? (size_t)(comma - value.ptr) : value.len;
        struct slice option = slice_trim(slice_of(value.ptr + at, end - at));

        seen->says_close |= IS(option.ptr, option.len, "close");
        seen->says_keep_alive |= IS(option.ptr, option.len, "keep-alive");
        at = end + 1;
    }
}

static void
read_id(const struct http_field *field, struct slice value, struct http_request *request)
{
    if (value.len == 0 || value.len > HTTP_REQUEST_ID_MAX || request->id_len != 0)
        return;
    for (size_t i = 0; i < value.len; i++) {
        if (!http_is(value.ptr[i], HTTP_CLASS_ID))
            return;
    }
    request->id_at = field->value_at;
    request->id_len = field->value_len;
}

/* One of the fields that decide about framing. */
static enum err
read_framing_field(struct slice name, struct slice value, struct http_request *request,
                   struct seen *seen, const char **ret_reason)
{
    if (name.len == 4 && IS(name.ptr, name.len, "host")) {
        if (seen->has_host || !host_is_valid(value.ptr, value.len)) {
            *ret_reason = seen->has_host ? "Host is repeated" : "Host is not valid";
            return ERR_BAD_REQUEST;
        }
        seen->has_host = true;
    } else if (name.len == 14 && IS(name.ptr, name.len, "content-length")) {
        if (seen->has_content_length ||
            read_content_length(value, &request->content_length) != ERR_OK) {
            *ret_reason = seen->has_content_length ? "Content-Length is repeated"
                                                   : "Content-Length is not a number";
            return ERR_BAD_REQUEST;
        }
        seen->has_content_length = true;
    } else if (name.len == 17 && IS(name.ptr, name.len, "transfer-encoding")) {
        if (seen->has_transfer_encoding) {
            *ret_reason = "Transfer-Encoding is repeated";
            return ERR_BAD_REQUEST;
        }
        seen->has_transfer_encoding = true;
        request->is_chunked = true;
        return read_transfer_encoding(value, ret_reason);
    }
    return ERR_OK;
}

static enum err
read_field(const struct http_field *field, const char *bytes, struct http_request *request,
           struct seen *seen, const char **ret_reason)
{
    struct slice name = slice_of(bytes + field->name_at, field->name_len);
    struct slice value = slice_of(bytes + field->value_at, field->value_len);

    request->name_lengths |= UINT64_C(1) << (name.len & 63);
    switch (name.len) {
    case 4:
    case 14:
    case 17:
        return read_framing_field(name, value, request, seen, ret_reason);
    case 6:
        if (IS(name.ptr, name.len, "expect")) {
            if (IS(value.ptr, value.len, "100-continue"))
                seen->expects_continue = true;
            else
                seen->expects_other = true;
        }
        return ERR_OK;
    case 10:
        if (IS(name.ptr, name.len, "connection"))
            read_connection(value, seen);
        return ERR_OK;
    case 12:
        if (IS(name.ptr, name.len, "x-request-id"))
            read_id(field, value, request);
        return ERR_OK;
    case 13:
        if (IS(name.ptr, name.len, "authorization") && request->authorization_count++ == 0) {
            request->authorization_at = field->value_at;
            request->authorization_len = field->value_len;
        }
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

/* What follows from the fields together. */
static enum err
settle(const struct http_head *head, const struct seen *seen, struct http_request *request,
       const char **ret_reason)
{
    if (head->minor >= 1 && !seen->has_host) {
        *ret_reason = "Host is missing";
        return ERR_BAD_REQUEST;
    }
    if (seen->has_transfer_encoding && (seen->has_content_length || head->minor == 0)) {
        *ret_reason = seen->has_content_length ? "Content-Length stands with Transfer-Encoding"
                                               : "HTTP/1.0 has no Transfer-Encoding";
        return ERR_BAD_REQUEST;
    }
    request->is_closed_by_client = seen->says_close || (head->minor == 0 && !seen->says_keep_alive);
    request->is_kept_alive = !request->is_closed_by_client;
    request->expects_continue = seen->expects_continue && head->minor >= 1;
    if (seen->expects_other && head->minor >= 1) {
        *ret_reason = "Expect knows only 100-continue";
        return ERR_EXPECTATION_FAILED;
    }
    return ERR_OK;
}

enum err
http_request_read(const struct http_head *head, const char *bytes, struct http_request *ret_request,
                  const char **ret_reason)
{
    struct seen seen = {0};
    enum err first = ERR_OK;
    enum err err;
    const char *reason = NULL;

    *ret_request = (struct http_request){.content_length = -1};
    ret_request->method = method_of(bytes + head->method_at, head->method_len);
    first = read_target(head, bytes, ret_request, ret_reason);
    for (unsigned i = 0; i < head->field_count; i++) {
        err = read_field(&head->fields[i], bytes, ret_request, &seen, &reason);
        /* 400 goes before 501: a head that is wrong is not merely unknown. */
        if (err != ERR_OK &&
            (first == ERR_OK || (first == ERR_NOT_IMPLEMENTED && err == ERR_BAD_REQUEST))) {
            first = err;
            *ret_reason = reason;
        }
    }
    err = settle(head, &seen, ret_request, &reason);
    if (err != ERR_OK &&
        (first == ERR_OK || (first == ERR_NOT_IMPLEMENTED && err == ERR_BAD_REQUEST))) {
        first = err;
        *ret_reason = reason;
    }
    return first;
}
