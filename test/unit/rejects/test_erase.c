/* Units of rejects/erase: whose a refused event is, and that nothing of it is left on the disk. */
#include "fixture.h"

#include "codec/crc32c.h"

static void
erase(struct place *place, const struct selection *selection)
{
    struct rejects_erasure erasure = {0};
    bool is_done = false;

    for (int i = 0; i < 1000 && !is_done; i++) {
        assert_int_equal(rejects_erase_step(place->rejects, selection, &erasure, &is_done, NULL),
                         ERR_OK);
        rejects_step(place->rejects);
    }
    assert_true(is_done);
}

static struct selection
person(const char *text)
{
    return (struct selection){.project_id = 1,
                              .kind = SELECTION_PERSON,
                              .person = slice_of_text(text),
                              .seq_max = UINT64_MAX,
                              .received_max_us = INT64_MAX};
}

/* Whether a record with this original stays when `who` is erased. */
static bool
stays(void **state, const char *who, const char *original)
{
    struct place place;
    const struct selection selection = person(who);
    bool is_there;

    place_init(&place, state);
    place_add(&place, 1, "e", original);
    erase(&place, &selection);
    is_there = strcmp(place_list(&place, 1), "e ") == 0;
    place_close(&place);
    assert_int_equal(file_remove_tree(test_path(state, "rejected"), NULL), ERR_OK);
    return is_there;
}

static void
test_erase__whoever_is_mentioned(void **state)
{
    assert_false(stays(state, "alice", "{\"user_id\":\"alice\"}"));
    assert_false(stays(state, "alice", "{\"anonymous_id\":\"alice\"}"));
    assert_false(stays(state, "alice", "{\"userId\":\"alice\"}"));
    assert_false(stays(state, "alice", "{\"user_id\":\" alice \"}"));
    assert_false(stays(state, "alice", "{\"user_id\":\"\\u0061lic\\u0065\"}"));
    assert_false(stays(state, "a\"b/c\n", "{\"user_id\":\"a\\\"b\\/c\\n\"}"));
    assert_false(stays(state, "\xf0\x9f\x98\x80x", "{\"u\":\"\\ud83d\\ude00x\"}"));
    assert_false(stays(state, "\xd0\x96", "{\"u\":\"\\u0416\"}"));
    assert_false(stays(state, "42", "{\"user_id\":42}"));
    assert_false(stays(state, "alice", "{\"alice\":1}"));
    assert_true(stays(state, "alice", "{\"user_id\":\"bob\"}"));
    assert_true(stays(state, "alice", "{\"user_id\":\"Alice\"}"));
    assert_true(stays(state, "alice", " [1,{\"a\":null}] "));
    assert_false(stays(state, "too long", "{}")); /* stands in the message */
    assert_false(stays(state, "r-1", "{}"));      /* in the request id */
}

/* Nobody can tell whose these are. */
static void
test_erase__whatever_cannot_be_read(void **state)
{
    assert_false(stays(state, "alice", "{\"user_id\":\"bo"));
    assert_false(stays(state, "alice", "{\"user_id\":\"b\xe9\"}"));
    assert_false(stays(state, "alice", "{\"user_id\":\"\\ud800\"}"));
    assert_false(stays(state, "alice", "{} {}"));
    assert_false(stays(state, "alice", ""));
    assert_false(stays(state, "alice", "\\"));
    assert_false(stays(state, "alice", "\\u00"));
}

static void
test_erase__what_is_cut_goes(void **state)
{
    struct place place;
    const struct selection selection = person("alice");
    struct reject reject = reject_of(1, "cut", "{\"user_id\":1}");

    place_init(&place, state);
    reject.is_cut = true;
    rejects_add(place.rejects, &reject);
    erase(&place, &selection);
    assert_string_equal(place_list(&place, 1), "");
    place_close(&place);
}

/* Others stay byte for byte, later ones are not touched, and no byte of the person is on the disk:
 * not of one that was marked as done either, nor behind a torn end. */
static void
test_erase__nothing_is_left_on_the_disk(void **state)
{
    struct place place;
    const struct selection selection = person("alice-the-first");
    struct rejects_erasure erasure = {0};
    struct rejects_question question = {.project_id = 1, .limit = 100};
    char path[FILE_PATH_MAX];
    struct buf bytes;
    uint64_t next;
    bool is_done = false;

    (void)question;
    (void)next;
    place_init(&place, state);
    place_add(&place, 1, "a", "{\"user_id\":\"bob\"}");
    place_add(&place, 1, "b", "{\"user_id\":\"alice-the-first\"}");
    place_add(&place, 2, "other", "{\"user_id\":\"alice-the-first\"}");
    place_add(&place, 1, "c", "{\"user_id\":\"carol\"}");
    /* Not before what is queued has been written. */
    assert_int_equal(rejects_erase_step(place.rejects, &selection, &erasure, &is_done, NULL),
                     ERR_OK);
    assert_false(is_done);
    rejects_step(place.rejects);
    while (!is_done) {
        assert_int_equal(rejects_erase_step(place.rejects, &selection, &erasure, &is_done, NULL),
                         ERR_OK);
        assert_string_equal(place_list(&place, 2), "other ");
    }
    assert_string_equal(place_list(&place, 1), "c a ");
    place_only_file(state, 1, path);
    buf_init(&bytes, 1 << 20);
    assert_int_equal(file_read_whole(path, 1 << 20, &bytes, NULL), ERR_OK);
    assert_null(memmem(bytes.ptr, bytes.len, "alice", 5));
    /* What comes after goes to a file of its own, and is not covered. */
    clock_fake_move(&place.clock, 5);
    place_add(&place, 1, "d", "{\"user_id\":\"alice-the-first\"}");
    assert_string_equal(place_list(&place, 1), "d c a ");
    place_close(&place);
    place_open(&place);
    assert_string_equal(place_list(&place, 1), "d c a ");
    place_close(&place);
    buf_fini(&bytes);
}

