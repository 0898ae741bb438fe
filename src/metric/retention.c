/*
 * retention - of the persons who first did A in a bucket, how many did B in each bucket after it.
 *
 * Calendar windows, first-time cohorts, mode "on": a person's cohort c is the bucket of their first
 * A ever; they count at offset k, once, if they did B in bucket c + k. Bucket numbers alone are
 * compared, so a B before A in the same bucket counts at offset 0.
 *
 * Two scans. The first gives each person's first A: the cohort's size, and the cohort noted in a
 * map from person to cohort (2 bytes a person, in pages, shared by the parts: a person belongs to
 * one part, so no two threads write the same place). The second runs over the B events of all
 * buckets in the report, ordered by (person, time): a person counts where the offset differs from
 * that of the row before.
 *
 * Each cell has a bucket: that of the cohort for `size`, c + k for `w<k>`. One that has not begun
 * is null, one that has begun and not ended is partial. Means are over ended cells, weighted by the
 * cohort's size.
 */
#include "base/mem.h"
#include "metric/query.h"
#include <stdatomic.h>

#define PAGE_BITS 18
#define PAGE_PERSONS (1u << PAGE_BITS)
#define PAGES (1u << (32 - PAGE_BITS))
#define LAST_US (INT64_C(253402300800) * US_PER_S) /* the year 10000 */

struct person_map {
    uint16_t *_Atomic pages[PAGES]; /* cohort + 1; 0: in no cohort of the report */
};

static void
person_map_free(struct person_map **map)
{
    if (*map == NULL)
        return;
    for (uint32_t i = 0; i < PAGES; i++)
        mem_free(atomic_load_explicit(&(*map)->pages[i], memory_order_relaxed));
    mem_free(*map);
    *map = NULL;
}

/* The page that holds the person, made if need be; NULL: out of memory. */
static uint16_t *
person_map_page(struct person_map *map, uint32_t person)
{
    uint16_t *_Atomic *place = &map->pages[person >> PAGE_BITS];
    uint16_t *page = atomic_load(place);
    uint16_t *made;

    if (page != NULL)
        return page;
    made = MEM_NEW(uint16_t, PAGE_PERSONS);
    if (made == NULL)
        return NULL;
    if (atomic_compare_exchange_strong(place, &page, made))
        return made;
    mem_free(made);
    return page;
}

static inline uint32_t
person_map_get(struct person_map *map, uint32_t person)
{
    const uint16_t *page =
        atomic_load_explicit(&map->pages[person >> PAGE_BITS], memory_order_acquire);

    return page == NULL ? 0 : page[person & (PAGE_PERSONS - 1)];
}

struct report {
    struct buckets buckets; /* cohorts + windows − 1 */
    uint32_t cohorts;
    uint32_t windows;
    struct person_map *map;
    uint64_t *sizes;  /* cohorts */
    uint64_t *counts; /* cohorts × windows */
};

struct part {
    const struct report *report;
    uint32_t person; /* of the row before */
    uint32_t cohort; /* of that person, + 1; 0: none */
    uint32_t offset; /* of the row before; windows: none */
    bool is_begun;
    uint64_t counts[]; /* first scan: cohorts; second: cohorts × windows */
};

static enum err
note_first(void *part_state, const struct warehouse_rows *rows)
{
    struct part *part = part_state;
    const struct report *report = part->report;
    int64_t from_us = report->buckets.starts_us[0];
    int64_t to_us = report->buckets.starts_us[report->cohorts];

    for (uint32_t i = 0; i < rows->count; i++) {
        int64_t first_us = rows->occurred_at_us[i];
        uint32_t cohort;
        uint16_t *page;

        if (first_us < from_us || first_us >= to_us)
            continue;
        cohort = buckets_find(&report->buckets, first_us);
        page = person_map_page(report->map, rows->person[i]);
        if (page == NULL)
            return ERR_NOMEM;
        page[rows->person[i] & (PAGE_PERSONS - 1)] = (uint16_t)(cohort + 1);
        part->counts[cohort]++;
    }
    return ERR_OK;
}

