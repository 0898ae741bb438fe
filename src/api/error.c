/*
 * error - the error body. See error.h.
 */
#include "api/error.h"

#include "api/json.h"

#include <string.h>

/* Words about our own inside (files, memory) are for the log. */
static bool
is_internal(enum err err)
{
    return strcmp(err_code(err), "internal_error") == 0;
}

void
error_add_member(struct buf *body, enum err err, const char *message, const char *field,
                 struct slice request_id)
{
    bool has_message = message != NULL && message[0] != '\0' && !is_internal(err);

    buf_add_text(body, "\"error\":{\"code\":\"");
    buf_add_text(body, err_code(err));
    buf_add_text(body, "\",\"message\":");
    json_add_text(body, slice_of_text(has_message        ? message
                                      : is_internal(err) ? err_sentence(ERR_INTERNAL_ERROR)
                                                         : err_sentence(err)));
    buf_add_text(body, ",\"field\":");
    json_add_text(body, slice_of_text(field != NULL && field[0] != '\0' ? field : NULL));
    buf_add_text(body, ",\"request_id\":");
    json_add_text(body, request_id);
    buf_add_char(body, '}');
}

void
error_add_body(struct buf *body, enum err err, const char *message, const char *field,
               struct slice request_id)
{
    buf_add_char(body, '{');
    error_add_member(body, err, message, field, request_id);
    buf_add_text(body, "}\n");
}
