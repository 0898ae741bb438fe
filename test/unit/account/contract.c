/*
 * contract - what holds of projects and keys wherever their rows stand. See contract.h.
 */
#include "contract.h"

#include "base/thread.h"
#include "codec/hash.h"
#include <poll.h>

struct clock_fake fake;
const struct account_actor nobody;

static enum err
set_zone(struct account *account, uint32_t id, const char *zone, struct diag *diag)
{
    struct account_project project = {.id = id, .name = "default"};

    (void)snprintf(project.time_zone, sizeof(project.time_zone), "%s", zone);
    return account_project_change(account, &nobody, &project, false, diag);
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

void
test_account__default_project_is_made_once(void **state)
{
    struct account *account = home.open(state, 0);
    struct account_project project;

    assert_int_equal(account_project_get(account, 1, &project, NULL), ERR_ABSENT);
    ensure_default(account, "Europe/Kyiv", true);
    clock_fake_move(&fake, 5);
    ensure_default(account, "UTC", false);
    account_close(&account);
    assert_null(account);
    account_close(&account);
    account = home.open(state, 0);
    assert_int_equal(account_project_get(account, 1, &project, NULL), ERR_OK);
    assert_string_equal(project.time_zone, "Europe/Kyiv");
    assert_int_equal(project.created_at_us, 1000);
    assert_int_equal(set_zone(account, 1, "UTC", NULL), ERR_OK);
    assert_int_equal(set_zone(account, 2, "UTC", NULL), ERR_ABSENT);
    assert_int_equal(account_project_get(account, 1, &project, NULL), ERR_OK);
    assert_string_equal(project.time_zone, "UTC");
    account_close(&account);
}

void
test_account__key_is_shown_once_and_stored_as_its_hash(void **state)
{
    struct account *account = home.open(state, 7);
    struct account_list list;
    struct account_key key;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];
    char again[ACCOUNT_KEY_TEXT_BYTES + 1];
    uint8_t hash[ACCOUNT_HASH_BYTES];

    ensure_default(account, "UTC", true);
    assert_int_equal(
        account_key_new(account, &nobody, 1, ACCOUNT_KEY_READ, "dash", 0, text, &key, NULL), 0);
    assert_int_equal(strlen(text), ACCOUNT_KEY_TEXT_BYTES);
    assert_memory_equal(text, "rk_", 3);
    assert_int_equal(strspn(text + 3, "abcdefghijklmnopqrstuvwxyz234567"), 32);
    assert_int_equal(
        account_key_new(account, &nobody, 1, ACCOUNT_KEY_WRITE, "w", 0, again, &key, NULL), 0);
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
    /* Neither the whole text nor its start stands anywhere. */
    assert_false(home.holds(state, text + 3, 20));
    assert_true(home.holds(state, hash, sizeof(hash)));
    account_close(&account);
}

/* 160 bits, first bit first, five to a character (RFC 4648, 6). */
void
test_account__key_text_is_base32_of_the_random_bytes(void **state)
{
    struct account *account = home.open(state, 7);
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
    assert_int_equal(
        account_key_new(account, &nobody, 1, ACCOUNT_KEY_READ, "n", 0, text, &key, NULL), 0);
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

void
test_account__revoke_by_id_or_text_keeps_the_first_time(void **state)
{
    struct account *account = home.open(state, 7);
    struct account_list list;
    struct account_key first, second;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];

    ensure_default(account, "UTC", true);
    assert_int_equal(
        account_key_new(account, &nobody, 1, ACCOUNT_KEY_WRITE, "a", 0, text, &first, NULL), 0);
    assert_int_equal(
        account_key_new(account, &nobody, 1, ACCOUNT_KEY_WRITE, "b", 0, text, &second, NULL), 0);
    clock_fake_move(&fake, 10);
    assert_int_equal(account_key_revoke(account, &nobody, 0, first.id, NULL), ERR_OK);
    clock_fake_move(&fake, 10);
    assert_int_equal(account_key_revoke(account, &nobody, 0, first.id, NULL), ERR_OK);
    assert_int_equal(account_key_revoke_text(account, &nobody, slice_of_text(text), NULL), ERR_OK);
    assert_int_equal(account_list(account, &list, NULL), ERR_OK);
    assert_int_equal(list.keys[0].revoked_at_us, 1010);
    assert_int_equal(list.keys[1].revoked_at_us, 1020);
    account_list_free(&list);
    assert_int_equal(account_key_revoke(account, &nobody, 0, 99, NULL), ERR_ABSENT);
    assert_int_equal(account_key_revoke(account, &nobody, 0, 0, NULL), ERR_ABSENT);
    assert_int_equal(account_key_revoke(account, &nobody, 0, UINT64_MAX, NULL), ERR_ABSENT);
    text[10] = text[10] == 'a' ? 'b' : 'a';
    assert_int_equal(account_key_revoke_text(account, &nobody, slice_of_text(text), NULL),
                     ERR_ABSENT);
    assert_int_equal(account_key_revoke_text(account, &nobody, SLICE("x"), NULL), ERR_ABSENT);
    account_close(&account);
}

