/*
 * query - what the metrics share: one running question, its types, buckets, parts and rows.
 *
 * Layer 5, private to metric/. A metric is one file with a `run` that fills a result; metric.c
 * lists them, params.c says which parameters each takes.
 */
#ifndef POTIK_METRIC_QUERY_H
#define POTIK_METRIC_QUERY_H

#include "metric/metric.h"

enum metric_id { METRIC_DAU, METRIC_TOP_EVENTS, METRIC_RETENTION, METRIC_COUNT };

struct metric_query {
    struct warehouse_view *view;
    const struct metric_params *params;
    uint32_t parts;
    struct query_control *control;
    struct arena *arena;
    struct diag *diag;
};

struct metric {
    enum metric_id id;
    const char *name;
    /* In csv and ndjson, `partial` is the first partial offset (of columns after offset_column),
     * not a boolean. */
    bool is_partial_an_offset;
    int32_t offset_column;
    enum err (*run)(const struct metric_query *query, struct metric_result *result);
};

enum err metric_run_active_users(const struct metric_query *query, struct metric_result *result);
enum err metric_run_top_events(const struct metric_query *query, struct metric_result *result);
enum err metric_run_retention(const struct metric_query *query, struct metric_result *result);

/* --- types
 * --------------------------------------------------------------------------------------*/

/* Event types asked for, as ids of the view. */
struct query_types {
    const uint32_t *ids; /* NULL: any */
    uint32_t count;
    bool is_none; /* names were given, and no event has any of them: nothing to scan */
};
MUST_USE enum err query_types_find(const struct metric_query *query,
                                   const struct metric_texts *texts, struct query_types *ret_types);

/* --- parts
 * --------------------------------------------------------------------------------------*/

/* One zeroed state a part, from base/mem, so that no two threads share a cache line of counts. */
struct query_parts {
    void *states[METRIC_PARTS_MAX];
    uint32_t count;
};
MUST_USE enum err query_parts_new(struct query_parts *parts, uint32_t count, size_t bytes);
void query_parts_fini(struct query_parts *parts);

/* --- buckets
 * ------------------------------------------------------------------------------------*/

/*
 * A run of buckets and the way from an instant to its bucket. Time is cut into slots of 2^shift µs,
 * shorter than a bucket; slots[s] is the bucket that holds the slot's first instant, and from there
 * the right one is at most a step or two ahead. No division, no search, whatever the zone does.
 */
struct buckets {
    const int64_t *starts_us; /* count + 1 of them, never falling; equal: a day the zone skipped */
    const uint16_t *slots;
    uint32_t count;
    uint32_t shift;
};
#define BUCKETS_MAX 4096
/* Buckets first … first + count − 1 (numbers of calendar.h), 1 ≤ count ≤ BUCKETS_MAX. ERR_NOMEM. */
MUST_USE enum err buckets_make(const struct zone *zone, enum calendar_unit unit, int32_t first,
                               uint32_t count, struct arena *arena, struct buckets *ret_buckets);
/* starts_us[0] <= unix_us < starts_us[count]. */
static inline uint32_t
buckets_find(const struct buckets *buckets, int64_t unix_us)
{
    uint64_t slot = (uint64_t)(unix_us - buckets->starts_us[0]) >> buckets->shift;
    uint32_t bucket = buckets->slots[slot];

    while (unix_us >= buckets->starts_us[bucket + 1])
        bucket++;
    return bucket;
}
static inline bool
buckets_hold(const struct buckets *buckets, int64_t unix_us)
{
    return unix_us >= buckets->starts_us[0] && unix_us < buckets->starts_us[buckets->count];
}

/* --- the result
 * ---------------------------------------------------------------------------------*/

/* Room for everything the result will hold; the counts are set, cells are null. ERR_NOMEM. */
MUST_USE enum err
result_make(const struct metric_query *query, uint32_t columns, uint32_t rows,
            uint32_t partials_max, uint32_t summaries, struct metric_result *result);
void result_set_column(struct metric_result *result, uint32_t column, struct slice name,
                       enum metric_type type);
struct metric_cell *result_cell(struct metric_result *result, uint32_t row, uint32_t column);
void result_add_partial(struct metric_result *result, uint32_t row, int32_t column);
void result_set_summary(struct metric_result *result, uint32_t i, const char *name,
                        struct metric_cell *cells, uint32_t count, bool is_list);

static inline struct metric_cell
cell_integer(uint64_t value)
{
    return (struct metric_cell){.kind = METRIC_CELL_INTEGER, .value.integer = value};
}
static inline struct metric_cell
cell_day(int32_t day)
{
    return (struct metric_cell){.kind = METRIC_CELL_DAY, .value.day = day};
}
__extension__ typedef unsigned __int128 uint128;
/* numerator / denominator with 2 decimals, rounded half up; denominator 0: null. */
struct metric_cell cell_ratio(uint128 numerator, uint128 denominator);

/* --- rendering
 * ----------------------------------------------------------------------------------*/

/* The object `params` of the reply (params.c, by the table). */
void metric_params_write(const struct metric_params *params, struct buf *body);
void metric_text_write(struct slice text, struct buf *body); /* as a JSON string, quotes included */
/* "2026-01-31T12:00:00.000000Z", NUL-terminated */
#define METRIC_TIME_TEXT 32
void metric_time_format(int64_t unix_us, char ret_text[METRIC_TIME_TEXT]);

#endif
