/* Units of rejects: the queue, lists and pages, marks, restarts, damage, a disk that fails. */
#include "fixture.h"

#include "base/thread.h"

#include <sys/stat.h>
#include <unistd.h>

static enum err
take_copy(void *state, const struct reject *reject)
{
    *(struct reject *)state = *reject;
    return ERR_OK;
}

static enum err
take_first_id(void *state, const struct reject *reject)
{
    *(uint64_t *)state = reject->id;
    return ERR_OK;
}

static uint64_t
newest_id(struct place *place, uint32_t project_id)
{
    const struct rejects_question question = {.project_id = project_id, .limit = 1};
    uint64_t id = 0;
    uint64_t next;

    assert_int_equal(rejects_list(place->rejects, &question, take_first_id, &id, &next, NULL),
                     ERR_OK);
    return id;
}

static void
test_rejects__newest_first_of_their_own_project(void **state)
{
    struct place place;

    place_init(&place, state);
    assert_string_equal(place_list(&place, 1), "");
    place_add(&place, 1, "a", "{}");
    place_add(&place, 2, "b", "{}");
    place_add(&place, 1, "c", "{}");
    assert_string_equal(place_list(&place, 1), "c a ");
    assert_string_equal(place_list(&place, 2), "b ");
    assert_string_equal(place_list(&place, 3), "");
    place_close(&place);
}

static void
test_rejects__pages_and_filters(void **state)
{
    struct place place;
    struct rejects_question question = {.project_id = 1, .limit = 2};
    struct reject reject;
    uint64_t id;
    uint64_t next;
    char name[16];

    place_init(&place, state);
    for (int i = 0; i < 5; i++) {
        (void)snprintf(name, sizeof(name), "e%d", i);
        place_add(&place, 1, name, "{}");
    }
    for (int page = 0; page < 3; page++) {
        assert_int_equal(rejects_list(place.rejects, &question, take_copy, &reject, &next, NULL),
                         ERR_OK);
        assert_int_equal(next != 0, page < 2);
        question.before = next;
    }
    question = (struct rejects_question){.project_id = 1, .limit = 9, .event_id = SLICE("e3")};
    id = 0;
    assert_int_equal(rejects_list(place.rejects, &question, take_first_id, &id, &next, NULL),
                     ERR_OK);
    assert_int_equal(next, 0);
    assert_int_equal(rejects_find(place.rejects, 1, id, take_copy, &reject, NULL), ERR_OK);
    assert_int_equal(reject.id, id);
    assert_int_equal(rejects_find(place.rejects, 2, id, take_copy, &reject, NULL), ERR_ABSENT);
    assert_int_equal(rejects_find(place.rejects, 1, id + 100, take_copy, &reject, NULL),
                     ERR_ABSENT);
    question.code = SLICE("missing_field");
    id = 0;
    assert_int_equal(rejects_list(place.rejects, &question, take_first_id, &id, &next, NULL),
                     ERR_OK);
    assert_int_equal(id, 0);
    place_close(&place);
}

static void
test_rejects__those_that_are_done_go_from_the_list(void **state)
{
    struct place place;
    struct reject reject;
    uint64_t id;

    place_init(&place, state);
    place_add(&place, 1, "a", "{}");
    place_add(&place, 1, "b", "{}");
    place_add(&place, 2, "other", "{}");
    id = newest_id(&place, 1);
    rejects_done(place.rejects, 2, id); /* not theirs */
    rejects_done(place.rejects, 1, id + 1000);
    assert_string_equal(place_list(&place, 1), "b a ");
    rejects_done(place.rejects, 1, id);
    rejects_done(place.rejects, 1, id);
    place_add(&place, 1, "c", "{}");
    assert_string_equal(place_list(&place, 1), "c a ");
    assert_string_equal(place_list(&place, 2), "other ");
    assert_int_equal(rejects_find(place.rejects, 1, id, take_copy, &reject, NULL), ERR_ABSENT);
    place_close(&place);
    place_open(&place);
    assert_string_equal(place_list(&place, 1), "c a ");
    place_close(&place);
}

