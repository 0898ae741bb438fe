/* Units of rejects/folder: the bound in bytes, who pays for it, and the bound in age. */
#include "fixture.h"

static char big[40 * 1024];

static void
add_big(struct place *place, uint32_t project_id, const char *event_id, size_t bytes)
{
    struct reject reject = reject_of(project_id, event_id, "");

    memset(big, 'x', sizeof(big));
    reject.original = slice_of(big, bytes);
    rejects_add(place->rejects, &reject);
    rejects_step(place->rejects);
    assert_true(place->rejects->bytes <= place->config.bytes_max);
}

/* What one record takes beside its original. */
static size_t
record_rest(const char *event_id)
{
    const struct reject reject = reject_of(1, event_id, "");

    return RECORD_HEADER_BYTES + record_payload_bytes(&reject);
}

/* Bytes on disk, by the disk. */
static uint64_t
disk_bytes(void **state, uint32_t project_id, unsigned *ret_files)
{
    struct file_list list = {NULL, 0};
    char name[64];
    uint64_t sum = 0;

    (void)snprintf(name, sizeof(name), "rejected/%u", project_id);
    assert_int_equal(file_list_dir(test_path(state, name), &list, NULL), ERR_OK);
    *ret_files = (unsigned)list.count;
    for (size_t i = 0; i < list.count; i++) {
        uint64_t bytes;
        char path[FILE_PATH_MAX];

        assert_true(file_path(path, test_path(state, name), list.names[i]));
        assert_int_equal(file_size_of_path(path, &bytes, NULL), ERR_OK);
        sum += bytes;
    }
    file_list_free(&list);
    return sum;
}

/* A file that would come to n - 1 or n bytes takes the record, one of n + 1 does not. */
static void
test_bounds__a_file_ends_at_its_part_of_the_bound(void **state)
{
    const size_t max = REJECTS_BYTES_MIN / FILES_OF_BOUND;
    const size_t both = RECORD_FILE_HEADER_BYTES + 2 * record_rest("e");

    for (size_t more = 0; more <= 2; more++) {
        struct place place;
        unsigned files;

        place_init(&place, state);
        add_big(&place, 7, "e", 1000);
        add_big(&place, 7, "e", max - 1 + more - both - 1000);
        assert_int_equal(disk_bytes(state, 7, &files), place_bytes(&place));
        assert_int_equal(files, more == 2 ? 2 : 1);
        place_close(&place);
        assert_int_equal(file_remove_tree(test_path(state, "rejected"), NULL), ERR_OK);
    }
}

/* One file less than the bound, the bound, and one byte more: then the oldest file goes. */
static void
test_bounds__the_oldest_file_makes_room(void **state)
{
    const size_t max = REJECTS_BYTES_MIN / FILES_OF_BOUND;
    const size_t one = max - RECORD_FILE_HEADER_BYTES - record_rest("e00");

    for (size_t more = 0; more <= 2; more++) {
        struct place place;
        unsigned files;
        char name[16];

        place_init(&place, state);
        /* All but the last fill their files to the byte; the first one leaves 64 bytes. */
        for (unsigned i = 0; i < FILES_OF_BOUND; i++) {
            (void)snprintf(name, sizeof(name), "e%02u", i);
            add_big(&place, 7, name, i == 0 ? one - 64 : one);
        }
        assert_int_equal(place_bytes(&place), REJECTS_BYTES_MIN - 64);
        /* Another project, up to the bound: 64 bytes are left, its record is larger. */
        add_big(&place, 8, "x", more);
        assert_int_equal(disk_bytes(state, 7, &files), place.rejects->projects[0].bytes);
        assert_int_equal(files, FILES_OF_BOUND - 1);
        assert_string_equal(place_list(&place, 8), "x ");
        place_close(&place);
        assert_int_equal(file_remove_tree(test_path(state, "rejected"), NULL), ERR_OK);
    }
}

/* need + held: n - 1 and n make nobody go, n + 1 does. */
static void
test_bounds__room_is_made_to_the_byte(void **state)
{
    for (int more = -1; more <= 1; more++) {
        struct place place;

        place_init(&place, state);
        add_big(&place, 7, "e", 1000);
        assert_int_equal(
            folder_make_room(place.rejects,
                             (uint64_t)((int64_t)(REJECTS_BYTES_MIN - place_bytes(&place)) + more),
                             NULL),
            ERR_OK);
        assert_int_equal(place.rejects->project_count, more == 1 ? 0 : 1);
        place_close(&place);
        if (more != 1)
            assert_int_equal(file_remove_tree(test_path(state, "rejected"), NULL), ERR_OK);
    }
}

