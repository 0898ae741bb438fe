/*
 * contract_people - what holds of projects' settings, logins, roles, sessions and the audit log,
 * wherever their rows stand. See contract.h.
 */
#include "contract.h"

#include "account/audit.h"
#include "account/session.h"

#define LIFE_US INT64_C(1000000000)

static const struct password_hash hash = {
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2E$aGFzaA"};
static const struct password_hash other_hash = {"$argon2id$v=19$m=19456,t=3,p=1$c2FsdA$aGFzaA"};
const struct account_actor ann = {.kind = ACCOUNT_ACTOR_LOGIN, .id = 7, .from = "127.0.0.1"};

struct account *
contract_open_with_project(void **state)
{
    struct account *account = home.open(state, 0);
    struct account_project project;
    bool is_new;

    assert_int_equal(account_project_ensure_default(account, "UTC", &project, &is_new, NULL),
                     ERR_OK);
    return account;
}

struct login
contract_add_login(struct account *account, const char *email, bool is_admin)
{
    struct login login;
    struct diag diag = DIAG_INIT;

    if (login_add(account, &ann, email, &hash, is_admin, &login, &diag) != ERR_OK)
        fail_msg("%s", diag.message);
    return login;
}

/* --- projects ---------------------------------------------------------------------------------*/

void
test_account__projects_are_added_changed_and_their_names_are_unique(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct account_project made, found;
    struct account_project wanted = {.name = "shop",
                                     .time_zone = "Europe/Kyiv",
                                     .week_start = ACCOUNT_WEEK_SUNDAY,
                                     .retention_days = 36500};
    struct diag diag = DIAG_INIT;

    assert_int_equal(account_project_add(account, &ann, &wanted, &made, NULL), ERR_OK);
    assert_int_equal(made.id, 2);
    assert_int_equal(account_project_add(account, &ann, &wanted, &found, &diag), ERR_EXISTS);
    assert_string_equal(diag.field, "name");
    wanted.retention_days = 36501;
    assert_int_equal(account_project_add(account, &ann, &wanted, &found, &diag), ERR_INVALID);
    assert_string_equal(diag.field, "retention_days");
    assert_int_equal(account_project_get(account, 2, &found, NULL), ERR_OK);
    assert_int_equal(found.week_start, ACCOUNT_WEEK_SUNDAY);
    assert_int_equal(found.retention_days, 36500);
    memcpy(found.name, "default", 8);
    assert_int_equal(account_project_change(account, &ann, &found, false, &diag), ERR_EXISTS);
    memcpy(found.name, "store", 6);
    found.retention_days = 0;
    assert_int_equal(found.events_per_month, 0);
    for (uint64_t most = ACCOUNT_EVENTS_PER_MONTH_MAX - 1; most <= ACCOUNT_EVENTS_PER_MONTH_MAX;
         most++) {
        found.events_per_month = most;
        assert_int_equal(account_project_change(account, &ann, &found, true, NULL), ERR_OK);
        assert_int_equal(account_project_get(account, 2, &made, NULL), ERR_OK);
        assert_int_equal(made.events_per_month, most);
    }
    assert_string_equal(made.name, "store");
    assert_int_equal(made.retention_days, 0);
    found.events_per_month = 1; /* who changes the rest leaves it as it is */
    assert_int_equal(account_project_change(account, &ann, &found, false, NULL), ERR_OK);
    assert_int_equal(account_project_get(account, 2, &made, NULL), ERR_OK);
    assert_int_equal(made.events_per_month, ACCOUNT_EVENTS_PER_MONTH_MAX);
    found.events_per_month = ACCOUNT_EVENTS_PER_MONTH_MAX + 1;
    assert_int_equal(account_project_change(account, &ann, &found, true, &diag), ERR_INVALID);
    assert_string_equal(diag.field, "events_per_month");
    wanted = (struct account_project){.name = "sold", .time_zone = "UTC", .events_per_month = 1};
    assert_int_equal(account_project_add(account, &ann, &wanted, &made, NULL), ERR_OK);
    assert_int_equal(account_project_get(account, made.id, &found, NULL), ERR_OK);
    assert_int_equal(found.events_per_month, 1);
    account_close(&account);
}

void
test_account__keys_expire_in_the_future_and_know_their_last_use(void **state)
{
    struct account *account = contract_open_with_project(state);
    const struct account_key_use uses[] = {{1, 7000}, {99, 8000}};
    const struct account_key_use older = {1, 6000};
    struct account_list list;
    struct account_key key;
    struct diag diag = DIAG_INIT;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];

    assert_int_equal(
        account_key_new(account, &ann, 1, ACCOUNT_KEY_READ, "n", 1000, text, &key, &diag),
        ERR_INVALID);
    assert_string_equal(diag.field, "expires_at");
    assert_int_equal(
        account_key_new(account, &ann, 1, ACCOUNT_KEY_READ, "n", 1001, text, &key, NULL), ERR_OK);
    assert_int_equal(account_keys_used(account, uses, 2, NULL), ERR_OK);
    assert_int_equal(account_keys_used(account, &older, 1, NULL), ERR_OK);
    assert_int_equal(account_key_revoke(account, &ann, 2, key.id, NULL), ERR_ABSENT);
    assert_int_equal(account_list(account, &list, NULL), ERR_OK);
    assert_int_equal(list.key_count, 1);
    assert_int_equal(list.keys[0].expires_at_us, 1001);
    assert_int_equal(list.keys[0].last_used_at_us, 7000);
    assert_int_equal(list.keys[0].revoked_at_us, 0);
    account_list_free(&list);
    account_close(&account);
}

