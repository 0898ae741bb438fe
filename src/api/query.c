/*
 * query - the pools, and one job's way through them. See query.h.
 */
#include "api/query.h"

#include "api/internal.h"
#include "base/counter.h"
#include "base/log.h"
#include "base/mem.h"
#include "metric/metric.h"

#include <string.h>

#define WAITER_THREADS 4
#define WAIT_SLICE_MS 200 /* how soon a waiting job sees that its client went away */
#define JOB_BODY_BYTES_MAX                                                                         \
    (UINT64_C(96) * 1024 * 1024) /* 1,000 events with 64 KiB of properties                         \
                                  */
#define NS_PER_MS INT64_C(1000000)

COUNTER_DEFINE(queries_refused, "potik_queries_refused_total", "queries refused: all busy");

#define QUERY_HISTOGRAM(variable, name)                                                            \
    HISTOGRAM_LABEL_DEFINE(variable, "potik_query_seconds",                                        \
                           "one query, from the request to its answer", HISTOGRAM_SECONDS,         \
                           "metric", name)
QUERY_HISTOGRAM(seconds_dau, "dau");
QUERY_HISTOGRAM(seconds_top_events, "top-events");
QUERY_HISTOGRAM(seconds_retention, "retention");
QUERY_HISTOGRAM(seconds_events, "events");
QUERY_HISTOGRAM(seconds_user_events, "user-events");

static struct counter *const query_histograms[] = {
    &seconds_dau, &seconds_top_events, &seconds_retention, &seconds_events, &seconds_user_events};

struct query_pool {
    struct query_pool_config config;
    struct pool *workers;
    struct pool *waiters;
};

/* --- on a query thread ------------------------------------------------------------------------*/

static struct query_job *
job_of(struct pool_job *pool_job)
{
    return (struct query_job *)(void *)((char *)pool_job -
                                        offsetof(struct query_job, errand.pool_job));
}

static int64_t
now_ns(const struct query_job *job)
{
    return clock_steady_ns(job->pool->config.clock);
}

static void
observe(const struct query_job *job)
{
    for (size_t i = 0; i < COUNT_OF(query_histograms); i++) {
        if (strcmp(query_histograms[i]->label_value, job->metric) == 0)
            histogram_observe(query_histograms[i],
                              (double)(now_ns(job) - job->started_ns) / (double)NS_PER_S);
    }
}

/* The wait in force is the client's, whatever the slice of it was. */
static void
tell_behind(struct query_job *job)
{
    if (job->wait_ms < METRIC_WAIT_MS_MAX)
        diag_set_field(&job->errand.diag, "min_position",
                       "min_position: not loaded within %lld ms; raise wait_ms, up to %d",
                       (long long)job->wait_ms, METRIC_WAIT_MS_MAX);
    else
        diag_set_field(&job->errand.diag, "min_position",
                       "min_position: not loaded within %lld ms; ask again later",
                       (long long)job->wait_ms);
}

static enum err
ask(struct query_job *job)
{
    CLEANUP(warehouse_view_close) struct warehouse_view *view = NULL;
    enum err err;

    if (atomic_load(&job->control.is_cancelled))
        return ERR_CANCELLED;
    if (now_ns(job) >= job->control.deadline_steady_ns)
        return ERR_QUERY_TIMEOUT;
    err = warehouse_view_open(job->pool->config.warehouse, job->project_id,
                              job->has_min_position ? &job->min_position : NULL, 0, &view,
                              &job->errand.diag);
    if (err == ERR_BEHIND)
        tell_behind(job);
    if (err != ERR_OK)
        return err;
    err = job->run(job, view, &job->errand.diag);
    return err == ERR_OK && buf_failed(&job->errand.body) ? ERR_NOMEM : err;
}

static void
worker_run(struct pool_job *pool_job, void *worker_state)
{
    struct query_job *job = job_of(pool_job);

    (void)worker_state;
    job->errand.err = ask(job);
    observe(job);
    errand_finish(&job->errand);
}

/* Waits for the position in slices, so that a stop or a lost client is seen soon. */
static enum err
wait_for_position(struct query_job *job)
{
    for (;;) {
        CLEANUP(warehouse_view_close) struct warehouse_view *view = NULL;
        int64_t left_ms = (job->wait_until_ns - now_ns(job)) / NS_PER_MS;
        enum err err;

        if (atomic_load(&job->control.is_cancelled))
            return ERR_CANCELLED;
        if (left_ms < 0)
            left_ms = 0;
        err = warehouse_view_open(job->pool->config.warehouse, job->project_id, &job->min_position,
                                  left_ms < WAIT_SLICE_MS ? left_ms : WAIT_SLICE_MS, &view,
                                  &job->errand.diag);
        if (err == ERR_BEHIND && left_ms == 0)
            tell_behind(job);
        if (err != ERR_BEHIND || left_ms == 0)
            return err;
    }
}

