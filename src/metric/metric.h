/*
 * metric - the questions: parameters in, one fold over the person-ordered scan, rows out.
 *
 * Layer 5. Called by api/stats (and by `potik stats` through HTTP): parse on any thread, run on a
 * query thread. Definitions of every number: docs/METRICS.md; shape of the reply: the HTTP
 * contract, "Stats".
 *
 *     metric = metric_find(SLICE("dau"));                                  // the last path segment
 *     metric_params_parse(metric, pairs, count, &context, arena, &params, &diag);  // 400 →
 * diag.field warehouse_view_open(…, params->has_min_position ? &params->min_position : NULL,
 *                         params->wait_ms, &view, &diag);
 *     metric_run(view, params, parts, control, arena, &result, &diag);
 *     metric_render(result, warehouse_view_watermark(view), &body);       // metric_content_type()
 *
 * `arena` holds parameters and result: give it at least METRIC_ARENA_BYTES to grow. What a fold
 * needs while it runs it takes from base/mem and gives back. `pairs` (their bytes too) and the
 * zones must outlive the params; the view must outlive the rendering (names of event types point
 * into it).
 */
#ifndef POTIK_METRIC_METRIC_H
#define POTIK_METRIC_METRIC_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"
#include "codec/calendar.h"
#include "codec/zone.h"
#include "warehouse/warehouse.h"

#define METRIC_ARENA_BYTES (16u * 1024 * 1024)
#define METRIC_RENDER_BYTES (16u * 1024 * 1024) /* enough for `bytes_max` of the body */
#define METRIC_PARTS_MAX 64
#define METRIC_WINDOWS_MAX 370
#define METRIC_WAIT_MS_MAX 10000

/* --- which metric -----------------------------------------------------------------------------*/

struct metric;
/* "dau", "top-events", "retention"; NULL: there is none of that name (404). */
const struct metric *metric_find(struct slice name);
const char *metric_name(const struct metric *metric);
uint32_t metric_count(void);
const struct metric *metric_at(uint32_t i); /* 0 … metric_count() − 1, for help and docs */

/* --- parameters -------------------------------------------------------------------------------*/

/* One name=value of the query string, percent-decoded already, valid UTF-8 without U+0000. */
struct metric_pair {
    struct slice name;
    struct slice value;
};

/* Where a week begins. */
enum metric_week_start { METRIC_WEEK_MONDAY, METRIC_WEEK_SUNDAY };
struct metric_context {
    struct zones *zones;
    struct slice project_zone;         /* the project's time zone: the default of `tz` */
    int64_t now_us;                    /* the server's clock at the start of the query */
    enum metric_week_start week_start; /* the project's: the default of `week_start` */
};

enum metric_format { METRIC_FORMAT_JSON, METRIC_FORMAT_CSV, METRIC_FORMAT_NDJSON };
enum metric_by { METRIC_BY_EVENTS, METRIC_BY_USERS };
enum metric_measure { METRIC_MEASURE_USERS, METRIC_MEASURE_PERCENT };
/* Variants with one value so far; the others are refused by name. */
enum metric_cohort { METRIC_COHORT_FIRST_TIME };
enum metric_window { METRIC_WINDOW_CALENDAR };
enum metric_mode { METRIC_MODE_ON };

struct metric_texts {
    const struct slice *texts; /* distinct, in the order given */
    uint32_t count;            /* 0: any */
};

/* Every parameter in force, defaults filled in. Fields a metric does not have are zero. */
struct metric_params {
    const struct metric *metric;
    int64_t now_us;
    const struct zone *zone;
    struct metric_texts event_types;
    enum metric_format format;
    bool has_min_position;
    struct store_position min_position;
    struct slice min_position_text; /* as sent; ptr NULL: absent */
    uint32_t wait_ms;               /* 0 … METRIC_WAIT_MS_MAX */
    /* dau, top-events */
    int32_t from_day; /* day numbers of calendar.h; both included */
    int32_t to_day;
    /* top-events */
    uint32_t limit;
    enum metric_by by;
    /* retention */
    int32_t start_day;       /* as sent, or the first day of the default bucket */
    enum calendar_unit unit; /* as asked for: DAY, WEEK or MONTH */
    enum metric_week_start week_start;
    enum calendar_unit bucket_unit; /* what follows from the two */
    uint32_t windows;               /* 1 … METRIC_WINDOWS_MAX */
    uint32_t cohorts;
    enum metric_cohort cohort;
    enum metric_window window;
    enum metric_mode mode;
    enum metric_measure measure;
    struct metric_texts return_event_types; /* event_types where not given */
};

