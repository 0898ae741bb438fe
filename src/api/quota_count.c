/*
 * quota_count - see quota_count.h.
 */
#include "api/quota_count.h"

#include "base/log.h"
#include "base/mem.h"

#define WAIT_SLICE_MS 200 /* how soon a stop is seen */
#define WAIT_MS_MAX 5000  /* for one project being loaded again, others do not wait longer */
#define NS_PER_MS INT64_C(1000000)

struct quota_counter {
    struct pool_job job; /* first */
    struct quota_counter_config config;
    struct query_control control;
    _Atomic bool is_busy; /* the job is the pool's */
    bool is_failing;      /* the job's: the sink has heard of it */
};

static bool
is_stopping(struct quota_counter *counter)
{
    return atomic_load(&counter->control.is_cancelled);
}

/* A view that holds all that was durable when the count began. */
static enum err
open_view(struct quota_counter *counter, const struct quota_count *count,
          struct warehouse_view **ret_view, struct diag *diag)
{
    const struct store_position durable = store_durable(counter->config.store);
    const bool is_empty = durable.major == 0 && durable.minor == 0; /* a ledger without events */
    const int64_t until_ns = clock_steady_ns(counter->config.clock) + WAIT_MS_MAX * NS_PER_MS;
    enum err err = ERR_BEHIND;

    while (err == ERR_BEHIND && !is_stopping(counter) &&
           clock_steady_ns(counter->config.clock) < until_ns)
        err = warehouse_view_open(counter->config.warehouse, count->project_id,
                                  is_empty ? NULL : &durable, WAIT_SLICE_MS, ret_view, diag);
    return err;
}

/* What goes wrong is told once, until it goes well again. */
static void
note(struct quota_counter *counter, const struct quota_count *count, enum err err,
     const struct diag *diag)
{
    if (err != ERR_OK && !counter->is_failing && !is_stopping(counter))
        SINK(counter->config.sink, LOG_LEVEL_WARN, "quota.uncounted",
             LOG_I64("project", count->project_id), LOG_TEXT("error", err_name(err)),
             LOG_TEXT("reason", diag->message),
             LOG_TEXT("next", "what was counted last stands; counted again soon"));
    else if (err == ERR_OK && counter->is_failing)
        SINK(counter->config.sink, LOG_LEVEL_INFO, "quota.counted",
             LOG_I64("project", count->project_id));
    counter->is_failing = err != ERR_OK;
}

static void
count_one(struct quota_counter *counter, const struct quota_count *count)
{
    CLEANUP(warehouse_view_close) struct warehouse_view *view = NULL;
    struct diag diag = DIAG_INIT;
    uint64_t events = 0;
    enum err err;

    err = open_view(counter, count, &view, &diag);
    counter->control.deadline_steady_ns =
        clock_steady_ns(counter->config.clock) + counter->config.timeout_ms * NS_PER_MS;
    if (err == ERR_OK)
        err = warehouse_count_received(view, count->from_us, count->to_us, &counter->control,
                                       &events, &diag);
    if (err == ERR_OK)
        quota_count_end(count, events);
    note(counter, count, err, &diag);
}

static void
run(struct pool_job *job, void *worker_state)
{
    struct quota_counter *counter = (struct quota_counter *)(void *)job;
    struct quota_count count;

    (void)worker_state;
    while (!is_stopping(counter) &&
           quota_count_next(counter->config.quota, clock_steady_ns(counter->config.clock), &count))
        count_one(counter, &count);
    atomic_store(&counter->is_busy, false);
    /* What became due between the last look and this moment was kicked in vain. */
    if (quota_count_is_wanted(counter->config.quota))
        quota_counter_kick(counter);
}

void
quota_counter_kick(struct quota_counter *counter)
{
    if (is_stopping(counter) || atomic_exchange(&counter->is_busy, true))
        return;
    counter->job.run = run;
    if (!query_pool_wait(counter->config.pool, &counter->job))
        atomic_store(&counter->is_busy, false);
}

enum err
quota_counter_new(const struct quota_counter_config *config, struct quota_counter **ret_counter,
                  struct diag *diag)
{
    struct quota_counter *counter = MEM_NEW(struct quota_counter, 1);

    if (counter == NULL) {
        diag_set(diag, "quotas: out of memory");
        return ERR_NOMEM;
    }
    counter->config = *config;
    *ret_counter = counter;
    return ERR_OK;
}

void
quota_counter_stop(struct quota_counter *counter)
{
    if (counter != NULL)
        atomic_store(&counter->control.is_cancelled, true);
}

void
quota_counter_free(struct quota_counter **place)
{
    mem_free(*place);
    *place = NULL;
}