/* --- logins -----------------------------------------------------------------------------------*/

void
test_login__emails_are_checked_and_compared_in_lower_case(void **state)
{
    struct account *account = contract_open_with_project(state);
    static const char *const bad[] = {"",      "@b",      "a@",    "ab",
                                      "a@b@c", "a b@c.d", "a@b\n", "\xC3\xA4@b.c"};
    char email[LOGIN_EMAIL_BYTES + 2];
    struct diag diag = DIAG_INIT;
    struct login login;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(login_add(account, &ann, bad[i], &hash, false, &login, &diag),
                         ERR_INVALID);
        assert_string_equal(diag.field, "email");
    }
    memset(email, 'a', sizeof(email));
    email[1] = '@';
    for (size_t len = LOGIN_EMAIL_BYTES - 1; len <= LOGIN_EMAIL_BYTES + 1; len++) {
        char checked[LOGIN_EMAIL_BYTES + 1];

        assert_int_equal(login_email_check(slice_of(email, len), checked, &diag),
                         len <= LOGIN_EMAIL_BYTES ? ERR_OK : ERR_INVALID);
    }
    (void)contract_add_login(account, "Ann@Example.COM", false);
    assert_int_equal(login_add(account, &ann, "ann@example.com", &hash, false, &login, &diag),
                     ERR_EXISTS);
    assert_int_equal(login_find(account, "ann@example.com", &login, NULL), ERR_OK);
    assert_string_equal(login.email, "ann@example.com");
    assert_string_equal(login.password.text, hash.text);
    assert_int_equal(login.created_at_us, 1000);
    assert_int_equal(login_find(account, "bob@example.com", &login, NULL), ERR_ABSENT);
    assert_int_equal(login_get(account, 99, &login, NULL), ERR_ABSENT);
    account_close(&account);
}

void
test_login__the_last_admin_stays(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct diag diag = DIAG_INIT;
    struct login first, second;
    bool is_first = false;

    assert_int_equal(
        login_add_first(account, &ann, LOGIN_FIRST_EMAIL, &hash, &is_first, &first, NULL), ERR_OK);
    assert_true(is_first);
    assert_int_equal(
        login_add_first(account, &ann, LOGIN_FIRST_EMAIL, &hash, &is_first, &first, NULL), ERR_OK);
    assert_false(is_first);
    assert_int_equal(login_remove(account, &ann, first.id, &diag), ERR_FULL);
    assert_non_null(strstr(diag.message, "last server admin"));
    assert_int_equal(login_set_admin(account, &ann, first.id, false, &diag), ERR_FULL);
    second = contract_add_login(account, "bob@example.com", false);
    assert_int_equal(login_remove(account, &ann, first.id, &diag), ERR_FULL);
    assert_int_equal(login_set_admin(account, &ann, second.id, true, NULL), ERR_OK);
    assert_int_equal(login_remove(account, &ann, first.id, NULL), ERR_OK);
    assert_int_equal(login_set_admin(account, &ann, second.id, false, NULL), ERR_FULL);
    assert_int_equal(login_remove(account, &ann, first.id, NULL), ERR_ABSENT);
    account_close(&account);
}

