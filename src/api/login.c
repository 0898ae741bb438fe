/*
 * login - POST /v1/auth/login, refresh and logout; GET /v1/auth/me.
 *
 * Layer 6: the body on the loop, the rest at a desk. A login that fails costs and looks the same
 * whether the account is there or not: one look-up, the work of one hash, one line of the audit
 * log; the same 401. Who is throttled is told so on the loop, before anything is hashed.
 *
 * An access token's jti is "<session id>.<refreshes so far>".
 */
#include "api/failed_logins.h"
#include "api/internal.h"
#include "api/json.h"
#include "base/mem.h"

#include <inttypes.h>
#include <sodium.h>

#define NOBODY "nobody" /* no email: nothing is found by it */

struct login_state {
    char email[LOGIN_EMAIL_BYTES + 1];     /* as compared; NOBODY where it cannot be one */
    struct slice throttled_as;             /* what the throttle counts */
    char password[PASSWORD_BYTES_MAX + 2]; /* one byte more than is allowed: cut, it is wrong */
    size_t password_len;
};

static const struct account_actor nobody = {.kind = ACCOUNT_ACTOR_NOBODY};

/* --- the reply --------------------------------------------------------------------------------*/

static void
add_projects(struct buf *body, const struct access_snapshot *access, uint64_t login_id,
             bool is_admin)
{
    size_t count;
    const struct login_membership *memberships = access_memberships(access, login_id, &count);
    const struct account_project *projects;
    bool is_first = true;

    buf_add_text(body, ",\"projects\":[");
    projects = access_projects(access, is_admin ? &count : &(size_t){0});
    for (size_t i = 0; i < count; i++) {
        const struct account_project *project =
            is_admin ? &projects[i] : access_project(access, memberships[i].project_id);
        enum login_role role = is_admin ? LOGIN_ROLE_OWNER : memberships[i].role;

        if (project == NULL)
            continue;
        buf_add_text(body, is_first ? "{\"id\":" : ",{\"id\":");
        buf_add_u64(body, project->id);
        buf_add_text(body, ",\"name\":");
        json_add_text(body, slice_of_text(project->name));
        buf_add_text(body, ",\"role\":");
        json_add_text(body, slice_of_text(login_role_name(role)));
        buf_add_char(body, '}');
        is_first = false;
    }
    buf_add_char(body, ']');
}

static void
add_account(struct buf *body, const struct access_snapshot *access, uint64_t login_id,
            const char *email, bool is_admin)
{
    buf_add_text(body, "{\"id\":");
    buf_add_u64(body, login_id);
    buf_add_text(body, ",\"email\":");
    json_add_text(body, slice_of_text(email));
    buf_add_text(body, is_admin ? ",\"is_admin\":true" : ",\"is_admin\":false");
    add_projects(body, access, login_id, is_admin);
    buf_add_char(body, '}');
}

/* The tokens of a session that has begun or been renewed. */
static enum err
write_tokens(struct desk_job *job, const struct session *session, const struct login *login,
             const char *refresh)
{
    const struct api *api = desk_context(job->desk);
    CLEANUP(access_release) struct access_snapshot *access = access_get(api->config.access);
    struct diag *diag = &job->errand.diag;
    struct buf *body = &job->errand.body;
    char token[TOKEN_MADE_BYTES_MAX + 1];
    char subject[24];
    char token_id[TOKEN_NAME_BYTES_MAX + 1];
    enum err err = ERR_OK;

    /* Made by another link a moment ago: what it may do must be known when the reply arrives. */
    if (access_email(access, login->id) == NULL) {
        err = access_refresh(api->config.access, diag);
        access_renew(api->config.access, &access);
    }
    (void)snprintf(subject, sizeof(subject), "%" PRIu64, login->id);
    (void)snprintf(token_id, sizeof(token_id), "%s.%" PRIu64, session->id, session->refresh_count);
    if (err == ERR_OK)
        err = token_issue(access_ring(access), slice_of_text(subject), slice_of_text(token_id),
                          clock_wall_us(api->config.clock) / US_PER_S, api->config.token_life_s,
                          token, diag);
    if (err != ERR_OK)
        return err;
    buf_add_text(body, "{\"access_token\":\"");
    buf_add_text(body, token);
    buf_printf(body, "\",\"token_type\":\"Bearer\",\"expires_in\":%" PRId64 ",\"refresh_token\":\"",
               api->config.token_life_s);
    buf_add_text(body, refresh);
    buf_printf(body, "\",\"refresh_expires_in\":%" PRId64 ",\"account\":",
               api->config.refresh_life_us / US_PER_S);
    add_account(body, access, login->id, login->email, login->is_admin);
    buf_add_text(body, "}\n");
    sodium_memzero(token, sizeof(token));
    return ERR_OK;
}

/* --- login ------------------------------------------------------------------------------------*/

static void
wipe_login(void *state)
{
    struct login_state *login = state;

    sodium_memzero(login->password, sizeof(login->password));
}

