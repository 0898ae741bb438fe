/*
 * quota - how many events each project may store in a month (UTC), and how many it has.
 *
 * Layer 3 (limit): the numbers alone; times are given. Loops take room before they commit and
 * settle afterwards (api/quota_gate); a query thread counts (api/quota_count); a desk reads.
 * Everything may be called from any thread.
 *
 * Nothing is stored. What a project has used is a count of its stored events, plus what this
 * process has let in since that count began. Of each project and month there are two numbers that
 * are never set back: `added`, what was let in and not given back, and `settled`, how much of it is
 * decided. A count notes `settled` before it asks how far the store is durable: those events it
 * will surely find. So afterwards
 *
 *     used = counted - settled then + added now
 *
 * may tell an event twice for a moment (let in before, found as well), and never leaves one out.
 * It is exact once a count began with nothing under way and nothing was added since: so where the
 * room is used up, and nothing more is added, the next count tells the truth.
 *
 * Before the first count everything is let in, and added. In a month that began after the quota was
 * set nothing can have been stored before: it begins counted, with nothing.
 */
#ifndef POTIK_LIMIT_QUOTA_H
#define POTIK_LIMIT_QUOTA_H

#include "base/clock.h"
#include "base/diag.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUOTA_EVENTS_MAX (UINT64_C(1) << 53) /* a month; exact in every JSON reader */

struct quota;

struct quota_config {
    bool is_shared; /* other processes store events of the same projects: counted more often */
};
/* ERR_NOMEM. */
MUST_USE enum err
quota_new(const struct quota_config *config, struct quota **ret_quota, struct diag *diag);
/* Every share must be settled. */
void quota_free(struct quota **place); /* takes NULL */

/* --- the quotas in force ----------------------------------------------------------------------*/

struct quota_limit {
    uint32_t project_id;
    uint64_t events_per_month; /* 1 … QUOTA_EVENTS_MAX */
};
/*
 * Those of all projects that have one, as of a generation of the access table. An older generation
 * than the last one changes nothing. A project that had none is to be counted. ERR_NOMEM: nothing
 * has changed, or part of it; call again.
 */
MUST_USE enum err
quota_set_limits(struct quota *quota, uint64_t generation, const struct quota_limit *limits,
                 size_t count, int64_t now_us, int64_t now_ns);
/* The last generation that was set; 0: none. */
uint64_t quota_generation(const struct quota *quota);
/* Whether any project has one. */
bool quota_is_any(const struct quota *quota);

/* --- storing ----------------------------------------------------------------------------------*/

/* Room that was taken, until it is settled. */
struct quota_month;
struct quota_share {
    struct quota_month *month; /* NULL: the project has no quota */
    uint32_t taken;
    bool is_exact;    /* nothing was taken, and nothing comes free before the month's end, as far as
                         anybody knows */
    bool wants_count; /* a count is due: quota_count_next has one */
};
/* Room for `wanted` events that came at received_at_us: how many may be stored. */
uint32_t quota_take(struct quota *quota, uint32_t project_id, int64_t received_at_us,
                    int64_t now_ns, uint32_t wanted, struct quota_share *ret_share);
/* For who was refused. */
struct quota_answer {
    uint64_t events_per_month;
    uint64_t used;      /* what is under way with it */
    int64_t ends_at_us; /* the month */
};
struct quota_answer quota_answer(const struct quota_share *share);
/* So many of them are stored, or may be, where nobody knows: the next count will. The rest is given
 * back. Afterwards the share is empty; settling an empty one does nothing. */
void quota_settle(struct quota_share *share, uint32_t stored);

/* --- looking ----------------------------------------------------------------------------------*/

/* Used of the month of now_us. false: not counted yet, or no quota. *ret_wants_count: as above. */
MUST_USE bool quota_used(struct quota *quota, uint32_t project_id, int64_t now_us, int64_t now_ns,
                         uint64_t *ret_used, bool *ret_wants_count);

/* --- counting ---------------------------------------------------------------------------------*/

struct quota_count {
    uint32_t project_id;
    int64_t from_us; /* received_at in [from, to) */
    int64_t to_us;
    struct quota_month *month; /* these are quota.c's own */
    uint64_t settled;
    uint64_t sure;
};
/* What is due, and begins now: ask how far the store is durable afterwards, not before. One count
 * at a time. */
MUST_USE bool quota_count_next(struct quota *quota, int64_t now_ns, struct quota_count *ret_count);
/* It found so many. A count that failed is not ended: what was known before stands, and it is due
 * again a while later. */
void quota_count_end(const struct quota_count *count, uint64_t events);
bool quota_count_is_wanted(const struct quota *quota);

/* The month of a time: [from, to). Before 1970: as 1970-01. */
void quota_month_of(int64_t time_us, int64_t *ret_from_us, int64_t *ret_to_us);

#endif
