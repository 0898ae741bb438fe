/*
 * throttle: failures at n−1, n, n+1 of what is free, the delays and their ends, both tables full,
 * attempts under way, and what counts as one address. Time is an argument.
 */
#include "../test.h"

#include "api/throttle.h"
#include "base/clock.h"
#include "base/mem.h"

#define ANN SLICE("ann@example.com")
#define HERE SLICE("192.0.2.1")
#define NO_ADDRESS SLICE("unix")

static struct random_source source;
static int64_t now_ns;

static struct throttle *
make(uint32_t entries_max)
{
    struct throttle *throttle = NULL;

    random_seeded_init(&source, 7);
    now_ns = 1000 * NS_PER_S;
    assert_int_equal(throttle_new(entries_max, &source, &throttle), ERR_OK);
    return throttle;
}

/* 0: let in. */
static uint32_t
enter(struct throttle *throttle, struct slice email, struct slice address)
{
    uint32_t wait_s = 99;
    bool is_in = throttle_enter(throttle, email, address, now_ns, &wait_s);

    assert_int_equal(is_in, wait_s == 0);
    return wait_s;
}

static void
leave(struct throttle *throttle, struct slice email, struct slice address,
      enum throttle_outcome outcome)
{
    throttle_leave(throttle, email, address, now_ns, outcome);
}

static void
fail_once(struct throttle *throttle, struct slice email, struct slice address)
{
    assert_int_equal(enter(throttle, email, address), 0);
    leave(throttle, email, address, THROTTLE_WRONG);
}

