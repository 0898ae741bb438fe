/*
 * ask - a question as a query string, asked of a fake warehouse: what the metric tests share.
 */
#ifndef POTIK_TEST_ASK_H
#define POTIK_TEST_ASK_H

#include "../test.h"

#include "fake_warehouse.h"
#include "metric/metric.h"

#define ASK_PAIRS_MAX 64

struct ask {
    struct zones *zones;
    struct arena arena;
    struct diag diag;
    int64_t now_us;
    const char *project_zone;
};

static inline int64_t
ask_us(const char *day_text, int hours, int minutes)
{
    int32_t day = 0;

    assert_true(calendar_day_parse(slice_of_text(day_text), &day));
    return day * US_PER_DAY + (hours * 60 + minutes) * 60 * US_PER_S;
}

static inline void
ask_init(struct ask *ask, const char *today)
{
    memset(ask, 0, sizeof *ask);
    assert_int_equal(zones_open(NULL, &ask->zones, NULL), ERR_OK);
    arena_init(&ask->arena, 64 * 1024, METRIC_ARENA_BYTES);
    ask->now_us = ask_us(today, 12, 0);
    ask->project_zone = "UTC";
}

static inline void
ask_fini(struct ask *ask)
{
    arena_fini(&ask->arena);
    zones_free(&ask->zones);
}

/* `text` is "a=1&b=2", nothing encoded; lives in the arena. */
static inline enum err
ask_parse(struct ask *ask, const char *metric, const char *text, struct metric_params **ret_params)
{
    struct metric_context context = {.zones = ask->zones,
                                     .project_zone = slice_of_text(ask->project_zone),
                                     .now_us = ask->now_us};
    struct metric_pair *pairs = ARENA_NEW(&ask->arena, struct metric_pair, ASK_PAIRS_MAX);
    char *copy = (char *)(uintptr_t)arena_copy(&ask->arena, slice_of_text(text)).ptr;
    uint32_t count = 0;
    char *rest = NULL;

    assert_non_null(copy);
    diag_clear(&ask->diag);
    for (char *pair = strtok_r(copy, "&", &rest); pair != NULL; pair = strtok_r(NULL, "&", &rest)) {
        char *value = strchr(pair, '=');

        assert_true(value != NULL && count < ASK_PAIRS_MAX);
        pairs[count].name = slice_of(pair, (size_t)(value - pair));
        pairs[count++].value = slice_of_text(value + 1);
    }
    return metric_params_parse(metric_find(slice_of_text(metric)), pairs, count, &context,
                               &ask->arena, ret_params, &ask->diag);
}

static inline const struct metric_params *
ask_params(struct ask *ask, const char *metric, const char *text)
{
    struct metric_params *params = NULL;

    if (ask_parse(ask, metric, text, &params) != ERR_OK)
        fail_msg("%s?%s: %s", metric, text, ask->diag.message);
    return params;
}

static inline const struct metric_result *
ask_result(struct ask *ask, struct warehouse_view *view, const char *metric, const char *text,
           uint32_t parts)
{
    struct query_control control = {.deadline_steady_ns = INT64_MAX};
    struct metric_result *result = NULL;

    if (metric_run(view, ask_params(ask, metric, text), parts, &control, &ask->arena, &result,
                   &ask->diag) != ERR_OK)
        fail_msg("%s?%s: %s", metric, text, ask->diag.message);
    return result;
}

static inline const struct metric_cell *
ask_cell(const struct metric_result *result, uint32_t row, uint32_t column)
{
    assert_true(row < result->row_count && column < result->column_count);
    return &result->cells[row * result->column_count + column];
}

#endif
