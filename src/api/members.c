/*
 * members - GET, POST /v1/projects/{id}/members; PUT, DELETE /v1/projects/{id}/members/{account}:
 * who has which role in a project.
 *
 * Layer 6, at the desk. By POST an account is named by its email, by PUT and DELETE by its number.
 * Numbers are easily gone through, so to an owner they name members alone: an account without a
 * role in this project is as one that is not there. Only an admin gives a first role by number. An
 * owner who takes their own role away has none any more: an admin can give it back.
 */
#include "api/internal.h"
#include "api/json.h"
#include "api/rows.h"
#include "base/mem.h"

#include <inttypes.h>

static void
write_member(uint64_t login_id, const char *email, enum login_role role, struct buf *body)
{
    buf_printf(body, "{\"account\":%" PRIu64 ",\"email\":", login_id);
    json_add_text(body, email != NULL ? slice_of_text(email) : SLICE_NONE);
    buf_printf(body, ",\"role\":\"%s\"}", login_role_name(role));
}

static enum err
run_list(struct resource *res, struct diag *diag)
{
    struct login_list list = {0};
    bool is_first = true;
    enum err err = login_list(res->account, &list, diag);

    if (err != ERR_OK)
        return err;
    buf_add_text(res->body, "{\"members\":[");
    for (size_t i = 0; i < list.membership_count; i++) {
        const struct login_membership *membership = &list.memberships[i];

        if (membership->project_id != res->project_id)
            continue;
        if (!is_first)
            buf_add_char(res->body, ',');
        write_member(membership->login_id, access_email(res->access, membership->login_id),
                     membership->role, res->body);
        is_first = false;
    }
    buf_add_text(res->body, "]}");
    login_list_free(&list);
    return ERR_OK;
}

const struct resource_kind members_list_resource = {.lane = DESK_LANE, .run = run_list};

static enum err
take_role(struct slice text, enum login_role *ret_role, struct diag *diag)
{
    if (login_role_parse(text, ret_role))
        return ERR_OK;
    diag_set_field(diag, "role", "role: must be \"owner\", \"analyst\" or \"ingest\"");
    return ERR_INVALID_PARAMETER;
}

static enum err
set_role(struct resource *res, const struct login *login, enum login_role role, struct diag *diag)
{
    enum err err = login_set_role(res->account, res->actor, login->id, res->project_id, role, diag);

    if (err != ERR_OK)
        return err;
    res->has_changed = true;
    buf_add_text(res->body, "{\"member\":");
    write_member(login->id, login->email, role, res->body);
    buf_add_char(res->body, '}');
    return ERR_OK;
}

static enum err
run_add(struct resource *res, struct diag *diag)
{
    static const struct body_field fields[] = {{"email", BODY_TEXT, true},
                                               {"role", BODY_TEXT, true}};
    struct body_value values[COUNT_OF(fields)];
    char email[LOGIN_EMAIL_BYTES + 1] = "";
    enum login_role role = LOGIN_ROLE_NONE;
    struct login login;
    enum err err = resource_read_body(res, fields, COUNT_OF(fields), values, diag);

    if (err == ERR_OK)
        err = login_email_check(values[0].text, email, diag);
    if (err == ERR_OK)
        err = take_role(values[1].text, &role, diag);
    if (err == ERR_OK)
        err = login_find(res->account, email, &login, diag);
    if (err == ERR_ABSENT)
        diag_set_field(diag, "email",
                       "email: no account has it; a server admin makes one (POST /v1/accounts)");
    return err == ERR_OK ? set_role(res, &login, role, diag) : err;
}

const struct resource_kind member_add_resource = {.lane = DESK_LANE, .run = run_add};

static bool
is_member(const struct resource *res, uint64_t login_id)
{
    size_t count = 0;
    const struct login_membership *memberships = access_memberships(res->access, login_id, &count);

    for (size_t i = 0; i < count; i++) {
        if (memberships[i].project_id == res->project_id)
            return true;
    }
    return false;
}

static enum err
refuse_stranger(struct diag *diag)
{
    diag_set(diag, "this account is no member of the project; add one by its email (POST "
                   "/v1/projects/{id}/members)");
    return ERR_NOT_FOUND;
}

/* The account of the path: a member or, `takes_strangers`, any. */
static enum err
find_account(struct resource *res, bool takes_strangers, struct login *ret_login, struct diag *diag)
{
    uint64_t login_id = 0;
    enum err err = resource_segment_number(res, 1, &login_id);

    if (err == ERR_OK && !takes_strangers && !is_member(res, login_id))
        err = ERR_NOT_FOUND;
    if (err == ERR_OK)
        err = login_get(res->account, login_id, ret_login, diag);
    return err == ERR_ABSENT || err == ERR_NOT_FOUND ? refuse_stranger(diag) : err;
}

static enum err
run_set(struct resource *res, struct diag *diag)
{
    static const struct body_field fields[] = {{"role", BODY_TEXT, true}};
    struct body_value values[COUNT_OF(fields)];
    enum login_role role;
    struct login login;
    enum err err = find_account(res, res->login->is_admin, &login, diag);

    if (err == ERR_OK)
        err = resource_read_body(res, fields, COUNT_OF(fields), values, diag);
    if (err == ERR_OK)
        err = take_role(values[0].text, &role, diag);
    return err == ERR_OK ? set_role(res, &login, role, diag) : err;
}

const struct resource_kind member_set_resource = {.lane = DESK_LANE, .run = run_set};

static enum err
run_remove(struct resource *res, struct diag *diag)
{
    struct login login;
    enum err err = find_account(res, false, &login, diag);

    res->status = 204;
    res->has_changed = true;
    if (err == ERR_OK)
        err = login_set_role(res->account, res->actor, login.id, res->project_id, LOGIN_ROLE_NONE,
                             diag);
    return err == ERR_ABSENT ? refuse_stranger(diag) : err; /* removed meanwhile */
}

const struct resource_kind member_remove_resource = {.lane = DESK_LANE, .run = run_remove};
