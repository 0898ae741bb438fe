/*
 * own_password - POST /v1/auth/password: one's own new password. Other sessions end, the caller's
 * goes on.
 *
 * Layer 6: the body on the loop, the rest on the hasher's thread. Guessing the present password
 * from a stolen token is slowed down, and stands in the audit log, as logging in does.
 */
#include "api/internal.h"
#include "base/mem.h"

#include <sodium.h>

struct password_state {
    char current[PASSWORD_BYTES_MAX + 2];
    char fresh[PASSWORD_BYTES_MAX + 2];
    size_t current_len;
    size_t fresh_len;
    char email[LOGIN_EMAIL_BYTES + 1];
};

static void
wipe_password(void *state)
{
    sodium_memzero(state, offsetof(struct password_state, email));
}

static enum err
change(struct desk_job *job, struct account *account, enum throttle_outcome *ret_outcome)
{
    struct api *api = desk_context(job->desk);
    const struct password_state *state = job->state;
    struct diag *diag = &job->errand.diag;
    struct password_hash hash;
    struct login login;
    bool is_right = false;
    enum err err = login_get(account, job->login.login_id, &login, diag);

    if (err == ERR_OK)
        err = password_verify(slice_of_text(login.password.text),
                              slice_of(state->current, state->current_len), &is_right, diag);
    if (err != ERR_OK)
        return err;
    *ret_outcome = is_right ? THROTTLE_RIGHT : THROTTLE_WRONG;
    if (!is_right) {
        err = failed_logins_note(&api->failed_logins, account, &job->actor, login.email,
                                 "wrong current password", clock_wall_us(api->config.clock), diag);
        if (err != ERR_OK)
            return err;
        diag_set_field(diag, "current_password", "current_password: is not right");
        return ERR_FORBIDDEN;
    }
    err = password_hash(slice_of(state->fresh, state->fresh_len), &api->config.password_cost,
                        random_system(), &hash, diag);
    if (err == ERR_INVALID)
        diag_set_field(diag, "new_password", "new_password: %s", diag->message);
    if (err == ERR_OK)
        err =
            login_set_password(account, &job->actor, login.id, &hash, job->login.session_id, diag);
    return err;
}

static enum err
password_run(struct desk_job *job, struct account *account)
{
    const struct password_state *state = job->state;
    enum throttle_outcome outcome = THROTTLE_UNDECIDED;
    enum err err = change(job, account, &outcome);

    api_guess_tried(job, slice_of_text(state->email), outcome);
    wipe_password(job->state);
    job->errand.status = 204;
    job->has_changed = err == ERR_OK;
    return desk_public_err(err);
}

static void
keep(char *to, size_t *ret_len, struct slice text)
{
    *ret_len = text.len <= PASSWORD_BYTES_MAX ? text.len : PASSWORD_BYTES_MAX + 1;
    memcpy(to, text.ptr, *ret_len);
}

static void
password_end(struct api_request *request)
{
    static const struct body_field fields[] = {{"current_password", BODY_TEXT, true},
                                               {"new_password", BODY_TEXT, true}};
    const char *email = access_email(request->loop->access, request->login.login_id);
    struct desk_job *job;
    struct body_value values[COUNT_OF(fields)];
    struct password_state *state;

    if (!api_body_read(request, fields, COUNT_OF(fields), values))
        return;
    job = api_desk_new(request, HASHER_LANE, password_run, sizeof(*state));
    if (job == NULL)
        return;
    state = job->state;
    job->wipe = wipe_password;
    keep(state->current, &state->current_len, values[0].text);
    keep(state->fresh, &state->fresh_len, values[1].text);
    (void)snprintf(state->email, sizeof(state->email), "%s", email != NULL ? email : "");
    api_body_forget(request, values, COUNT_OF(fields));
    (void)!api_desk_submit_guess(request, job, slice_of_text(state->email));
}

const struct route_handler own_password_handler = {
    .head = api_body_head, .body = api_body_add, .end = password_end, .gone = api_job_gone};
