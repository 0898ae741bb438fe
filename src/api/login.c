/*
 * login - POST /v1/auth/login, /refresh, /logout, /password, and GET /v1/auth/me.
 *
 * Layer 6, at the desk. Whether an account is there must show neither in the words nor in the time:
 * an unknown email costs the same hash, the same rows read and the same line of the audit log as a
 * wrong password. Failed logins go to the throttle, which is asked before anything is hashed; since
 * one thread does all hashing, a hundred tries at once are counted one after another.
 *
 * Failures stand in the audit log, FAILURES_A_MINUTE at most; what is left out is counted in one
 * line when the minute is over, so that nobody fills the disk from outside. Emails of accounts that
 * are not there are not written: people mistype passwords into that field.
 */
#include "account/audit.h"
#include "account/session.h"
#include "api/internal.h"
#include "api/json.h"
#include "base/mem.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#define FAILURES_A_MINUTE 60
#define US_PER_SECOND INT64_C(1000000)

/* --- the answer -------------------------------------------------------------------------------*/

static void
write_membership(const struct account_project *project, enum login_role role, bool *is_first,
                 struct buf *body)
{
    buf_printf(body, "%s{\"id\":%" PRIu32 ",\"name\":", *is_first ? "" : ",", project->id);
    json_add_text(body, slice_of_text(project->name));
    buf_printf(body, ",\"role\":\"%s\"}", login_role_name(role));
    *is_first = false;
}

void
api_write_account(const struct access_snapshot *access, uint64_t login_id, struct buf *body)
{
    const char *email = access_email(access, login_id);
    const bool is_admin = access_is_admin(access, login_id);
    size_t count = 0;
    bool is_first = true;

    buf_printf(body, "{\"id\":%" PRIu64 ",\"email\":", login_id);
    json_add_text(body, email != NULL ? slice_of_text(email) : SLICE_NONE);
    buf_printf(body, ",\"is_admin\":%s,\"projects\":[", is_admin ? "true" : "false");
    if (is_admin) {
        const struct account_project *projects = access_projects(access, &count);

        for (size_t i = 0; i < count; i++)
            write_membership(&projects[i], LOGIN_ROLE_OWNER, &is_first, body);
    } else {
        const struct login_membership *all = access_memberships(access, login_id, &count);

        for (size_t i = 0; i < count; i++) {
            const struct account_project *project = access_project(access, all[i].project_id);

            if (project != NULL)
                write_membership(project, all[i].role, &is_first, body);
        }
    }
    buf_add_text(body, "]}");
}

/* Access and refresh token of a session, and whose it is. */
static enum err
write_tokens(struct desk_job *job, const struct session *session, const char *refresh,
             struct diag *diag)
{
    const struct api_config *config = &job->api->config;
    int64_t now_s = clock_wall_us(config->clock) / US_PER_SECOND;
    char subject[24], token_id[SESSION_ID_BYTES + 24];
    char token[TOKEN_MADE_BYTES_MAX + 1];
    enum err err;

    /* The account may be younger than the snapshot at hand. */
    access_release(&job->access);
    err = access_refresh(config->access, diag);
    job->access = access_get(config->access);
    if (err != ERR_OK)
        return err;
    (void)snprintf(subject, sizeof(subject), "%" PRIu64, session->login_id);
    (void)snprintf(token_id, sizeof(token_id), "%s.%" PRIu64, session->id, session->refresh_count);
    err = token_issue(access_ring(job->access), slice_of_text(subject), slice_of_text(token_id),
                      now_s, config->token_life_s, token, diag);
    if (err != ERR_OK)
        return err;
    buf_printf(&job->body,
               "{\"access_token\":\"%s\",\"token_type\":\"Bearer\",\"expires_in\":%" PRId64
               ",\"refresh_token\":\"%s\",\"refresh_expires_in\":%" PRId64 ",\"account\":",
               token, config->token_life_s, refresh, config->refresh_life_us / US_PER_SECOND);
    api_write_account(job->access, session->login_id, &job->body);
    buf_add_char(&job->body, '}');
    sodium_memzero(token, sizeof(token));
    return ERR_OK;
}

/* --- failures ---------------------------------------------------------------------------------*/

static enum err
write_failure(struct desk_job *job, const char *target, const char *detail, struct diag *diag)
{
    struct audit_line line = {.actor = job->actor};

    memcpy(line.action, "login.failed", sizeof("login.failed"));
    (void)snprintf(line.target, sizeof(line.target), "%s", target);
    (void)snprintf(line.detail, sizeof(line.detail), "%s", detail);
    return audit_add(job->account, &line, diag);
}

