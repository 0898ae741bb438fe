/*
 * crowd - bodies of events that are read side by side, and whether one more may begin.
 *
 * Layer 6, one a loop, on its thread; called by upload, and by events before a body is read.
 *
 * A loop reads all bodies in rotation, so each waits for all others. With many senders that do not
 * wait for each other, what has begun takes the longer to end the more begins. So the bound is a
 * time: what has been received of bodies that have not ended must be no more than the loop takes in
 * within CROWD_NS. (Bodies are half read on average: their senders wait for about twice that.)
 * Who comes when it is more is refused before its body is read. docs/adr/0022.
 *
 * Nobody shall keep others out by what costs him little:
 *
 * - Only bytes that have come count, never a Content-Length: it is a promise. What the kernel holds
 *   of a body when it begins has come, too: of a wave of senders little more than heads is read
 * yet.
 * - Only those of this stretch of CROWD_STRETCH_NS and of the one before: a sender that stalls is
 * out of it a second later at the most.
 * - At most CROWD_SHARE_BYTES of a body: a new one waits for one read of each other in rotation,
 *   not for the whole of an import.
 * - Nobody is refused unless the loop is busy with such bodies: in the last stretch of turns
 *   (CROWD_WORK_NS or more) that took in at least CROWD_WORK_BYTES of them, at least half of the
 *   time was spent. The pace is what such stretches took in.
 *
 * Small bodies are no members: one read ends them, and they are served while a crowd sends large
 * ones.
 */
#ifndef POTIK_API_CROWD_H
#define POTIK_API_CROWD_H

#include "base/clock.h"
#include "base/pace.h"

#define CROWD_NS (NS_PER_S / 8)
#define CROWD_STRETCH_NS (NS_PER_S / 2)
#define CROWD_SHARE_BYTES (UINT64_C(256) << 10)
#define CROWD_FLOOR_BYTES (UINT64_C(4) << 20) /* as much may always be under way */
#define CROWD_WORK_NS (NS_PER_S / 10)
#define CROWD_WORK_BYTES (UINT64_C(1) << 20)
#define CROWD_BUSY_NS                                                                              \
    (NS_PER_S / 5) /* so long after such a stretch the loop is taken to be busy                    \
                    */
#define CROWD_SMALL_BYTES (INT64_C(64) << 10)

struct crowd {
    uint64_t received[2]; /* of members, in this stretch and in the one before */
    uint32_t stretch;
    int64_t stretch_ends_ns;
    uint64_t turn_bytes;   /* taken in since the last turn of work ended */
    int64_t work_began_ns; /* 0: none */
    int64_t work_ended_ns; /* of the last turn that took any in */
    int64_t work_ns;       /* spent in such turns */
    uint64_t work_bytes;   /* taken in by them */
    int64_t busy_until_ns;
    struct pace pace;
};

/* A body's part of it. All zero: none yet. */
struct crowd_member {
    uint64_t received[2];
    uint64_t waiting; /* counted in it before they were read */
    uint32_t stretch;
};

/* `bytes` have come for this body, but have not been read: once, when it begins. */
void crowd_await(struct crowd *crowd, struct crowd_member *member, uint64_t bytes);
/* They have been read. */
void crowd_take(struct crowd *crowd, struct crowd_member *member, uint64_t bytes);
/* The body has ended, or is not wanted. Twice is once. */
void crowd_leave(struct crowd *crowd, struct crowd_member *member);
/* A turn of the loop that took bytes in (turn_bytes is not 0). */
void crowd_turn_ended(struct crowd *crowd, int64_t began_ns, int64_t ended_ns);
/* Must a body that is not small be refused? */
bool crowd_is_full(struct crowd *crowd, int64_t now_ns);

#endif
