/*
 * test_link_faults - what a link says when PostgreSQL fails it: never "stored" of what is not.
 *
 * Errors of the server are made by a trigger that raises them; losses by ending the link's backend
 * from another connection.
 */
#include "link_fixture.h"

#include "base/counter.h"
#include <signal.h>

/* Inserts fail with this SQLSTATE, but every `nth` one (0: all fail; counted over rollbacks). */
static void
make_inserts_fail(struct link_fixture *fixture, const char *sqlstate, int nth)
{
    (void)link_fixture_sql(
        fixture,
        "CREATE SEQUENCE tries; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN IF %d <> 0 AND nextval('tries') %% %d = 0 THEN RETURN NULL; END IF; "
        "RAISE SQLSTATE '%s'; END $$; "
        "CREATE TRIGGER fail BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION fail()",
        nth, nth != 0 ? nth : 1, sqlstate);
}

static void
mend(struct link_fixture *fixture)
{
    (void)link_fixture_sql(fixture, "DROP TRIGGER fail ON events");
}

/* The backends of this store's links, by what they did last; not its reader's. */
#define LINK_BACKENDS                                                                              \
    "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = "                  \
    "current_schema() AND query ~ 'INSERT INTO events|pg_notify|pg_current_xact_id_if|"            \
    "potik_incoming'"

static int64_t
end_backends(struct link_fixture *fixture)
{
    return link_fixture_sql(fixture, "SELECT count(pg_terminate_backend(pid)) " LINK_BACKENDS);
}

static void
assert_stored(struct link_fixture *fixture, int64_t wanted)
{
    assert_int_equal(link_fixture_sql(fixture, "SELECT count(*) FROM events"), wanted);
}

static void
test_link__a_commit_that_fails_after_the_last_row_is_not_believed(void **state)
{
    struct link_fixture *fixture = *state;

    (void)link_fixture_sql(
        fixture,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE "
        "'53100'; END $$; CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON events DEFERRABLE "
        "INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()");
    (void)link_fixture_add(fixture, 0, "a", false);
    (void)link_fixture_add(fixture, 0, "b", false);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_STORAGE_FULL);
    assert_int_equal(fixture->batches[0].accepted_count, 0);
    assert_stored(fixture, 0);
    (void)link_fixture_sql(fixture, "DROP TRIGGER refuse ON events");
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_int_equal(fixture->batches[0].accepted_count, 2);
}

static void
test_link__a_full_disk_is_told_once_and_mended_without_a_hand(void **state)
{
    struct link_fixture *fixture = *state;
    struct diag diag = DIAG_INIT;

    make_inserts_fail(fixture, "53100", 0);
    (void)link_fixture_add(fixture, 0, "a", false);
    for (int i = 0; i < 5; i++)
        assert_int_equal(link_fixture_run(fixture, 0), ERR_STORAGE_FULL);
    assert_null(strstr(strstr(fixture->log, "store.batch_failed") + 1, "store.batch_failed"));
    assert_int_equal(store_is_ready(fixture->store, &diag), ERR_STORAGE_FULL);
    assert_non_null(strstr(diag.message, "full"));
    mend(fixture);
    (void)link_fixture_add(fixture, 1, "b", false);
    assert_int_equal(link_fixture_run(fixture, 1), ERR_OK); /* the other link's, too */
    assert_int_equal(store_is_ready(fixture->store, &diag), ERR_OK);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_non_null(strstr(fixture->log, "store.batch_works"));
}

static void
test_link__deadlocks_are_tried_again(void **state)
{
    struct link_fixture *fixture = *state;

    (void)link_fixture_add(fixture, 0, "old", false);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    make_inserts_fail(fixture, "40P01", 4);
    link_fixture_clear(fixture, 0);
    (void)link_fixture_add(fixture, 0, "a", false);
    (void)link_fixture_add(fixture, 0, "b", true);
    (void)link_fixture_add(fixture, 0, "b", false);
    (void)link_fixture_add(fixture, 0, "old", true);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_int_equal(fixture->batches[0].accepted_count, 2);
    assert_int_equal(fixture->items[0][1].verdict, STORE_ABSENT);
    assert_int_equal(fixture->items[0][3].verdict, STORE_DUPLICATE);
    assert_int_equal(link_fixture_sql(fixture, "SELECT last_value FROM tries"), 4);
    assert_stored(fixture, 3);
}

static void
test_link__deadlocks_are_not_tried_for_ever(void **state)
{
    struct link_fixture *fixture = *state;

    make_inserts_fail(fixture, "40001", 6);
    (void)link_fixture_add(fixture, 0, "a", false);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OVERLOADED);
    assert_int_equal(link_fixture_sql(fixture, "SELECT last_value FROM tries"), 5);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
}

static void
test_link__refused_data_is_told_loudly(void **state)
{
    struct link_fixture *fixture = *state;

    make_inserts_fail(fixture, "22001", 0);
    (void)link_fixture_add(fixture, 0, "a", false);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_NOT_READY);
    assert_non_null(strstr(fixture->log, "store.data_refused"));
    mend(fixture);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
}

