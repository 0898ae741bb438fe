/*
 * quota_count - counts what projects have used of their quotas, from the warehouse.
 *
 * Layer 6. There is no thread of its own: who finds a count due (a loop, a desk) kicks, and one job
 * on the pool of those that wait for the loader (query.h) counts one month after the other until
 * none is due. It waits for what was durable when a count began; ingest waits for nothing.
 */
#ifndef POTIK_API_QUOTA_COUNT_H
#define POTIK_API_QUOTA_COUNT_H

#include "api/query.h"
#include "limit/quota.h"

struct quota_counter;

struct quota_counter_config {
    struct quota *quota; /* all borrowed */
    struct store *store;
    struct warehouse *warehouse;
    struct query_pool *pool;
    const struct clock *clock;
    const struct log_sink *sink;
    int64_t timeout_ms; /* of one count */
};
/* ERR_NOMEM. */
MUST_USE enum err quota_counter_new(const struct quota_counter_config *config,
                                    struct quota_counter **ret_counter, struct diag *diag);
/* Any thread; returns at once. A busy pool: whoever kicks next tries again. */
void quota_counter_kick(struct quota_counter *counter);
/* Before the pool is stopped: a count under way is called off, none begins. Takes NULL. */
void quota_counter_stop(struct quota_counter *counter);
void quota_counter_free(struct quota_counter **place); /* after the pool has stopped */

#endif
