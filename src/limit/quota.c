/*
 * quota - the numbers of events a month. See quota.h.
 *
 * Projects stand in a table of chains that only grow: who looks takes no lock. A project keeps two
 * months, the present one and the one before (a request that came in the last minute of a month
 * ends in the next); the third takes the place of the first. The lock is for changes of the table
 * and of which months there are: when quotas are set, and when a month begins.
 *
 * `added` and `settled` go on when a month takes another's place: a share is settled rightly
 * whenever it ends.
 */
#include "limit/quota.h"

#include "base/mem.h"
#include "codec/calendar.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#define CHAINS 1024
#define MONTHS 2
#define COUNT_LEAST_NS NS_PER_S /* between two counts of one month */
#define COUNT_EVERY_NS (60 * NS_PER_S)
#define COUNT_SHARED_NS (10 * NS_PER_S) /* so soon others' events are known */
#define LONG_AGO_NS (INT64_MIN / 2)
/* Requests that came before the quota was set are on their way to the store, and nobody has counted
 * them: a count that begins sooner after it is followed by another. */
#define UNCOUNTED_NS (2 * NS_PER_S)
#define NOT_SURE UINT64_MAX

struct quota_month {
    _Atomic int64_t from_us;
    _Atomic int64_t to_us; /* 0: no month yet */
    _Atomic bool is_counted;
    _Atomic int64_t base; /* counted less `settled` then; used = base + added */
    _Atomic uint64_t added;
    _Atomic uint64_t settled;
    _Atomic uint64_t sure;      /* base + added is exact while `added` is this */
    _Atomic int64_t set_ns;     /* when it began to be kept */
    _Atomic int64_t counted_ns; /* when the last count began */
    _Atomic int64_t next_ns;    /* when the next is due, even if nothing asks for it */
    _Atomic bool is_due;        /* for quota_count_next */
    struct quota_project *project;
};

struct quota_project {
    struct quota_project *next;
    uint32_t id;
    _Atomic uint64_t events_per_month; /* 0: none */
    int64_t since_us;                  /* under the lock: it has had one since */
    bool is_listed;                    /* under the lock, while quotas are set */
    struct quota_month months[MONTHS];
};

struct quota {
    int64_t count_every_ns;
    pthread_mutex_t lock;
    _Atomic uint64_t generation;
    _Atomic uint32_t limited; /* projects that have one */
    _Atomic bool is_wanted;   /* some month is due */
    _Atomic(struct quota_project *) chains[CHAINS];
};

void
quota_month_of(int64_t time_us, int64_t *ret_from_us, int64_t *ret_to_us)
{
    const int64_t day = time_us > 0 ? time_us / US_PER_DAY : 0;
    const int32_t month = calendar_bucket_of_day(
        CALENDAR_MONTH, (int32_t)(day < CALENDAR_DAY_MAX ? day : CALENDAR_DAY_MAX));

    *ret_from_us = calendar_bucket_first_day(CALENDAR_MONTH, month) * US_PER_DAY;
    *ret_to_us = calendar_bucket_first_day(CALENDAR_MONTH, month + 1) * US_PER_DAY;
}

/* --- projects and months ----------------------------------------------------------------------*/

static struct quota_project *
find_project(const struct quota *quota, uint32_t id)
{
    struct quota_project *project =
        atomic_load_explicit(&quota->chains[id % CHAINS], memory_order_acquire);

    while (project != NULL && project->id != id)
        project = project->next;
    return project;
}

static struct quota_month *
find_month(struct quota_project *project, int64_t time_us)
{
    for (int i = 0; i < MONTHS; i++) {
        struct quota_month *month = &project->months[i];

        /* `to` is set last, and 0 while a month takes another's place. */
        if (time_us < atomic_load_explicit(&month->to_us, memory_order_acquire) &&
            time_us >= atomic_load_explicit(&month->from_us, memory_order_acquire))
            return month;
    }
    return NULL;
}

static void
want(struct quota *quota, struct quota_month *month)
{
    atomic_store(&month->is_due, true);
    atomic_store(&quota->is_wanted, true);
}

/* Under the lock: counted as if never before. */
static void
forget(struct quota *quota, struct quota_month *month, bool is_counted, int64_t now_ns)
{
    atomic_store(&month->is_counted, is_counted);
    atomic_store(&month->sure, NOT_SURE);
    atomic_store(&month->set_ns, now_ns);
    atomic_store(&month->counted_ns, LONG_AGO_NS);
    atomic_store(&month->next_ns, LONG_AGO_NS);
    want(quota, month);
}

