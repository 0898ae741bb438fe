/*
 * The guard: a database that was restored, failed over or put in another's place. What a restore
 * does is done here by hand to the tables; real ones are made by the flow tests.
 */
#include "postgres_fixture.h"

#define NUMBERS_MAX 32

static uint32_t
generation(struct fixture *fixture)
{
    return (uint32_t)strtoul(fixture_ask(fixture->other, "SELECT generation FROM potik_state"),
                             NULL, 10);
}

/* Three events, read to the end. */
static struct store_position
open_and_read(struct fixture *fixture)
{
    struct store_position cursor = {0};
    uint32_t numbers[NUMBERS_MAX];

    fixture_open(fixture);
    fixture_insert_many(fixture->other, 1, 3);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, NUMBERS_MAX), 3);
    return cursor;
}

static void
assert_stale(struct fixture *fixture, struct store_position cursor)
{
    struct diag diag = DIAG_INIT;
    struct store_page page;

    assert_int_equal(fixture_read_page(fixture, cursor, 10, 1000, &page, &diag), ERR_STALE);
    assert_string_not_equal(diag.message, "");
    assert_int_equal(fixture_read_page(fixture, cursor, 10, 1000, &page, &diag), ERR_STALE);
}

static void
assert_goes_on(struct fixture *fixture, struct store_position cursor, uint32_t next)
{
    uint32_t numbers[NUMBERS_MAX];

    fixture_insert(fixture->other, next);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, NUMBERS_MAX), 1);
    assert_int_equal(numbers[0], next);
}

/* From the start everything is read, once, and then nothing is stale any more. */
static void
assert_begins_anew(struct fixture *fixture, uint32_t count)
{
    struct store_position cursor = {0};
    uint32_t numbers[NUMBERS_MAX];

    assert_int_equal(fixture_read(fixture, &cursor, 2, numbers, NUMBERS_MAX), count);
    assert_goes_on(fixture, cursor, 100);
}

static void
test_guard__goes_on_after_a_clean_stop(void **state)
{
    struct fixture *fixture = *state;
    const struct store_position cursor = open_and_read(fixture);

    fixture_close(fixture);
    fixture_open(fixture);
    assert_int_equal(generation(fixture), 1);
    assert_goes_on(fixture, cursor, 4);
}

static void
test_guard__goes_on_after_a_kill(void **state)
{
    struct fixture *fixture = *state;
    const struct store_position cursor = open_and_read(fixture);

    fixture_kill(fixture);
    fixture_open(fixture);
    assert_int_equal(generation(fixture), 1);
    assert_goes_on(fixture, cursor, 4);
}

/* A server that crashed gives xids again that a cursor has passed already; recovery empties what is
 * not logged. */
static void
test_guard__begins_a_generation_after_a_crash(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = open_and_read(fixture);
    struct postgres *store = fixture_postgres(fixture);
    struct store_page page;

    fixture_run(fixture->other, "TRUNCATE potik_uncrashed");
    cursor.major += 1000;
    atomic_store(&store->is_check_wanted, true);
    assert_int_equal(fixture_read_page(fixture, cursor, 10, 1000, &page, NULL), ERR_OK);
    assert_int_equal(page.count, 0);
    assert_goes_on(fixture, page.next, 4);
    assert_int_equal(generation(fixture), 2);
    assert_int_equal(store_unbroken_since(fixture->store), 1); /* what was told before holds */
    assert_string_equal(fixture_ask(fixture->other, "SELECT count(*) FROM potik_uncrashed"), "1");
    fixture_kill(fixture);
    fixture_open(fixture);
    assert_int_equal(generation(fixture), 2);
}

/* A dump in a new cluster: what was not read yet has xids that mean nothing here. */
static void
test_guard__reads_a_restored_dump_to_its_end(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = open_and_read(fixture);
    uint32_t numbers[NUMBERS_MAX];

    fixture_close(fixture);
    fixture_insert_many(fixture->other, 4, 2);
    fixture_run(fixture->other, "UPDATE potik_state SET system_identifier = 1");
    fixture_run(fixture->other, "UPDATE events SET xid = '9000000000000000' WHERE event_id = 'e4'");
    fixture_open(fixture);
    assert_int_equal(generation(fixture), 2);
    fixture_insert(fixture->other, 6);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, NUMBERS_MAX), 3);
    assert_int_equal(numbers[0], 5);
    assert_int_equal(numbers[1], 4);
    assert_int_equal(numbers[2], 6);
    assert_int_equal(cursor.generation, 2);
    assert_int_equal(store_unbroken_since(fixture->store), 2);
}