static void
test_bounds__a_noisy_project_pushes_out_itself_alone(void **state)
{
    struct place place;

    place_init(&place, state);
    place_add(&place, 1, "quiet", "{}");
    for (int i = 0; i < 200; i++)
        add_big(&place, 2, "noise", 20000);
    place_add(&place, 3, "late", "{}");
    rejects_step(place.rejects);
    assert_string_equal(place_list(&place, 1), "quiet ");
    assert_string_equal(place_list(&place, 3), "late ");
    assert_true(strlen(place_list(&place, 2)) > 20 * strlen("noise "));
    place_close(&place);
    /* A smaller bound holds from the start on. */
    place.config.bytes_max = REJECTS_BYTES_MIN / 2;
    place_open(&place);
    assert_true(place_bytes(&place) <= REJECTS_BYTES_MIN / 2);
    assert_string_equal(place_list(&place, 1), "quiet ");
    place_close(&place);
}

/* Records that are written together stay below the bound, too. */
static void
test_bounds__many_at_once(void **state)
{
    struct place place;

    place_init(&place, state);
    memset(big, 'x', 500);
    big[500] = '\0';
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 11; i++)
            place_add(&place, 2, "noise", big);
        rejects_step(place.rejects);
        assert_true(place_bytes(&place) <= REJECTS_BYTES_MIN);
    }
    assert_true(place_bytes(&place) > REJECTS_BYTES_MIN * 9 / 10);
    place_close(&place);
}

static void
test_bounds__age(void **state)
{
    struct place place;
    unsigned files;

    place_init(&place, state);
    place_add(&place, 1, "old", "{}");
    rejects_step(place.rejects);
    clock_fake_move(&place.clock, HOUR_US); /* an eighth of the age: still the same file */
    place_add(&place, 1, "same", "{}");
    rejects_step(place.rejects);
    (void)disk_bytes(state, 1, &files);
    assert_int_equal(files, 1);
    clock_fake_move(&place.clock, 1); /* and now a new one */
    place_add(&place, 1, "young", "{}");
    rejects_step(place.rejects);
    (void)disk_bytes(state, 1, &files);
    assert_int_equal(files, 2);

    /* n - 1 and n microseconds old: there; n + 1: not shown, although its file is. */
    clock_fake_move(&place.clock, 7 * HOUR_US - 2);
    assert_string_equal(place_list(&place, 1), "young same old ");
    clock_fake_move(&place.clock, 1);
    assert_string_equal(place_list(&place, 1), "young same old ");
    clock_fake_move(&place.clock, 1);
    assert_string_equal(place_list(&place, 1), "young same ");
    rejects_step(place.rejects);
    (void)disk_bytes(state, 1, &files);
    assert_int_equal(files, 2);

    /* A file goes with its newest record. */
    clock_fake_move(&place.clock, HOUR_US + US_PER_S);
    rejects_step(place.rejects);
    assert_false(place.rejects->project_count != 0 && place.rejects->projects[0].count != 0);
    place_close(&place);
}

/* A file that nothing was written to for long is as old as what it holds, not as what came next. */
static void
test_bounds__age_of_a_file_before_a_pause(void **state)
{
    struct place place;
    unsigned files;

    place_init(&place, state);
    place_add(&place, 1, "old", "{}");
    rejects_step(place.rejects);
    clock_fake_move(&place.clock, 7 * HOUR_US);
    place_add(&place, 1, "young", "{}");
    rejects_step(place.rejects);
    clock_fake_move(&place.clock, 2 * HOUR_US); /* 9 hours, of 8 and the eighth of a file */
    rejects_step(place.rejects);
    (void)disk_bytes(state, 1, &files);
    assert_int_equal(files, 2);
    clock_fake_move(&place.clock, US_PER_S);
    rejects_step(place.rejects);
    (void)disk_bytes(state, 1, &files);
    assert_int_equal(files, 1);
    assert_string_equal(place_list(&place, 1), "young ");
    place_close(&place);
}

/* The last file of a project goes by what stands in it, the others by the next one's name. */
static void
test_bounds__a_file_goes_with_its_newest_record(void **state)
{
    struct place place;
    unsigned files;

    place_init(&place, state);
    place_add(&place, 1, "a", "{}");
    rejects_step(place.rejects);
    clock_fake_move(&place.clock, HOUR_US);
    place_add(&place, 1, "b", "{}");
    rejects_step(place.rejects);
    clock_fake_move(&place.clock, 8 * HOUR_US); /* b is as old as may be */
    rejects_step(place.rejects);
    assert_string_equal(place_list(&place, 1), "b ");
    clock_fake_move(&place.clock, 2 * US_PER_S);
    rejects_step(place.rejects);
    (void)disk_bytes(state, 1, &files);
    assert_int_equal(files, 0);
    assert_int_equal(place_bytes(&place), 0);
    place_close(&place);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_bounds__a_file_ends_at_its_part_of_the_bound),
        test_in_dir(test_bounds__the_oldest_file_makes_room),
        test_in_dir(test_bounds__room_is_made_to_the_byte),
        test_in_dir(test_bounds__a_noisy_project_pushes_out_itself_alone),
        test_in_dir(test_bounds__many_at_once),
        test_in_dir(test_bounds__age),
        test_in_dir(test_bounds__age_of_a_file_before_a_pause),
        test_in_dir(test_bounds__a_file_goes_with_its_newest_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
