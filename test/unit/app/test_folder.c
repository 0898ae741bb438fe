/*
 * folder and first_run: the lock, the folder with its parents, keys made once, first-run.txt
 * renewed.
 */
#include "../test.h"

#include "account/login.h"
#include "app/first_run.h"
#include "app/folder.h"

#include <sys/stat.h>
#include <unistd.h>

static const struct password_cost cost = {PASSWORD_MEMORY_KIB_MIN, PASSWORD_PASSES_MIN};

static void
test_folder__is_made_with_parents_and_locked(void **state)
{
    struct diag diag = DIAG_INIT;
    const char *dir = test_path(state, "a/b//c");
    char process[40];
    int first = -1;
    int second = -1;

    assert_int_equal(folder_lock(dir, false, &first, &diag), ERR_ABSENT);
    assert_int_equal(folder_lock(dir, true, &first, &diag), ERR_OK);
    assert_int_equal(folder_lock(dir, true, &second, &diag), ERR_LOCKED);
    snprintf(process, sizeof(process), "process %ld;", (long)getpid());
    assert_non_null(strstr(diag.message, "another potik"));
    assert_non_null(strstr(diag.message, process));
    assert_int_equal(file_write_at(first, dir, "?", 1, 0, NULL),
                     ERR_OK); /* of no program of ours */
    assert_int_equal(folder_lock(dir, true, &second, &diag), ERR_LOCKED);
    assert_non_null(strstr(diag.message, "LOCK is locked"));
    file_close(&first);
    assert_int_equal(folder_lock(dir, false, &second, &diag), ERR_OK);
    file_close(&second);
}

static void
test_folder__a_file_is_no_folder(void **state)
{
    struct diag diag = DIAG_INIT;
    const char *path = test_path(state, "file");
    int fd = -1;

    assert_int_equal(file_replace_whole(path, SLICE("x"), NULL), ERR_OK);
    assert_int_not_equal(folder_lock(path, true, &fd, &diag), ERR_OK);
    assert_non_null(strstr(diag.message, "cannot be used"));
    assert_int_not_equal(folder_lock(test_path(state, "file/below"), true, &fd, &diag), ERR_OK);
    assert_int_equal(fd, -1);
}

static void
test_folder__is_of_one_kind_of_store(void **state)
{
    const char *dir = (const char *)*state;
    struct diag diag = DIAG_INIT;

    assert_int_equal(folder_check_store("/nowhere/at/all", true, NULL), ERR_OK);
    assert_int_equal(folder_check_store(dir, true, NULL), ERR_OK);
    assert_int_equal(folder_check_store(dir, false, NULL), ERR_OK);
    assert_int_equal(file_make_dir(test_path(state, "ledger"), NULL), ERR_OK);
    assert_int_equal(folder_check_store(dir, false, NULL), ERR_OK);
    assert_int_equal(folder_check_store(dir, true, &diag), ERR_EXISTS);
    assert_non_null(strstr(diag.message, "another --data-dir"));
    assert_int_equal(file_remove_tree(test_path(state, "ledger"), NULL), ERR_OK);
    assert_int_equal(file_replace_whole(test_path(state, "postgres-node.json"), SLICE("{}"), NULL),
                     ERR_OK);
    assert_int_equal(folder_check_store(dir, true, NULL), ERR_OK);
    assert_int_equal(folder_check_store(dir, false, &diag), ERR_EXISTS);
    assert_non_null(strstr(diag.message, "--store postgres://"));
}

static struct account *
open_account(void **state)
{
    struct account_config config = {
        .data_dir = (const char *)*state,
        .may_create = true,
        .clock = clock_system(),
        .random = random_system(),
    };
    struct account *account = NULL;

    assert_int_equal(account_open(&config, &account, NULL), ERR_OK);
    return account;
}

static void
read_text(const char *path, struct buf *text)
{
    buf_clear(text);
    assert_int_equal(file_read_whole(path, 4096, text, NULL), ERR_OK);
    buf_add_char(text, '\0');
}

