/*
 * warehouse - the analytic side: the only door to DuckDB. Loads the stream, seals it into Parquet
 * files, answers scans over one deduplicated set.
 *
 * Layer 4. Threads: the loader (warehouse_load_step) and the keeper (warehouse_keep_step) are run
 * by app/lifecycle, one each; views are opened by query threads. A view holds one consistent set
 * (manifest + tails) from open to close; ingest never waits for it.
 *
 * seq: where the store numbers its events, that number. Else the loader counts the events of each
 * project as it reads them, 1, 2, 3 …: the same on every node (they read in the same order), for as
 * long as the store's past stays as it is. What was restored or lost changes it: a seq belongs to
 * the generation in which it was told.
 */
#ifndef POTIK_WAREHOUSE_WAREHOUSE_H
#define POTIK_WAREHOUSE_WAREHOUSE_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/log.h"
#include "event/event.h"
#include "store/store.h"

struct warehouse_config {
    const char *data_dir; /* warehouse/<project id>/ stands in it */
    struct store *store;
    uint32_t query_threads;      /* DuckDB threads of the query instance */
    uint64_t memory_limit_bytes; /* of DuckDB, each instance */
    uint32_t seal_rows;          /* 500,000 */
    uint64_t seal_bytes;         /* 128 MiB of input */
    uint64_t tail_bytes_max;     /* all tails together: min(512 MiB, RAM / 8) */
    int64_t seal_idle_ms;        /* a small tail is sealed after it: 5 min */
    const struct clock *clock;
    const struct log_sink *sink;
};

struct warehouse;
/* Opens what stands there; what is missing, damaged, of an older layout, of another ledger, or
 * covers more than the store holds is discarded and loaded again from the store by the loader.
 * ERR_IO, ERR_NOMEM, ERR_TOO_NEW, ERR_STORAGE_FULL. */
MUST_USE enum err warehouse_open(const struct warehouse_config *config,
                                 struct warehouse **ret_warehouse, struct diag *diag);
/* Any thread: a merge under way is called off and warehouse_keep_step gives ERR_CANCELLED from now
 * on, so that the keeper can be joined at once. */
void warehouse_stop(struct warehouse *warehouse);
/* Loader and keeper joined, views closed. Seals tails for at most seal_ms_max (largest first). */
void warehouse_close(struct warehouse **warehouse, int64_t seal_ms_max);

/* Loader thread: waits up to wait_ms for something new, loads one page, seals what is due. On error
 * it is called again a while later; nothing is lost (the caller runs store_maintain_fast beside
 * it). */
MUST_USE enum err
warehouse_load_step(struct warehouse *warehouse, int64_t wait_ms, struct diag *diag);
/* Keeper thread: one piece of compaction, scrub or clean-up. */
MUST_USE enum err
warehouse_keep_step(struct warehouse *warehouse, bool *ret_did_work, struct diag *diag);
/* `potik rebuild`: forget everything derived; the loader starts over. Server stopped. */
MUST_USE enum err warehouse_discard(const char *data_dir, struct diag *diag);
/* Reads all that is derived, beside a running server too. ERR_CORRUPT: an error was found; derived
 * state that was discarded and will be made anew is none. */
MUST_USE enum err
warehouse_doctor(const char *data_dir,
                 void (*found)(void *state, bool is_error, const char *file, const char *what),
                 void *state, struct diag *diag);

/*
 * Erasing: on the keeper's thread, one at a time, in steps, after the store has erased the same
 * selection up to `position`. Waits (a step that does no work) until the loader has come so far and
 * has sealed the project's tail; then every file with selected rows is written anew without them.
 * Done only when the old files are unlinked: no query holds them any more. Views opened before go
 * on as they were. What was not finished is begun again from the start, with the same selection.
 */
struct warehouse_erasure {
    struct selection selection; /* as of store_erase_bound; borrowed until closed */
    struct store_position position;
};
struct warehouse_erasure_progress {
    uint64_t rows; /* erased by this run so far */
    uint32_t done; /* of `total`: files looked through */
    uint32_t total;
};
struct warehouse_erase;
MUST_USE enum err
warehouse_erase_open(struct warehouse *warehouse, const struct warehouse_erasure *erasure,
                     struct warehouse_erase **ret_erase, struct diag *diag);
