/*
 * Units of account/db_sqlite: a data folder of an older program. Its accounts.db is made by that
 * layout's own file (sql/account/sqlite/schema-1.sql), with rows put in by SQL.
 */
#include "../test.h"

#include "account/account.h"
#include "base/thread.h"
#include "layout_sql.h"
#include <sqlite3.h>

#define KEYS_OF_OLD                                                                                \
    "INSERT INTO project VALUES (1, 'default', 'Europe/Kyiv', 10), (7, 'shop', 'UTC', 20);"        \
    "INSERT INTO access_key VALUES"                                                                \
    " (1, 1, 'write', 'first run', CAST(zeroblob(31) || x'01' AS BLOB), 'aaaa', 11, NULL),"        \
    " (2, 1, 'read', 'dash', CAST(zeroblob(31) || x'02' AS BLOB), 'bbbb', 12, 99),"                \
    " (5, 7, 'read', 'shop', CAST(zeroblob(31) || x'05' AS BLOB), 'eeee', 21, NULL);"

static const struct account_actor nobody;

static void
run_sql(void **state, const char *sql)
{
    sqlite3 *db = NULL;
    char *why = NULL;

    assert_int_equal(sqlite3_open(test_path(state, "accounts.db"), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s", why);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int
ask_number(void **state, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int number;

    assert_int_equal(sqlite3_open(test_path(state, "accounts.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    number = sqlite3_column_int(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return number;
}

static void
make_old(void **state)
{
    run_sql(state, layout_schema_1);
    run_sql(state, KEYS_OF_OLD);
}

static enum err
open_here(const char *dir, struct account **ret_account, struct diag *diag)
{
    const struct account_config config = {
        .data_dir = dir, .clock = clock_system(), .random = random_system()};

    return account_open(&config, ret_account, diag);
}

static void
check_rows(struct account *account)
{
    struct account_list list;

    assert_int_equal(account_list(account, &list, NULL), ERR_OK);
    assert_int_equal(list.project_count, 2);
    assert_int_equal(list.projects[1].id, 7);
    assert_string_equal(list.projects[1].name, "shop");
    assert_string_equal(list.projects[0].time_zone, "Europe/Kyiv");
    assert_int_equal(list.projects[0].created_at_us, 10);
    assert_int_equal(list.projects[0].week_start, ACCOUNT_WEEK_MONDAY);
    assert_int_equal(list.projects[0].retention_days, 0);
    assert_int_equal(list.key_count, 3);
    assert_int_equal(list.keys[0].kind, ACCOUNT_KEY_WRITE);
    assert_int_equal(list.keys[0].revoked_at_us, 0);
    assert_int_equal(list.keys[0].expires_at_us, 0);
    assert_int_equal(list.keys[0].last_used_at_us, 0);
    assert_int_equal(list.keys[1].revoked_at_us, 99);
    assert_string_equal(list.keys[1].name, "dash");
    assert_string_equal(list.keys[1].last4, "bbbb");
    assert_int_equal(list.keys[2].id, 5);
    assert_int_equal(list.keys[2].project_id, 7);
    assert_int_equal(list.keys[2].created_at_us, 21);
    assert_int_equal(list.keys[2].hash[ACCOUNT_HASH_BYTES - 1], 5);
    account_list_free(&list);
}

static void
test_account_layouts__projects_and_keys_of_layout_1_stay(void **state)
{
    struct account *account = NULL;
    struct account_key key;
    struct account_project project = {.name = "new", .time_zone = "UTC"};
    struct diag diag = DIAG_INIT;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];

    make_old(state);
    for (int i = 0; i < 2; i++) { /* the second time there is nothing to do */
        if (open_here((const char *)*state, &account, &diag) != ERR_OK)
            fail_msg("%s", diag.message);
        check_rows(account);
        account_close(&account);
    }
    assert_int_equal(ask_number(state, "PRAGMA user_version"), 5);
    assert_int_equal(ask_number(state, "SELECT count(*) FROM sqlite_master WHERE name IN "
                                       "('project', 'access_key')"),
                     0);
    /* numbers go on behind those that were given */
    assert_int_equal(open_here((const char *)*state, &account, NULL), ERR_OK);
    assert_int_equal(
        account_key_new(account, &nobody, 1, ACCOUNT_KEY_READ, "n", 0, text, &key, NULL), ERR_OK);
    assert_int_equal(key.id, 6);
    assert_int_equal(account_project_add(account, &nobody, &project, &project, NULL), ERR_OK);
    assert_int_equal(project.id, 8);
    account_close(&account);
}

struct opener {
    const char *dir;
    struct thread *thread;
    struct account *account;
    enum err err;
};

static void
open_one(void *arg)
{
    struct opener *opener = (struct opener *)arg;

    opener->err = open_here(opener->dir, &opener->account, NULL);
}

/* `potik key list` beside a server that starts. */
static void
test_account_layouts__several_that_open_at_once_change_it_once(void **state)
{
    struct opener openers[4];

    make_old(state);
    for (size_t i = 0; i < COUNT_OF(openers); i++)
        openers[i] = (struct opener){.dir = (const char *)*state};
    for (size_t i = 0; i < COUNT_OF(openers); i++)
        assert_int_equal(
            thread_start("opener", THREAD_NORMAL, open_one, &openers[i], &openers[i].thread, NULL),
            0);
    for (size_t i = 0; i < COUNT_OF(openers); i++)
        thread_join(&openers[i].thread);
    for (size_t i = 0; i < COUNT_OF(openers); i++) {
        assert_int_equal(openers[i].err, ERR_OK);
        check_rows(openers[i].account);
        account_close(&openers[i].account);
    }
}

/* The second of two steps fails: the first is taken back, too. */
static void
test_account_layouts__a_step_that_fails_leaves_the_old_layout(void **state)
{
    struct account *account = NULL;
    struct diag diag = DIAG_INIT;

    make_old(state);
    run_sql(state, "CREATE TABLE audit (mine INTEGER)");
    assert_int_not_equal(open_here((const char *)*state, &account, &diag), ERR_OK);
    assert_null(account);
    assert_non_null(strstr(diag.message, "audit"));
    assert_int_equal(ask_number(state, "PRAGMA user_version"), 1);
    assert_int_equal(ask_number(state, "SELECT count(*) FROM access_key"), 3);
    run_sql(state, "DROP TABLE audit");
    assert_int_equal(open_here((const char *)*state, &account, NULL), ERR_OK);
    check_rows(account);
    account_close(&account);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_account_layouts__projects_and_keys_of_layout_1_stay),
        test_in_dir(test_account_layouts__several_that_open_at_once_change_it_once),
        test_in_dir(test_account_layouts__a_step_that_fails_leaves_the_old_layout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
