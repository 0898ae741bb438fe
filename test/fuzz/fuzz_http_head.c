/* rooms: base http */
/*
 * fuzz_http_head - a request's head, whole and in every way split: one verdict, offsets within
 * bounds.
 *
 * The first byte says where the bytes are split (0: byte by byte), the rest is the head.
 */
#include "http/request.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_head_limits limits = {4096, 1024};

static void
must(bool is_true)
{
    if (!is_true)
        abort();
}

static enum http_parse
parse_split(struct http_head *head, const char *bytes, size_t len, size_t step)
{
    enum http_parse parse = HTTP_PARSE_MORE;

    http_head_init(head);
    for (size_t at = 0; at < len && parse == HTTP_PARSE_MORE;) {
        at = step < len - at ? at + step : len;
        parse = http_head_parse(head, &limits, bytes, at);
    }
    return parse;
}

static void
check_bounds(const struct http_head *head, const char *bytes, size_t len)
{
    struct http_request request;
    const char *reason = NULL;
    enum err err;

    must(head->bytes <= len && head->bytes <= limits.head_bytes_max + 2);
    must(head->field_count <= HTTP_FIELDS_MAX);
    must(head->target_at + head->target_len < head->bytes);
    must(head->target_len <= limits.url_bytes_max);
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];

        must(field->name_len > 0 && bytes[field->name_at + field->name_len] == ':');
        must(field->value_at > field->name_at + field->name_len);
        must(field->value_at + field->value_len < head->bytes);
        must(memchr(bytes + field->value_at, '\n', field->value_len) == NULL);
        must(memchr(bytes + field->value_at, '\0', field->value_len) == NULL);
    }
    err = http_request_read(head, bytes, &request, &reason);
    must((err == ERR_OK) == (reason == NULL));
    if (err == ERR_OK) {
        must(request.path_at + request.path_len <= head->target_at + head->target_len);
        must(!request.has_query ||
             request.query_at + request.query_len == head->target_at + head->target_len);
        must(!request.is_chunked || request.content_length == -1);
        must(request.id_len <= HTTP_REQUEST_ID_MAX);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head whole;
    static struct http_head parts;
    const char *bytes;
    enum http_parse parse;
    size_t len;

    if (size < 2)
        return 0;
    len = size - 1;
    bytes = (const char *)data + 1;
    parse = parse_split(&whole, bytes, len, len);
    must(parse_split(&parts, bytes, len, data[0] == 0 ? 1 : data[0]) == parse);
    if (parse == HTTP_PARSE_BAD) {
        must(whole.err != ERR_OK && whole.err == parts.err && whole.reason == parts.reason);
    } else if (parse == HTTP_PARSE_DONE) {
        must(whole.bytes == parts.bytes && whole.field_count == parts.field_count);
        must(memcmp(whole.fields, parts.fields, whole.field_count * sizeof(*whole.fields)) == 0);
        must(whole.target_at == parts.target_at && whole.target_len == parts.target_len &&
             whole.query_at == parts.query_at && whole.minor == parts.minor);
        check_bounds(&whole, bytes, len);
    }
    return 0;
}