static void
waiter_run(struct pool_job *pool_job, void *worker_state)
{
    struct query_job *job = job_of(pool_job);

    (void)worker_state;
    job->errand.err = wait_for_position(job);
    job->control.deadline_steady_ns = now_ns(job) + job->pool->config.timeout_ms * NS_PER_MS;
    if (job->errand.err == ERR_OK) {
        diag_clear(&job->errand.diag);
        job->errand.pool_job.run = worker_run;
        if (pool_submit(job->pool->workers, &job->errand.pool_job))
            return;
        job->errand.err = ERR_OVERLOADED;
        counter_add(&queries_refused, 1);
    }
    errand_finish(&job->errand);
}

/* --- on the loop ------------------------------------------------------------------------------*/

static void
cancel(struct errand *errand)
{
    atomic_store(&((struct query_job *)(void *)errand)->control.is_cancelled, true);
}

static void
log_failure(struct errand *errand, enum err err)
{
    const struct query_job *job = (const struct query_job *)(void *)errand;

    if (err_status(err) != 500)
        return;
    SINK(job->pool->config.sink, LOG_LEVEL_ERROR, "query.failed",
         LOG_SLICE("request_id", http_request_id(errand->exchange)),
         LOG_TEXT("metric", job->metric), LOG_TEXT("error", err_name(err)),
         LOG_TEXT("reason", errand->diag.message));
}

struct query_job *
query_job_new(struct query_pool *pool, struct errand_inbox *inbox, struct http_exchange *exchange)
{
    static const struct errand_kind kind = {.abandoned = cancel, .failed = log_failure};
    struct query_job *job = MEM_NEW(struct query_job, 1);

    if (job == NULL)
        return NULL;
    errand_init(&job->errand, &kind, inbox, exchange, JOB_BODY_BYTES_MAX, METRIC_ARENA_BYTES);
    job->pool = pool;
    job->metric = "";
    return job;
}

void
query_job_free(struct query_job **job)
{
    if (*job != NULL)
        errand_destroy(&(*job)->errand);
    *job = NULL;
}

enum err
query_job_submit(struct query_job *job)
{
    bool waits = job->has_min_position && job->wait_ms != 0;
    const struct query_pool_config *config = &job->pool->config;

    job->started_ns = now_ns(job);
    job->wait_until_ns = job->started_ns + (int64_t)job->wait_ms * NS_PER_MS;
    job->control.deadline_steady_ns = job->started_ns + config->timeout_ms * NS_PER_MS;
    job->errand.pool_job.run = waits ? waiter_run : worker_run;
    if (pool_submit(waits ? job->pool->waiters : job->pool->workers, &job->errand.pool_job))
        return ERR_OK;
    counter_add(&queries_refused, 1);
    return ERR_OVERLOADED;
}

/* --- the pools --------------------------------------------------------------------------------*/

enum err
query_pool_start(const struct query_pool_config *config, struct query_pool **ret_pool,
                 struct diag *diag)
{
    CLEANUP(query_pool_stop) struct query_pool *pool = MEM_NEW(struct query_pool, 1);
    struct pool_config workers = {
        .name = "query",
        .threads = config->threads,
        .jobs_max = config->jobs_max,
        .priority = THREAD_LOW,
    };
    struct pool_config waiters = {
        .name = "waiter",
        .threads = WAITER_THREADS,
        .jobs_max = config->jobs_max,
        .priority = THREAD_LOW,
    };
    enum err err;

    if (pool == NULL)
        return ERR_NOMEM;
    pool->config = *config;
    err = pool_start(&workers, &pool->workers, diag);
    if (err == ERR_OK)
        err = pool_start(&waiters, &pool->waiters, diag);
    if (err != ERR_OK)
        return err;
    *ret_pool = MOVE(pool);
    return ERR_OK;
}

bool
query_pool_wait(struct query_pool *pool, struct pool_job *job)
{
    return pool_submit(pool->waiters, job);
}

void
query_pool_stop(struct query_pool **pool)
{
    if (*pool == NULL)
        return;
    pool_stop(&(*pool)->waiters); /* these hand over to the workers */
    pool_stop(&(*pool)->workers);
    mem_free(*pool);
    *pool = NULL;
}