static void
test_first_run__keys_once_and_the_address_at_each_start(void **state)
{
    const char *path = test_path(state, "first-run.txt");
    struct account *account = open_account(state);
    struct first_run run;
    char write_line[64];
    struct stat facts;
    struct buf text;

    buf_init(&text, 8192);
    assert_int_equal(
        first_run_ensure(account, (const char *)*state, "Europe/Kyiv", &cost, &run, NULL), ERR_OK);
    assert_true(run.is_first);
    assert_int_equal(strncmp(run.write_key, "wk_", 3), 0);
    assert_int_equal(strncmp(run.read_key, "rk_", 3), 0);
    snprintf(write_line, sizeof(write_line), "write_key=%s\n", run.write_key);
    assert_int_equal(
        first_run_tell(&run, (const char *)*state, "http://127.0.0.1:1", NULL, NULL, NULL), ERR_OK);
    assert_int_equal(run.write_key[0], 0); /* wiped */
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    read_text(path, &text);
    assert_int_equal(strncmp(text.ptr, "server=http://127.0.0.1:1\n", 26), 0);
    assert_non_null(strstr(text.ptr, write_line));

    assert_int_equal(first_run_ensure(account, (const char *)*state, "UTC", &cost, &run, NULL),
                     ERR_OK);
    assert_false(run.is_first);
    assert_int_equal(first_run_tell(&run, (const char *)*state, "unix:/x", NULL, NULL, NULL),
                     ERR_OK);
    read_text(path, &text);
    assert_int_equal(strncmp(text.ptr, "server=unix:/x\n", 15), 0);
    assert_non_null(strstr(text.ptr, write_line));
    assert_non_null(strstr(text.ptr, "read_key=rk_"));
    assert_null(strstr(text.ptr, "127.0.0.1"));

    /* Lost: the address alone is written, so that client commands find the server. */
    assert_int_equal(file_unlink(path, NULL), ERR_OK);
    assert_int_equal(first_run_tell(&run, (const char *)*state, "http://x", NULL, NULL, NULL),
                     ERR_OK);
    read_text(path, &text);
    assert_string_equal(text.ptr, "server=http://x\n");

    /* The certificate by its whole name, and no longer than it is used. */
    assert_int_equal(
        first_run_tell(&run, (const char *)*state, "https://x", "/dev/../dev/null", NULL, NULL),
        ERR_OK);
    read_text(path, &text);
    assert_string_equal(text.ptr, "server=https://x\nca=/dev/null\n");
    assert_int_equal(first_run_tell(&run, (const char *)*state, "http://x", NULL, NULL, NULL),
                     ERR_OK);
    read_text(path, &text);
    assert_string_equal(text.ptr, "server=http://x\n");
    buf_fini(&text);
    account_close(&account);
}

/* Whose password is it? */
static void
assert_admin(struct account *account, const char *password)
{
    struct login login;
    bool is_right = false;

    assert_int_equal(login_find(account, LOGIN_FIRST_EMAIL, &login, NULL), ERR_OK);
    assert_true(login.is_admin);
    assert_int_equal(password_verify(slice_of_text(login.password.text), slice_of_text(password),
                                     &is_right, NULL),
                     ERR_OK);
    assert_true(is_right);
}

/* Keys and no login, as an older program leaves it: an administrator is made, the rest stays. A
 * password that was written down and never in force (a cut in between) is the one. */
static void
test_first_run__admin_beside_older_keys(void **state)
{
    static const char older[] = "server=http://x\nwrite_key=wk_x\nread_key=rk_x\n";
    static const char cut[] = "admin_email=admin@localhost\nadmin_password=abcdefghijklmnopqrst\n";
    const char *path = test_path(state, "first-run.txt");

    for (int is_cut = 0; is_cut <= 1; is_cut++) {
        struct account *account = open_account(state);
        char write_key[ACCOUNT_KEY_TEXT_BYTES + 1];
        char read_key[ACCOUNT_KEY_TEXT_BYTES + 1];
        struct slice texts[2] = {slice_of(write_key, ACCOUNT_KEY_TEXT_BYTES),
                                 slice_of(read_key, ACCOUNT_KEY_TEXT_BYTES)};
        struct account_project project;
        struct first_run run;
        struct buf text;
        bool is_new;
        char line[96];

        buf_init(&text, 8192);
        account_key_make_text(account, ACCOUNT_KEY_WRITE, write_key);
        account_key_make_text(account, ACCOUNT_KEY_READ, read_key);
        assert_int_equal(account_project_ensure_default(account, "UTC", &project, &is_new, NULL),
                         ERR_OK);
        assert_int_equal(account_keys_add_first(account, ACCOUNT_PROJECT_DEFAULT, "first run",
                                                texts, &is_new, NULL),
                         ERR_OK);
        buf_add_text(&text, older);
        buf_add_text(&text, is_cut != 0 ? cut : "");
        assert_int_equal(file_replace_whole(path, buf_slice(&text), NULL), ERR_OK);
        assert_int_equal(first_run_ensure(account, (const char *)*state, "UTC", &cost, &run, NULL),
                         ERR_OK);
        assert_false(run.is_first);
        assert_true(run.is_admin_new);
        if (is_cut != 0)
            assert_string_equal(run.admin_password, "abcdefghijklmnopqrst");
        assert_admin(account, run.admin_password);
        read_text(path, &text);
        assert_int_equal(strncmp(text.ptr, older, sizeof(older) - 1), 0);
        snprintf(line, sizeof(line), "admin_email=admin@localhost\nadmin_password=%s\n",
                 run.admin_password);
        assert_string_equal(text.ptr + sizeof(older) - 1, line);

        assert_int_equal(first_run_ensure(account, (const char *)*state, "UTC", &cost, &run, NULL),
                         ERR_OK);
        assert_false(run.is_admin_new); /* once */
        buf_fini(&text);
        account_close(&account);
        assert_int_equal(file_unlink(test_path(state, "accounts.db"), NULL), ERR_OK);
        for (size_t i = 0; i < 2; i++) {
            const char *rest = test_path(state, i == 0 ? "accounts.db-wal" : "accounts.db-shm");

            assert_int_equal(file_exists(rest) ? file_unlink(rest, NULL) : ERR_OK, ERR_OK);
        }
    }
}