/* Under the lock. */
static struct quota_month *
begin_month(struct quota *quota, struct quota_project *project, int64_t time_us, int64_t now_ns)
{
    struct quota_month *month = &project->months[0];
    int64_t from_us, to_us;

    for (int i = 1; i < MONTHS; i++) {
        if (project->months[i].to_us < month->to_us)
            month = &project->months[i];
    }
    quota_month_of(time_us, &from_us, &to_us);
    atomic_store(&month->to_us, 0);
    atomic_store(&month->base, -(int64_t)atomic_load(&month->added));
    forget(quota, month, from_us > project->since_us, now_ns);
    atomic_store(&month->from_us, from_us);
    atomic_store_explicit(&month->to_us, to_us, memory_order_release);
    return month;
}

/* Nobody has asked for this month before. Apart, so that the usual way keeps few registers. */
static __attribute__((noinline)) struct quota_month *
add_month(struct quota *quota, struct quota_project *project, int64_t time_us, int64_t now_ns)
{
    struct quota_month *month;

    pthread_mutex_lock(&quota->lock);
    month = find_month(project, time_us);
    if (month == NULL)
        month = begin_month(quota, project, time_us, now_ns);
    pthread_mutex_unlock(&quota->lock);
    return month;
}

static inline struct quota_month *
get_month(struct quota *quota, struct quota_project *project, int64_t time_us, int64_t now_ns)
{
    struct quota_month *month = find_month(project, time_us);

    return month != NULL ? month : add_month(quota, project, time_us, now_ns);
}

/* --- opening ----------------------------------------------------------------------------------*/

enum err
quota_new(const struct quota_config *config, struct quota **ret_quota, struct diag *diag)
{
    struct quota *quota = MEM_NEW(struct quota, 1);

    if (quota == NULL) {
        diag_set(diag, "quotas: out of memory");
        return ERR_NOMEM;
    }
    quota->count_every_ns = config->is_shared ? COUNT_SHARED_NS : COUNT_EVERY_NS;
    (void)pthread_mutex_init(&quota->lock, NULL);
    *ret_quota = quota;
    return ERR_OK;
}

void
quota_free(struct quota **place)
{
    struct quota *quota = *place;

    if (quota == NULL)
        return;
    for (uint32_t i = 0; i < CHAINS; i++) {
        struct quota_project *project = quota->chains[i];

        while (project != NULL) {
            struct quota_project *next = project->next;

            mem_free(project);
            project = next;
        }
    }
    (void)pthread_mutex_destroy(&quota->lock);
    mem_free(quota);
    *place = NULL;
}

/* --- the quotas in force ----------------------------------------------------------------------*/

/* Under the lock. */
static struct quota_project *
add_project(struct quota *quota, uint32_t id)
{
    struct quota_project *project = MEM_NEW(struct quota_project, 1);

    if (project == NULL)
        return NULL;
    project->id = id;
    for (int i = 0; i < MONTHS; i++)
        project->months[i].project = project;
    project->next = atomic_load(&quota->chains[id % CHAINS]);
    atomic_store_explicit(&quota->chains[id % CHAINS], project, memory_order_release);
    return project;
}

/* Under the lock. What came while there was none was not counted: all months are, anew. */
static void
begin_project(struct quota *quota, struct quota_project *project, int64_t now_us, int64_t now_ns)
{
    project->since_us = now_us;
    for (int i = 0; i < MONTHS; i++) {
        if (project->months[i].to_us != 0)
            forget(quota, &project->months[i], false, now_ns);
    }
    if (find_month(project, now_us) == NULL)
        (void)begin_month(quota, project, now_us, now_ns);
}

/* Under the lock. */
static enum err
set_limit(struct quota *quota, const struct quota_limit *limit, int64_t now_us, int64_t now_ns)
{
    struct quota_project *project = find_project(quota, limit->project_id);

    assert(limit->events_per_month >= 1 && limit->events_per_month <= QUOTA_EVENTS_MAX);
    if (project == NULL)
        project = add_project(quota, limit->project_id);
    if (project == NULL)
        return ERR_NOMEM;
    if (atomic_load(&project->events_per_month) == 0) {
        begin_project(quota, project, now_us, now_ns);
        atomic_fetch_add(&quota->limited, 1);
    }
    atomic_store(&project->events_per_month, limit->events_per_month);
    project->is_listed = true;
    return ERR_OK;
}

