/*
 * counter - the numbers behind /metrics: counters, gauges, histograms; Prometheus text out.
 *
 * Layer 0, any thread, relaxed atomics. A counter is a static object registered by its first use
 * through a COUNTER_… definition at file scope (a constructor links it into one list), so that
 * /metrics needs no table of its own. Names carry the unit last (potik_commit_seconds).
 * A label has one name and fixed values given at definition time; never a client's bytes.
 *
 *     COUNTER_DEFINE(events_accepted, "potik_events_accepted_total", "events stored");
 *     counter_add(&events_accepted, n);
 *     HISTOGRAM_DEFINE(commit_seconds, "potik_commit_seconds", "one commit", HISTOGRAM_SECONDS);
 *     histogram_observe(&commit_seconds, 0.0003);
 */
#ifndef POTIK_BASE_COUNTER_H
#define POTIK_BASE_COUNTER_H

#include "base/buf.h"
#include <stdatomic.h>
#include <stdint.h>

enum counter_kind { COUNTER_KIND_COUNTER, COUNTER_KIND_GAUGE, COUNTER_KIND_HISTOGRAM };
enum histogram_scale {
    HISTOGRAM_SECONDS, /* 50 µs · 2^k: 50 µs … 26 s, 20 buckets */
    HISTOGRAM_COUNT,   /* 1 · 2^k: 1 … 524,288, 20 buckets */
};
#define HISTOGRAM_BUCKETS 20

struct counter {
    enum counter_kind kind;
    enum histogram_scale scale;
    const char *name;
    const char *help;
    const char *label_name; /* NULL: none */
    const char *label_value;
    struct counter *next;
    _Atomic uint64_t value;                      /* counter; count of a histogram */
    _Atomic double gauge;                        /* gauge; sum of a histogram */
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS]; /* not cumulative here; cumulative when written */
};

void counter_register(struct counter *counter); /* idempotent */
#define COUNTER_DEFINE_(variable, kind_, name_, help_, scale_, label_, label_value_)               \
    static struct counter variable = {.kind = kind_,                                               \
                                      .scale = scale_,                                             \
                                      .name = name_,                                               \
                                      .help = help_,                                               \
                                      .label_name = label_,                                        \
                                      .label_value = label_value_};                                \
    __attribute__((constructor)) static void variable##_register_(void)                            \
    {                                                                                              \
        counter_register(&variable);                                                               \
    }                                                                                              \
    struct counter
#define COUNTER_DEFINE(variable, name, help)                                                       \
    COUNTER_DEFINE_(variable, COUNTER_KIND_COUNTER, name, help, HISTOGRAM_SECONDS, NULL, NULL)
#define GAUGE_DEFINE(variable, name, help)                                                         \
    COUNTER_DEFINE_(variable, COUNTER_KIND_GAUGE, name, help, HISTOGRAM_SECONDS, NULL, NULL)
#define HISTOGRAM_DEFINE(variable, name, help, scale)                                              \
    COUNTER_DEFINE_(variable, COUNTER_KIND_HISTOGRAM, name, help, scale, NULL, NULL)
/* With a label: COUNTER_LABEL_DEFINE(rejected_x, "potik_…_total", "help", "code", "too_long"). */
#define COUNTER_LABEL_DEFINE(variable, name, help, label, label_value)                             \
    COUNTER_DEFINE_(variable, COUNTER_KIND_COUNTER, name, help, HISTOGRAM_SECONDS, label,          \
                    label_value)
#define HISTOGRAM_LABEL_DEFINE(variable, name, help, scale, label, label_value)                    \
    COUNTER_DEFINE_(variable, COUNTER_KIND_HISTOGRAM, name, help, scale, label, label_value)

static inline void
counter_add(struct counter *counter, uint64_t n)
{
    atomic_fetch_add_explicit(&counter->value, n, memory_order_relaxed);
}
static inline uint64_t
counter_value(struct counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}
void gauge_set(struct counter *gauge, double value);
void histogram_observe(struct counter *histogram, double value);
/* All registered, Prometheus text format 0.0.4, sorted by name. */
void counter_write_all(struct buf *buf);

#endif