/* A start that failed between making the keys and telling them: the next one tells the same. */
static void
test_first_run__untold_keys_are_told_by_the_next_start(void **state)
{
    struct account *account = open_account(state);
    struct first_run cut_off;
    struct first_run run;
    struct account_list list;

    assert_int_equal(first_run_ensure(account, (const char *)*state, "UTC", &cost, &cut_off, NULL),
                     0);
    assert_int_equal(first_run_ensure(account, (const char *)*state, "UTC", &cost, &run, NULL),
                     ERR_OK);
    assert_true(run.is_first);
    assert_string_equal(run.write_key, cut_off.write_key);
    assert_string_equal(run.read_key, cut_off.read_key);
    assert_true(run.is_admin_new);
    assert_int_equal(strlen(run.admin_password), PASSWORD_GENERATED_BYTES);
    assert_string_equal(run.admin_password, cut_off.admin_password);
    assert_true(run.is_admin_new);
    assert_int_equal(strlen(run.admin_password), PASSWORD_GENERATED_BYTES);
    assert_string_equal(run.admin_password, cut_off.admin_password);
    assert_int_equal(account_list(account, &list, NULL), ERR_OK);
    assert_int_equal(list.key_count, 2);
    account_list_free(&list);
    account_close(&account);
}

/* Two nodes of one database: here, two folders of keys' texts and one of accounts. */
static void
test_first_run__one_of_several_nodes_makes_the_keys(void **state)
{
    struct account *account = open_account(state);
    const char *second_dir = test_path(state, "second");
    struct account_list list;
    struct first_run first;
    struct first_run second;
    struct buf text;

    buf_init(&text, 8192);
    assert_int_equal(file_make_dir(second_dir, NULL), ERR_OK);
    assert_int_equal(first_run_ensure(account, (const char *)*state, "UTC", &cost, &first, NULL),
                     ERR_OK);
    /* the second had seen no keys, and has put texts of its own down meanwhile */
    second = first;
    second.write_key[10] = second.write_key[10] == 'a' ? 'b' : 'a';
    second.read_key[10] = second.read_key[10] == 'a' ? 'b' : 'a';
    buf_printf(&text, "write_key=%s\nread_key=%s\n", second.write_key, second.read_key);
    assert_int_equal(
        file_replace_whole(test_path(state, "second/first-run.txt"), buf_slice(&text), NULL),
        ERR_OK);
    assert_int_equal(first_run_ensure(account, second_dir, "UTC", &cost, &second, NULL), ERR_OK);
    assert_true(first.is_first);
    assert_false(second.is_first);
    assert_int_equal(second.write_key[0], 0);
    assert_false(file_exists(test_path(state, "second/first-run.txt")));
    assert_int_equal(account_list(account, &list, NULL), ERR_OK);
    assert_int_equal(list.key_count, 2);
    account_list_free(&list);
    second.is_shared = true;
    assert_int_equal(first_run_tell(&second, second_dir, "http://x", NULL, NULL, NULL), ERR_OK);
    read_text(test_path(state, "second/first-run.txt"), &text);
    assert_string_equal(text.ptr, "server=http://x\n");
    buf_fini(&text);
    account_close(&account);
}

static void
test_first_run__the_project_gets_its_zone(void **state)
{
    struct account *account = open_account(state);
    struct account_project project;
    struct first_run run;

    assert_int_equal(
        first_run_ensure(account, (const char *)*state, "Europe/Kyiv", &cost, &run, NULL), ERR_OK);
    assert_int_equal(account_project_get(account, ACCOUNT_PROJECT_DEFAULT, &project, NULL), ERR_OK);
    assert_string_equal(project.time_zone, "Europe/Kyiv");
    account_close(&account);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_folder__is_made_with_parents_and_locked),
        test_in_dir(test_folder__a_file_is_no_folder),
        test_in_dir(test_folder__is_of_one_kind_of_store),
        test_in_dir(test_first_run__keys_once_and_the_address_at_each_start),
        test_in_dir(test_first_run__admin_beside_older_keys),
        test_in_dir(test_first_run__untold_keys_are_told_by_the_next_start),
        test_in_dir(test_first_run__one_of_several_nodes_makes_the_keys),
        test_in_dir(test_first_run__the_project_gets_its_zone),
    };

    return cmocka_run_group_tests_name("folder", tests, NULL, NULL);
}
