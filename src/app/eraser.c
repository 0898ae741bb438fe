/*
 * eraser - one job at a time, step by step. See eraser.h.
 *
 * Retentions: once an hour each project with retention_days is looked at. What was received before
 * midnight (UTC) of so many days ago goes, so a project has at most one such job a day; it is made
 * only where the warehouse knows of an event that old.
 */
#include "app/eraser.h"

#include "account/erasure.h"
#include "base/counter.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define NS_PER_MS INT64_C(1000000)
#define SAVE_EVERY_NS (2 * NS_PER_S)
#define RETENTION_EVERY_NS (3600 * NS_PER_S)

COUNTER_DEFINE(jobs_done, "potik_erasures_total", "erasure jobs done");

struct eraser {
    struct account *account;
    struct eraser_config config;
    struct erasure *job; /* under way; NULL: none */
    struct store_position position;
    struct store_erase *in_store;
    struct warehouse_erase *in_warehouse;
    struct rejects_erasure in_rejects;
    bool are_rejects_erased;       /* for this job, by this try */
    struct erasure_missed *missed; /* being loaded anew, the last first; NULL: none */
    uint32_t missed_count;
    uint64_t failed_id;     /* the sink has heard of this job's trouble; UINT64_MAX: of none */
    enum err failed_err;    /* and which it was */
    uint64_t events_before; /* of the job, erased by earlier tries */
    int64_t next_ns;        /* no step before it */
    int64_t save_ns;        /* the row is brought up to date then */
    int64_t retention_ns;
};

static int64_t
now_ns(const struct eraser *eraser)
{
    return clock_steady_ns(eraser->config.clock);
}

static enum err
save(struct eraser *eraser, struct diag *diag)
{
    eraser->save_ns = now_ns(eraser) + SAVE_EVERY_NS;
    return erasure_progress(eraser->account, store_node_name(eraser->config.store), eraser->job,
                            diag);
}

static void
drop_job(struct eraser *eraser)
{
    store_erase_close(&eraser->in_store);
    warehouse_erase_close(&eraser->in_warehouse);
    erasure_free(&eraser->job);
    eraser->in_rejects = (struct rejects_erasure){0};
    eraser->are_rejects_erased = false;
}

/* --- the states -------------------------------------------------------------------------------*/

static const char *
state_name(enum erasure_state state)
{
    static const char *const names[] = {"waiting", "in store", "in warehouse", "done"};

    return names[state];
}

static void
log_job(const struct eraser *eraser, const char *event)
{
    const struct erasure *job = eraser->job;

    SINK(eraser->config.sink, LOG_LEVEL_INFO, event, LOG_U64("erasure", job->id),
         LOG_U64("project", job->selection.project_id), LOG_TEXT("state", state_name(job->state)),
         LOG_U64("events", job->events));
}

/* The bounds are fixed once, and kept: a job that is begun again covers what it did before. */
static enum err
begin(struct eraser *eraser, bool *ret_did_work, struct diag *diag)
{
    struct erasure *job = eraser->job;
    int64_t age_us = clock_wall_us(eraser->config.clock) - job->requested_at_us;
    enum err err;

    if (job->reason == ERASURE_PROJECT && age_us >= 0 && age_us < ERASER_PROJECT_GRACE_MS * 1000)
        return ERR_OK; /* asked again at the next poll */
    err = store_erase_bound(eraser->config.store, &job->selection, &eraser->position, diag);
    if (err != ERR_OK)
        return err;
    store_position_format(eraser->position, job->position);
    if (job->selection.kind == SELECTION_PERSON)
        store_hash_person(eraser->config.store, job->selection.project_id, job->selection.person,
                          job->person_hash);
    job->state = ERASURE_IN_STORE;
    *ret_did_work = true;
    err = save(eraser, diag);
    if (err == ERR_OK)
        log_job(eraser, "erasure.begun");
    return err;
}

