/*
 * import_ids - ids for rows that bring none: the same file gives the same ids, so that importing it
 * again stores nothing new.
 *
 * Layer 8, the main thread. An id is `imp-` and, in hexadecimal, BLAKE2b-128 of the row's bytes and
 * its ordinal (0, 1 …, 4 bytes, little-endian) among the rows of that file with equal bytes: two
 * equal purchases are two events. Ordinals are counted by 64 bits of the row's own hash; should two
 * different rows share these, the second gets ordinal 1, in every import alike, and the ids differ
 * anyway. Costs 12 bytes a slot, at most two thirds filled: 18 to 36 bytes a row.
 */
#ifndef POTIK_CLI_IMPORT_IDS_H
#define POTIK_CLI_IMPORT_IDS_H

#include "base/err.h"
#include "base/slice.h"
#include <stdint.h>

#define IMPORT_ID_BYTES 36 /* "imp-" and 32 digits, without a NUL */

struct import_ids;
MUST_USE enum err import_ids_new(struct import_ids **ret_ids);
void import_ids_free(struct import_ids **ids);
/* The next row of the file. ERR_NOMEM; ERR_FULL: over 2^30 rows without ids. */
MUST_USE enum err
import_ids_next(struct import_ids *ids, struct slice row, char ret_id[IMPORT_ID_BYTES]);

#endif
