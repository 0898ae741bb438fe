/*
 * contract_limits - how many rows there may be, who wins of several links at once, and what is left
 * when memory is out, wherever rows stand. See contract.h.
 *
 * Rows are put in by another program's hand, by SQL that both databases read the same; a time is
 * taken from project 1, since each has its own form of it.
 */
#include "contract.h"

#include "account/erasure.h"
#include "account/session.h"
#include "base/thread.h"

#define LIFE_US INT64_C(1000000000)
#define COUNT_FROM_TO                                                                              \
    " WITH RECURSIVE n(i) AS (SELECT %u UNION ALL SELECT i + 1 FROM n WHERE i < %u)"

static const struct password_hash hash = {
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2E$aGFzaA"};

__attribute__((format(printf, 2, 3))) static void
by_hand(void **state, const char *format, ...)
{
    char sql[1024];
    va_list arguments;

    va_start(arguments, format);
    assert_in_range(vsnprintf(sql, sizeof(sql), format, arguments), 1, sizeof(sql) - 1);
    va_end(arguments);
    assert_false(home.refuses(state, sql));
}

static void
put_projects(void **state, uint32_t first, uint32_t last)
{
    by_hand(state,
            "INSERT INTO projects (id, name, time_zone, created_at)" COUNT_FROM_TO
            " SELECT i, 'project ' || i, 'UTC', p.created_at FROM n, projects AS p WHERE p.id = 1",
            first, last);
}

static void
put_logins(void **state, uint32_t first, uint32_t last)
{
    by_hand(state,
            "INSERT INTO logins (email, password, is_admin, created_at)" COUNT_FROM_TO
            " SELECT 'a@' || i, 'x', 1 = 0, p.created_at FROM n, projects AS p WHERE p.id = 1",
            first, last);
}

/* --- how many ---------------------------------------------------------------------------------*/

void
test_account__projects_have_a_maximum(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct account_project project = {.name = "one more", .time_zone = "UTC"}, made;
    struct diag diag = DIAG_INIT;

    put_projects(state, 2, ACCOUNT_PROJECTS_MAX - 1);
    by_hand(state, "UPDATE projects SET deleted_at = created_at WHERE id = 5"); /* counts, too */
    assert_int_equal(account_project_add(account, &ann, &project, &made, &diag), ERR_OK);
    assert_int_equal(made.id, ACCOUNT_PROJECTS_MAX);
    memcpy(project.name, "too many", 9);
    assert_int_equal(account_project_add(account, &ann, &project, &made, &diag), ERR_FULL);
    assert_non_null(strstr(diag.message, "10000"));
    account_close(&account);
}

void
test_login__logins_have_a_maximum(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct login last, login;
    struct diag diag = DIAG_INIT;

    put_logins(state, 1, LOGIN_COUNT_MAX - 1);
    last = contract_add_login(account, "last@example.com", false);
    assert_int_equal(login_add(account, &ann, "more@example.com", &hash, false, &login, &diag),
                     ERR_FULL);
    assert_non_null(strstr(diag.message, "10000"));
    assert_int_equal(login_remove(account, &ann, last.id, NULL), ERR_OK);
    login = contract_add_login(account, "more@example.com", false);
    assert_true(login.id > last.id); /* never used again */
    account_close(&account);
}

void
test_login__memberships_have_a_maximum(void **state)
{
    enum { LOGINS = 1001, PROJECTS = 100, LAST = LOGINS, BEFORE = LOGINS - 1 };
    struct account *account = contract_open_with_project(state);
    struct diag diag = DIAG_INIT;

    put_projects(state, 2, PROJECTS);
    put_logins(state, 1, LOGINS);
    by_hand(state,
            "INSERT INTO memberships SELECT l.id, p.id, 'analyst' FROM logins AS l, projects AS p"
            " WHERE l.id < %d AND NOT (l.id = 1 AND p.id = 1)",
            LAST);
    assert_int_equal(login_set_role(account, &ann, LAST, 1, LOGIN_ROLE_OWNER, NULL), ERR_OK);
    assert_int_equal(login_set_role(account, &ann, LAST, 2, LOGIN_ROLE_OWNER, &diag), ERR_FULL);
    assert_non_null(strstr(diag.message, "100000"));
    /* another role is no further membership */
    assert_int_equal(login_set_role(account, &ann, LAST, 1, LOGIN_ROLE_INGEST, &diag), ERR_OK);
    assert_int_equal(login_set_role(account, &ann, BEFORE, 1, LOGIN_ROLE_NONE, NULL), ERR_OK);
    assert_int_equal(login_set_role(account, &ann, LAST, 2, LOGIN_ROLE_OWNER, NULL), ERR_OK);
    account_close(&account);
}

static enum err
ask_erasure(struct account *account, const struct selection *selection, struct diag *diag)
{
    const struct erasure wanted = {.reason = ERASURE_UNDO, .selection = *selection};
    uint64_t id;

    return erasure_add(account, &ann, &wanted, &id, diag);
}

/* A longer name would come back cut, and be another person's. */
void
test_erasure__persons_and_ids_have_limits(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct slice *ids = MEM_NEW(struct slice, SELECTION_IDS_MAX + 1);
    struct selection selection = {.project_id = 1, .kind = SELECTION_PERSON};
    struct erasure *job = NULL;
    struct diag diag = DIAG_INIT;
    char person[ERASURE_PERSON_BYTES + 1];

    assert_non_null(ids);
    memset(person, 'p', sizeof(person));
    for (size_t len = ERASURE_PERSON_BYTES - 1; len <= ERASURE_PERSON_BYTES + 1; len++) {
        selection.person = slice_of(person, len);
        assert_int_equal(ask_erasure(account, &selection, &diag),
                         len <= ERASURE_PERSON_BYTES ? ERR_OK : ERR_INVALID);
    }
    assert_string_equal(diag.field, "user_id");
    selection.person = SLICE("");
    assert_int_equal(ask_erasure(account, &selection, &diag), ERR_INVALID);
    for (size_t i = 0; i <= SELECTION_IDS_MAX; i++)
        ids[i] = SLICE("same");
    selection = (struct selection){.project_id = 1, .kind = SELECTION_IDS, .ids = ids};
    assert_int_equal(ask_erasure(account, &selection, &diag), ERR_INVALID);
    assert_string_equal(diag.field, "ids");
    selection.id_count = SELECTION_IDS_MAX + 1;
    assert_int_equal(ask_erasure(account, &selection, &diag), ERR_INVALID);
    by_hand(state, "UPDATE erasures SET finished_at = requested_at");
    selection.id_count = SELECTION_IDS_MAX;
    assert_int_equal(ask_erasure(account, &selection, &diag), ERR_OK);
    assert_int_equal(erasure_next(account, "", &job, &diag), ERR_OK);
    assert_int_equal(job->selection.id_count, 1); /* each once */
    erasure_free(&job);
    mem_free(ids);
    account_close(&account);
}

/* --- several links at once --------------------------------------------------------------------*/

struct runner {
    struct account *account;
    struct thread *thread;
    enum err err;
    const char *refresh; /* the token that all use */
    enum session_outcome outcome;
    uint64_t login_id; /* who is made less */
};

static void
run_at_once(struct runner *runners, size_t count, void (*run)(void *arg))
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(
            thread_start("runner", THREAD_NORMAL, run, &runners[i], &runners[i].thread, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        thread_join(&runners[i].thread);
        account_close(&runners[i].account);
    }
}

static void
use_token(void *arg)
{
    struct runner *runner = (struct runner *)arg;
    char next[SESSION_REFRESH_BYTES + 1];
    struct session session;

    runner->err = session_refresh(runner->account, &ann, slice_of_text(runner->refresh), LIFE_US,
                                  &runner->outcome, next, &session, NULL);
}

void
test_session__of_many_who_use_a_token_at_once_one_renews(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct login login = contract_add_login(account, "ann@example.com", false);
    char refresh[SESSION_REFRESH_BYTES + 1];
    struct runner runners[6];
    struct session session;
    int renewed = 0, raced = 0;

    memset(runners, 0, sizeof(runners));
    assert_int_equal(session_begin(account, &ann, login.id, LIFE_US, refresh, &session, NULL),
                     ERR_OK);
    for (size_t i = 0; i < COUNT_OF(runners); i++)
        runners[i] = (struct runner){.account = home.open(state, 0), .refresh = refresh};
    run_at_once(runners, COUNT_OF(runners), use_token);
    for (size_t i = 0; i < COUNT_OF(runners); i++) {
        assert_int_equal(runners[i].err, ERR_OK);
        renewed += runners[i].outcome == SESSION_RENEWED;
        raced += runners[i].outcome == SESSION_RACED;
    }
    assert_int_equal(renewed, 1);
    assert_int_equal(raced, COUNT_OF(runners) - 1);
    account_close(&account);
}

static void
make_less(void *arg)
{
    struct runner *runner = (struct runner *)arg;

    runner->err = login_set_admin(runner->account, &ann, runner->login_id, false, NULL);
}

void
test_login__of_two_admins_made_less_at_once_one_stays(void **state)
{
    struct account *account = contract_open_with_project(state);
    struct runner runners[2];

    for (size_t i = 0; i < COUNT_OF(runners); i++) {
        struct login login = contract_add_login(account, i == 0 ? "a@b" : "c@d", true);

        runners[i] = (struct runner){.account = home.open(state, 0), .login_id = login.id};
    }
    run_at_once(runners, COUNT_OF(runners), make_less);
    assert_true((runners[0].err == ERR_OK && runners[1].err == ERR_FULL) ||
                (runners[0].err == ERR_FULL && runners[1].err == ERR_OK));
    account_close(&account);
}

/* --- memory is out ----------------------------------------------------------------------------*/

struct attempt {
    struct account *account;
    uint64_t login_id;
    char refresh[SESSION_REFRESH_BYTES + 1]; /* good until it was used */
};

static enum err
try_login_add(struct attempt *attempt)
{
    struct login login;

    return login_add(attempt->account, &ann, "new@example.com", &hash, true, &login, NULL);
}

static enum err
try_login_list(struct attempt *attempt)
{
    struct login_list list;
    enum err err = login_list(attempt->account, &list, NULL);

    if (err == ERR_OK)
        login_list_free(&list);
    return err;
}

static enum err
try_session_begin(struct attempt *attempt)
{
    char refresh[SESSION_REFRESH_BYTES + 1];
    struct session session;

    return session_begin(attempt->account, &ann, attempt->login_id, LIFE_US, refresh, &session,
                         NULL);
}

/* A token whose use failed is good still. */
static enum err
try_session_refresh(struct attempt *attempt)
{
    char next[SESSION_REFRESH_BYTES + 1];
    enum session_outcome outcome;
    struct session session;
    enum err err = session_refresh(attempt->account, &ann, slice_of_text(attempt->refresh), LIFE_US,
                                   &outcome, next, &session, NULL);

    if (err == ERR_OK)
        assert_int_equal(outcome, SESSION_RENEWED);
    return err;
}

static enum err
try_erasure_add(struct attempt *attempt)
{
    const struct slice ids[] = {SLICE("one"), SLICE("two")};
    const struct erasure wanted = {
        .reason = ERASURE_UNDO,
        .selection = {.project_id = 1, .kind = SELECTION_IDS, .ids = ids, .id_count = 2}};
    uint64_t id;

    return erasure_add(attempt->account, &ann, &wanted, &id, NULL);
}

static enum err
try_erasure_next(struct attempt *attempt)
{
    struct erasure *job = NULL;
    enum err err = erasure_next(attempt->account, "", &job, NULL);

    assert_true((err == ERR_OK) == (job != NULL));
    erasure_free(&job);
    return err;
}

static void
count_line(void *state, const struct audit_line *line)
{
    (void)line;
    (*(int *)state)++;
}

static enum err
ask_lines(struct account *account, int *ret_count)
{
    const struct audit_question question = {.to_us = INT64_C(5000), .limit = AUDIT_LIMIT_MAX};

    *ret_count = 0;
    return audit_list(account, &question, count_line, ret_count, NULL);
}

static enum err
try_audit_list(struct attempt *attempt)
{
    int count;

    return ask_lines(attempt->account, &count);
}

static int
lines_of(struct account *account)
{
    int count;

    assert_int_equal(ask_lines(account, &count), ERR_OK);
    return count;
}

/* Each allocation in turn, and all from it on: an error, and no line of a change that is none. */
static void
starve(struct attempt *attempt, enum err (*try)(struct attempt *attempt), bool is_sticky)
{
    int before = lines_of(attempt->account);
    uint32_t failures = 0;
    enum err err = ERR_NOMEM;

    for (uint64_t nth = 1; err != ERR_OK; nth++) {
        mem_fail_from(nth, is_sticky);
        err = try(attempt);
        mem_fail_from(0, false);
        if (err != ERR_OK && err != ERR_NOMEM)
            fail_msg("allocation %llu: %s", (unsigned long long)nth, err_name(err));
        if (err == ERR_OK)
            break;
        failures++;
        assert_int_equal(lines_of(attempt->account), before);
    }
    assert_true(failures >= 2);
}

void
test_account__out_of_memory_changes_nothing(void **state)
{
    struct attempt attempt = {.account = contract_open_with_project(state)};
    struct login login = contract_add_login(attempt.account, "ann@example.com", false);
    struct session session;

    attempt.login_id = login.id;
    for (int is_sticky = 0; is_sticky <= 1; is_sticky++) {
        assert_int_equal(session_begin(attempt.account, &ann, login.id, LIFE_US, attempt.refresh,
                                       &session, NULL),
                         ERR_OK);
        if (is_sticky == 0)
            starve(&attempt, try_login_add, false);
        starve(&attempt, try_login_list, is_sticky != 0);
        starve(&attempt, try_session_begin, is_sticky != 0);
        starve(&attempt, try_session_refresh, is_sticky != 0);
        starve(&attempt, try_erasure_add, is_sticky != 0);
        starve(&attempt, try_erasure_next, is_sticky != 0);
        starve(&attempt, try_audit_list, is_sticky != 0);
    }
    account_close(&attempt.account);
}
