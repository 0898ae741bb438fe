/*
 * body - a small JSON body as one flat object of known fields.
 *
 * Layer 6, any thread, pure. A typo must not be lost: unknown, repeated and wrongly typed fields
 * are refused by name. null means absent.
 */
#ifndef POTIK_API_BODY_H
#define POTIK_API_BODY_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"

enum body_type { BODY_TEXT, BODY_BOOL, BODY_INTEGER, BODY_TEXTS };
struct body_field {
    const char *name;
    enum body_type type;
    bool is_required;
};
/* In the order of the fields. Texts lie in the arena. */
struct body_value {
    bool is_given;
    bool truth;
    int64_t number;
    struct slice text;
    struct slice *texts;
    uint32_t text_count;
};

#define BODY_FIELDS_MAX 16
#define BODY_TEXTS_MAX 100000 /* of one list */

/* ERR_EMPTY_BODY, ERR_INVALID_JSON, ERR_UNKNOWN_FIELD, ERR_DUPLICATE_KEY, ERR_INVALID_TYPE,
 * ERR_MISSING_FIELD, ERR_NUL_CHARACTER (all told with the field), ERR_NOMEM. */
MUST_USE enum err
body_read(struct slice json, const struct body_field *fields, uint32_t field_count,
          struct arena *arena, struct body_value *ret_values, struct diag *diag);

#endif