/* On the hasher's thread alone. */
static enum err
note_failure(struct desk_job *job, const char *target, const char *detail, struct diag *diag)
{
    struct api *api = job->api;
    int64_t minute = clock_steady_ns(api->config.clock) / (60 * NS_PER_S);
    char more[64];
    enum err err = ERR_OK;

    if (minute != api->failures.minute) {
        if (api->failures.left_out != 0) {
            (void)snprintf(more, sizeof(more), "%" PRIu64 " more failures, left out",
                           api->failures.left_out);
            err = write_failure(job, "several", more, diag);
        }
        api->failures.minute = minute;
        api->failures.written = 0;
        api->failures.left_out = 0;
    }
    if (api->failures.written == FAILURES_A_MINUTE) {
        api->failures.left_out++;
        return err;
    }
    api->failures.written++;
    return err == ERR_OK ? write_failure(job, target, detail, diag) : err;
}

static enum err
refuse_login(struct desk_job *job, const struct login *login, struct slice email, struct diag *diag)
{
    char target[LOGIN_EMAIL_BYTES + 64] = "unknown account";
    enum err err;

    if (job->api->throttle != NULL)
        throttle_failed(job->api->throttle, email, slice_of_text(job->actor.from));
    if (login->id != 0)
        (void)snprintf(target, sizeof(target), "account %" PRIu64 " %s", login->id, login->email);
    SINK(job->api->config.sink, LOG_LEVEL_WARN, "login.failed", LOG_TEXT("from", job->actor.from),
         LOG_U64("account", login->id));
    err = note_failure(job, target, login->id != 0 ? "wrong password" : "", diag);
    if (err != ERR_OK)
        return err;
    diag_clear(diag);
    diag_set(diag, "email or password is wrong");
    return ERR_UNAUTHORIZED;
}

/* ERR_OK: go on. */
static enum err
ask_throttle(struct desk_job *job, struct slice email, struct diag *diag)
{
    int64_t wait_s = 0;

    if (job->api->throttle != NULL)
        wait_s = throttle_wait_s(job->api->throttle, email, slice_of_text(job->actor.from));
    if (wait_s == 0)
        return ERR_OK;
    job->retry_after_s = wait_s;
    diag_set(diag, "too many failed logins; try again in %" PRId64 " s", wait_s);
    return ERR_RATE_LIMITED;
}

/* --- login ------------------------------------------------------------------------------------*/

/* The account, or id 0; an email that cannot be one is looked for all the same. */
static enum err
find_login(struct desk_job *job, struct slice text, struct login *ret_login, struct diag *diag)
{
    char email[LOGIN_EMAIL_BYTES + 1] = "-";
    struct diag ignored = DIAG_INIT;
    enum err err;

    *ret_login = (struct login){0};
    if (login_email_check(text, email, &ignored) != ERR_OK)
        memcpy(email, "-", 2);
    err = login_find(job->account, email, ret_login, diag);
    if (err != ERR_ABSENT)
        return err;
    diag_clear(diag);
    *ret_login = (struct login){0};
    return ERR_OK;
}

/* The same work whether the account is there or not. */
static enum err
check_password(struct desk_job *job, const struct login *login, struct slice password,
               bool *ret_is_right, struct diag *diag)
{
    *ret_is_right = false;
    if (login->id == 0)
        return password_verify_dummy(&job->api->config.password_cost, diag);
    return password_verify(slice_of_text(login->password.text), password, ret_is_right, diag);
}

static enum err
rehash(struct desk_job *job, const struct login *login, struct slice password, struct diag *diag)
{
    const struct password_cost *cost = &job->api->config.password_cost;
    struct password_hash hash;
    bool is_due = false;
    enum err err = password_needs_rehash(slice_of_text(login->password.text), cost, &is_due, diag);

    if (err != ERR_OK || !is_due)
        return err;
    err = password_hash(password, cost, random_system(), &hash, diag);
    /* Passwords taken over from elsewhere may be out of our limits: they stay as they are. */
    if (err == ERR_INVALID) {
        diag_clear(diag);
        return ERR_OK;
    }
    return err == ERR_OK ? login_rehash(job->account, login->id, &login->password, &hash, diag)
                         : err;
}

static enum err
begin_session(struct desk_job *job, const struct login *login, struct diag *diag)
{
    char refresh[SESSION_REFRESH_BYTES + 1];
    struct session session;
    enum err err;

    job->actor.kind = ACCOUNT_ACTOR_LOGIN;
    job->actor.id = login->id;
    err = session_begin(job->account, &job->actor, login->id, job->api->config.refresh_life_us,
                        refresh, &session, diag);
    if (err == ERR_OK)
        err = write_tokens(job, &session, refresh, diag);
    sodium_memzero(refresh, sizeof(refresh));
    return err;
}

static enum err
run_login(struct desk_job *job, struct diag *diag)
{
    static const struct body_field fields[] = {{"email", BODY_TEXT, true},
                                               {"password", BODY_TEXT, true}};
    struct body_value values[COUNT_OF(fields)];
    struct login login;
    bool is_right = false;
    enum err err = desk_read_body(job, fields, COUNT_OF(fields), values, diag);

    if (err == ERR_OK)
        err = ask_throttle(job, values[0].text, diag);
    if (err == ERR_OK)
        err = find_login(job, values[0].text, &login, diag);
    if (err == ERR_OK)
        err = check_password(job, &login, values[1].text, &is_right, diag);
    if (err != ERR_OK)
        return err;
    if (!is_right)
        return refuse_login(job, &login, values[0].text, diag);
    if (job->api->throttle != NULL)
        throttle_succeeded(job->api->throttle, values[0].text);
    err = rehash(job, &login, values[1].text, diag);
    return err == ERR_OK ? begin_session(job, &login, diag) : err;
}

