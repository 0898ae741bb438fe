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
run_list(struct resource *res, struct diag *diag)
{
    struct login_list list = {0};
    enum err err = login_list(res->account, &list, diag);

    if (err != ERR_OK)
        return err;
    buf_add_text(res->body, "{\"accounts\":[");
    for (size_t i = 0; i < list.login_count; i++) {
        if (i != 0)
            buf_add_char(res->body, ',');
        rows_write_login(&list.logins[i], NULL, res->body);
    }
    buf_add_text(res->body, "]}");
    login_list_free(&list);
    return ERR_OK;
}

const struct resource_kind accounts_list_resource = {.lane = DESK_LANE, .run = run_list};

static void
answer(struct resource *res, const struct login *login, const char *password)
{
    buf_add_text(res->body, "{\"account\":");
    rows_write_login(login, password, res->body);
    buf_add_char(res->body, '}');
}

static enum err
run_create(struct resource *res, struct diag *diag)
{
    enum { EMAIL, PASSWORD, IS_ADMIN, FIELDS };
    static const struct body_field fields[FIELDS] = {
        {"email", BODY_TEXT, true}, {"password", BODY_TEXT, false}, {"is_admin", BODY_BOOL, false}};
    char generated[PASSWORD_GENERATED_BYTES + 1] = "";
    char email[LOGIN_EMAIL_BYTES + 1];
    struct body_value values[FIELDS];
    struct password_hash hash;
    struct login login;
    enum err err = resource_read_body(res, fields, FIELDS, values, diag);

    if (err == ERR_OK)
        err = login_email_check(values[EMAIL].text, email, diag);
    if (err == ERR_OK && !values[PASSWORD].is_given) {
        password_generate(random_system(), generated);
        values[PASSWORD].text = slice_of_text(generated);
    }
    if (err == ERR_OK)
        err = password_hash(values[PASSWORD].text, &res->api->config.password_cost, random_system(),
                            &hash, diag);
    if (err == ERR_OK)
        err =
            login_add(res->account, res->actor, email, &hash, values[IS_ADMIN].flag, &login, diag);
    if (err == ERR_OK) {
        res->status = 201;
        res->has_changed = true;
        answer(res, &login, generated[0] != '\0' ? generated : NULL);
    }
    sodium_memzero(generated, sizeof(generated));
    return err;
}

const struct resource_kind account_create_resource = {.lane = HASHER_LANE, .run = run_create};

static enum err
find_account(struct resource *res, struct login *ret_login, struct diag *diag)
{
    uint64_t login_id = 0;
    enum err err = resource_segment_number(res, 0, &login_id);

    if (err == ERR_OK)
        err = login_get(res->account, login_id, ret_login, diag);
    if (err == ERR_ABSENT || err == ERR_NOT_FOUND)
        diag_set(diag, "there is no such account");
    return err;
}

static enum err
run_get(struct resource *res, struct diag *diag)
{
    struct login login;
    enum err err = find_account(res, &login, diag);

    if (err == ERR_OK)
        answer(res, &login, NULL);
    return err;
}

const struct resource_kind account_get_resource = {.lane = DESK_LANE, .run = run_get};

static enum err
run_change(struct resource *res, struct diag *diag)
{
    enum { PASSWORD, IS_ADMIN, FIELDS };
    static const struct body_field fields[FIELDS] = {{"password", BODY_TEXT, false},
                                                     {"is_admin", BODY_BOOL, false}};
    struct body_value values[FIELDS] = {0};
    struct password_hash hash = {0};
    struct login login;
    enum err err = find_account(res, &login, diag);

    if (err == ERR_OK)
        err = resource_read_body(res, fields, FIELDS, values, diag);
    if (err == ERR_OK && values[PASSWORD].is_given)
        err = password_hash(values[PASSWORD].text, &res->api->config.password_cost, random_system(),
                            &hash, diag);
    res->has_changed = true;
    if (err == ERR_OK && values[IS_ADMIN].is_given)
        err = login_set_admin(res->account, res->actor, login.id, values[IS_ADMIN].flag, diag);
    if (err == ERR_OK && values[PASSWORD].is_given)
        err = login_set_password(res->account, res->actor, login.id, &hash, NULL, diag);
    if (err == ERR_OK)
        err = login_get(res->account, login.id, &login, diag);
    if (err == ERR_OK)
        answer(res, &login, NULL);
    return err;
}

const struct resource_kind account_change_resource = {.lane = HASHER_LANE, .run = run_change};

static enum err
run_remove(struct resource *res, struct diag *diag)
{
    struct login login;
    enum err err = find_account(res, &login, diag);

    res->status = 204;
    res->has_changed = true;
    return err == ERR_OK ? login_remove(res->account, res->actor, login.id, diag) : err;
}

const struct resource_kind account_remove_resource = {.lane = DESK_LANE, .run = run_remove};