static enum err
count_returns(void *part_state, const struct warehouse_rows *rows)
{
    struct part *part = part_state;
    const struct report *report = part->report;
    uint32_t windows = report->windows;

    for (uint32_t i = 0; i < rows->count; i++) {
        uint32_t offset;

        if (rows->person[i] != part->person || !part->is_begun) {
            part->is_begun = true;
            part->person = rows->person[i];
            part->cohort = person_map_get(report->map, part->person);
            part->offset = windows;
        }
        if (part->cohort == 0)
            continue;
        /* Before the cohort the difference wraps round and is beyond every window. */
        offset = buckets_find(&report->buckets, rows->occurred_at_us[i]) - (part->cohort - 1);
        if (offset >= windows || offset == part->offset)
            continue;
        part->offset = offset;
        part->counts[(part->cohort - 1) * windows + offset]++;
    }
    return ERR_OK;
}

/* One scan into fresh parts, their counts added to `totals`. */
static enum err
scan_into(const struct metric_query *query, const struct report *report,
          const struct query_types *types, bool is_first, uint64_t *totals)
{
    CLEANUP(query_parts_fini) struct query_parts parts = {.count = 0};
    uint32_t count = is_first ? report->cohorts : report->cohorts * report->windows;
    struct warehouse_scan scan = {
        .from_us = is_first ? 0 : report->buckets.starts_us[0],
        .to_us = is_first ? LAST_US : report->buckets.starts_us[report->buckets.count],
        .types = types->ids,
        .type_count = types->count,
        .parts = query->parts,
        .rows = is_first ? note_first : count_returns};
    enum err err;

    if (types->is_none || scan.from_us == scan.to_us)
        return ERR_OK;
    err = query_parts_new(&parts, query->parts, sizeof(struct part) + count * sizeof(uint64_t));
    if (err != ERR_OK)
        return err;
    for (uint32_t i = 0; i < parts.count; i++)
        ((struct part *)parts.states[i])->report = report;
    scan.part_states = parts.states;
    err = is_first ? warehouse_scan_first(query->view, &scan, query->control, query->diag)
                   : warehouse_scan(query->view, &scan, query->control, query->diag);
    if (err != ERR_OK)
        return err;
    for (uint32_t i = 0; i < parts.count; i++)
        for (uint32_t k = 0; k < count; k++)
            totals[k] += ((const struct part *)parts.states[i])->counts[k];
    return ERR_OK;
}

static enum err
count_report(const struct metric_query *query, struct report *report)
{
    CLEANUP(person_map_free) struct person_map *map = MEM_NEW(struct person_map, 1);
    struct query_types start, back;
    enum err err;

    if (map == NULL)
        return ERR_NOMEM;
    report->map = map;
    err = query_types_find(query, &query->params->event_types, &start);
    if (err == ERR_OK)
        err = query_types_find(query, &query->params->return_event_types, &back);
    if (err == ERR_OK)
        err = scan_into(query, report, &start, true, report->sizes);
    if (err == ERR_OK && !start.is_none)
        err = scan_into(query, report, &back, false, report->counts);
    report->map = NULL;
    return err;
}

static struct metric_cell
value_cell(const struct metric_params *params, uint64_t users, uint64_t size)
{
    return params->measure == METRIC_MEASURE_USERS ? cell_integer(users)
                                                   : cell_ratio((uint128)users * 100, size);
}

static void
write_row(const struct metric_query *query, const struct report *report, uint32_t row,
          int32_t first_bucket, struct metric_result *result)
{
    const int64_t *starts_us = report->buckets.starts_us;
    int64_t now_us = query->params->now_us;
    uint64_t size = report->sizes[row];

    *result_cell(result, row, 0) = cell_day(
        calendar_bucket_first_day(query->params->bucket_unit, first_bucket + (int32_t)row));
    if (starts_us[row] > now_us)
        return; /* not begun: null, and so are all the offsets */
    *result_cell(result, row, 1) = cell_integer(size);
    if (starts_us[row + 1] > now_us)
        result_add_partial(result, row, 1);
    for (uint32_t k = 0; k < report->windows && starts_us[row + k] <= now_us; k++) {
        *result_cell(result, row, 2 + k) =
            value_cell(query->params, report->counts[row * report->windows + k], size);
        if (starts_us[row + k + 1] > now_us)
            result_add_partial(result, row, (int32_t)(2 + k));
    }
}

