/*
 * Reading on: the order, late committers, pages, sleeping, and a transaction that holds back.
 */
#include "base/thread.h"
#include "postgres_fixture.h"

static void
test_reader__gives_the_fields_as_they_were_stored(void **state)
{
    struct fixture *fixture = *state;
    struct store_page page;

    fixture_open(fixture);
    fixture_run(
        fixture->other,
        "INSERT INTO events VALUES "
        "(7, 'a', 't', 'ü', NULL, NULL, '2026-01-02 03:04:05.000006+00', "
        "'1970-01-01 00:00:00+00', '{\"a\": [1, {\"b\": 1e2}]}', 1), "
        "(8, 'b', 't', NULL, 'anon', 's', '1999-12-31 23:59:59.999999+00', now(), NULL, 1)");
    assert_int_equal(
        fixture_read_page(fixture, (struct store_position){0}, 10, 1 << 20, &page, NULL), ERR_OK);
    assert_int_equal(page.count, 2);
    assert_int_equal(page.rows[0].event.project_id, 7);
    assert_slice_equal(page.rows[0].event.event_id, "a");
    assert_slice_equal(page.rows[0].event.event_type, "t");
    assert_slice_equal(page.rows[0].event.user_id, "ü");
    assert_null(page.rows[0].event.anonymous_id.ptr);
    assert_null(page.rows[0].event.session_id.ptr);
    assert_slice_equal(page.rows[0].event.properties, "{\"a\": [1, {\"b\": 100}]}");
    assert_int_equal(page.rows[0].event.occurred_at_us, INT64_C(1767323045000006));
    assert_int_equal(page.rows[0].event.received_at_us, 0);
    assert_int_equal(page.rows[0].seq, 0);
    assert_null(page.rows[1].event.user_id.ptr);
    assert_slice_equal(page.rows[1].event.anonymous_id, "anon");
    assert_slice_equal(page.rows[1].event.session_id, "s");
    assert_null(page.rows[1].event.properties.ptr);
    assert_int_equal(page.rows[1].event.occurred_at_us, INT64_C(946684799999999));
    assert_true(page.is_caught_up);
}

static void
test_reader__never_skips_a_late_committer(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = {0};
    uint32_t numbers[16];
    PGconn *late = NULL;

    fixture_open(fixture);
    late = fixture_connect(fixture);
    fixture_insert(fixture->other, 1);
    fixture_run(late, "BEGIN");
    fixture_insert(late, 2); /* has its xid and its seq, and does not commit */
    fixture_insert(fixture->other, 3);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 1);
    assert_int_equal(numbers[0], 1);
    fixture_insert(fixture->other, 4);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 0);
    fixture_run(late, "COMMIT");
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 3);
    assert_int_equal(numbers[0], 2);
    assert_int_equal(numbers[1], 3);
    assert_int_equal(numbers[2], 4);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 0);
}

/* The latest of three is first to commit, the earliest last; each meets the reader in between. */
static void
test_reader__keeps_the_order_of_xids_whatever_the_order_of_commits(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = {0};
    uint32_t numbers[16];
    PGconn *conns[3];

    fixture_open(fixture);
    for (uint32_t i = 0; i < 3; i++) {
        conns[i] = fixture_connect(fixture);
        fixture_run(conns[i], "BEGIN");
        fixture_insert(conns[i], i + 1);
    }
    fixture_run(conns[2], "COMMIT");
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 0);
    fixture_run(conns[1], "ROLLBACK");
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 0);
    fixture_run(conns[0], "COMMIT");
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 2);
    assert_int_equal(numbers[0], 1);
    assert_int_equal(numbers[1], 3);
}

static void
test_reader__cuts_pages_at_the_limit(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t limits[] = {1, 9, 10, 11, 4};
    uint32_t numbers[16];

    fixture_open(fixture);
    fixture_insert_many(fixture->other, 1, 6);
    fixture_insert_many(fixture->other, 7, 4);
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        struct store_position cursor = {0};

        assert_int_equal(fixture_read(fixture, &cursor, limits[i], numbers, 16), 10);
        for (uint32_t k = 0; k < 10; k++)
            assert_int_equal(numbers[k], k + 1);
    }
}