void
test_account__names_have_limits(void **state)
{
    static const char *const bad[] = {"", "a\nb", "a\x7F", "\xFF"};
    struct account *account = home.open(state, 0);
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
        assert_int_equal(
            account_key_new(account, &nobody, 1, ACCOUNT_KEY_READ, name, 0, text, &key, &diag),
            len <= 64 ? ERR_OK : ERR_INVALID);
        assert_int_equal(account_project_ensure_default(account, name, &project, &is_new, &diag),
                         len <= 63 ? ERR_OK : ERR_INVALID);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(
            account_key_new(account, &nobody, 1, ACCOUNT_KEY_READ, bad[i], 0, text, &key, &diag),
            ERR_INVALID);
    assert_string_equal(diag.field, "name");
    assert_int_equal(
        account_key_new(account, &nobody, 2, ACCOUNT_KEY_READ, "n", 0, text, &key, &diag),
        ERR_ABSENT);
    assert_int_equal(set_zone(account, 1, "", &diag), ERR_INVALID);
    account_close(&account);
}

void
test_account__keys_have_a_maximum(void **state)
{
    struct account *account = home.open(state, 0);
    struct account_key key;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];

    ensure_default(account, "UTC", true);
    home.add_keys(state, 99999);
    assert_int_equal(
        account_key_new(account, &nobody, 1, ACCOUNT_KEY_READ, "n", 0, text, &key, NULL), ERR_OK);
    assert_int_equal(
        account_key_new(account, &nobody, 1, ACCOUNT_KEY_READ, "n", 0, text, &key, NULL), ERR_FULL);
    account_close(&account);
}

static bool
add_first(struct account *account, const char *write_text, const char *read_text)
{
    const struct slice texts[2] = {slice_of_text(write_text), slice_of_text(read_text)};
    bool is_first = false;

    assert_int_equal(account_keys_add_first(account, 1, "first run", texts, &is_first, NULL),
                     ERR_OK);
    return is_first;
}

void
test_account__first_keys_are_those_of_one(void **state)
{
    static const struct slice bad[2] = {{"wk_x", 4}, {"rk_x", 4}};
    struct account *account = home.open(state, 7), *other = home.open(state, 8);
    char write_text[2][ACCOUNT_KEY_TEXT_BYTES + 1];
    char read_text[2][ACCOUNT_KEY_TEXT_BYTES + 1];
    struct account_list list;
    struct account_key key;
    bool is_first;

    ensure_default(account, "UTC", true);
    for (size_t i = 0; i < 2; i++) {
        account_key_make_text(i == 0 ? account : other, ACCOUNT_KEY_WRITE, write_text[i]);
        account_key_make_text(i == 0 ? account : other, ACCOUNT_KEY_READ, read_text[i]);
    }
    assert_int_equal(account_keys_add_first(account, 1, "n", bad, &is_first, NULL), ERR_INVALID);
    /* one of the two stands already: a start that was cut off; the other one is added */
    assert_int_equal(account_key_add(account, &nobody, 1, "first run", 0,
                                     slice_of_text(write_text[0]), &key, NULL),
                     ERR_OK);
    assert_true(add_first(account, write_text[0], read_text[0]));
    assert_true(add_first(account, write_text[0], read_text[0]));
    assert_false(add_first(other, write_text[1], read_text[1]));
    /* still theirs when there are others besides, and when they are revoked */
    assert_int_equal(
        account_key_new(account, &nobody, 1, ACCOUNT_KEY_READ, "n", 0, write_text[1], &key, NULL),
        ERR_OK);
    assert_int_equal(account_key_revoke_text(account, &nobody, slice_of_text(read_text[0]), NULL),
                     ERR_OK);
    assert_true(add_first(account, write_text[0], read_text[0]));
    assert_int_equal(account_list(account, &list, NULL), ERR_OK);
    assert_int_equal(list.key_count, 3);
    account_list_free(&list);
    account_close(&account);
    account_close(&other);
}

