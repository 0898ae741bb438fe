/*
 * plan_gate - the tracking plan asked about a decoded batch, between judging and the commit.
 *
 * Layer 6, on the loops. An event that its plan refuses becomes a refused entry like any other: its
 * id is still probed, so that one that is stored already is answered `duplicate`. What is only to
 * be warned of is stored, and counted when it is: plan_gate_count.
 */
#ifndef POTIK_API_PLAN_GATE_H
#define POTIK_API_PLAN_GATE_H

#include "ingest/ingest.h"
#include "plan/plan.h"

struct api_request;

/* Of one event. */
struct plan_warning {
    struct plan_warning *next;
    uint32_t index;
    struct plan_type *type;
    struct diag violation;
};
/* Of one request, in its arena; zeroed at first. */
struct plan_gate {
    struct plan *plan; /* held while there are warnings */
    struct plan_warning *warnings;
};

/* ERR_NOMEM: the request is to be refused whole. */
MUST_USE enum err
plan_gate_check(struct plan_gate *gate, struct api_request *request, struct event_batch *batch);
/* The commit is over: those that were accepted are counted. Lets go of the plan. */
void plan_gate_count(struct plan_gate *gate, const struct ingest_request *ingest, int64_t now_us);
/* Nothing is counted. Twice is once. */
void plan_gate_fini(struct plan_gate *gate);

#endif
