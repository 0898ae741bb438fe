/*
 * test_read - single events: the newest, those after a seq, one person's; and views' own answers.
 */
#include "fixture.h"
#include <stdlib.h>
#include <string.h>

struct got {
    const struct fake_store *store;
    uint64_t seqs[2000];
    uint32_t count;
};

/* Every field is as stored. */
static enum err
got_add(void *state, const struct event *event, uint64_t seq)
{
    struct got *got = state;
    const struct event *stored = &got->store->rows[seq - 1].event;

    assert_true(slice_equal(event->event_id, stored->event_id));
    assert_true(slice_equal(event->event_type, stored->event_type));
    assert_true(slice_equal(event->user_id, stored->user_id));
    assert_true((event->user_id.ptr == NULL) == (stored->user_id.ptr == NULL));
    assert_true(slice_equal(event->anonymous_id, stored->anonymous_id));
    assert_true((event->anonymous_id.ptr == NULL) == (stored->anonymous_id.ptr == NULL));
    assert_true(slice_equal(event->session_id, stored->session_id));
    assert_true((event->session_id.ptr == NULL) == (stored->session_id.ptr == NULL));
    assert_true(slice_equal(event->properties, stored->properties));
    assert_true((event->properties.ptr == NULL) == (stored->properties.ptr == NULL));
    assert_int_equal(event->occurred_at_us, stored->occurred_at_us);
    assert_int_equal(event->received_at_us, stored->received_at_us);
    assert_int_equal(event->project_id, stored->project_id);
    assert_true(got->count < COUNT_OF(got->seqs));
    got->seqs[got->count++] = seq;
    return ERR_OK;
}

static struct query_control forever = {.deadline_steady_ns = INT64_MAX};

/* Three sealed files and a tail. */
static void
open_mixed(struct fixture *fixture)
{
    fixture_open_small(fixture, 1000, 500);
    fixture_add_events(fixture, 3, 3300, 100, 5, 10);
    fixture_load(fixture);
}

static void
check_newest(struct fixture *fixture, struct warehouse_view *view, uint32_t limit)
{
    struct got got = {.store = &fixture->store};
    const uint32_t all = fixture->store.visible;
    const uint32_t expected = limit < all ? limit : all;

    assert_int_equal(warehouse_newest(view, limit, &forever, got_add, &got, NULL), ERR_OK);
    assert_int_equal(got.count, expected);
    for (uint32_t i = 0; i < expected; i++)
        assert_int_equal(got.seqs[i], all - i);
}

