/* Units of account/key_table: over a backend of the test's own, and over the real one. */
#include "../test.h"

#include "account/backend.h"
#include "account/key_table.h"
#include "base/thread.h"
#include "codec/hash.h"
#include <poll.h>
#include <stdatomic.h>

#define KEYS 300

/* A backend in memory, which can fail, and tells when the watcher has looked. */
struct mock {
    struct account account; /* first */
    _Atomic int changes;
    _Atomic bool is_failing;
    _Atomic bool is_list_failing;
    int seen;
    size_t key_count;
    size_t revoked; /* keys 0 … revoked − 1 are */
    struct channel *looks;
    bool is_closed;
};

static struct mock mock;

static struct slice
text_of(size_t number)
{
    static char text[ACCOUNT_KEY_TEXT_BYTES + 1];

    (void)snprintf(text, sizeof(text), "%ck_aaaaaaaaaaaaaaaaaaaaaaaa%c%c%c%c%c%c%c%c",
                   number % 2 == 0 ? 'w' : 'r', 'a' + (int)(number / 26 / 26 % 26),
                   'a' + (int)(number / 26 % 26), 'a' + (int)(number % 26), 'a', 'b', 'c', 'd',
                   'e');
    return slice_of_text(text);
}

static void
mock_close(struct account *account)
{
    assert_ptr_equal(account, &mock.account);
    mock.is_closed = true;
}

static enum err
mock_list(struct account *account, struct account_list *ret_list, struct diag *diag)
{
    struct account_list list = {NULL, mock.key_count, NULL, 2};

    (void)account;
    if (atomic_load(&mock.is_list_failing)) {
        diag_set(diag, "the disk is gone");
        return ERR_IO;
    }
    list.keys = MEM_NEW(struct account_key, mock.key_count);
    list.projects = MEM_NEW(struct account_project, 2);
    if (list.keys == NULL || list.projects == NULL) {
        account_list_free(&list);
        return ERR_NOMEM;
    }
    list.projects[0].id = 1;
    list.projects[1].id = 7;
    memcpy(list.projects[1].time_zone, "Europe/Kyiv", 12);
    for (size_t i = 0; i < list.key_count; i++) {
        list.keys[i].id = i + 1;
        list.keys[i].project_id = 7;
        list.keys[i].kind = i % 2 == 0 ? ACCOUNT_KEY_WRITE : ACCOUNT_KEY_READ;
        list.keys[i].revoked_at_us = i < mock.revoked ? 5 : 0;
        hash_sha256(text_of(i), list.keys[i].hash);
    }
    *ret_list = list;
    return ERR_OK;
}

static enum err
mock_has_changed(struct account *account, bool *ret_has_changed, struct diag *diag)
{
    int changes = atomic_load(&mock.changes);
    bool is_sent;

    (void)account;
    is_sent = channel_send(mock.looks, &mock); /* full is as good: somebody will wake */
    (void)is_sent;
    if (atomic_load(&mock.is_failing)) {
        diag_set(diag, "the file is gone");
        return ERR_IO;
    }
    *ret_has_changed = changes != mock.seen;
    mock.seen = changes;
    return ERR_OK;
}

static const struct account_backend mock_backend = {
    .close = mock_close,
    .list = mock_list,
    .has_changed = mock_has_changed,
};

static char reports[1000];

static void
report(void *state, enum log_level level, const char *event, const struct log_field *fields,
       size_t count)
{
    size_t len = strlen(reports);

    (void)state;
    (void)level;
    (void)snprintf(reports + len, sizeof(reports) - len, "%s(%.*s)", event,
                   SLICE_ARGS(count != 0 ? fields[0].value.text : SLICE_NONE));
}

static const struct log_sink sink = {.write = report, .state = NULL};
static struct clock_fake fake;
static struct key_table_config table_config = {.sink = &sink, .clock = &fake.clock};

static int
setup(void **state)
{
    (void)state;
    reports[0] = '\0';
    clock_fake_init(&fake, 1000);
    table_config.cache_ms_max = 0;
    mock = (struct mock){.account = {.backend = &mock_backend}, .key_count = KEYS};
    return channel_new(1, &mock.looks, NULL) == ERR_OK ? 0 : -1;
}

static int
teardown(void **state)
{
    (void)state;
    while (channel_receive(mock.looks) != NULL)
        continue;
    channel_free(&mock.looks);
    return 0;
}

static struct key_table *
start(void)
{
    struct account *account = &mock.account;
    struct key_table *table = NULL;

    assert_int_equal(key_table_start(&account, &table_config, &table, NULL), ERR_OK);
    assert_null(account);
    return table;
}