/* *ret_did_work false: it waits; call again a while later. ERR_IO, ERR_NOMEM, ERR_STORAGE_FULL,
 * ERR_CANCELLED (warehouse_stop); after an error it may be called again. */
MUST_USE enum err
warehouse_erase_step(struct warehouse_erase *erase, bool *ret_did_work, bool *ret_is_done,
                     struct warehouse_erasure_progress *ret_progress, struct diag *diag);
void warehouse_erase_close(struct warehouse_erase **erase); /* takes NULL; at any time */

/*
 * Where it is not known any more what was erased: all that was derived of the project is let go,
 * and loaded anew from a store that has erased already. On the keeper's thread, or before it runs.
 * From warehouse_reload on no view of the project opens (ERR_NOT_READY) until the loader has
 * discarded what was there; then it is as with any project being loaded again. ERR_IO, ERR_NOMEM:
 * nothing changed.
 */
MUST_USE enum err
warehouse_reload(struct warehouse *warehouse, uint32_t project_id, struct diag *diag);
/* *ret_is_done: nothing stands in the project's folder of what was there before, and where rows
 * come no more, no folder; false: call it again a while later. Rows may still be coming. ERR_IO,
 * ERR_NOMEM: call it again. */
MUST_USE enum err warehouse_reload_step(struct warehouse *warehouse, uint32_t project_id,
                                        bool *ret_is_done, struct diag *diag);

struct warehouse_stats {
    uint64_t rows; /* loaded, all projects */
    uint64_t files;
    uint64_t file_bytes;
    uint64_t tail_rows;
    uint64_t tail_bytes;
    uint64_t persons;
    struct store_position loaded;
    /* Age of the oldest event known to be durable and not loaded; 0 when caught up. While the store
     * is away nothing becomes known: 0 stays 0; what was acknowledged and not loaded grows older.
     */
    double lag_s;
};
void warehouse_stats(struct warehouse *warehouse, struct warehouse_stats *ret_stats);

/* --- reading ----------------------------------------------------------------------------------*/

/* When a query must stop. Checked at least every 100 ms of work; interrupts DuckDB. */
struct query_control {
    int64_t deadline_steady_ns;
    _Atomic bool is_cancelled;
};

struct warehouse_watermark {
    struct store_position position; /* everything stored at or before it is counted */
    int64_t received_at_us;         /* of the newest event loaded (any project); 0: none */
    int64_t lag_ms;
};

struct warehouse_view;
/* `min_position`: NULL, or waits up to wait_ms until loaded, else ERR_BEHIND; of another ledger, or
 * from before the store was restored: ERR_INVALID_PARAMETER. A project without events: an empty
 * view. ERR_NOT_READY: see warehouse_reload. */
MUST_USE enum err warehouse_view_open(struct warehouse *warehouse, uint32_t project_id,
                                      const struct store_position *min_position, int64_t wait_ms,
                                      struct warehouse_view **ret_view, struct diag *diag);
void warehouse_view_close(struct warehouse_view **view);
struct warehouse_watermark warehouse_view_watermark(const struct warehouse_view *view);
/* The greatest seq of the view; 0: no events. */
uint64_t warehouse_view_seq_max(const struct warehouse_view *view);
/*
 * For a store without numbers: the seq of the last event at or before a position that it told
 * (minor 0), so that warehouse_after goes on there. Exact for what is not sealed yet and for
 * positions at a seal; of an older position some events before it may follow again, never is one
 * left out.
 */
uint64_t warehouse_view_seq_at(const struct warehouse_view *view, struct store_position position);
/* Earliest received_at retained, 0 if none: "ever" in first-ever means since then. */
int64_t warehouse_view_history_from_us(const struct warehouse_view *view);

/* Event types of the project: dense ids 0 … count−1, stable for ever within a project's layout. */
uint32_t warehouse_view_type_count(const struct warehouse_view *view);
struct slice warehouse_view_type_name(const struct warehouse_view *view, uint32_t type_id);
/* false: no event of that type was ever loaded. */
bool warehouse_view_type_find(const struct warehouse_view *view, struct slice name,
                              uint32_t *ret_type_id);

/*
 * What was seen of the project, of names and types of JSON: learnt as rows are loaded. Types and
 * properties are bounded (learnt.h): is_complete says whether all of a type's are there. Counts are
 * of rows loaded, those erased since included, until the project is loaded anew.
 */
