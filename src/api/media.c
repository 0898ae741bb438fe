/*
 * media - Content-Type and Content-Encoding. See media.h.
 */
#include "api/media.h"

#include "base/mem.h"

#include <string.h>

enum err
media_parse_type(struct slice content_type, enum event_format *ret_format)
{
    static const struct {
        const char *name;
        enum event_format format;
    } types[] = {
        {"application/json", EVENT_FORMAT_JSON},
        {"text/plain", EVENT_FORMAT_JSON},
        {"application/x-www-form-urlencoded", EVENT_FORMAT_JSON},
        {"application/x-ndjson", EVENT_FORMAT_NDJSON},
    };
    const char *semicolon;

    if (content_type.ptr == NULL || content_type.len == 0) {
        *ret_format = EVENT_FORMAT_JSON;
        return ERR_OK;
    }
    semicolon = memchr(content_type.ptr, ';', content_type.len);
    if (semicolon != NULL)
        content_type =
            slice_trim(slice_of(content_type.ptr, (size_t)(semicolon - content_type.ptr)));
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (slice_equal_nocase(content_type, slice_of_text(types[i].name))) {
            *ret_format = types[i].format;
            return ERR_OK;
        }
    }
    return ERR_UNSUPPORTED_MEDIA_TYPE;
}

enum err
media_parse_encoding(struct slice content_encoding, enum media_encoding *ret_encoding)
{
    static const struct {
        const char *name;
        enum media_encoding encoding;
    } encodings[] = {
        {"identity", MEDIA_IDENTITY},
        {"gzip", MEDIA_GZIP},
        {"x-gzip", MEDIA_GZIP},
        {"zstd", MEDIA_ZSTD},
    };

    if (content_encoding.ptr == NULL || content_encoding.len == 0) {
        *ret_encoding = MEDIA_IDENTITY;
        return ERR_OK;
    }
    for (size_t i = 0; i < COUNT_OF(encodings); i++) {
        if (slice_equal_nocase(content_encoding, slice_of_text(encodings[i].name))) {
            *ret_encoding = encodings[i].encoding;
            return ERR_OK;
        }
    }
    return ERR_UNSUPPORTED_ENCODING;
}
