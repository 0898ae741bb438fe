/*
 * Migrations: applied once, by whoever comes first; refused where the schema is not ours to change.
 */
#include "base/thread.h"
#include "postgres_fixture.h"

#define MIGRATIONS 8 /* files in sql/postgres */
#define NEWER 9
#define NUMBER_TEXT_(number) #number
#define NUMBER_TEXT(number) NUMBER_TEXT_(number)

struct told {
    uint32_t count;
    uint32_t last;
    bool is_in_order;
    bool is_whole;
};

static void
tell(void *state, uint32_t version, const char *name, const char *sql)
{
    struct told *told = state;

    told->is_in_order = told->count == 0 || version == told->last + 1;
    told->last = version;
    told->count++;
    told->is_whole = name[0] != '\0' && strstr(sql, " TABLE ") != NULL;
}

static void
test_migrate__applies_each_file_once(void **state)
{
    struct fixture *fixture = *state;
    struct told told = {0};

    assert_int_equal(postgres_migrate(fixture->url, 5000, false, tell, &told, NULL), ERR_OK);
    assert_int_equal(told.count, MIGRATIONS);
    assert_true(told.is_in_order);
    assert_true(told.is_whole);
    told = (struct told){0};
    assert_int_equal(postgres_migrate(fixture->url, 5000, false, tell, &told, NULL), ERR_OK);
    assert_int_equal(told.count, 0);
    assert_string_equal(
        fixture_ask(fixture->other, "SELECT string_agg(name, ',' ORDER BY version) FROM "
                                    "potik_migrations WHERE program <> ''"),
        "events,accounts,people,audit_and_erasures,erasing,missed_erasures,tracking_plans,quotas");
    assert_string_equal(fixture_ask(fixture->other, "SELECT count(*) FROM potik_state WHERE "
                                                    "length(hash_secret) = 16 AND generation = 1"),
                        "1");
}

static void
test_migrate__only_tells_when_dry(void **state)
{
    struct fixture *fixture = *state;
    struct told told = {0};

    assert_int_equal(postgres_migrate(fixture->url, 5000, true, tell, &told, NULL), ERR_OK);
    assert_int_equal(told.count, MIGRATIONS);
    assert_string_equal(fixture_ask(fixture->other,
                                    "SELECT count(*) FROM pg_class WHERE "
                                    "relnamespace = '%s'::regnamespace",
                                    fixture->schema),
                        "0");
}

struct racer {
    const char *url;
    struct told told;
    enum err err;
    struct thread *thread;
};

static void
race(void *arg)
{
    struct racer *racer = arg;

    racer->err = postgres_migrate(racer->url, 5000, false, tell, &racer->told, NULL);
}

static void
test_migrate__lets_one_of_two_at_a_time_through(void **state)
{
    struct fixture *fixture = *state;
    struct racer racers[2] = {{.url = fixture->url}, {.url = fixture->url}};

    for (int i = 0; i < 2; i++)
        assert_int_equal(
            thread_start("racer", THREAD_NORMAL, race, &racers[i], &racers[i].thread, NULL),
            ERR_OK);
    for (int i = 0; i < 2; i++) {
        thread_join(&racers[i].thread);
        assert_int_equal(racers[i].err, ERR_OK);
    }
    assert_string_equal(fixture_ask(fixture->other, "SELECT count(*) FROM potik_migrations"),
                        NUMBER_TEXT(MIGRATIONS));
}

/* The second waits for the first's lock, and then finds that all is done. */
static void
test_migrate__waits_for_who_is_at_it(void **state)
{
    struct fixture *fixture = *state;
    struct racer racer = {.url = fixture->url};

    fixture_run(fixture->other, "BEGIN; SELECT pg_advisory_xact_lock(hashtext('potik migrate'), "
                                "hashtext(current_schema()))");
    assert_int_equal(thread_start("racer", THREAD_NORMAL, race, &racer, &racer.thread, NULL),
                     ERR_OK);
    while (strcmp(fixture_ask(fixture->other, "SELECT count(*) FROM pg_locks WHERE locktype = "
                                              "'advisory' AND NOT granted"),
                  "1") != 0)
        continue;
    fixture_run(fixture->other, "COMMIT");
    thread_join(&racer.thread);
    assert_int_equal(racer.err, ERR_OK);
    assert_int_equal(racer.told.count, MIGRATIONS);
}

