/*
 * clock - the system's clocks, and one that stands still until moved. See clock.h.
 */
#include "base/clock.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

static int64_t
system_wall_us(void *state)
{
    struct timespec now;
    int failed = clock_gettime(CLOCK_REALTIME, &now);

    (void)state;
    assert(failed == 0);
    return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

static int64_t
system_steady_ns(void *state)
{
    struct timespec now;
    int failed = clock_gettime(CLOCK_MONOTONIC, &now);

    (void)state;
    assert(failed == 0);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

const struct clock *
clock_system(void)
{
    static const struct clock clock = {
        .wall_us = system_wall_us, .steady_ns = system_steady_ns, .state = NULL};

    return &clock;
}

static int64_t
fake_wall_us(void *state)
{
    struct clock_fake *fake = (struct clock_fake *)state;

    return atomic_load(&fake->now_wall_us);
}

static int64_t
fake_steady_ns(void *state)
{
    struct clock_fake *fake = (struct clock_fake *)state;

    return atomic_load(&fake->now_steady_ns);
}

void
clock_fake_init(struct clock_fake *fake, int64_t wall_us)
{
    fake->clock =
        (struct clock){.wall_us = fake_wall_us, .steady_ns = fake_steady_ns, .state = fake};
    atomic_init(&fake->now_wall_us, wall_us);
    atomic_init(&fake->now_steady_ns, 0);
}

void
clock_fake_move(struct clock_fake *fake, int64_t delta_us)
{
    atomic_fetch_add(&fake->now_wall_us, delta_us);
    atomic_fetch_add(&fake->now_steady_ns, delta_us * 1000);
}
