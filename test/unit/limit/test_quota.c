/* Units of limit/quota: room, giving back, months, counts, and many threads at once. */
#include "../test.h"

#include "limit/quota.h"

#include <pthread.h>
#include <stdatomic.h>

#define SECOND NS_PER_S
#define PROJECT 7
#define NOVEMBER_US (INT64_C(1793491200) * 1000000) /* 2026-11-01T00:00:00Z */
#define DECEMBER_US (INT64_C(1796083200) * 1000000)
#define JANUARY_US (INT64_C(1798761600) * 1000000)
#define NOW_US (NOVEMBER_US + INT64_C(86400000000))

static struct quota *
made(uint64_t events_per_month, int64_t now_ns)
{
    const struct quota_config config = {0};
    const struct quota_limit limit = {PROJECT, events_per_month};
    struct quota *quota = NULL;

    assert_int_equal(quota_new(&config, &quota, NULL), ERR_OK);
    assert_int_equal(quota_set_limits(quota, 1, &limit, 1, NOW_US, now_ns), ERR_OK);
    return quota;
}

static struct quota *
counted(uint64_t events_per_month, uint64_t events, int64_t now_ns)
{
    struct quota *quota = made(events_per_month, now_ns);
    struct quota_count count;

    assert_true(quota_count_next(quota, now_ns, &count));
    quota_count_end(&count, events);
    return quota;
}

static uint32_t
take_at(struct quota *quota, int64_t at_us, int64_t now_ns, uint32_t wanted,
        struct quota_share *ret_share)
{
    return quota_take(quota, PROJECT, at_us, now_ns, wanted, ret_share);
}

static uint32_t
stores(struct quota *quota, uint32_t wanted)
{
    struct quota_share share;
    const uint32_t taken = take_at(quota, NOW_US, SECOND, wanted, &share);

    quota_settle(&share, taken);
    return taken;
}

static uint64_t
used(struct quota *quota, int64_t now_us)
{
    uint64_t events = 0;
    bool wants;

    assert_true(quota_used(quota, PROJECT, now_us, SECOND, &events, &wants));
    return events;
}

static void
test_quota__months_of_the_calendar(void **state)
{
    int64_t from_us, to_us;

    (void)state;
    for (int64_t i = -1; i <= 1; i++) {
        quota_month_of(DECEMBER_US + i, &from_us, &to_us);
        assert_int_equal(from_us, i < 0 ? NOVEMBER_US : DECEMBER_US);
        assert_int_equal(to_us, i < 0 ? DECEMBER_US : JANUARY_US);
        quota_month_of(JANUARY_US + i, &from_us, &to_us);
        assert_int_equal(from_us, i < 0 ? DECEMBER_US : JANUARY_US);
    }
    quota_month_of(INT64_C(1835395199999999), &from_us, &to_us); /* 2028-02-28T23:59:59.999999Z */
    assert_int_equal((to_us - from_us) / INT64_C(86400000000), 29);
    quota_month_of(-1, &from_us, &to_us);
    assert_int_equal(from_us, 0);
    quota_month_of(INT64_MAX, &from_us, &to_us);
    assert_true(from_us < to_us);
}

static void
test_quota__without_one_nothing_is_asked(void **state)
{
    struct quota *quota = made(1, 0);
    struct quota_share share;
    uint64_t events;
    bool wants;

    (void)state;
    assert_true(quota_is_any(quota));
    assert_int_equal(quota_take(quota, PROJECT + 1, NOW_US, 0, 5, &share), 5);
    assert_null(share.month);
    quota_settle(&share, 0);
    assert_false(quota_used(quota, PROJECT + 1, NOW_US, 0, &events, &wants));
    assert_false(wants);
    assert_int_equal(quota_set_limits(quota, 2, NULL, 0, NOW_US, 10 * SECOND), ERR_OK);
    assert_false(quota_is_any(quota));
    assert_int_equal(take_at(quota, NOW_US, 0, 5, &share), 5);
    assert_null(share.month);
    quota_free(&quota);
}

