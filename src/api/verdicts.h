/*
 * verdicts - the reply to a batch of events: counts, position, errors by index, ids the server
 * made.
 *
 * Layer 6, any thread, pure.
 */
#ifndef POTIK_API_VERDICTS_H
#define POTIK_API_VERDICTS_H

#include "base/buf.h"
#include "ingest/ingest.h"

/*
 * {"accepted":…,"duplicates":…,"rejected":…,"position":"…","errors":[…]}, then `assigned` where the
 * server made ids, `results` if wanted, and `error` where every event was refused (gives 400; else
 * 200). The request's err is ERR_OK.
 */
int verdicts_write(struct buf *body, const struct ingest_request *request, struct slice position,
                   bool wants_results, struct slice request_id);

#endif
