/*
 * import_row - from a row of a file to one event as a line of JSON: the rules of `potik import`.
 *
 * Layer 8, the main thread; pure. CSV: columns named like event fields are these fields, as text;
 * `occurred_at` of digits alone is milliseconds; `properties` is a JSON object; every other column
 * becomes a property: a number if the cell is a JSON number of at most 15 digits that every store
 * can hold, true or false, else text; an empty cell is absent. NDJSON: the line as it stands. A row
 * without an event_id gets one (import_ids.h): of a CSV row from its cells under sorted column
 * names, so that the order of columns does not matter; of a line from its bytes.
 *
 * Nothing is repaired here: bytes that are not UTF-8, bad times and the like go to the server as
 * they are, which refuses them by name. Refused here is only what cannot be sent as one event.
 */
#ifndef POTIK_CLI_IMPORT_ROW_H
#define POTIK_CLI_IMPORT_ROW_H

#include "base/buf.h"
#include "base/diag.h"
#include "cli/flags.h"
#include "cli/import_ids.h"

#define IMPORT_COLUMNS_MAX 4096

struct import_columns;
/*
 * From the header. ERR_INVALID: a column without a name or twice, no event_type, neither user_id
 * nor anonymous_id, a --text column that is not there; told in `diag`. ERR_NOMEM.
 */
MUST_USE enum err
import_columns_new(const struct slice *names, uint32_t count, const struct flag_texts *text_columns,
                   struct import_columns **ret_columns, struct diag *diag);
void import_columns_free(struct import_columns **columns);

/*
 * Appends the line with its LF to `line`. ERR_INVALID_TYPE, ERR_INVALID_JSON: the row is refused
 * (why, in `diag`), `line` is as it was. ERR_NOMEM, ERR_FULL.
 */
MUST_USE enum err
import_row_csv(struct import_columns *columns, const struct slice *cells, uint32_t count,
               struct import_ids *ids, struct buf *line, struct diag *diag);
/* The same of one line of NDJSON (trimmed, not empty). ERR_NOMEM, ERR_FULL. */
MUST_USE enum err import_row_ndjson(struct slice text, struct import_ids *ids, struct buf *line);

/* The cells as one CSV row again, with LF: for the file of refused rows. */
void import_row_add_csv(struct buf *buf, const struct slice *cells, uint32_t count, char delimiter);

#endif
