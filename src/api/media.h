/*
 * media - what a request says its body is: Content-Type and Content-Encoding.
 *
 * Layer 6, any thread, pure. Sources: RFC 9110, sections 8.3 and 8.4; the HTTP contract, "Ingest".
 */
#ifndef POTIK_API_MEDIA_H
#define POTIK_API_MEDIA_H

#include "base/err.h"
#include "base/slice.h"
#include "event/decode.h"

enum media_encoding { MEDIA_IDENTITY, MEDIA_GZIP, MEDIA_ZSTD };

/*
 * Absent, application/json, text/plain and application/x-www-form-urlencoded (curl's default) are
 * JSON; application/x-ndjson is lines. Parameters (`; charset=utf-8`) are not looked at.
 * ERR_UNSUPPORTED_MEDIA_TYPE.
 */
MUST_USE enum err media_parse_type(struct slice content_type, enum event_format *ret_format);
/* Absent, identity, gzip, x-gzip, zstd; one of them, in any case. ERR_UNSUPPORTED_ENCODING. */
MUST_USE enum err
media_parse_encoding(struct slice content_encoding, enum media_encoding *ret_encoding);
#endif
