/* Units of account: the contract on SQLite, what its file says when it cannot be used, and keys'
 * form. */
#include "contract.h"

#include "account/erasure.h"
#include <sqlite3.h>
#include <sys/stat.h>

static struct account *
open_account(void **state, uint64_t seed)
{
    static struct random_source random;
    struct account_config config = {.data_dir = (const char *)*state,
                                    .may_create = true,
                                    .clock = &fake.clock,
                                    .random = random_system()};
    struct account *account = NULL;
    struct diag diag = DIAG_INIT;

    clock_fake_init(&fake, 1000);
    if (seed != 0) {
        random_seeded_init(&random, seed);
        config.random = &random;
    }
    assert_int_equal(account_open(&config, &account, &diag), ERR_OK);
    return account;
}

/* By another program's hand. */
static void
run_sql(void **state, const char *sql)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(test_path(state, "accounts.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
add_keys(void **state, uint32_t count)
{
    char sql[512];

    (void)snprintf(sql, sizeof(sql),
                   "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
                   " INSERT INTO keys (project_id, kind, name, hash, last4, created_at)"
                   " SELECT 1, 'read', 'n', randomblob(32), 'abcd', i FROM n",
                   count);
    run_sql(state, sql);
}

static bool
file_holds(const char *path, const void *bytes, size_t len)
{
    struct buf file;
    bool is_found;

    buf_init(&file, 1 << 24);
    assert_int_equal(file_read_whole(path, 1 << 24, &file, NULL), ERR_OK);
    is_found = memmem(file.ptr, file.len, bytes, len) != NULL;
    buf_fini(&file);
    return is_found;
}

static bool
holds(void **state, const void *bytes, size_t len)
{
    return file_holds(test_path(state, "accounts.db"), bytes, len) ||
           file_holds(test_path(state, "accounts.db-wal"), bytes, len) ||
           file_holds(test_path(state, "accounts.db-shm"), bytes, len);
}

static void
add_erasures(void **state, uint32_t count)
{
    char sql[512];

    (void)snprintf(sql, sizeof(sql),
                   "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
                   " INSERT INTO erasures (project_id, reason, kind, state, frees_ids, is_dry_run,"
                   " requested_at) SELECT 1, 'undo', 'all', 'waiting', 0, 0, i FROM n",
                   count);
    run_sql(state, sql);
}

static bool
refuses(void **state, const char *sql)
{
    sqlite3 *db = NULL;
    bool is_refused;

    assert_int_equal(sqlite3_open(test_path(state, "accounts.db"), &db), SQLITE_OK);
    is_refused = sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK;
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return is_refused;
}

const struct home home = {open_account, add_keys, holds, add_erasures, refuses};

static void
test_account__refuses_a_newer_layout_and_leaves_it(void **state)
{
    const struct account_config config = {.data_dir = (const char *)*state,
                                          .may_create = true,
                                          .clock = clock_system(),
                                          .random = random_system()};
    struct account *account = open_account(state, 0);
    struct diag diag = DIAG_INIT;
    struct buf before, after;

    account_close(&account);
    run_sql(state, "PRAGMA journal_mode = DELETE; PRAGMA user_version = 6");
    buf_init(&before, 1 << 24);
    buf_init(&after, 1 << 24);
    assert_int_equal(file_read_whole(test_path(state, "accounts.db"), 1 << 24, &before, NULL), 0);
    assert_int_equal(account_open(&config, &account, &diag), ERR_TOO_NEW);
    assert_null(account);
    assert_non_null(strstr(diag.message, "newer version"));
    assert_int_equal(file_read_whole(test_path(state, "accounts.db"), 1 << 24, &after, NULL), 0);
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    buf_fini(&before);
    buf_fini(&after);
}

static void
test_account__names_what_is_wrong_with_its_file(void **state)
{
    struct account_config config = {.data_dir = (const char *)*state,
                                    .may_create = false,
                                    .clock = clock_system(),
                                    .random = random_system()};
    struct account *account = NULL;
    struct diag diag = DIAG_INIT;
    static char noise[8192];

    assert_int_equal(account_open(&config, &account, &diag), ERR_ABSENT);
    assert_non_null(strstr(diag.message, "potik serve"));
    assert_false(file_exists(test_path(state, "accounts.db")));
    memset(noise, 'x', sizeof(noise));
    assert_int_equal(
        file_replace_whole(test_path(state, "accounts.db"), slice_of(noise, sizeof(noise)), NULL),
        ERR_OK);
    assert_int_equal(account_open(&config, &account, &diag), ERR_CORRUPT);
    assert_non_null(strstr(diag.message, "accounts.db"));
    config.data_dir = "/nonexistent/folder";
    config.may_create = true;
    assert_int_equal(account_open(&config, &account, &diag), ERR_ABSENT);
    assert_null(account);
}

static void
test_account__file_is_private(void **state)
{
    struct account *account = open_account(state, 0);
    struct stat facts;

    assert_int_equal(stat(test_path(state, "accounts.db"), &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_int_equal(stat(test_path(state, "accounts.db-wal"), &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    account_close(&account);
}

static void
test_account__form_of_a_key_is_checked(void **state)
{
    enum account_key_kind kind = ACCOUNT_KEY_READ;

    (void)state;
    assert_true(account_key_is_wellformed(SLICE("wk_aaaaaaaaaaaaaaaaaaaaaaaaaaaa2345"), &kind));
    assert_int_equal(kind, ACCOUNT_KEY_WRITE);
    assert_true(account_key_is_wellformed(SLICE("rk_aaaaaaaaaaaaaaaaaaaaaaaaaaaa2345"), &kind));
    assert_int_equal(kind, ACCOUNT_KEY_READ);
    assert_false(account_key_is_wellformed(SLICE("rk_aaaaaaaaaaaaaaaaaaaaaaaaaaaa234"), &kind));
    assert_false(account_key_is_wellformed(SLICE("rk_aaaaaaaaaaaaaaaaaaaaaaaaaaaa23456"), &kind));
    assert_false(account_key_is_wellformed(SLICE("rk_aaaaaaaaaaaaaaaaaaaaaaaaaaaa234A"), &kind));
    assert_false(account_key_is_wellformed(SLICE("rk_aaaaaaaaaaaaaaaaaaaaaaaaaaaa2341"), &kind));
    assert_false(account_key_is_wellformed(SLICE("xk_aaaaaaaaaaaaaaaaaaaaaaaaaaaa2345"), &kind));
    assert_false(account_key_is_wellformed(SLICE_NONE, &kind));
}

#define FORGOTTEN "a-person-to-forget"

/* A person's erasure is done while another program reads: the log cannot be emptied. */
static sqlite3 *
finish_beside_a_reader(void **state, struct account *account)
{
    const struct erasure wanted = {
        .reason = ERASURE_PERSON,
        .selection = {.project_id = 1, .kind = SELECTION_PERSON, .person = SLICE(FORGOTTEN)}};
    struct erasure *job = NULL;
    struct account_project project;
    sqlite3 *reader = NULL;
    uint64_t id = 0;
    bool is_new;

    assert_int_equal(account_project_ensure_default(account, "UTC", &project, &is_new, NULL),
                     ERR_OK);
    assert_int_equal(erasure_add(account, &nobody, &wanted, &id, NULL), ERR_OK);
    assert_int_equal(sqlite3_open(test_path(state, "accounts.db"), &reader), SQLITE_OK);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM erasures", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(erasure_next(account, "", &job, NULL), ERR_OK);
    job->state = ERASURE_DONE;
    assert_int_equal(erasure_progress(account, "", job, NULL), ERR_OK);
    erasure_free(&job);
    assert_true(holds(state, FORGOTTEN, strlen(FORGOTTEN))); /* or the tests below show nothing */
    return reader;
}

static void
test_erasure__forgets_as_soon_as_a_reader_lets_it(void **state)
{
    struct account *account = open_account(state, 0);
    sqlite3 *reader = finish_beside_a_reader(state, account);
    struct erasure *none = NULL;

    assert_int_equal(erasure_next(account, "", &none, NULL), ERR_ABSENT);
    assert_true(holds(state, FORGOTTEN, strlen(FORGOTTEN)));
    assert_int_equal(sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(erasure_next(account, "", &none, NULL), ERR_ABSENT);
    assert_false(holds(state, FORGOTTEN, strlen(FORGOTTEN)));
    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    account_close(&account);
}

static void
copy_file(const char *from, const char *to)
{
    struct buf bytes;

    buf_init(&bytes, 1 << 24);
    assert_int_equal(file_read_whole(from, 1 << 24, &bytes, NULL), ERR_OK);
    assert_int_equal(file_replace_whole(to, buf_slice(&bytes), NULL), ERR_OK);
    buf_fini(&bytes);
}

/* The folder as kill -9 leaves it between the commit and the wiping. */
static void
test_erasure__forgets_after_a_kill_before_the_wiping(void **state)
{
    struct account *account = open_account(state, 0);
    sqlite3 *reader = finish_beside_a_reader(state, account);
    struct erasure *none = NULL;
    void *copy = NULL;

    assert_int_equal(test_dir_setup(&copy), 0);
    copy_file(test_path(state, "accounts.db"), test_path(&copy, "accounts.db"));
    copy_file(test_path(state, "accounts.db-wal"), test_path(&copy, "accounts.db-wal"));
    assert_int_equal(sqlite3_close(reader), SQLITE_OK);
    account_close(&account);
    account = open_account(&copy, 0);
    assert_int_equal(erasure_next(account, "", &none, NULL), ERR_ABSENT);
    assert_false(holds(&copy, FORGOTTEN, strlen(FORGOTTEN)));
    account_close(&account);
    assert_int_equal(test_dir_teardown(&copy), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TESTS(test_in_dir),
        PEOPLE_TESTS(test_in_dir),
        LIMIT_TESTS(test_in_dir),
        test_in_dir(test_account__refuses_a_newer_layout_and_leaves_it),
        test_in_dir(test_account__names_what_is_wrong_with_its_file),
        test_in_dir(test_account__file_is_private),
        test_in_dir(test_erasure__forgets_as_soon_as_a_reader_lets_it),
        test_in_dir(test_erasure__forgets_after_a_kill_before_the_wiping),
        cmocka_unit_test(test_account__form_of_a_key_is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
