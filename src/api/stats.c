/*
 * stats - GET /v1/stats/{metric}: parameters on the loop, the answer on a query thread.
 *
 * Layer 6. The metric room knows names, parameters, numbers and forms; this file carries them to
 * and fro.
 */
#include "api/internal.h"
#include "base/mem.h"
#include "metric/metric.h"

#include <string.h>

struct stats_state {
    struct metric_params *params;
    uint32_t parts;
};

bool
stats_exists(const struct slice *segments)
{
    return metric_find(segments[0]) != NULL;
}

void
stats_list(struct diag *ret_words)
{
    diag_set(ret_words, "there is no such metric; there are:");
    for (uint32_t i = 0; i < metric_count(); i++)
        diag_set(ret_words, "%s%s %s", ret_words->message, i != 0 ? "," : "",
                 metric_name(metric_at(i)));
}

/* On a query thread. */
static enum err
stats_run(struct query_job *job, struct warehouse_view *view, struct diag *diag)
{
    const struct stats_state *state = job->state;
    struct warehouse_watermark watermark = warehouse_view_watermark(view);
    struct metric_result *result;
    enum err err = metric_run(view, state->params, state->parts, &job->control, &job->errand.arena,
                              &result, diag);

    if (err != ERR_OK)
        return err;
    metric_render(result, watermark, &job->errand.body);
    job->errand.content_type = metric_content_type(state->params->format);
    if (state->params->format != METRIC_FORMAT_JSON) {
        char text[METRIC_WATERMARK_TEXT];
        struct slice copy;

        metric_watermark_format(watermark, text);
        copy = arena_copy(&job->errand.arena, slice_of_text(text));
        if (copy.ptr == NULL)
            return ERR_NOMEM;
        errand_add_header(&job->errand, "X-Potik-Watermark", copy);
    }
    return ERR_OK;
}

/* The query string, in the job's own memory: it outlives the request. */
static enum err
parse(struct query_job *job, const struct metric *metric, struct api_request *request,
      struct diag *diag)
{
    const struct api *api = request->loop->api;
    const struct account_project *project =
        access_project(request->loop->access, request->project_id);
    struct url_pair *decoded = ARENA_NEW(&job->errand.arena, struct url_pair, QUERY_PAIRS_MAX);
    struct metric_pair *pairs = ARENA_NEW(&job->errand.arena, struct metric_pair, QUERY_PAIRS_MAX);
    struct stats_state *state = ARENA_NEW(&job->errand.arena, struct stats_state, 1);
    struct slice query = request->query;
    struct metric_context context = {
        .zones = api->config.zones,
        .project_zone = SLICE("UTC"),
        .now_us = clock_wall_us(api->config.clock),
    };
    size_t count = 0;
    enum err err = ERR_OK;

    if (query.ptr != NULL)
        query = arena_copy(&job->errand.arena, query);
    if (decoded == NULL || pairs == NULL || state == NULL ||
        (query.ptr == NULL && request->query.ptr != NULL))
        return ERR_NOMEM;
    if (project != NULL) {
        context.project_zone = arena_copy(&job->errand.arena, slice_of_text(project->time_zone));
        if (context.project_zone.ptr == NULL)
            return ERR_NOMEM;
        if (project->week_start == ACCOUNT_WEEK_SUNDAY)
            context.week_start = METRIC_WEEK_SUNDAY;
    }
    if (query.ptr != NULL && query.len != 0)
        err = url_parse_query(query, &job->errand.arena, decoded, QUERY_PAIRS_MAX, &count, diag);
    for (size_t i = 0; i < count; i++)
        pairs[i] = (struct metric_pair){decoded[i].name, decoded[i].value};
    if (err == ERR_OK)
        err = metric_params_parse(metric, pairs, (uint32_t)count, &context, &job->errand.arena,
                                  &state->params, diag);
    if (err != ERR_OK)
        return err;
    state->parts = api->config.scan_parts;
    job->state = state;
    job->run = stats_run;
    job->metric = metric_name(metric);
    job->has_min_position = state->params->has_min_position;
    job->min_position = state->params->min_position;
    job->wait_ms = state->params->wait_ms;
    return ERR_OK;
}

static void
stats_end(struct api_request *request)
{
    const struct metric *metric = metric_find(request->segments[0]);
    CLEANUP(query_job_free) struct query_job *job = api_job_new(request);
    struct diag diag = DIAG_INIT;
    enum err err;

    if (job == NULL)
        return;
    err = parse(job, metric, request, &diag);
    if (err != ERR_OK)
        api_reply_diag(request, err, &diag);
    else if (api_job_submit(request, job))
        job = NULL; /* the pool's now */
}

const struct route_handler stats_handler = {.end = stats_end, .gone = api_job_gone};
