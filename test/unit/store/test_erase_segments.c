/*
 * test_erase_segments - what an erasure takes, what it leaves, and that its ids stay refused.
 */
#include "erase_fixture.h"
#include "store/embedded/store_embedded.h"
#include <pthread.h>

#define EVENTS 25000 /* three segments of 1 MiB */

static struct ledger *
ledger_of(const struct fixture *fixture)
{
    return ((struct embedded *)fixture->store)->ledger;
}

static void
assert_sound(const struct fixture *fixture)
{
    struct findings findings;
    const enum err err = doctor(fixture, false, false, &findings);

    if (err != ERR_OK || findings.errors != 0)
        print_message("%s\n", findings.what);
    assert_int_equal(err, ERR_OK);
    assert_int_equal(findings.errors, 0);
}

static void
test_erase__takes_a_person_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct selection selections[3];
    struct store_stats before;
    struct store_stats after;
    uint64_t erased = 0;

    fixture->config.young_ids_seal = 1 << 13;
    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    store_stats(fixture->store, &before);
    assert_true(erase_files_with(fixture, "anonymous-13") >= 3);
    for (uint32_t i = 0; i < 3; i++) {
        selections[i] = erase_person(i + 1);
        erased += erase_all(fixture, &selections[i]);
        erase_assert_list(fixture);
    }
    assert_true(erased > 100);
    store_stats(fixture->store, &after);
    assert_int_equal(after.events, EVENTS - erased);
    assert_int_equal(before.events, EVENTS);
    assert_int_equal(erase_read(fixture, selections, 3, EVENTS), 0);
    assert_int_equal(erase_files_with(fixture, "anonymous-13"), 0);
    erase_send_again(fixture, EVENTS);
    assert_int_equal(erase_all(fixture, &selections[0]), 0);
    fixture_close(fixture);
    assert_sound(fixture);
    fixture_open(fixture);
    erase_assert_list(fixture);
    assert_int_equal(erase_read(fixture, selections, 3, EVENTS), 0);
    erase_send_again(fixture, EVENTS);
}

/* From the ledger alone; small tables, so that runs are sealed in the middle of the replay, and a
 * further start begins in the middle of a segment. */
static void
test_erase__ids_stay_refused_when_the_index_is_made_anew(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(1);

    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    assert_true(erase_all(fixture, &person) > 0);
    fixture_close(fixture);
    erase_remove_ids(fixture);
    fixture->config.young_ids_max = 1 << 10;
    fixture->config.young_ids_seal = 1 << 10;
    for (int i = 0; i < 2; i++) {
        fixture_open(fixture);
        erase_send_again(fixture, EVENTS);
        fixture_kill(fixture);
    }
}

/* The runs end within a segment of several marks; what goes behind that place stands in tombstones
 * at the segment's beginning. */
static void
test_erase__tombstones_are_found_behind_the_last_run(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(1);
    const uint64_t count = 40000;

    fixture->config.segment_bytes = 8 << 20;
    fixture->config.young_ids_max = 1 << 15;
    fixture->config.young_ids_seal = 18000;
    fixture_open(fixture);
    erase_fill(fixture, 0, count);
    assert_int_equal(ledger_segment_count(ledger_of(fixture)), 1);
    assert_true(id_index_covered(&((struct embedded *)fixture->store)->ids) > 35000);
    assert_true(erase_all(fixture, &person) > 0);
    assert_true(ledger_of(fixture)->segments[0].mark_count > 2);
    fixture_close(fixture);
    fixture_open(fixture);
    assert_int_equal(erase_read(fixture, &person, 1, count), 0);
    erase_send_again(fixture, count);
}

/* Everything of a project's neighbours stays; a segment without rows is tombstones and one gap. */
static void
test_erase__a_segment_may_lose_all_rows(void **state)
{
    struct fixture *fixture = *state;
    struct selection all[3];
    struct store_stats stats;
    uint64_t erased = 0;

    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    for (uint32_t i = 0; i < 3; i++) {
        all[i] = (struct selection){.project_id = i + 1, .kind = SELECTION_ALL};
        erased += erase_all(fixture, &all[i]);
        erase_assert_list(fixture);
        assert_int_equal(erase_read(fixture, all, i + 1, EVENTS), 0);
    }
    assert_int_equal(erased, EVENTS);
    assert_int_equal(erase_files_with(fixture, "event-"), 0);
    store_stats(fixture->store, &stats);
    assert_int_equal(stats.events, 0);
    assert_true(stats.bytes < (uint64_t)EVENTS * 16 + 4096); /* hardly more than the keys */
    fixture_close(fixture);
    erase_remove_ids(fixture);
    fixture->config.young_ids_max = 1 << 10;
    fixture->config.young_ids_seal = 1 << 10;
    fixture_open(fixture);
    erase_send_again(fixture, EVENTS);
    assert_int_equal(fixture_append(fixture, EVENTS, 10, NULL), ERR_OK);
    fixture_close(fixture);
    assert_sound(fixture);
}