static void
test_throttle__free_failures_then_doubling_delays(void **state)
{
    static const uint32_t delays[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    struct throttle *throttle = make(16);

    (void)state;
    for (int i = 0; i < THROTTLE_FREE; i++)
        fail_once(throttle, ANN, NO_ADDRESS);
    for (size_t i = 0; i < COUNT_OF(delays); i++) {
        fail_once(throttle, ANN, NO_ADDRESS);
        assert_int_equal(enter(throttle, ANN, NO_ADDRESS), delays[i]);
        now_ns += delays[i] * NS_PER_S - 1; /* one nanosecond short */
        assert_int_equal(enter(throttle, ANN, NO_ADDRESS), 1);
        now_ns += 1;
    }
    /* Another account is not touched. */
    assert_int_equal(enter(throttle, SLICE("bob@example.com"), NO_ADDRESS), 0);
    throttle_free(&throttle);
}

static void
test_throttle__address_has_a_longer_delay_and_no_pardon(void **state)
{
    struct throttle *throttle = make(64);
    uint32_t delay = 0;

    (void)state;
    for (int i = 0; i < 16; i++) {
        char email[8];

        (void)snprintf(email, sizeof(email), "u%d@x", i);
        now_ns += delay * NS_PER_S;
        fail_once(throttle, slice_of_text(email), HERE);
        delay = i < THROTTLE_FREE ? 0 : delay == 0 ? 1 : 2 * delay;
        if (delay > THROTTLE_ADDRESS_S_MAX)
            delay = THROTTLE_ADDRESS_S_MAX;
        assert_int_equal(enter(throttle, SLICE("z@x"), HERE), delay);
        if (delay == 0)
            leave(throttle, SLICE("z@x"), HERE, THROTTLE_UNDECIDED);
    }
    assert_int_equal(delay, THROTTLE_ADDRESS_S_MAX);
    now_ns += delay * NS_PER_S;
    assert_int_equal(enter(throttle, ANN, HERE), 0);
    leave(throttle, ANN, HERE, THROTTLE_RIGHT);
    fail_once(throttle, ANN, HERE); /* the address's failures are remembered: */
    assert_int_equal(enter(throttle, ANN, HERE), THROTTLE_ADDRESS_S_MAX);
    throttle_free(&throttle);
}

static void
test_throttle__right_password_forgets_the_account(void **state)
{
    struct throttle *throttle = make(16);

    (void)state;
    for (int i = 0; i < THROTTLE_FREE + 1; i++)
        fail_once(throttle, ANN, NO_ADDRESS);
    now_ns += NS_PER_S;
    assert_int_equal(enter(throttle, ANN, NO_ADDRESS), 0);
    leave(throttle, ANN, NO_ADDRESS, THROTTLE_RIGHT);
    for (int i = 0; i < THROTTLE_FREE; i++)
        fail_once(throttle, ANN, NO_ADDRESS);
    assert_int_equal(enter(throttle, ANN, NO_ADDRESS), 0);
    throttle_free(&throttle);
}

static void
test_throttle__an_hour_forgets(void **state)
{
    struct throttle *throttle = make(16);

    (void)state;
    for (int i = 0; i < THROTTLE_FREE + 1; i++)
        fail_once(throttle, ANN, NO_ADDRESS);
    now_ns += THROTTLE_FORGET_S * NS_PER_S - 1;
    fail_once(throttle, ANN, NO_ADDRESS);
    assert_int_equal(enter(throttle, ANN, NO_ADDRESS), 2); /* the fifth */
    now_ns += THROTTLE_FORGET_S * NS_PER_S;
    fail_once(throttle, ANN, NO_ADDRESS); /* the first */
    assert_int_equal(enter(throttle, ANN, NO_ADDRESS), 0);
    throttle_free(&throttle);
}

static void
test_throttle__attempts_under_way_count(void **state)
{
    struct throttle *throttle = make(64);

    (void)state;
    for (int i = 0; i < THROTTLE_FREE + 1; i++)
        assert_int_equal(enter(throttle, ANN, NO_ADDRESS), 0);
    assert_int_equal(enter(throttle, ANN, NO_ADDRESS), 1);
    for (int i = 0; i < THROTTLE_FREE; i++)
        leave(throttle, ANN, NO_ADDRESS, THROTTLE_WRONG);
    /* No failure is free any more: one at a time, and one is under way. */
    assert_int_equal(enter(throttle, ANN, NO_ADDRESS), 1);
    leave(throttle, ANN, NO_ADDRESS, THROTTLE_UNDECIDED);
    assert_int_equal(enter(throttle, ANN, NO_ADDRESS), 0);
    assert_int_equal(enter(throttle, ANN, NO_ADDRESS), 1);
    leave(throttle, ANN, NO_ADDRESS, THROTTLE_RIGHT);

    for (int i = 0; i < THROTTLE_UNDER_WAY_MAX; i++) {
        char email[8];

        (void)snprintf(email, sizeof(email), "u%d@x", i);
        assert_int_equal(enter(throttle, slice_of_text(email), HERE), 0);
    }
    assert_int_equal(enter(throttle, ANN, HERE), 1);
    throttle_free(&throttle);
}

static void
test_throttle__what_is_one_address(void **state)
{
    static const struct {
        const char *failing;
        const char *asking;
        bool is_same;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
        {"fe80::1%eth0", "fe80::2", true},
        {"unix", "unix", false},
        {"", "", false},
        {"no address", "no address", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct throttle *throttle = make(64);

        for (int k = 0; k < THROTTLE_FREE + 1; k++) {
            char email[8];

            (void)snprintf(email, sizeof(email), "u%d@x", k);
            fail_once(throttle, slice_of_text(email), slice_of_text(rows[i].failing));
        }
        assert_int_equal(enter(throttle, ANN, slice_of_text(rows[i].asking)) != 0, rows[i].is_same);
        throttle_free(&throttle);
    }
}

/* Two have failed, the second later: n − 2 others leave both in their places, n − 1 push the first
 * out, n the second, too. */
static void
test_throttle__full_table_forgets_the_oldest(void **state)
{
    enum { ENTRIES = 40 };

    (void)state;
    for (int others = ENTRIES - 2; others <= ENTRIES + 1; others++) {
        struct throttle *throttle = make(ENTRIES);

        for (int i = 0; i < THROTTLE_FREE + 1; i++)
            fail_once(throttle, ANN, NO_ADDRESS);
        for (int i = 0; i < THROTTLE_FREE + 1; i++)
            fail_once(throttle, SLICE("bob@x"), NO_ADDRESS);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < others; i++) {
                char email[16];

                (void)snprintf(email, sizeof(email), "u%d@x", i);
                assert_int_equal(enter(throttle, slice_of_text(email), NO_ADDRESS), 0);
                leave(throttle, slice_of_text(email), NO_ADDRESS, THROTTLE_UNDECIDED);
            }
        }
        assert_int_equal(enter(throttle, SLICE("bob@x"), NO_ADDRESS), others < ENTRIES ? 1 : 0);
        assert_int_equal(enter(throttle, ANN, NO_ADDRESS), others < ENTRIES - 1 ? 1 : 0);
        throttle_free(&throttle);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_throttle__free_failures_then_doubling_delays),
        cmocka_unit_test(test_throttle__address_has_a_longer_delay_and_no_pardon),
        cmocka_unit_test(test_throttle__right_password_forgets_the_account),
        cmocka_unit_test(test_throttle__an_hour_forgets),
        cmocka_unit_test(test_throttle__attempts_under_way_count),
        cmocka_unit_test(test_throttle__what_is_one_address),
        cmocka_unit_test(test_throttle__full_table_forgets_the_oldest),
    };

    return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