/* In a dry run nothing was erased: the count is the answer, and the job ends. */
static enum err
step_in_store(struct eraser *eraser, bool *ret_did_work, struct diag *diag)
{
    struct erasure *job = eraser->job;
    struct store_erasure_progress progress = {0};
    const struct store_erasure erasure = {
        .selection = job->selection,
        .frees_ids = job->frees_ids,
        .is_dry_run = job->is_dry_run,
    };
    uint64_t before = job->done;
    bool is_done = false;
    enum err err = ERR_OK;

    if (eraser->in_store == NULL)
        err = store_erase_open(eraser->config.store, &erasure, &eraser->in_store, diag);
    if (err == ERR_OK)
        err = store_erase_step(eraser->in_store, &is_done, &progress, diag);
    if (err != ERR_OK)
        return err;
    /* An error of an earlier try is over; what that try erased is not found again. */
    job->error[0] = '\0';
    job->events = eraser->events_before + progress.events;
    job->done = progress.done;
    job->total = progress.total;
    *ret_did_work = is_done || progress.done != before;
    if (!is_done)
        return now_ns(eraser) >= eraser->save_ns ? save(eraser, diag) : ERR_OK;
    store_erase_close(&eraser->in_store);
    job->state = job->is_dry_run ? ERASURE_DONE : ERASURE_IN_WAREHOUSE;
    job->done = 0;
    job->total = 0;
    return save(eraser, diag);
}

/* A file a step; waits for the loader to have written what was refused before. */
static enum err
step_in_rejects(struct eraser *eraser, bool *ret_did_work, struct diag *diag)
{
    const uint64_t before = eraser->in_rejects.next_id;
    enum err err = ERR_OK;

    if (eraser->config.rejects == NULL)
        eraser->are_rejects_erased = true;
    else
        err = rejects_erase_step(eraser->config.rejects, &eraser->job->selection,
                                 &eraser->in_rejects, &eraser->are_rejects_erased, diag);
    *ret_did_work = eraser->are_rejects_erased || eraser->in_rejects.next_id != before;
    return err;
}

static enum err
step_in_warehouse(struct eraser *eraser, bool *ret_did_work, struct diag *diag)
{
    struct erasure *job = eraser->job;
    struct warehouse_erasure_progress progress = {0};
    const struct warehouse_erasure erasure = {
        .selection = job->selection,
        .position = eraser->position,
    };
    bool is_done = false;
    enum err err = ERR_OK;

    if (!eraser->are_rejects_erased)
        return step_in_rejects(eraser, ret_did_work, diag);
    if (eraser->in_warehouse == NULL)
        err = warehouse_erase_open(eraser->config.warehouse, &erasure, &eraser->in_warehouse, diag);
    if (err == ERR_OK)
        err = warehouse_erase_step(eraser->in_warehouse, ret_did_work, &is_done, &progress, diag);
    if (err != ERR_OK)
        return err;
    job->done = progress.done;
    job->total = progress.total;
    if (!is_done)
        return now_ns(eraser) >= eraser->save_ns ? save(eraser, diag) : ERR_OK;
    warehouse_erase_close(&eraser->in_warehouse);
    job->state = ERASURE_DONE;
    *ret_did_work = true;
    return save(eraser, diag);
}

static enum err
step_job(struct eraser *eraser, bool *ret_did_work, struct diag *diag)
{
    switch (eraser->job->state) {
    case ERASURE_WAITING:
        return begin(eraser, ret_did_work, diag);
    case ERASURE_IN_STORE:
        return step_in_store(eraser, ret_did_work, diag);
    case ERASURE_IN_WAREHOUSE:
        return step_in_warehouse(eraser, ret_did_work, diag);
    case ERASURE_DONE:
        return ERR_OK;
    }
    return ERR_OK;
}

/* --- jobs -------------------------------------------------------------------------------------*/

static enum err
take_job(struct eraser *eraser, struct diag *diag)
{
    enum err err =
        erasure_next(eraser->account, store_node_name(eraser->config.store), &eraser->job, diag);

    if (err == ERR_ABSENT) {
        eraser->next_ns = now_ns(eraser) + ERASER_POLL_MS * NS_PER_MS;
        return ERR_OK;
    }
    if (err != ERR_OK)
        return err;
    eraser->position = (struct store_position){0};
    eraser->events_before = eraser->job->is_dry_run ? 0 : eraser->job->events;
    if (eraser->job->state == ERASURE_WAITING)
        return ERR_OK;
    err = store_position_parse(slice_of_text(eraser->job->position), &eraser->position);
    if (err != ERR_OK)
        diag_set(diag, "erasure %llu: its position cannot be read",
                 (unsigned long long)eraser->job->id);
    else
        log_job(eraser, "erasure.resumed");
    return err;
}