/* Marks in more files than a step reads, in any order, and more than once. */
static void
test_rejects__marks_are_worked_off_file_by_file(void **state)
{
    enum { FILES = 2 * MARK_FILES_A_STEP + 1, EACH = 3 };
    struct place place;
    uint64_t ids[FILES * EACH];
    char name[16];
    uint32_t left = FILES * EACH;

    place_init(&place, state);
    for (uint32_t i = 0; i < FILES * EACH; i++) {
        if (i % EACH == 0) /* beyond an eighth of the age: a new file */
            clock_fake_move(&place.clock, HOUR_US / 4 + (i == 0 ? 0 : 1));
        place.rejects->config.age_us = 2 * HOUR_US;
        (void)snprintf(name, sizeof(name), "e%u", i);
        place_add(&place, 1, name, "{}");
        ids[i] = newest_id(&place, 1);
    }
    place.rejects->config.age_us = 1000 * HOUR_US;
    assert_int_equal(place.rejects->projects[0].count, FILES);
    for (uint32_t i = FILES * EACH; i > 0; i--) {
        if (i % EACH == 1)
            continue; /* one of each file stays */
        rejects_done(place.rejects, 1, ids[i - 1]);
        rejects_done(place.rejects, 1, ids[(i * 7) % (FILES * EACH) / EACH * EACH + 1]);
    }
    for (int step = 1; step <= 3; step++) {
        rejects_step(place.rejects);
        clock_fake_move(&place.clock, US_PER_S);
    }
    assert_int_equal(place.rejects->marks.len, 0);
    for (uint32_t i = 0; i < FILES * EACH; i++) {
        struct reject reject;
        const bool stays = i % EACH == 0;

        left -= stays ? 0 : 1;
        assert_int_equal(rejects_find(place.rejects, 1, ids[i], take_copy, &reject, NULL),
                         stays ? ERR_OK : ERR_ABSENT);
    }
    assert_int_equal(left, FILES);
    place_close(&place);
}

/* Ids that nobody has cost no file, and those that wait have a bound. */
static void
test_rejects__marks_of_nothing(void **state)
{
    struct place place;
    uint64_t id;

    place_init(&place, state);
    place_add(&place, 1, "a", "{}");
    id = newest_id(&place, 1);
    pthread_mutex_lock(&place.rejects->lock);
    marks_add(place.rejects, 2, id);
    marks_add(place.rejects, 1, id + 1);
    marks_add(place.rejects, 1, id - 1);
    assert_int_equal(place.rejects->marks.len, 0);
    for (uint32_t i = 0; i <= MARKS_MAX + 1; i++)
        marks_add(place.rejects, 1, id);
    assert_int_equal(place.rejects->marks.len, MARKS_BYTES_MAX);
    marks_apply(place.rejects);
    assert_int_equal(place.rejects->marks.len, 0);
    pthread_mutex_unlock(&place.rejects->lock);
    assert_string_equal(place_list(&place, 1), "");
    place_close(&place);
}

static void
test_rejects__a_restart_goes_on_in_the_same_file(void **state)
{
    struct place place;
    char path[FILE_PATH_MAX];
    uint64_t before;

    place_init(&place, state);
    place_add(&place, 1, "a", "{}");
    place_close(&place); /* what is queued is written */
    place_open(&place);
    before = newest_id(&place, 1);
    place_add(&place, 1, "b", "{}");
    assert_string_equal(place_list(&place, 1), "b a ");
    assert_true(newest_id(&place, 1) > before);
    place_only_file(state, 1, path);
    place_close(&place);
    /* A clock that was set back makes no id a second time. */
    clock_fake_move(&place.clock, -HOUR_US);
    place_open(&place);
    before = newest_id(&place, 1);
    place_add(&place, 1, "c", "{}");
    assert_int_equal(newest_id(&place, 1), before + 1);
    place_close(&place);
}

static void
test_rejects__a_torn_end_is_cut_at_every_byte(void **state)
{
    struct place place;
    char path[FILE_PATH_MAX];
    uint64_t whole;
    uint64_t first;
    struct buf bytes;

    place_init(&place, state);
    place_add(&place, 1, "a", "{\"x\":1}");
    rejects_step(place.rejects);
    place_only_file(state, 1, path);
    assert_int_equal(file_size_of_path(path, &first, NULL), ERR_OK);
    place_add(&place, 1, "b", "{\"x\":2}");
    place_close(&place);
    buf_init(&bytes, 1 << 20);
    assert_int_equal(file_read_whole(path, 1 << 20, &bytes, NULL), ERR_OK);
    whole = bytes.len;
    for (uint64_t len = first; len < whole; len++) {
        const uint64_t damage = place_counter("\npotik_rejected_damage_total ");
        uint64_t now;

        assert_int_equal(file_replace_whole(path, slice_of(bytes.ptr, (size_t)len), NULL), ERR_OK);
        place_open(&place);
        assert_int_equal(file_size_of_path(path, &now, NULL), ERR_OK);
        assert_int_equal(now, first);
        place_add(&place, 1, "c", "{}");
        assert_string_equal(place_list(&place, 1), "c a ");
        place_close(&place);
        assert_int_equal(place_counter("\npotik_rejected_damage_total "), damage);
    }
    buf_fini(&bytes);
}

