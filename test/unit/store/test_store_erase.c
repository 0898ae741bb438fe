/*
 * test_store_erase - events that go from the ledger: what stays, stays as it was; ids stay refused;
 * a crash between any two steps, and an error, lose nothing else.
 */
#include "store/embedded/store_embedded.h"
#include "store_fixture.h"
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#define EVENTS 6000

/* Appends in batches of odd sizes, so that frames differ and segments roll. */
static void
fill(struct fixture *fixture, uint64_t count)
{
    for (uint64_t next = 0; next < count;) {
        uint32_t some = (uint32_t)(1 + next * 7 % 90);

        if (some > count - next)
            some = (uint32_t)(count - next);
        assert_int_equal(fixture_append(fixture, next, some, NULL), ERR_OK);
        next += some;
    }
}

static struct selection
bounded(struct fixture *fixture, struct selection selection)
{
    struct store_position position;

    assert_int_equal(store_erase_bound(fixture->store, &selection, &position, NULL), ERR_OK);
    assert_true(store_position_at_or_before(position, store_durable(fixture->store)));
    return selection;
}

/* To the end; *ret_steps of them. */
static uint64_t
erase(struct fixture *fixture, const struct store_erasure *erasure, uint32_t steps_max,
      bool *ret_is_done)
{
    struct store_erase *job = NULL;
    struct store_erasure_progress progress = {0};
    struct diag diag = DIAG_INIT;
    bool is_done = false;
    enum err err = store_erase_open(fixture->store, erasure, &job, &diag);

    for (uint32_t i = 0; i < steps_max && !is_done && err == ERR_OK; i++)
        err = store_erase_step(job, &is_done, &progress, &diag);
    store_erase_close(&job);
    if (err != ERR_OK)
        fail_msg("%s: %s", err_name(err), diag.message);
    assert_true(progress.done <= progress.total);
    if (ret_is_done != NULL)
        *ret_is_done = is_done;
    return progress.events;
}

/* What is stored is exactly what the selection leaves of 0 … count − 1, with its seqs. */
static void
assert_left(struct fixture *fixture, const struct selection *selection, uint64_t count,
            uint32_t rows_max)
{
    struct store_position after = {0};
    struct store_page page = {.is_caught_up = false};
    struct arena arena;
    uint64_t next = 0, rows = 0;
    struct store_stats stats;

    arena_init(&arena, 65536, (size_t)1 << 30);
    while (!page.is_caught_up) {
        assert_int_equal(
            store_read_after(fixture->store, after, rows_max, SIZE_MAX, &arena, &page, NULL),
            ERR_OK);
        for (uint32_t i = 0; i < page.count; i++, next++) {
            struct event event = fixture_event(next);

            while (selection_matches(selection, &event, next + 1)) {
                event = fixture_event(++next);
                assert_true(next < count);
            }
            assert_int_equal(page.rows[i].seq, next + 1);
            assert_true(slice_equal(page.rows[i].event.event_id, event.event_id));
            assert_true(slice_equal(page.rows[i].event.event_type, event.event_type));
            assert_int_equal(page.rows[i].event.received_at_us, event.received_at_us);
            rows++;
        }
        after = page.next;
    }
    arena_fini(&arena);
    for (; next < count; next++) {
        struct event event = fixture_event(next);

        assert_true(selection_matches(selection, &event, next + 1));
    }
    store_stats(fixture->store, &stats);
    assert_int_equal(stats.events, rows);
}

static void
assert_all_refused(struct fixture *fixture, uint64_t count)
{
    for (uint64_t next = 0; next < count; next += 1000) {
        uint32_t accepted = 1;

        assert_int_equal(fixture_append(fixture, next, 1000, &accepted), ERR_OK);
        assert_int_equal(accepted, 0);
    }
}

static bool
folder_holds(struct fixture *fixture, const char *text)
{
    char command[512];

    (void)snprintf(command, sizeof(command), "grep -rqa -- '%s' %s", text, fixture->dir);
    return system(command) == 0;
}

static struct selection
person(const char *text)
{
    return (struct selection){
        .project_id = 2, .kind = SELECTION_PERSON, .person = slice_of_text(text)};
}

