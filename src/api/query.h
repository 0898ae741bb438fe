/*
 * query - questions to the warehouse, answered off the loop by a bounded pool.
 *
 * Layer 6. A job is an errand (errand.h) that runs on a query thread (low priority, with a
 * deadline); when its client goes away it is cancelled.
 *
 * A job that waits for a position (`min_position`) waits on a thread of a second, small pool, so
 * that waiting clients do not keep others from being answered.
 */
#ifndef POTIK_API_QUERY_H
#define POTIK_API_QUERY_H

#include "api/errand.h"
#include "warehouse/warehouse.h"

struct api_request;
struct query_job;
struct query_pool;

/* Asks the view; writes job->errand.body. On a query thread. */
typedef enum err
query_run_fn(struct query_job *job, struct warehouse_view *view, struct diag *diag);

struct query_job {
    struct errand errand; /* first; its arena is for `state`, its body is the answer */
    /* set by who makes it: */
    query_run_fn *run;
    uint32_t project_id;
    bool has_min_position;
    struct store_position min_position;
    uint32_t wait_ms;
    void *state;        /* of `run`, in the errand's arena */
    const char *metric; /* static: "dau", "events" … the label of potik_query_seconds */
    /* for `run`: */
    struct query_control control;
    struct query_pool *pool;
    /* query.c's own: */
    int64_t started_ns;
    int64_t wait_until_ns;
};

struct query_pool_config {
    struct warehouse *warehouse;
    const struct clock *clock;
    const struct log_sink *sink;
    uint32_t threads;
    uint32_t jobs_max;
    int64_t timeout_ms;
};
MUST_USE enum err query_pool_start(const struct query_pool_config *config,
                                   struct query_pool **ret_pool, struct diag *diag);
void query_pool_stop(struct query_pool **pool);

/* NULL: out of memory. */
struct query_job *
query_job_new(struct query_pool *pool, struct errand_inbox *inbox, struct http_exchange *exchange);
void query_job_free(struct query_job **job); /* one that was not submitted */
/* The job is the pool's from here on. ERR_OVERLOADED: full; the job stays the caller's. */
MUST_USE enum err query_job_submit(struct query_job *job);

/* Another job that waits for the loader, on the same small pool. false: full. */
MUST_USE bool query_pool_wait(struct query_pool *pool, struct pool_job *job);

#endif
