/*
 * access_plans - the tracking plans in force, compiled: those whose rows have not changed since the
 * last look are held on, the others are compiled anew.
 *
 * Layer 3 (account), not for other rooms: of access.c, under its look_lock.
 */
#ifndef POTIK_ACCOUNT_ACCESS_PLANS_H
#define POTIK_ACCOUNT_ACCESS_PLANS_H

#include "account/access.h"
#include "account/access_inside.h"

/*
 * Reads what has changed against `before`, the plans of the last look (count 0: none); *ret_plans
 * holds each of its plans. A document that does not compile (of a newer program) leaves the plan
 * that was in force, or none: the sink hears of it. ERR_NOMEM, and what tracking_plan_list gives.
 */
MUST_USE enum err access_plans_read(struct account *account, const struct log_sink *sink,
                                    const struct access_plans *before,
                                    struct access_plans *ret_plans, struct diag *diag);
void access_plans_free(struct access_plans *plans);
/* Another holder of the same plans. ERR_NOMEM. */
MUST_USE enum err
access_plans_copy(const struct access_plans *plans, struct access_plans *ret_plans);
/* NULL: none. */
struct access_plan *access_plans_find(const struct access_plans *plans, uint32_t project_id);

#endif
