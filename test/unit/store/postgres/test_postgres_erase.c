/*
 * Erasing: which rows go, that their ids stay refused, and what else happens at the same time. Rows
 * come in, and ids are sent again, by real links.
 */
#include "link_fixture.h"

#include "store/postgres/erase_inside.h"
#include <inttypes.h>

#define RECEIVED_US INT64_C(1769817601123456) /* of link_fixture_add */
#define OCCURRED_US INT64_C(1769817600123456)
#define PROJECT 1
#define STEPS_MAX 1000

static struct store_erasure
erasure_of(enum selection_kind kind)
{
    return (struct store_erasure){.selection = {.project_id = PROJECT,
                                                .kind = kind,
                                                .seq_max = UINT64_MAX,
                                                .received_max_us = INT64_MAX}};
}

static struct postgres_erase *
begin(struct link_fixture *fixture, const struct store_erasure *erasure)
{
    struct store_erase *erase = NULL;
    struct diag diag = DIAG_INIT;

    if (store_erase_open(fixture->store, erasure, &erase, &diag) != ERR_OK)
        fail_msg("%s", diag.message);
    return (struct postgres_erase *)erase;
}

static enum err
step(struct postgres_erase *erase, bool *ret_is_done, struct store_erasure_progress *ret_progress)
{
    return store_erase_step(&erase->base, ret_is_done, ret_progress, NULL);
}

static void
end(struct postgres_erase *erase)
{
    struct store_erase *base = &erase->base;

    store_erase_close(&base);
    assert_null(base);
}

/* To the end; the number of events, and of steps that were refused. */
static uint64_t
finish(struct postgres_erase *erase, uint32_t *ret_refused)
{
    struct store_erasure_progress progress = {0};
    bool is_done = false;

    for (uint32_t i = 0; !is_done; i++) {
        assert_true(i < STEPS_MAX);
        if (step(erase, &is_done, &progress) != ERR_OK) {
            assert_non_null(ret_refused);
            ++*ret_refused;
        }
    }
    assert_true(progress.done == progress.total);
    end(erase);
    return progress.events;
}

static uint64_t
run(struct link_fixture *fixture, const struct store_erasure *erasure)
{
    return finish(begin(fixture, erasure), NULL);
}

static void
step_until(struct postgres_erase *erase, enum erase_phase phase)
{
    struct store_erasure_progress progress;
    bool is_done = false;

    for (uint32_t i = 0; erase->phase != phase; i++) {
        assert_true(i < STEPS_MAX && !is_done);
        assert_int_equal(step(erase, &is_done, &progress), ERR_OK);
    }
}

/* Ids prefix0 … of project 1, with a number of 5 digits. */
static void
add_many(struct link_fixture *fixture, int which, const char *prefix, uint32_t count)
{
    link_fixture_clear(fixture, which);
    for (uint32_t i = 0; i < count; i++) {
        char id[24];

        (void)snprintf(id, sizeof(id), "%s%05" PRIu32, prefix, i);
        (void)link_fixture_add(fixture, which, id, false);
    }
}

static void
store_many(struct link_fixture *fixture, const char *prefix, uint32_t count)
{
    add_many(fixture, 0, prefix, count);
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_int_equal(fixture->batches[0].accepted_count, count);
}

/* The batch of link 0 once more: so many are new. */
static uint32_t
again(struct link_fixture *fixture)
{
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    return fixture->batches[0].accepted_count;
}

static int64_t
count(struct link_fixture *fixture)
{
    return link_fixture_sql(fixture, "SELECT count(*) FROM events");
}

static int64_t
count_erased(struct link_fixture *fixture)
{
    return link_fixture_sql(fixture, "SELECT count(*) FROM erased");
}

/* --- which rows ------------------------------------------------------------------------------ */