static void
test_erase__a_person_is_gone_and_the_rest_is_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    struct store_erasure erasure;
    bool is_done = false;

    fixture_open(fixture);
    fill(fixture, EVENTS);
    erasure = (struct store_erasure){.selection = bounded(fixture, person("user-999"))};
    assert_true(folder_holds(fixture, "user-999"));
    assert_true(erase(fixture, &erasure, 1000, &is_done) > 0);
    assert_true(is_done);
    assert_left(fixture, &erasure.selection, EVENTS, 7);
    assert_left(fixture, &erasure.selection, EVENTS, 1000);
    assert_int_equal(erase(fixture, &erasure, 1000, NULL), 0); /* nothing is left of it */
    assert_all_refused(fixture, EVENTS);
    /* after a start, and after one without the runs of the id index, too */
    fixture_close(fixture);
    fixture_open(fixture);
    assert_left(fixture, &erasure.selection, EVENTS, 100);
    assert_all_refused(fixture, EVENTS);
    fixture_close(fixture);
    {
        char ids[FILE_PATH_MAX];

        fixture_path(fixture, "ids", ids);
        assert_int_equal(file_remove_tree(ids, NULL), ERR_OK);
    }
    fixture_open(fixture);
    assert_all_refused(fixture, EVENTS);
    assert_left(fixture, &erasure.selection, EVENTS, 100);
}

static void
test_erase__no_byte_of_the_person_is_left(void **state)
{
    struct fixture *fixture = *state;
    struct store_erasure erasure = {0};
    char path[FILE_PATH_MAX];

    fixture_open(fixture);
    fill(fixture, EVENTS);
    for (uint32_t project = 1; project <= 3; project++) {
        struct selection selection = person("user-999");

        selection.project_id = project;
        erasure.selection = bounded(fixture, selection);
        (void)erase(fixture, &erasure, 1000, NULL);
    }
    assert_false(folder_holds(fixture, "user-999"));
    assert_true(folder_holds(fixture, "user-998"));
    /* what was set aside goes where it holds the person, and stays where not */
    fixture_path(fixture, "ledger/cut-5-100", path);
    assert_int_equal(file_replace_whole(path, SLICE("xx user-999 yy"), NULL), ERR_OK);
    fixture_path(fixture, "ledger/00000000000000000001.seg.damaged", path);
    assert_int_equal(file_replace_whole(path, SLICE("nobody here"), NULL), ERR_OK);
    (void)erase(fixture, &erasure, 1000, NULL);
    assert_true(file_exists(path));
    fixture_path(fixture, "ledger/cut-5-100", path);
    assert_false(file_exists(path));
}

static void
test_erase__covers_nothing_that_comes_after_its_bound(void **state)
{
    struct fixture *fixture = *state;
    struct store_erasure erasure;
    uint32_t accepted = 0;

    fixture_open(fixture);
    fill(fixture, 3000);
    erasure = (struct store_erasure){.selection = bounded(fixture, person("user-999"))};
    assert_int_equal(erasure.selection.seq_max, 3000);
    for (uint64_t next = 3000; next < 5000; next += 100)
        assert_int_equal(fixture_append(fixture, next, 100, &accepted), ERR_OK);
    assert_true(erase(fixture, &erasure, 1000, NULL) > 0);
    assert_left(fixture, &erasure.selection, 5000, 50);
    assert_true(folder_holds(fixture, "user-999")); /* the later ones */
}

static void
test_erase__by_time_by_ids_and_all(void **state)
{
    struct fixture *fixture = *state;
    struct slice ids[] = {SLICE("event-10"), SLICE("event-11"), SLICE("event-4000"),
                          SLICE("event-999999")};
    const struct selection selections[] = {
        {.project_id = 1, .kind = SELECTION_RECEIVED, .from_us = 1000000, .to_us = 2500007},
        {.project_id = 3, .kind = SELECTION_OCCURRED, .from_us = 0, .to_us = 700000},
        {.project_id = 2, .kind = SELECTION_IDS, .ids = ids, .id_count = 4},
        {.project_id = 2, .kind = SELECTION_ALL},
    };

    for (size_t i = 0; i < COUNT_OF(selections); i++) {
        struct store_erasure erasure = {0};
        struct store_stats before, after;
        uint64_t counted, erased;
        void *other = NULL;

        assert_int_equal(fixture_setup(&other), 0);
        fixture = other;
        clock_fake_init(&fixture->clock, 1); /* segments are no younger than what is in them */
        fixture_open(fixture);
        fill(fixture, EVENTS);
        erasure.selection = bounded(fixture, selections[i]);
        erasure.is_dry_run = true;
        counted = erase(fixture, &erasure, 1000, NULL);
        assert_true(counted > 0);
        erasure.is_dry_run = false;
        store_stats(fixture->store, &before);
        erased = erase(fixture, &erasure, 1000, NULL);
        assert_int_equal(counted, erased);
        store_stats(fixture->store, &after);
        if (erased > 1000)
            assert_true(after.bytes < before.bytes);
        assert_left(fixture, &erasure.selection, EVENTS, 100);
        assert_all_refused(fixture, EVENTS);
        assert_int_equal(fixture_teardown(&other), 0);
    }
    (void)state;
}

