/*
 * crowd: when a body more is refused, and who cannot bring it about: who stalls, who promises, who
 * sends one large body, and anybody while the loop has time to spare.
 */
#include "../test.h"

#include "api/upload.h"

#define MIB (UINT64_C(1) << 20)
#define MS INT64_C(1000000)

/* A loop that takes 100 MiB a second: 12.5 MiB in CROWD_NS. */
#define BODIES 200
#define FULL (100 * MIB / 8)

struct fixture {
    struct crowd crowd;
    struct crowd_member members[BODIES];
    int64_t now_ns;
};

/* One turn of work, in which nobody of the crowd brings anything: what was taken has ended. */
static void
work(struct fixture *fixture, uint64_t bytes, int64_t turn_ns, int64_t rest_ns)
{
    struct crowd_member member = {0};

    crowd_take(&fixture->crowd, &member, bytes);
    crowd_leave(&fixture->crowd, &member);
    fixture->now_ns += turn_ns;
    crowd_turn_ended(&fixture->crowd, fixture->now_ns - turn_ns, fixture->now_ns);
    fixture->now_ns += rest_ns;
}

static void
fixture_init(struct fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->now_ns = NS_PER_S;
}

/* `bytes` of bodies that have not ended, in shares. */
static void
begin_bodies(struct fixture *fixture, uint64_t bytes)
{
    for (size_t i = 0; bytes != 0; i++) {
        uint64_t share = bytes < CROWD_SHARE_BYTES ? bytes : CROWD_SHARE_BYTES;

        assert_true(i < BODIES);
        crowd_take(&fixture->crowd, &fixture->members[i], share);
        bytes -= share;
    }
    fixture->crowd.turn_bytes = 0;
}

static void
end_bodies(struct fixture *fixture)
{
    for (size_t i = 0; i < BODIES; i++)
        crowd_leave(&fixture->crowd, &fixture->members[i]);
    assert_int_equal(fixture->crowd.received[0] + fixture->crowd.received[1], 0);
}

static bool
is_full(struct fixture *fixture)
{
    return crowd_is_full(&fixture->crowd, fixture->now_ns);
}

static void
test_crowd__the_bound_is_a_time(void **state)
{
    struct fixture fixture;

    (void)state;
    for (int i = -1; i <= 1; i++) {
        fixture_init(&fixture);
        work(&fixture, 10 * MIB, 100 * MS, 0);
        begin_bodies(&fixture, FULL + (uint64_t)(int64_t)i);
        assert_int_equal(is_full(&fixture), i == 1);
        end_bodies(&fixture);
        assert_false(is_full(&fixture));
        end_bodies(&fixture); /* twice is once */
    }
    for (int i = -1; i <= 1; i++) { /* slow, but so much may always be under way */
        fixture_init(&fixture);
        work(&fixture, CROWD_WORK_BYTES, 100 * MS, 0);
        begin_bodies(&fixture, CROWD_FLOOR_BYTES + (uint64_t)(int64_t)i);
        assert_int_equal(is_full(&fixture), i == 1);
    }
}

static void
test_crowd__a_loop_that_is_not_busy_refuses_nobody(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    begin_bodies(&fixture, BODIES * CROWD_SHARE_BYTES);
    assert_false(is_full(&fixture)); /* nothing known */
    work(&fixture, CROWD_WORK_BYTES - 1, 100 * MS, 0);
    end_bodies(&fixture);
    begin_bodies(&fixture, BODIES * CROWD_SHARE_BYTES);
    assert_false(is_full(&fixture)); /* too little work */
    work(&fixture, 10 * MIB, 49 * MS, 51 * MS);
    work(&fixture, 10 * MIB, 1 * MS, 0);
    assert_false(is_full(&fixture)); /* half of the time it had nothing to do */
    work(&fixture, 10 * MIB, 50 * MS, 49 * MS);
    work(&fixture, 10 * MIB, 1 * MS, 0);
    assert_true(is_full(&fixture));
    fixture.now_ns += CROWD_BUSY_NS - 1;
    assert_true(is_full(&fixture));
    fixture.now_ns += 1;
    assert_false(is_full(&fixture));
}