/* More than a slice of 1,024: one less, as many, one more. */
static void
test_reader__gathers_pages_from_slices(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t counts[] = {1023, 1024, 1025, 2047, 2048, 2049};
    struct store_position cursor = {0};
    uint32_t first = 1;

    fixture_open(fixture);
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        struct store_page page;

        fixture_insert_many(fixture->other, first, counts[i]);
        assert_int_equal(fixture_read_page(fixture, cursor, 8192, (size_t)4 << 20, &page, NULL),
                         ERR_OK);
        assert_int_equal(page.count, counts[i]);
        assert_true(page.is_caught_up);
        assert_int_equal(page.rows[0].position.minor, first);
        assert_int_equal(page.rows[counts[i] - 1].position.minor, first + counts[i] - 1);
        cursor = page.next;
        first += counts[i];
    }
}

static void
test_reader__gives_at_least_one_row_however_large(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = {0};
    struct store_page page;

    fixture_open(fixture);
    fixture_run(fixture->other,
                "INSERT INTO events SELECT 1, 'e' || i, 't', 'u', NULL, NULL, now(), now(), "
                "jsonb_build_object('a', repeat('x', 60000)), 1 FROM generate_series(1, 3) AS i");
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(fixture_read_page(fixture, cursor, 10, 100000, &page, NULL), ERR_OK);
        assert_int_equal(page.count, 1);
        cursor = page.next;
    }
    assert_int_equal(fixture_read_page(fixture, cursor, 10, 1, &page, NULL), ERR_OK);
    assert_int_equal(page.count, 0);
    assert_true(page.is_caught_up);
    assert_int_equal(fixture_read_page(fixture, (struct store_position){0}, 10, 1, &page, NULL),
                     ERR_OK);
    assert_int_equal(page.count, 1);
}

static void
test_reader__uses_the_index_without_sorting(void **state)
{
    struct fixture *fixture = *state;
    char plan[4096] = "";
    PGresult *result = NULL;

    fixture_open(fixture);
    fixture_insert_many(fixture->other, 1, 20000);
    PQclear(PQexec(fixture_postgres(fixture)->reader.conn, "ANALYZE events"));
    result = PQexec(fixture_postgres(fixture)->reader.conn,
                    "EXPLAIN EXECUTE page (1, '1000', 5, 1, '2000', 100)");
    assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
    for (int i = 0; i < PQntuples(result); i++)
        strncat(plan, PQgetvalue(result, i, 0), sizeof(plan) - strlen(plan) - 1);
    PQclear(result);
    assert_non_null(strstr(plan, "Index Scan using events_in_commit_order"));
    assert_non_null(strstr(plan, "Index Cond"));
    assert_null(strstr(plan, "Sort"));
    assert_null(strstr(plan, "Filter"));
}

static void
test_reader__wakes_for_a_notice_of_this_node(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = {0};
    uint32_t numbers[16];

    fixture_open(fixture);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 0);
    assert_false(store_wait_after(fixture->store, cursor, 0)); /* nothing is known */
    fixture_insert(fixture->other, 1);
    postgres_note_committed(fixture_postgres(fixture),
                            (struct store_position){cursor.generation, cursor.major + 1, 0});
    assert_true(store_wait_after(fixture->store, cursor, 0));
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 1);
    assert_true(store_position_at_or_before(store_durable(fixture->store), cursor));
    assert_false(store_wait_after(fixture->store, cursor, 0));
}

static void
test_reader__wakes_for_a_notice_of_another_node(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = {0};
    char text[STORE_POSITION_TEXT];
    uint32_t numbers[16];

    fixture_open(fixture);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 0);
    fixture_insert(fixture->other, 1);
    store_position_format((struct store_position){cursor.generation, cursor.major + 1, 0}, text);
    fixture_run(fixture->other, "NOTIFY potik_events, 'not a notice of ours'");
    fixture_run(fixture->other, "NOTIFY potik_events, '00000000-0000-4000-8000-000000000000 %s'",
                text);
    assert_true(store_wait_after(fixture->store, cursor, 10000));
    assert_true(fixture_postgres(fixture)->reader.poll_ns > clock_steady_ns(clock_system()));
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 1);
}

/* Another schema of the same database shares the channel, not the generations. */
static void
test_reader__only_looks_when_another_generation_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = {0};
    uint32_t numbers[16];

    fixture_open(fixture);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 0);
    fixture_run(fixture->other,
                "NOTIFY potik_events, '00000000-0000-4000-8000-000000000000 7.1.0'");
    assert_true(store_wait_after(fixture->store, cursor, 10000));
    assert_int_equal(fixture_postgres(fixture)->reader.poll_ns, 0);
    assert_int_equal(store_durable(fixture->store).generation, 1);
}

/* Anybody in the database may write to the channel: what lies above all that was ever given is not
 * waited for. */
