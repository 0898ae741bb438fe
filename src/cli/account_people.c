/*
 * account_people - see account_people.h.
 */
#include "cli/account_people.h"

#include "base/mem.h"
#include <sodium.h>

void
account_free_logins(struct login_list *list)
{
    for (size_t i = 0; i < list->login_count; i++)
        sodium_memzero(&list->logins[i].password, sizeof(struct password_hash));
    login_list_free(list);
}

struct people {
    struct login_list logins;
    struct account_list projects;
};

static enum err
read_people(struct admin *admin, struct people *people, struct diag *diag)
{
    enum err err = login_list(admin->account, &people->logins, diag);

    return err == ERR_OK ? account_list(admin->account, &people->projects, diag) : err;
}

static void
free_people(struct people *people)
{
    account_free_logins(&people->logins);
    account_list_free(&people->projects);
}

static const char *
project_name(const struct account_list *list, uint32_t project_id)
{
    for (size_t i = 0; i < list->project_count; i++) {
        if (list->projects[i].id == project_id)
            return list->projects[i].name;
    }
    return "";
}

void
account_login_add_json(struct buf *buf, const struct login *login)
{
    admin_json_number(buf, "id", login->id);
    admin_json_text(buf, "email", login->email);
    admin_json_bool(buf, "is_admin", login->is_admin);
    admin_json_time(buf, "created_at", login->created_at_us);
    admin_json_time(buf, "last_login_at", login->last_login_at_us);
}

static int
print_people_json(const struct admin *admin, const struct people *people)
{
    struct buf buf;

    buf_init(&buf, 1u << 30);
    buf_add_text(&buf, "{\"accounts\":[");
    for (size_t i = 0; i < people->logins.login_count; i++) {
        const struct login *login = &people->logins.logins[i];

        admin_json_item(&buf);
        buf_add_char(&buf, '{');
        account_login_add_json(&buf, login);
        admin_json_key(&buf, "projects");
        buf_add_char(&buf, '[');
        for (size_t k = 0; k < people->logins.membership_count; k++) {
            const struct login_membership *membership = &people->logins.memberships[k];

            if (membership->login_id != login->id)
                continue;
            admin_json_item(&buf);
            buf_add_char(&buf, '{');
            admin_json_number(&buf, "id", membership->project_id);
            admin_json_text(&buf, "name", project_name(&people->projects, membership->project_id));
            admin_json_text(&buf, "role", login_role_name(membership->role));
            buf_add_char(&buf, '}');
        }
        buf_add_text(&buf, "]}");
    }
    buf_add_text(&buf, "]}");
    return admin_print_json(admin, &buf);
}

/* "default=owner, shop=analyst" */
static void
add_roles_cell(struct admin_table *table, const struct people *people, uint64_t login_id)
{
    struct buf buf;

    buf_init(&buf, 1u << 20);
    for (size_t k = 0; k < people->logins.membership_count; k++) {
        const struct login_membership *membership = &people->logins.memberships[k];

        if (membership->login_id == login_id)
            buf_printf(&buf, "%s%s=%s", buf.len != 0 ? ", " : "",
                       project_name(&people->projects, membership->project_id),
                       login_role_name(membership->role));
    }
    buf_add_char(&buf, '\0');
    admin_table_text(table, 4, buf_failed(&buf) ? "…" : buf.ptr);
    buf_fini(&buf);
}

static int
print_people_table(const struct admin *admin, const struct people *people)
{
    static const char *const titles[] = {">id",           "email", "server admin",
                                         "created (UTC)", "roles", "last login (UTC)"};
    struct admin_table table;

    admin_table_init(&table, titles, COUNT_OF(titles));
    for (size_t i = 0; i < people->logins.login_count; i++) {
        const struct login *login = &people->logins.logins[i];

        admin_table_row(&table);
        admin_table_number(&table, 0, login->id);
        admin_table_text(&table, 1, login->email);
        admin_table_text(&table, 2, login->is_admin ? "yes" : "");
        admin_table_time(&table, 3, login->created_at_us);
        add_roles_cell(&table, people, login->id);
        admin_table_time(&table, 5, login->last_login_at_us);
    }
    return admin_print_table(admin, &table);
}

int
account_list_people(struct admin *admin)
{
    struct people people = {0};
    struct diag diag = DIAG_INIT;
    enum err err = read_people(admin, &people, &diag);
    int status;

    if (err != ERR_OK)
        status = admin_fail(admin, err, &diag);
    else
        status =
            admin->is_json ? print_people_json(admin, &people) : print_people_table(admin, &people);
    free_people(&people);
    return status;
}
