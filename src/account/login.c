/*
 * login - people who log in, as rows. See login.h.
 */
#include "account/login.h"

#include "account/inside.h"
#include "base/mem.h"
#include "login_sql.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct db_statement login_count = DB_BOTH(sql_login_count);
static const struct db_statement login_insert = DB_BOTH(sql_login_insert);
static const struct db_statement login_select = DB_BOTH(sql_login_get);
static const struct db_statement login_by_email = DB_BOTH(sql_login_find);
static const struct db_statement login_all = DB_BOTH(sql_login_list);
static const struct db_statement login_update_password = DB_BOTH(sql_login_set_password);
static const struct db_statement login_update_hash = DB_BOTH(sql_login_rehash);
static const struct db_statement login_update_admin = DB_BOTH(sql_login_set_admin);
static const struct db_statement login_delete = DB_BOTH(sql_login_delete);
static const struct db_statement login_end_sessions = DB_BOTH(sql_login_end_sessions);
static const struct db_statement membership_all = DB_BOTH(sql_membership_list);
static const struct db_statement membership_count = DB_BOTH(sql_membership_count);
static const struct db_statement membership_set = DB_BOTH(sql_membership_set);
static const struct db_statement membership_delete = DB_BOTH(sql_membership_delete);

/* --- reading ----------------------------------------------------------------------------------*/

static void
login_of_row(const struct db_rows *rows, uint32_t row, struct login *ret_login)
{
    *ret_login = (struct login){0};
    ret_login->id = (uint64_t)db_number(rows, row, 0);
    db_text(rows, row, 1, ret_login->email, sizeof(ret_login->email));
    db_text(rows, row, 2, ret_login->password.text, sizeof(ret_login->password.text));
    ret_login->is_admin = db_number(rows, row, 3) != 0;
    ret_login->created_at_us = db_time(rows, row, 4);
    ret_login->last_login_at_us = db_time(rows, row, 5);
}

enum err
login_get(struct account *account, uint64_t login_id, struct login *ret_login, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, (int64_t)login_id);
    err = db_ask(account->db, &login_select, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    if (db_count(rows) == 0) {
        diag_set(diag, "there is no account %llu", (unsigned long long)login_id);
        return ERR_ABSENT;
    }
    login_of_row(rows, 0, ret_login);
    return ERR_OK;
}

