/* Units of limit/local: all limits or none, what was paid, forgetting, and many threads at once. */
#include "../test.h"

#include "base/clock.h"
#include "limit/limit.h"

#include <pthread.h>
#include <stdatomic.h>

#define SECOND NS_PER_S

static struct limit *
made(const struct limit_config *like)
{
    struct limit_config config = *like;
    struct limit *limit = NULL;

    config.random = random_system();
    if (config.entries_max == 0)
        config.entries_max = 64;
    if (config.burst_ms == 0)
        config.burst_ms = 1000;
    assert_int_equal(limit_new(&config, &limit, NULL), ERR_OK);
    return limit;
}

static struct limit_ids
ids_of(uint64_t key, uint64_t project, uint64_t address)
{
    return (struct limit_ids){.ids = {key, project, address}};
}

static bool
takes(struct limit *limit, const struct limit_ids *ids, uint64_t events, int64_t now_ns,
      struct limit_answer *ret_answer)
{
    const uint64_t costs[LIMIT_WHAT_COUNT] = {events, 1, events * 100};

    return limit_take(limit, ids, costs, NULL, now_ns, ret_answer);
}

static void
test_local__no_limit_is_no_table(void **state)
{
    struct limit *limit = made(&(struct limit_config){.burst_ms = 1});
    const struct limit_ids ids = ids_of(1, 2, 3);
    struct limit_answer answer;

    (void)state;
    assert_null(limit);
    assert_false(limit_has(limit, LIMIT_KEY));
    assert_true(takes(limit, &ids, 1000000, 0, &answer));
    assert_false(answer.is_limited);
    limit_free(&limit);
}

static void
test_local__each_id_has_its_own(void **state)
{
    struct limit *limit = made(&(struct limit_config){.per_second[LIMIT_KEY][LIMIT_EVENTS] = 10});
    const struct limit_ids one = ids_of(11, 2, 3);
    const struct limit_ids two = ids_of(12, 2, 3);
    const struct limit_ids nobody = ids_of(0, 2, 3);
    struct limit_answer answer;

    (void)state;
    assert_true(limit_has(limit, LIMIT_KEY));
    assert_false(limit_has(limit, LIMIT_ADDRESS));
    assert_true(takes(limit, &one, 10, SECOND, &answer));
    assert_int_equal(limit_state(limit, &answer).left, 0);
    assert_int_equal(limit_state(limit, &answer).quota, 10);
    assert_int_equal(limit_state(limit, &answer).window_ms, 1000);
    assert_int_equal(answer.debt_ns, SECOND);
    assert_false(takes(limit, &one, 1, SECOND, &answer));
    assert_int_equal(answer.who, LIMIT_KEY);
    assert_int_equal(answer.what, LIMIT_EVENTS);
    assert_int_equal(answer.wait_ns, SECOND / 10);
    assert_true(takes(limit, &two, 10, SECOND, &answer));
    assert_true(takes(limit, &nobody, 1000, SECOND, &answer));
    assert_false(answer.is_limited);
    limit_free(&limit);
}

/* A project's refusal gives back what the key had taken; nothing is counted. */
static void
test_local__all_or_nothing(void **state)
{
    struct limit *limit =
        made(&(struct limit_config){.per_second[LIMIT_KEY][LIMIT_EVENTS] = 100,
                                    .per_second[LIMIT_PROJECT][LIMIT_REQUESTS] = 1});
    const struct limit_ids first = ids_of(11, 2, 3);
    const struct limit_ids second = ids_of(12, 2, 3);
    struct limit_answer answer;

    (void)state;
    assert_true(takes(limit, &first, 1, SECOND, &answer));
    for (int i = 0; i < 50; i++) {
        assert_false(takes(limit, &second, 90, SECOND, &answer));
        assert_int_equal(answer.who, LIMIT_PROJECT);
        assert_int_equal(answer.what, LIMIT_REQUESTS);
        assert_int_equal(answer.wait_ns, SECOND);
    }
    assert_true(takes(limit, &second, 90, 2 * SECOND, &answer));
    limit_free(&limit);
}

/* The nearest limit is told, by its share of the quota; of two that refuse, the longer wait. */
static void
test_local__tells_the_nearest(void **state)
{
    struct limit *limit =
        made(&(struct limit_config){.per_second = {{1000, 10, 0}, {0, 0, 5000}, {0}}});
    const struct limit_ids ids = ids_of(1, 2, 3);
    struct limit_answer answer;

    (void)state;
    assert_true(takes(limit, &ids, 10, SECOND, &answer)); /* left 99 %, 90 %, 80 % */
    assert_int_equal(answer.who, LIMIT_PROJECT);
    assert_int_equal(answer.what, LIMIT_BYTES);
    assert_int_equal(limit_state(limit, &answer).left, 4000);
    assert_int_equal(limit_state(limit, &answer).quota, 5000);
    for (int i = 1; i < 10; i++)
        assert_true(takes(limit, &ids, i == 9 ? 1 : 0, SECOND, &answer));
    assert_false(takes(limit, &ids, 1, SECOND, &answer)); /* requests 100 ms, of the key alone */
    assert_int_equal(answer.what, LIMIT_REQUESTS);
    assert_int_equal(answer.wait_ns, SECOND / 10);
    assert_false(takes(limit, &ids, 1000, SECOND, &answer)); /* bytes of the project 220 ms */
    assert_int_equal(answer.what, LIMIT_BYTES);
    assert_int_equal(answer.wait_ns, SECOND * 22 / 100);
    limit_free(&limit);
}

/* Of several whos that refuse the one is told that makes the request wait longest: it is let in
 * then. */