static void
test_read__newest_across_tail_and_files(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;

    (void)state;
    open_mixed(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    check_newest(&fixture, view, 1);
    check_newest(&fixture, view, 299);
    check_newest(&fixture, view, 300);
    check_newest(&fixture, view, 301);
    check_newest(&fixture, view, 1000);
    warehouse_view_close(&view);
    fixture_close(&fixture);
}

static void
test_read__after_across_files_and_tail(void **state)
{
    static const uint64_t afters[] = {0, 1, 999, 1000, 2999, 3000, 3001, 3299, 3300, 9999};
    struct fixture fixture;
    struct warehouse_view *view = NULL;

    (void)state;
    open_mixed(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    for (size_t i = 0; i < COUNT_OF(afters); i++) {
        struct got got = {.store = &fixture.store};
        const uint64_t left = afters[i] < 3300 ? 3300 - afters[i] : 0;
        const uint64_t expected = left < 1000 ? left : 1000;

        assert_int_equal(warehouse_after(view, afters[i], 1000, &forever, got_add, &got, NULL),
                         ERR_OK);
        assert_int_equal(got.count, expected);
        for (uint32_t k = 0; k < got.count; k++)
            assert_int_equal(got.seqs[k], afters[i] + 1 + k);
    }
    warehouse_view_close(&view);
    fixture_close(&fixture);
}

/* Walks a person's timeline in pages of 7 and compares with the store. */
static void
check_person(struct fixture *fixture, struct warehouse_view *view, struct slice key)
{
    int64_t before_us = INT64_MAX;
    uint64_t before_seq = UINT64_MAX;
    uint32_t total = 0, expected = 0;

    for (uint32_t i = 0; i < fixture->store.visible; i++)
        expected += slice_equal(event_person_key(&fixture->store.rows[i].event), key);
    for (;;) {
        struct got got = {.store = &fixture->store};

        assert_int_equal(warehouse_person_events(view, key, before_us, before_seq, 7, &forever,
                                                 got_add, &got, NULL),
                         ERR_OK);
        for (uint32_t i = 0; i < got.count; i++) {
            const struct event *event = &fixture->store.rows[got.seqs[i] - 1].event;

            assert_true(slice_equal(event_person_key(event), key));
            assert_true(event->occurred_at_us < before_us ||
                        (event->occurred_at_us == before_us && got.seqs[i] < before_seq));
            before_us = event->occurred_at_us;
            before_seq = got.seqs[i];
        }
        total += got.count;
        if (got.count < 7)
            break;
    }
    assert_int_equal(total, expected);
}

static void
test_read__timeline_of_a_person(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;

    (void)state;
    open_mixed(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    check_person(&fixture, view, SLICE("user-0"));
    check_person(&fixture, view, SLICE("user-5"));
    check_person(&fixture, view, SLICE("user-17"));
    check_person(&fixture, view, SLICE("nobody"));
    check_person(&fixture, view, SLICE("user-1' OR 1=1 --"));
    warehouse_view_close(&view);
    fixture_close(&fixture);
}

static void
test_read__an_empty_project(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;
    struct got got = {0};
    uint32_t id = 0;

    (void)state;
    fixture_open(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, 99, NULL, 0, &view, NULL), ERR_OK);
    assert_int_equal(warehouse_newest(view, 10, &forever, got_add, &got, NULL), ERR_OK);
    assert_int_equal(warehouse_after(view, 0, 10, &forever, got_add, &got, NULL), ERR_OK);
    assert_int_equal(warehouse_person_events(view, SLICE("x"), INT64_MAX, UINT64_MAX, 10, &forever,
                                             got_add, &got, NULL),
                     ERR_OK);
    assert_int_equal(got.count, 0);
    assert_int_equal(warehouse_view_type_count(view), 0);
    assert_false(warehouse_view_type_find(view, SLICE("x"), &id));
    assert_int_equal(warehouse_view_history_from_us(view), 0);
    warehouse_view_close(&view);
    fixture_close(&fixture);
}

#define LATE_US INT64_C(9000000000000000000) /* of DuckDB, no time is later */

/* A naive count of the store's rows. */
static void
check_received(struct fixture *fixture, struct warehouse_view *view, int64_t from_us, int64_t to_us)
{
    uint64_t expected = 0, got = UINT64_MAX;

    for (uint32_t i = 0; i < fixture->store.visible; i++) {
        const int64_t received_us = fixture->store.rows[i].event.received_at_us;

        expected += received_us >= from_us && received_us < to_us;
    }
    assert_int_equal(warehouse_count_received(view, from_us, to_us, &forever, &got, NULL), ERR_OK);
    assert_int_equal(got, expected);
}

static void
test_read__counts_by_the_time_of_receiving(void **state)
{
    static const uint32_t rows[] = {0, 1, 999, 1000, 2999, 3000, 3001, 3299};
    struct fixture fixture;
    struct warehouse_view *view = NULL;

    (void)state;
    open_mixed(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const int64_t at_us = fixture.store.rows[rows[i]].event.received_at_us;

        check_received(&fixture, view, 0, at_us);
        check_received(&fixture, view, at_us, LATE_US);
        check_received(&fixture, view, at_us, at_us + 1);
        check_received(&fixture, view, at_us + 1, at_us);
    }
    check_received(&fixture, view, 0, LATE_US);
    warehouse_view_close(&view);
    assert_int_equal(warehouse_view_open(fixture.warehouse, 99, NULL, 0, &view, NULL), ERR_OK);
    {
        uint64_t got = UINT64_MAX;

        assert_int_equal(warehouse_count_received(view, 0, LATE_US, &forever, &got, NULL), ERR_OK);
        assert_int_equal(got, 0);
    }
    warehouse_view_close(&view);
    fixture_close(&fixture);
}

static void
test_read__view_answers(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;
    uint32_t id = 0;

    (void)state;
    open_mixed(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, NULL, 0, &view, NULL), ERR_OK);
    assert_int_equal(warehouse_view_history_from_us(view),
                     fixture.store.rows[0].event.received_at_us);
    assert_int_equal(warehouse_view_watermark(view).position.minor, 3300);
    assert_int_equal(warehouse_view_watermark(view).received_at_us,
                     fixture.store.rows[3299].event.received_at_us);
    assert_int_equal(warehouse_view_watermark(view).lag_ms, 0);
    for (uint32_t i = 0; i < warehouse_view_type_count(view); i++) {
        assert_true(warehouse_view_type_find(view, warehouse_view_type_name(view, i), &id));
        assert_int_equal(id, i);
    }
    assert_true(
        slice_equal(warehouse_view_type_name(view, 0), fixture.store.rows[0].event.event_type));
    /* A type that came later is not in this view. */
    fixture_add_events(&fixture, 4, 10, 10, 50, 10);
    fixture_load(&fixture);
    for (uint32_t i = 3300; i < fixture.store.visible; i++) {
        if (warehouse_view_type_find(view, fixture.store.rows[i].event.event_type, &id))
            assert_true(id < warehouse_view_type_count(view));
    }
    warehouse_view_close(&view);
    fixture_close(&fixture);
}

static void
test_read__min_position_waits_or_is_behind(void **state)
{
    struct fixture fixture;
    struct warehouse_view *view = NULL;
    struct store_position position = {0x1234, 0, 3300};

    (void)state;
    open_mixed(&fixture);
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, &position, 0, &view, NULL),
                     ERR_OK);
    warehouse_view_close(&view);
    position.minor++;
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, &position, 1, &view, NULL),
                     ERR_BEHIND);
    position.generation++;
    assert_int_equal(warehouse_view_open(fixture.warehouse, PROJECT, &position, 1, &view, NULL),
                     ERR_INVALID_PARAMETER);
    fixture_close(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read__newest_across_tail_and_files),
        cmocka_unit_test(test_read__after_across_files_and_tail),
        cmocka_unit_test(test_read__timeline_of_a_person),
        cmocka_unit_test(test_read__an_empty_project),
        cmocka_unit_test(test_read__counts_by_the_time_of_receiving),
        cmocka_unit_test(test_read__view_answers),
        cmocka_unit_test(test_read__min_position_waits_or_is_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
