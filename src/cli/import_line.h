/*
 * import_line - one event as a line of JSON: where its event_id stands, and what it is.
 *
 * Layer 8; pure. The event is not judged here: of a line the server would refuse, for whatever
 * reason, there may be an id or none.
 */
#ifndef POTIK_CLI_IMPORT_LINE_H
#define POTIK_CLI_IMPORT_LINE_H

#include "base/arena.h"
#include "base/err.h"
#include <stdbool.h>

/* Where the id of an object stands. */
struct import_line_id {
    const char *inside; /* behind the opening brace */
    const char *value;  /* of `event_id`; NULL: there is no such key */
    const char *value_end;
    bool is_null;
    bool is_empty; /* {} */
};
/* false: not one JSON object. */
bool import_line_find_id(struct slice text, struct arena *arena, struct import_line_id *ret_place);
/*
 * The id, its escapes resolved, in the text or the arena; ptr NULL: there is none that the server
 * would take (a text of 1 … 128 bytes of UTF-8 without U+0000). ERR_NOMEM.
 */
MUST_USE enum err import_line_read_id(struct slice text, struct arena *arena, struct slice *ret_id);

#endif
