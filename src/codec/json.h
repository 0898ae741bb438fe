/*
 * json - JSON as a tree, for whoever reads replies, manifests and settings. Not for events: those
 * are read by json_reader, without a tree.
 *
 * Layer 1, over simdjson's DOM (json.cc, the one C++ file of the house). A document serves one
 * thread at a time; values and texts point into it and hold until it parses again or is freed.
 * After a large text its memory, up to 12 times the input, is given back at the next parse. Numbers
 * that are no int64, uint64 or finite double are refused, and so are lone surrogates. Repeated keys
 * are kept: json_get finds the first.
 */
#ifndef POTIK_CODEC_JSON_H
#define POTIK_CODEC_JSON_H

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum json_kind {
    JSON_NULL,
    JSON_BOOLEAN,
    JSON_INTEGER,  /* fits int64 */
    JSON_UNSIGNED, /* fits uint64 alone */
    JSON_DOUBLE,
    JSON_TEXT,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json_document;
struct json_value {
    const void *inside;
    uint64_t place;
};

MUST_USE enum err json_document_new(struct json_document **ret_document, struct diag *diag);
void json_document_free(struct json_document **document);
/* ERR_INVALID_JSON, ERR_INVALID_UTF8, ERR_INVALID_NUMBER, ERR_TOO_DEEP (over 64), ERR_NOMEM. `text`
 * is copied. */
MUST_USE enum err json_parse(struct json_document *document, struct slice text,
                             struct json_value *ret_value, struct diag *diag);

enum json_kind json_kind(struct json_value value);
/* false: the value is of another kind (or, for numbers, not exactly such a number). */
MUST_USE bool json_as_text(struct json_value value, struct slice *ret_text);
MUST_USE bool json_as_i64(struct json_value value, int64_t *ret_number);
MUST_USE bool json_as_u64(struct json_value value, uint64_t *ret_number);
MUST_USE bool
json_as_double(struct json_value value, double *ret_number); /* integers too, rounded */
MUST_USE bool json_as_bool(struct json_value value, bool *ret_bool);
/* false: no object, or no such key. */
MUST_USE bool json_get(struct json_value object, const char *key, struct json_value *ret_value);

/*
 *     struct json_items items = json_items_of(value);   // none if it is neither array nor object
 *     while (json_items_next(&items, &key, &item)) …    // key: ptr NULL in an array
 */
struct json_items {
    struct json_value at;
    struct json_value end;
    bool is_object;
};
struct json_items json_items_of(struct json_value value);
MUST_USE bool
json_items_next(struct json_items *items, struct slice *ret_key, struct json_value *ret_value);

#ifdef __cplusplus
}
#endif

#endif