static void
test_key_table__finds_every_key_and_no_other(void **state)
{
    struct key_table *table = start();
    struct key_snapshot *snapshot = key_table_get(table);
    struct key_found found;
    size_t count = 0;

    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        assert_true(key_snapshot_find(snapshot, text_of(i), &found));
        assert_int_equal(found.key_id, i + 1);
        assert_int_equal(found.project_id, 7);
        assert_int_equal(found.kind, i % 2 == 0 ? ACCOUNT_KEY_WRITE : ACCOUNT_KEY_READ);
        assert_false(key_snapshot_find(snapshot, text_of(i + KEYS), &found));
    }
    assert_false(key_snapshot_find(snapshot, SLICE(""), &found));
    assert_false(key_snapshot_find(snapshot, SLICE_NONE, &found));
    assert_string_equal(key_snapshot_project(snapshot, 7)->time_zone, "Europe/Kyiv");
    assert_non_null(key_snapshot_project(snapshot, 1));
    for (uint32_t id = 0; id < 10; id++)
        assert_int_equal(key_snapshot_project(snapshot, id) != NULL, id == 1 || id == 7);
    assert_int_equal(key_snapshot_projects(snapshot, &count)[1].id, 7);
    assert_int_equal(count, 2);
    key_table_stop(&table);
    assert_null(table);
    assert_true(mock.is_closed);
    /* held: still good after the table has gone */
    assert_true(key_snapshot_find(snapshot, text_of(3), &found));
    key_snapshot_release(&snapshot);
    assert_null(snapshot);
    key_snapshot_release(&snapshot);
}

static void
test_key_table__refresh_drops_revoked_keys_from_new_snapshots_only(void **state)
{
    struct key_table *table;
    struct key_snapshot *old = NULL, *held = NULL;
    struct key_found found;

    (void)state;
    table = start();
    old = key_table_get(table);
    key_table_renew(table, &held);
    assert_ptr_equal(held, old);
    mock.revoked = 2;
    atomic_fetch_add(&mock.changes, 1);
    assert_int_equal(key_table_refresh(table, NULL), ERR_OK);
    assert_true(key_snapshot_find(old, text_of(0), &found));
    key_table_renew(table, &held);
    assert_ptr_not_equal(held, old);
    assert_false(key_snapshot_find(held, text_of(0), &found));
    assert_false(key_snapshot_find(held, text_of(1), &found));
    assert_true(key_snapshot_find(held, text_of(2), &found));
    key_snapshot_release(&old);
    key_snapshot_release(&held);
    key_table_stop(&table);
}

static void
test_key_table__serves_on_and_reports_once_while_rows_are_unreadable(void **state)
{
    struct key_table *table = start();
    struct key_snapshot *held = NULL;
    struct key_found found;
    struct diag diag = DIAG_INIT;

    (void)state;
    atomic_store(&mock.is_failing, true);
    assert_int_equal(key_table_refresh(table, &diag), ERR_IO);
    assert_string_equal(diag.message, "the file is gone");
    assert_int_equal(key_table_refresh(table, NULL), ERR_IO);
    key_table_renew(table, &held);
    assert_true(key_snapshot_find(held, text_of(5), &found));
    /* A change seen but not read is read later, though nothing changes any more. */
    mock.revoked = 6;
    atomic_fetch_add(&mock.changes, 1);
    atomic_store(&mock.is_list_failing, true);
    atomic_store(&mock.is_failing, false);
    assert_int_equal(key_table_refresh(table, NULL), ERR_IO);
    atomic_store(&mock.is_list_failing, false);
    assert_int_equal(key_table_refresh(table, NULL), ERR_OK);
    key_table_renew(table, &held);
    assert_false(key_snapshot_find(held, text_of(5), &found));
    key_snapshot_release(&held);
    key_table_stop(&table);
    assert_string_equal(reports, "account.unreadable(the file is gone)account.readable()");
}

/* The watcher looks, too, so that only the order of reports is asked. */
static void
test_key_table__serves_unreadable_rows_up_to_the_limit_and_no_longer(void **state)
{
    struct key_table *table;

    (void)state;
    table_config.cache_ms_max = 1000;
    table = start();
    clock_fake_move(&fake, 2000000);
    assert_int_equal(key_table_refresh(table, NULL), ERR_OK);
    atomic_store(&mock.is_failing, true);
    assert_int_equal(key_table_refresh(table, NULL), ERR_IO);
    clock_fake_move(&fake, 999999);
    assert_true(key_table_is_usable(table));
    clock_fake_move(&fake, 1);
    assert_int_equal(key_table_refresh(table, NULL), ERR_IO);
    assert_true(key_table_is_usable(table));
    clock_fake_move(&fake, 1);
    assert_false(key_table_is_usable(table));
    assert_int_equal(key_table_refresh(table, NULL), ERR_IO);
    assert_int_equal(key_table_refresh(table, NULL), ERR_IO);
    atomic_store(&mock.is_failing, false);
    assert_int_equal(key_table_refresh(table, NULL), ERR_OK);
    assert_true(key_table_is_usable(table));
    key_table_stop(&table);
    assert_string_equal(reports, "account.unreadable(the file is gone)"
                                 "account.expired(keys were last read longer ago than "
                                 "--auth-cache-max)account.readable()");
}