static void
test_erase__a_dry_run_writes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct store_erasure erasure = {.is_dry_run = true};
    struct store_stats before, after;

    fixture_open(fixture);
    fill(fixture, 3000);
    erasure.selection = bounded(fixture, person("user-999"));
    store_stats(fixture->store, &before);
    assert_true(erase(fixture, &erasure, 1000, NULL) > 0);
    store_stats(fixture->store, &after);
    assert_int_equal(before.bytes, after.bytes);
    assert_int_equal(before.events, after.events);
    assert_true(folder_holds(fixture, "user-999"));
}

/* A second person's erasure keeps the first one's tombstones and gaps. */
static void
test_erase__one_after_another(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"user-999", "user-998", "anonymous-5", "user-7", "user-2"};

    fixture_open(fixture);
    fill(fixture, EVENTS);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct store_erasure erasure = {.selection = bounded(fixture, person(names[i]))};

        (void)erase(fixture, &erasure, 1000, NULL);
    }
    fixture_close(fixture);
    {
        char ids[FILE_PATH_MAX];

        fixture_path(fixture, "ids", ids);
        assert_int_equal(file_remove_tree(ids, NULL), ERR_OK);
    }
    fixture_open(fixture);
    assert_all_refused(fixture, EVENTS);
}

static void
test_erase__freed_ids_are_taken_again_after_a_start(void **state)
{
    struct fixture *fixture = *state;
    struct store_erasure erasure = {.frees_ids = true};
    struct store_stats stats;
    uint64_t erased, accepted_sum = 0;

    fixture_open(fixture);
    fill(fixture, EVENTS);
    erasure.selection = bounded(fixture, person("user-999"));
    erased = erase(fixture, &erasure, 1000, NULL);
    assert_all_refused(fixture, EVENTS);
    fixture_kill(fixture);
    fixture_open(fixture);
    for (uint64_t next = 0; next < EVENTS; next += 1000) {
        uint32_t accepted = 0;

        assert_int_equal(fixture_append(fixture, next, 1000, &accepted), ERR_OK);
        accepted_sum += accepted;
    }
    assert_int_equal(accepted_sum, erased);
    store_stats(fixture->store, &stats);
    assert_int_equal(stats.events, EVENTS);
    fixture_close(fixture);
    fixture_open(fixture);
    assert_all_refused(fixture, EVENTS);
}

/* Killed after each step, and after the roll alone: begun again, it ends, and nothing else is
 * lost. */
static void
test_erase__begun_again_after_a_kill_at_each_step(void **state)
{
    bool is_done = false;

    (void)state;
    for (uint32_t steps = 0; !is_done; steps++) {
        void *other = NULL;
        struct fixture *fixture;
        struct store_erasure erasure = {0};

        assert_int_equal(fixture_setup(&other), 0);
        fixture = other;
        fixture_open(fixture);
        fill(fixture, EVENTS);
        erasure.selection = bounded(fixture, person("user-999"));
        (void)erase(fixture, &erasure, steps, &is_done);
        fixture_kill(fixture);
        fixture_open(fixture);
        assert_all_refused(fixture, EVENTS);
        (void)erase(fixture, &erasure, 1000, NULL);
        assert_left(fixture, &erasure.selection, EVENTS, 100);
        assert_all_refused(fixture, EVENTS);
        assert_int_equal(fixture_teardown(&other), 0);
    }
}