static void
test_erase__takes_a_person_by_either_field(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_erasure erasure = erasure_of(SELECTION_PERSON);

    link_fixture_wait_ready(fixture);
    link_fixture_clear(fixture, 0);
    link_fixture_add(fixture, 0, "by-user", false)->user_id = SLICE("ann");
    link_fixture_add(fixture, 0, "by-device", false)->anonymous_id = SLICE("ann");
    *link_fixture_add(fixture, 0, "nobody", false) = (struct event){.event_id = SLICE("nobody"),
                                                                    .event_type = SLICE("click"),
                                                                    .occurred_at_us = OCCURRED_US,
                                                                    .received_at_us = RECEIVED_US,
                                                                    .project_id = PROJECT};
    link_fixture_add(fixture, 0, "by-session", false)->session_id = SLICE("ann");
    link_fixture_add(fixture, 0, "longer", false)->user_id = SLICE("anna");
    link_fixture_add(fixture, 0, "larger", false)->user_id = SLICE("Ann");
    link_fixture_add(fixture, 0, "elsewhere", false)->user_id = SLICE("ann");
    fixture->events[0][6].project_id = 2;
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    erasure.selection.person = SLICE("ann");
    assert_int_equal(run(fixture, &erasure), 2);
    assert_int_equal(count(fixture), 5);
    assert_int_equal(link_fixture_sql(fixture, "SELECT count(*) FROM events WHERE event_id IN "
                                               "('by-user', 'by-device')"),
                     0);
    /* Sent again, on either link, they are duplicates; asked for, they are taken. */
    assert_int_equal(again(fixture), 0);
    link_fixture_clear(fixture, 1);
    (void)link_fixture_add(fixture, 1, "by-user", true);
    (void)link_fixture_add(fixture, 1, "never-seen", true);
    assert_int_equal(link_fixture_run(fixture, 1), ERR_OK);
    assert_int_equal(fixture->items[1][0].verdict, STORE_DUPLICATE);
    assert_int_equal(fixture->items[1][1].verdict, STORE_ABSENT);
    assert_int_equal(count(fixture), 5);
    assert_int_equal(run(fixture, &erasure), 0); /* and once more there is nothing to do */
}

/* From is within, to is not; the bound is. */
static void
test_erase__keeps_to_its_times(void **state)
{
    struct link_fixture *fixture = *state;
    const enum selection_kind kinds[] = {SELECTION_RECEIVED, SELECTION_OCCURRED};

    link_fixture_wait_ready(fixture);
    for (int kind = 0; kind < 2; kind++) {
        struct store_erasure erasure = erasure_of(kinds[kind]);

        link_fixture_clear(fixture, 0);
        for (int64_t i = 0; i < 6; i++) {
            struct event *event = NULL;
            char id[24];

            (void)snprintf(id, sizeof(id), "%d-%" PRId64, kind, i);
            event = link_fixture_add(fixture, 0, id, false);
            *(kind == 0 ? &event->received_at_us : &event->occurred_at_us) = 1000000 + i;
        }
        assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
        erasure.is_dry_run = true;
        erasure.selection.from_us = INT64_MIN;
        erasure.selection.to_us = INT64_MAX;
        assert_int_equal(run(fixture, &erasure), 6 + (kind == 1) * 4);
        erasure.is_dry_run = false;
        erasure.selection.from_us = 1000002;
        erasure.selection.to_us = 1000004;
        assert_int_equal(run(fixture, &erasure), 2);
        assert_int_equal(link_fixture_sql(fixture,
                                          "SELECT count(*) FROM events WHERE event_id IN "
                                          "('%d-0', '%d-1', '%d-4', '%d-5')",
                                          kind, kind, kind, kind),
                         4);
    }
}