enum warehouse_learnt_kind {
    WAREHOUSE_LEARNT_NULL,
    WAREHOUSE_LEARNT_BOOLEAN,
    WAREHOUSE_LEARNT_INTEGER, /* without a fraction: 1, 1.0, 1e2 */
    WAREHOUSE_LEARNT_NUMBER,
    WAREHOUSE_LEARNT_STRING,
    WAREHOUSE_LEARNT_ARRAY,
    WAREHOUSE_LEARNT_OBJECT,
    WAREHOUSE_LEARNT_KINDS
};
#define WAREHOUSE_LEARNT_PROPERTIES_MAX 200 /* of a type */
struct warehouse_learnt_type {
    struct slice name;
    uint64_t count;
    int64_t first_us; /* of received_at */
    int64_t last_us;
    bool is_complete;
    uint32_t property_count;
    struct {
        struct slice name;
        uint64_t counts[WAREHOUSE_LEARNT_KINDS];
    } properties[WAREHOUSE_LEARNT_PROPERTIES_MAX];
};
typedef void warehouse_learnt_fn(void *state, const struct warehouse_learnt_type *type);
/* Types in order of their first event. The loader waits meanwhile: `each` only notes down. */
void warehouse_learnt(struct warehouse_view *view, warehouse_learnt_fn *each, void *state);

/*
 * The person-ordered scan: all events with from_us <= occurred_at < to_us and (types NULL: any
 * type, else one of them), ordered by (person, occurred_at, seq), handed over in chunks to a fold.
 * With parts > 1 the persons are split into disjoint ranges, scanned by as many threads; each part
 * sees whole persons. Columns not asked for are NULL.
 */
struct warehouse_rows {
    const uint32_t *person;        /* always */
    const int64_t *occurred_at_us; /* always */
    const uint32_t *type_id;       /* if wants_type */
    uint32_t count;
};
struct warehouse_scan {
    int64_t from_us;
    int64_t to_us;
    const uint32_t *types; /* type ids; NULL = any */
    uint32_t type_count;
    bool wants_type;
    uint32_t parts; /* 1 … 64; the engine may use fewer */
    /* Rows in order, called from the part's own thread. An error ends the scan with it. */
    enum err (*rows)(void *part_state, const struct warehouse_rows *rows);
    void **part_states; /* parts of them */
};
/* ERR_QUERY_TIMEOUT, ERR_CANCELLED, ERR_IO, ERR_CORRUPT, ERR_NOMEM, or what `rows` gave. */
MUST_USE enum err warehouse_scan(struct warehouse_view *view, const struct warehouse_scan *scan,
                                 struct query_control *control, struct diag *diag);

/*
 * First ever: for every person with an event of any of `types` (NULL: any type), the earliest
 * occurred_at in the retained life, ordered by person, in chunks as above (rows->type_id NULL).
 * Splits as warehouse_scan does, by the same ranges when `parts` is equal within one view.
 */
MUST_USE enum err
warehouse_scan_first(struct warehouse_view *view, const struct warehouse_scan *scan,
                     struct query_control *control, struct diag *diag);

/* Stored fields of one event, for /v1/events and timelines. Slices live during the call only. */
typedef enum err warehouse_event_fn(void *state, const struct event *event, uint64_t seq);
/* The newest `limit` by received order (seq), newest first. */
MUST_USE enum err
warehouse_newest(struct warehouse_view *view, uint32_t limit, struct query_control *control,
                 warehouse_event_fn *each, void *state, struct diag *diag);
/* Events with seq > after_seq in order of seq, at most `limit`: `potik tail`. */
MUST_USE enum err warehouse_after(struct warehouse_view *view, uint64_t after_seq, uint32_t limit,
                                  struct query_control *control, warehouse_event_fn *each,
                                  void *state, struct diag *diag);
/* One person's events before (occurred_at, seq), newest first, at most `limit`. Unknown: no rows.
 */
MUST_USE enum err
warehouse_person_events(struct warehouse_view *view, struct slice person_key, int64_t before_us,
                        uint64_t before_seq, uint32_t limit, struct query_control *control,
                        warehouse_event_fn *each, void *state, struct diag *diag);
/* How many events of the view have from_us <= received_at < to_us; both within 0 … 9·10^18. */
MUST_USE enum err
warehouse_count_received(struct warehouse_view *view, int64_t from_us, int64_t to_us,
                         struct query_control *control, uint64_t *ret_events, struct diag *diag);

#endif