enum err
login_find(struct account *account, const char *email, struct login *ret_login, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_text(&values, email);
    err = db_ask(account->db, &login_by_email, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    if (db_count(rows) == 0) {
        diag_set(diag, "there is no account with the email %s", email);
        return ERR_ABSENT;
    }
    login_of_row(rows, 0, ret_login);
    return ERR_OK;
}

static enum err
read_logins(struct account *account, struct login_list *list, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, LOGIN_COUNT_MAX);
    err = db_ask(account->db, &login_all, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    list->logins = MEM_NEW(struct login, db_count(rows) + 1);
    if (list->logins == NULL)
        return ERR_NOMEM;
    for (uint32_t row = 0; row < db_count(rows); row++)
        login_of_row(rows, row, &list->logins[list->login_count++]);
    return ERR_OK;
}

static enum err
read_memberships(struct account *account, struct login_list *list, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, LOGIN_MEMBERSHIPS_MAX);
    err = db_ask(account->db, &membership_all, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    list->memberships = MEM_NEW(struct login_membership, db_count(rows) + 1);
    if (list->memberships == NULL)
        return ERR_NOMEM;
    for (uint32_t row = 0; row < db_count(rows); row++) {
        struct login_membership *membership = &list->memberships[list->membership_count++];

        membership->login_id = (uint64_t)db_number(rows, row, 0);
        membership->project_id = (uint32_t)db_number(rows, row, 1);
        if (!login_role_parse(db_bytes(rows, row, 2), &membership->role)) {
            diag_set(diag, "the table of memberships: that of account %lld is damaged",
                     (long long)db_number(rows, row, 0));
            return ERR_CORRUPT;
        }
    }
    return ERR_OK;
}

enum err
login_list(struct account *account, struct login_list *ret_list, struct diag *diag)
{
    CLEANUP(login_list_free) struct login_list list = {0};
    enum err err = db_begin(account->db, false, diag);

    if (err != ERR_OK)
        return err;
    err = read_logins(account, &list, diag);
    if (err == ERR_OK)
        err = read_memberships(account, &list, diag);
    if (err == ERR_NOMEM)
        diag_set(diag, "accounts: out of memory");
    err = db_end(account->db, err, diag);
    if (err == ERR_OK) {
        *ret_list = list;
        list = (struct login_list){0};
    }
    return err;
}

void
login_list_free(struct login_list *list)
{
    mem_free(list->logins);
    mem_free(list->memberships);
    *list = (struct login_list){0};
}

/* --- adding -----------------------------------------------------------------------------------*/

static enum err
count_logins(struct account *account, int64_t *ret_count, int64_t *ret_admins, struct diag *diag)
{
    DB_ROWS rows = NULL;
    enum err err = db_ask(account->db, &login_count, NULL, &rows, diag);

    if (err != ERR_OK)
        return err;
    *ret_count = db_number(rows, 0, 0);
    *ret_admins = db_number(rows, 0, 1);
    return ERR_OK;
}

/* Within a transaction. */
static enum err
insert_login(struct account *account, const struct account_actor *by, struct login *login,
             struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    login->created_at_us = clock_wall_us(account->clock);
    db_add_text(&values, login->email);
    db_add_text(&values, login->password.text);
    db_add_number(&values, login->is_admin);
    db_add_time(&values, login->created_at_us);
    err = db_ask(account->db, &login_insert, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    if (db_count(rows) == 0) {
        diag_set_field(diag, "email", "email: an account has it already; choose another");
        return ERR_EXISTS;
    }
    login->id = (uint64_t)db_number(rows, 0, 0);
    return account_note(account, by, "account.created", 0, diag,
                        login->is_admin ? "server admin" : NULL, "account %llu %s",
                        (unsigned long long)login->id, login->email);
}

static enum err
prepare_login(const char *email, const struct password_hash *password, bool is_admin,
              struct login *ret_login, struct diag *diag)
{
    *ret_login = (struct login){.password = *password, .is_admin = is_admin};
    return login_email_check(slice_of_text(email), ret_login->email, diag);
}

enum err
login_add(struct account *account, const struct account_actor *by, const char *email,
          const struct password_hash *password, bool is_admin, struct login *ret_login,
          struct diag *diag)
{
    int64_t count = 0, admins;
    struct login login;
    enum err err = prepare_login(email, password, is_admin, &login, diag);

    if (err == ERR_OK)
        err = db_begin(account->db, true, diag);
    if (err != ERR_OK)
        return err;
    err = count_logins(account, &count, &admins, diag);
    if (err == ERR_OK && count >= LOGIN_COUNT_MAX) {
        diag_set(diag, "there are %d accounts already, as many as may be; remove some first",
                 LOGIN_COUNT_MAX);
        err = ERR_FULL;
    }
    if (err == ERR_OK)
        err = insert_login(account, by, &login, diag);
    err = db_end(account->db, err, diag);
    if (err == ERR_OK)
        *ret_login = login;
    return err;
}

enum err
login_add_first(struct account *account, const struct account_actor *by, const char *email,
                const struct password_hash *password, bool *ret_is_first, struct login *ret_login,
                struct diag *diag)
{
    int64_t count = 0, admins;
    struct login login;
    enum err err = prepare_login(email, password, true, &login, diag);

    if (err == ERR_OK)
        err = db_begin(account->db, true, diag);
    if (err != ERR_OK)
        return err;
    err = count_logins(account, &count, &admins, diag);
    if (err == ERR_OK && count == 0)
        err = insert_login(account, by, &login, diag);
    err = db_end(account->db, err, diag);
    if (err != ERR_OK)
        return err;
    *ret_is_first = count == 0;
    if (count == 0)
        *ret_login = login;
    return ERR_OK;
}

/* --- changing ---------------------------------------------------------------------------------*/

/* A change of one login in one transaction: `change` is called with the login as it is. */
struct login_change {
    const struct account_actor *by;
    enum err (*change)(struct account *account, const struct login_change *change,
                       const struct login *login, struct diag *diag);
    const struct password_hash *password;
    const char *keep_session;
    bool is_admin;
    uint32_t project_id;
    enum login_role role;
};

static enum err
change_login(struct account *account, uint64_t login_id, const struct login_change *change,
             struct diag *diag)
{
    struct login login;
    enum err err = db_begin(account->db, true, diag);

    if (err != ERR_OK)
        return err;
    err = login_get(account, login_id, &login, diag);
    if (err == ERR_OK)
        err = change->change(account, change, &login, diag);
    return db_end(account->db, err, diag);
}

static enum err
end_sessions(struct account *account, uint64_t login_id, const char *keep_session,
             struct diag *diag)
{
    struct db_values values = {0};

    db_add_number(&values, (int64_t)login_id);
    db_add_time(&values, clock_wall_us(account->clock));
    db_add_text(&values, keep_session != NULL ? keep_session : "");
    return db_run(account->db, &login_end_sessions, &values, diag);
}

static enum err
change_password(struct account *account, const struct login_change *change,
                const struct login *login, struct diag *diag)
{
    struct db_values values = {0};
    enum err err;

    db_add_number(&values, (int64_t)login->id);
    db_add_text(&values, change->password->text);
    err = db_run(account->db, &login_update_password, &values, diag);
    if (err == ERR_OK)
        err = end_sessions(account, login->id, change->keep_session, diag);
    if (err != ERR_OK)
        return err;
    return account_note(account, change->by, "account.password", 0, diag,
                        change->keep_session != NULL ? "its other sessions ended"
                                                     : "its sessions ended",
                        "account %llu %s", (unsigned long long)login->id, login->email);
}

enum err
login_set_password(struct account *account, const struct account_actor *by, uint64_t login_id,
                   const struct password_hash *password, const char *keep_session,
                   struct diag *diag)
{
    const struct login_change change = {
        .by = by, .change = change_password, .password = password, .keep_session = keep_session};

    return change_login(account, login_id, &change, diag);
}

enum err
login_rehash(struct account *account, uint64_t login_id, const struct password_hash *before,
             const struct password_hash *password, struct diag *diag)
{
    struct db_values values = {0};
    enum err err = db_begin(account->db, true, diag);

    if (err != ERR_OK)
        return err;
    db_add_number(&values, (int64_t)login_id);
    db_add_text(&values, before->text);
    db_add_text(&values, password->text);
    err = db_run(account->db, &login_update_hash, &values, diag);
    return db_end(account->db, err, diag);
}

static enum err
check_not_last_admin(struct account *account, const struct login *login, struct diag *diag)
{
    int64_t count, admins = 0;
    enum err err = count_logins(account, &count, &admins, diag);

    if (err != ERR_OK || !login->is_admin || admins > 1)
        return err;
    diag_set(diag, "%s is the last server admin; make another account one first", login->email);
    return ERR_FULL;
}

static enum err
change_admin(struct account *account, const struct login_change *change, const struct login *login,
             struct diag *diag)
{
    struct db_values values = {0};
    enum err err = ERR_OK;

    if (change->is_admin == login->is_admin)
        return ERR_OK;
    if (!change->is_admin)
        err = check_not_last_admin(account, login, diag);
    if (err != ERR_OK)
        return err;
    db_add_number(&values, (int64_t)login->id);
    db_add_number(&values, change->is_admin);
    err = db_run(account->db, &login_update_admin, &values, diag);
    if (err != ERR_OK)
        return err;
    return account_note(account, change->by, "account.admin", 0, diag,
                        change->is_admin ? "on" : "off", "account %llu %s",
                        (unsigned long long)login->id, login->email);
}

enum err
login_set_admin(struct account *account, const struct account_actor *by, uint64_t login_id,
                bool is_admin, struct diag *diag)
{
    const struct login_change change = {.by = by, .change = change_admin, .is_admin = is_admin};

    return change_login(account, login_id, &change, diag);
}

static enum err
remove_login(struct account *account, const struct login_change *change, const struct login *login,
             struct diag *diag)
{
    struct db_values values = {0};
    enum err err = check_not_last_admin(account, login, diag);

    if (err != ERR_OK)
        return err;
    db_add_number(&values, (int64_t)login->id);
    err = db_run(account->db, &login_delete, &values, diag);
    if (err != ERR_OK)
        return err;
    return account_note(account, change->by, "account.removed", 0, diag, NULL, "account %llu %s",
                        (unsigned long long)login->id, login->email);
}

enum err
login_remove(struct account *account, const struct account_actor *by, uint64_t login_id,
             struct diag *diag)
{
    const struct login_change change = {.by = by, .change = remove_login};

    return change_login(account, login_id, &change, diag);
}

/* --- roles ------------------------------------------------------------------------------------*/

static enum err
take_role(struct account *account, const struct login_change *change, const struct login *login,
          struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, (int64_t)login->id);
    db_add_number(&values, change->project_id);
    err = db_ask(account->db, &membership_delete, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    if (db_count(rows) == 0) {
        diag_set(diag, "%s has no role in project %u", login->email, change->project_id);
        return ERR_ABSENT;
    }
    return account_note(account, change->by, "role.removed", change->project_id, diag, NULL,
                        "account %llu %s", (unsigned long long)login->id, login->email);
}

static enum err
check_membership_room(struct account *account, uint64_t login_id, uint32_t project_id,
                      struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, (int64_t)login_id);
    db_add_number(&values, project_id);
    err = db_ask(account->db, &membership_count, &values, &rows, diag);
    if (err != ERR_OK || db_number(rows, 0, 0) < LOGIN_MEMBERSHIPS_MAX)
        return err;
    diag_set(diag, "there are %d memberships already, as many as may be; take some away first",
             LOGIN_MEMBERSHIPS_MAX);
    return ERR_FULL;
}

static enum err
give_role(struct account *account, const struct login_change *change, const struct login *login,
          struct diag *diag)
{
    struct account_project project;
    struct db_values values = {0};
    char detail[32];
    enum err err = account_project_get(account, change->project_id, &project, diag);

    if (err == ERR_OK)
        err = check_membership_room(account, login->id, change->project_id, diag);
    if (err != ERR_OK)
        return err;
    db_add_number(&values, (int64_t)login->id);
    db_add_number(&values, change->project_id);
    db_add_text(&values, login_role_name(change->role));
    err = db_run(account->db, &membership_set, &values, diag);
    if (err != ERR_OK)
        return err;
    (void)snprintf(detail, sizeof(detail), "role %s", login_role_name(change->role));
    return account_note(account, change->by, "role.set", change->project_id, diag, detail,
                        "account %llu %s", (unsigned long long)login->id, login->email);
}

enum err
login_set_role(struct account *account, const struct account_actor *by, uint64_t login_id,
               uint32_t project_id, enum login_role role, struct diag *diag)
{
    const struct login_change change = {
        .by = by,
        .change = role == LOGIN_ROLE_NONE ? take_role : give_role,
        .project_id = project_id,
        .role = role,
    };

    return change_login(account, login_id, &change, diag);
}