static void
test_guard__knows_rows_with_xids_not_given_yet(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = open_and_read(fixture);
    uint32_t numbers[NUMBERS_MAX];

    fixture_close(fixture);
    fixture_insert(fixture->other, 4);
    fixture_run(fixture->other, "UPDATE events SET xid = '9000000000000000' WHERE event_id = 'e4'");
    fixture_open(fixture);
    assert_int_equal(generation(fixture), 2);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, NUMBERS_MAX), 1);
    assert_goes_on(fixture, cursor, 5);
}

static void
test_guard__notices_an_older_row_of_its_node(void **state)
{
    struct fixture *fixture = *state;
    const struct store_position cursor = open_and_read(fixture);

    fixture_close(fixture);
    fixture_run(fixture->other, "UPDATE potik_nodes SET counter = counter - 1");
    fixture_open(fixture);
    assert_int_equal(generation(fixture), 2);
    assert_stale(fixture, cursor);
    assert_begins_anew(fixture, 3);
}

static void
test_guard__stays_stale_until_reading_begins_anew(void **state)
{
    struct fixture *fixture = *state;
    const struct store_position cursor = open_and_read(fixture);

    fixture_close(fixture);
    fixture_run(fixture->other, "UPDATE potik_nodes SET counter = counter - 1");
    fixture_open(fixture);
    fixture_kill(fixture); /* before anyone was told */
    fixture_open(fixture);
    assert_stale(fixture, cursor);
    fixture_close(fixture);
    fixture_open(fixture);
    assert_stale(fixture, cursor);
    assert_begins_anew(fixture, 3);
    fixture_close(fixture);
    fixture_open(fixture);
    assert_goes_on(fixture, store_durable(fixture->store), 101); /* it has begun: all is well */
}

/* That it is stale is written down before the node's row says that all is well. */
static void
test_guard__is_stale_although_its_file_could_not_be_written(void **state)
{
    struct fixture *fixture = *state;
    const struct store_position cursor = open_and_read(fixture);
    char path[FILE_PATH_MAX];

    fixture_close(fixture);
    fixture_run(fixture->other, "UPDATE potik_nodes SET counter = counter - 1");
    assert_true(file_path(path, fixture->dir, "postgres-node.json.tmp"));
    assert_int_equal(file_make_dir(path, NULL), ERR_OK); /* stands in the way */
    assert_int_equal(postgres_open(&fixture->config, &fixture->store, NULL), ERR_IO);
    assert_int_equal(file_remove_tree(path, NULL), ERR_OK);
    fixture_open(fixture);
    assert_stale(fixture, cursor);
}

static void
test_guard__notices_that_it_is_not_known(void **state)
{
    struct fixture *fixture = *state;
    const struct store_position cursor = open_and_read(fixture);

    fixture_close(fixture);
    fixture_run(fixture->other, "DELETE FROM potik_nodes");
    fixture_open(fixture);
    assert_stale(fixture, cursor);
    assert_begins_anew(fixture, 3);
}

/* A lagging replica was promoted: the last event read, and nothing older, is gone. */
static void
test_guard__notices_that_what_it_read_last_is_gone(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = open_and_read(fixture);

    fixture_run(fixture->other, "DELETE FROM events WHERE event_id = 'e3'");
    fixture_run(fixture->other, "SELECT pg_terminate_backend(%d)",
                PQbackendPID(fixture_postgres(fixture)->reader.conn));
    while (fixture_postgres(fixture)->reader.conn != NULL ||
           !store_wait_after(fixture->store, cursor, 10000)) {
        struct store_page page;

        if (fixture_postgres(fixture)->reader.conn != NULL &&
            fixture_read_page(fixture, cursor, 10, 1000, &page, NULL) == ERR_STALE)
            break;
    }
    assert_stale(fixture, cursor);
    assert_int_equal(generation(fixture), 2);
    assert_begins_anew(fixture, 2);
}