static void
test_quota__an_older_generation_changes_nothing(void **state)
{
    struct quota *quota = counted(10, 0, SECOND);
    const struct quota_limit other = {PROJECT, 20};

    (void)state;
    assert_int_equal(quota_set_limits(quota, 1, &other, 1, NOW_US, 10 * SECOND), ERR_OK);
    assert_int_equal(quota_generation(quota), 1);
    assert_int_equal(stores(quota, 100), 10);
    assert_int_equal(quota_set_limits(quota, 2, &other, 1, NOW_US, 10 * SECOND), ERR_OK);
    assert_int_equal(quota_generation(quota), 2);
    assert_int_equal(stores(quota, 100), 10); /* at once, and without another count */
    quota_free(&quota);
}

static void
test_quota__room_to_the_last_event(void **state)
{
    (void)state;
    for (uint32_t wanted = 9; wanted <= 11; wanted++) {
        struct quota *quota = counted(10, 0, SECOND);

        assert_int_equal(stores(quota, wanted), wanted < 10 ? wanted : 10);
        assert_int_equal(stores(quota, 5), wanted < 10 ? 1 : 0);
        assert_int_equal(used(quota, NOW_US), 10);
        quota_free(&quota);
    }
    for (uint64_t there = 9; there <= 11; there++) {
        struct quota *quota = counted(10, there, SECOND);

        assert_int_equal(stores(quota, 2), there < 10 ? 1 : 0);
        assert_int_equal(used(quota, NOW_US), there < 10 ? 10 : there);
        quota_free(&quota);
    }
    for (uint64_t less = 0; less <= 1; less++) {
        struct quota *quota = counted(QUOTA_EVENTS_MAX, QUOTA_EVENTS_MAX - less, SECOND);

        assert_int_equal(stores(quota, 2), less);
        quota_free(&quota);
    }
}

static void
test_quota__what_was_not_stored_is_given_back(void **state)
{
    struct quota *quota = counted(10, 0, SECOND);
    struct quota_share first, second;

    (void)state;
    assert_int_equal(take_at(quota, NOW_US, SECOND, 8, &first), 8);
    assert_int_equal(take_at(quota, NOW_US, SECOND, 8, &second), 2);
    quota_settle(&first, 3);
    assert_int_equal(used(quota, NOW_US), 5);
    quota_settle(&second, 0);
    quota_settle(&second, 0); /* twice is once */
    assert_int_equal(used(quota, NOW_US), 3);
    assert_int_equal(stores(quota, 10), 7);
    quota_free(&quota);
}

static void
test_quota__until_it_is_counted_all_is_let_in(void **state)
{
    struct quota *quota = made(10, SECOND);
    struct quota_count count;
    uint64_t events;
    bool wants = false;

    (void)state;
    assert_int_equal(stores(quota, 15), 15);
    assert_false(quota_used(quota, PROJECT, NOW_US, SECOND, &events, &wants));
    assert_true(wants);
    assert_true(quota_count_is_wanted(quota));
    assert_true(quota_count_next(quota, SECOND, &count));
    assert_int_equal(count.project_id, PROJECT);
    assert_int_equal(count.from_us, NOVEMBER_US);
    assert_int_equal(count.to_us, DECEMBER_US);
    assert_int_equal(stores(quota, 1), 1); /* while it counts, too */
    quota_count_end(&count, 4 + 15);
    assert_int_equal(used(quota, NOW_US), 20);
    assert_int_equal(stores(quota, 1), 0);
    assert_false(quota_count_next(quota, SECOND, &count));
    assert_false(quota_count_is_wanted(quota));
    quota_free(&quota);
}

/* A project that is asked for all the time, and so due again at once, keeps no other from its
 * count. */
static void
test_quota__who_waits_longest_is_counted_first(void **state)
{
    const struct quota_config config = {.is_shared = false};
    const struct quota_limit limits[] = {{1, 10}, {2, 10}, {1025, 10}, {7, 10}};
    bool are_counted[1026] = {false};
    struct quota *quota = NULL;

    (void)state;
    assert_int_equal(quota_new(&config, &quota, NULL), ERR_OK);
    assert_int_equal(quota_set_limits(quota, 1, limits, COUNT_OF(limits), NOW_US, SECOND), ERR_OK);
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        struct quota_count count;
        uint64_t events;
        bool wants;

        for (size_t k = 0; k < COUNT_OF(limits); k++)
            (void)!quota_used(quota, limits[k].project_id, NOW_US, (int64_t)(i + 1) * 10 * SECOND,
                              &events, &wants);
        assert_true(quota_count_next(quota, (int64_t)(i + 1) * 10 * SECOND, &count));
        assert_false(are_counted[count.project_id]);
        are_counted[count.project_id] = true;
        quota_count_end(&count, 0);
    }
    quota_free(&quota);
}

