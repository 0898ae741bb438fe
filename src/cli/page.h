/*
 * page - one page of a list that the server gave: {"MEMBER":[…],"next":…, …}.
 *
 * Layer 8, the main thread, pure. Rows are given as they stand in the reply, so that what is
 * printed is the server's own text; only the outermost object is walked.
 */
#ifndef POTIK_CLI_PAGE_H
#define POTIK_CLI_PAGE_H

#include "base/err.h"
#include "base/slice.h"
#include <stdint.h>

/* Slices point into the body. *ret_next: the text of `next`; left as it was where that is null.
 * false: it is no such page, or has more than rows_max rows. */
MUST_USE bool page_read(struct slice body, const char *member, struct slice *ret_rows,
                        uint32_t rows_max, uint32_t *ret_count, struct slice *ret_next);

#endif