static void
erase_all(struct fixture *fixture)
{
    const struct store_erasure erasure = {.selection = {.project_id = 1,
                                                        .kind = SELECTION_ALL,
                                                        .seq_max = UINT64_MAX,
                                                        .received_max_us = INT64_MAX}};
    struct store_erasure_progress progress;
    struct store_erase *erase = NULL;
    bool is_done = false;

    assert_int_equal(store_erase_open(fixture->store, &erasure, &erase, NULL), ERR_OK);
    while (!is_done)
        assert_int_equal(store_erase_step(erase, &is_done, &progress, NULL), ERR_OK);
    store_erase_close(&erase);
}

static void
lose_connection(struct fixture *fixture, struct store_position cursor)
{
    struct store_page page;

    fixture_run(fixture->other, "SELECT pg_terminate_backend(%d)",
                PQbackendPID(fixture_postgres(fixture)->reader.conn));
    while (fixture_read_page(fixture, cursor, 10, 1000, &page, NULL) == ERR_OK)
        continue;
    assert_null(fixture_postgres(fixture)->reader.conn);
}

/* What was read since the last touch was erased: it is missing, and nothing is wrong. */
static void
test_guard__knows_that_rows_were_erased(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = open_and_read(fixture);

    assert_int_equal(fixture_postgres(fixture)->node.read_count, 3);
    erase_all(fixture);
    assert_string_equal(fixture_ask(fixture->other, "SELECT count(*) FROM events"), "0");
    lose_connection(fixture, cursor);
    while (fixture_postgres(fixture)->reader.conn == NULL)
        (void)store_wait_after(fixture->store, cursor, 10000);
    assert_int_equal(generation(fixture), 1);
    assert_false(fixture_postgres(fixture)->node.is_stale);
    assert_goes_on(fixture, cursor, 4);
}

/* Erased before the touch is no excuse for what went after it. */
static void
test_guard__notices_what_is_gone_after_an_erasure(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = open_and_read(fixture);
    struct store_page page;
    bool did_work = false;

    erase_all(fixture);
    clock_fake_move(&fixture->clock, 5 * US_PER_S);
    assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
    fixture_insert_many(fixture->other, 10, 2);
    assert_int_equal(fixture_read_page(fixture, cursor, 10, 1000, &page, NULL), ERR_OK);
    assert_int_equal(page.count, 2);
    fixture_run(fixture->other, "DELETE FROM events WHERE event_id = 'e11'");
    lose_connection(fixture, page.next);
    while (fixture_postgres(fixture)->reader.conn == NULL)
        (void)store_wait_after(fixture->store, page.next, 10000);
    assert_stale(fixture, page.next);
    assert_int_equal(generation(fixture), 2);
}

/* Nothing comes of a range that was erased whole, and the cursor passes it. */
static void
test_reader__passes_over_what_was_erased(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = {0};
    uint32_t numbers[NUMBERS_MAX];

    fixture_open(fixture);
    fixture_insert_many(fixture->other, 1, 3000);
    erase_all(fixture);
    assert_int_equal(fixture_read(fixture, &cursor, 100, numbers, NUMBERS_MAX), 0);
    assert_true(cursor.major > 0);
    assert_goes_on(fixture, cursor, 4000);
}

/* A policy makes each row looked at slow: together they take longer than one statement may. */
static void
test_guard__counts_again_for_longer_than_a_statement_may_take(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = {0};
    struct store_page page;

    fixture->config.statement_timeout_ms = 1000;
    cursor = open_and_read(fixture);
    fixture_insert_many(fixture->other, 10, 10);
    assert_int_equal(fixture_read_page(fixture, cursor, 100, 1000, &page, NULL), ERR_OK);
    assert_int_equal(page.count, 10);
    cursor = page.next;
    fixture_run(fixture->other,
                "CREATE POLICY slow ON events FOR SELECT USING (pg_sleep(0.12) IS NOT NULL); "
                "ALTER TABLE events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; "
                "SELECT pg_terminate_backend(%d)",
                PQbackendPID(fixture_postgres(fixture)->reader.conn));
    assert_int_equal(fixture_read_page(fixture, cursor, 100, 1000, &page, NULL), ERR_NOT_READY);
    assert_true(store_wait_after(fixture->store, cursor, 10000)); /* connects again */
    fixture_run(fixture->other, "ALTER TABLE events DISABLE ROW LEVEL SECURITY");
    assert_int_equal(fixture_read_page(fixture, cursor, 100, 1000, &page, NULL), ERR_OK);
    assert_int_equal(page.count, 0);
    assert_string_equal(
        fixture_ask(fixture_postgres(fixture)->reader.conn, "SHOW statement_timeout"), "1s");
}

