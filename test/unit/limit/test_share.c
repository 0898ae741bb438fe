/* Units of limit/share: what is told, what comes back, and connections lost between. Two processes
 * are two structs limit; their common place is a few lines here, as sql/redis/limits.lua has it. */
#include "../test.h"

#include "base/clock.h"
#include "limit/share.h"

#include <pthread.h>
#include <stdatomic.h>

#define SECOND NS_PER_S
#define MS (SECOND / 1000)
#define PARTS_MAX 100

static struct limit *
made(uint64_t events, enum limit_fallback fallback)
{
    const struct limit_config config = {
        .per_second[LIMIT_PROJECT][LIMIT_EVENTS] = events,
        .burst_ms = 1000,
        .entries_max = 64,
        .random = random_system(),
        .is_shared = true,
        .fallback = fallback,
    };
    struct limit *limit = NULL;

    assert_int_equal(limit_new(&config, &limit, NULL), ERR_OK);
    return limit;
}

static bool
takes(struct limit *limit, uint64_t project, uint64_t events, int64_t now_ns)
{
    const struct limit_ids ids = {.ids[LIMIT_PROJECT] = project};
    const uint64_t costs[LIMIT_WHAT_COUNT] = {[LIMIT_EVENTS] = events};
    struct limit_answer answer;

    return limit_take(limit, &ids, costs, NULL, now_ns, &answer);
}

/* The common place, of one id. */
struct place {
    int64_t full_ns;
};

static void
tell(struct limit *limit, struct place *place, int64_t now_ns)
{
    struct share_part parts[PARTS_MAX];
    const size_t count = limit_collect(limit, parts, PARTS_MAX, now_ns);

    for (size_t i = 0; i < count; i++) {
        const int64_t told_ns = parts[i].told_ns[LIMIT_EVENTS];
        int64_t owed_ns[LIMIT_WHAT_COUNT] = {0};

        place->full_ns = place->full_ns > now_ns ? place->full_ns : now_ns;
        if (!parts[i].is_all)
            place->full_ns += told_ns;
        else if (now_ns + told_ns > place->full_ns)
            place->full_ns = now_ns + told_ns;
        owed_ns[LIMIT_EVENTS] = place->full_ns - now_ns;
        limit_settle(limit, &parts[i], owed_ns, now_ns);
    }
}

static void
test_share__two_let_in_what_one_would(void **state)
{
    struct limit *limits[] = {made(1000, LIMIT_LOCAL), made(1000, LIMIT_LOCAL)};
    struct place place = {0};
    uint64_t came_in = 0;
    int64_t now_ns = SECOND;

    (void)state;
    for (int i = 0; i < 2; i++)
        limit_set_away(limits[i], false);
    for (; now_ns < 21 * SECOND; now_ns += MS) {
        for (int i = 0; i < 2; i++) {
            while (takes(limits[i], 7, 1, now_ns))
                came_in++;
            if (now_ns / MS % 5 == 2 * i)
                tell(limits[i], &place, now_ns);
        }
    }
    /* The burst, 20 s, and what an interval of 5 ms lets in twice. */
    assert_in_range(came_in, 20990, 21020);
    for (int i = 0; i < 2; i++)
        limit_free(&limits[i]);
}

static void
test_share__what_is_given_back_is_told(void **state)
{
    struct limit *limit = made(1000, LIMIT_LOCAL);
    const struct limit_ids ids = {.ids[LIMIT_PROJECT] = 7};
    struct share_part parts[PARTS_MAX];

    (void)state;
    limit_set_away(limit, false);
    assert_true(takes(limit, 7, 100, SECOND));
    assert_int_equal(limit_collect(limit, parts, PARTS_MAX, SECOND), 1);
    assert_false(parts[0].is_all);
    assert_int_equal(parts[0].id, 7);
    assert_int_equal(parts[0].who, LIMIT_PROJECT);
    assert_int_equal(parts[0].told_ns[LIMIT_EVENTS], 100 * MS);
    assert_int_equal(limit_collect(limit, parts, PARTS_MAX, SECOND), 0);
    limit_give(limit, &ids, (const uint64_t[LIMIT_WHAT_COUNT]){40});
    limit_count(limit, &ids, (const uint64_t[LIMIT_WHAT_COUNT]){3}, SECOND);
    assert_int_equal(limit_collect(limit, parts, PARTS_MAX, SECOND), 1);
    assert_int_equal(parts[0].told_ns[LIMIT_EVENTS], -37 * MS);
    limit_free(&limit);
}