/* Under the lock: who was not listed has none any more. */
static void
end_others(struct quota *quota)
{
    for (uint32_t i = 0; i < CHAINS; i++) {
        for (struct quota_project *project = quota->chains[i]; project != NULL;
             project = project->next) {
            if (!project->is_listed && atomic_exchange(&project->events_per_month, 0) != 0)
                atomic_fetch_sub(&quota->limited, 1);
            project->is_listed = false;
        }
    }
}

enum err
quota_set_limits(struct quota *quota, uint64_t generation, const struct quota_limit *limits,
                 size_t count, int64_t now_us, int64_t now_ns)
{
    enum err err = ERR_OK;

    pthread_mutex_lock(&quota->lock);
    if (generation > quota->generation) {
        for (size_t i = 0; i < count && err == ERR_OK; i++)
            err = set_limit(quota, &limits[i], now_us, now_ns);
        if (err == ERR_OK) {
            end_others(quota);
            atomic_store_explicit(&quota->generation, generation, memory_order_release);
        }
    }
    pthread_mutex_unlock(&quota->lock);
    return err;
}

uint64_t
quota_generation(const struct quota *quota)
{
    return atomic_load_explicit(&quota->generation, memory_order_acquire);
}

bool
quota_is_any(const struct quota *quota)
{
    return atomic_load_explicit(&quota->limited, memory_order_relaxed) != 0;
}

/* --- storing ----------------------------------------------------------------------------------*/

static uint64_t
used_of(const struct quota_month *month, uint64_t added)
{
    const int64_t used = atomic_load_explicit(&month->base, memory_order_relaxed) + (int64_t)added;

    return used > 0 ? (uint64_t)used : 0;
}

static bool
may_count(const struct quota_month *month, int64_t now_ns)
{
    return now_ns - atomic_load_explicit(&month->counted_ns, memory_order_relaxed) >=
           COUNT_LEAST_NS;
}

/* Of a month that has not got all the room that is wanted; or a count is due. */
static void
ask_for_count(struct quota *quota, struct quota_share *share, uint64_t added, uint32_t wanted,
              int64_t now_ns)
{
    struct quota_month *month = share->month;

    share->is_exact = share->taken == 0 && wanted != 0 && added == atomic_load(&month->sure);
    share->wants_count = now_ns >= atomic_load(&month->next_ns) ||
                         (share->taken < wanted && !share->is_exact && may_count(month, now_ns));
    if (share->wants_count)
        want(quota, month);
}

uint32_t
quota_take(struct quota *quota, uint32_t project_id, int64_t received_at_us, int64_t now_ns,
           uint32_t wanted, struct quota_share *ret_share)
{
    struct quota_project *project = find_project(quota, project_id);
    const uint64_t most =
        project != NULL ? atomic_load_explicit(&project->events_per_month, memory_order_relaxed)
                        : 0;
    struct quota_month *month;
    uint32_t taken;
    uint64_t added;

    *ret_share = (struct quota_share){0};
    if (most == 0)
        return wanted;
    month = get_month(quota, project, received_at_us, now_ns);
    added = atomic_load_explicit(&month->added, memory_order_relaxed);
    do {
        const uint64_t used = used_of(month, added);

        taken = wanted;
        if (used + wanted > most && atomic_load_explicit(&month->is_counted, memory_order_acquire))
            taken = used < most ? (uint32_t)(most - used) : 0;
    } while (taken != 0 &&
             !atomic_compare_exchange_weak_explicit(&month->added, &added, added + taken,
                                                    memory_order_relaxed, memory_order_relaxed));
    ret_share->month = month;
    ret_share->taken = taken;
    if (taken < wanted || now_ns >= atomic_load_explicit(&month->next_ns, memory_order_relaxed))
        ask_for_count(quota, ret_share, added, wanted, now_ns);
    return taken;
}

struct quota_answer
quota_answer(const struct quota_share *share)
{
    struct quota_month *month = share->month;

    return (struct quota_answer){
        .events_per_month = atomic_load(&month->project->events_per_month),
        .used = used_of(month, atomic_load(&month->added)),
        .ends_at_us = atomic_load(&month->to_us),
    };
}

