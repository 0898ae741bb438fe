/*
 * deadline - see deadline.h.
 */
#include "http/deadline.h"

#include <assert.h>
#include <stddef.h>

#define FAR_TICKS 64 /* from here on slots are shared … */
#define FAR_ROUND 16 /* … by this many ticks */

void
deadline_wheel_init(struct deadline_wheel *wheel, int64_t now_ns)
{
    wheel->tick = now_ns / DEADLINE_TICK_NS;
    for (size_t i = 0; i < DEADLINE_SLOTS / 64; i++)
        wheel->occupied[i] = 0;
    for (size_t i = 0; i < DEADLINE_SLOTS; i++)
        wheel->slots[i].next = wheel->slots[i].previous = &wheel->slots[i];
}

void
deadline_init(struct deadline *deadline)
{
    deadline->next = deadline->previous = NULL;
    deadline->at_ns = DEADLINE_NONE;
    deadline->slot_tick = 0;
}

/* The first tick at whose look the deadline has passed. */
static int64_t
tick_of(int64_t at_ns)
{
    return at_ns / DEADLINE_TICK_NS + (at_ns % DEADLINE_TICK_NS != 0);
}

static size_t
slot_of(int64_t tick)
{
    return (size_t)tick % DEADLINE_SLOTS;
}

static void
unlink_node(struct deadline_wheel *wheel, struct deadline *deadline)
{
    size_t slot = slot_of(deadline->slot_tick);

    assert(deadline->next != NULL && deadline->previous != NULL);
    deadline->next->previous = deadline->previous;
    deadline->previous->next = deadline->next;
    deadline->next = deadline->previous = NULL;
    if (wheel->slots[slot].next == &wheel->slots[slot])
        wheel->occupied[slot / 64] &= ~(UINT64_C(1) << slot % 64);
}

static void
link_node(struct deadline_wheel *wheel, struct deadline *deadline)
{
    int64_t tick = tick_of(deadline->at_ns);
    struct deadline *head;
    size_t slot;

    if (tick <= wheel->tick)
        tick = wheel->tick + 1;
    if (tick - wheel->tick >= FAR_TICKS)
        tick = (tick + FAR_ROUND - 1) / FAR_ROUND * FAR_ROUND;
    if (tick - wheel->tick >= DEADLINE_SLOTS) /* looked at on the way, and moved on */
        tick = (wheel->tick + DEADLINE_SLOTS - FAR_ROUND) / FAR_ROUND * FAR_ROUND;
    slot = slot_of(tick);
    head = &wheel->slots[slot];
    deadline->slot_tick = tick;
    deadline->previous = head->previous;
    deadline->next = head;
    head->previous->next = deadline;
    head->previous = deadline;
    wheel->occupied[slot / 64] |= UINT64_C(1) << slot % 64;
}

void
deadline_set(struct deadline_wheel *wheel, struct deadline *deadline, int64_t at_ns)
{
    deadline->at_ns = at_ns;
    if (at_ns == DEADLINE_NONE)
        return; /* its slot lets it go */
    if (deadline->next != NULL) {
        if (deadline->slot_tick <= tick_of(at_ns))
            return;
        unlink_node(wheel, deadline);
    }
    link_node(wheel, deadline);
}

void
deadline_remove(struct deadline_wheel *wheel, struct deadline *deadline)
{
    deadline->at_ns = DEADLINE_NONE;
    if (deadline->next != NULL)
        unlink_node(wheel, deadline);
}

struct deadline *
deadline_expired(struct deadline_wheel *wheel, int64_t now_ns)
{
    int64_t now_tick = now_ns / DEADLINE_TICK_NS;

    if (now_tick - wheel->tick > DEADLINE_SLOTS) /* a round shows every slot once */
        wheel->tick = now_tick - DEADLINE_SLOTS;
    for (;;) {
        struct deadline *head = &wheel->slots[slot_of(wheel->tick)];

        while (head->next != head) {
            struct deadline *deadline = head->next;

            unlink_node(wheel, deadline);
            if (deadline->at_ns <= now_ns)
                return deadline;
            if (deadline->at_ns != DEADLINE_NONE)
                link_node(wheel, deadline);
        }
        if (wheel->tick >= now_tick)
            return NULL;
        wheel->tick++;
    }
}

int64_t
deadline_wait_ns(const struct deadline_wheel *wheel, int64_t now_ns)
{
    for (int64_t ahead = 1; ahead <= DEADLINE_SLOTS;) {
        size_t slot = slot_of(wheel->tick + ahead);
        uint64_t word = wheel->occupied[slot / 64] >> slot % 64;

        if (word != 0) {
            int64_t tick = wheel->tick + ahead + __builtin_ctzll(word);
            int64_t wait = tick * DEADLINE_TICK_NS - now_ns;

            return wait > 0 ? wait : 0;
        }
        ahead += 64 - (int64_t)(slot % 64);
    }
    return -1;
}
