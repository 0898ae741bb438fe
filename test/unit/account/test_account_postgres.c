/*
 * Units of account/postgres: the contract on PostgreSQL, and what only a server can do. Each test
 * has a schema of its own; without POTIK_TEST_POSTGRES_URL: exit 77.
 */
#include "contract.h"

#include "../store/postgres/postgres_fixture.h"
#include "account/erasure.h"
#include "base/thread.h"
#include <poll.h>

static struct account_config
config_of(void **state)
{
    const struct fixture *fixture = (const struct fixture *)*state;
    static char url[1200];

    (void)snprintf(url, sizeof(url), "%s&application_name=%s", fixture->url, fixture->schema);
    return (struct account_config){.postgres_url = url,
                                   .connect_timeout_ms = 5000,
                                   .statement_timeout_ms = 10000,
                                   .clock = &fake.clock,
                                   .random = random_system()};
}

static struct account *
open_account(void **state, uint64_t seed)
{
    static struct random_source random[4];
    static size_t next;
    struct account_config config = config_of(state);
    struct account *account = NULL;
    struct diag diag = DIAG_INIT;

    clock_fake_init(&fake, 1000);
    if (seed != 0) {
        config.random = &random[next++ % 4];
        random_seeded_init(config.random, seed);
    }
    if (account_open(&config, &account, &diag) != ERR_OK)
        fail_msg("%s", diag.message);
    return account;
}

static void
add_keys(void **state, uint32_t count)
{
    fixture_run(((struct fixture *)*state)->other,
                "INSERT INTO keys (project_id, kind, name, hash, last4, created_at) "
                "SELECT 1, 'read', 'n', sha256(i::text::bytea), 'abcd', now() "
                "FROM generate_series(1, %u) AS i",
                count);
}

static bool
holds(void **state, const void *bytes, size_t len)
{
    char digits[2 * 64 + 1];

    assert_true(len <= 64);
    for (size_t i = 0; i < len; i++)
        (void)snprintf(digits + 2 * i, 3, "%02x", ((const unsigned char *)bytes)[i]);
    return strcmp(
               fixture_ask(
                   ((struct fixture *)*state)->other,
                   "SELECT count(*) > 0 FROM (SELECT convert_to(keys::text, 'UTF8') || hash AS row "
                   "FROM keys UNION ALL SELECT convert_to(t::text, 'UTF8') || hash FROM "
                   "refresh_tokens AS t UNION ALL SELECT convert_to(e::text, 'UTF8') FROM "
                   "erasures AS e UNION ALL SELECT ids FROM erasure_ids) AS all_rows "
                   "WHERE position('\\x%s'::bytea IN row) > 0",
                   digits),
               "t") == 0;
}

static void
add_erasures(void **state, uint32_t count)
{
    fixture_run(((struct fixture *)*state)->other,
                "INSERT INTO erasures (project_id, reason, kind, state, frees_ids, is_dry_run, "
                "requested_at) SELECT 1, 'undo', 'all', 'waiting', false, false, now() "
                "FROM generate_series(1, %u) AS i",
                count);
}

static bool
refuses(void **state, const char *sql)
{
    PGresult *result = PQexec(((struct fixture *)*state)->other, sql);
    bool is_refused = PQresultStatus(result) != PGRES_COMMAND_OK;

    PQclear(result);
    return is_refused;
}

const struct home home = {open_account, add_keys, holds, add_erasures, refuses};

static int
setup(void **state)
{
    struct diag diag = DIAG_INIT;

    if (fixture_setup(state) != 0)
        return -1;
    fixture_run(((struct fixture *)*state)->other, "SET search_path = %s",
                ((struct fixture *)*state)->schema);
    if (postgres_migrate(((struct fixture *)*state)->url, 5000, false, NULL, NULL, &diag) != ERR_OK)
        fail_msg("%s", diag.message);
    return 0;
}
#define test_migrated(function) cmocka_unit_test_setup_teardown(function, setup, fixture_teardown)

