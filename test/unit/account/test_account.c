/* Units of account: projects and keys in SQLite, and what the file says when it cannot be used. */
#include "../test.h"

#include "account/account.h"
#include "codec/hash.h"
#include <sqlite3.h>
#include <sys/stat.h>

static struct clock_fake fake;

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

static void
ensure_default(struct account *account, const char *zone, bool expected_new)
{
    struct account_project project;
    bool is_new = !expected_new;

    assert_int_equal(account_project_ensure_default(account, zone, &project, &is_new, NULL),
                     ERR_OK);
    assert_int_equal(is_new, expected_new);
    assert_int_equal(project.id, 1);
    assert_string_equal(project.name, "default");
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
test_account__default_project_is_made_once(void **state)
{
    struct account *account = open_account(state, 0);
    struct account_project project;

    assert_int_equal(account_project_get(account, 1, &project, NULL), ERR_ABSENT);
    ensure_default(account, "Europe/Kyiv", true);
    clock_fake_move(&fake, 5);
    ensure_default(account, "UTC", false);
    account_close(&account);
    assert_null(account);
    account_close(&account);
    account = open_account(state, 0);
    assert_int_equal(account_project_get(account, 1, &project, NULL), ERR_OK);
    assert_string_equal(project.time_zone, "Europe/Kyiv");
    assert_int_equal(project.created_at_us, 1000);
    assert_int_equal(account_project_set_zone(account, 1, "UTC", NULL), ERR_OK);
    assert_int_equal(account_project_set_zone(account, 2, "UTC", NULL), ERR_ABSENT);
    assert_int_equal(account_project_get(account, 1, &project, NULL), ERR_OK);
    assert_string_equal(project.time_zone, "UTC");
    account_close(&account);
}

static void
test_account__key_is_shown_once_and_stored_as_its_hash(void **state)
{
    struct account *account = open_account(state, 7);
    struct account_list list;
    struct account_key key;
    struct buf file;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];
    char again[ACCOUNT_KEY_TEXT_BYTES + 1];
    uint8_t hash[ACCOUNT_HASH_BYTES];

    ensure_default(account, "UTC", true);
    assert_int_equal(account_key_new(account, 1, ACCOUNT_KEY_READ, "dash", text, &key, NULL), 0);
    assert_int_equal(strlen(text), ACCOUNT_KEY_TEXT_BYTES);
    assert_memory_equal(text, "rk_", 3);
    assert_int_equal(strspn(text + 3, "abcdefghijklmnopqrstuvwxyz234567"), 32);
    assert_int_equal(account_key_new(account, 1, ACCOUNT_KEY_WRITE, "w", again, &key, NULL), 0);
    assert_memory_equal(again, "wk_", 3);
    assert_string_not_equal(text + 3, again + 3);
    assert_int_equal(account_list(account, &list, NULL), ERR_OK);
    assert_int_equal(list.key_count, 2);
    assert_int_equal(list.project_count, 1);
    hash_sha256(slice_of_text(text), hash);
    assert_memory_equal(list.keys[0].hash, hash, sizeof(hash));
    assert_string_equal(list.keys[0].last4, text + ACCOUNT_KEY_TEXT_BYTES - 4);
    assert_string_equal(list.keys[0].name, "dash");
    assert_int_equal(list.keys[0].kind, ACCOUNT_KEY_READ);
    assert_int_equal(list.keys[0].created_at_us, 1000);
    assert_int_equal(list.keys[0].revoked_at_us, 0);
    assert_int_equal(list.keys[1].kind, ACCOUNT_KEY_WRITE);
    account_list_free(&list);
    account_close(&account);
    /* Neither the whole text nor its start stands anywhere in the file. */
    buf_init(&file, 1 << 24);
    assert_int_equal(file_read_whole(test_path(state, "accounts.db"), 1 << 24, &file, NULL), 0);
    assert_null(memmem(file.ptr, file.len, text + 3, 20));
    assert_non_null(memmem(file.ptr, file.len, hash, sizeof(hash)));
    buf_fini(&file);
}

/* 160 bits, first bit first, five to a character (RFC 4648, 6). */
static void
test_account__key_text_is_base32_of_the_random_bytes(void **state)
{
    struct account *account = open_account(state, 7);
    struct account_key key;
    struct random_source same;
    uint8_t drawn[20];
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];
    uint32_t value = 0;
    int bits = 0;
    size_t at = 3;

    ensure_default(account, "UTC", true);
    random_seeded_init(&same, 7);
    random_fill(&same, drawn, sizeof(drawn));
    assert_int_equal(account_key_new(account, 1, ACCOUNT_KEY_READ, "n", text, &key, NULL), 0);
    for (size_t i = 0; i < sizeof(drawn); i++) {
        value = (value << 8) | drawn[i];
        bits += 8;
        for (; bits >= 5; bits -= 5)
            assert_int_equal(text[at++],
                             "abcdefghijklmnopqrstuvwxyz234567"[(value >> (bits - 5)) & 31]);
    }
    assert_int_equal(at, ACCOUNT_KEY_TEXT_BYTES);
    account_close(&account);
}

