/*
 * source - rows ordered by (person, occurred_at, seq), a chunk at a time: from a file or from a
 * tail.
 *
 * Layer 4. One thread at a time. A source gives the rows of persons [person_from, person_to) that
 * pass the filter. Sources are merged in order of rank where person and time are equal: sets of
 * files never share both a moment and a stretch of seqs, so the file with the lower seqs comes
 * first and the tail last.
 */
#ifndef POTIK_WAREHOUSE_SOURCE_H
#define POTIK_WAREHOUSE_SOURCE_H

#include "warehouse/inside.h"

#define SOURCE_ROWS 2048
#define SOURCES_MAX 16 /* merged at once; more are sorted together first, in groups */

struct source_filter {
    int64_t from_us; /* from <= occurred_at < to */
    int64_t to_us;
    const uint32_t *types; /* NULL: any */
    uint32_t type_count;
    uint64_t person_from;
    uint64_t person_to;
};

struct source {
    /* The next chunk into the fields below; count 0: the end. */
    enum err (*next)(struct source *source, struct diag *diag);
    void (*free)(struct source *source);
    const uint32_t *person;
    const int64_t *occurred_at_us;
    const uint32_t *type_id; /* of minima too */
    uint32_t count;
    uint32_t at; /* the merge's place in the chunk */
};
void source_free(struct source **source); /* takes NULL */

/* Rows 0 … rows−1 of a tail. Holds the tail. */
MUST_USE enum err source_of_tail(struct tail *tail, uint32_t rows,
                                 const struct source_filter *filter, struct source **ret_source);
/* One or more files (several: sorted by DuckDB). is_first: their minima (time = first_at). The
 * files stay the caller's. */
MUST_USE enum err
source_of_files(struct engine *engine, struct engine_guard *guard, struct data_file *const *files,
                uint32_t count, bool is_first, const struct source_filter *filter,
                struct source **ret_source, struct diag *diag);

/* Gives the rows of all sources in order, in chunks. The guard's error ends it. */
typedef enum err source_rows_fn(void *state, const struct warehouse_rows *rows);
MUST_USE enum err
source_merge(struct source **sources, uint32_t count, bool wants_type, struct engine_guard *guard,
             source_rows_fn *rows, void *state, struct diag *diag);

#endif