static void
test_account_postgres__says_that_tables_are_missing(void **state)
{
    const struct account_config config = config_of(state);
    struct account *account = NULL;
    struct diag diag = DIAG_INIT;

    assert_int_equal(account_open(&config, &account, &diag), ERR_ABSENT);
    assert_null(account);
    assert_non_null(strstr(diag.message, "potik migrate"));
    assert_null(strstr(diag.message, "to ken"));
}

static void
test_account_postgres__refuses_a_bad_url(void **state)
{
    struct account_config config = config_of(state);
    struct account *account = NULL;
    struct diag diag = DIAG_INIT;

    config.postgres_url = "postgres://u:sesame@h:port/x";
    assert_int_equal(account_open(&config, &account, &diag), ERR_INVALID);
    assert_null(strstr(diag.message, "sesame"));
    config.postgres_url = "postgres://u:sesame@127.0.0.1:1/x";
    assert_int_equal(account_open(&config, &account, &diag), ERR_NOT_READY);
    assert_null(strstr(diag.message, "sesame"));
    assert_null(account);
}

static void
count_changes(struct account *account, int64_t limit_ms, int *ret_changes)
{
    int64_t until = clock_steady_ns(clock_system()) + limit_ms * 1000000;

    *ret_changes = 0;
    while (*ret_changes == 0 && clock_steady_ns(clock_system()) < until) {
        bool has_changed = false;
        enum err err = account_has_changed(account, &has_changed, NULL);

        *ret_changes += err == ERR_OK && has_changed;
        (void)poll(NULL, 0, 10);
    }
}

/* Where triggers are off nobody is told: noticed by the look every 5 s. */
static void
test_account_postgres__notices_what_is_changed_by_hand(void **state)
{
    struct fixture *fixture = (struct fixture *)*state;
    struct account *account;
    int changes;

    fixture_run(fixture->other, "INSERT INTO projects VALUES (1, 'default', 'UTC', now())");
    add_keys(state, 2);
    account = open_account(state, 0);
    fixture_run(fixture->other, "ALTER TABLE keys DISABLE TRIGGER potik_tell");
    fixture_run(fixture->other, "UPDATE keys SET revoked_at = now() WHERE id = 1");
    count_changes(account, 20000, &changes);
    assert_int_equal(changes, 1);
    account_close(&account);
}

/* Its connections are ended: one error, no more; what was changed meanwhile is seen. */
static void
test_account_postgres__comes_back_after_the_server_was_away(void **state)
{
    struct fixture *fixture = (struct fixture *)*state;
    struct account *account, *other;
    struct account_list list;
    struct account_key key;
    struct diag diag = DIAG_INIT;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];
    bool has_changed;
    int changes;

    fixture_run(fixture->other, "INSERT INTO projects VALUES (1, 'default', 'UTC', now())");
    account = open_account(state, 0);
    other = open_account(state, 0);
    assert_int_equal(account_has_changed(account, &has_changed, NULL), ERR_OK);
    /* `other`'s connection goes, too: its first call fails, the next one connects */
    fixture_run(
        fixture->other,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s'",
        fixture->schema);
    for (int i = 0; i < 1000 && strcmp(fixture_ask(fixture->other,
                                                   "SELECT count(*) FROM pg_stat_activity WHERE "
                                                   "application_name = '%s'",
                                                   fixture->schema),
                                       "0") != 0;
         i++)
        (void)poll(NULL, 0, 10);
    assert_int_equal(account_list(other, &list, &diag), ERR_NOT_READY);
    assert_true(diag.message[0] != '\0');
    assert_int_equal(account_key_new(other, &nobody, 1, ACCOUNT_KEY_READ, "n", 0, text, &key, NULL),
                     ERR_OK);
    count_changes(account, 20000, &changes);
    assert_int_equal(changes, 1);
    assert_int_equal(account_list(account, &list, NULL), ERR_OK);
    assert_int_equal(list.key_count, 1);
    account_list_free(&list);
    account_close(&account);
    account_close(&other);
}

