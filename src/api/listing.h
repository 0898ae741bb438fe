/*
 * listing - what the two lists of events share: one stored event as JSON, the reply around them.
 *
 * Layer 6, on a query thread.
 */
#ifndef POTIK_API_LISTING_H
#define POTIK_API_LISTING_H

#include "api/query.h"
#include "event/event.h"

#define LISTING_LIMIT_DEFAULT 50
#define LISTING_LIMIT_MAX 1000

/* What the callbacks of the warehouse gather; job->errand.body holds the rows. */
struct listing {
    struct query_job *job;
    uint32_t count;
    uint64_t last_seq;    /* of the last row given */
    int64_t last_time_us; /* its occurred_at */
};

/* `{"events":[`, the rows by this function, then listing_end. */
void listing_begin(struct listing *listing, struct query_job *job);
enum err listing_add(void *state, const struct event *event, uint64_t seq);
/* `next` ptr NULL: null. */
void listing_end(struct listing *listing, struct slice next, struct warehouse_watermark watermark);

/* "limit" of a query string: 1 … LISTING_LIMIT_MAX. ERR_INVALID_PARAMETER. */
MUST_USE enum err listing_parse_limit(struct slice value, uint32_t *ret_limit, struct diag *diag);
/* What stands for an unknown or repeated parameter. */
enum err listing_refuse(struct slice name, bool is_repeated, struct diag *diag);

#endif
