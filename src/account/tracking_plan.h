/*
 * tracking_plan - the rows of tracking plans: a document a project, with a revision that rises.
 *
 * Layer 3; calls of account.h's link: not on loops. What a document says is plan/plan.h's; here it
 * is text. Loops read the compiled plans of the access table (access_plan), which hears of a change
 * as of every other row. A project's plan goes when the project is deleted.
 */
#ifndef POTIK_ACCOUNT_TRACKING_PLAN_H
#define POTIK_ACCOUNT_TRACKING_PLAN_H

#include "account/account.h"

#include "base/arena.h"

/* All documents of one database: loops hold all plans compiled. */
#define TRACKING_PLANS_BYTES_MAX (INT64_C(64) * 1024 * 1024)
#define TRACKING_PLAN_ANY_REVISION UINT64_MAX

struct tracking_plan {
    uint64_t revision;     /* 0: the project has none */
    struct slice document; /* ptr NULL: none */
    int64_t changed_at_us;
};

/* The document is copied into `arena`. A project without a plan: ERR_OK and revision 0. */
MUST_USE enum err
tracking_plan_get(struct account *account, uint32_t project_id, struct arena *arena,
                  struct tracking_plan *ret_plan, struct diag *diag);
/*
 * In place of what stands, which must have revision `expected` (0: none;
 * TRACKING_PLAN_ANY_REVISION: whatever). `document` was compiled by the caller; `summary` of it
 * goes into the audit log. ERR_PRECONDITION_FAILED; ERR_ABSENT: no such project; ERR_FULL:
 * TRACKING_PLANS_BYTES_MAX.
 */
MUST_USE enum err
tracking_plan_set(struct account *account, const struct account_actor *by, uint32_t project_id,
                  uint64_t expected, struct slice document, const char *summary,
                  struct tracking_plan *ret_plan, struct diag *diag);

/* Projects that have one, by id, with the revision. */
struct tracking_plan_revision {
    uint32_t project_id;
    uint64_t revision;
};
MUST_USE enum err
tracking_plan_list(struct account *account, struct tracking_plan_revision **ret_list,
                   size_t *ret_count, struct diag *diag); /* mem_free the list */

#endif
