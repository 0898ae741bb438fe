/*
 * engine - DuckDB as a library that scans and writes Parquet: the only place that calls duckdb_*.
 *
 * Layer 4. An engine is one in-memory instance without tables of its own; our files are read by
 * path, our rows are fed in by a table function (engine_feed). Each stream has a connection of its
 * own, so any thread may run its own streams. Extensions are neither loaded nor installed. After a
 * FATAL error DuckDB refuses everything further: the instance is then replaced by a fresh one
 * (nothing is lost, since no state of ours lives in it), streams of the old one end with an error,
 * and the next query works.
 *
 * DuckDB's facts this stands on are listed in docs/adr/0004-warehouse.md.
 */
#ifndef POTIK_WAREHOUSE_ENGINE_H
#define POTIK_WAREHOUSE_ENGINE_H

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"
#include "warehouse/warehouse.h"
#include <pthread.h>
#include <stdint.h>

#define ENGINE_COLUMNS_MAX 16

struct engine_config {
    const char *temp_dir; /* for sorts larger than memory; created by DuckDB when used */
    uint32_t threads;     /* workers inherit the priority of the thread that opens */
    uint64_t memory_limit_bytes;
};
struct engine;
MUST_USE enum err
engine_open(const struct engine_config *config, struct engine **ret_engine, struct diag *diag);
/* Its streams are closed before. */
void engine_close(struct engine **engine);
uint64_t engine_reopened_count(const struct engine *engine);
/* Tests: the next statement ends with a FATAL error. */
void engine_inject_fatal(struct engine *engine);

/* --- stopping ----------------------------------------------------------------------------------
 */

/*
 * What one query runs under: once stopped, its streams are interrupted again and again until they
 * return, and every call under it gives the guard's error. An interrupt that meets a connection
 * between two statements is lost to DuckDB, hence the flag and the repetition.
 */
struct engine_guard {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct engine_link *links; /* connections in use */
    _Atomic int err;           /* ERR_OK while not stopped */
    uint32_t running;          /* jobs under way */
};
void engine_guard_init(struct engine_guard *guard);
void engine_guard_fini(struct engine_guard *guard);
/* The first error stays. */
void engine_guard_stop(struct engine_guard *guard, enum err err);

/*
 * Runs jobs[0 … count−1], each on a thread of its own (of the caller's priority), and watches
 * deadline and cancellation meanwhile. Gives the first error: of a job, ERR_QUERY_TIMEOUT,
 * ERR_CANCELLED.
 */
struct engine_job {
    enum err (*run)(struct engine_job *job, struct diag *diag);
    struct engine_guard *guard;
    struct diag diag;
};
MUST_USE enum err engine_run_jobs(struct engine_guard *guard, struct query_control *control,
                                  struct engine_job **jobs, uint32_t count, struct diag *diag);

/* --- reading -----------------------------------------------------------------------------------
 */

struct engine_chunk {
    uint32_t rows; /* 0: the end */
    uint32_t column_count;
    const void
        *columns[ENGINE_COLUMNS_MAX]; /* arrays of the column's C type; texts by engine_text */
    const uint64_t *validity[ENGINE_COLUMNS_MAX]; /* NULL: no NULLs */
};
/* A VARCHAR; absent where NULL. Valid until the stream's next chunk. */
struct slice engine_text(const struct engine_chunk *chunk, uint32_t column, uint32_t row);

struct engine_stream;
/* `guard` may be NULL. Errors: the guard's, ERR_CORRUPT (the file is not Parquet, or rotten),
 * ERR_IO, ERR_NOMEM, ERR_STORAGE_FULL; words in diag. */
MUST_USE enum err
engine_stream_open(struct engine *engine, struct engine_guard *guard, const char *sql,
                   struct engine_stream **ret_stream, struct diag *diag);
MUST_USE enum err
engine_stream_next(struct engine_stream *stream, struct engine_chunk *ret_chunk, struct diag *diag);
void engine_stream_close(struct engine_stream **stream); /* takes NULL */

/* A statement without rows (COPY). */
MUST_USE enum err engine_execute(struct engine *engine, struct engine_guard *guard, const char *sql,
                                 struct diag *diag);

/* --- feeding -----------------------------------------------------------------------------------
 */

enum engine_type { ENGINE_U32, ENGINE_U64, ENGINE_TIME, ENGINE_TEXT };
struct engine_column {
    const char *name;
    enum engine_type type;
};
/* Where a feed puts up to `capacity` rows. */
struct engine_sheet {
    uint32_t capacity;
    uint32_t rows; /* set by fill */
    void *columns[ENGINE_COLUMNS_MAX];
    uint64_t *nulls[ENGINE_COLUMNS_MAX]; /* text columns: validity bits, all set at first */
    void *vectors[ENGINE_COLUMNS_MAX];   /* the engine's own */
};
/* Points to `text`, which must live until the statement ends (12 bytes and less are copied). */
void engine_put_text(struct engine_sheet *sheet, uint32_t column, uint32_t row, struct slice text);
/* A copy of `text`, which may go after the call. */
void
engine_put_text_copy(struct engine_sheet *sheet, uint32_t column, uint32_t row, struct slice text);
/*
 * Rows of ours inside SQL: `feed({feed})`, the placeholder being engine_feed_number(). Read once,
 * by one thread, in order. An error of `fill` ends the statement with that error.
 */
struct engine_feed {
    const struct engine_column *columns;
    uint32_t column_count;
    uint64_t rows; /* how many will come, about */
    enum err (*fill)(struct engine_feed *feed, struct engine_sheet *sheet, struct diag *diag);
    enum err err;
    struct diag diag;
};
/* As engine_execute, with a feed. `sql` has {feed} in it. */
MUST_USE enum err engine_execute_feed(struct engine *engine, struct engine_guard *guard,
                                      const char *sql, struct engine_feed *feed, struct diag *diag);

#endif