void
test_login__roles_by_project(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct login login = contract_add_login(account, "ann@example.com", false);
    struct login_list list;

    assert_int_equal(login_set_role(account, &ann, login.id, 1, LOGIN_ROLE_ANALYST, NULL), ERR_OK);
    assert_int_equal(login_set_role(account, &ann, login.id, 1, LOGIN_ROLE_OWNER, NULL), ERR_OK);
    assert_int_equal(login_set_role(account, &ann, login.id, 2, LOGIN_ROLE_OWNER, NULL),
                     ERR_ABSENT);
    assert_int_equal(login_set_role(account, &ann, 99, 1, LOGIN_ROLE_OWNER, NULL), ERR_ABSENT);
    assert_int_equal(login_list(account, &list, NULL), ERR_OK);
    assert_int_equal(list.login_count, 1);
    assert_int_equal(list.membership_count, 1);
    assert_int_equal(list.memberships[0].role, LOGIN_ROLE_OWNER);
    assert_int_equal(list.memberships[0].login_id, login.id);
    login_list_free(&list);
    assert_int_equal(login_set_role(account, &ann, login.id, 1, LOGIN_ROLE_NONE, NULL), ERR_OK);
    assert_int_equal(login_set_role(account, &ann, login.id, 1, LOGIN_ROLE_NONE, NULL), ERR_ABSENT);
    assert_int_equal(login_remove(account, &ann, login.id, NULL), ERR_OK);
    account_close(&account);
}

/* --- sessions ---------------------------------------------------------------------------------*/

static struct session
begin(struct account *account, uint64_t login_id, char refresh[SESSION_REFRESH_BYTES + 1])
{
    struct session session;
    struct diag diag = DIAG_INIT;

    if (session_begin(account, &ann, login_id, LIFE_US, refresh, &session, &diag) != ERR_OK)
        fail_msg("%s", diag.message);
    assert_true(session_is_refresh(slice_of_text(refresh)));
    return session;
}

static enum session_outcome
use(struct account *account, const char *refresh, char next[SESSION_REFRESH_BYTES + 1])
{
    enum session_outcome outcome;
    struct session session;
    struct diag diag = DIAG_INIT;

    if (session_refresh(account, &ann, slice_of_text(refresh), LIFE_US, &outcome, next, &session,
                        &diag) != ERR_OK)
        fail_msg("%s", diag.message);
    return outcome;
}

void
test_session__each_refresh_token_is_good_once(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct login login = contract_add_login(account, "ann@example.com", false);
    char first[SESSION_REFRESH_BYTES + 1], second[SESSION_REFRESH_BYTES + 1],
        third[SESSION_REFRESH_BYTES + 1], none[SESSION_REFRESH_BYTES + 1];

    (void)begin(account, login.id, first);
    assert_false(home.holds(state, first, SESSION_REFRESH_BYTES));
    assert_int_equal(use(account, first, second), SESSION_RENEWED);
    assert_string_not_equal(first, second);
    clock_fake_move(&fake, SESSION_GRACE_US - 1);
    assert_int_equal(use(account, first, none), SESSION_RACED); /* and the newer one stays good */
    assert_string_equal(none, "");
    assert_int_equal(use(account, second, third), SESSION_RENEWED);
    clock_fake_move(&fake, 1);
    assert_int_equal(use(account, first, none), SESSION_REUSED);
    assert_int_equal(use(account, third, none), SESSION_REVOKED); /* the whole family */
    assert_int_equal(use(account, first, none), SESSION_REVOKED);
    first[5] = first[5] == 'a' ? 'b' : 'a';
    assert_int_equal(use(account, first, none), SESSION_UNKNOWN);
    assert_int_equal(use(account, "rt_short", none), SESSION_UNKNOWN);
    account_close(&account);
}

void
test_session__ends_when_its_time_is_over(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct login login = contract_add_login(account, "ann@example.com", false);
    char first[SESSION_REFRESH_BYTES + 1], next[SESSION_REFRESH_BYTES + 1];

    (void)begin(account, login.id, first);
    clock_fake_move(&fake, LIFE_US - 1);
    assert_int_equal(use(account, first, next), SESSION_RENEWED); /* lives on from here */
    clock_fake_move(&fake, LIFE_US);
    assert_int_equal(use(account, next, first), SESSION_EXPIRED);
    account_close(&account);
}

