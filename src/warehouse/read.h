/*
 * read - whole rows of a file, as sql/warehouse/{read-all,newest-rows,rows-after,person-rows}.sql
 * give them.
 *
 * Layer 4. Shared by queries for single events and by merging.
 */
#ifndef POTIK_WAREHOUSE_READ_H
#define POTIK_WAREHOUSE_READ_H

#include "warehouse/inside.h"

enum read_column { /* the order of the statements' columns */
                   READ_PERSON,
                   READ_OCCURRED_AT,
                   READ_SEQ,
                   READ_TYPE_ID,
                   READ_RECEIVED_AT,
                   READ_EVENT_ID,
                   READ_EVENT_TYPE,
                   READ_USER_ID,
                   READ_ANONYMOUS_ID,
                   READ_SESSION_ID,
                   READ_PROPERTIES
};
/* Slices live until the stream's next chunk. */
void read_row(const struct engine_chunk *chunk, uint32_t row, struct event *ret_event,
              uint64_t *ret_seq);

#endif