static void
test_migrate__refuses_a_newer_schema(void **state)
{
    struct fixture *fixture = *state;
    struct diag diag = DIAG_INIT;

    assert_int_equal(postgres_migrate(fixture->url, 5000, false, NULL, NULL, NULL), ERR_OK);
    fixture_run(fixture->other,
                "INSERT INTO potik_migrations (version, name, program) VALUES (%d, 'new', '9')",
                MIGRATIONS + 1);
    for (int is_dry_run = 0; is_dry_run < 2; is_dry_run++) {
        assert_int_equal(postgres_migrate(fixture->url, 5000, is_dry_run != 0, NULL, NULL, &diag),
                         ERR_TOO_NEW);
        assert_non_null(strstr(diag.message, "version " NUMBER_TEXT(NEWER)));
    }
    assert_int_equal(postgres_open(&fixture->config, &fixture->store, &diag), ERR_TOO_NEW);
}

static void
test_migrate__names_a_table_that_is_not_ours(void **state)
{
    struct fixture *fixture = *state;
    struct diag diag = DIAG_INIT;

    fixture_run(fixture->other, "CREATE TABLE events (id int)");
    assert_int_equal(postgres_migrate(fixture->url, 5000, false, NULL, NULL, &diag), ERR_NOT_READY);
    assert_non_null(strstr(diag.message, "\"events\""));
    assert_non_null(strstr(diag.message, fixture->schema));
    assert_string_equal(fixture_ask(fixture->other,
                                    "SELECT count(*) FROM pg_class WHERE "
                                    "relnamespace = '%s'::regnamespace",
                                    fixture->schema),
                        "1");
}

static void
test_migrate__names_the_right_that_is_missing(void **state)
{
    struct fixture *fixture = *state;
    struct diag diag = DIAG_INIT;

    fixture_run(fixture->other, "REVOKE CREATE ON SCHEMA %s FROM CURRENT_USER", fixture->schema);
    assert_int_equal(postgres_migrate(fixture->url, 5000, false, NULL, NULL, &diag), ERR_NOT_READY);
    assert_non_null(strstr(diag.message, "GRANT USAGE, CREATE ON SCHEMA"));
    fixture_run(fixture->other, "GRANT CREATE ON SCHEMA %s TO CURRENT_USER", fixture->schema);
}

static void
test_migrate__leaves_nothing_of_a_file_that_fails(void **state)
{
    struct fixture *fixture = *state;
    struct diag diag = DIAG_INIT;

    assert_int_equal(postgres_migrate(fixture->url, 5000, false, NULL, NULL, NULL), ERR_OK);
    fixture_run(fixture->other,
                "DROP TABLE tracking_plans, erasures_missed, erasure_nodes, erasure_ids, erasures; "
                "ALTER TABLE potik_state DROP COLUMN erasures; "
                "ALTER TABLE projects DROP COLUMN events_per_month; "
                "DELETE FROM potik_migrations WHERE version >= 4");
    assert_int_equal(postgres_migrate(fixture->url, 5000, false, NULL, NULL, &diag), ERR_NOT_READY);
    assert_non_null(strstr(diag.message, "audit")); /* exists already */
    assert_string_equal(fixture_ask(fixture->other, "SELECT max(version) FROM potik_migrations"),
                        "3");
    fixture_run(fixture->other, "DROP TABLE audit; DROP FUNCTION potik_audit_is_only_added_to");
    assert_int_equal(postgres_migrate(fixture->url, 5000, false, NULL, NULL, NULL), ERR_OK);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_with_postgres(test_migrate__applies_each_file_once),
        test_with_postgres(test_migrate__only_tells_when_dry),
        test_with_postgres(test_migrate__lets_one_of_two_at_a_time_through),
        test_with_postgres(test_migrate__waits_for_who_is_at_it),
        test_with_postgres(test_migrate__refuses_a_newer_schema),
        test_with_postgres(test_migrate__names_a_table_that_is_not_ours),
        test_with_postgres(test_migrate__names_the_right_that_is_missing),
        test_with_postgres(test_migrate__leaves_nothing_of_a_file_that_fails),
    };

    fixture_need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
