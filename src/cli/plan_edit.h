/*
 * plan_edit - a tracking plan as text: found in a reply, and one mode in it changed, nothing else.
 *
 * Layer 8, pure. The text around the change stays byte for byte: numbers keep their digits, and the
 * owner's layout stays.
 */
#ifndef POTIK_CLI_PLAN_EDIT_H
#define POTIK_CLI_PLAN_EDIT_H

#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"
#include "plan/plan.h"

/* The members `revision` and `plan` of the reply of GET /v1/tracking-plan. ERR_INVALID_JSON: it is
 * none. Points into `reply`. */
MUST_USE enum err plan_edit_find(struct slice reply, uint64_t *ret_revision,
                                 struct slice *ret_document, struct diag *diag);
/* The document with that mode of that type. ERR_ABSENT: the plan does not have the type;
 * ERR_INVALID_PLAN, ERR_NOMEM. */
MUST_USE enum err plan_edit_mode(struct slice document, struct slice type, enum plan_mode mode,
                                 struct buf *ret_document, struct diag *diag);

#endif
