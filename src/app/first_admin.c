/*
 * first_admin - see first_admin.h.
 */
#include "app/first_admin.h"

#include "app/run_file.h"
#include "base/mem.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const struct account_actor server = {.kind = ACCOUNT_ACTOR_SERVER};

static void
copy(struct slice value, char *ret_text, size_t size)
{
    size_t len = value.ptr != NULL && value.len < size ? value.len : 0;

    if (len != 0)
        memcpy(ret_text, value.ptr, len);
    ret_text[len] = '\0';
}

/* What an earlier start has written and not told. */
static enum err
read_untold(const char *data_dir, struct first_admin *admin, struct diag *diag)
{
    struct buf file;
    enum err err = run_file_read(data_dir, &file, diag);

    if (err == ERR_OK && run_file_value(&file, "admin_told").ptr != NULL) {
        copy(run_file_value(&file, "admin_email"), admin->email, sizeof(admin->email));
        copy(run_file_value(&file, "admin_password"), admin->password, sizeof(admin->password));
        admin->is_untold = admin->email[0] != '\0' && admin->password[0] != '\0';
    }
    run_file_wipe(&file);
    return err;
}

static enum err
forget(const char *data_dir, struct first_admin *admin, struct diag *diag)
{
    static const struct run_line gone[] = {
        {"admin_email", NULL}, {"admin_password", NULL}, {"admin_told", NULL}};

    sodium_memzero(admin, sizeof(*admin));
    return run_file_update(data_dir, gone, COUNT_OF(gone), diag);
}

/* The file is of a start that was cut short: were its words in force? */
static enum err
check_untold(struct account *account, const char *data_dir, struct first_admin *admin,
             struct diag *diag)
{
    struct login login;
    bool is_right = false;
    enum err err = login_find(account, admin->email, &login, diag);

    if (err == ERR_OK)
        err = password_verify(slice_of_text(login.password.text), slice_of_text(admin->password),
                              &is_right, diag);
    if (err != ERR_OK && err != ERR_ABSENT)
        return err;
    return is_right ? ERR_OK : forget(data_dir, admin, diag);
}

static enum err
make(struct account *account, const char *data_dir, const struct password_cost *cost,
     struct first_admin *admin, struct diag *diag)
{
    struct password_hash hash;
    struct login login;
    bool is_first = false;
    enum err err = ERR_OK;

    if (!admin->is_untold) {
        const struct run_line lines[] = {{"admin_email", LOGIN_FIRST_EMAIL},
                                         {"admin_password", admin->password},
                                         {"admin_told", "no"}};

        memcpy(admin->email, LOGIN_FIRST_EMAIL, sizeof(LOGIN_FIRST_EMAIL));
        password_generate(random_system(), admin->password);
        admin->is_untold = true;
        err = run_file_update(data_dir, lines, COUNT_OF(lines), diag);
    }
    if (err == ERR_OK)
        err = password_hash(slice_of_text(admin->password), cost, random_system(), &hash, diag);
    if (err == ERR_OK)
        err = login_add_first(account, &server, admin->email, &hash, &is_first, &login, diag);
    if (err != ERR_OK)
        return err;
    return is_first ? ERR_OK : check_untold(account, data_dir, admin, diag);
}

enum err
first_admin_ensure(struct account *account, const char *data_dir, const struct password_cost *cost,
                   struct first_admin *ret_admin, struct diag *diag)
{
    struct login_list list = {0};
    size_t count;
    enum err err;

    memset(ret_admin, 0, sizeof(*ret_admin));
    err = read_untold(data_dir, ret_admin, diag);
    if (err == ERR_OK)
        err = login_list(account, &list, diag);
    if (err != ERR_OK)
        return err;
    count = list.login_count;
    login_list_free(&list);
    if (count == 0)
        return make(account, data_dir, cost, ret_admin, diag);
    return ret_admin->is_untold ? check_untold(account, data_dir, ret_admin, diag) : ERR_OK;
}

enum err
first_admin_tell(struct first_admin *admin, const char *data_dir, struct diag *diag)
{
    static const struct run_line told = {"admin_told", NULL};

    if (!admin->is_untold)
        return ERR_OK;
    fprintf(stderr,
            "An account was made, for people who log in (POST /v1/auth/login); its password is "
            "shown\nhere once and kept in %s/first-run.txt:\n"
            "\n"
            "  email      %s   (server admin)\n"
            "  password   %s\n"
            "\n",
            data_dir, admin->email, admin->password);
    sodium_memzero(admin, sizeof(*admin));
    return run_file_update(data_dir, &told, 1, diag);
}