/* A table that somebody holds: an error within the deadline, and nothing of it stays. */
static void
test_account_postgres__does_not_wait_for_ever(void **state)
{
    struct fixture *fixture = (struct fixture *)*state;
    struct account_config config = config_of(state);
    struct account *account = NULL;
    struct account_list list;
    struct account_key key;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];

    fixture_run(fixture->other, "INSERT INTO projects VALUES (1, 'default', 'UTC', now())");
    config.statement_timeout_ms = 300;
    assert_int_equal(account_open(&config, &account, NULL), ERR_OK);
    fixture_run(fixture->other, "BEGIN; LOCK TABLE keys IN SHARE ROW EXCLUSIVE MODE");
    assert_int_not_equal(
        account_key_new(account, &nobody, 1, ACCOUNT_KEY_READ, "n", 0, text, &key, NULL), ERR_OK);
    assert_int_equal(account_list(account, &list, NULL), ERR_OK); /* reading goes on */
    assert_int_equal(list.key_count, 0);
    account_list_free(&list);
    fixture_run(fixture->other, "ROLLBACK");
    assert_int_equal(
        account_key_new(account, &nobody, 1, ACCOUNT_KEY_READ, "n", 0, text, &key, NULL), ERR_OK);
    account_close(&account);
}

#define NODE_A "00000000-0000-4000-8000-00000000000a"
#define NODE_B "00000000-0000-4000-8000-00000000000b"
#define NODE_C "00000000-0000-4000-8000-00000000000c"

static void
add_node(struct fixture *fixture, const char *node, const char *seen_ago)
{
    fixture_run(fixture->other,
                "INSERT INTO potik_nodes (node, host, cursor_generation, cursor_xid, cursor_seq, "
                "counter, seen_at) VALUES ('%s', 'h', 1, '0', 0, 1, now() - interval '%s')",
                node, seen_ago);
}

/* One erasure of a person, and two nodes that have taken it before either began. */
static void
take_twice(struct fixture *fixture, struct account *account, struct erasure *ret_jobs[2])
{
    const struct erasure wanted = {
        .reason = ERASURE_PERSON,
        .selection = {.project_id = 1, .kind = SELECTION_PERSON, .person = SLICE("a-person")}};
    uint64_t id = 0;

    fixture_run(fixture->other, "INSERT INTO projects VALUES (1, 'default', 'UTC', now())");
    assert_int_equal(erasure_add(account, &nobody, &wanted, &id, NULL), ERR_OK);
    assert_int_equal(erasure_next(account, NODE_A, &ret_jobs[0], NULL), ERR_OK);
    assert_int_equal(erasure_next(account, NODE_B, &ret_jobs[1], NULL), ERR_OK);
    assert_int_equal(ret_jobs[1]->state, ERASURE_WAITING);
}

static void
fix_bounds(struct erasure *job, const char *position, int64_t received_max_us)
{
    job->state = ERASURE_IN_STORE;
    job->selection.seq_max = UINT64_MAX;
    job->selection.received_max_us = received_max_us;
    (void)snprintf(job->position, sizeof(job->position), "%s", position);
}

/* Else one node's warehouse would keep what another took out of the store. */
static void
test_erasure_postgres__keeps_the_bounds_of_the_node_that_began(void **state)
{
    struct account *account = open_account(state, 0);
    struct erasure *jobs[2] = {NULL, NULL};
    struct erasure found;
    struct diag diag = DIAG_INIT;

    take_twice((struct fixture *)*state, account, jobs);
    fix_bounds(jobs[0], "1.5", 500);
    jobs[0]->events = 60;
    assert_int_equal(erasure_progress(account, NODE_A, jobs[0], NULL), ERR_OK);
    /* B could not begin, or began a moment later */
    (void)snprintf(jobs[1]->error, sizeof(jobs[1]->error), "the disk is full");
    assert_int_equal(erasure_progress(account, NODE_B, jobs[1], NULL), ERR_CANCELLED);
    fix_bounds(jobs[1], "1.9", 900);
    assert_int_equal(erasure_progress(account, NODE_B, jobs[1], &diag), ERR_CANCELLED);
    assert_non_null(strstr(diag.message, "another node"));
    assert_int_equal(erasure_get(account, jobs[0]->id, &found, NULL), ERR_OK);
    assert_int_equal(found.state, ERASURE_IN_STORE);
    assert_string_equal(found.position, "1.5");
    assert_int_equal(found.selection.received_max_us, 500);
    assert_string_equal(found.error, "");
    /* B asks again, and goes on with the same bounds; what A counted is not lowered */
    erasure_free(&jobs[1]);
    assert_int_equal(erasure_next(account, NODE_B, &jobs[1], NULL), ERR_OK);
    assert_string_equal(jobs[1]->position, "1.5");
    jobs[1]->events = 40;
    assert_int_equal(erasure_progress(account, NODE_B, jobs[1], NULL), ERR_OK);
    assert_int_equal(erasure_get(account, jobs[0]->id, &found, NULL), ERR_OK);
    assert_int_equal(found.events, 60);
    erasure_free(&jobs[0]);
    erasure_free(&jobs[1]);
    account_close(&account);
}