void
quota_settle(struct quota_share *share, uint32_t stored)
{
    struct quota_month *month = share->month;

    assert(stored <= share->taken);
    if (share->taken == 0)
        return;
    /* In this order: `settled` is never above `added`. Whoever reads it knows that these are
     * durable. */
    if (stored != 0)
        atomic_fetch_add_explicit(&month->settled, stored, memory_order_release);
    if (stored != share->taken)
        atomic_fetch_sub_explicit(&month->added, share->taken - stored, memory_order_relaxed);
    share->taken = 0;
}

/* --- looking ----------------------------------------------------------------------------------*/

bool
quota_used(struct quota *quota, uint32_t project_id, int64_t now_us, int64_t now_ns,
           uint64_t *ret_used, bool *ret_wants_count)
{
    struct quota_project *project = find_project(quota, project_id);
    struct quota_month *month;

    *ret_wants_count = false;
    if (project == NULL || atomic_load(&project->events_per_month) == 0)
        return false;
    month = get_month(quota, project, now_us, now_ns);
    *ret_wants_count = may_count(month, now_ns);
    if (*ret_wants_count)
        want(quota, month);
    if (!atomic_load_explicit(&month->is_counted, memory_order_acquire))
        return false;
    *ret_used = used_of(month, atomic_load(&month->added));
    return true;
}

/* --- counting ---------------------------------------------------------------------------------*/

static void
begin_count(const struct quota *quota, struct quota_month *month, int64_t now_ns,
            struct quota_count *ret_count)
{
    const bool is_in_doubt =
        !atomic_load(&month->is_counted) || now_ns - atomic_load(&month->set_ns) < UNCOUNTED_NS;

    *ret_count = (struct quota_count){.project_id = month->project->id, .month = month};
    ret_count->from_us = atomic_load(&month->from_us);
    ret_count->to_us = atomic_load(&month->to_us);
    ret_count->settled = atomic_load_explicit(&month->settled, memory_order_acquire);
    /* Nothing was under way if what was added, read later, is no more than what was settled. */
    ret_count->sure = atomic_load(&month->added);
    if (ret_count->sure != ret_count->settled)
        ret_count->sure = NOT_SURE;
    atomic_store(&month->counted_ns, now_ns);
    atomic_store(&month->next_ns, now_ns + (is_in_doubt ? COUNT_LEAST_NS : quota->count_every_ns));
}

/* Of those that are due the one whose last count is oldest, never counted ones first: who is due
 * again at once must not come before others for ever. NULL: none is. */
static struct quota_month *
find_due(struct quota *quota)
{
    struct quota_month *found = NULL;

    for (uint32_t i = 0; i < CHAINS; i++) {
        struct quota_project *project =
            atomic_load_explicit(&quota->chains[i], memory_order_acquire);

        for (; project != NULL; project = project->next) {
            for (int k = 0; k < MONTHS; k++) {
                struct quota_month *month = &project->months[k];

                if (!atomic_load(&month->is_due))
                    continue;
                if (atomic_load(&project->events_per_month) == 0)
                    atomic_store(&month->is_due, false);
                else if (found == NULL ||
                         atomic_load(&month->counted_ns) < atomic_load(&found->counted_ns))
                    found = month;
            }
        }
    }
    return found;
}

bool
quota_count_next(struct quota *quota, int64_t now_ns, struct quota_count *ret_count)
{
    struct quota_month *month;

    atomic_store(&quota->is_wanted, false); /* before looking: what is wanted later is seen later */
    month = find_due(quota);
    if (month == NULL)
        return false;
    atomic_store(&month->is_due, false);
    atomic_store(&quota->is_wanted, true); /* others, perhaps */
    pthread_mutex_lock(&quota->lock);      /* it does not become another meanwhile */
    begin_count(quota, month, now_ns, ret_count);
    pthread_mutex_unlock(&quota->lock);
    return true;
}

void
quota_count_end(const struct quota_count *count, uint64_t events)
{
    struct quota_month *month = count->month;

    if (atomic_load(&month->from_us) != count->from_us)
        return; /* another month took its place */
    atomic_store(&month->base, (int64_t)(events - count->settled));
    atomic_store(&month->sure, count->sure);
    atomic_store_explicit(&month->is_counted, true, memory_order_release);
}

bool
quota_count_is_wanted(const struct quota *quota)
{
    return atomic_load(&quota->is_wanted);
}