static void
test_erase__leaves_what_was_received_after_its_bound(void **state)
{
    struct link_fixture *fixture = *state;
    struct slice ids[] = {SLICE("a0"), SLICE("a1"), SLICE("a2")};
    struct store_erasure erasure = erasure_of(SELECTION_ALL);

    link_fixture_wait_ready(fixture);
    for (int kind = 0; kind < 2; kind++) {
        link_fixture_clear(fixture, 0);
        for (int64_t i = 0; i < 3; i++) {
            char id[24];

            (void)snprintf(id, sizeof(id), "a%" PRId64, i);
            link_fixture_add(fixture, 0, id, false)->received_at_us = RECEIVED_US - 1 + i;
        }
        assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
        erasure.frees_ids = true;
        erasure.selection.received_max_us = RECEIVED_US;
        if (kind == 1) {
            erasure.selection.kind = SELECTION_IDS;
            erasure.selection.ids = ids;
            erasure.selection.id_count = COUNT_OF(ids);
        }
        assert_int_equal(run(fixture, &erasure), 2);
        assert_int_equal(
            link_fixture_sql(fixture, "SELECT count(*) FROM events WHERE event_id = 'a2'"), 1);
    }
}

/* As many as a statement asks for, one less, one more; some are not stored. */
static void
test_erase__takes_given_ids(void **state)
{
    struct link_fixture *fixture = *state;
    const uint32_t counts[] = {1, 999, 1000, 1001, 2001};
    struct store_erasure erasure = erasure_of(SELECTION_IDS);
    struct slice *ids = MEM_NEW(struct slice, 2 * LINK_FIXTURE_EVENTS);

    assert_non_null(ids);
    link_fixture_wait_ready(fixture);
    erasure.selection.ids = ids;
    for (uint32_t i = 0; i < COUNT_OF(counts); i++) {
        char prefix[2] = {(char)('a' + (char)i), 0};

        store_many(fixture, prefix, counts[i] + 3);
        for (uint32_t j = 0; j < counts[i]; j++)
            ids[j] = fixture->events[0][j + 1].event_id;
        ids[counts[i]] = SLICE("never-stored");
        erasure.selection.id_count = selection_sort_ids(ids, counts[i] + 1);
        assert_int_equal(run(fixture, &erasure), counts[i]);
        assert_int_equal(link_fixture_sql(fixture,
                                          "SELECT count(*) FROM events WHERE event_id LIKE '%s%%'",
                                          prefix),
                         3);
        assert_int_equal(again(fixture), 0);
    }
    mem_free(ids);
}

/* More than two pages, of a project among others. */
static void
test_erase__takes_a_project_in_pages(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_erasure erasure = erasure_of(SELECTION_ALL);

    link_fixture_wait_ready(fixture);
    (void)link_fixture_sql(
        fixture, "INSERT INTO events (project_id, event_id, event_type, occurred_at, received_at, "
                 "generation) SELECT 1 + i %% 2, 'e' || i, 'x', now(), now(), 1 FROM "
                 "generate_series(1, 50002) AS i");
    store_many(fixture, "k", 10); /* the last of them must be among those erased */
    assert_int_equal(run(fixture, &erasure), 25001 + 10);
    assert_int_equal(count(fixture), 25001);
    assert_int_equal(count_erased(fixture), 25001 + 10);
    assert_int_equal(again(fixture), 0);
    assert_int_equal(link_fixture_sql(fixture, "SELECT erasures FROM potik_state"), 3);
}

static void
test_erase__only_counts_when_dry(void **state)
{
    struct link_fixture *fixture = *state;
    struct slice ids[] = {SLICE("a00000"), SLICE("b"), SLICE("a00002")};
    struct store_erasure erasure = erasure_of(SELECTION_ALL);

    link_fixture_wait_ready(fixture);
    store_many(fixture, "a", 10001);
    erasure.is_dry_run = true;
    erasure.frees_ids = true;
    assert_int_equal(run(fixture, &erasure), 10001);
    erasure.selection.kind = SELECTION_PERSON;
    erasure.selection.person = SLICE("user-1");
    assert_int_equal(run(fixture, &erasure), 10001);
    erasure.selection.person = SLICE("user-2");
    assert_int_equal(run(fixture, &erasure), 0);
    erasure.selection.kind = SELECTION_IDS;
    erasure.selection.ids = ids;
    erasure.selection.id_count = selection_sort_ids(ids, 3);
    assert_int_equal(run(fixture, &erasure), 2);
    assert_int_equal(count(fixture), 10001);
    assert_int_equal(count_erased(fixture), 0);
    assert_int_equal(link_fixture_sql(fixture, "SELECT erasures FROM potik_state"), 0);
}

