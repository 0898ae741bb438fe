/*
 * metric - the table of metrics, and what each of them is run with.
 *
 * A new metric is one file with a `run`, a row here, and its parameters' rows in params.c.
 */
#include "metric/metric.h"

#include "metric/query.h"
#include <assert.h>

static const struct metric metrics[METRIC_COUNT] = {
    {METRIC_DAU, "dau", false, 0, metric_run_active_users},
    {METRIC_TOP_EVENTS, "top-events", false, 0, metric_run_top_events},
    {METRIC_RETENTION, "retention", true, 2, metric_run_retention},
};

const struct metric *
metric_find(struct slice name)
{
    for (uint32_t i = 0; i < METRIC_COUNT; i++)
        if (slice_equal(slice_of_text(metrics[i].name), name))
            return &metrics[i];
    return NULL;
}

const char *
metric_name(const struct metric *metric)
{
    return metric->name;
}

uint32_t
metric_count(void)
{
    return METRIC_COUNT;
}

const struct metric *
metric_at(uint32_t i)
{
    assert(i < METRIC_COUNT);
    return &metrics[i];
}

enum err
metric_run(struct warehouse_view *view, const struct metric_params *params, uint32_t parts,
           struct query_control *control, struct arena *arena, struct metric_result **ret_result,
           struct diag *diag)
{
    struct metric_query query = {.view = view,
                                 .params = params,
                                 .parts = parts,
                                 .control = control,
                                 .arena = arena,
                                 .diag = diag};
    struct metric_result *result = ARENA_NEW(arena, struct metric_result, 1);
    enum err err;

    assert(parts >= 1 && parts <= METRIC_PARTS_MAX);
    if (result == NULL)
        return ERR_NOMEM;
    err = params->metric->run(&query, result);
    if (err != ERR_OK)
        return err;
    *ret_result = result;
    return ERR_OK;
}
