/* Units of account/access: over a source of the test's own, and over the real rows. */
#include "../test.h"

#include "account/access_inside.h"
#include "base/file.h"
#include "base/thread.h"
#include "codec/hash.h"
#include <poll.h>
#include <stdatomic.h>

#define KEYS 300
#define NOW_US INT64_C(1000)
#define SESSION "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Rows in memory, which can fail, and tell when the watcher has looked. */
struct mock {
    _Atomic int changes;
    _Atomic bool is_failing;
    _Atomic bool is_list_failing;
    int seen;
    size_t key_count;
    size_t revoked;        /* keys 0 … revoked − 1 are */
    int64_t expires_at_us; /* of all keys */
    bool is_session_revoked;
    int64_t revoked_since_us; /* as asked */
    struct account_key_use uses[8];
    size_t use_count;
    bool are_uses_failing;
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
mock_close(void *state)
{
    assert_ptr_equal(state, &mock);
    mock.is_closed = true;
}

static void
fill_keys(struct account_list *list)
{
    list->projects[0].id = 1;
    list->projects[1].id = 7;
    memcpy(list->projects[1].time_zone, "Europe/Kyiv", 12);
    for (size_t i = 0; i < list->key_count; i++) {
        list->keys[i].id = i + 1;
        list->keys[i].project_id = 7;
        list->keys[i].kind = i % 2 == 0 ? ACCOUNT_KEY_WRITE : ACCOUNT_KEY_READ;
        list->keys[i].revoked_at_us = i < mock.revoked ? 5 : 0;
        list->keys[i].expires_at_us = mock.expires_at_us;
        hash_sha256(text_of(i), list->keys[i].hash);
    }
}

/* 3: admin; 4: analyst of 7; 5: owner of 1, ingest of 7, and of 99, which is gone. */
static void
fill_logins(struct login_list *list)
{
    static const struct login_membership memberships[] = {{4, 7, LOGIN_ROLE_ANALYST},
                                                          {5, 1, LOGIN_ROLE_OWNER},
                                                          {5, 7, LOGIN_ROLE_INGEST},
                                                          {5, 99, LOGIN_ROLE_OWNER}};

    for (size_t i = 0; i < list->login_count; i++) {
        list->logins[i].id = 3 + i;
        list->logins[i].is_admin = i == 0;
        memcpy(list->logins[i].email, "ann@example.com", 16);
        memcpy(list->logins[i].password.text, "$argon2id$", 11);
    }
    memcpy(list->memberships, memberships, sizeof(memberships));
}

static enum err
mock_read(void *state, int64_t revoked_since_us, struct access_rows *ret_rows, struct diag *diag)
{
    CLEANUP(access_rows_free) struct access_rows rows = {0};

    (void)state;
    mock.revoked_since_us = revoked_since_us;
    if (atomic_load(&mock.is_list_failing)) {
        diag_set(diag, "the disk is gone");
        return ERR_IO;
    }
    rows.keys.keys = MEM_NEW(struct account_key, mock.key_count);
    rows.keys.projects = MEM_NEW(struct account_project, 2);
    rows.logins.logins = MEM_NEW(struct login, 3);
    rows.logins.memberships = MEM_NEW(struct login_membership, 4);
    rows.revoked = MEM_NEW(struct session_id, 2);
    if (rows.keys.keys == NULL || rows.keys.projects == NULL || rows.logins.logins == NULL ||
        rows.logins.memberships == NULL || rows.revoked == NULL)
        return ERR_NOMEM;
    rows.keys.key_count = mock.key_count;
    rows.keys.project_count = 2;
    rows.logins.login_count = 3;
    rows.logins.membership_count = 4;
    rows.revoked_count = mock.is_session_revoked ? 2 : 1;
    memset(rows.revoked[0].text, 'f', SESSION_ID_BYTES);
    memset(rows.revoked[1].text, 'a', SESSION_ID_BYTES);
    fill_keys(&rows.keys);
    fill_logins(&rows.logins);
    *ret_rows = rows;
    rows = (struct access_rows){0};
    return ERR_OK;
}

static enum err
mock_has_changed(void *state, bool *ret_has_changed, struct diag *diag)
{
    int changes = atomic_load(&mock.changes);
    bool is_sent;

    (void)state;
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

static enum err
mock_keys_used(void *state, const struct account_key_use *uses, size_t count, struct diag *diag)
{
    (void)state;
    (void)diag;
    if (mock.are_uses_failing)
        return ERR_IO;
    for (size_t i = 0; i < count && mock.use_count < COUNT_OF(mock.uses); i++)
        mock.uses[mock.use_count++] = uses[i];
    return ERR_OK;
}

static enum err
mock_sweep(void *state, struct diag *diag)
{
    (void)state;
    (void)diag;
    return ERR_OK;
}

static const struct access_source source = {.read = mock_read,
                                            .has_changed = mock_has_changed,
                                            .keys_used = mock_keys_used,
                                            .sweep = mock_sweep,
                                            .close = mock_close,
                                            .state = &mock};

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
static struct access_config table_config = {.sink = &sink, .clock = &fake.clock};

static int
setup(void **state)
{
    (void)state;
    reports[0] = '\0';
    clock_fake_init(&fake, 1000);
    table_config.cache_ms_max = 0;
    mock = (struct mock){.key_count = KEYS};
    table_config.ring.dir = NULL;
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

static struct access_table *
start(void)
{
    struct access_table *table = NULL;

    assert_int_equal(access_start_over(&source, &table_config, &table, NULL), ERR_OK);
    return table;
}

static void
test_access__finds_every_key_and_no_other(void **state)
{
    struct access_table *table = start();
    struct access_snapshot *snapshot = access_get(table);
    struct access_key found;
    size_t count = 0;

    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        assert_true(access_find_key(snapshot, text_of(i), NOW_US, &found));
        assert_int_equal(found.key_id, i + 1);
        assert_int_equal(found.project_id, 7);
        assert_int_equal(found.kind, i % 2 == 0 ? ACCOUNT_KEY_WRITE : ACCOUNT_KEY_READ);
        assert_false(access_find_key(snapshot, text_of(i + KEYS), NOW_US, &found));
    }
    assert_false(access_find_key(snapshot, SLICE(""), NOW_US, &found));
    assert_false(access_find_key(snapshot, SLICE_NONE, NOW_US, &found));
    assert_string_equal(access_project(snapshot, 7)->time_zone, "Europe/Kyiv");
    assert_non_null(access_project(snapshot, 1));
    for (uint32_t id = 0; id < 10; id++)
        assert_int_equal(access_project(snapshot, id) != NULL, id == 1 || id == 7);
    assert_int_equal(access_projects(snapshot, &count)[1].id, 7);
    assert_int_equal(count, 2);
    access_stop(&table);
    assert_null(table);
    assert_true(mock.is_closed);
    /* held: still good after the table has gone */
    assert_true(access_find_key(snapshot, text_of(3), NOW_US, &found));
    access_release(&snapshot);
    assert_null(snapshot);
    access_release(&snapshot);
}

static void
test_access__refresh_drops_revoked_keys_from_new_snapshots_only(void **state)
{
    struct access_table *table;
    struct access_snapshot *old = NULL, *held = NULL;
    struct access_key found;

    (void)state;
    table = start();
    old = access_get(table);
    access_renew(table, &held);
    assert_ptr_equal(held, old);
    mock.revoked = 2;
    atomic_fetch_add(&mock.changes, 1);
    assert_int_equal(access_refresh(table, NULL), ERR_OK);
    assert_true(access_find_key(old, text_of(0), NOW_US, &found));
    access_renew(table, &held);
    assert_ptr_not_equal(held, old);
    assert_false(access_find_key(held, text_of(0), NOW_US, &found));
    assert_false(access_find_key(held, text_of(1), NOW_US, &found));
    assert_true(access_find_key(held, text_of(2), NOW_US, &found));
    access_release(&old);
    access_release(&held);
    access_stop(&table);
}

static void
test_access__refresh_reads_though_nothing_was_told(void **state)
{
    struct access_table *table;
    struct access_snapshot *held = NULL;
    struct access_key found;

    (void)state;
    table = start();
    mock.revoked = 2; /* and `changes` stays: PostgreSQL's word comes later */
    assert_int_equal(access_refresh(table, NULL), ERR_OK);
    access_renew(table, &held);
    assert_false(access_find_key(held, text_of(0), NOW_US, &found));
    assert_true(access_find_key(held, text_of(2), NOW_US, &found));
    access_release(&held);
    access_stop(&table);
}

static void
test_access__serves_on_and_reports_once_while_rows_are_unreadable(void **state)
{
    struct access_table *table = start();
    struct access_snapshot *held = NULL;
    struct access_key found;
    struct diag diag = DIAG_INIT;

    (void)state;
    atomic_store(&mock.is_failing, true);
    assert_int_equal(access_refresh(table, &diag), ERR_IO);
    assert_string_equal(diag.message, "the file is gone");
    assert_int_equal(access_refresh(table, NULL), ERR_IO);
    access_renew(table, &held);
    assert_true(access_find_key(held, text_of(5), NOW_US, &found));
    /* A change seen but not read is read later, though nothing changes any more. */
    mock.revoked = 6;
    atomic_fetch_add(&mock.changes, 1);
    atomic_store(&mock.is_list_failing, true);
    atomic_store(&mock.is_failing, false);
    assert_int_equal(access_refresh(table, NULL), ERR_IO);
    atomic_store(&mock.is_list_failing, false);
    assert_int_equal(access_refresh(table, NULL), ERR_OK);
    access_renew(table, &held);
    assert_false(access_find_key(held, text_of(5), NOW_US, &found));
    access_release(&held);
    access_stop(&table);
    assert_string_equal(reports, "account.unreadable(the file is gone)account.readable()");
}

/* The watcher looks, too, so that only the order of reports is asked. */
static void
test_access__serves_unreadable_rows_up_to_the_limit_and_no_longer(void **state)
{
    struct access_table *table;

    (void)state;
    table_config.cache_ms_max = 1000;
    table = start();
    clock_fake_move(&fake, 2000000);
    assert_int_equal(access_refresh(table, NULL), ERR_OK);
    atomic_store(&mock.is_failing, true);
    assert_int_equal(access_refresh(table, NULL), ERR_IO);
    clock_fake_move(&fake, 999999);
    assert_true(access_is_usable(table));
    clock_fake_move(&fake, 1);
    assert_int_equal(access_refresh(table, NULL), ERR_IO);
    assert_true(access_is_usable(table));
    clock_fake_move(&fake, 1);
    assert_false(access_is_usable(table));
    assert_int_equal(access_refresh(table, NULL), ERR_IO);
    assert_int_equal(access_refresh(table, NULL), ERR_IO);
    atomic_store(&mock.is_failing, false);
    assert_int_equal(access_refresh(table, NULL), ERR_OK);
    assert_true(access_is_usable(table));
    access_stop(&table);
    assert_string_equal(reports, "account.unreadable(the file is gone)"
                                 "account.expired(keys were last read longer ago than "
                                 "--auth-cache-max)account.readable()");
}

static void
test_access__serves_for_ever_without_a_limit(void **state)
{
    struct access_table *table = start();

    (void)state;
    atomic_store(&mock.is_failing, true);
    assert_int_equal(access_refresh(table, NULL), ERR_IO);
    clock_fake_move(&fake, INT64_C(1000) * US_PER_DAY);
    assert_true(access_is_usable(table));
    access_stop(&table);
}

static void
test_access__watcher_looks_by_itself(void **state)
{
    struct access_table *table = start();
    struct pollfd place = {.fd = channel_fd(mock.looks), .events = POLLIN};
    struct access_snapshot *held = NULL;
    struct access_key found;

    (void)state;
    access_renew(table, &held);
    assert_true(access_find_key(held, text_of(0), NOW_US, &found));
    mock.revoked = 1;
    atomic_fetch_add(&mock.changes, 1);
    /* The look after the one that saw the change begins when its snapshot stands. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(poll(&place, 1, 10000), 1);
        while (channel_receive(mock.looks) != NULL)
            continue;
    }
    access_renew(table, &held);
    assert_false(access_find_key(held, text_of(0), NOW_US, &found));
    access_release(&held);
    access_stop(&table);
}

static void
test_access__out_of_memory_at_any_point_leaks_nothing(void **state)
{
    struct access_table *table = NULL;
    uint64_t k = 1;
    enum err err;

    (void)state;
    for (;; k++) {
        mock.is_closed = false;
        mem_fail_from(k, false);
        err = access_start_over(&source, &table_config, &table, NULL);
        mem_fail_from(0, false);
        if (err == ERR_OK)
            break;
        assert_int_equal(err, ERR_NOMEM);
        assert_true(mock.is_closed);
        assert_null(table);
    }
    assert_in_range(k, 10, 30);
    access_stop(&table);
}

static void
test_access__follows_a_key_made_by_another_link(void **state)
{
    static const struct account_actor nobody;
    const struct account_config config = {.data_dir = (const char *)*state,
                                          .may_create = true,
                                          .clock = clock_system(),
                                          .random = random_system()};
    struct account *writer = NULL, *watched = NULL;
    struct account_project project;
    struct account_key key;
    struct access_table *table = NULL;
    struct access_snapshot *held = NULL;
    struct access_key found;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];
    bool is_new;

    assert_int_equal(account_open(&config, &writer, NULL), ERR_OK);
    assert_int_equal(account_project_ensure_default(writer, "UTC", &project, &is_new, NULL), 0);
    assert_int_equal(account_open(&config, &watched, NULL), ERR_OK);
    table_config.ring.dir = NULL; /* of the test before; its folder is gone */
    assert_int_equal(access_start(&watched, &table_config, &table, NULL), ERR_OK);
    assert_int_equal(
        account_key_new(writer, &nobody, 1, ACCOUNT_KEY_READ, "n", 0, text, &key, NULL), ERR_OK);
    assert_int_equal(access_refresh(table, NULL), ERR_OK);
    access_renew(table, &held);
    assert_true(access_find_key(held, slice_of_text(text), NOW_US, &found));
    assert_int_equal(found.kind, ACCOUNT_KEY_READ);
    assert_int_equal(account_key_revoke(writer, &nobody, 0, key.id, NULL), ERR_OK);
    assert_int_equal(access_refresh(table, NULL), ERR_OK);
    access_renew(table, &held);
    assert_false(access_find_key(held, slice_of_text(text), NOW_US, &found));
    access_release(&held);
    access_stop(&table);
    account_close(&writer);
}

static void
test_access__a_key_ends_when_it_expires(void **state)
{
    struct access_table *table;
    struct access_snapshot *held = NULL;
    struct access_key key;

    (void)state;
    mock.expires_at_us = 5000;
    table = start();
    access_renew(table, &held);
    assert_true(access_find_key(held, text_of(1), 4999, &key));
    assert_int_equal(key.expires_at_us, 5000);
    assert_false(access_find_key(held, text_of(1), 5000, &key));
    assert_false(access_find_key(held, text_of(1), 5001, &key));
    access_release(&held);
    access_stop(&table);
}

static void
test_access__uses_of_keys_are_written_when_keys_change_and_at_the_stop(void **state)
{
    struct access_table *table = start();
    struct access_snapshot *held = NULL;
    struct access_key key;

    (void)state;
    access_renew(table, &held);
    assert_true(access_find_key(held, text_of(9), NOW_US, &key));
    access_note_use(held, &key, 2000000);
    access_note_use(held, &key, 2999999); /* within a second: the first stays */
    assert_true(access_find_key(held, text_of(1), NOW_US, &key));
    access_note_use(held, &key, 2500000); /* the last of a key that is revoked then */
    mock.revoked = 3;                     /* places move */
    atomic_fetch_add(&mock.changes, 1);
    assert_int_equal(access_refresh(table, NULL), ERR_OK);
    assert_int_equal(mock.use_count, 2);
    access_renew(table, &held);
    assert_true(access_find_key(held, text_of(4), NOW_US, &key));
    access_note_use(held, &key, 7000000);
    access_release(&held);
    access_stop(&table);
    assert_int_equal(mock.use_count, 3);
    assert_int_equal(mock.uses[0].key_id, 2);
    assert_int_equal(mock.uses[0].used_at_us, 2500000);
    assert_int_equal(mock.uses[1].key_id, 10);
    assert_int_equal(mock.uses[1].used_at_us, 2000000);
    assert_int_equal(mock.uses[2].key_id, 5);
    assert_int_equal(mock.uses[2].used_at_us, 7000000);
}

static void
test_access__uses_not_written_are_given_back(void **state)
{
    struct access_table *table = start();
    struct access_snapshot *held = NULL;
    struct access_key key;
    struct account_key_use uses[4];

    (void)state;
    access_renew(table, &held);
    assert_true(access_find_key(held, text_of(9), NOW_US, &key));
    access_note_use(held, &key, 2000000);
    assert_int_equal(access_take_uses(held, uses, 4), 1);
    assert_int_equal(access_take_uses(held, uses, 4), 0);
    access_give_back_uses(held, uses, 1);
    assert_int_equal(access_take_uses(held, uses, 4), 1);
    access_release(&held);
    access_stop(&table);
}

static void
test_access__roles_by_login_and_project(void **state)
{
    struct access_table *table = start();
    struct access_snapshot *held = NULL;
    const struct access_login admin = {.login_id = 3, .is_admin = true};
    const struct access_login analyst = {.login_id = 4};
    const struct access_login several = {.login_id = 5};
    const struct access_login nobody = {.login_id = 6};
    size_t count;

    (void)state;
    access_renew(table, &held);
    assert_int_equal(access_role(held, &admin, 1), LOGIN_ROLE_OWNER);
    assert_int_equal(access_role(held, &admin, 99), LOGIN_ROLE_NONE);
    assert_int_equal(access_role(held, &analyst, 7), LOGIN_ROLE_ANALYST);
    assert_int_equal(access_role(held, &analyst, 1), LOGIN_ROLE_NONE);
    assert_int_equal(access_role(held, &several, 1), LOGIN_ROLE_OWNER);
    assert_int_equal(access_role(held, &several, 7), LOGIN_ROLE_INGEST);
    assert_int_equal(access_role(held, &several, 99), LOGIN_ROLE_NONE);
    assert_int_equal(access_role(held, &nobody, 7), LOGIN_ROLE_NONE);
    assert_int_equal(access_only_project(held, &admin), 0);
    assert_int_equal(access_only_project(held, &analyst), 7);
    assert_int_equal(access_only_project(held, &several), 0);
    assert_int_equal(access_only_project(held, &nobody), 0);
    assert_int_equal(access_memberships(held, 5, &count)[0].project_id, 1);
    assert_int_equal(count, 3);
    assert_null(access_memberships(held, 3, &count));
    assert_int_equal(count, 0);
    assert_string_equal(access_email(held, 4), "ann@example.com");
    assert_null(access_email(held, 6));
    access_release(&held);
    access_stop(&table);
}

static const char *
find_token(const struct access_snapshot *snapshot, const char *subject, const char *token_id)
{
    static struct diag diag;
    static char text[TOKEN_MADE_BYTES_MAX + 1];
    struct access_login login;
    enum err err;

    diag_clear(&diag);
    assert_int_equal(token_issue(access_ring(snapshot), slice_of_text(subject),
                                 slice_of_text(token_id), 100, 60, text, NULL),
                     ERR_OK);
    err = access_find_token(snapshot, slice_of_text(text), 100000000, &login, &diag);
    if (err != ERR_OK) {
        assert_int_equal(err, ERR_UNAUTHORIZED);
        return diag.message;
    }
    assert_string_equal(login.session_id, SESSION);
    assert_int_equal(login.login_id, 4);
    assert_int_equal(login.expires_at_us, 160000000);
    return "ok";
}

static void
test_access__tokens_end_with_their_account_and_session(void **state)
{
    struct access_table *table;
    struct access_snapshot *held = NULL;

    clock_fake_move(&fake, 100 * INT64_C(1000000)); /* times of keys are whole seconds, from 1 */
    table_config.ring = (struct key_ring_config){
        .dir = (const char *)*state, .may_create = true, .random = random_system()};
    table_config.token_life_s = 900;
    table = start();
    access_renew(table, &held);
    assert_string_equal(find_token(held, "4", SESSION ".0"), "ok");
    assert_string_equal(find_token(held, "4", SESSION ".17"), "ok");
    assert_string_equal(find_token(held, "6", SESSION ".0"),
                        "the account of this token is there no longer");
    assert_string_equal(find_token(held, "04", SESSION ".0"),
                        "the account of this token is there no longer");
    assert_string_equal(find_token(held, "18446744073709551620", SESSION ".0"),
                        "the account of this token is there no longer");
    assert_string_equal(find_token(held, "4", SESSION), "jti: not of a session");
    assert_string_equal(find_token(held, "4", "a.0"), "jti: not of a session");
    mock.is_session_revoked = true;
    atomic_fetch_add(&mock.changes, 1);
    assert_int_equal(access_refresh(table, NULL), ERR_OK);
    access_renew(table, &held);
    assert_string_equal(find_token(held, "4", SESSION ".0"),
                        "this session has ended; log in again");
    assert_int_equal(mock.revoked_since_us, clock_wall_us(&fake.clock) - 960000000);
    access_release(&held);
    access_stop(&table);
}

static void
test_access__takes_over_a_ring_turned_by_another_process(void **state)
{
    struct access_table *table;
    struct access_snapshot *held = NULL;
    struct key_ring *turned = NULL;

    clock_fake_move(&fake, 100 * INT64_C(1000000)); /* times of keys are whole seconds, from 1 */
    table_config.ring = (struct key_ring_config){
        .dir = (const char *)*state, .may_create = true, .random = random_system()};
    table = start();
    access_renew(table, &held);
    assert_int_equal(key_ring_rotate(&table_config.ring, KEY_RING_KEEP_S_MAX, 101, &turned, NULL),
                     ERR_OK);
    assert_string_not_equal(key_ring_signer(turned)->kid, key_ring_signer(access_ring(held))->kid);
    assert_int_equal(access_refresh(table, NULL), ERR_OK);
    access_renew(table, &held);
    assert_string_equal(key_ring_signer(turned)->kid, key_ring_signer(access_ring(held))->kid);
    key_ring_close(&turned);
    access_release(&held);
    access_stop(&table);
}

static int
setup_in_dir(void **state)
{
    return setup(state) == 0 ? test_dir_setup(state) : -1;
}

static int
teardown_in_dir(void **state)
{
    return test_dir_teardown(state) == 0 ? teardown(state) : -1;
}

#define with_mock_in_dir(function)                                                                 \
    cmocka_unit_test_setup_teardown(function, setup_in_dir, teardown_in_dir)
#define with_mock(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        with_mock(test_access__finds_every_key_and_no_other),
        with_mock(test_access__refresh_drops_revoked_keys_from_new_snapshots_only),
        with_mock(test_access__refresh_reads_though_nothing_was_told),
        with_mock(test_access__serves_on_and_reports_once_while_rows_are_unreadable),
        with_mock(test_access__serves_unreadable_rows_up_to_the_limit_and_no_longer),
        with_mock(test_access__serves_for_ever_without_a_limit),
        with_mock(test_access__watcher_looks_by_itself),
        with_mock(test_access__out_of_memory_at_any_point_leaks_nothing),
        with_mock(test_access__a_key_ends_when_it_expires),
        with_mock(test_access__uses_of_keys_are_written_when_keys_change_and_at_the_stop),
        with_mock(test_access__uses_not_written_are_given_back),
        with_mock(test_access__roles_by_login_and_project),
        with_mock_in_dir(test_access__tokens_end_with_their_account_and_session),
        with_mock_in_dir(test_access__takes_over_a_ring_turned_by_another_process),
        test_in_dir(test_access__follows_a_key_made_by_another_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
