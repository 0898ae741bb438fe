/*
 * pace - how much gets done a second, smoothed over about one.
 *
 * Layer 0; plain data of one thread, time comes as an argument. Who limits a queue by the time that
 * it takes to be worked off (ingest/wait, api/crowd) measures stretches of work and notes them
 * here. A stretch counts by its length: one of a second as much as all that was known before, no
 * longer one more than that, so that a single stall does not undo what was learned. What has not
 * been measured for PACE_KNOWN_NS is no longer known.
 */
#ifndef POTIK_BASE_PACE_H
#define POTIK_BASE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_KNOWN_NS (INT64_C(60) * 1000000000)

struct pace {
    double per_second;
    int64_t noted_ns; /* the end of the last stretch */
    bool is_known;
};

/* `units` got done in the `elapsed_ns` before `now_ns`; `elapsed_ns` > 0. */
void pace_note(struct pace *pace, uint64_t units, int64_t elapsed_ns, int64_t now_ns);
bool pace_is_known(const struct pace *pace, int64_t now_ns);
/* What gets done in so much time; 0 while nothing has been noted. */
uint64_t pace_units(const struct pace *pace, int64_t ns);

#endif