/* The count finds what was settled when it began, and perhaps more; never is less told. */
static void
test_quota__a_count_leaves_nothing_out(void **state)
{
    struct quota *quota = counted(100, 0, SECOND);
    struct quota_share under_way, later;
    struct quota_count count;

    (void)state;
    assert_int_equal(stores(quota, 10), 10);
    assert_int_equal(take_at(quota, NOW_US, SECOND, 20, &under_way), 20);
    (void)quota_take(quota, PROJECT, NOW_US, 100 * SECOND, 0, &later);
    assert_true(later.wants_count);
    assert_true(quota_count_next(quota, 100 * SECOND, &count));
    assert_int_equal(take_at(quota, NOW_US, 100 * SECOND, 30, &later), 30);
    quota_settle(&under_way, 20);
    quota_count_end(&count, 10); /* it saw none of those under way */
    assert_int_equal(used(quota, NOW_US), 60);
    quota_settle(&later, 0);
    assert_int_equal(used(quota, NOW_US), 30);
    quota_free(&quota);
}

static void
test_quota__exact_after_a_count_at_rest(void **state)
{
    struct quota *quota = counted(10, 0, 10 * SECOND);
    struct quota_share share, under_way;
    struct quota_answer answer;
    struct quota_count count;

    (void)state;
    assert_int_equal(stores(quota, 10), 10);
    assert_int_equal(quota_take(quota, PROJECT, NOW_US, 11 * SECOND - 1, 1, &share), 0);
    assert_false(share.is_exact);
    assert_false(share.wants_count); /* not more than once a second */
    assert_int_equal(quota_take(quota, PROJECT, NOW_US, 11 * SECOND, 1, &share), 0);
    assert_true(share.wants_count);
    assert_true(quota_count_next(quota, 13 * SECOND, &count));
    quota_count_end(&count, 10);
    assert_int_equal(quota_take(quota, PROJECT, NOW_US, 15 * SECOND, 1, &share), 0);
    assert_true(share.is_exact);
    assert_false(share.wants_count); /* nothing has changed since */
    answer = quota_answer(&share);
    assert_int_equal(answer.events_per_month, 10);
    assert_int_equal(answer.ends_at_us, DECEMBER_US);
    assert_int_equal(answer.used, 10);
    /* But once a minute, for what others store and what is erased. */
    (void)quota_take(quota, PROJECT, NOW_US, 73 * SECOND - 1, 1, &share);
    assert_false(share.wants_count);
    (void)quota_take(quota, PROJECT, NOW_US, 73 * SECOND, 1, &share);
    assert_true(share.wants_count);
    assert_true(quota_count_next(quota, 73 * SECOND, &count));
    quota_count_end(&count, 9); /* one was erased */
    assert_int_equal(take_at(quota, NOW_US, 73 * SECOND, 1, &under_way), 1);
    (void)quota_take(quota, PROJECT, NOW_US, 74 * SECOND, 1, &share);
    assert_true(quota_count_next(quota, 74 * SECOND, &count));
    quota_count_end(&count, 10); /* it was under way: perhaps it will be given back */
    (void)quota_take(quota, PROJECT, NOW_US, 74 * SECOND, 1, &share);
    assert_false(share.is_exact);
    quota_settle(&under_way, 0);
    quota_free(&quota);
}