static void
test_rejects__damage_within_is_skipped_and_counted(void **state)
{
    struct place place;
    char path[FILE_PATH_MAX];
    struct buf bytes;
    uint64_t damage;

    place_init(&place, state);
    place_add(&place, 1, "a", "{}");
    place_add(&place, 1, "b", "{}");
    place_add(&place, 1, "c", "{}");
    rejects_step(place.rejects);
    place_only_file(state, 1, path);
    place_close(&place);
    buf_init(&bytes, 1 << 20);
    assert_int_equal(file_read_whole(path, 1 << 20, &bytes, NULL), ERR_OK);
    bytes.ptr[bytes.len / 2] ^= 4;
    assert_int_equal(file_replace_whole(path, buf_slice(&bytes), NULL), ERR_OK);
    damage = place_counter("\npotik_rejected_damage_total ");
    place_open(&place);
    assert_string_equal(place_list(&place, 1), "c a ");
    assert_true(place_counter("\npotik_rejected_damage_total ") > damage);
    place_close(&place);
    /* Without its header a file is of no use. */
    bytes.ptr[9] ^= 4;
    assert_int_equal(file_replace_whole(path, buf_slice(&bytes), NULL), ERR_OK);
    place.told[0] = '\0';
    place_open(&place);
    assert_string_equal(place.told, "rejected.file_dropped ");
    assert_false(file_exists(path));
    assert_string_equal(place_list(&place, 1), "");
    place_close(&place);
    buf_fini(&bytes);
}

/* n - 1, n, n + 1 entries of a project, which has half of the queue, and of the whole. */
static void
test_rejects__a_full_queue_drops_and_counts(void **state)
{
    struct place place;
    const struct reject reject = reject_of(1, "e", "{}");
    const size_t entry = 24 + record_payload_bytes(&reject);
    const uint64_t dropped =
        place_counter("\npotik_rejected_dropped_total{reason=\"queue_full\"} ");

    place_init(&place, state);
    place_close(&place);
    place.config.queue_bytes = 8 * entry;
    place_open(&place);
    for (int i = 0; i < 3; i++)
        place_add(&place, 1, "e", "{}");
    assert_int_equal(place.wakes, 1); /* when a quarter of it was used */
    place_add(&place, 1, "e", "{}");
    assert_int_equal(place_counter("\npotik_rejected_dropped_total{reason=\"queue_full\"} "),
                     dropped);
    place_add(&place, 1, "e", "{}");
    rejects_done(place.rejects, 1, 5);
    assert_int_equal(place_counter("\npotik_rejected_dropped_total{reason=\"queue_full\"} "),
                     dropped + 1);
    /* Others have the other half. */
    for (uint32_t i = 0; i < 4; i++)
        place_add(&place, 2 + i % 2, "e", "{}");
    assert_int_equal(place_counter("\npotik_rejected_dropped_total{reason=\"queue_full\"} "),
                     dropped + 1);
    place_add(&place, 2, "e", "{}");
    assert_int_equal(place_counter("\npotik_rejected_dropped_total{reason=\"queue_full\"} "),
                     dropped + 2);
    assert_string_equal(place_list(&place, 1), "e e e e ");
    assert_string_equal(place_list(&place, 3), "e e ");
    place_add(&place, 1, "f", "{}");
    assert_string_equal(place_list(&place, 1), "f e e e e ");
    place_close(&place);
}

/* A file where the folder should be: nothing can be kept, nothing breaks, and it heals. */
static void
test_rejects__a_folder_that_cannot_be_used(void **state)
{
    struct place place;
    const uint64_t dropped = place_counter("\npotik_rejected_dropped_total{reason=\"disk\"} ");
    const char *path = test_path(state, "rejected");
    struct rejects_question question = {.project_id = 1, .limit = 9};
    struct reject reject;
    uint64_t next;

    assert_int_equal(file_replace_whole(path, SLICE("x"), NULL), ERR_OK);
    place_init(&place, state);
    assert_string_equal(place.told, "rejected.not_kept ");
    place_add(&place, 1, "a", "{}");
    rejects_step(place.rejects);
    assert_int_equal(place_counter("\npotik_rejected_dropped_total{reason=\"disk\"} "),
                     dropped + 1);
    assert_int_equal(rejects_list(place.rejects, &question, take_copy, &reject, &next, NULL),
                     ERR_IO);
    assert_int_equal(file_unlink(path, NULL), ERR_OK);
    clock_fake_move(&place.clock, 10 * US_PER_S);
    rejects_step(place.rejects);
    place_add(&place, 1, "b", "{}");
    assert_string_equal(place_list(&place, 1), "b ");
    assert_string_equal(place.told, "rejected.not_kept rejected.kept_again ");
    place_close(&place);
}