static void
test_guard__trusts_another_timeline_after_a_clean_stop(void **state)
{
    struct fixture *fixture = *state;
    const struct store_position cursor = open_and_read(fixture);

    fixture_close(fixture);
    fixture_run(fixture->other, "UPDATE potik_state SET timeline = 77");
    fixture_open(fixture);
    assert_int_equal(generation(fixture), 2);
    assert_goes_on(fixture, cursor, 4);
}

static void
test_guard__notices_another_cluster_after_a_kill(void **state)
{
    struct fixture *fixture = *state;
    const struct store_position cursor = open_and_read(fixture);

    /* as if the file had been written on a cluster that is no more */
    fixture_postgres(fixture)->node.identity.system_identifier = 1;
    assert_int_equal(postgres_node_save(fixture_postgres(fixture), NULL), ERR_OK);
    fixture_kill(fixture);
    fixture_open(fixture);
    assert_stale(fixture, cursor);
    assert_begins_anew(fixture, 3);
}

static void
test_guard__notices_another_database(void **state)
{
    struct fixture *fixture = *state;
    const struct store_position cursor = open_and_read(fixture);

    fixture_close(fixture);
    fixture_run(fixture->other, "UPDATE potik_state SET store_id = gen_random_uuid()");
    fixture_open(fixture);
    assert_int_equal(generation(fixture), 1); /* nothing went back: it is only not ours */
    assert_stale(fixture, cursor);
    assert_begins_anew(fixture, 3);
}

static void
test_guard__notices_a_cursor_that_is_ahead(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = open_and_read(fixture);

    cursor.major += 1000000;
    assert_stale(fixture, cursor);
    cursor.generation++;
    assert_stale(fixture, cursor);
    assert_begins_anew(fixture, 3);
}

static void
test_guard__knows_nothing_of_what_was_derived_without_a_file(void **state)
{
    struct fixture *fixture = *state;
    const struct store_position cursor = open_and_read(fixture);
    char path[FILE_PATH_MAX];

    fixture_close(fixture);
    assert_true(file_path(path, fixture->dir, "postgres-node.json"));
    assert_int_equal(file_unlink(path, NULL), ERR_OK);
    fixture_open(fixture);
    assert_stale(fixture, cursor);
    assert_begins_anew(fixture, 3);
}

/* An insert of the old generation is under way: the new one begins after it, never before. */
static void
test_guard__waits_for_inserts_before_it_raises(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = open_and_read(fixture);
    PGconn *late = fixture_connect(fixture);
    struct diag diag = DIAG_INIT;
    uint32_t numbers[NUMBERS_MAX];

    fixture_close(fixture);
    fixture_run(fixture->other, "UPDATE potik_state SET system_identifier = 1");
    fixture_run(late, "BEGIN");
    fixture_insert(late, 4);
    fixture->config.statement_timeout_ms = 200;
    assert_int_equal(postgres_open(&fixture->config, &fixture->store, &diag), ERR_NOT_READY);
    assert_non_null(strstr(diag.message, "lock"));
    assert_int_equal(generation(fixture), 1);
    fixture_run(late, "COMMIT");
    fixture->config.statement_timeout_ms = 10000;
    fixture_open(fixture);
    assert_int_equal(generation(fixture), 2);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, NUMBERS_MAX), 1);
    assert_int_equal(numbers[0], 4);
}

static void
test_guard__raises_once_for_two_nodes(void **state)
{
    struct fixture *fixture = *state;
    struct postgres_config config;
    struct store *second = NULL;
    void *dir = NULL;

    (void)open_and_read(fixture);
    assert_int_equal(test_dir_setup(&dir), 0);
    config = fixture->config;
    config.data_dir = dir;
    assert_int_equal(postgres_open(&config, &second, NULL), ERR_OK);
    fixture_close(fixture);
    store_close(&second);
    fixture_run(fixture->other, "UPDATE potik_state SET system_identifier = 1");
    fixture_open(fixture);
    assert_int_equal(postgres_open(&config, &second, NULL), ERR_OK);
    assert_int_equal(generation(fixture), 2);
    assert_string_equal(fixture_ask(fixture->other, "SELECT count(*) FROM potik_nodes"), "2");
    store_close(&second);
    assert_int_equal(test_dir_teardown(&dir), 0);
}

/* --- the check of links ---------------------------------------------------------------------- */

