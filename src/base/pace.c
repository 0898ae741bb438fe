/*
 * pace - a smoothed rate. See pace.h.
 */
#include "base/pace.h"

#include "base/clock.h"

#include <assert.h>

#define WEIGHT_MAX 0.5

void
pace_note(struct pace *pace, uint64_t units, int64_t elapsed_ns, int64_t now_ns)
{
    double seconds = (double)elapsed_ns / (double)NS_PER_S;
    double weight = seconds < WEIGHT_MAX ? seconds : WEIGHT_MAX;
    double sample = (double)units / seconds;

    assert(elapsed_ns > 0);
    if (pace_is_known(pace, now_ns))
        pace->per_second += weight * (sample - pace->per_second);
    else
        pace->per_second = sample;
    pace->is_known = true;
    pace->noted_ns = now_ns;
}

bool
pace_is_known(const struct pace *pace, int64_t now_ns)
{
    return pace->is_known && now_ns - pace->noted_ns < PACE_KNOWN_NS;
}

uint64_t
pace_units(const struct pace *pace, int64_t ns)
{
    return (uint64_t)(pace->per_second * ((double)ns / (double)NS_PER_S));
}