const struct desk_handler login_desk = {.lane = DESK_HASHER, .run = run_login};

/* --- refresh ----------------------------------------------------------------------------------*/

static const char *
refusal_words(enum session_outcome outcome)
{
    switch (outcome) {
    case SESSION_RENEWED:
        break;
    case SESSION_UNKNOWN:
        return "refresh_token: it is not known; log in again";
    case SESSION_EXPIRED:
        return "refresh_token: it has expired; log in again";
    case SESSION_REVOKED:
        return "refresh_token: its session has ended; log in again";
    case SESSION_RACED:
        return "refresh_token: it was used a moment ago; use the one that came with that reply";
    case SESSION_REUSED:
        return "refresh_token: it was used before, so somebody else may have it: the session has "
               "ended; log in again";
    }
    return "";
}

static enum err
run_refresh(struct desk_job *job, struct diag *diag)
{
    static const struct body_field fields[] = {{"refresh_token", BODY_TEXT, true}};
    struct body_value values[COUNT_OF(fields)];
    char next[SESSION_REFRESH_BYTES + 1];
    enum session_outcome outcome = SESSION_UNKNOWN;
    struct session session;
    enum err err = desk_read_body(job, fields, COUNT_OF(fields), values, diag);

    if (err == ERR_OK)
        err = session_refresh(job->account, &job->actor, values[0].text,
                              job->api->config.refresh_life_us, &outcome, next, &session, diag);
    if (err != ERR_OK)
        return err;
    if (outcome == SESSION_RENEWED) {
        err = write_tokens(job, &session, next, diag);
        sodium_memzero(next, sizeof(next));
        return err;
    }
    job->has_changed = outcome == SESSION_REUSED;
    SINK(job->api->config.sink, LOG_LEVEL_WARN, "refresh.refused",
         LOG_TEXT("from", job->actor.from), LOG_TEXT("reason", refusal_words(outcome)));
    diag_set_field(diag, "refresh_token", "%s", refusal_words(outcome));
    return ERR_UNAUTHORIZED;
}

const struct desk_handler refresh_desk = {.lane = DESK_CLERK, .run = run_refresh};

/* --- logout, me, password ---------------------------------------------------------------------*/

static enum err
run_logout(struct desk_job *job, struct diag *diag)
{
    job->status = 204;
    job->has_changed = true;
    return session_revoke(job->account, &job->actor, job->login.session_id, diag);
}

const struct desk_handler logout_desk = {.lane = DESK_CLERK, .run = run_logout};

static enum err
run_me(struct desk_job *job, struct diag *diag)
{
    (void)diag;
    buf_add_text(&job->body, "{\"account\":");
    api_write_account(job->access, job->login.login_id, &job->body);
    buf_add_char(&job->body, '}');
    return ERR_OK;
}

const struct desk_handler me_desk = {.lane = DESK_CLERK, .run = run_me};

static enum err
run_password(struct desk_job *job, struct diag *diag)
{
    static const struct body_field fields[] = {{"current_password", BODY_TEXT, true},
                                               {"new_password", BODY_TEXT, true}};
    struct body_value values[COUNT_OF(fields)];
    struct password_hash hash;
    struct login login;
    bool is_right = false;
    enum err err = desk_read_body(job, fields, COUNT_OF(fields), values, diag);

    if (err == ERR_OK)
        err = login_get(job->account, job->login.login_id, &login, diag);
    if (err == ERR_OK)
        err = ask_throttle(job, slice_of_text(login.email), diag);
    if (err == ERR_OK)
        err = password_check(values[1].text, diag);
    if (err == ERR_INVALID)
        diag_set_field(diag, "new_password",
                       "new_password: %d to %d bytes of UTF-8, no control "
                       "characters",
                       PASSWORD_BYTES_MIN, PASSWORD_BYTES_MAX);
    if (err == ERR_OK)
        err = check_password(job, &login, values[0].text, &is_right, diag);
    if (err != ERR_OK)
        return err;
    if (!is_right) {
        err = refuse_login(job, &login, slice_of_text(login.email), diag);
        if (err != ERR_UNAUTHORIZED)
            return err;
        diag_set_field(diag, "current_password", "current_password: it is wrong");
        return ERR_FORBIDDEN; /* the token is good: 401 would log the client out */
    }
    err = password_hash(values[1].text, &job->api->config.password_cost, random_system(), &hash,
                        diag);
    job->status = 204;
    job->has_changed = true;
    return err == ERR_OK ? login_set_password(job->account, &job->actor, login.id, &hash,
                                              job->login.session_id, diag)
                         : err;
}

const struct desk_handler password_desk = {.lane = DESK_HASHER, .run = run_password};