static bool
is_listed(struct account *account, const char *session_id, int64_t since_us)
{
    struct session_id *ids = NULL;
    size_t count = 0;
    bool is_found = false;

    assert_int_equal(session_list_revoked(account, since_us, 1000, &ids, &count, NULL), ERR_OK);
    for (size_t i = 0; i < count; i++)
        is_found = is_found || memcmp(ids[i].text, session_id, SESSION_ID_BYTES) == 0;
    mem_free(ids);
    return is_found;
}

void
test_session__logout_and_password_end_sessions(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct login login = contract_add_login(account, "ann@example.com", false);
    char refresh[3][SESSION_REFRESH_BYTES + 1], next[SESSION_REFRESH_BYTES + 1];
    struct audit_question question = {.to_us = INT64_C(5000), .limit = 100};
    struct lines lines = {.text = ""};
    struct session sessions[3];

    for (size_t i = 0; i < 3; i++)
        sessions[i] = begin(account, login.id, refresh[i]);
    clock_fake_move(&fake, 10);
    assert_int_equal(session_revoke(account, &ann, sessions[0].id, NULL), ERR_OK);
    assert_int_equal(session_revoke(account, &ann, sessions[0].id, NULL), ERR_OK);
    assert_int_equal(session_revoke(account, &ann, "none", NULL), ERR_OK);
    assert_int_equal(use(account, refresh[0], next), SESSION_REVOKED);
    assert_true(is_listed(account, sessions[0].id, 1010));
    assert_false(is_listed(account, sessions[0].id, 1011));
    assert_int_equal(login_set_password(account, &ann, login.id, &other_hash, sessions[1].id, NULL),
                     ERR_OK);
    assert_int_equal(use(account, refresh[1], next), SESSION_RENEWED);
    assert_int_equal(use(account, refresh[2], next), SESSION_REVOKED);
    assert_true(is_listed(account, sessions[2].id, 1010));
    assert_int_equal(audit_list(account, &question, contract_gather, &lines, NULL), ERR_OK);
    assert_non_null(strstr(lines.text, "/account 1 ann@example.com/its other sessions ended\n"));
    assert_int_equal(login_set_password(account, &ann, login.id, &other_hash, NULL, NULL), ERR_OK);
    lines = (struct lines){.text = ""};
    assert_int_equal(audit_list(account, &question, contract_gather, &lines, NULL), ERR_OK);
    assert_non_null(strstr(lines.text, "/account 1 ann@example.com/its sessions ended\n"));
    assert_int_equal(login_rehash(account, login.id, &hash, &hash, NULL),
                     ERR_OK); /* another stands */
    assert_int_equal(login_get(account, login.id, &login, NULL), ERR_OK);
    assert_string_equal(login.password.text, other_hash.text);
    assert_int_equal(login_rehash(account, login.id, &other_hash, &hash, NULL), ERR_OK);
    assert_int_equal(login_get(account, login.id, &login, NULL), ERR_OK);
    assert_string_equal(login.password.text, hash.text);
    assert_int_equal(login.last_login_at_us, 1010);
    clock_fake_move(&fake, 2 * LIFE_US);
    assert_int_equal(session_sweep(account, LIFE_US / 2, NULL), ERR_OK);
    assert_int_equal(use(account, refresh[0], next), SESSION_UNKNOWN);
    account_close(&account);
}

void
test_session__a_login_has_so_many_at_most(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct login login = contract_add_login(account, "ann@example.com", false);
    char first[SESSION_REFRESH_BYTES + 1], other[SESSION_REFRESH_BYTES + 1];
    struct session oldest = begin(account, login.id, first);

    for (int i = 2; i <= SESSION_PER_LOGIN_MAX; i++) {
        clock_fake_move(&fake, 1);
        (void)begin(account, login.id, other);
    }
    assert_false(is_listed(account, oldest.id, 1));
    clock_fake_move(&fake, 1);
    (void)begin(account, login.id, other);
    assert_true(is_listed(account, oldest.id, 1));
    account_close(&account);
}

