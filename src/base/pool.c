/*
 * pool - N threads over one bounded queue of jobs. See thread.h.
 *
 * Each worker makes its state on its own thread; pool_start waits until every one has told how that
 * went, and takes the pool down again if one failed.
 */
#include "base/thread.h"

#include "base/mem.h"
#include <assert.h>
#include <stdio.h>

#define THREADS_MAX 256

struct pool {
    struct pool_config config;
    pthread_mutex_t lock;
    pthread_cond_t has_work; /* a job waits, or is_stopping */
    pthread_cond_t has_told; /* a worker has started or failed */
    struct thread *threads[THREADS_MAX];
    uint32_t told;
    enum err start_err; /* the first worker's that failed */
    struct diag start_diag;
    bool is_stopping;
    uint32_t start;
    uint32_t count;
    struct pool_job *jobs[];
};

static bool
start_worker(struct pool *pool, void **ret_state)
{
    struct diag diag = DIAG_INIT;
    enum err err = ERR_OK;

    if (pool->config.worker_start != NULL)
        err = pool->config.worker_start(pool->config.arg, ret_state, &diag);
    pthread_mutex_lock(&pool->lock);
    if (err != ERR_OK && pool->start_err == ERR_OK) {
        pool->start_err = err;
        pool->start_diag = diag;
    }
    pool->told++;
    pthread_cond_signal(&pool->has_told);
    pthread_mutex_unlock(&pool->lock);
    return err == ERR_OK;
}

/* The next job, or NULL when the pool stops and none is left. */
static struct pool_job *
next_job(struct pool *pool)
{
    struct pool_job *job = NULL;

    pthread_mutex_lock(&pool->lock);
    while (pool->count == 0 && !pool->is_stopping)
        pthread_cond_wait(&pool->has_work, &pool->lock);
    if (pool->count != 0) {
        job = pool->jobs[pool->start];
        pool->start = pool->start + 1 == pool->config.jobs_max ? 0 : pool->start + 1;
        pool->count--;
    }
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static void
work(void *arg)
{
    struct pool *pool = (struct pool *)arg;
    void *state = NULL;
    struct pool_job *job;

    if (!start_worker(pool, &state))
        return;
    while ((job = next_job(pool)) != NULL)
        job->run(job, state);
    if (pool->config.worker_stop != NULL)
        pool->config.worker_stop(state);
}

enum err
pool_start(const struct pool_config *config, struct pool **ret_pool, struct diag *diag)
{
    CLEANUP(pool_stop) struct pool *pool = NULL;
    uint32_t started = 0;
    enum err err = ERR_OK;

    assert(config->threads >= 1 && config->threads <= THREADS_MAX && config->jobs_max >= 1);
    pool = (struct pool *)mem_zalloc(1, sizeof(struct pool) +
                                            (size_t)config->jobs_max * sizeof(struct pool_job *));
    if (pool == NULL) {
        diag_set(diag, "pool %s: out of memory", config->name);
        return ERR_NOMEM;
    }
    pool->config = *config;
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->has_work, NULL);
    (void)pthread_cond_init(&pool->has_told, NULL);
    while (started < config->threads && err == ERR_OK) {
        char name[16];

        (void)snprintf(name, sizeof(name), "%.11s-%u", config->name, started & 0xFFU);
        err = thread_start(name, config->priority, work, pool, &pool->threads[started], diag);
        if (err == ERR_OK)
            started++;
    }
    pthread_mutex_lock(&pool->lock);
    while (pool->told < started)
        pthread_cond_wait(&pool->has_told, &pool->lock);
    if (err == ERR_OK && pool->start_err != ERR_OK) {
        err = pool->start_err;
        if (diag != NULL)
            *diag = pool->start_diag;
    }
    pthread_mutex_unlock(&pool->lock);
    if (err != ERR_OK)
        return err;
    *ret_pool = MOVE(pool);
    return ERR_OK;
}

void
pool_stop(struct pool **pool)
{
    struct pool *p = *pool;

    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->is_stopping = true;
    pthread_cond_broadcast(&p->has_work);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->config.threads; i++)
        thread_join(&p->threads[i]);
    assert(p->count == 0);
    (void)pthread_cond_destroy(&p->has_told);
    (void)pthread_cond_destroy(&p->has_work);
    (void)pthread_mutex_destroy(&p->lock);
    mem_free(p);
    *pool = NULL;
}

bool
pool_submit(struct pool *pool, struct pool_job *job)
{
    bool is_taken = false;

    pthread_mutex_lock(&pool->lock);
    if (!pool->is_stopping && pool->count < pool->config.jobs_max) {
        uint64_t end = ((uint64_t)pool->start + pool->count) % pool->config.jobs_max;

        pool->jobs[end] = job;
        pool->count++;
        is_taken = true;
        pthread_cond_signal(&pool->has_work);
    }
    pthread_mutex_unlock(&pool->lock);
    return is_taken;
}