/* A node not seen for ten minutes is not waited for: its warehouse is made anew, or it asks. */
static void
test_erasure_postgres__is_done_when_each_node_seen_lately_is(void **state)
{
    struct fixture *fixture = (struct fixture *)*state;
    struct account *account = open_account(state, 0);
    struct erasure *jobs[2] = {NULL, NULL};
    struct erasure *none = NULL;
    struct erasure found;

    add_node(fixture, NODE_A, "0");
    add_node(fixture, NODE_B, "9 minutes");
    add_node(fixture, NODE_C, "11 minutes");
    take_twice(fixture, account, jobs);
    fix_bounds(jobs[0], "1.5", 500);
    assert_int_equal(erasure_progress(account, NODE_A, jobs[0], NULL), ERR_OK);
    erasure_free(&jobs[1]);
    assert_int_equal(erasure_next(account, NODE_B, &jobs[1], NULL), ERR_OK);
    assert_int_equal(jobs[1]->state, ERASURE_IN_STORE);
    jobs[0]->state = ERASURE_IN_WAREHOUSE;
    assert_int_equal(erasure_progress(account, NODE_A, jobs[0], NULL), ERR_OK);
    assert_int_equal(erasure_progress(account, NODE_B, jobs[1], NULL), ERR_OK);
    assert_int_equal(erasure_get(account, jobs[0]->id, &found, NULL), ERR_OK);
    assert_int_equal(found.state, ERASURE_IN_WAREHOUSE); /* not put back */
    jobs[0]->state = ERASURE_DONE;
    assert_int_equal(erasure_progress(account, NODE_A, jobs[0], NULL), ERR_OK);
    assert_int_equal(erasure_get(account, jobs[0]->id, &found, NULL), ERR_OK);
    assert_int_equal(found.state, ERASURE_IN_WAREHOUSE);
    assert_int_equal(found.finished_at_us, 0);
    assert_string_equal(found.person, "a-person");
    assert_int_equal(erasure_next(account, NODE_A, &none, NULL), ERR_ABSENT);
    erasure_free(&jobs[1]);
    assert_int_equal(erasure_next(account, NODE_B, &jobs[1], NULL), ERR_OK); /* its part is left */
    assert_int_equal(jobs[1]->state, ERASURE_IN_WAREHOUSE);
    jobs[1]->state = ERASURE_DONE;
    assert_int_equal(erasure_progress(account, NODE_B, jobs[1], NULL), ERR_OK);
    assert_int_equal(erasure_get(account, jobs[0]->id, &found, NULL), ERR_OK);
    assert_int_equal(found.state, ERASURE_DONE);
    assert_string_equal(found.person, "");
    /* C comes back and tells of its part: done stays done */
    assert_int_equal(erasure_progress(account, NODE_C, jobs[1], NULL), ERR_OK);
    assert_int_equal(erasure_next(account, NODE_C, &none, NULL), ERR_ABSENT);
    erasure_free(&jobs[0]);
    erasure_free(&jobs[1]);
    account_close(&account);
}

/* From the beginning to the end of one node's part. */
static void
do_part(struct account *account, const char *node)
{
    struct erasure *job = NULL;

    assert_int_equal(erasure_next(account, node, &job, NULL), ERR_OK);
    if (job->state == ERASURE_WAITING)
        fix_bounds(job, "1.5", 500);
    job->state = ERASURE_DONE;
    assert_int_equal(erasure_progress(account, node, job, NULL), ERR_OK);
    erasure_free(&job);
}