/* A file that came after the erasure began is still written to: it is left alone. */
static void
test_erase__what_comes_meanwhile_is_left_alone(void **state)
{
    struct place place;
    const struct selection selection = person("alice");
    struct rejects_erasure erasure = {0};
    bool is_done = false;

    place_init(&place, state);
    place_add(&place, 1, "a", "{\"user_id\":\"alice\"}");
    rejects_step(place.rejects);
    assert_int_equal(rejects_erase_step(place.rejects, &selection, &erasure, &is_done, NULL),
                     ERR_OK);
    assert_false(is_done);
    clock_fake_move(&place.clock, 5);
    place_add(&place, 1, "b", "{\"user_id\":\"alice\"}");
    rejects_step(place.rejects);
    assert_int_equal(rejects_erase_step(place.rejects, &selection, &erasure, &is_done, NULL),
                     ERR_OK);
    assert_true(is_done);
    assert_string_equal(place_list(&place, 1), "b ");
    place_close(&place);
}

static void
test_erase__ranges_ids_and_projects(void **state)
{
    struct place place;
    const struct slice ids[] = {SLICE("b"), SLICE("x")};
    struct selection selection = {.project_id = 1,
                                  .kind = SELECTION_IDS,
                                  .ids = ids,
                                  .id_count = 2,
                                  .seq_max = UINT64_MAX,
                                  .received_max_us = INT64_MAX};
    struct reject reject;

    place_init(&place, state);
    place_add(&place, 1, "a", "{}");
    place_add(&place, 1, "b", "{}");
    place_add(&place, 1, NULL, "{}");
    place_add(&place, 2, "b", "{}");
    erase(&place, &selection);
    assert_string_equal(place_list(&place, 1), " a ");
    assert_string_equal(place_list(&place, 2), "b ");

    reject = reject_of(1, "late", "{}");
    reject.received_at_us = NOW_US + 10;
    rejects_add(place.rejects, &reject);
    selection.kind = SELECTION_OCCURRED;
    selection.from_us = 0;
    selection.to_us = INT64_MAX;
    erase(&place, &selection);
    assert_string_equal(place_list(&place, 1), "late  a ");
    selection.kind = SELECTION_RECEIVED;
    selection.to_us = NOW_US + 10; /* not included */
    erase(&place, &selection);
    assert_string_equal(place_list(&place, 1), "late ");
    selection.kind = SELECTION_ALL;
    erase(&place, &selection);
    assert_string_equal(place_list(&place, 1), "");
    assert_string_equal(place_list(&place, 2), "b ");
    assert_int_equal(rejects_drop_project(place.rejects, 2, NULL), ERR_OK);
    assert_string_equal(place_list(&place, 2), "");
    assert_int_equal(place_bytes(&place), 0);
    place_close(&place);
}

/* An erasure that was killed between writing a file and putting it in place. */
static void
test_erase__what_was_broken_off_is_removed(void **state)
{
    struct place place;
    char path[FILE_PATH_MAX];
    char temporary[FILE_PATH_MAX + 8];

    place_init(&place, state);
    place_add(&place, 1, "a", "{}");
    rejects_step(place.rejects);
    place_only_file(state, 1, path);
    place_close(&place);
    (void)snprintf(temporary, sizeof(temporary), "%s.tmp", path);
    assert_int_equal(file_replace_whole(temporary, SLICE("half"), NULL), ERR_OK);
    place_open(&place);
    assert_false(file_exists(temporary));
    place_add(&place, 1, "b", "{}");
    assert_string_equal(place_list(&place, 1), "b a ");
    place_close(&place);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_erase__whoever_is_mentioned),
        test_in_dir(test_erase__whatever_cannot_be_read),
        test_in_dir(test_erase__what_is_cut_goes),
        test_in_dir(test_erase__nothing_is_left_on_the_disk),
        test_in_dir(test_erase__what_comes_meanwhile_is_left_alone),
        test_in_dir(test_erase__ranges_ids_and_projects),
        test_in_dir(test_erase__what_was_broken_off_is_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
