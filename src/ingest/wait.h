/*
 * wait - how long a request would wait for its commit, and whether that is too long.
 *
 * Layer 4, one a loop, on its thread; called by ingest for each request that is gathered and each
 * batch that is answered. It serves stores that answer later; where the answer comes at once
 * nothing waits here, and it only counts (clock NULL).
 *
 * Senders that do not wait for each other bring more than is stored; a queue then grows to its
 * bound, and everybody waits for the whole of it. So the bound is a time: what waits, gathered or
 * under way, must be decided within WAIT_NS at the pace of late. Who comes when it is more is
 * refused, at once and before its body is read, and comes again when it is told to. docs/adr/0022.
 *
 * The pace is measured in stretches of WAIT_STRETCH_NS or more, from answer to answer. How much is
 * decided says what could be decided only where there was enough to do; so a stretch that was
 * slower than the known pace counts only if at each answer WAIT_LOADED_BYTES were left, while a
 * faster one always does. Where the pace is not known, at first and a minute after the last answer,
 * WAIT_UNKNOWN_BYTES may wait: what a slow store decides within a second, so that a crowd that
 * comes at one instant is answered in time, too.
 *
 * Small requests are let in a little longer than others: single events are served while a crowd
 * sends batches.
 */
#ifndef POTIK_INGEST_WAIT_H
#define POTIK_INGEST_WAIT_H

#include "base/clock.h"
#include "base/pace.h"

#define WAIT_NS (NS_PER_S * 2 / 5)
#define WAIT_STRETCH_NS (NS_PER_S / 10)
#define WAIT_FLOOR_BYTES (UINT64_C(1) << 20) /* as much may always wait */
#define WAIT_UNKNOWN_BYTES (UINT64_C(16) << 20)
#define WAIT_LOADED_BYTES (UINT64_C(256) << 10)
#define WAIT_SMALL_BYTES (UINT64_C(64) << 10) /* such requests: a quarter more may wait */

struct wait {
    const struct clock *clock; /* NULL: the store answers at once */
    uint64_t bytes;            /* gathered and under way */
    uint64_t bytes_max;        /* beyond: others are refused */
    struct pace pace;
    int64_t since_ns;    /* of the stretch; 0: none */
    uint64_t done_bytes; /* in it */
    uint64_t least_left; /* at any answer in it */
};

void wait_init(struct wait *wait, const struct clock *clock);
static inline void
wait_add(struct wait *wait, uint64_t bytes)
{
    wait->bytes += bytes;
}
/* They wait no longer: the store has decided them, or not (it failed, or was never asked). */
void wait_done(struct wait *wait, uint64_t bytes, bool is_decided);
/* wait_is_too_long where more waits than bytes_max: where the pace is too old to go by, more than
 * WAIT_UNKNOWN_BYTES must wait, too. */
bool wait_is_believed(const struct wait *wait);
/* Must a request of so many bytes (of the body, or held; near enough) be refused? */
static inline bool
wait_is_too_long(const struct wait *wait, uint64_t request_bytes)
{
    uint64_t slack = request_bytes <= WAIT_SMALL_BYTES ? wait->bytes_max / 4 : 0;

    return wait->bytes > wait->bytes_max && wait->bytes - wait->bytes_max > slack &&
           wait_is_believed(wait);
}

#endif