static void
test_key_table__serves_for_ever_without_a_limit(void **state)
{
    struct key_table *table = start();

    (void)state;
    atomic_store(&mock.is_failing, true);
    assert_int_equal(key_table_refresh(table, NULL), ERR_IO);
    clock_fake_move(&fake, INT64_C(1000) * US_PER_DAY);
    assert_true(key_table_is_usable(table));
    key_table_stop(&table);
}

static void
test_key_table__watcher_looks_by_itself(void **state)
{
    struct key_table *table = start();
    struct pollfd place = {.fd = channel_fd(mock.looks), .events = POLLIN};
    struct key_snapshot *held = NULL;
    struct key_found found;

    (void)state;
    key_table_renew(table, &held);
    assert_true(key_snapshot_find(held, text_of(0), &found));
    mock.revoked = 1;
    atomic_fetch_add(&mock.changes, 1);
    /* The look after the one that saw the change begins when its snapshot stands. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(poll(&place, 1, 10000), 1);
        while (channel_receive(mock.looks) != NULL)
            continue;
    }
    key_table_renew(table, &held);
    assert_false(key_snapshot_find(held, text_of(0), &found));
    key_snapshot_release(&held);
    key_table_stop(&table);
}

static void
test_key_table__out_of_memory_at_any_point_leaks_nothing(void **state)
{
    struct account *account;
    struct key_table *table = NULL;
    uint64_t k = 1;
    enum err err;

    (void)state;
    for (;; k++) {
        account = &mock.account;
        mock.is_closed = false;
        mem_fail_from(k, false);
        err = key_table_start(&account, &table_config, &table, NULL);
        mem_fail_from(0, false);
        if (err == ERR_OK)
            break;
        assert_int_equal(err, ERR_NOMEM);
        assert_true(mock.is_closed);
        assert_null(table);
    }
    assert_in_range(k, 5, 20);
    key_table_stop(&table);
}

static void
test_key_table__follows_a_key_made_by_another_link(void **state)
{
    const struct account_config config = {.data_dir = (const char *)*state,
                                          .may_create = true,
                                          .clock = clock_system(),
                                          .random = random_system()};
    struct account *writer = NULL, *watched = NULL;
    struct account_project project;
    struct account_key key;
    struct key_table *table = NULL;
    struct key_snapshot *held = NULL;
    struct key_found found;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];
    bool is_new;

    assert_int_equal(account_open(&config, &writer, NULL), ERR_OK);
    assert_int_equal(account_project_ensure_default(writer, "UTC", &project, &is_new, NULL), 0);
    assert_int_equal(account_open(&config, &watched, NULL), ERR_OK);
    assert_int_equal(key_table_start(&watched, &table_config, &table, NULL), ERR_OK);
    assert_int_equal(account_key_new(writer, 1, ACCOUNT_KEY_READ, "n", text, &key, NULL), ERR_OK);
    assert_int_equal(key_table_refresh(table, NULL), ERR_OK);
    key_table_renew(table, &held);
    assert_true(key_snapshot_find(held, slice_of_text(text), &found));
    assert_int_equal(found.kind, ACCOUNT_KEY_READ);
    assert_int_equal(account_key_revoke(writer, key.id, NULL), ERR_OK);
    assert_int_equal(key_table_refresh(table, NULL), ERR_OK);
    key_table_renew(table, &held);
    assert_false(key_snapshot_find(held, slice_of_text(text), &found));
    key_snapshot_release(&held);
    key_table_stop(&table);
    account_close(&writer);
}

#define with_mock(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        with_mock(test_key_table__finds_every_key_and_no_other),
        with_mock(test_key_table__refresh_drops_revoked_keys_from_new_snapshots_only),
        with_mock(test_key_table__serves_on_and_reports_once_while_rows_are_unreadable),
        with_mock(test_key_table__serves_unreadable_rows_up_to_the_limit_and_no_longer),
        with_mock(test_key_table__serves_for_ever_without_a_limit),
        with_mock(test_key_table__watcher_looks_by_itself),
        with_mock(test_key_table__out_of_memory_at_any_point_leaks_nothing),
        test_in_dir(test_key_table__follows_a_key_made_by_another_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