/* Of a lost link nobody knows: its events count until the next count, which tells. */
static void
test_quota__the_unknown_counts_until_it_is_known(void **state)
{
    struct quota *quota = counted(10, 0, SECOND);
    struct quota_share share;
    struct quota_count count;

    (void)state;
    assert_int_equal(take_at(quota, NOW_US, SECOND, 10, &share), 10);
    quota_settle(&share, 10); /* unknown */
    assert_int_equal(quota_take(quota, PROJECT, NOW_US, 9 * SECOND, 1, &share), 0);
    assert_true(quota_count_next(quota, 9 * SECOND, &count));
    quota_count_end(&count, 4);
    assert_int_equal(stores(quota, 10), 6);
    quota_free(&quota);
}

static void
test_quota__a_month_begins_with_nothing(void **state)
{
    struct quota *quota = counted(10, 10, SECOND);
    struct quota_share late, share;
    struct quota_count count;

    (void)state;
    assert_int_equal(take_at(quota, DECEMBER_US - 1, SECOND, 1, &share), 0);
    assert_int_equal(take_at(quota, DECEMBER_US, SECOND, 11, &share), 10);
    quota_settle(&share, 10);
    assert_int_equal(used(quota, DECEMBER_US), 10);
    assert_int_equal(used(quota, DECEMBER_US - 1), 10); /* a late request of the month before */
    assert_true(quota_count_next(quota, SECOND, &count));
    assert_int_equal(count.from_us, DECEMBER_US);
    quota_count_end(&count, 8);
    assert_int_equal(take_at(quota, DECEMBER_US, SECOND, 11, &late), 2);
    /* The third month takes the place of the first; what ends late is not taken for its own. */
    assert_int_equal(take_at(quota, JANUARY_US, SECOND, 7, &share), 7);
    quota_settle(&share, 7);
    assert_int_equal(used(quota, JANUARY_US), 7);
    quota_settle(&late, 1);
    assert_int_equal(used(quota, DECEMBER_US), 9);
    assert_int_equal(used(quota, JANUARY_US), 7);
    quota_free(&quota);
}

static void
test_quota__a_count_of_a_month_that_went_is_no_count(void **state)
{
    struct quota *quota = made(10, SECOND);
    struct quota_share share;
    struct quota_count count;

    (void)state;
    assert_true(quota_count_next(quota, SECOND, &count)); /* November */
    (void)take_at(quota, DECEMBER_US, SECOND, 0, &share);
    (void)take_at(quota, JANUARY_US, SECOND, 0, &share);
    quota_count_end(&count, 10);
    assert_int_equal(used(quota, JANUARY_US), 0);
    quota_free(&quota);
}

static void
test_quota__taken_away_and_set_again_it_is_counted_anew(void **state)
{
    struct quota *quota = counted(10, 3, 10 * SECOND);
    const struct quota_limit again = {PROJECT, 10};
    struct quota_share kept, share;
    struct quota_count count;
    uint64_t events;
    bool wants;

    (void)state;
    assert_int_equal(take_at(quota, NOW_US, 10 * SECOND, 2, &kept), 2);
    assert_int_equal(quota_set_limits(quota, 2, NULL, 0, NOW_US, 10 * SECOND), ERR_OK);
    assert_int_equal(quota_set_limits(quota, 3, &again, 1, NOW_US, 10 * SECOND), ERR_OK);
    assert_false(quota_used(quota, PROJECT, NOW_US, 10 * SECOND, &events, &wants));
    assert_true(quota_count_next(quota, 10 * SECOND, &count));
    quota_settle(&kept, 2); /* of before */
    quota_count_end(&count, 6);
    assert_int_equal(used(quota, NOW_US), 8); /* those two twice, perhaps */
    /* What was on its way uncounted when it was set is found by a second count. */
    (void)quota_take(quota, PROJECT, NOW_US, 11 * SECOND, 1, &share);
    assert_true(share.wants_count);
    quota_settle(&share, 0);
    assert_true(quota_count_next(quota, 12 * SECOND, &count));
    quota_count_end(&count, 6);
    assert_int_equal(used(quota, NOW_US), 6);
    (void)quota_take(quota, PROJECT, NOW_US, 14 * SECOND, 1, &share);
    assert_false(share.wants_count);
    quota_free(&quota);
}

