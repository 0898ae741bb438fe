/*
 * workers - loader and keeper. See workers.h.
 */
#include "app/workers.h"

#include "app/eraser.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "rejects/rejects.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#define LOAD_WAIT_MS 500
/* Steps of the loader begin at least this far apart: waking it for each commit costs the loops
 * futex calls, to load twenty events at a time. */
#define LOAD_EVERY_MS 5
#define RETRY_MS 1000
#define IDLE_MS 1000
#define ERASE_WAIT_MS 20             /* between steps of an erasure that waits */
#define SLOW_STEP_NS (10 * NS_PER_S) /* of an erasure; on idle cores one takes 1 to 5 s */

/* What one kind of work last ended with: a change is logged, a repetition is not. */
struct trouble {
    const char *event;
    enum err err;
};

struct workers {
    struct store *store;
    struct warehouse *warehouse;
    struct rejects *rejects; /* NULL: none are kept */
    struct eraser *eraser;   /* the keeper's */
    struct thread *loader;
    struct thread *keeper;
    _Atomic bool is_stopping;
    pthread_mutex_t lock;
    pthread_cond_t stopping;
};

/* Sleeps, unless or until the program stops. */
static void
pause_ms(struct workers *workers, int64_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&workers->lock);
    while (!atomic_load(&workers->is_stopping) &&
           pthread_cond_timedwait(&workers->stopping, &workers->lock, &until) != ETIMEDOUT)
        continue;
    pthread_mutex_unlock(&workers->lock);
}

static void
note(struct trouble *trouble, enum err err, const struct diag *diag)
{
    if (err == trouble->err)
        return;
    if (err != ERR_OK)
        LOG_ERROR(trouble->event, LOG_TEXT("error", err_name(err)),
                  LOG_TEXT("reason", diag->message), LOG_I64("retry_ms", RETRY_MS));
    else
        LOG_INFO(trouble->event, LOG_TEXT("error", "over"));
    trouble->err = err;
}

static void
run_loader(void *arg)
{
    struct workers *workers = arg;
    struct trouble load = {.event = "loader.load"};
    struct trouble seal = {.event = "loader.seal_ids"};

    while (!atomic_load(&workers->is_stopping)) {
        struct diag diag = DIAG_INIT;
        bool did_work = false;
        int64_t began_ns = clock_steady_ns(clock_system());
        enum err seal_err = store_maintain_fast(workers->store, &did_work, &diag);
        enum err load_err;
        int64_t took_ms;

        note(&seal, seal_err, &diag);
        diag_clear(&diag);
        load_err = warehouse_load_step(workers->warehouse,
                                       seal_err != ERR_OK || did_work ? 0 : LOAD_WAIT_MS, &diag);
        note(&load, load_err, &diag);
        rejects_step(workers->rejects);
        if (load_err != ERR_OK || seal_err != ERR_OK)
            pause_ms(workers, RETRY_MS);
        took_ms = (clock_steady_ns(clock_system()) - began_ns) / 1000000;
        if (took_ms < LOAD_EVERY_MS)
            pause_ms(workers, LOAD_EVERY_MS - took_ms);
    }
}

/* Somebody waits for an erasure. At the keeper's own priority loops wait for it least, but beside
 * loops that have no rest it might never end: a slow step raises it until the last job is over.
 * Where the system refuses, it stays as it is. */
static void
hurry(bool is_busy, int64_t step_ns, bool *is_hurrying)
{
    const bool must_hurry = is_busy && (*is_hurrying || step_ns > SLOW_STEP_NS);

    if (must_hurry != *is_hurrying)
        (void)!thread_set_priority(must_hurry ? THREAD_LOW : THREAD_IDLE);
    *is_hurrying = must_hurry;
}

static void
run_keeper(void *arg)
{
    struct workers *workers = arg;
    bool is_hurrying = false;
    struct trouble store = {.event = "keeper.store"};
    struct trouble warehouse = {.event = "keeper.warehouse"};

    while (!atomic_load(&workers->is_stopping)) {
        struct diag diag = DIAG_INIT;
        bool did_store = false;
        bool did_warehouse = false;
        bool did_erase = false;
        bool is_erasing;
        int64_t began_ns;
        enum err err = store_maintain_slow(workers->store, &did_store, &diag);

        note(&store, err, &diag);
        if (atomic_load(&workers->is_stopping))
            return;
        diag_clear(&diag);
        err = warehouse_keep_step(workers->warehouse, &did_warehouse, &diag);
        if (atomic_load(&workers->is_stopping))
            return;
        note(&warehouse, err, &diag);
        began_ns = clock_steady_ns(clock_system());
        eraser_step(workers->eraser, &did_erase);
        if (atomic_load(&workers->is_stopping))
            return;
        is_erasing = eraser_is_busy(workers->eraser);
        hurry(is_erasing, clock_steady_ns(clock_system()) - began_ns, &is_hurrying);
        /* Somebody waits for an erasure: it goes on at once, though merges may have failed. */
        if (did_erase)
            continue;
        if (is_erasing) {
            pause_ms(workers, ERASE_WAIT_MS);
            continue;
        }
        if ((!did_store && !did_warehouse) || store.err != ERR_OK || warehouse.err != ERR_OK)
            pause_ms(workers, IDLE_MS);
    }
}

enum err
workers_start(struct store *store, struct warehouse *warehouse, struct rejects *rejects,
              struct eraser **eraser, struct workers **ret_workers, struct diag *diag)
{
    CLEANUP(workers_stop) struct workers *workers = MEM_NEW(struct workers, 1);
    pthread_condattr_t attributes;
    enum err err;

    if (workers == NULL) {
        eraser_free(eraser);
        return ERR_NOMEM;
    }
    workers->eraser = MOVE(*eraser);
    workers->store = store;
    workers->warehouse = warehouse;
    workers->rejects = rejects;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&workers->stopping, &attributes);
    pthread_condattr_destroy(&attributes);
    err = thread_start("loader", THREAD_LOW, run_loader, workers, &workers->loader, diag);
    if (err == ERR_OK)
        err = thread_start("keeper", THREAD_IDLE, run_keeper, workers, &workers->keeper, diag);
    if (err != ERR_OK)
        return err;
    *ret_workers = MOVE(workers);
    return ERR_OK;
}

void
workers_stop(struct workers **place)
{
    struct workers *workers = *place;

    if (workers == NULL)
        return;
    pthread_mutex_lock(&workers->lock);
    atomic_store(&workers->is_stopping, true);
    pthread_cond_broadcast(&workers->stopping);
    pthread_mutex_unlock(&workers->lock);
    store_wake(workers->store);
    warehouse_stop(workers->warehouse); /* a merge under way is called off */
    thread_join(&workers->loader);
    thread_join(&workers->keeper);
    eraser_free(&workers->eraser);
    pthread_cond_destroy(&workers->stopping);
    pthread_mutex_destroy(&workers->lock);
    mem_free(workers);
    *place = NULL;
}