/* What stands in the way is told once and kept in the job's row. The row is the truth: the next try
 * reads it anew. */
static void
note_failure(struct eraser *eraser, enum err err, const struct diag *diag)
{
    const char *reason = diag->message[0] != '\0' ? diag->message : err_sentence(err);
    uint64_t id = eraser->job != NULL ? eraser->job->id : 0;

    if (eraser->failed_id != id || eraser->failed_err != err)
        SINK(eraser->config.sink, LOG_LEVEL_ERROR, "erasure.failed", LOG_U64("erasure", id),
             LOG_TEXT("error", err_name(err)), LOG_TEXT("reason", reason),
             LOG_I64("retry_ms", ERASER_RETRY_MS));
    eraser->failed_id = id;
    eraser->failed_err = err;
    eraser->next_ns = now_ns(eraser) + ERASER_RETRY_MS * NS_PER_MS;
    if (eraser->job == NULL)
        return;
    (void)snprintf(eraser->job->error, sizeof(eraser->job->error), "%.*s",
                   (int)sizeof(eraser->job->error) - 1, reason);
    err = save(eraser, NULL); /* if that fails, too, the next try tells */
    (void)err;
}

/* --- what was missed ---------------------------------------------------------------------------*/

static void
drop_missed(struct eraser *eraser)
{
    mem_free(eraser->missed);
    eraser->missed = NULL;
    eraser->missed_count = 0;
}

/* All of them at once: the loader then reads the store once for all. */
static enum err
find_missed(struct eraser *eraser, struct diag *diag)
{
    enum err err = erasure_missed_list(eraser->account, store_node_name(eraser->config.store),
                                       &eraser->missed, &eraser->missed_count, diag);

    for (uint32_t i = 0; err == ERR_OK && i < eraser->missed_count; i++) {
        err = rejects_drop_project(eraser->config.rejects, eraser->missed[i].project_id, diag);
        if (err == ERR_OK)
            err = warehouse_reload(eraser->config.warehouse, eraser->missed[i].project_id, diag);
        if (err == ERR_OK)
            SINK(eraser->config.sink, LOG_LEVEL_WARN, "erasure.missed",
                 LOG_U64("erasure", eraser->missed[i].erasure_id),
                 LOG_U64("project", eraser->missed[i].project_id),
                 LOG_TEXT("why", "it ended while this node was away"),
                 LOG_TEXT("next", "the project is loaded again from the store"));
    }
    if (err != ERR_OK)
        drop_missed(eraser); /* asked again: each is withheld, perhaps once more */
    return err;
}

/* The row goes last: after a stop in between all begins again. */
static enum err
step_missed(struct eraser *eraser, bool *ret_did_work, struct diag *diag)
{
    const struct erasure_missed *missed = &eraser->missed[eraser->missed_count - 1];
    bool is_done = false;
    enum err err =
        warehouse_reload_step(eraser->config.warehouse, missed->project_id, &is_done, diag);

    if (err != ERR_OK || !is_done)
        return err;
    err = erasure_missed_done(eraser->account, store_node_name(eraser->config.store), missed, diag);
    if (err != ERR_OK)
        return err;
    *ret_did_work = true;
    if (--eraser->missed_count == 0)
        drop_missed(eraser);
    return ERR_OK;
}

void
eraser_look(struct eraser *eraser)
{
    struct diag diag = DIAG_INIT;
    enum err err = find_missed(eraser, &diag);

    if (err != ERR_OK)
        note_failure(eraser, err, &diag);
}

/* --- retentions -------------------------------------------------------------------------------*/