static void
test_reader__forgets_a_position_that_cannot_be(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = {0};
    uint32_t numbers[16];

    fixture_open(fixture);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 0);
    fixture_run(fixture->other,
                "NOTIFY potik_events, '00000000-0000-4000-8000-000000000000 1.ffffffffffff.0'");
    assert_true(store_wait_after(fixture->store, cursor, 10000));
    fixture_insert(fixture->other, 1);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 1);
    assert_true(store_position_at_or_before(store_durable(fixture->store), cursor));
    assert_false(store_wait_after(fixture->store, cursor, 0));
}

static void
test_reader__yields_while_every_link_is_busy(void **state)
{
    struct fixture *fixture = *state;
    struct postgres *store = NULL;
    struct store_page page;

    fixture_open(fixture);
    store = fixture_postgres(fixture);
    clock_fake_move(&fixture->clock,
                    INT64_C(1767323046000000) - clock_wall_us(&fixture->clock.clock));
    fixture_insert_many(fixture->other, 1, 10); /* received at that time */
    atomic_store(&store->links_busy, 2);
    assert_int_equal(fixture_read_page(fixture, (struct store_position){0}, 1, 1000, &page, NULL),
                     ERR_OK);
    assert_false(page.is_caught_up);
    store->reader.yield_ns += NS_PER_S; /* a slow test would sit it out */
    assert_false(store_wait_after(fixture->store, page.next, 0));
    store->reader.yield_ns -= NS_PER_S;
    assert_true(store->reader.yield_ns > store->reader.page_began_ns);
    assert_true(store_wait_after(fixture->store, page.next, 10000)); /* 0.2 s at most */

    atomic_store(&store->links_idle, 1); /* one could take a batch: there is no press */
    assert_int_equal(fixture_read_page(fixture, page.next, 1, 1000, &page, NULL), ERR_OK);
    assert_true(store_wait_after(fixture->store, page.next, 0));

    atomic_store(&store->links_idle, 0);
    clock_fake_move(&fixture->clock, 20 * US_PER_S); /* too old: it is read at once */
    assert_int_equal(fixture_read_page(fixture, page.next, 1, 1000, &page, NULL), ERR_OK);
    assert_true(store_wait_after(fixture->store, page.next, 0));
    clock_fake_move(&fixture->clock, -1);
    assert_int_equal(fixture_read_page(fixture, page.next, 1, 1000, &page, NULL), ERR_OK);
    store->reader.yield_ns += NS_PER_S;
    assert_false(store_wait_after(fixture->store, page.next, 0));
    atomic_store(&store->links_busy, 0);
}

/* Once the reader sleeps where it can be woken, tells it that something was committed. */
static void
tell_when_it_waits(void *arg)
{
    struct postgres *store = arg;
    const int64_t until_ns = clock_steady_ns(clock_system()) + 3 * NS_PER_S / 10;

    while (!atomic_load(&store->notice.is_waiting))
        if (clock_steady_ns(clock_system()) > until_ns)
            return;
    postgres_note_committed(store, (struct store_position){1, UINT32_MAX, 0});
}

static void
test_reader__is_woken_when_it_yields_no_longer(void **state)
{
    struct fixture *fixture = *state;
    struct thread *thread = NULL;
    struct postgres *store = NULL;
    struct store_page page;
    int64_t began_ns = 0;

    fixture_open(fixture);
    store = fixture_postgres(fixture);
    assert_int_equal(fixture_read_page(fixture, (struct store_position){0}, 1, 1000, &page, NULL),
                     ERR_OK);
    assert_true(page.is_caught_up); /* nothing more is looked for within half a second */
    began_ns = clock_steady_ns(clock_system());
    store->reader.yield_ns = began_ns + NS_PER_S / 100;
    assert_int_equal(thread_start("tell", THREAD_NORMAL, tell_when_it_waits, store, &thread, NULL),
                     ERR_OK);
    assert_true(store_wait_after(fixture->store, page.next, 10000));
    thread_join(&thread);
    assert_true(clock_steady_ns(clock_system()) - began_ns < 4 * NS_PER_S / 10);
}

static void
test_reader__looks_without_being_told(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = {0};
    uint32_t numbers[16];

    fixture_open(fixture);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 0);
    fixture_insert(fixture->other, 1);
    assert_true(store_wait_after(fixture->store, cursor, 10000)); /* half a second */
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 1);
}

static void
test_reader__is_woken(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = {0};
    uint32_t numbers[16];

    fixture_open(fixture);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 0);
    store_wake(fixture->store);
    assert_false(store_wait_after(fixture->store, cursor, 0));
}