/* The new file cannot be written: the old one stands, and the next try ends it. */
static void
test_erase__an_error_leaves_the_old_segment(void **state)
{
    struct fixture *fixture = *state;
    struct store_erasure erasure = {0};
    struct store_erase *job = NULL;
    struct store_erasure_progress progress;
    struct rlimit old, small;
    struct selection none = person("nobody at all");
    char path[FILE_PATH_MAX];
    bool is_done = false;

    signal(SIGXFSZ, SIG_IGN);
    fixture_open(fixture);
    fill(fixture, EVENTS);
    none.seq_max = UINT64_MAX;
    none.received_max_us = INT64_MAX;
    erasure.selection = bounded(fixture, person("user-999"));
    assert_int_equal(store_erase_open(fixture->store, &erasure, &job, NULL), ERR_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_not_equal(store_erase_step(job, &is_done, &progress, NULL), ERR_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_false(fixture_find(fixture, "ledger", "00000000000000000001.seg.tmp", path));
    assert_left(fixture, &none, EVENTS, 100);
    while (!is_done)
        assert_int_equal(store_erase_step(job, &is_done, &progress, NULL), ERR_OK);
    store_erase_close(&job);
    assert_left(fixture, &erasure.selection, EVENTS, 100);
    assert_int_equal(fixture->fatal_count, 0);
}

/* What a crash left of a half-written segment goes at the next start. */
static void
test_erase__leftovers_are_removed_at_start(void **state)
{
    struct fixture *fixture = *state;
    char path[FILE_PATH_MAX];

    fixture_open(fixture);
    fill(fixture, 100);
    fixture_close(fixture);
    fixture_path(fixture, "ledger/00000000000000000001.seg.tmp", path);
    assert_int_equal(file_replace_whole(path, SLICE("half"), NULL), ERR_OK);
    fixture_open(fixture);
    assert_false(file_exists(path));
}

static void
note_finding(void *state, const struct embedded_finding *finding)
{
    if (finding->is_error)
        print_message("%s: %s\n", finding->file, finding->what);
    *(int *)state += finding->is_error;
}

static void
test_erase__doctor_and_scrub_find_nothing_wrong(void **state)
{
    struct fixture *fixture = *state;
    struct store_erasure erasure = {0};
    struct diag diag = DIAG_INIT;
    int errors = 0;
    bool did_work;

    fixture_open(fixture);
    fill(fixture, EVENTS);
    erasure.selection =
        bounded(fixture, (struct selection){.project_id = 1, .kind = SELECTION_ALL});
    (void)erase(fixture, &erasure, 1000, NULL);
    for (int i = 0; i < 20; i++) {
        clock_fake_move(&fixture->clock, 10 * US_PER_S);
        assert_int_equal(store_maintain_slow(fixture->store, &did_work, &diag), ERR_OK);
    }
    assert_int_equal(embedded_doctor(fixture->dir, true, false, note_finding, &errors, &diag),
                     ERR_OK);
    fixture_close(fixture);
    assert_int_equal(embedded_doctor(fixture->dir, false, false, note_finding, &errors, &diag),
                     ERR_OK);
    assert_int_equal(errors, 0);
}

/* Segments made long after the range are not even opened: one that is damaged is not met. */
static void
test_erase__passes_over_what_was_made_later(void **state)
{
    struct fixture *fixture = *state;
    struct store_erasure erasure = {0};

    fixture_open(fixture);
    fill(fixture, EVENTS);
    erasure.selection = bounded(fixture, (struct selection){.project_id = 1,
                                                            .kind = SELECTION_RECEIVED,
                                                            .from_us = 0,
                                                            .to_us = INT64_C(1) << 40});
    /* made at 1,700,000,000 s by the fixture's clock; all were received before 6 s */
    assert_int_equal(erase(fixture, &erasure, 1000, NULL), 0);
    erasure.selection.to_us = INT64_C(1700000000) * US_PER_S - INT64_C(86400) * US_PER_S;
    assert_int_not_equal(erase(fixture, &erasure, 1000, NULL), 0);
}

#define in_fixture(function)                                                                       \
    cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        in_fixture(test_erase__a_person_is_gone_and_the_rest_is_as_it_was),
        in_fixture(test_erase__no_byte_of_the_person_is_left),
        in_fixture(test_erase__covers_nothing_that_comes_after_its_bound),
        cmocka_unit_test(test_erase__by_time_by_ids_and_all),
        in_fixture(test_erase__a_dry_run_writes_nothing),
        in_fixture(test_erase__one_after_another),
        in_fixture(test_erase__freed_ids_are_taken_again_after_a_start),
        cmocka_unit_test(test_erase__begun_again_after_a_kill_at_each_step),
        in_fixture(test_erase__an_error_leaves_the_old_segment),
        in_fixture(test_erase__leftovers_are_removed_at_start),
        in_fixture(test_erase__doctor_and_scrub_find_nothing_wrong),
        in_fixture(test_erase__passes_over_what_was_made_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
