/*
 * file_write - one sealed file and its minima, made from a feed of rows in order.
 *
 * Layer 4. Loader (seals) and keeper (merges). Order of things, since DuckDB's COPY neither syncs
 * nor renames: write NAME.tmp, sync, rename, sync the folder; what a manifest does not name is no
 * file.
 */
#ifndef POTIK_WAREHOUSE_FILE_WRITE_H
#define POTIK_WAREHOUSE_FILE_WRITE_H

#include "warehouse/inside.h"
#include "warehouse/source.h"

enum row_column {
    ROW_SEQ,
    ROW_EVENT_ID,
    ROW_EVENT_TYPE,
    ROW_TYPE_ID,
    ROW_PERSON,
    ROW_USER_ID,
    ROW_ANONYMOUS_ID,
    ROW_SESSION_ID,
    ROW_OCCURRED_AT,
    ROW_RECEIVED_AT,
    ROW_PROPERTIES,
    ROW_COLUMNS
};
extern const struct engine_column row_columns[ROW_COLUMNS];

/* Gathered as rows pass. */
struct row_facts {
    uint64_t rows;
    uint64_t seq_min;
    uint64_t seq_max;
    int64_t received_min_us;
};
static inline void
row_facts_add(struct row_facts *facts, uint64_t seq, int64_t received_at_us)
{
    if (facts->rows == 0 || seq < facts->seq_min)
        facts->seq_min = seq;
    if (facts->rows == 0 || received_at_us < facts->received_min_us)
        facts->received_min_us = received_at_us;
    if (seq > facts->seq_max)
        facts->seq_max = seq;
    facts->rows++;
}
struct row_feed {
    struct engine_feed feed; /* first; columns are row_columns */
    struct row_facts facts;
};

/*
 * Writes rows and minima. `facts` has number, level, covered and part; the rest is filled in.
 * `rows_again`: the same rows as a source, or NULL: they are read back from the file. No rows: no
 * file, facts->rows is 0. On error no file stays. ERR_STORAGE_FULL, ERR_IO, ERR_NOMEM, or what the
 * feed gave.
 */
MUST_USE enum err
file_write(const struct project *project, struct engine *engine, struct engine_guard *guard,
           const char *statement, struct row_feed *rows, struct source *rows_again,
           uint32_t type_count, struct manifest_file *facts, struct diag *diag);

#endif