/* Over the rows whose bucket at offset k has ended, weighted by size. */
static struct metric_cell
mean_at(const struct metric_params *params, const struct report *report, uint32_t k)
{
    uint128 numerator = 0, sizes = 0;

    for (uint32_t row = 0; row < report->cohorts; row++) {
        uint64_t users = report->counts[row * report->windows + k];
        uint64_t size = report->sizes[row];

        if (report->buckets.starts_us[row + k + 1] > params->now_us)
            continue;
        sizes += size;
        numerator +=
            params->measure == METRIC_MEASURE_USERS ? (uint128)users * size : (uint128)users * 100;
    }
    return cell_ratio(numerator, sizes);
}

static enum err
write_summary(const struct metric_query *query, const struct report *report,
              struct metric_result *result)
{
    struct metric_cell *means = ARENA_NEW(query->arena, struct metric_cell, report->windows);
    struct metric_cell *history = ARENA_NEW(query->arena, struct metric_cell, 1);
    struct slice *history_text = ARENA_NEW(query->arena, struct slice, 1);
    int64_t history_us = warehouse_view_history_from_us(query->view);
    char text[METRIC_TIME_TEXT];

    if (means == NULL || history == NULL || history_text == NULL)
        return ERR_NOMEM;
    for (uint32_t k = 0; k < report->windows; k++)
        means[k] = mean_at(query->params, report, k);
    if (history_us != 0) {
        metric_time_format(history_us, text);
        *history_text = arena_copy(query->arena, slice_of_text(text));
        if (history_text->ptr == NULL)
            return ERR_NOMEM;
        *history = (struct metric_cell){.kind = METRIC_CELL_TEXT, .value.text = history_text};
    }
    result_set_summary(result, 0, "mean", means, report->windows, true);
    result_set_summary(result, 1, "history_from", history, 1, false);
    return ERR_OK;
}

static enum err
write_result(const struct metric_query *query, const struct report *report, int32_t first_bucket,
             struct metric_result *result)
{
    enum err err =
        result_make(query, 2 + report->windows, report->cohorts, 2 * report->cohorts, 2, result);

    if (err != ERR_OK)
        return err;
    result_set_column(result, 0, SLICE("cohort"), METRIC_TYPE_DATE);
    result_set_column(result, 1, SLICE("size"), METRIC_TYPE_INTEGER);
    for (uint32_t k = 0; k < report->windows; k++) {
        struct slice name = arena_printf(query->arena, "w%u", k);

        if (name.ptr == NULL)
            return ERR_NOMEM;
        result_set_column(result, 2 + k, name,
                          query->params->measure == METRIC_MEASURE_USERS ? METRIC_TYPE_INTEGER
                                                                         : METRIC_TYPE_NUMBER);
    }
    for (uint32_t row = 0; row < report->cohorts; row++)
        write_row(query, report, row, first_bucket, result);
    return write_summary(query, report, result);
}

enum err
metric_run_retention(const struct metric_query *query, struct metric_result *result)
{
    const struct metric_params *params = query->params;
    int32_t first_bucket = calendar_bucket_of_day(params->bucket_unit, params->start_day);
    struct report report = {.cohorts = params->cohorts, .windows = params->windows};
    enum err err;

    report.sizes = ARENA_NEW(query->arena, uint64_t, report.cohorts);
    report.counts = ARENA_NEW(query->arena, uint64_t, (size_t)report.cohorts * report.windows);
    if (report.sizes == NULL || report.counts == NULL)
        return ERR_NOMEM;
    err = buckets_make(params->zone, params->bucket_unit, first_bucket,
                       report.cohorts + report.windows - 1, query->arena, &report.buckets);
    if (err == ERR_OK)
        err = count_report(query, &report);
    return err == ERR_OK ? write_result(query, &report, first_bucket, result) : err;
}
