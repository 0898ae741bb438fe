/*
 * quota_gate - the month's quota asked about a decoded batch, after the tracking plan and before
 * the commit. The numbers: limit/quota.h.
 *
 * Layer 6, on the loops. Of the events that are whole, the first take the room there is. The rest
 * become refused entries like any other: their ids are still probed, so that one that is stored
 * already is answered `duplicate`. What turned out to be stored before, or was not stored, gives
 * its room back after the commit.
 */
#ifndef POTIK_API_QUOTA_GATE_H
#define POTIK_API_QUOTA_GATE_H

#include "api/internal.h"
#include "limit/quota.h"

/* Of one request, in its arena; zeroed at first. */
struct quota_gate {
    struct quota_share share;
};

/* The two that follow, where some project has a quota. */
MUST_USE enum err quota_gate_check_any(struct quota_gate *gate, struct api_request *request,
                                       struct event_batch *batch);
void quota_gate_settle_any(struct quota_gate *gate, const struct ingest_request *ingest);

/* The loop has the newest snapshot. ERR_NOMEM: the request is to be refused whole; nothing is
 * taken. */
MUST_USE static inline enum err
quota_gate_check(struct quota_gate *gate, struct api_request *request, struct event_batch *batch)
{
    return request->loop->quotas == QUOTAS_NONE ? ERR_OK
                                                : quota_gate_check_any(gate, request, batch);
}
/* The commit is over. Asks nothing of the api: it may be gone already. */
static inline void
quota_gate_settle(struct quota_gate *gate, const struct ingest_request *ingest)
{
    if (gate->share.month != NULL)
        quota_gate_settle_any(gate, ingest);
}
/* It did not come to a commit: all is given back. */
void quota_gate_fini(struct quota_gate *gate);
/* The header fields of a reply 429: when there is room again. */
void quota_gate_add_fields(const struct quota_gate *gate, struct api_request *request);

/* A loop or a desk has seen this snapshot: its quotas are in force from now on. */
void quota_gate_look(struct api *api, const struct access_snapshot *snapshot);
/* What a project may store a month, its own quota or the default's; 0: no quota. */
uint64_t quota_gate_of(const struct api *api, const struct account_project *project);

#endif