/* The same password at the cost of today: nothing is lost if that fails. */
static void
rehash(struct desk_job *job, struct account *account, const struct login *login,
       struct slice password)
{
    const struct api *api = desk_context(job->desk);
    struct password_hash hash;
    struct diag diag = DIAG_INIT;
    bool is_needed = false;
    enum err err = password_needs_rehash(slice_of_text(login->password.text),
                                         &api->config.password_cost, &is_needed, &diag);

    if (err == ERR_OK && is_needed)
        err = password_hash(password, &api->config.password_cost, random_system(), &hash, &diag);
    if (err == ERR_OK && is_needed)
        err = login_rehash(account, login->id, &login->password, &hash, &diag);
    if (err != ERR_OK)
        SINK(api->config.sink, LOG_LEVEL_WARN, "login.not_rehashed",
             LOG_SLICE("request_id", job->request_id), LOG_TEXT("reason", diag.message));
}

/* *ret_reason NULL: the password is the account's. */
static enum err
check_password(struct desk_job *job, struct account *account, struct login *ret_login,
               const char **ret_reason)
{
    const struct api *api = desk_context(job->desk);
    const struct login_state *state = job->state;
    struct diag *diag = &job->errand.diag;
    bool is_right = false;
    enum err err = login_find(account, state->email, ret_login, diag);

    if (err == ERR_ABSENT) {
        diag_clear(diag);
        *ret_reason = "no such account";
        return password_verify_dummy(&api->config.password_cost, diag);
    }
    if (err == ERR_OK)
        err = password_verify(slice_of_text(ret_login->password.text),
                              slice_of(state->password, state->password_len), &is_right, diag);
    *ret_reason = is_right ? NULL : "wrong password";
    return err;
}

static enum err
log_in(struct desk_job *job, struct account *account, enum throttle_outcome *ret_outcome)
{
    struct api *api = desk_context(job->desk);
    const struct login_state *state = job->state;
    struct diag *diag = &job->errand.diag;
    char refresh[SESSION_REFRESH_BYTES + 1] = "";
    struct account_actor actor = job->actor;
    struct session session;
    struct login login;
    const char *reason = NULL;
    enum err err = check_password(job, account, &login, &reason);

    if (err != ERR_OK)
        return err;
    if (reason != NULL) {
        *ret_outcome = THROTTLE_WRONG;
        err = failed_logins_note(&api->failed_logins, account, &job->actor, state->email, reason,
                                 clock_wall_us(api->config.clock), diag);
        if (err != ERR_OK)
            return err;
        diag_set(diag, "the email or the password is not right");
        return ERR_UNAUTHORIZED;
    }
    *ret_outcome = THROTTLE_RIGHT;
    rehash(job, account, &login, slice_of(state->password, state->password_len));
    actor.kind = ACCOUNT_ACTOR_LOGIN;
    actor.id = login.id;
    err = session_begin(account, &actor, login.id, api->config.refresh_life_us, refresh, &session,
                        diag);
    if (err == ERR_OK)
        err = write_tokens(job, &session, &login, refresh);
    sodium_memzero(refresh, sizeof(refresh));
    return err;
}

/* On the hasher's thread. */
static enum err
login_run(struct desk_job *job, struct account *account)
{
    const struct login_state *state = job->state;
    enum throttle_outcome outcome = THROTTLE_UNDECIDED;
    enum err err = log_in(job, account, &outcome);

    api_guess_tried(job, state->throttled_as, outcome);
    wipe_login(job->state);
    return err == ERR_ABSENT ? ERR_UNAUTHORIZED : desk_public_err(err); /* removed meanwhile */
}

static enum err
fill_login(struct desk_job *job, struct slice email, struct slice password)
{
    struct login_state *state = job->state;
    struct diag diag = DIAG_INIT;

    job->wipe = wipe_login;
    state->throttled_as = arena_copy(&job->errand.arena, email);
    if (state->throttled_as.ptr == NULL)
        return ERR_NOMEM;
    if (login_email_check(email, state->email, &diag) == ERR_OK)
        state->throttled_as = slice_of_text(state->email);
    else
        memcpy(state->email, NOBODY, sizeof(NOBODY));
    state->password_len =
        password.len <= PASSWORD_BYTES_MAX ? password.len : PASSWORD_BYTES_MAX + 1;
    memcpy(state->password, password.ptr, state->password_len);
    return ERR_OK;
}

static void
login_end(struct api_request *request)
{
    static const struct body_field fields[] = {{"email", BODY_TEXT, true},
                                               {"password", BODY_TEXT, true}};
    CLEANUP(desk_job_free) struct desk_job *job = NULL;
    struct body_value values[COUNT_OF(fields)];
    enum err err;

    if (!api_body_read(request, fields, COUNT_OF(fields), values))
        return;
    request->actor = nobody;
    job = api_desk_new(request, HASHER_LANE, login_run, sizeof(struct login_state));
    if (job == NULL)
        return;
    err = fill_login(job, values[0].text, values[1].text);
    api_body_forget(request, values, COUNT_OF(fields));
    if (err != ERR_OK)
        http_reply_error(request->exchange, err, NULL, NULL);
    else
        (void)!api_desk_submit_guess(request, job,
                                     ((const struct login_state *)job->state)->throttled_as);
    if (err == ERR_OK)
        job = NULL;
}