/* --- ids that are freed ---------------------------------------------------------------------- */

static void
test_erase__frees_ids_to_be_stored_again(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_erasure erasure = erasure_of(SELECTION_PERSON);

    link_fixture_wait_ready(fixture);
    store_many(fixture, "a", 5);
    erasure.selection.person = SLICE("user-1");
    erasure.frees_ids = true;
    assert_int_equal(run(fixture, &erasure), 5);
    assert_int_equal(count_erased(fixture), 0);
    assert_int_equal(again(fixture), 5);
    /* What was refused before stays so. */
    erasure.frees_ids = false;
    assert_int_equal(run(fixture, &erasure), 5);
    erasure.frees_ids = true;
    assert_int_equal(run(fixture, &erasure), 0);
    assert_int_equal(count_erased(fixture), 5);
    assert_int_equal(again(fixture), 0);
}

static void
test_erase__frees_all_ids_of_a_project(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_erasure erasure = erasure_of(SELECTION_ALL);

    link_fixture_wait_ready(fixture);
    store_many(fixture, "a", 10000);
    assert_int_equal(run(fixture, &erasure), 10000);
    (void)link_fixture_sql(fixture, "INSERT INTO erased SELECT 1, int4send(i) FROM "
                                    "generate_series(1, 10001) AS i; "
                                    "INSERT INTO erased VALUES (2, 'x'), (0, 'x')");
    assert_int_equal(again(fixture), 0);
    erasure.frees_ids = true;
    assert_int_equal(run(fixture, &erasure), 0);
    assert_int_equal(count_erased(fixture), 2);
    assert_int_equal(again(fixture), 10000);
}

/* --- at the same time ------------------------------------------------------------------------ */

/* A link's batch is under way, with its snapshot taken, behind an id that another transaction
 * holds. It is a late retry of an event that is being erased. */
static void
test_erase__waits_for_a_retry_under_way(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_erasure erasure = erasure_of(SELECTION_PERSON);
    struct store_erasure_progress progress;
    struct postgres_erase *erase = NULL;
    bool is_done = false;

    link_fixture_wait_ready(fixture);
    store_many(fixture, "victim", 1);
    erasure.selection.person = SLICE("user-1");
    erase = begin(fixture, &erasure);
    (void)link_fixture_sql(fixture,
                           "BEGIN; INSERT INTO events (project_id, event_id, event_type, "
                           "occurred_at, received_at, generation) VALUES (1, 'held', 'x', now(), "
                           "now(), 1)");
    link_fixture_clear(fixture, 1);
    (void)link_fixture_add(fixture, 1, "held", false);
    (void)link_fixture_add(fixture, 1, "victim00000", false);
    link_fixture_submit(fixture, 1);
    link_fixture_sql_until(fixture, 1,
                           "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN "
                           "(SELECT pid FROM pg_stat_activity WHERE application_name = "
                           "current_schema())");
    step_until(erase, ERASE_WAIT);
    assert_int_equal(step(erase, &is_done, &progress), ERR_OK);
    assert_false(is_done);
    assert_int_equal(erase->phase, ERASE_WAIT);
    assert_int_equal(progress.events, 0);
    (void)link_fixture_sql(fixture, "ROLLBACK");
    link_fixture_wait(fixture, 1);
    assert_int_equal(fixture->batches[1].err, ERR_OK);
    assert_int_equal(fixture->items[1][0].verdict, STORE_ACCEPTED);
    assert_int_equal(fixture->items[1][1].verdict, STORE_DUPLICATE);
    assert_int_equal(finish(erase, NULL), 1);
    assert_int_equal(count(fixture), 1);
    assert_int_equal(
        link_fixture_sql(fixture, "SELECT count(*) FROM events WHERE event_id LIKE 'victim%%'"), 0);
}

