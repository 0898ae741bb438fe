/* Units of base/counter: the Prometheus text, to the letter. */
#include "../test.h"

#include "base/counter.h"
#include "base/thread.h"

COUNTER_LABEL_DEFINE(rejected_b, "potik_b_rejected_total", "events refused", "code", "b");
COUNTER_DEFINE(plain, "potik_c_total", "plain");
GAUGE_DEFINE(gauge, "potik_a_bytes", "a gauge");
COUNTER_LABEL_DEFINE(rejected_a, "potik_b_rejected_total", "events refused", "code", "a\"\\\n");
HISTOGRAM_LABEL_DEFINE(sizes, "potik_d_events", "sizes", HISTOGRAM_COUNT, "metric", "dau");
HISTOGRAM_DEFINE(seconds, "potik_e_seconds", "times", HISTOGRAM_SECONDS);

static void
test_counter__writes_sorted_prometheus_text(void **state)
{
    static const char head[] = "# HELP potik_a_bytes a gauge\n"
                               "# TYPE potik_a_bytes gauge\n"
                               "potik_a_bytes 1.5\n"
                               "# HELP potik_b_rejected_total events refused\n"
                               "# TYPE potik_b_rejected_total counter\n"
                               "potik_b_rejected_total{code=\"a\\\"\\\\\\n\"} 2\n"
                               "potik_b_rejected_total{code=\"b\"} 3\n"
                               "# HELP potik_c_total plain\n"
                               "# TYPE potik_c_total counter\n"
                               "potik_c_total 0\n"
                               "# HELP potik_d_events sizes\n"
                               "# TYPE potik_d_events histogram\n"
                               "potik_d_events_bucket{metric=\"dau\",le=\"1\"} 1\n"
                               "potik_d_events_bucket{metric=\"dau\",le=\"2\"} 1\n"
                               "potik_d_events_bucket{metric=\"dau\",le=\"4\"} 2\n";
    static const char tail[] = "potik_d_events_bucket{metric=\"dau\",le=\"524288\"} 2\n"
                               "potik_d_events_bucket{metric=\"dau\",le=\"+Inf\"} 3\n"
                               "potik_d_events_sum{metric=\"dau\"} 600004\n"
                               "potik_d_events_count{metric=\"dau\"} 3\n";
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    gauge_set(&gauge, 1.5);
    counter_add(&rejected_a, 2);
    counter_add(&rejected_b, 3);
    histogram_observe(&sizes, 1);
    histogram_observe(&sizes, 3);
    histogram_observe(&sizes, 600000);
    counter_register(&plain); /* again: nothing happens */
    counter_register(&rejected_b);
    counter_write_all(&buf);
    buf_add_char(&buf, '\0');
    assert_false(buf_failed(&buf));
    assert_memory_equal(buf.ptr, head, sizeof(head) - 1);
    assert_non_null(strstr(buf.ptr, tail));
    buf_fini(&buf);
}

static void
test_counter__a_value_on_a_bound_belongs_below_it(void **state)
{
    struct buf buf;

    (void)state;
    histogram_observe(&seconds, 50e-6);
    histogram_observe(&seconds, 51e-6);
    buf_init(&buf, 1 << 20);
    counter_write_all(&buf);
    buf_add_char(&buf, '\0');
    assert_non_null(strstr(buf.ptr, "potik_e_seconds_bucket{le=\"5e-05\"} 1\n"
                                    "potik_e_seconds_bucket{le=\"0.0001\"} 2\n"));
    assert_non_null(strstr(buf.ptr, "potik_e_seconds_bucket{le=\"26.2144\"} 2\n"
                                    "potik_e_seconds_bucket{le=\"+Inf\"} 2\n"));
    buf_fini(&buf);
}

static void
count_up(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10000; i++) {
        counter_add(&plain, 1);
        histogram_observe(&seconds, 1.0);
    }
}

static void
test_counter__threads_lose_no_count(void **state)
{
    struct thread *threads[4] = {NULL, NULL, NULL, NULL};
    uint64_t before = counter_value(&seconds);

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(thread_start("count", THREAD_NORMAL, count_up, NULL, &threads[i], NULL),
                         0);
    for (size_t i = 0; i < 4; i++)
        thread_join(&threads[i]);
    assert_int_equal(counter_value(&plain), 40000);
    assert_int_equal(counter_value(&seconds) - before, 40000);
    assert_true(atomic_load(&seconds.gauge) >= 40000.0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counter__writes_sorted_prometheus_text),
        cmocka_unit_test(test_counter__a_value_on_a_bound_belongs_below_it),
        cmocka_unit_test(test_counter__threads_lose_no_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
