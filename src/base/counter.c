/*
 * counter - the registry, and Prometheus text format 0.0.4 out of it. See counter.h.
 *
 * The list is kept sorted by (name, label value) from registration on, so that writing is one walk.
 * Source of the format: prometheus.io/docs/instrumenting/exposition_formats.
 */
#include "base/counter.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct counter *first;

static int
compare(const struct counter *a, const struct counter *b)
{
    int order = strcmp(a->name, b->name);

    if (order != 0)
        return order;
    return strcmp(a->label_value != NULL ? a->label_value : "",
                  b->label_value != NULL ? b->label_value : "");
}

void
counter_register(struct counter *counter)
{
    struct counter **place = &first;

    pthread_mutex_lock(&lock);
    while (*place != NULL && *place != counter && compare(*place, counter) <= 0)
        place = &(*place)->next;
    if (*place != counter) {
        bool is_known = false;

        for (const struct counter *c = first; c != NULL; c = c->next)
            is_known = is_known || c == counter;
        if (!is_known) {
            counter->next = *place;
            *place = counter;
        }
    }
    pthread_mutex_unlock(&lock);
}

void
gauge_set(struct counter *gauge, double value)
{
    atomic_store_explicit(&gauge->gauge, value, memory_order_relaxed);
}

static double
upper_bound(enum histogram_scale scale, size_t bucket)
{
    return ldexp(scale == HISTOGRAM_SECONDS ? 50e-6 : 1.0, (int)bucket);
}

void
histogram_observe(struct counter *histogram, double value)
{
    double sum = atomic_load_explicit(&histogram->gauge, memory_order_relaxed);

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (value <= upper_bound(histogram->scale, i)) {
            atomic_fetch_add_explicit(&histogram->buckets[i], 1, memory_order_relaxed);
            break;
        }
    }
    while (!atomic_compare_exchange_weak_explicit(&histogram->gauge, &sum, sum + value,
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
    atomic_fetch_add_explicit(&histogram->value, 1, memory_order_relaxed);
}

/* {label="value",le="…"} or nothing. Label values are our own words, escaped all the same. */
static void
write_labels(struct buf *buf, const struct counter *counter, const char *upper)
{
    bool has_label = counter->label_name != NULL;

    if (!has_label && upper == NULL)
        return;
    buf_add_char(buf, '{');
    if (has_label) {
        buf_add_text(buf, counter->label_name);
        buf_add_text(buf, "=\"");
        for (const char *c = counter->label_value; *c != '\0'; c++) {
            if (*c == '"' || *c == '\\')
                buf_add_char(buf, '\\');
            if (*c == '\n')
                buf_add_text(buf, "\\n");
            else
                buf_add_char(buf, *c);
        }
        buf_add_char(buf, '"');
    }
    if (upper != NULL)
        buf_printf(buf, "%sle=\"%s\"", has_label ? "," : "", upper);
    buf_add_char(buf, '}');
}

static void
write_sample(struct buf *buf, const struct counter *counter, const char *suffix, const char *upper)
{
    buf_add_text(buf, counter->name);
    buf_add_text(buf, suffix);
    write_labels(buf, counter, upper);
    buf_add_char(buf, ' ');
}

static void
write_double(struct buf *buf, double value)
{
    if (isnan(value) != 0)
        buf_add_text(buf, "NaN");
    else if (isinf(value) != 0)
        buf_add_text(buf, value > 0 ? "+Inf" : "-Inf");
    else
        buf_printf(buf, "%.15g", value);
    buf_add_char(buf, '\n');
}

static void
write_u64(struct buf *buf, uint64_t value)
{
    buf_add_u64(buf, value);
    buf_add_char(buf, '\n');
}

static void
write_histogram(struct buf *buf, struct counter *counter)
{
    uint64_t sum = 0, count;
    char upper[32];

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        sum += atomic_load_explicit(&counter->buckets[i], memory_order_relaxed);
        (void)snprintf(upper, sizeof(upper), "%.12g", upper_bound(counter->scale, i));
        write_sample(buf, counter, "_bucket", upper);
        write_u64(buf, sum);
    }
    /* Observers run meanwhile: what this reader has seen in buckets is counted at least. */
    count = counter_value(counter);
    count = count < sum ? sum : count;
    write_sample(buf, counter, "_bucket", "+Inf");
    write_u64(buf, count);
    write_sample(buf, counter, "_sum", NULL);
    write_double(buf, atomic_load_explicit(&counter->gauge, memory_order_relaxed));
    write_sample(buf, counter, "_count", NULL);
    write_u64(buf, count);
}

static void
write_head(struct buf *buf, const struct counter *counter)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};

    buf_printf(buf, "# HELP %s %s\n# TYPE %s %s\n", counter->name, counter->help, counter->name,
               kinds[counter->kind]);
}

void
counter_write_all(struct buf *buf)
{
    const char *previous = "";

    pthread_mutex_lock(&lock);
    for (struct counter *counter = first; counter != NULL; counter = counter->next) {
        if (strcmp(previous, counter->name) != 0)
            write_head(buf, counter);
        previous = counter->name;
        switch (counter->kind) {
        case COUNTER_KIND_COUNTER:
            write_sample(buf, counter, "", NULL);
            write_u64(buf, counter_value(counter));
            break;
        case COUNTER_KIND_GAUGE:
            write_sample(buf, counter, "", NULL);
            write_double(buf, atomic_load_explicit(&counter->gauge, memory_order_relaxed));
            break;
        case COUNTER_KIND_HISTOGRAM:
            write_histogram(buf, counter);
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}