/* The same of a statement that has its snapshot but no xid yet: no snapshot's xmin tells of it. */
static void
test_erase__waits_for_a_statement_without_an_xid(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_erasure erasure = erasure_of(SELECTION_PERSON);
    struct store_erasure_progress progress;
    struct postgres_erase *erase = NULL;
    PGconn *late = PQconnectdb(fixture->url);
    PGresult *result = NULL;
    bool is_done = false;

    link_fixture_wait_ready(fixture);
    store_many(fixture, "victim", 1);
    erasure.selection.person = SLICE("user-1");
    (void)link_fixture_sql(fixture, "SELECT pg_advisory_lock(4711)");
    assert_int_equal(
        PQsendQuery(late, "INSERT INTO events (project_id, event_id, event_type, occurred_at, "
                          "received_at, generation) SELECT 1, 'victim00000', 'x', now(), now(), 1 "
                          "FROM (SELECT pg_advisory_xact_lock(4711) OFFSET 0) AS pause "
                          "WHERE NOT EXISTS (SELECT FROM erased) ON CONFLICT DO NOTHING"),
        1);
    link_fixture_sql_until(fixture, 1,
                           "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
                           "AND objid = 4711 AND NOT granted");
    erase = begin(fixture, &erasure);
    step_until(erase, ERASE_WAIT);
    assert_int_equal(step(erase, &is_done, &progress), ERR_OK);
    assert_int_equal(erase->phase, ERASE_WAIT);
    (void)link_fixture_sql(fixture, "SELECT pg_advisory_unlock(4711)");
    result = PQgetResult(late);
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    assert_string_equal(PQcmdTuples(result), "0");
    PQclear(result);
    assert_null(PQgetResult(late));
    PQfinish(late);
    assert_int_equal(finish(erase, NULL), 1);
    assert_int_equal(count(fixture), 0);
}

/* A transaction that wrote elsewhere, and one that only reads events, hold nothing up. */
static void
test_erase__waits_for_nobody_else(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_erasure erasure = erasure_of(SELECTION_ALL);

    link_fixture_wait_ready(fixture);
    store_many(fixture, "a", 3);
    (void)link_fixture_sql(fixture, "BEGIN; CREATE TABLE elsewhere (i int); SELECT * FROM events");
    assert_int_equal(run(fixture, &erasure), 3);
    (void)link_fixture_sql(fixture, "ROLLBACK");
}

/* Two links send the same ids over and over while they are erased: none is undone. */
static void
test_erase__meets_no_deadlock_with_links(void **state)
{
    struct link_fixture *fixture = *state;
    const char *deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = "
                            "current_database()";
    struct store_erasure erasure = erasure_of(SELECTION_PERSON);
    const int64_t before = link_fixture_sql(fixture, "%s", deadlocks);
    uint64_t erased = 0;
    uint64_t accepted = 0;

    erasure.selection.person = SLICE("user-1");
    erasure.frees_ids = true;
    link_fixture_wait_ready(fixture);
    for (int round = 0; round < 20; round++) {
        add_many(fixture, 0, "a", 2000);
        add_many(fixture, 1, "a", 2000);
        link_fixture_submit(fixture, 0);
        link_fixture_submit(fixture, 1);
        erased += run(fixture, &erasure);
        for (int which = 0; which < 2; which++) {
            link_fixture_wait(fixture, which);
            assert_int_equal(fixture->batches[which].err, ERR_OK);
            accepted += fixture->batches[which].accepted_count;
        }
    }
    assert_int_equal(count(fixture), accepted - erased);
    accepted += again(fixture);
    erasure.frees_ids = false;
    erased += run(fixture, &erasure);
    assert_int_equal(erased, accepted);
    assert_int_equal(again(fixture), 0);
    assert_int_equal(link_fixture_sql(fixture, "%s", deadlocks), before);
}

