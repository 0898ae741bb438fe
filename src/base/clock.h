/*
 * clock - time as an argument. The system's clock in the program, a fake one in tests.
 *
 * Layer 0, any thread. Wall time is Unix microseconds (UTC); steady time is nanoseconds from an
 * unknown start, never going back.
 */
#ifndef POTIK_BASE_CLOCK_H
#define POTIK_BASE_CLOCK_H

#include <stdint.h>

struct clock {
    int64_t (*wall_us)(void *state);
    int64_t (*steady_ns)(void *state);
    void *state;
};

const struct clock *clock_system(void);

static inline int64_t
clock_wall_us(const struct clock *clock)
{
    return clock->wall_us(clock->state);
}

static inline int64_t
clock_steady_ns(const struct clock *clock)
{
    return clock->steady_ns(clock->state);
}

/* For tests: stands still until moved. Atomic, so that another thread may move it. */
struct clock_fake {
    struct clock clock;
    _Atomic int64_t now_wall_us;
    _Atomic int64_t now_steady_ns;
};
void clock_fake_init(struct clock_fake *fake, int64_t wall_us);
void clock_fake_move(struct clock_fake *fake, int64_t delta_us); /* both times */

#define US_PER_S INT64_C(1000000)
#define US_PER_DAY (INT64_C(86400) * US_PER_S)
#define NS_PER_S INT64_C(1000000000)

#endif