struct racer {
    struct account *account;
    struct thread *thread;
    char texts[2][ACCOUNT_KEY_TEXT_BYTES + 1];
    enum err err;
    bool is_first;
};

static void
race(void *arg)
{
    struct racer *racer = (struct racer *)arg;
    const struct slice texts[2] = {slice_of_text(racer->texts[0]), slice_of_text(racer->texts[1])};
    struct account_project project;
    bool is_new;

    racer->err = account_project_ensure_default(racer->account, "UTC", &project, &is_new, NULL);
    if (racer->err == ERR_OK)
        racer->err =
            account_keys_add_first(racer->account, 1, "first run", texts, &racer->is_first, NULL);
}

void
test_account__of_many_who_start_at_once_one_is_first(void **state)
{
    struct racer racers[6];
    struct account_list list;
    int firsts = 0;

    memset(racers, 0, sizeof(racers));
    for (size_t i = 0; i < COUNT_OF(racers); i++) {
        racers[i].account = home.open(state, 0);
        account_key_make_text(racers[i].account, ACCOUNT_KEY_WRITE, racers[i].texts[0]);
        account_key_make_text(racers[i].account, ACCOUNT_KEY_READ, racers[i].texts[1]);
    }
    for (size_t i = 0; i < COUNT_OF(racers); i++)
        assert_int_equal(
            thread_start("racer", THREAD_NORMAL, race, &racers[i], &racers[i].thread, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(racers); i++) {
        thread_join(&racers[i].thread);
        assert_int_equal(racers[i].err, ERR_OK);
        firsts += racers[i].is_first;
    }
    assert_int_equal(firsts, 1);
    assert_int_equal(account_list(racers[0].account, &list, NULL), ERR_OK);
    assert_int_equal(list.key_count, 2);
    assert_int_equal(list.project_count, 1);
    account_list_free(&list);
    for (size_t i = 0; i < COUNT_OF(racers); i++)
        account_close(&racers[i].account);
}

/* A server tells it by itself, a moment later. */
void
contract_wait_for_change(struct account *watcher)
{
    bool has_changed = false;

    for (int i = 0; i < 1000 && !has_changed; i++) {
        assert_int_equal(account_has_changed(watcher, &has_changed, NULL), ERR_OK);
        if (!has_changed)
            (void)poll(NULL, 0, 10);
    }
    assert_true(has_changed);
}

void
test_account__sees_what_another_link_commits(void **state)
{
    struct account *watcher, *writer = home.open(state, 0);
    struct account_key key;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];
    bool has_changed = true;

    ensure_default(writer, "UTC", true);
    watcher = home.open(state, 0);
    assert_int_equal(account_has_changed(watcher, &has_changed, NULL), ERR_OK);
    assert_false(has_changed);
    assert_int_equal(set_zone(writer, 1, "Europe/Kyiv", NULL), ERR_OK);
    contract_wait_for_change(watcher);
    assert_int_equal(account_has_changed(watcher, &has_changed, NULL), ERR_OK);
    assert_false(has_changed);
    assert_int_equal(
        account_key_new(writer, &nobody, 1, ACCOUNT_KEY_READ, "n", 0, text, &key, NULL), ERR_OK);
    contract_wait_for_change(watcher);
    assert_int_equal(account_key_revoke(writer, &nobody, 0, key.id, NULL), ERR_OK);
    contract_wait_for_change(watcher);
    account_close(&watcher);
    account_close(&writer);
}
