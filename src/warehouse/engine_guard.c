/*
 * engine_guard - stopping queries: deadline, cancellation, the first error of several threads.
 *
 * Layer 4. engine_run_jobs is called by a query's thread, which then only watches (every 10 ms):
 * DuckDB may sit in one fetch for long, and only another thread can interrupt it there.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "warehouse/engine_inside.h"
#include <stdatomic.h>
#include <time.h>

#define WATCH_NS 10000000L

void
engine_guard_init(struct engine_guard *guard)
{
    pthread_condattr_t attributes;

    *guard = (struct engine_guard){0};
    pthread_mutex_init(&guard->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&guard->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void
engine_guard_fini(struct engine_guard *guard)
{
    pthread_cond_destroy(&guard->changed);
    pthread_mutex_destroy(&guard->lock);
}

void
engine_guard_stop(struct engine_guard *guard, enum err err)
{
    int none = ERR_OK;

    atomic_compare_exchange_strong(&guard->err, &none, (int)err);
}

void
engine_guard_add(struct engine_guard *guard, struct engine_link *link)
{
    pthread_mutex_lock(&guard->lock);
    link->next = guard->links;
    guard->links = link;
    pthread_mutex_unlock(&guard->lock);
}

void
engine_guard_remove(struct engine_guard *guard, struct engine_link *link)
{
    struct engine_link **place = &guard->links;

    pthread_mutex_lock(&guard->lock);
    while (*place != link)
        place = &(*place)->next;
    *place = link->next;
    pthread_mutex_unlock(&guard->lock);
}

static void
job_run(void *arg)
{
    struct engine_job *job = arg;
    struct engine_guard *guard = job->guard;
    const enum err err = job->run(job, &job->diag);

    if (err != ERR_OK)
        engine_guard_stop(guard, err);
    pthread_mutex_lock(&guard->lock);
    guard->running--;
    pthread_cond_signal(&guard->changed);
    pthread_mutex_unlock(&guard->lock);
}

/* Until the last job has ended. */
static void
watch(struct engine_guard *guard, struct query_control *control)
{
    pthread_mutex_lock(&guard->lock);
    while (guard->running != 0) {
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        if (control != NULL && atomic_load(&control->is_cancelled))
            engine_guard_stop(guard, ERR_CANCELLED);
        if (control != NULL &&
            until.tv_sec * NS_PER_S + until.tv_nsec >= control->deadline_steady_ns)
            engine_guard_stop(guard, ERR_QUERY_TIMEOUT);
        if (atomic_load(&guard->err) != ERR_OK) {
            for (struct engine_link *link = guard->links; link != NULL; link = link->next)
                duckdb_interrupt(link->connection);
        }
        until.tv_nsec += WATCH_NS;
        if (until.tv_nsec >= NS_PER_S) {
            until.tv_nsec -= NS_PER_S;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&guard->changed, &guard->lock, &until);
    }
    pthread_mutex_unlock(&guard->lock);
}

enum err
engine_run_jobs(struct engine_guard *guard, struct query_control *control, struct engine_job **jobs,
                uint32_t count, struct diag *diag)
{
    CLEANUP(mem_free_ptr) struct thread **threads = MEM_NEW(struct thread *, count);
    enum err err = ERR_OK;

    if (threads == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        jobs[i]->guard = guard;
        diag_clear(&jobs[i]->diag);
        pthread_mutex_lock(&guard->lock);
        guard->running++;
        pthread_mutex_unlock(&guard->lock);
        err = thread_start("query-part", THREAD_LOW, job_run, jobs[i], &threads[i], diag);
        if (err != ERR_OK) {
            pthread_mutex_lock(&guard->lock);
            guard->running--;
            pthread_mutex_unlock(&guard->lock);
            engine_guard_stop(guard, err);
            break;
        }
    }
    watch(guard, control);
    for (uint32_t i = 0; i < count; i++)
        thread_join(&threads[i]);
    err = (enum err)atomic_load(&guard->err);
    for (uint32_t i = 0; err != ERR_OK && diag != NULL && i < count; i++) {
        if (jobs[i]->diag.message[0] != '\0' && diag->message[0] == '\0')
            *diag = jobs[i]->diag;
    }
    return err;
}
