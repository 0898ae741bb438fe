/*
 * wait - the bound of what waits, from the pace at which it is decided. See wait.h.
 */
#include "ingest/wait.h"

#include <assert.h>
#include <stddef.h>

void
wait_init(struct wait *wait, const struct clock *clock)
{
    *wait = (struct wait){.clock = clock, .bytes_max = WAIT_UNKNOWN_BYTES};
}

static void
begin_stretch(struct wait *wait, int64_t now_ns)
{
    wait->since_ns = now_ns;
    wait->done_bytes = 0;
    wait->least_left = wait->bytes;
}

static void
end_stretch(struct wait *wait, int64_t elapsed_ns, int64_t now_ns)
{
    bool is_faster = pace_is_known(&wait->pace, now_ns) &&
                     wait->done_bytes > pace_units(&wait->pace, elapsed_ns);
    uint64_t bytes_max;

    if (!is_faster && wait->least_left < WAIT_LOADED_BYTES)
        return;
    pace_note(&wait->pace, wait->done_bytes, elapsed_ns, now_ns);
    bytes_max = pace_units(&wait->pace, WAIT_NS);
    wait->bytes_max = bytes_max > WAIT_FLOOR_BYTES ? bytes_max : WAIT_FLOOR_BYTES;
}

void
wait_done(struct wait *wait, uint64_t bytes, bool is_decided)
{
    int64_t now_ns;

    assert(wait->bytes >= bytes);
    wait->bytes -= bytes;
    if (wait->clock == NULL)
        return;
    if (!is_decided) {
        wait->since_ns = 0; /* what fails at once tells nothing of the pace */
        return;
    }
    now_ns = clock_steady_ns(wait->clock);
    wait->done_bytes += bytes;
    if (wait->bytes < wait->least_left)
        wait->least_left = wait->bytes;
    if (wait->since_ns != 0 && now_ns - wait->since_ns < WAIT_STRETCH_NS)
        return;
    if (wait->since_ns != 0)
        end_stretch(wait, now_ns - wait->since_ns, now_ns);
    begin_stretch(wait, now_ns);
}

bool
wait_is_believed(const struct wait *wait)
{
    return wait->clock != NULL && (wait->bytes > WAIT_UNKNOWN_BYTES ||
                                   pace_is_known(&wait->pace, clock_steady_ns(wait->clock)));
}