static void
test_quota__projects_of_one_chain_are_told_apart(void **state)
{
    const struct quota_config config = {.is_shared = true};
    const struct quota_limit limits[] = {{1, 5}, {1025, 6}, {2049, 7}};
    struct quota_share share;
    struct quota_count count;
    struct quota *quota = NULL;
    uint32_t seen = 0;

    (void)state;
    assert_int_equal(quota_new(&config, &quota, NULL), ERR_OK);
    assert_int_equal(quota_set_limits(quota, 1, limits, COUNT_OF(limits), NOW_US, 10 * SECOND),
                     ERR_OK);
    while (quota_count_next(quota, SECOND, &count)) {
        quota_count_end(&count, 0);
        seen++;
    }
    assert_int_equal(seen, 3);
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        assert_int_equal(quota_take(quota, limits[i].project_id, NOW_US, 5 * SECOND, 100, &share),
                         limits[i].events_per_month);
        quota_settle(&share, 0);
        (void)quota_take(quota, limits[i].project_id, NOW_US, 11 * SECOND, 0, &share);
        assert_true(share.wants_count); /* shared: every 10 s */
    }
    quota_free(&quota);
}

/* --- many threads -----------------------------------------------------------------------------*/

#define THREADS 4
#define ROUNDS 20000
#define MOST 50000

struct crowd {
    struct quota *quota;
    _Atomic uint64_t stored; /* the store: told before it is settled */
    _Atomic bool is_over;
};

static void *
store_many(void *arg)
{
    struct crowd *crowd = arg;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct quota_share share;
        const uint32_t taken = take_at(crowd->quota, NOW_US, SECOND, i % 7, &share);
        const uint32_t kept = i % 3 == 0 ? taken / 2 : taken;

        atomic_fetch_add(&crowd->stored, kept);
        quota_settle(&share, kept);
    }
    return NULL;
}

static void *
count_many(void *arg)
{
    struct crowd *crowd = arg;

    for (int64_t now_ns = 0; !atomic_load(&crowd->is_over); now_ns += 61 * SECOND) {
        struct quota_count count;
        struct quota_share share;

        (void)quota_take(crowd->quota, PROJECT, NOW_US, now_ns, 0, &share);
        if (quota_count_next(crowd->quota, now_ns, &count))
            quota_count_end(&count, atomic_load(&crowd->stored));
    }
    return NULL;
}

static void
test_quota__threads_never_store_more(void **state)
{
    struct crowd crowd = {.quota = counted(MOST, 0, 0)};
    pthread_t threads[THREADS + 1];
    struct quota_count count;

    (void)state;
    assert_int_equal(pthread_create(&threads[THREADS], NULL, count_many, &crowd), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, store_many, &crowd), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    atomic_store(&crowd.is_over, true);
    assert_int_equal(pthread_join(threads[THREADS], NULL), 0);
    assert_true(crowd.stored <= MOST);
    /* At rest a count tells the truth, and the room left is what can be stored. */
    while (quota_count_next(crowd.quota, INT64_MAX / 4, &count))
        quota_count_end(&count, crowd.stored);
    crowd.stored += stores(crowd.quota, MOST);
    assert_int_equal(crowd.stored, MOST);
    quota_free(&crowd.quota);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quota__months_of_the_calendar),
        cmocka_unit_test(test_quota__without_one_nothing_is_asked),
        cmocka_unit_test(test_quota__an_older_generation_changes_nothing),
        cmocka_unit_test(test_quota__room_to_the_last_event),
        cmocka_unit_test(test_quota__what_was_not_stored_is_given_back),
        cmocka_unit_test(test_quota__until_it_is_counted_all_is_let_in),
        cmocka_unit_test(test_quota__who_waits_longest_is_counted_first),
        cmocka_unit_test(test_quota__a_count_leaves_nothing_out),
        cmocka_unit_test(test_quota__exact_after_a_count_at_rest),
        cmocka_unit_test(test_quota__the_unknown_counts_until_it_is_known),
        cmocka_unit_test(test_quota__a_month_begins_with_nothing),
        cmocka_unit_test(test_quota__a_count_of_a_month_that_went_is_no_count),
        cmocka_unit_test(test_quota__taken_away_and_set_again_it_is_counted_anew),
        cmocka_unit_test(test_quota__projects_of_one_chain_are_told_apart),
        cmocka_unit_test(test_quota__threads_never_store_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