static void
test_share__counted_since_the_telling_stays(void **state)
{
    struct limit *limit = made(1000, LIMIT_LOCAL);
    struct share_part parts[PARTS_MAX];
    int64_t owed_ns[LIMIT_WHAT_COUNT] = {900 * MS};

    (void)state;
    limit_set_away(limit, false);
    assert_true(takes(limit, 7, 100, SECOND));
    assert_int_equal(limit_collect(limit, parts, PARTS_MAX, SECOND), 1);
    assert_true(takes(limit, 7, 50, SECOND));
    limit_settle(limit, &parts[0], owed_ns, SECOND);
    assert_false(takes(limit, 7, 51, SECOND));
    assert_true(takes(limit, 7, 50, SECOND));
    limit_free(&limit);
}

/* Away, each lets in by itself; back again, what both owe is the greater, not the sum. */
static void
test_share__a_lost_connection_counts_nothing_twice(void **state)
{
    struct limit *limit = made(1000, LIMIT_LOCAL);
    struct place place = {0};
    struct share_part parts[PARTS_MAX];
    int64_t now_ns = SECOND;

    (void)state;
    limit_set_away(limit, false);
    assert_true(takes(limit, 7, 600, now_ns));
    assert_int_equal(limit_collect(limit, parts, PARTS_MAX, now_ns), 1); /* told, or lost? */
    place.full_ns = now_ns + 600 * MS;
    limit_set_away(limit, true);
    assert_true(takes(limit, 7, 100, now_ns));
    assert_true(takes(limit, 8, 10, now_ns)); /* new while it is away */
    now_ns += 100 * MS;
    limit_set_away(limit, false);
    assert_int_equal(limit_collect(limit, parts, PARTS_MAX, now_ns), 2);
    assert_true(parts[0].is_all && parts[1].is_all);
    assert_int_equal(parts[0].told_ns[LIMIT_EVENTS], 600 * MS);
    assert_int_equal(parts[1].told_ns[LIMIT_EVENTS], 0); /* paid meanwhile */
    assert_true(takes(limit, 7, 1, now_ns));
    tell(limit, &place, now_ns);
    assert_int_equal(place.full_ns, now_ns + 501 * MS); /* what is new is told as such */
    limit_free(&limit);
}

static void
test_share__fallbacks(void **state)
{
    static const struct {
        enum limit_fallback fallback;
        bool lets_burst_in;
        bool lets_more_in;
    } rows[] = {{LIMIT_LOCAL, true, false}, {LIMIT_OPEN, true, true}, {LIMIT_CLOSED, false, false}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct limit *limit = made(1000, rows[i].fallback); /* away, until it is told otherwise */
        const struct limit_ids ids = {.ids[LIMIT_PROJECT] = 7};
        struct limit_answer answer;

        assert_int_equal(takes(limit, 7, 1000, SECOND), rows[i].lets_burst_in);
        assert_int_equal(takes(limit, 7, 1000, SECOND), rows[i].lets_more_in);
        (void)!limit_take(limit, &ids, (const uint64_t[LIMIT_WHAT_COUNT]){1}, NULL, SECOND,
                          &answer);
        assert_int_equal(answer.is_unknown, rows[i].fallback == LIMIT_CLOSED);
        limit_set_away(limit, false);
        /* What was let in by `open` is not owed. */
        assert_int_equal(takes(limit, 7, 1000, SECOND), rows[i].fallback != LIMIT_LOCAL);
        assert_false(takes(limit, 7, 1, SECOND));
        limit_free(&limit);
    }
}

/* What is known may be old by now: Redis emptied, or given back there what was known to be owed. */
static void
test_share__who_is_refused_asks_again(void **state)
{
    struct limit *limit = made(1000, LIMIT_LOCAL);
    struct share_part parts[PARTS_MAX];
    const int64_t owed_ns[LIMIT_WHAT_COUNT] = {0};

    (void)state;
    limit_set_away(limit, false);
    assert_true(takes(limit, 7, 1000, SECOND));
    assert_int_equal(limit_collect(limit, parts, PARTS_MAX, SECOND), 1);
    assert_false(takes(limit, 7, 1, SECOND));
    assert_false(takes(limit, 7, 1, SECOND));
    assert_int_equal(limit_collect(limit, parts, PARTS_MAX, SECOND), 1);
    assert_int_equal(parts[0].told_ns[LIMIT_EVENTS], 0);
    limit_settle(limit, &parts[0], owed_ns, SECOND);
    assert_true(takes(limit, 7, 1000, SECOND));
    limit_free(&limit);
}

