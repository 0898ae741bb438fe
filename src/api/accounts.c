/*
 * accounts - GET, POST /v1/accounts; GET, PATCH, DELETE /v1/accounts/{id}: people who log in.
 *
 * Layer 6, at the desk; for server admins. A new account gets the password that was sent, or a
 * generated one, which is in that answer alone. Setting a password ends the account's sessions.
 */
#include "api/internal.h"
#include "api/rows.h"
#include "base/mem.h"

#include <sodium.h>
#include <string.h>

static enum err
run_list(struct desk_job *job, struct diag *diag)
{
    struct login_list list = {0};
    enum err err = login_list(job->account, &list, diag);

    if (err != ERR_OK)
        return err;
    buf_add_text(&job->body, "{\"accounts\":[");
    for (size_t i = 0; i < list.login_count; i++) {
        if (i != 0)
            buf_add_char(&job->body, ',');
        rows_write_login(&list.logins[i], NULL, &job->body);
    }
    buf_add_text(&job->body, "]}");
    login_list_free(&list);
    return ERR_OK;
}

const struct desk_handler accounts_list_desk = {.lane = DESK_CLERK, .run = run_list};

static void
answer(struct desk_job *job, const struct login *login, const char *password)
{
    buf_add_text(&job->body, "{\"account\":");
    rows_write_login(login, password, &job->body);
    buf_add_char(&job->body, '}');
}

static enum err
run_create(struct desk_job *job, struct diag *diag)
{
    enum { EMAIL, PASSWORD, IS_ADMIN, FIELDS };
    static const struct body_field fields[FIELDS] = {
        {"email", BODY_TEXT, true}, {"password", BODY_TEXT, false}, {"is_admin", BODY_BOOL, false}};
    char generated[PASSWORD_GENERATED_BYTES + 1] = "";
    char email[LOGIN_EMAIL_BYTES + 1];
    struct body_value values[FIELDS];
    struct password_hash hash;
    struct login login;
    enum err err = desk_read_body(job, fields, FIELDS, values, diag);

    if (err == ERR_OK)
        err = login_email_check(values[EMAIL].text, email, diag);
    if (err == ERR_OK && !values[PASSWORD].is_given) {
        password_generate(random_system(), generated);
        values[PASSWORD].text = slice_of_text(generated);
    }
    if (err == ERR_OK)
        err = password_hash(values[PASSWORD].text, &job->api->config.password_cost, random_system(),
                            &hash, diag);
    if (err == ERR_OK)
        err = login_add(job->account, &job->actor, email, &hash, values[IS_ADMIN].truth, &login,
                        diag);
    if (err == ERR_OK) {
        job->status = 201;
        job->has_changed = true;
        answer(job, &login, generated[0] != '\0' ? generated : NULL);
    }
    sodium_memzero(generated, sizeof(generated));
    return err;
}

const struct desk_handler account_create_desk = {.lane = DESK_HASHER, .run = run_create};

static enum err
find_account(struct desk_job *job, struct login *ret_login, struct diag *diag)
{
    uint64_t login_id = 0;
    enum err err = desk_segment_number(job, 0, &login_id);

    if (err == ERR_OK)
        err = login_get(job->account, login_id, ret_login, diag);
    if (err == ERR_ABSENT || err == ERR_NOT_FOUND)
        diag_set(diag, "there is no such account");
    return err;
}

static enum err
run_get(struct desk_job *job, struct diag *diag)
{
    struct login login;
    enum err err = find_account(job, &login, diag);

    if (err == ERR_OK)
        answer(job, &login, NULL);
    return err;
}

const struct desk_handler account_get_desk = {.lane = DESK_CLERK, .run = run_get};

static enum err
run_change(struct desk_job *job, struct diag *diag)
{
    enum { PASSWORD, IS_ADMIN, FIELDS };
    static const struct body_field fields[FIELDS] = {{"password", BODY_TEXT, false},
                                                     {"is_admin", BODY_BOOL, false}};
    struct body_value values[FIELDS];
    struct password_hash hash;
    struct login login;
    enum err err = find_account(job, &login, diag);

    if (err == ERR_OK)
        err = desk_read_body(job, fields, FIELDS, values, diag);
    if (err == ERR_OK && values[PASSWORD].is_given)
        err = password_hash(values[PASSWORD].text, &job->api->config.password_cost, random_system(),
                            &hash, diag);
    job->has_changed = true;
    if (err == ERR_OK && values[IS_ADMIN].is_given)
        err = login_set_admin(job->account, &job->actor, login.id, values[IS_ADMIN].truth, diag);
    if (err == ERR_OK && values[PASSWORD].is_given)
        err = login_set_password(job->account, &job->actor, login.id, &hash, NULL, diag);
    if (err == ERR_OK)
        err = login_get(job->account, login.id, &login, diag);
    if (err == ERR_OK)
        answer(job, &login, NULL);
    return err;
}

const struct desk_handler account_change_desk = {.lane = DESK_HASHER, .run = run_change};

static enum err
run_remove(struct desk_job *job, struct diag *diag)
{
    struct login login;
    enum err err = find_account(job, &login, diag);

    job->status = 204;
    job->has_changed = true;
    return err == ERR_OK ? login_remove(job->account, &job->actor, login.id, diag) : err;
}

const struct desk_handler account_remove_desk = {.lane = DESK_CLERK, .run = run_remove};