/* A project's folder that is in the way: told once, tried again a second later, others go on. */
static void
test_rejects__a_write_that_fails_is_tried_again_later(void **state)
{
    struct place place;
    const uint64_t dropped = place_counter("\npotik_rejected_dropped_total{reason=\"disk\"} ");
    const char *path = test_path(state, "rejected/1");

    assert_int_equal(file_make_dir(test_path(state, "rejected"), NULL), ERR_OK);
    place_init(&place, state);
    assert_int_equal(file_replace_whole(path, SLICE("x"), NULL), ERR_OK);
    place_add(&place, 1, "a", "{}");
    place_add(&place, 1, "b", "{}");
    rejects_step(place.rejects);
    assert_string_equal(place.told, "rejected.not_kept ");
    assert_int_equal(place_counter("\npotik_rejected_dropped_total{reason=\"disk\"} "),
                     dropped + 2);
    assert_int_equal(file_unlink(path, NULL), ERR_OK);
    clock_fake_move(&place.clock, 2 * US_PER_S);
    place_add(&place, 1, "c", "{}");
    assert_string_equal(place_list(&place, 1), "c ");
    assert_string_equal(place.told, "rejected.not_kept rejected.kept_again ");
    place_close(&place);
}

#define THREADS 3
#define ADDED_BY_EACH 20000

static void
add_many(void *arg)
{
    struct place *place = arg;

    for (int i = 0; i < ADDED_BY_EACH; i++) {
        place_add(place, (uint32_t)(1 + i % 5), "e", "{\"user_id\":\"alice\"}");
        if (i % 100 == 0)
            rejects_done(place->rejects, 1, (uint64_t)NOW_US + (uint64_t)i);
    }
}

static void
erase_again_and_again(void *arg)
{
    struct place *place = arg;
    const struct selection selection = {
        .project_id = 1, .kind = SELECTION_PERSON, .person = SLICE("alice")};

    for (int i = 0; i < 20; i++) {
        struct rejects_erasure erasure = {0};
        bool is_done = false;

        for (int step = 0; step < 100000 && !is_done; step++)
            assert_int_equal(
                rejects_erase_step(place->rejects, &selection, &erasure, &is_done, NULL), ERR_OK);
    }
}

/* Loops add, the loader steps, the desk lists, the keeper erases: what came is kept or counted. */
static void
test_rejects__all_threads_at_once(void **state)
{
    static const char kept[] = "\npotik_rejected_kept_total ";
    static const char full[] = "\npotik_rejected_dropped_total{reason=\"queue_full\"} ";
    struct place place;
    struct thread *threads[THREADS + 1];
    const uint64_t before = place_counter(kept) + place_counter(full);
    uint64_t told = 0;

    place_init(&place, state);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(thread_start("loop", THREAD_NORMAL, add_many, &place, &threads[i], NULL),
                         ERR_OK);
    assert_int_equal(thread_start("keeper", THREAD_NORMAL, erase_again_and_again, &place,
                                  &threads[THREADS], NULL),
                     ERR_OK);
    while (told < THREADS * ADDED_BY_EACH) {
        rejects_step(place.rejects);
        (void)place_list(&place, 2);
        told = place_counter(kept) + place_counter(full) - before;
    }
    for (int i = 0; i <= THREADS; i++)
        thread_join(&threads[i]);
    rejects_step(place.rejects);
    assert_int_equal(place_counter(kept) + place_counter(full) - before, THREADS * ADDED_BY_EACH);
    assert_true(place_bytes(&place) <= REJECTS_BYTES_MIN);
    place_close(&place);
}

static void
test_rejects__off_takes_everything(void **state)
{
    const struct reject reject = reject_of(1, "e", "{}");

    (void)state;
    rejects_add(NULL, &reject);
    rejects_done(NULL, 1, 1);
    rejects_step(NULL);
    assert_int_equal(rejects_drop_project(NULL, 1, NULL), ERR_OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_rejects__newest_first_of_their_own_project),
        test_in_dir(test_rejects__pages_and_filters),
        test_in_dir(test_rejects__those_that_are_done_go_from_the_list),
        test_in_dir(test_rejects__marks_are_worked_off_file_by_file),
        test_in_dir(test_rejects__marks_of_nothing),
        test_in_dir(test_rejects__a_restart_goes_on_in_the_same_file),
        test_in_dir(test_rejects__a_torn_end_is_cut_at_every_byte),
        test_in_dir(test_rejects__damage_within_is_skipped_and_counted),
        test_in_dir(test_rejects__a_full_queue_drops_and_counts),
        test_in_dir(test_rejects__a_folder_that_cannot_be_used),
        test_in_dir(test_rejects__a_write_that_fails_is_tried_again_later),
        test_in_dir(test_rejects__all_threads_at_once),
        cmocka_unit_test(test_rejects__off_takes_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