static void
test_reader__comes_back_after_its_connection_is_lost(void **state)
{
    struct fixture *fixture = *state;
    struct store_position cursor = {0};
    struct diag diag = DIAG_INIT;
    struct store_page page;
    uint32_t numbers[16];

    fixture_open(fixture);
    fixture_insert(fixture->other, 1);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 1);
    fixture_run(fixture->other, "SELECT pg_terminate_backend(%d)",
                PQbackendPID(fixture_postgres(fixture)->reader.conn));
    fixture->sink_lines = 0;
    assert_int_equal(fixture_read_page(fixture, cursor, 10, 1000, &page, &diag), ERR_NOT_READY);
    assert_int_equal(store_is_ready(fixture->store, &diag), ERR_NOT_READY);
    assert_int_equal(fixture->sink_lines, 1);
    assert_string_equal(fixture->sink_last, "store.away");
    assert_int_equal(fixture_read_page(fixture, cursor, 10, 1000, &page, &diag), ERR_NOT_READY);
    fixture_insert(fixture->other, 2);
    assert_true(store_wait_after(fixture->store, cursor, 10000)); /* connects again */
    assert_int_equal(fixture->sink_lines, 2);
    assert_string_equal(fixture->sink_last, "store.back");
    assert_int_equal(store_is_ready(fixture->store, &diag), ERR_OK);
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 1);
    assert_int_equal(numbers[0], 2);
}

static void
test_reader__names_who_holds_it_back(void **state)
{
    struct fixture *fixture = *state;
    struct postgres *store = NULL;
    struct store_position cursor = {0};
    struct store_page page;
    uint32_t numbers[16];
    char pid[32];
    PGconn *late = NULL;

    fixture_open(fixture);
    store = fixture_postgres(fixture);
    late = fixture_connect(fixture);
    fixture_run(late, "SET application_name = 'report'; BEGIN; SELECT pg_current_xact_id()");
    fixture_insert(fixture->other, 1);
    assert_int_equal(fixture_read_page(fixture, cursor, 10, 1000, &page, NULL), ERR_OK);
    assert_int_equal(page.oldest_held_us, 0); /* for less than a second it is nothing unusual */
    assert_string_equal(store->health.warning, "");
    clock_fake_move(&fixture->clock, 10 * US_PER_S);
    fixture->sink_lines = 0;
    for (int i = 0; i < 3; i++)
        assert_int_equal(fixture_read_page(fixture, page.next, 10, 1000, &page, NULL), ERR_OK);
    snprintf(pid, sizeof(pid), "pid %d ", PQbackendPID(late));
    assert_non_null(strstr(store->health.warning, pid));
    assert_non_null(strstr(store->health.warning, "\"report\""));
    assert_int_equal(fixture->sink_lines, 1);
    assert_string_equal(fixture->sink_last, "store.held_back");
    assert_int_equal(page.count, 0);
    assert_int_equal(page.oldest_held_us, INT64_C(1767323046000000));
    fixture_run(late, "COMMIT");
    cursor = page.next;
    assert_int_equal(fixture_read(fixture, &cursor, 10, numbers, 16), 1);
    assert_string_equal(store->health.warning, "");
    assert_int_equal(fixture->sink_lines, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_with_postgres(test_reader__gives_the_fields_as_they_were_stored),
        test_with_postgres(test_reader__never_skips_a_late_committer),
        test_with_postgres(test_reader__keeps_the_order_of_xids_whatever_the_order_of_commits),
        test_with_postgres(test_reader__cuts_pages_at_the_limit),
        test_with_postgres(test_reader__gathers_pages_from_slices),
        test_with_postgres(test_reader__gives_at_least_one_row_however_large),
        test_with_postgres(test_reader__uses_the_index_without_sorting),
        test_with_postgres(test_reader__wakes_for_a_notice_of_this_node),
        test_with_postgres(test_reader__wakes_for_a_notice_of_another_node),
        test_with_postgres(test_reader__only_looks_when_another_generation_is_told),
        test_with_postgres(test_reader__forgets_a_position_that_cannot_be),
        test_with_postgres(test_reader__yields_while_every_link_is_busy),
        test_with_postgres(test_reader__is_woken_when_it_yields_no_longer),
        test_with_postgres(test_reader__looks_without_being_told),
        test_with_postgres(test_reader__is_woken),
        test_with_postgres(test_reader__comes_back_after_its_connection_is_lost),
        test_with_postgres(test_reader__names_who_holds_it_back),
    };

    fixture_need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