static void
count_wake(void *state)
{
    ++*(int *)state;
}

static void
test_share__woken_once_until_all_is_collected(void **state)
{
    struct limit *limit = made(1000, LIMIT_LOCAL);
    struct share_part parts[PARTS_MAX];
    int woken = 0;

    (void)state;
    limit_share_with(limit, count_wake, &woken);
    for (uint64_t project = 1; project <= 10; project++)
        assert_true(takes(limit, project, 1, SECOND));
    assert_int_equal(woken, 1);
    assert_int_equal(limit_collect(limit, parts, 9, SECOND), 9);
    assert_true(takes(limit, 1, 1, SECOND)); /* who collects is at it */
    assert_int_equal(woken, 1);
    assert_int_equal(limit_collect(limit, parts, 9, SECOND), 2);
    assert_true(takes(limit, 1, 1, SECOND));
    assert_int_equal(woken, 2);
    limit_share_with(limit, NULL, NULL);
    assert_int_equal(limit_collect(limit, parts, 9, SECOND), 1);
    assert_true(takes(limit, 1, 1, SECOND));
    assert_int_equal(woken, 2);
    limit_free(&limit);
}

/* More ids than there are entries: each place is told once, and of the id that has it. */
static void
test_share__entries_change_hands(void **state)
{
    struct limit *limit = made(1000, LIMIT_LOCAL);
    struct share_part parts[PARTS_MAX];
    const int64_t owed_ns[LIMIT_WHAT_COUNT] = {SECOND};
    size_t count;

    (void)state;
    limit_set_away(limit, false);
    assert_true(takes(limit, 100000, 1, SECOND));
    assert_int_equal(limit_collect(limit, parts, PARTS_MAX, SECOND), 1);
    for (uint64_t project = 1; project <= 10000; project++)
        assert_true(takes(limit, project, 2, SECOND));
    limit_settle(limit, &parts[0], owed_ns, SECOND); /* of an id that is forgotten: nobody else's */
    count = limit_collect(limit, parts, PARTS_MAX, SECOND);
    assert_int_equal(count, 64);
    for (size_t i = 0; i < count; i++) {
        assert_in_range(parts[i].id, 1, 10000);
        assert_int_equal(parts[i].told_ns[LIMIT_EVENTS], 2 * MS);
    }
    limit_free(&limit);
}

struct storm {
    struct limit *limit;
    atomic_bool is_over;
    int64_t told_ns;
};

static void *
run_taking(void *arg)
{
    struct storm *storm = arg;

    for (uint64_t i = 0; i < 100000; i++)
        assert_true(takes(storm->limit, 1 + i % 3, 1, 1));
    return NULL;
}

static void *
run_telling(void *arg)
{
    struct storm *storm = arg;
    struct share_part parts[PARTS_MAX];
    bool is_over;

    do {
        size_t count;

        is_over = atomic_load(&storm->is_over);
        count = limit_collect(storm->limit, parts, PARTS_MAX, 1);
        for (size_t i = 0; i < count; i++)
            storm->told_ns += parts[i].told_ns[LIMIT_EVENTS];
    } while (!is_over);
    return NULL;
}

static void
test_share__threads_lose_nothing(void **state)
{
    struct storm storm = {.limit = made(1000000, LIMIT_LOCAL)};
    pthread_t takers[2];
    pthread_t teller;

    (void)state;
    limit_set_away(storm.limit, false);
    assert_int_equal(pthread_create(&teller, NULL, run_telling, &storm), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&takers[i], NULL, run_taking, &storm), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(takers[i], NULL);
    atomic_store(&storm.is_over, true);
    pthread_join(teller, NULL);
    assert_int_equal(storm.told_ns, 200000 * (SECOND / 1000000));
    limit_free(&storm.limit);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share__two_let_in_what_one_would),
        cmocka_unit_test(test_share__what_is_given_back_is_told),
        cmocka_unit_test(test_share__counted_since_the_telling_stays),
        cmocka_unit_test(test_share__a_lost_connection_counts_nothing_twice),
        cmocka_unit_test(test_share__fallbacks),
        cmocka_unit_test(test_share__who_is_refused_asks_again),
        cmocka_unit_test(test_share__woken_once_until_all_is_collected),
        cmocka_unit_test(test_share__entries_change_hands),
        cmocka_unit_test(test_share__threads_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