static void
test_erase__what_came_after_the_bound_stays(void **state)
{
    struct fixture *fixture = *state;
    struct selection all = {.project_id = 1, .kind = SELECTION_ALL};
    struct store_erasure erasure = {.is_dry_run = false};
    struct store_erasure_progress progress;
    struct store_position position;
    struct store_erase *erase = NULL;
    bool is_done = false;

    fixture_open(fixture);
    erase_fill(fixture, 0, 100);
    assert_int_equal(store_erase_bound(fixture->store, &all, &position, NULL), ERR_OK);
    erase_fill(fixture, 100, 100);
    erasure.selection = all;
    assert_int_equal(store_erase_open(fixture->store, &erasure, &erase, NULL), ERR_OK);
    while (!is_done)
        assert_int_equal(store_erase_step(erase, &is_done, &progress, NULL), ERR_OK);
    store_erase_close(&erase);
    assert_int_equal(progress.events, 34);
    assert_int_equal(erase_read(fixture, &all, 1, 200), 0);
    assert_int_equal(atomic_load(&ledger_of(fixture)->rows), 200 - 34);
    erase_fill(fixture, 200, 50);
    assert_int_equal(erase_read(fixture, &all, 1, 250), 0);
}

static void
test_erase__a_dry_run_counts_and_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(2);
    struct store_erasure_progress progress = {0};
    struct buf before;
    struct buf after;

    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    read_file(fixture, SEGMENT_1, &before);
    assert_int_equal(erase_run(fixture, &person, false, true, &progress, NULL), ERR_OK);
    assert_int_equal(progress.events, erase_read(fixture, &person, 1, EVENTS));
    assert_int_equal(progress.total, ledger_segment_count(ledger_of(fixture)));
    read_file(fixture, SEGMENT_1, &after);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.ptr, after.ptr, before.len);
    buf_fini(&before);
    buf_fini(&after);
    assert_int_equal(erase_all(fixture, &person), progress.events);
}

/* No row of the person in the active segment: it is not ended for nothing. */
static void
test_erase__rolls_only_where_the_active_segment_holds_rows(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(1);

    fixture_open(fixture);
    erase_fill(fixture, 0, 12);
    assert_int_equal(erase_all(fixture, &person), 0);
    assert_int_equal(ledger_segment_count(ledger_of(fixture)), 1);
    erase_fill(fixture, 12, 1000);
    person = erase_person(1);
    assert_true(erase_all(fixture, &person) > 0);
    assert_int_equal(ledger_segment_count(ledger_of(fixture)), 2);
    assert_int_equal(erase_all(fixture, &person), 0);
    assert_int_equal(ledger_segment_count(ledger_of(fixture)), 2);
}

/* --- beside readers ------------------------------------------------------------------------ */

static void
test_erase__a_reader_half_way_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(1);
    struct store_position after = {0};
    struct store_page page = {.is_caught_up = false};
    struct arena arena;
    uint64_t seq = 0;
    uint64_t selected = 0;
    bool is_erased = false;

    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    arena_init(&arena, 65536, (size_t)1 << 30);
    while (!page.is_caught_up) {
        assert_int_equal(
            store_read_after(fixture->store, after, 100, SIZE_MAX, &arena, &page, NULL), ERR_OK);
        for (uint32_t i = 0; i < page.count; i++) {
            const struct event want = fixture_event(page.rows[i].seq - 1);

            assert_true(page.rows[i].seq > seq);
            for (seq++; seq < page.rows[i].seq; seq++) {
                const struct event gone = fixture_event(seq - 1);

                assert_true(is_erased && selection_matches(&person, &gone, seq));
            }
            assert_true(slice_equal(page.rows[i].event.event_id, want.event_id));
            selected += is_erased && selection_matches(&person, &want, seq);
        }
        after = page.next;
        if (!is_erased && seq >= 3100) {
            assert_true(erase_all(fixture, &person) > 0);
            is_erased = true;
        }
        arena_clear(&arena);
    }
    assert_true(seq >= EVENTS - 5);
    assert_int_equal(selected, 0);
    arena_fini(&arena);
}

struct reading {
    struct fixture *fixture;
    const struct selection *selections;
    atomic_bool is_over;
    uint32_t rounds;
};

static void *
read_on(void *state)
{
    struct reading *reading = state;

    do {
        (void)erase_read(reading->fixture, reading->selections, 3, EVENTS);
        reading->rounds++;
    } while (!atomic_load(&reading->is_over));
    return NULL;
}