const struct route_handler login_handler = {
    .head = api_body_head, .body = api_body_add, .end = login_end, .gone = api_job_gone};

/* --- refresh ----------------------------------------------------------------------------------*/

struct refresh_state {
    char token[SESSION_REFRESH_BYTES];
    size_t token_len;
};

static void
wipe_refresh(void *state)
{
    sodium_memzero(state, sizeof(struct refresh_state));
}

static enum err
refuse_refresh(struct desk_job *job, enum session_outcome outcome)
{
    static const char *const words[] = {
        [SESSION_UNKNOWN] = "is not known; log in again",
        [SESSION_EXPIRED] = "has expired; log in again",
        [SESSION_REVOKED] = "is of a session that has ended; log in again",
        [SESSION_RACED] = "was used a moment ago; go on with the one that was given for it",
        [SESSION_REUSED] = "was used before, so somebody else may have it; log in again",
    };

    diag_set_field(&job->errand.diag, "refresh_token", "refresh_token: %s",
                   words[outcome] != NULL ? words[outcome] : words[SESSION_UNKNOWN]);
    return ERR_UNAUTHORIZED;
}

static enum err
refresh_run(struct desk_job *job, struct account *account)
{
    const struct api *api = desk_context(job->desk);
    const struct refresh_state *state = job->state;
    struct diag *diag = &job->errand.diag;
    char refresh[SESSION_REFRESH_BYTES + 1] = "";
    enum session_outcome outcome = SESSION_UNKNOWN;
    struct session session;
    struct login login;
    enum err err = session_refresh(account, &job->actor, slice_of(state->token, state->token_len),
                                   api->config.refresh_life_us, &outcome, refresh, &session, diag);

    if (err == ERR_OK && outcome != SESSION_RENEWED) {
        job->has_changed = outcome == SESSION_REUSED;
        return refuse_refresh(job, outcome);
    }
    if (err == ERR_OK)
        err = login_get(account, session.login_id, &login, diag);
    if (err == ERR_ABSENT)
        return refuse_refresh(job, SESSION_REVOKED);
    if (err == ERR_OK)
        err = write_tokens(job, &session, &login, refresh);
    sodium_memzero(refresh, sizeof(refresh));
    return desk_public_err(err);
}

static void
refresh_end(struct api_request *request)
{
    static const struct body_field fields[] = {{"refresh_token", BODY_TEXT, true}};
    struct body_value values[COUNT_OF(fields)];
    struct refresh_state *state;
    struct desk_job *job;

    if (!api_body_read(request, fields, COUNT_OF(fields), values))
        return;
    if (!session_is_refresh(values[0].text)) {
        static const char words[] = "refresh_token: is not a refresh token; log in again";

        api_note_refused(request->loop->api, request->exchange, words);
        http_reply_error(request->exchange, ERR_UNAUTHORIZED, words, "refresh_token");
        return;
    }
    request->actor = nobody;
    job = api_desk_new(request, DESK_LANE, refresh_run, sizeof(*state));
    if (job == NULL)
        return;
    state = job->state;
    job->wipe = wipe_refresh;
    state->token_len =
        values[0].text.len < sizeof(state->token) ? values[0].text.len : sizeof(state->token);
    memcpy(state->token, values[0].text.ptr, state->token_len);
    api_body_forget(request, values, COUNT_OF(fields));
    (void)!api_desk_submit(request, job);
}

const struct route_handler refresh_handler = {
    .head = api_body_head, .body = api_body_add, .end = refresh_end, .gone = api_job_gone};

/* --- logout, me -------------------------------------------------------------------------------*/

static enum err
logout_run(struct desk_job *job, struct account *account)
{
    job->errand.status = 204;
    job->has_changed = true;
    return desk_public_err(
        session_revoke(account, &job->actor, job->login.session_id, &job->errand.diag));
}

static void
logout_end(struct api_request *request)
{
    struct desk_job *job = api_desk_new(request, DESK_LANE, logout_run, 0);

    if (job != NULL)
        (void)!api_desk_submit(request, job);
}

const struct route_handler logout_handler = {.end = logout_end, .gone = api_job_gone};

/* From memory: no desk is asked. */
static void
me_end(struct api_request *request)
{
    struct api_loop *loop = request->loop;
    const char *email = access_email(loop->access, request->login.login_id);

    buf_clear(&loop->reply);
    add_account(&loop->reply, loop->access, request->login.login_id, email,
                request->login.is_admin);
    buf_add_char(&loop->reply, '\n');
    api_reply_json(request, 200, &loop->reply);
}

const struct route_handler me_handler = {.end = me_end};