static void
test_local__the_longest_wait_of_all_is_told(void **state)
{
    struct limit *limit = made(&(struct limit_config){.per_second = {{0, 1, 0}, {0, 0, 100}, {0}}});
    const struct limit_ids other = ids_of(11, 2, 3);
    const struct limit_ids ids = ids_of(12, 2, 3);
    struct limit_answer answer;

    (void)state;
    assert_true(takes(limit, &ids, 0, SECOND, &answer));    /* the key's one request */
    assert_true(takes(limit, &other, 10, SECOND, &answer)); /* the project owes ten seconds */
    assert_false(takes(limit, &ids, 1, SECOND, &answer));
    assert_int_equal(answer.who, LIMIT_PROJECT);
    assert_int_equal(answer.wait_ns, 10 * SECOND);
    assert_false(takes(limit, &ids, 1, 11 * SECOND - 1, &answer));
    assert_true(
        takes(limit, &ids, 1, 11 * SECOND, &answer)); /* and nothing was counted meanwhile */
    limit_free(&limit);
}

static void
test_local__what_was_paid_is_not_asked_twice(void **state)
{
    struct limit *limit = made(&(struct limit_config){.per_second[LIMIT_KEY] = {10, 1, 0}});
    const struct limit_ids ids = ids_of(1, 2, 3);
    const uint64_t head[LIMIT_WHAT_COUNT] = {1, 1, 0};
    const uint64_t whole[LIMIT_WHAT_COUNT] = {10, 1, 0};
    const uint64_t large[LIMIT_WHAT_COUNT] = {25, 1, 0};
    struct limit_answer answer;

    (void)state;
    assert_true(limit_take(limit, &ids, head, NULL, SECOND, &answer));
    assert_true(limit_take(limit, &ids, whole, head, SECOND, &answer)); /* the last request, 10th */
    assert_int_equal(limit_state(limit, &answer).left, 0);
    assert_false(limit_take(limit, &ids, head, NULL, SECOND, &answer));
    /* Over the burst: but for its own head the bucket is full. */
    assert_true(limit_take(limit, &ids, head, NULL, 3 * SECOND, &answer));
    assert_true(limit_take(limit, &ids, large, head, 3 * SECOND, &answer));
    assert_false(limit_take(limit, &ids, head, NULL, 3 * SECOND + SECOND / 2 * 3, &answer));
    assert_true(limit_take(limit, &ids, head, NULL, 3 * SECOND + SECOND / 10 * 16, &answer));
    limit_give(limit, &ids, head);
    assert_true(limit_take(limit, &ids, head, NULL, 3 * SECOND + SECOND / 10 * 16, &answer));
    assert_false(limit_take(limit, &ids, head, NULL, 3 * SECOND + SECOND / 10 * 16, &answer));
    limit_free(&limit);
}

/* More ids than are remembered: who is known already is not made to wait for them. */
static void
test_local__strangers_do_not_fill_it(void **state)
{
    struct limit *limit = made(
        &(struct limit_config){.per_second[LIMIT_ADDRESS][LIMIT_REQUESTS] = 5, .entries_max = 64});
    const struct limit_ids busy = ids_of(0, 0, 1);
    struct limit_answer answer;

    (void)state;
    for (int i = 0; i < 5; i++)
        assert_true(takes(limit, &busy, 1, SECOND, &answer));
    for (int i = 0; i < 10000; i++) {
        const struct limit_ids other = ids_of(0, 0, 2 + (uint64_t)i);

        assert_true(takes(limit, &other, 1, SECOND + i, &answer));
    }
    assert_false(takes(limit, &busy, 1, SECOND, &answer)); /* the most indebted of its set stays */
    limit_free(&limit);
}

#define THREADS 4
#define TRIES 400000 /* more than one thread alone is let in */
#define CROWD_QUOTA 1000000

struct crowd {
    struct limit *limit;
    pthread_barrier_t start;
    _Atomic uint64_t let_in;
};

static void *
try_often(void *arg)
{
    struct crowd *crowd = arg;
    const struct limit_ids ids = ids_of(1, 2, 3);
    struct limit_answer answer;
    uint64_t let_in = 0;

    (void)pthread_barrier_wait(&crowd->start);
    for (int i = 0; i < TRIES; i++)
        let_in += takes(crowd->limit, &ids, 1, SECOND, &answer);
    atomic_fetch_add(&crowd->let_in, let_in);
    return NULL;
}

static void
test_local__threads_together_take_no_more(void **state)
{
    struct crowd crowd = {.limit = made(&(struct limit_config){
                              .per_second[LIMIT_KEY][LIMIT_EVENTS] = CROWD_QUOTA,
                              .per_second[LIMIT_PROJECT][LIMIT_REQUESTS] = CROWD_QUOTA})};
    pthread_t threads[THREADS];

    (void)state;
    assert_int_equal(pthread_barrier_init(&crowd.start, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, try_often, &crowd), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&crowd.let_in), CROWD_QUOTA);
    pthread_barrier_destroy(&crowd.start);
    limit_free(&crowd.limit);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_local__no_limit_is_no_table),
        cmocka_unit_test(test_local__each_id_has_its_own),
        cmocka_unit_test(test_local__all_or_nothing),
        cmocka_unit_test(test_local__tells_the_nearest),
        cmocka_unit_test(test_local__the_longest_wait_of_all_is_told),
        cmocka_unit_test(test_local__what_was_paid_is_not_asked_twice),
        cmocka_unit_test(test_local__strangers_do_not_fill_it),
        cmocka_unit_test(test_local__threads_together_take_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