/* --- the audit log ----------------------------------------------------------------------------*/

void
contract_gather(void *state, const struct audit_line *line)
{
    struct lines *lines = state;
    size_t len = strlen(lines->text);

    lines->last_id = line->id;
    (void)snprintf(lines->text + len, sizeof(lines->text) - len, "%s/%s/%u/%s/%s\n",
                   audit_actor_name(line->actor.kind), line->action, line->project_id, line->target,
                   line->detail);
}

void
test_audit__each_change_writes_its_line(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct audit_question question = {.to_us = INT64_C(5000), .limit = 100};
    struct login login = contract_add_login(account, "ann@example.com", false);
    struct lines lines = {.text = ""};
    struct account_key key;
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];

    assert_int_equal(login_set_role(account, &ann, login.id, 1, LOGIN_ROLE_OWNER, NULL), ERR_OK);
    assert_int_equal(
        account_key_new(account, &ann, 1, ACCOUNT_KEY_READ, "dash", 0, text, &key, NULL), ERR_OK);
    for (int i = 0; i < 2; i++) /* the second changes nothing */
        assert_int_equal(account_key_revoke(account, &ann, 1, key.id, NULL), ERR_OK);
    assert_int_equal(audit_list(account, &question, contract_gather, &lines, NULL), ERR_OK);
    (void)snprintf(text, sizeof(text), "%s", key.last4);
    assert_non_null(strstr(lines.text, "account/key.revoked/1/key 1 …"));
    assert_null(strstr(strstr(lines.text, "key.revoked") + 1, "key.revoked"));
    assert_non_null(strstr(lines.text, " dash/read\n"));
    assert_non_null(strstr(lines.text, "account/role.set/1/account 1 ann@example.com/role owner\n"
                                       "account/account.created/0/account 1 ann@example.com/\n"
                                       "server/project.created/1/project 1 default/\n"));
    /* newest first, in pages, within a stretch of time */
    lines = (struct lines){.text = ""};
    question.limit = 1;
    assert_int_equal(audit_list(account, &question, contract_gather, &lines, NULL), ERR_OK);
    question.before_id = lines.last_id;
    assert_int_equal(audit_list(account, &question, contract_gather, &lines, NULL), ERR_OK);
    assert_non_null(strstr(lines.text, "key.revoked"));
    assert_non_null(strstr(lines.text, "key.created"));
    lines = (struct lines){.text = ""};
    question = (struct audit_question){.to_us = 1000, .limit = 10};
    assert_int_equal(audit_list(account, &question, contract_gather, &lines, NULL), ERR_OK);
    question = (struct audit_question){.from_us = 1001, .to_us = 5000, .limit = 10};
    assert_int_equal(audit_list(account, &question, contract_gather, &lines, NULL), ERR_OK);
    question = (struct audit_question){.to_us = 5000, .project_id = 9, .limit = 10};
    assert_int_equal(audit_list(account, &question, contract_gather, &lines, NULL), ERR_OK);
    assert_string_equal(lines.text, "");
    account_close(&account);
}

void
test_audit__is_only_added_to(void **state)
{
    struct account *account = contract_open_with_project(state);

    assert_true(home.refuses(state, "UPDATE audit SET action = 'x'"));
    assert_true(home.refuses(state, "DELETE FROM audit"));
    account_close(&account);
}

/* What is written often wakes no loop. */
void
test_account__tells_loops_only_what_they_must_know(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct account *watcher = home.open(state, 0);
    struct login login = contract_add_login(account, "ann@example.com", false);
    char first[SESSION_REFRESH_BYTES + 1], next[SESSION_REFRESH_BYTES + 1];
    const struct account_key_use use_of_key = {1, 5};
    struct session session;
    bool has_changed = false;

    contract_wait_for_change(watcher);
    session = begin(account, login.id, first);
    assert_int_equal(use(account, first, next), SESSION_RENEWED);
    assert_int_equal(account_keys_used(account, &use_of_key, 1, NULL), ERR_OK);
    assert_int_equal(account_has_changed(watcher, &has_changed, NULL), ERR_OK);
    assert_false(has_changed);
    assert_int_equal(session_revoke(account, &ann, session.id, NULL), ERR_OK);
    contract_wait_for_change(watcher);
    account_close(&watcher);
    account_close(&account);
}