/*
 * ERR_INVALID_PARAMETER: diag->field is the parameter's name, diag->message says what is wrong and
 * what would be right. Unknown, repeated, out of range, or of a feature not built: all the same.
 * ERR_NOMEM; ERR_CORRUPT and ERR_IO where a zone's own file is at fault.
 */
MUST_USE enum err
metric_params_parse(const struct metric *metric, const struct metric_pair *pairs,
                    uint32_t pair_count, const struct metric_context *context, struct arena *arena,
                    struct metric_params **ret_params, struct diag *diag);

/* The table behind the parameters, for `potik stats --help` and docs. */
struct metric_parameter_help {
    const char *name;
    const char *values;        /* "date", "1–1,000", "day, week, month" */
    const char *default_value; /* "10", "today"; "" = none */
    const char *help;
    bool is_repeatable;
};
/* i from 0; false behind the last. */
bool metric_parameter_at(const struct metric *metric, uint32_t i,
                         struct metric_parameter_help *ret_help);

/* --- the answer -------------------------------------------------------------------------------*/

enum metric_cell_kind {
    METRIC_CELL_NULL,
    METRIC_CELL_INTEGER,
    METRIC_CELL_HUNDREDTHS, /* a number with 2 decimals, times 100 */
    METRIC_CELL_DAY,
    METRIC_CELL_TEXT,
};
struct metric_cell {
    enum metric_cell_kind kind;
    union {
        uint64_t integer; /* INTEGER, HUNDREDTHS */
        int32_t day;
        const struct slice *text;
    } value;
};

enum metric_type { METRIC_TYPE_DATE, METRIC_TYPE_TEXT, METRIC_TYPE_INTEGER, METRIC_TYPE_NUMBER };
struct metric_column {
    struct slice name;
    enum metric_type type;
};

/* A cell whose bucket has not ended; column −1: the whole row. */
struct metric_partial {
    uint32_t row;
    int32_t column;
};

struct metric_summary {
    const char *name;
    bool is_list;
    const struct metric_cell *cells; /* one unless is_list */
    uint32_t count;
};

struct metric_result {
    const struct metric_params *params;
    const struct metric_column *columns;
    uint32_t column_count;
    const struct metric_cell *cells; /* row after row */
    uint32_t row_count;
    const struct metric_partial *partials; /* by row, then column */
    uint32_t partial_count;
    const struct metric_summary *summaries;
    uint32_t summary_count;
};

/*
 * Asks the view. `parts`: threads the scan may use, 1 … METRIC_PARTS_MAX. Errors of warehouse_scan
 * (ERR_QUERY_TIMEOUT, ERR_CANCELLED, ERR_IO, ERR_CORRUPT), ERR_NOMEM.
 */
MUST_USE enum err metric_run(struct warehouse_view *view, const struct metric_params *params,
                             uint32_t parts, struct query_control *control, struct arena *arena,
                             struct metric_result **ret_result, struct diag *diag);

/* --- rendering, by params->format
 * ---------------------------------------------------------------*/

/* Appends the whole body. A failure is buf_failed(body). */
void metric_render(const struct metric_result *result, struct warehouse_watermark watermark,
                   struct buf *body);
const char *metric_content_type(enum metric_format format);
/*
 * The value of X-Potik-Watermark, for csv and ndjson: the watermark as one line of JSON.
 * At most METRIC_WATERMARK_TEXT bytes with the NUL.
 */
#define METRIC_WATERMARK_TEXT 192
void
metric_watermark_format(struct warehouse_watermark watermark, char ret_text[METRIC_WATERMARK_TEXT]);
/* The same object as it stands in JSON answers: for /v1/events and timelines. */
void metric_watermark_write(struct warehouse_watermark watermark, struct buf *body);

#endif