static uint64_t
ask_erasure(struct account *account, uint32_t project_id, bool is_dry_run)
{
    const struct erasure wanted = {.reason = ERASURE_UNDO,
                                   .is_dry_run = is_dry_run,
                                   .selection = {.project_id = project_id,
                                                 .kind = SELECTION_PERSON,
                                                 .person = SLICE("a-person")}};
    uint64_t id = 0;

    assert_int_equal(erasure_add(account, &nobody, &wanted, &id, NULL), ERR_OK);
    return id;
}

/* "project:erasure" of each that a node has missed, with spaces between. */
static const char *
missed_by(struct account *account, const char *node)
{
    static char text[256];
    CLEANUP(mem_free_ptr) struct erasure_missed *list = NULL;
    uint32_t count = 0;
    int len = 0;

    assert_int_equal(erasure_missed_list(account, node, &list, &count, NULL), ERR_OK);
    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++)
        len += snprintf(text + len, sizeof(text) - (size_t)len, "%s%u:%llu", i != 0 ? " " : "",
                        list[i].project_id, (unsigned long long)list[i].erasure_id);
    return text;
}

/* A node that was away when jobs ended learns of their projects, once each, and not of dry runs;
 * one that has done its part, or comes later, does not. */
static void
test_erasure_postgres__tells_a_node_what_ended_without_it(void **state)
{
    struct fixture *fixture = (struct fixture *)*state;
    struct account *account = open_account(state, 0);

    fixture_run(fixture->other, "INSERT INTO projects VALUES (1, 'default', 'UTC', now()), "
                                "(2, 'shop', 'UTC', now()), (3, 'still', 'UTC', now())");
    add_node(fixture, NODE_A, "0");
    add_node(fixture, NODE_B, "11 minutes");
    assert_string_equal(missed_by(account, NODE_B), "");
    assert_int_equal(ask_erasure(account, 1, false), 1);
    assert_int_equal(ask_erasure(account, 3, true), 2);
    assert_int_equal(ask_erasure(account, 2, false), 3);
    assert_int_equal(ask_erasure(account, 1, false), 4);
    for (int i = 0; i < 3; i++)
        do_part(account, NODE_A);
    assert_string_equal(missed_by(account, NODE_B), "1:1 2:3");
    assert_string_equal(missed_by(account, NODE_A), "");
    add_node(fixture, NODE_C, "0");
    assert_string_equal(missed_by(account, NODE_C), "");
    /* B did its part in time, but was not seen again before the end */
    do_part(account, NODE_B);
    do_part(account, NODE_A);
    assert_string_equal(missed_by(account, NODE_B), "1:1 2:3"); /* C is waited for */
    do_part(account, NODE_C);
    assert_string_equal(missed_by(account, NODE_B), "1:1 2:3");
    /* what ended meanwhile, again without it, is not taken for done */
    assert_int_equal(ask_erasure(account, 1, false), 5);
    do_part(account, NODE_A);
    do_part(account, NODE_C);
    const struct erasure_missed older = {1, 1}, newer = {1, 5}, other = {2, 3};

    assert_int_equal(erasure_missed_done(account, NODE_B, &older, NULL), ERR_OK);
    assert_string_equal(missed_by(account, NODE_B), "1:5 2:3");
    assert_int_equal(erasure_missed_done(account, NODE_B, &newer, NULL), ERR_OK);
    assert_int_equal(erasure_missed_done(account, NODE_A, &other, NULL), ERR_OK);
    assert_string_equal(missed_by(account, NODE_B), "2:3");
    account_close(&account);
}