static enum err
ask_retention(struct eraser *eraser, const struct account_project *project, struct diag *diag)
{
    CLEANUP(warehouse_view_close) struct warehouse_view *view = NULL;
    static const struct account_actor server = {.kind = ACCOUNT_ACTOR_SERVER};
    int64_t today_us = clock_wall_us(eraser->config.clock) / US_PER_DAY * US_PER_DAY;
    struct erasure erasure = {
        .reason = ERASURE_RETENTION,
        .selection = {.project_id = project->id,
                      .kind = SELECTION_RECEIVED,
                      .to_us = today_us - (int64_t)project->retention_days * US_PER_DAY},
    };
    int64_t oldest_us;
    uint64_t id;
    enum err err = warehouse_view_open(eraser->config.warehouse, project->id, NULL, 0, &view, diag);

    if (err != ERR_OK)
        return err;
    oldest_us = warehouse_view_history_from_us(view);
    if (oldest_us == 0 || oldest_us >= erasure.selection.to_us)
        return ERR_OK;
    return erasure_add(eraser->account, &server, &erasure, &id, diag);
}

static enum err
ask_retentions(struct eraser *eraser, struct diag *diag)
{
    struct account_list list = {NULL, 0, NULL, 0};
    enum err err = account_list(eraser->account, &list, diag);

    for (size_t i = 0; err == ERR_OK && i < list.project_count; i++) {
        if (list.projects[i].retention_days != 0)
            err = ask_retention(eraser, &list.projects[i], diag);
    }
    account_list_free(&list);
    return err;
}

/* --- the step ---------------------------------------------------------------------------------*/

void
eraser_step(struct eraser *eraser, bool *ret_did_work)
{
    struct diag diag = DIAG_INIT;
    enum err err = ERR_OK;

    *ret_did_work = false;
    if (now_ns(eraser) < eraser->next_ns)
        return;
    if (eraser->job == NULL && eraser->missed_count == 0)
        err = find_missed(eraser, &diag);
    if (err == ERR_OK && eraser->missed_count != 0)
        err = step_missed(eraser, ret_did_work, &diag);
    else if (err == ERR_OK && eraser->job == NULL)
        err = take_job(eraser, &diag);
    if (err == ERR_OK && eraser->job == NULL && eraser->missed_count == 0 &&
        now_ns(eraser) >= eraser->retention_ns) {
        eraser->retention_ns = now_ns(eraser) + RETENTION_EVERY_NS;
        err = ask_retentions(eraser, &diag);
    }
    if (err == ERR_OK && eraser->job != NULL)
        err = step_job(eraser, ret_did_work, &diag);
    if (err != ERR_OK && err != ERR_CANCELLED)
        note_failure(eraser, err, &diag);
    if (err == ERR_OK && eraser->job == NULL && eraser->failed_id == 0)
        eraser->failed_id = UINT64_MAX; /* of no job: the database answers again */
    if (err == ERR_OK && eraser->job != NULL && eraser->job->state == ERASURE_DONE) {
        eraser->failed_id = UINT64_MAX;
        counter_add(&jobs_done, 1);
        log_job(eraser, "erasure.done");
    }
    if (err != ERR_OK || (eraser->job != NULL && eraser->job->state == ERASURE_DONE))
        drop_job(eraser);
}

bool
eraser_is_busy(const struct eraser *eraser)
{
    return eraser->job != NULL || eraser->missed_count != 0;
}

enum err
eraser_new(struct account **account, const struct eraser_config *config, struct eraser **ret_eraser,
           struct diag *diag)
{
    struct eraser *eraser = MEM_NEW(struct eraser, 1);

    if (eraser == NULL) {
        account_close(account);
        diag_set(diag, "eraser: out of memory");
        return ERR_NOMEM;
    }
    eraser->account = MOVE(*account);
    eraser->config = *config;
    eraser->failed_id = UINT64_MAX;
    *ret_eraser = eraser;
    return ERR_OK;
}

void
eraser_free(struct eraser **eraser)
{
    if (*eraser == NULL)
        return;
    drop_job(*eraser);
    drop_missed(*eraser);
    account_close(&(*eraser)->account);
    mem_free(*eraser);
    *eraser = NULL;
}