/* --- faults ---------------------------------------------------------------------------------- */

static void
end_backend(struct link_fixture *fixture, struct postgres_erase *erase)
{
    char sql[128];

    (void)link_fixture_sql(fixture, "SELECT pg_terminate_backend(%d)", PQbackendPID(erase->conn));
    (void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM pg_stat_activity WHERE pid = %d",
                   PQbackendPID(erase->conn));
    link_fixture_sql_until(fixture, 0, sql);
}

static void
test_erase__goes_on_after_a_lost_connection_in_each_phase(void **state)
{
    struct link_fixture *fixture = *state;
    const enum erase_phase phases[] = {ERASE_GATHER, ERASE_MARK, ERASE_WAIT, ERASE_DELETE,
                                       ERASE_VACUUM};
    struct store_erasure erasure = erasure_of(SELECTION_PERSON);
    const int64_t total = 8;

    erasure.selection.person = SLICE("user-1");
    link_fixture_wait_ready(fixture);
    for (uint32_t i = 0; i < COUNT_OF(phases); i++) {
        char prefix[2] = {(char)('a' + (char)i), 0};
        struct postgres_erase *erase = NULL;
        uint32_t refused = 0;

        store_many(fixture, prefix, (uint32_t)total);
        erase = begin(fixture, &erasure);
        if (phases[i] == ERASE_DELETE) { /* which follows the wait within a step's call */
            step_until(erase, ERASE_WAIT);
            erase->phase = ERASE_DELETE;
        }
        step_until(erase, phases[i]);
        end_backend(fixture, erase);
        assert_int_equal(finish(erase, &refused), total);
        assert_int_equal(refused, phases[i] == ERASE_VACUUM ? 0 : 1);
        assert_int_equal(count(fixture), 0);
        assert_int_equal(again(fixture), 0);
    }
}

/* The process ends between mark and delete: what is refused stands, until it is begun again. */
static void
test_erase__begins_again_where_rows_are_marked(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_erasure erasure = erasure_of(SELECTION_ALL);
    struct postgres_erase *erase = NULL;

    link_fixture_wait_ready(fixture);
    store_many(fixture, "a", 4);
    erase = begin(fixture, &erasure);
    step_until(erase, ERASE_WAIT);
    end(erase);
    assert_int_equal(count(fixture), 4);
    assert_int_equal(count_erased(fixture), 4);
    assert_int_equal(again(fixture), 0);
    assert_int_equal(run(fixture, &erasure), 4);
    assert_int_equal(count_erased(fixture), 4);
    assert_int_equal(again(fixture), 0);
}

/* The answer of a DELETE is lost after it was done: its rows count all the same. */
static void
test_erase__counts_rows_whose_answer_was_lost(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_erasure erasure = erasure_of(SELECTION_ALL);
    struct postgres_erase *erase = NULL;

    link_fixture_wait_ready(fixture);
    store_many(fixture, "a", 4);
    erase = begin(fixture, &erasure);
    step_until(erase, ERASE_WAIT);
    erase->unsure = 4;
    (void)link_fixture_sql(fixture, "DELETE FROM events");
    assert_int_equal(finish(erase, NULL), 4);
}