/* Else a node that dies within ten minutes of a job's end would keep the person's name for ever. */
static void
test_erasure_postgres__ends_without_a_node_that_is_not_seen_any_more(void **state)
{
    struct fixture *fixture = (struct fixture *)*state;
    struct account *account = open_account(state, 0);
    struct erasure *none = NULL;
    struct erasure found;

    fixture_run(fixture->other, "INSERT INTO projects VALUES (1, 'default', 'UTC', now())");
    add_node(fixture, NODE_A, "0");
    add_node(fixture, NODE_B, "9 minutes");
    assert_int_equal(ask_erasure(account, 1, false), 1);
    do_part(account, NODE_A);
    assert_int_equal(erasure_next(account, NODE_A, &none, NULL), ERR_ABSENT);
    assert_int_equal(erasure_get(account, 1, &found, NULL), ERR_OK);
    assert_int_equal(found.state, ERASURE_IN_WAREHOUSE);
    fixture_run(fixture->other, "UPDATE potik_nodes SET seen_at = seen_at - interval '2 minutes' "
                                "WHERE node = '" NODE_B "'");
    assert_int_equal(erasure_next(account, NODE_A, &none, NULL), ERR_ABSENT);
    assert_int_equal(erasure_get(account, 1, &found, NULL), ERR_OK);
    assert_int_equal(found.state, ERASURE_DONE);
    assert_string_equal(found.person, "");
    assert_string_equal(missed_by(account, NODE_B), "1:1");
    account_close(&account);
}

/* A job that nobody has begun is not taken for one that others have done. */
static void
test_erasure_postgres__waits_for_a_node_to_begin(void **state)
{
    struct fixture *fixture = (struct fixture *)*state;
    struct account *account = open_account(state, 0);
    struct erasure *job = NULL;

    fixture_run(fixture->other, "INSERT INTO projects VALUES (1, 'default', 'UTC', now())");
    assert_int_equal(ask_erasure(account, 1, false), 1);
    add_node(fixture, NODE_A, "11 minutes");
    assert_int_equal(erasure_next(account, NODE_A, &job, NULL), ERR_OK);
    erasure_free(&job);
    assert_int_equal(erasure_next(account, NODE_B, &job, NULL), ERR_OK);
    assert_int_equal(job->state, ERASURE_WAITING);
    erasure_free(&job);
    account_close(&account);
}

/* VACUUM alone fills in relpages of tables that small. */
static void
test_erasure_postgres__frees_the_room_of_what_jobs_named(void **state)
{
    struct fixture *fixture = (struct fixture *)*state;
    struct account *account = open_account(state, 0);
    struct erasure *none = NULL;
    static const char pages[] = "SELECT coalesce(sum(relpages), 0) FROM pg_class "
                                "WHERE oid IN ('erasures'::regclass, 'erasure_ids'::regclass)";

    fixture_run(fixture->other, "INSERT INTO projects VALUES (1, 'default', 'UTC', now())");
    add_node(fixture, NODE_A, "0");
    assert_int_equal(erasure_next(account, NODE_A, &none, NULL), ERR_ABSENT); /* at the start */
    assert_int_equal(ask_erasure(account, 1, false), 1);
    do_part(account, NODE_A);
    assert_string_equal(fixture_ask(fixture->other, pages), "0");
    assert_int_equal(erasure_next(account, NODE_A, &none, NULL), ERR_ABSENT);
    assert_string_equal(fixture_ask(fixture->other, pages), "1");
    account_close(&account);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TESTS(test_migrated),
        PEOPLE_TESTS(test_migrated),
        LIMIT_TESTS(test_migrated),
        test_with_postgres(test_account_postgres__says_that_tables_are_missing),
        test_with_postgres(test_account_postgres__refuses_a_bad_url),
        test_migrated(test_account_postgres__notices_what_is_changed_by_hand),
        test_migrated(test_account_postgres__comes_back_after_the_server_was_away),
        test_migrated(test_account_postgres__does_not_wait_for_ever),
        test_migrated(test_erasure_postgres__keeps_the_bounds_of_the_node_that_began),
        test_migrated(test_erasure_postgres__is_done_when_each_node_seen_lately_is),
        test_migrated(test_erasure_postgres__tells_a_node_what_ended_without_it),
        test_migrated(test_erasure_postgres__ends_without_a_node_that_is_not_seen_any_more),
        test_migrated(test_erasure_postgres__waits_for_a_node_to_begin),
        test_migrated(test_erasure_postgres__frees_the_room_of_what_jobs_named),
    };

    fixture_need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
