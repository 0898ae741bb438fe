/*
 * body - a small JSON body: gathered as it comes, then read as one flat object of known fields.
 *
 * Layer 6, on the loops; body_read is pure. What is neither known nor of its kind is refused by
 * name; null is the same as absent. Texts are valid UTF-8 without U+0000. Passwords come this way:
 * body_wipe when all has been taken over.
 */
#ifndef POTIK_API_BODY_H
#define POTIK_API_BODY_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define BODY_BYTES_MAX (64 * 1024)
#define BODY_FIELDS_MAX 16
#define BODY_TEXTS_MAX 10000 /* of one array */

enum body_kind { BODY_TEXT, BODY_BOOL, BODY_INTEGER, BODY_TEXTS };

struct body_field {
    const char *name;
    enum body_kind kind;
    bool is_required;
};

struct body_value {
    bool is_given;
    bool is_null; /* given as null: is_given is false */
    bool flag;
    int64_t integer;
    struct slice text; /* decoded; in the arena or in the body */
    struct slice *texts;
    size_t text_count;
};

/*
 * ret_values[i] is of fields[i]; count ≤ BODY_FIELDS_MAX. ERR_EMPTY_BODY, ERR_INVALID_JSON,
 * ERR_INVALID_UTF8, ERR_NUL_CHARACTER, ERR_INVALID_NUMBER, ERR_INVALID_TYPE, ERR_UNKNOWN_FIELD,
 * ERR_DUPLICATE_KEY, ERR_MISSING_FIELD, ERR_TOO_LONG (an array of over BODY_TEXTS_MAX), told with
 * the field; ERR_NOMEM. Of the arena it takes less than 4 times the JSON, and 1 MiB: a piece takes
 * 16 bytes at least, and an escaped key is one of 7.
 */
MUST_USE enum err body_read(struct slice json, const struct body_field *fields, size_t count,
                            struct arena *arena, struct body_value *ret_values, struct diag *diag);

/* What has come so far. Plain data in an arena. */
struct body {
    char *ptr;
    size_t len;
    size_t capacity;
    size_t bytes_max; /* 0: BODY_BYTES_MAX */
    enum err err;     /* the first; the rest is dropped */
};
void body_add(struct body *body, struct arena *arena, const char *bytes, size_t len);
void body_wipe(struct body *body);

/*
 * What the head may say: Content-Type absent or application/json, Content-Encoding absent or
 * identity, Content-Length (−1: unknown) not over BODY_BYTES_MAX.
 *
 * Ingest takes application/x-www-form-urlencoded and text/plain, too; not so here: those a form of
 * any site posts without asking first (a "simple request", WHATWG Fetch), and what comes here logs
 * in and changes accounts. The check of Origin refuses such requests as well; this is a second
 * lock.
 */
MUST_USE enum err body_check_head(struct slice content_type, struct slice content_encoding,
                                  int64_t content_length, const char **ret_message);

#endif