/* A statement that is not let through in time is asked for less the next time. */
static void
test_erase__asks_for_less_where_a_statement_takes_too_long(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_erasure erasure = erasure_of(SELECTION_ALL);
    struct store_erasure_progress progress;
    struct postgres_erase *erase = NULL;
    struct diag diag = DIAG_INIT;
    int pid = 0;
    bool is_done = false;

    link_fixture_wait_ready(fixture);
    store_many(fixture, "a", 6000);
    erase = begin(fixture, &erasure);
    step_until(erase, ERASE_WAIT);
    pid = PQbackendPID(erase->conn);
    (void)link_fixture_sql(fixture, "BEGIN; LOCK TABLE events IN SHARE MODE");
    erase->phase = ERASE_DELETE;
    assert_int_equal(store_erase_step(&erase->base, &is_done, &progress, &diag), ERR_NOT_READY);
    assert_non_null(strstr(diag.message, "lock"));
    assert_int_equal(erase->rows_max, ERASE_PAGE_ROWS / 2);
    assert_int_equal(PQbackendPID(erase->conn), pid); /* the connection is whole */
    (void)link_fixture_sql(fixture, "COMMIT");
    assert_int_equal(finish(erase, NULL), 6000);
    assert_int_equal(link_fixture_sql(fixture, "SELECT erasures FROM potik_state"), 2);
}

static void
test_erase__says_that_the_server_is_away(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_erasure erasure = erasure_of(SELECTION_ALL);
    struct selection selection = erasure.selection;
    struct store_position position;
    struct store_erase *erase = NULL;
    struct diag diag = DIAG_INIT;

    (void)link_fixture_sql(fixture, "ALTER TABLE potik_state RENAME TO away");
    assert_int_equal(store_erase_open(fixture->store, &erasure, &erase, &diag), ERR_NOT_READY);
    assert_null(erase);
    assert_string_not_equal(diag.message, "");
    assert_int_equal(store_erase_bound(fixture->store, &selection, &position, &diag),
                     ERR_NOT_READY);
    (void)link_fixture_sql(fixture, "ALTER TABLE away RENAME TO potik_state");
    store_erase_close(&erase); /* takes NULL */
}

/* --- the bound ------------------------------------------------------------------------------- */

static void
test_erase_bound__covers_what_another_clock_received(void **state)
{
    struct link_fixture *fixture = *state;
    struct selection selection = erasure_of(SELECTION_ALL).selection;
    const int64_t began_us = clock_wall_us(clock_system());
    const int64_t ahead_us = began_us + INT64_C(3600) * US_PER_S;
    struct store_position position = {0};

    link_fixture_wait_ready(fixture);
    store_many(fixture, "a", 3);
    assert_int_equal(store_erase_bound(fixture->store, &selection, &position, NULL), ERR_OK);
    assert_true(selection.seq_max == UINT64_MAX);
    assert_true(selection.received_max_us >= began_us &&
                selection.received_max_us <= clock_wall_us(clock_system()));
    assert_true(store_position_at_or_before(fixture->batches[0].position, position));
    assert_true(store_position_at_or_before(position, store_durable(fixture->store)));
    link_fixture_clear(fixture, 0);
    link_fixture_add(fixture, 0, "ahead", false)->received_at_us = ahead_us;
    assert_int_equal(link_fixture_run(fixture, 0), ERR_OK);
    assert_int_equal(store_erase_bound(fixture->store, &selection, &position, NULL), ERR_OK);
    assert_true(selection.received_max_us == ahead_us);
    assert_true(store_position_at_or_before(fixture->batches[0].position, position));
    /* of a time that is over nothing can be ahead */
    selection.kind = SELECTION_RECEIVED;
    selection.from_us = 0;
    selection.to_us = began_us;
    assert_int_equal(store_erase_bound(fixture->store, &selection, &position, NULL), ERR_OK);
    assert_true(selection.received_max_us < ahead_us);
    selection.to_us = ahead_us;
    assert_int_equal(store_erase_bound(fixture->store, &selection, &position, NULL), ERR_OK);
    assert_true(selection.received_max_us == ahead_us);
}

/* --- the rest -------------------------------------------------------------------------------- */

static void
test_erase__vacuums_at_its_end(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_erasure erasure = erasure_of(SELECTION_ALL);

    link_fixture_wait_ready(fixture);
    assert_int_equal(run(fixture, &erasure), 0); /* nothing erased: no need */
    store_many(fixture, "a", 5);
    assert_int_equal(run(fixture, &erasure), 5);
    link_fixture_sql_until(fixture, 1,
                           "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'events' "
                           "AND schemaname = current_schema()");
    assert_null(strstr(fixture->log, "store.erase_vacuum"));
}

