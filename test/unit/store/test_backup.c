/*
 * test_backup - the copy of a ledger ends at the bound, whatever came, rolled or went meanwhile.
 */
#include "erase_fixture.h"

struct copied {
    uint64_t files;
    uint64_t bytes;
    uint64_t listed;
};

static void
on_listed(void *state, uint64_t bytes)
{
    ((struct copied *)state)->listed = bytes;
}

static void
on_begin(void *state, const char *name)
{
    (void)state;
    assert_true(strcmp(name, "secret") == 0 || strncmp(name, "ledger/", 7) == 0);
}

static void
on_seen(void *state, const void *bytes, size_t len)
{
    (void)bytes;
    ((struct copied *)state)->bytes += len;
}

static enum err
on_end(void *state, struct diag *diag)
{
    (void)diag;
    ((struct copied *)state)->files++;
    return ERR_OK;
}

static uint64_t
bound_of(const char *dir)
{
    struct diag diag = DIAG_INIT;
    uint64_t seq = UINT64_MAX;
    const enum err err = embedded_backup_bound(dir, &seq, &diag);

    if (err != ERR_OK)
        print_message("%s: %s\n", err_name(err), diag.message);
    assert_int_equal(err, ERR_OK);
    return seq;
}

static void
found_nothing(void *state, const struct embedded_finding *finding)
{
    (void)state;
    print_message("%s: %s\n", finding->file, finding->what);
    fail();
}

/* Copies up to `seq`, looks at the copy as doctor does, and serves from it: the events 0 … seq − 1.
 */
static void
check_copy(struct fixture *fixture, uint64_t seq, bool is_whole)
{
    struct copied copied = {0};
    const struct embedded_backup how = {on_listed, on_begin, on_seen, on_end, &copied};
    struct fixture copy = *fixture;
    struct diag diag = DIAG_INIT;
    char to[FILE_PATH_MAX];
    enum err err;

    (void)snprintf(copy.dir, sizeof(copy.dir), "%.50s.copy", fixture->dir);
    assert_true(snprintf(to, sizeof(to), "%s", copy.dir) < (int)sizeof(copy.dir));
    assert_int_equal(file_make_new_dir(to, NULL), ERR_OK);
    err = embedded_backup(fixture->dir, to, seq, &how, &diag);
    if (err != ERR_OK)
        print_message("%s: %s\n", err_name(err), diag.message);
    assert_int_equal(err, ERR_OK);
    assert_true(copied.files >= 2 && copied.listed != 0);
    assert_int_equal(embedded_doctor(to, false, false, found_nothing, NULL, &diag), ERR_OK);
    assert_int_equal(bound_of(to), seq);
    if (is_whole) {
        copy.config.data_dir = copy.dir;
        copy.store = NULL;
        copy.link = NULL;
        fixture_open(&copy);
        assert_int_equal(fixture_read_all(&copy, 0, 1000, (size_t)1 << 20), seq);
        fixture_close(&copy);
    }
    assert_int_equal(file_remove_tree(to, NULL), ERR_OK);
}

static void
append(struct fixture *fixture, uint64_t first, uint32_t count)
{
    uint32_t accepted = 0;

    for (uint32_t done = 0; done < count; done += 100) {
        const uint32_t some = count - done < 100 ? count - done : 100;

        assert_int_equal(fixture_append(fixture, first + done, some, &accepted), ERR_OK);
        assert_int_equal(accepted, some);
    }
}

static void
test_backup__ends_at_the_bound(void **state)
{
    struct fixture *fixture = *state;
    uint64_t stored = 0;

    fixture_open(fixture);
    assert_int_equal(bound_of(fixture->dir), 0);
    check_copy(fixture, 0, true);
    /* Some three of its segments of 1 MiB, in the end. */
    for (uint32_t more = 1; more <= 10000; more = more * 3 + 1) {
        const uint64_t bound = stored;

        append(fixture, stored, more);
        stored += more;
        assert_int_equal(bound_of(fixture->dir), stored);
        check_copy(fixture, stored, true);
        check_copy(fixture, bound, true); /* all that came since is left out */
    }
}

static void
test_backup__of_a_stopped_and_of_a_killed_store(void **state)
{
    struct fixture *fixture = *state;

    fixture_open(fixture);
    append(fixture, 0, 300);
    fixture_close(fixture);
    assert_int_equal(bound_of(fixture->dir), 300);
    check_copy(fixture, 300, true);
    fixture_open(fixture);
    append(fixture, 300, 5);
    fixture_kill(fixture);
    assert_int_equal(bound_of(fixture->dir), 305);
    check_copy(fixture, 305, true);
    fixture_open(fixture);
}

/* An erasure that was done between the two: nothing of it is in the copy. */
static void
test_backup__holds_nothing_that_went_behind_the_bound(void **state)
{
    struct fixture *fixture = *state;
    struct selection person = erase_person(1);
    uint64_t bound;

    fixture_open(fixture);
    erase_fill(fixture, 0, 10000);
    bound = bound_of(fixture->dir);
    assert_int_equal(bound, 10000);
    assert_true(erase_all(fixture, &person) > 0);
    append(fixture, 10000, 5000);
    check_copy(fixture, bound, false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_backup__ends_at_the_bound, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_backup__of_a_stopped_and_of_a_killed_store,
                                        fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_backup__holds_nothing_that_went_behind_the_bound,
                                        fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