static void
test_erase__readers_beside_it_see_each_row_old_or_new(void **state)
{
    struct fixture *fixture = *state;
    struct selection selections[3] = {erase_person(1), erase_person(2), erase_person(3)};
    struct reading reading = {.fixture = fixture, .selections = selections};
    pthread_t thread;

    for (uint32_t i = 0; i < 3; i++)
        selections[i].seq_max = UINT64_MAX, selections[i].received_max_us = INT64_MAX;
    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    assert_int_equal(pthread_create(&thread, NULL, read_on, &reading), 0);
    for (uint32_t i = 0; i < 3; i++) {
        struct selection person = erase_person(i + 1);

        assert_true(erase_all(fixture, &person) > 0);
    }
    atomic_store(&reading.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(reading.rounds > 0);
    assert_int_equal(erase_read(fixture, selections, 3, EVENTS), 0);
}

/* The scrubber is open on a segment that is written anew. */
static void
test_erase__the_scrubber_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(1);
    struct embedded *store = NULL;
    bool did_work = false;

    fixture->config.segment_bytes = 16 << 20;
    fixture_open(fixture);
    store = (struct embedded *)fixture->store;
    erase_fill(fixture, 0, 100000);
    pthread_mutex_lock(&store->commit_lock);
    assert_int_equal(ledger_roll(store->ledger, NULL), ERR_OK);
    pthread_mutex_unlock(&store->commit_lock);
    assert_int_equal(store_maintain_slow(fixture->store, &did_work, NULL), ERR_OK);
    assert_non_null(store->scrub.reader.path); /* a step is shorter than the segment */
    assert_true(erase_all(fixture, &person) > 0);
    assert_null(store->scrub.reader.path);
    for (int i = 0; i < 20; i++) {
        clock_fake_move(&fixture->clock, 3 * US_PER_S);
        assert_int_equal(store_maintain_slow(fixture->store, &did_work, NULL), ERR_OK);
    }
}

/* --- what is not sound --------------------------------------------------------------------- */

static void
test_erase__a_damaged_segment_is_told_and_left(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(1);
    struct store_erasure_progress progress = {0};
    struct diag diag = DIAG_INIT;
    struct buf before;
    struct buf after;

    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    erase_damage(fixture, SEGMENT_1);
    read_file(fixture, SEGMENT_1, &before);
    assert_int_equal(erase_run(fixture, &person, false, false, &progress, &diag), ERR_CORRUPT);
    assert_non_null(strstr(diag.message, "00000000000000000001.seg"));
    assert_non_null(strstr(diag.message, "offset 64"));
    read_file(fixture, SEGMENT_1, &after);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.ptr, after.ptr, before.len);
    buf_fini(&before);
    buf_fini(&after);
}

/* A segment that was written anew, damaged, repaired, and erased from again. */
static void
test_erase__a_repair_in_between_loses_no_tombstone(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(1);
    struct findings findings;
    struct buf bytes;
    uint32_t accepted = 0;

    fixture_open(fixture);
    erase_fill(fixture, 0, EVENTS);
    assert_true(erase_all(fixture, &person) > 0);
    fixture_close(fixture);
    read_file(fixture, SEGMENT_1, &bytes);
    bytes.ptr[bytes.len / 2] ^= 1;
    write_file(fixture, SEGMENT_1, bytes.ptr, bytes.len);
    buf_fini(&bytes);
    assert_int_equal(doctor(fixture, false, true, &findings), ERR_OK);
    assert_true(findings.lost > 0);
    fixture_open(fixture);
    for (uint64_t number = 0; number < EVENTS; number++) {
        const struct event event = fixture_event(number);

        if (!selection_matches(&person, &event, number + 1))
            continue;
        assert_int_equal(fixture_append(fixture, number, 1, &accepted), ERR_OK);
        assert_int_equal(accepted, 0);
    }
    person = erase_person(2);
    assert_true(erase_all(fixture, &person) > 0);
    erase_assert_list(fixture); /* the gaps of repair and erasures have met */
}

int
main(void)
{
#define TEST_(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST_(test_erase__takes_a_person_and_nothing_else),
        TEST_(test_erase__ids_stay_refused_when_the_index_is_made_anew),
        TEST_(test_erase__tombstones_are_found_behind_the_last_run),
        TEST_(test_erase__a_segment_may_lose_all_rows),
        TEST_(test_erase__what_came_after_the_bound_stays),
        TEST_(test_erase__a_dry_run_counts_and_changes_nothing),
        TEST_(test_erase__rolls_only_where_the_active_segment_holds_rows),
        TEST_(test_erase__a_reader_half_way_goes_on),
        TEST_(test_erase__readers_beside_it_see_each_row_old_or_new),
        TEST_(test_erase__the_scrubber_goes_on),
        TEST_(test_erase__a_damaged_segment_is_told_and_left),
        TEST_(test_erase__a_repair_in_between_loses_no_tombstone),
    };
#undef TEST_

    return cmocka_run_group_tests_name("erase_segments", tests, NULL, NULL);
}
