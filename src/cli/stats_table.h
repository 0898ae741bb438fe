/*
 * stats_table - a stats reply as a table a person likes to read.
 *
 * Layer 8, the main thread; pure. Whole numbers get thousands; cells whose bucket has not ended are
 * marked with
 * `*`, explained below; active users get bars and weekdays; retention is a triangle, with `%` where
 * it is measured in percent, and the weighted mean under a rule. A metric this program does not
 * know is drawn by its columns.
 */
#ifndef POTIK_CLI_STATS_TABLE_H
#define POTIK_CLI_STATS_TABLE_H

#include "base/buf.h"
#include "base/diag.h"
#include "base/err.h"

struct stats_look {
    bool
        has_until; /* retention: what begins after until_day is left blank (data that ends there) */
    int32_t until_day; /* codec/calendar.h */
};

/* ERR_INVALID_JSON: not the reply of a metric; ERR_NOMEM. `out` may then hold a part. */
MUST_USE enum err stats_table_write(struct slice reply, const struct stats_look *look,
                                    struct buf *out, struct diag *diag);
/* The line below such a table that tells how far behind it is, of the watermark alone (the value of
 * X-Potik-Watermark); nothing where all is counted. ERR_INVALID_JSON: this is none; ERR_NOMEM. */
MUST_USE enum err stats_lag_write(struct slice watermark, struct buf *out, struct diag *diag);

#endif
