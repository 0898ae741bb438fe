/*
 * learnt - what the warehouse has seen of a project, as JSON: told, or made into a tracking plan.
 *
 * Layer 6, at the desk.
 */
#ifndef POTIK_API_LEARNT_H
#define POTIK_API_LEARNT_H

#include "base/buf.h"
#include "warehouse/warehouse.h"

/* {"events":{…}}; null where the project is being loaded anew and nothing can be told. */
MUST_USE enum err learnt_write_seen(struct warehouse *warehouse, uint32_t project_id,
                                    struct buf *body, struct diag *diag);
/* A plan's document, in mode observe: what was seen fits it. */
MUST_USE enum err learnt_write_plan(struct warehouse *warehouse, uint32_t project_id,
                                    struct buf *body, struct diag *diag);

#endif
