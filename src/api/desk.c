/*
 * desk - the two lanes and one job's way through them. See desk.h.
 */
#include "api/desk.h"

#include "base/mem.h"

#include <sodium.h>
#include <stddef.h>

#define REPLY_BYTES_MAX (UINT64_C(16) * 1024 * 1024) /* a list of all there may be */
/* A copy of the largest body and what reading it takes (body_read), in blocks half full. */
#define ARENA_BYTES_MAX (UINT64_C(64) * 1024 * 1024)

_Static_assert(ARENA_BYTES_MAX >= UINT64_C(2) * (5 * DESK_REQUEST_BYTES_MAX + 1024 * 1024),
               "no body is refused for want of room");

struct desk {
    struct desk_config config;
    struct pool *lanes[DESK_LANES];
    _Atomic bool is_stopping;
};

void *
desk_context(const struct desk *desk)
{
    return desk->config.context;
}

struct access_table *
desk_access(const struct desk *desk)
{
    return desk->config.access;
}

const struct clock *
desk_clock(const struct desk *desk)
{
    return desk->config.clock;
}

const struct log_sink *
desk_sink(const struct desk *desk)
{
    return desk->config.sink;
}

enum err
desk_public_err(enum err err)
{
    if (err == ERR_ABSENT)
        return ERR_NOT_FOUND;
    if (err == ERR_EXISTS)
        return ERR_ALREADY_EXISTS;
    if (err == ERR_INVALID)
        return ERR_INVALID_PARAMETER;
    return err == ERR_LOCKED ? ERR_OVERLOADED : err;
}

/* --- on a lane's thread -----------------------------------------------------------------------*/

/* The table could not be read: the change is made all the same, and the watcher reads it later. */
static void
renew_table(struct desk_job *job)
{
    const struct desk_config *config = &job->desk->config;
    struct diag diag = DIAG_INIT;
    enum err err = access_refresh(config->access, &diag);

    if (err != ERR_OK)
        SINK(config->sink, LOG_LEVEL_WARN, "desk.table_is_late",
             LOG_SLICE("request_id", job->request_id), LOG_TEXT("error", err_name(err)),
             LOG_TEXT("reason", diag.message));
}

static void
lane_run(struct pool_job *pool_job, void *worker_state)
{
    struct desk_job *job =
        (struct desk_job *)(void *)((char *)pool_job - offsetof(struct desk_job, errand.pool_job));
    struct desk *desk = job->desk;

    if (atomic_load(&desk->is_stopping))
        job->errand.err = ERR_NOT_READY;
    else
        job->errand.err = job->run(job, worker_state);
    if (job->has_changed)
        renew_table(job);
    errand_finish(&job->errand);
}

/* --- on the loop ------------------------------------------------------------------------------*/

static void
tell_failure(struct errand *errand, enum err err)
{
    const struct desk_job *job = (const struct desk_job *)(void *)errand;
    const struct desk_config *config = &job->desk->config;

    if (err_status(err) == 500)
        SINK(config->sink, LOG_LEVEL_ERROR, "desk.failed",
             LOG_SLICE("request_id", http_request_id(errand->exchange)),
             LOG_TEXT("error", err_name(err)), LOG_TEXT("reason", errand->diag.message));
    if (config->refused != NULL)
        config->refused(config->context, errand->exchange, err, &errand->diag);
}

/* Replies may hold tokens, texts of keys and passwords. */
static void
wipe(struct errand *errand)
{
    struct desk_job *job = (struct desk_job *)(void *)errand;

    if (job->wipe != NULL && job->state != NULL)
        job->wipe(job->state);
    if (errand->body.ptr != NULL)
        sodium_memzero(errand->body.ptr, errand->body.len);
}

struct desk_job *
desk_job_new(struct desk *desk, enum desk_lane lane, struct errand_inbox *inbox,
             struct http_exchange *exchange)
{
    static const struct errand_kind kind = {.failed = tell_failure, .wipe = wipe};
    struct desk_job *job = MEM_NEW(struct desk_job, 1);

    if (job == NULL)
        return NULL;
    errand_init(&job->errand, &kind, inbox, exchange, REPLY_BYTES_MAX, ARENA_BYTES_MAX);
    job->errand.pool_job.run = lane_run;
    job->desk = desk;
    job->lane = lane;
    return job;
}

void
desk_job_free(struct desk_job **job)
{
    if (*job != NULL)
        errand_destroy(&(*job)->errand);
    *job = NULL;
}

enum err
desk_job_submit(struct desk_job *job)
{
    return pool_submit(job->desk->lanes[job->lane], &job->errand.pool_job) ? ERR_OK
                                                                           : ERR_OVERLOADED;
}

/* --- start and stop ---------------------------------------------------------------------------*/

static enum err
give_link(void *arg, void **ret_worker_state, struct diag *diag)
{
    (void)diag;
    *ret_worker_state = arg;
    return ERR_OK;
}

enum err
desk_start(const struct desk_config *config, struct desk **ret_desk, struct diag *diag)
{
    static const char *const names[DESK_LANES] = {"desk", "hasher"};
    CLEANUP(desk_stop) struct desk *desk = MEM_NEW(struct desk, 1);

    if (desk == NULL) {
        for (int i = 0; i < DESK_LANES; i++) {
            struct account *link = config->links[i];

            account_close(&link);
        }
        return ERR_NOMEM;
    }
    desk->config = *config;
    for (int i = 0; i < DESK_LANES; i++) {
        struct pool_config lane = {
            .name = names[i],
            .threads = 1,
            .jobs_max = DESK_JOBS_MAX,
            .priority = i == HASHER_LANE ? THREAD_IDLE : THREAD_NORMAL,
            .worker_start = give_link,
            .arg = desk->config.links[i],
        };
        enum err err = pool_start(&lane, &desk->lanes[i], diag);

        if (err != ERR_OK)
            return err;
    }
    *ret_desk = MOVE(desk);
    return ERR_OK;
}

void
desk_stop(struct desk **place)
{
    struct desk *desk = *place;

    if (desk == NULL)
        return;
    atomic_store(&desk->is_stopping, true);
    for (int i = 0; i < DESK_LANES; i++)
        pool_stop(&desk->lanes[i]);
    for (int i = 0; i < DESK_LANES; i++)
        account_close(&desk->config.links[i]);
    mem_free(desk);
    *place = NULL;
}
