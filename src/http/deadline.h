/*
 * deadline - when something must have happened: one node a connection, set and moved in O(1).
 *
 * Layer 5 (http), one thread. A wheel of 512 slots of 16 ms. A node sits in the slot of the time it
 * was first set to; moving it later is only a store (the slot is looked at, and the node moved on,
 * when its time comes), so that a keep-alive request costs no list work. Moving it earlier relinks
 * it. A deadline never fires early, and late by at most a tick; those over a second away by at most
 * a quarter of a second (they share slots, so that thousands of idle clients do not wake the loop
 * every tick). Source: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels".
 */
#ifndef POTIK_HTTP_DEADLINE_H
#define POTIK_HTTP_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

#define DEADLINE_SLOTS 512
#define DEADLINE_TICK_NS INT64_C(16000000)
#define DEADLINE_NONE INT64_MAX

struct deadline {
    struct deadline *next; /* NULL: in no slot */
    struct deadline *previous;
    int64_t at_ns;     /* DEADLINE_NONE: not set */
    int64_t slot_tick; /* of the slot it is in */
};

struct deadline_wheel {
    int64_t tick; /* the last one looked at */
    uint64_t occupied[DEADLINE_SLOTS / 64];
    struct deadline slots[DEADLINE_SLOTS]; /* list heads */
};

void deadline_wheel_init(struct deadline_wheel *wheel, int64_t now_ns);
void deadline_init(struct deadline *deadline);
void deadline_set(struct deadline_wheel *wheel, struct deadline *deadline, int64_t at_ns);
void deadline_remove(struct deadline_wheel *wheel, struct deadline *deadline);
/* The next node whose time has come, taken out; NULL: no more. */
struct deadline *deadline_expired(struct deadline_wheel *wheel, int64_t now_ns);
/* Until a slot needs a look; −1: nothing is set. */
int64_t deadline_wait_ns(const struct deadline_wheel *wheel, int64_t now_ns);

#endif