static void
test_link__a_slow_statement_ends_and_the_connection_stays(void **state)
{
    struct link_fixture *fixture = *state;
    int64_t pid = 0;

    (void)link_fixture_add(fixture, 0, "a", false);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    pid = link_fixture_sql(fixture, "SELECT max(pid) " LINK_BACKENDS);
    link_fixture_clear(fixture, 0);
    (void)link_fixture_add(fixture, 0, "b", false);
    (void)link_fixture_sql(fixture, "BEGIN; LOCK TABLE events IN SHARE MODE");
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OVERLOADED);
    (void)link_fixture_sql(fixture, "COMMIT");
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_int_equal(fixture->batches[0].accepted_count, 1);
    assert_int_equal(link_fixture_sql(fixture, "SELECT max(pid) " LINK_BACKENDS), pid);
}

static void
test_link__a_server_that_is_read_only_now_is_left(void **state)
{
    struct link_fixture *fixture = *state;

    make_inserts_fail(fixture, "25006", 0);
    (void)link_fixture_add(fixture, 0, "a", false);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_NOT_READY);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_NOT_READY); /* away */
    mend(fixture);
    link_fixture_wait_ready(fixture);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
}

/* The backend is ended while the batch waits for a lock: nobody knows, so nobody is told "stored".
 */
static void
test_link__a_backend_lost_within_a_batch_is_not_ready(void **state)
{
    struct link_fixture *fixture = *state;

    (void)link_fixture_add(fixture, 0, "a", false);
    (void)link_fixture_add(fixture, 0, "b", false);
    (void)link_fixture_sql(fixture, "BEGIN; LOCK TABLE events IN SHARE MODE");
    link_fixture_submit(fixture, 0);
    link_fixture_sql_until(
        fixture, 1,
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass");
    assert_true(end_backends(fixture) >= 1);
    link_fixture_wait(fixture, 0);
    assert_int_equal(fixture->batches[0].err, ERR_NOT_READY);
    (void)link_fixture_sql(fixture, "COMMIT");
    assert_int_equal(link_fixture_run(fixture, 0), ERR_NOT_READY); /* at once: away */
    link_fixture_wait_ready(fixture);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_int_equal(fixture->batches[0].accepted_count, 2);
    assert_stored(fixture, 2);
}

static void
test_link__an_idle_link_that_is_lost_comes_back(void **state)
{
    struct link_fixture *fixture = *state;

    (void)link_fixture_add(fixture, 0, "a", false);
    (void)link_fixture_add(fixture, 1, "b", false);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
        assert_int_equal(link_fixture_run(fixture, 1), ERR_OK);
        assert_true(end_backends(fixture) >= 2);
        link_fixture_wait_away(fixture);
        link_fixture_wait_ready(fixture);
    }
    assert_stored(fixture, 2);
}

static void
test_link__closing_answers_the_batch_under_way(void **state)
{
    struct link_fixture *fixture = *state;

    (void)link_fixture_add(fixture, 0, "a", false);
    (void)link_fixture_sql(fixture, "BEGIN; LOCK TABLE events IN SHARE MODE");
    link_fixture_submit(fixture, 0);
    assert_false(fixture->is_done[0]);
    store_link_close(&fixture->links[0]);
    assert_true(fixture->is_done[0]);
    assert_int_equal(fixture->batches[0].err, ERR_NOT_READY);
    (void)link_fixture_sql(fixture, "COMMIT");
}

/* A backend that is stopped answers nothing: our own deadline closes the connection. */
static void
test_link__a_silent_server_is_left_at_the_deadline(void **state)
{
    struct link_fixture *fixture = *state;
    pid_t pid = 0;

    (void)link_fixture_add(fixture, 0, "a", false);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    pid =
        (pid_t)link_fixture_sql(fixture, "SELECT pid " LINK_BACKENDS " ORDER BY state_change DESC");
    if (pid == 0 || kill(pid, SIGSTOP) != 0)
        skip(); /* not ours to stop */
    link_fixture_clear(fixture, 0);
    (void)link_fixture_add(fixture, 0, "b", false);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_NOT_READY);
    assert_int_equal(kill(pid, SIGCONT), 0);
    link_fixture_wait_ready(fixture);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
}

static void
test_link__out_of_memory_costs_the_batch_alone(void **state)
{
    struct link_fixture *fixture = *state;

    (void)link_fixture_add(fixture, 0, "a", false);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        enum err err = ERR_OK;

        mem_fail_from(nth, false);
        err = link_fixture_run(fixture, 0);
        mem_fail_from(0, false);
        assert_true(err == ERR_OK || err == ERR_OVERLOADED || err == ERR_NOT_READY);
        link_fixture_wait_ready(fixture);
    }
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_stored(fixture, 1);
}

int
main(void)
{
#define FAULT_TEST(name)                                                                           \
    cmocka_unit_test_setup_teardown(test_link__##name, link_fixture_setup, link_fixture_teardown)
    const struct CMUnitTest tests[] = {
        FAULT_TEST(a_commit_that_fails_after_the_last_row_is_not_believed),
        FAULT_TEST(a_full_disk_is_told_once_and_mended_without_a_hand),
        FAULT_TEST(deadlocks_are_tried_again),
        FAULT_TEST(deadlocks_are_not_tried_for_ever),
        FAULT_TEST(refused_data_is_told_loudly),
        FAULT_TEST(a_slow_statement_ends_and_the_connection_stays),
        FAULT_TEST(a_server_that_is_read_only_now_is_left),
        FAULT_TEST(a_backend_lost_within_a_batch_is_not_ready),
        FAULT_TEST(an_idle_link_that_is_lost_comes_back),
        FAULT_TEST(closing_answers_the_batch_under_way),
        FAULT_TEST(a_silent_server_is_left_at_the_deadline),
        FAULT_TEST(out_of_memory_costs_the_batch_alone),
    };

    link_fixture_need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