static void
test_account__revoke_by_id_or_text_keeps_the_first_time(void **state)
{
    struct account *account = open_account(state, 7);
    struct account_list list;
    struct account_key first, second;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];

    ensure_default(account, "UTC", true);
    assert_int_equal(account_key_new(account, 1, ACCOUNT_KEY_WRITE, "a", text, &first, NULL), 0);
    assert_int_equal(account_key_new(account, 1, ACCOUNT_KEY_WRITE, "b", text, &second, NULL), 0);
    clock_fake_move(&fake, 10);
    assert_int_equal(account_key_revoke(account, first.id, NULL), ERR_OK);
    clock_fake_move(&fake, 10);
    assert_int_equal(account_key_revoke(account, first.id, NULL), ERR_OK);
    assert_int_equal(account_key_revoke_text(account, slice_of_text(text), NULL), ERR_OK);
    assert_int_equal(account_list(account, &list, NULL), ERR_OK);
    assert_int_equal(list.keys[0].revoked_at_us, 1010);
    assert_int_equal(list.keys[1].revoked_at_us, 1020);
    account_list_free(&list);
    assert_int_equal(account_key_revoke(account, 99, NULL), ERR_ABSENT);
    assert_int_equal(account_key_revoke(account, 0, NULL), ERR_ABSENT);
    assert_int_equal(account_key_revoke(account, UINT64_MAX, NULL), ERR_ABSENT);
    text[10] = text[10] == 'a' ? 'b' : 'a';
    assert_int_equal(account_key_revoke_text(account, slice_of_text(text), NULL), ERR_ABSENT);
    assert_int_equal(account_key_revoke_text(account, SLICE("x"), NULL), ERR_ABSENT);
    account_close(&account);
}

static void
test_account__names_have_limits(void **state)
{
    static const char *const bad[] = {"", "a\nb", "a\x7F", "\xFF"};
    struct account *account = open_account(state, 0);
    struct diag diag = DIAG_INIT;
    struct account_project project;
    struct account_key key;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];
    char name[80];
    bool is_new;

    ensure_default(account, "UTC", true);
    for (size_t len = 63; len <= 65; len++) {
        memset(name, 'n', len);
        name[len] = '\0';
        assert_int_equal(account_key_new(account, 1, ACCOUNT_KEY_READ, name, text, &key, &diag),
                         len <= 64 ? ERR_OK : ERR_INVALID);
        assert_int_equal(account_project_ensure_default(account, name, &project, &is_new, &diag),
                         len <= 63 ? ERR_OK : ERR_INVALID);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(account_key_new(account, 1, ACCOUNT_KEY_READ, bad[i], text, &key, &diag),
                         ERR_INVALID);
    assert_string_equal(diag.field, "name");
    assert_int_equal(account_key_new(account, 2, ACCOUNT_KEY_READ, "n", text, &key, &diag),
                     ERR_ABSENT);
    assert_int_equal(account_project_set_zone(account, 1, "", &diag), ERR_INVALID);
    account_close(&account);
}

static void
test_account__keys_have_a_maximum(void **state)
{
    struct account *account = open_account(state, 0);
    struct account_key key;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];

    ensure_default(account, "UTC", true);
    run_sql(state, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 99999)"
                   " INSERT INTO access_key (project_id, kind, name, hash, last4, created_at_us)"
                   " SELECT 1, 'read', 'n', randomblob(32), 'abcd', i FROM n");
    assert_int_equal(account_key_new(account, 1, ACCOUNT_KEY_READ, "n", text, &key, NULL), ERR_OK);
    assert_int_equal(account_key_new(account, 1, ACCOUNT_KEY_READ, "n", text, &key, NULL),
                     ERR_FULL);
    account_close(&account);
}

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

    ensure_default(account, "UTC", true);
    account_close(&account);
    run_sql(state, "PRAGMA journal_mode = DELETE; PRAGMA user_version = 2");
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

    ensure_default(account, "UTC", true);
    assert_int_equal(stat(test_path(state, "accounts.db"), &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_int_equal(stat(test_path(state, "accounts.db-wal"), &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    account_close(&account);
}

static void
test_account__sees_what_another_link_commits(void **state)
{
    struct account *watcher, *writer = open_account(state, 0);
    bool has_changed = true;

    ensure_default(writer, "UTC", true);
    watcher = open_account(state, 0);
    assert_int_equal(account_has_changed(watcher, &has_changed, NULL), ERR_OK);
    assert_false(has_changed);
    assert_int_equal(account_project_set_zone(writer, 1, "Europe/Kyiv", NULL), ERR_OK);
    assert_int_equal(account_has_changed(watcher, &has_changed, NULL), ERR_OK);
    assert_true(has_changed);
    assert_int_equal(account_has_changed(watcher, &has_changed, NULL), ERR_OK);
    assert_false(has_changed);
    account_close(&watcher);
    account_close(&writer);
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_account__default_project_is_made_once),
        test_in_dir(test_account__key_is_shown_once_and_stored_as_its_hash),
        test_in_dir(test_account__key_text_is_base32_of_the_random_bytes),
        test_in_dir(test_account__revoke_by_id_or_text_keeps_the_first_time),
        test_in_dir(test_account__names_have_limits),
        test_in_dir(test_account__keys_have_a_maximum),
        test_in_dir(test_account__refuses_a_newer_layout_and_leaves_it),
        test_in_dir(test_account__names_what_is_wrong_with_its_file),
        test_in_dir(test_account__file_is_private),
        test_in_dir(test_account__sees_what_another_link_commits),
        cmocka_unit_test(test_account__form_of_a_key_is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