static void
test_erase__only_logs_that_it_could_not_vacuum(void **state)
{
    struct link_fixture *fixture = *state;
    struct store_erasure erasure = erasure_of(SELECTION_ALL);
    struct postgres_erase *erase = NULL;

    link_fixture_wait_ready(fixture);
    store_many(fixture, "a", 5);
    erase = begin(fixture, &erasure);
    step_until(erase, ERASE_VACUUM);
    (void)link_fixture_sql(fixture, "BEGIN; LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE");
    assert_int_equal(finish(erase, NULL), 5); /* after --store-timeout's part for locks */
    (void)link_fixture_sql(fixture, "COMMIT");
    assert_non_null(strstr(fixture->log, "store.erase_vacuum"));
}

static void
test_erase__cancels_its_vacuum_when_closed(void **state)
{
    struct link_fixture *fixture = *state;
    const char *running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%VACUUM (TRUNC%'"
                          " AND state = 'active' AND pid <> pg_backend_pid()";
    struct store_erasure erasure = erasure_of(SELECTION_ALL);
    struct store_erasure_progress progress;
    struct postgres_erase *erase = NULL;
    bool is_done = false;

    link_fixture_wait_ready(fixture);
    store_many(fixture, "a", 5);
    ((struct postgres *)fixture->store)->session.lock_timeout_ms = 0; /* it would wait for ever */
    erase = begin(fixture, &erasure);
    step_until(erase, ERASE_VACUUM);
    (void)link_fixture_sql(fixture, "BEGIN; LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE");
    assert_int_equal(step(erase, &is_done, &progress), ERR_OK);
    assert_false(is_done);
    assert_int_equal(link_fixture_sql(fixture, "%s", running), 1);
    end(erase);
    (void)link_fixture_sql(fixture, "SELECT pg_stat_clear_snapshot()");
    for (int64_t until = clock_steady_ns(clock_system()) + 10 * NS_PER_S;
         link_fixture_sql(fixture, "SELECT pg_stat_clear_snapshot(); %s", running) != 0;)
        assert_true(clock_steady_ns(clock_system()) < until);
    (void)link_fixture_sql(fixture, "COMMIT");
}

#define test_with_link(function)                                                                   \
    cmocka_unit_test_setup_teardown(function, link_fixture_setup, link_fixture_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_with_link(test_erase__takes_a_person_by_either_field),
        test_with_link(test_erase__keeps_to_its_times),
        test_with_link(test_erase__leaves_what_was_received_after_its_bound),
        test_with_link(test_erase__takes_given_ids),
        test_with_link(test_erase__takes_a_project_in_pages),
        test_with_link(test_erase__only_counts_when_dry),
        test_with_link(test_erase__frees_ids_to_be_stored_again),
        test_with_link(test_erase__frees_all_ids_of_a_project),
        test_with_link(test_erase__waits_for_a_retry_under_way),
        test_with_link(test_erase__waits_for_a_statement_without_an_xid),
        test_with_link(test_erase__waits_for_nobody_else),
        test_with_link(test_erase__meets_no_deadlock_with_links),
        test_with_link(test_erase__goes_on_after_a_lost_connection_in_each_phase),
        test_with_link(test_erase__begins_again_where_rows_are_marked),
        test_with_link(test_erase__counts_rows_whose_answer_was_lost),
        test_with_link(test_erase__asks_for_less_where_a_statement_takes_too_long),
        test_with_link(test_erase__says_that_the_server_is_away),
        test_with_link(test_erase_bound__covers_what_another_clock_received),
        test_with_link(test_erase__vacuums_at_its_end),
        test_with_link(test_erase__only_logs_that_it_could_not_vacuum),
        test_with_link(test_erase__cancels_its_vacuum_when_closed),
    };

    link_fixture_need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
