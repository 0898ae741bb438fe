/*
 * crowd - bodies read side by side. See crowd.h.
 */
#include "api/crowd.h"

#include <assert.h>

/* --- who is under way -------------------------------------------------------------------------*/

static void
move_on(uint64_t received[2], uint32_t stretches)
{
    if (stretches == 0)
        return;
    received[1] = stretches == 1 ? received[0] : 0;
    received[0] = 0;
}

static void
crowd_move_on(struct crowd *crowd, int64_t now_ns)
{
    bool is_late = now_ns - crowd->stretch_ends_ns >= CROWD_STRETCH_NS;

    if (now_ns < crowd->stretch_ends_ns)
        return;
    move_on(crowd->received, is_late ? 2 : 1);
    crowd->stretch += is_late ? 2 : 1;
    crowd->stretch_ends_ns = (is_late ? now_ns : crowd->stretch_ends_ns) + CROWD_STRETCH_NS;
}

static void
count(struct crowd *crowd, struct crowd_member *member, uint64_t bytes)
{
    uint64_t counted;
    uint64_t room;

    move_on(member->received, crowd->stretch - member->stretch);
    member->stretch = crowd->stretch;
    counted = member->received[0] + member->received[1];
    room = CROWD_SHARE_BYTES - counted;
    if (bytes > room)
        bytes = room;
    member->received[0] += bytes;
    crowd->received[0] += bytes;
}

void
crowd_await(struct crowd *crowd, struct crowd_member *member, uint64_t bytes)
{
    member->waiting = bytes;
    count(crowd, member, bytes);
}

void
crowd_take(struct crowd *crowd, struct crowd_member *member, uint64_t bytes)
{
    uint64_t known = bytes < member->waiting ? bytes : member->waiting;

    crowd->turn_bytes += bytes;
    member->waiting -= known;
    count(crowd, member, bytes - known);
}

void
crowd_leave(struct crowd *crowd, struct crowd_member *member)
{
    move_on(member->received, crowd->stretch - member->stretch);
    for (int i = 0; i < 2; i++) {
        assert(crowd->received[i] >= member->received[i]);
        crowd->received[i] -= member->received[i];
    }
    *member = (struct crowd_member){.stretch = crowd->stretch};
}

/* --- the loop's pace --------------------------------------------------------------------------*/

static void
end_work(struct crowd *crowd, int64_t now_ns)
{
    int64_t elapsed_ns = now_ns - crowd->work_began_ns;

    if (crowd->work_bytes >= CROWD_WORK_BYTES && crowd->work_ns >= elapsed_ns / 2) {
        pace_note(&crowd->pace, crowd->work_bytes, elapsed_ns, now_ns);
        crowd->busy_until_ns = now_ns + CROWD_BUSY_NS;
    }
    crowd->work_began_ns = now_ns;
    crowd->work_ns = 0;
    crowd->work_bytes = 0;
}

void
crowd_turn_ended(struct crowd *crowd, int64_t began_ns, int64_t ended_ns)
{
    if (crowd->work_began_ns == 0 || began_ns - crowd->work_ended_ns >= CROWD_WORK_NS) {
        crowd->work_began_ns = began_ns; /* after a rest */
        crowd->work_ns = 0;
        crowd->work_bytes = 0;
    }
    crowd->work_ns += ended_ns - began_ns;
    crowd->work_bytes += crowd->turn_bytes;
    crowd->work_ended_ns = ended_ns;
    crowd->turn_bytes = 0;
    crowd_move_on(crowd, ended_ns);
    if (ended_ns - crowd->work_began_ns >= CROWD_WORK_NS)
        end_work(crowd, ended_ns);
}

bool
crowd_is_full(struct crowd *crowd, int64_t now_ns)
{
    uint64_t bytes_max;

    if (now_ns >= crowd->busy_until_ns)
        return false;
    crowd_move_on(crowd, now_ns);
    bytes_max = pace_units(&crowd->pace, CROWD_NS);
    if (bytes_max < CROWD_FLOOR_BYTES)
        bytes_max = CROWD_FLOOR_BYTES;
    return crowd->received[0] + crowd->received[1] > bytes_max;
}