static bool
check(struct fixture *fixture)
{
    struct diag diag = DIAG_INIT;
    PGresult *result = NULL;
    bool is_passed = false;

    assert_int_equal(postgres_check_send(fixture_postgres(fixture), fixture->other), 1);
    result = PQgetResult(fixture->other);
    is_passed = postgres_check_passed(fixture_postgres(fixture), result, &diag);
    assert_int_equal(is_passed, diag.message[0] == '\0');
    PQclear(result);
    assert_null(PQgetResult(fixture->other));
    return is_passed;
}

static void
test_check__lets_links_into_the_database_that_passed(void **state)
{
    struct fixture *fixture = *state;
    const struct store_position cursor = open_and_read(fixture);

    assert_true(check(fixture));
    fixture_run(fixture->other, "UPDATE potik_nodes SET counter = counter - 1");
    assert_false(check(fixture));
    assert_true(atomic_load(&fixture_postgres(fixture)->is_check_wanted));
    assert_true(store_wait_after(fixture->store, cursor, 0));
    assert_stale(fixture, cursor); /* the reader looked */
    assert_int_equal(generation(fixture), 2);
    assert_true(check(fixture));
    fixture_run(fixture->other, "TRUNCATE potik_uncrashed"); /* what a crash does */
    assert_false(check(fixture));
    fixture_run(fixture->other, "INSERT INTO potik_uncrashed DEFAULT VALUES");
    assert_true(check(fixture));
    fixture_run(fixture->other, "DELETE FROM potik_nodes");
    assert_false(check(fixture));
}

static void
test_node__is_touched_as_time_goes_by(void **state)
{
    struct fixture *fixture = *state;
    const char *counter = "SELECT counter FROM potik_nodes";
    bool did_work = false;

    (void)open_and_read(fixture);
    assert_string_equal(fixture_ask(fixture->other, "%s", counter), "1");
    clock_fake_move(&fixture->clock, 5 * US_PER_S - 1);
    assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
    assert_string_equal(fixture_ask(fixture->other, "%s", counter), "1");
    clock_fake_move(&fixture->clock, 1);
    assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
    assert_string_equal(fixture_ask(fixture->other, "%s", counter), "2");
    clock_fake_move(&fixture->clock, 60 * US_PER_S - 1); /* nothing was read since */
    assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
    assert_string_equal(fixture_ask(fixture->other, "%s", counter), "2");
    clock_fake_move(&fixture->clock, 1);
    assert_int_equal(store_maintain_fast(fixture->store, &did_work, NULL), ERR_OK);
    assert_string_equal(fixture_ask(fixture->other, "%s", counter), "3");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_with_postgres(test_guard__goes_on_after_a_clean_stop),
        test_with_postgres(test_guard__goes_on_after_a_kill),
        test_with_postgres(test_guard__begins_a_generation_after_a_crash),
        test_with_postgres(test_guard__reads_a_restored_dump_to_its_end),
        test_with_postgres(test_guard__knows_rows_with_xids_not_given_yet),
        test_with_postgres(test_guard__notices_an_older_row_of_its_node),
        test_with_postgres(test_guard__stays_stale_until_reading_begins_anew),
        test_with_postgres(test_guard__is_stale_although_its_file_could_not_be_written),
        test_with_postgres(test_guard__notices_that_it_is_not_known),
        test_with_postgres(test_guard__notices_that_what_it_read_last_is_gone),
        test_with_postgres(test_guard__knows_that_rows_were_erased),
        test_with_postgres(test_guard__notices_what_is_gone_after_an_erasure),
        test_with_postgres(test_reader__passes_over_what_was_erased),
        test_with_postgres(test_guard__counts_again_for_longer_than_a_statement_may_take),
        test_with_postgres(test_guard__trusts_another_timeline_after_a_clean_stop),
        test_with_postgres(test_guard__notices_another_cluster_after_a_kill),
        test_with_postgres(test_guard__notices_another_database),
        test_with_postgres(test_guard__notices_a_cursor_that_is_ahead),
        test_with_postgres(test_guard__knows_nothing_of_what_was_derived_without_a_file),
        test_with_postgres(test_guard__waits_for_inserts_before_it_raises),
        test_with_postgres(test_guard__raises_once_for_two_nodes),
        test_with_postgres(test_check__lets_links_into_the_database_that_passed),
        test_with_postgres(test_node__is_touched_as_time_goes_by),
    };

    fixture_need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