static void
test_crowd__who_stalls_is_out_of_it_within_a_second(void **state)
{
    struct fixture fixture;
    int full_turns = 0;

    (void)state;
    fixture_init(&fixture);
    work(&fixture, 10 * MIB, 100 * MS, 0);
    begin_bodies(&fixture, BODIES * CROWD_SHARE_BYTES);
    while (is_full(&fixture) && full_turns < 100) {
        work(&fixture, 10 * MIB, 100 * MS, 0);
        full_turns++;
    }
    assert_in_range(full_turns, 5, 10);
    work(&fixture, 10 * MIB, 700 * MS, 0); /* a stretch is left out */
    end_bodies(&fixture);

    /* A byte now and then is a byte. */
    begin_bodies(&fixture, BODIES * CROWD_SHARE_BYTES);
    for (int i = 0; i < 11; i++) {
        for (size_t k = 0; k < BODIES; k++)
            crowd_take(&fixture.crowd, &fixture.members[k], 1);
        work(&fixture, 10 * MIB, 100 * MS, 0);
    }
    assert_false(is_full(&fixture));
    end_bodies(&fixture);
}

static void
test_crowd__a_body_counts_up_to_its_share(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    work(&fixture, 10 * MIB, 100 * MS, 0);
    crowd_take(&fixture.crowd, &fixture.members[0], CROWD_SHARE_BYTES - 1);
    assert_int_equal(fixture.crowd.received[0], CROWD_SHARE_BYTES - 1);
    crowd_take(&fixture.crowd, &fixture.members[0], 16 * MIB);
    assert_int_equal(fixture.crowd.received[0], CROWD_SHARE_BYTES);
    crowd_take(&fixture.crowd, &fixture.members[1], 16 * MIB);
    assert_int_equal(fixture.crowd.received[0], 2 * CROWD_SHARE_BYTES);
    assert_false(is_full(&fixture));
    end_bodies(&fixture);
}

static void
test_crowd__what_waits_unread_counts_once(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    crowd_await(&fixture.crowd, &fixture.members[0], 1000);
    assert_int_equal(fixture.crowd.received[0], 1000);
    assert_int_equal(fixture.crowd.turn_bytes, 0); /* no work yet */
    crowd_take(&fixture.crowd, &fixture.members[0], 999);
    crowd_take(&fixture.crowd, &fixture.members[0], 1);
    assert_int_equal(fixture.crowd.received[0], 1000);
    crowd_take(&fixture.crowd, &fixture.members[0], 1);
    assert_int_equal(fixture.crowd.received[0], 1001);
    assert_int_equal(fixture.crowd.turn_bytes, 1001);
    end_bodies(&fixture);
}

static void
test_crowd__small_bodies_are_no_members(void **state)
{
    static const struct {
        enum media_encoding encoding;
        int64_t length;
        bool is_small;
    } rows[] = {
        {MEDIA_IDENTITY, 0, true},
        {MEDIA_IDENTITY, CROWD_SMALL_BYTES - 1, true},
        {MEDIA_IDENTITY, CROWD_SMALL_BYTES, true},
        {MEDIA_IDENTITY, CROWD_SMALL_BYTES + 1, false},
        {MEDIA_IDENTITY, -1, false}, /* chunked */
        {MEDIA_GZIP, CROWD_SMALL_BYTES / 8, true},
        {MEDIA_GZIP, CROWD_SMALL_BYTES / 8 + 1, false},
        {MEDIA_ZSTD, CROWD_SMALL_BYTES / 8 + 1, false},
    };
    struct upload_budget budget = {.bytes_max = MIB};
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    work(&fixture, 10 * MIB, 100 * MS, 0);
    begin_bodies(&fixture, FULL + 1);
    budget.crowd = fixture.crowd;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct event_context context = {.format = EVENT_FORMAT_JSON};
        struct arena arena;
        struct upload upload;
        uint64_t before = budget.crowd.received[0];

        assert_int_equal(
            upload_may_begin(&budget, rows[i].encoding, rows[i].length, fixture.now_ns),
            rows[i].is_small);
        arena_init(&arena, 4096, MIB);
        upload_init(&upload, NULL, &context, rows[i].encoding, rows[i].length, &budget, &arena);
        upload_add(&upload, "[", 1);
        assert_int_equal(budget.crowd.received[0] - before, rows[i].is_small ? 0 : 1);
        upload_fini(&upload);
        assert_int_equal(budget.crowd.received[0], before);
        arena_fini(&arena);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crowd__the_bound_is_a_time),
        cmocka_unit_test(test_crowd__a_loop_that_is_not_busy_refuses_nobody),
        cmocka_unit_test(test_crowd__who_stalls_is_out_of_it_within_a_second),
        cmocka_unit_test(test_crowd__a_body_counts_up_to_its_share),
        cmocka_unit_test(test_crowd__what_waits_unread_counts_once),
        cmocka_unit_test(test_crowd__small_bodies_are_no_members),
    };

    return cmocka_run_group_tests_name("crowd", tests, NULL, NULL);
}
