/*
 * merge_feed - whole rows of several sorted files as one sorted feed, for merging.
 *
 * Layer 4, the keeper's thread.
 */
#ifndef POTIK_WAREHOUSE_MERGE_FEED_H
#define POTIK_WAREHOUSE_MERGE_FEED_H

#include "warehouse/file_write.h"

#define MERGE_FILES_MAX 16

struct merge_input {
    struct engine_stream *stream;
    struct engine_chunk chunk;
    uint32_t at;
};
struct merge_feed {
    struct row_feed rows; /* first; facts count what passed since the last merge_feed_next_file */
    struct engine_guard *guard;
    struct merge_input inputs[MERGE_FILES_MAX];
    uint32_t count;    /* of inputs that still give rows */
    uint64_t rows_cut; /* at this many rows the feed ends, with the person at hand; 0: never */
    uint32_t last_person;
    bool is_done;                   /* nothing is left for another file */
    const struct selection *erased; /* rows of it are left out; NULL: none */
    uint64_t erased_rows;
};
/* Opens the streams over rows with from_us <= occurred_at < to_us. ERR_CORRUPT, ERR_IO, ERR_NOMEM.
 */
MUST_USE enum err
merge_feed_open(struct merge_feed *feed, struct engine *engine, struct engine_guard *guard,
                struct data_file *const *files, uint32_t count, int64_t from_us, int64_t to_us,
                struct diag *diag);
/* The feed goes on where it was cut, for the next file. */
void merge_feed_next_file(struct merge_feed *feed);
void merge_feed_close(struct merge_feed *feed);

#endif
