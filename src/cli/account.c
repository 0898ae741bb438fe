/*
 * account - `potik account`: the people who log in, their passwords and roles, and the keys their
 * tokens are signed with. See admin.h.
 */
#include "cli/account_people.h"
#include "cli/account_token_keys.h"
#include "cli/admin.h"
#include "cli/command.h"
#include "cli/new_password.h"
#include "cli/words.h"

#include "app/first_run.h"
#include "base/mem.h"
#include <sodium.h>
#include <stdio.h>

struct account_flags {
    struct flag_texts roles;
    bool is_admin;
    bool is_password_stdin;
    bool is_leaked;
};

/* --- passwords --------------------------------------------------------------------------------*/

/* Asked for, or made; hashed in any case. */
static enum err
need_password(const struct admin *admin, const struct account_flags *flags,
              struct new_password *ret_password, struct password_hash *ret_hash, struct diag *diag)
{
    enum err err = ERR_OK;

    if (flags->is_password_stdin)
        err = new_password_read(ret_password, diag);
    else
        new_password_make(ret_password);
    if (err == ERR_OK)
        err = password_hash(slice_of(ret_password->text, ret_password->len), &admin->cost,
                            random_system(), ret_hash, diag);
    if (err != ERR_OK)
        new_password_wipe(ret_password);
    return err;
}

/* One that was made goes to stdout, once; one that was given is not shown. `words`: what was done,
 * for people. Wipes it. */
static int
tell_password(const struct admin *admin, const struct account_flags *flags,
              const struct login *login, struct new_password *password, const char *words)
{
    int status = COMMAND_DONE;

    if (admin->is_json) {
        struct buf buf;

        buf_init(&buf, 16 * 1024);
        buf_add_text(&buf, "{\"account\":{");
        account_login_add_json(&buf, login);
        if (!flags->is_password_stdin)
            admin_json_text(&buf, "password", password->text);
        buf_add_text(&buf, "}}");
        status = admin_print_json(admin, &buf);
    } else if (!flags->is_password_stdin) {
        printf("%s\n", password->text);
    }
    new_password_wipe(password);
    fprintf(stderr, "%s %s (account %llu)%s; running servers know it within 1 s\n", words,
            login->email, (unsigned long long)login->id,
            flags->is_password_stdin ? "" : ": its password is not shown again");
    return status;
}

/* --- add --------------------------------------------------------------------------------------*/

struct given_role {
    uint32_t project_id;
    enum login_role role;
};

/* All of them are looked at before anything is made. */
static enum err
read_roles(struct admin *admin, const struct flag_texts *texts, struct given_role *ret_roles,
           struct diag *diag)
{
    struct account_list list = {NULL, 0, NULL, 0};
    enum err err = account_list(admin->account, &list, diag);

    for (size_t i = 0; i < texts->count && err == ERR_OK; i++) {
        const struct account_project *project = NULL;
        struct slice word;

        err = words_project_role(texts->texts[i], &word, &ret_roles[i].role, diag);
        if (err == ERR_OK)
            project = words_find_project(&list, word);
        if (err == ERR_OK && project == NULL) {
            diag_set_field(diag, "role",
                           "--role: there is no project \"%.*s\"; `potik project list` shows them",
                           (int)(word.len < 64 ? word.len : 64), word.ptr);
            err = ERR_ABSENT;
        }
        if (project != NULL)
            ret_roles[i].project_id = project->id;
    }
    account_list_free(&list);
    return err;
}

static int
add_person(struct admin *admin, const struct account_flags *flags, const char *email)
{
    struct given_role roles[FLAG_TEXTS_MAX];
    struct diag diag = DIAG_INIT;
    char checked[LOGIN_EMAIL_BYTES + 1];
    struct password_hash hash;
    struct new_password password;
    struct login login;
    enum err err = login_email_check(slice_of_text(email), checked, &diag);

    if (err == ERR_OK)
        err = read_roles(admin, &flags->roles, roles, &diag);
    if (err == ERR_OK)
        err = need_password(admin, flags, &password, &hash, &diag);
    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    err = login_add(admin->account, &admin->actor, checked, &hash, flags->is_admin, &login, &diag);
    for (size_t i = 0; i < flags->roles.count && err == ERR_OK; i++) {
        err = login_set_role(admin->account, &admin->actor, login.id, roles[i].project_id,
                             roles[i].role, &diag);
        if (err != ERR_OK)
            fprintf(stderr,
                    "potik account: %s was added, but --role %s was not given; `potik account "
                    "role` gives it, `potik account password` sets a password\n",
                    checked, flags->roles.texts[i]);
    }
    sodium_memzero(&hash, sizeof(hash));
    if (err != ERR_OK) {
        new_password_wipe(&password);
        return admin_fail(admin, err, &diag);
    }
    sodium_memzero(&login.password, sizeof(login.password));
    return tell_password(admin, flags, &login, &password, "added");
}

/* --- changes of one ---------------------------------------------------------------------------*/

/* What was done, for people; with --json the account as it is now. */
static int
tell_change(const struct admin *admin, const struct login *login, const char *words)
{
    struct buf buf;

    fprintf(stderr, "%s %s (account %llu); running servers know it within 1 s\n", words,
            login->email, (unsigned long long)login->id);
    if (!admin->is_json)
        return COMMAND_DONE;
    buf_init(&buf, 16 * 1024);
    buf_add_text(&buf, "{\"account\":{");
    account_login_add_json(&buf, login);
    buf_add_text(&buf, "}}");
    return admin_print_json(admin, &buf);
}

/* A password that first-run.txt tells has gone out of force. */
static void
forget_told(const struct admin *admin, const struct login *login)
{
    struct diag diag = DIAG_INIT;
    bool was_told = false;

    if (first_run_forget_password(admin->folder, login->email, &was_told, &diag) != ERR_OK)
        fprintf(stderr, "potik account: %s/first-run.txt still tells the old password of %s: %s\n",
                admin->folder, login->email, diag.message);
    else if (was_told)
        fprintf(stderr, "%s/first-run.txt told the old password: that line is gone\n",
                admin->folder);
}

static int
set_password(struct admin *admin, const struct account_flags *flags, struct login *login,
             const char *words)
{
    struct diag diag = DIAG_INIT;
    struct password_hash hash;
    struct new_password password;
    enum err err = need_password(admin, flags, &password, &hash, &diag);

    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    err = login_set_password(admin->account, &admin->actor, login->id, &hash, NULL, &diag);
    sodium_memzero(&hash, sizeof(hash));
    if (err == ERR_OK) {
        const int status = tell_password(admin, flags, login, &password, words);

        forget_told(admin, login);
        return status;
    }
    new_password_wipe(&password);
    return admin_fail(admin, err, &diag);
}

static int
remove_person(struct admin *admin, const struct login *login)
{
    struct diag diag = DIAG_INIT;
    enum err err = login_remove(admin->account, &admin->actor, login->id, &diag);

    return err == ERR_OK ? tell_change(admin, login, "removed") : admin_fail(admin, err, &diag);
}

static int
set_admin(struct admin *admin, struct login *login, const char *word)
{
    struct diag diag = DIAG_INIT;
    bool is_admin = false;
    enum err err = words_on_off(word, &is_admin, &diag);

    if (err == ERR_OK)
        err = login_set_admin(admin->account, &admin->actor, login->id, is_admin, &diag);
    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    login->is_admin = is_admin;
    return tell_change(admin, login, is_admin ? "a server admin now:" : "no server admin now:");
}

static int
set_role(struct admin *admin, const struct login *login, const char *project_word,
         const char *role_word)
{
    struct account_project project;
    struct diag diag = DIAG_INIT;
    enum login_role role = LOGIN_ROLE_NONE;
    char words[ACCOUNT_NAME_BYTES + 64];
    enum err err = words_role(slice_of_text(role_word), &role, &diag);

    if (err == ERR_OK)
        err = admin_find_project(admin, project_word, &project, &diag);
    if (err == ERR_OK)
        err = login_set_role(admin->account, &admin->actor, login->id, project.id, role, &diag);
    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    (void)snprintf(words, sizeof(words), "role %s in project %s:", login_role_name(role),
                   project.name);
    return tell_change(admin, login, words);
}

/* --- reset ------------------------------------------------------------------------------------*/

/* The first admin by id. ERR_ABSENT: there is no account that is one. */
static enum err
find_first_admin(struct admin *admin, struct login *ret_login, struct diag *diag)
{
    struct login_list list = {NULL, 0, NULL, 0};
    enum err err = login_list(admin->account, &list, diag);

    if (err != ERR_OK)
        return err;
    err = ERR_ABSENT;
    for (size_t i = 0; i < list.login_count && err == ERR_ABSENT; i++) {
        if (!list.logins[i].is_admin)
            continue;
        *ret_login = list.logins[i];
        err = ERR_OK;
    }
    account_free_logins(&list);
    return err;
}

static int
make_first_admin(struct admin *admin, const struct account_flags *flags)
{
    struct diag diag = DIAG_INIT;
    struct password_hash hash;
    struct new_password password;
    struct login login;
    bool is_first = false;
    enum err err = need_password(admin, flags, &password, &hash, &diag);

    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    err = login_add_first(admin->account, &admin->actor, LOGIN_FIRST_EMAIL, &hash, &is_first,
                          &login, &diag);
    /* Accounts, and no admin among them: it cannot be left so by our own calls, but by hand. */
    if (err == ERR_OK && !is_first)
        err =
            login_add(admin->account, &admin->actor, LOGIN_FIRST_EMAIL, &hash, true, &login, &diag);
    sodium_memzero(&hash, sizeof(hash));
    if (err == ERR_OK)
        return tell_password(admin, flags, &login, &password, "made the server admin");
    new_password_wipe(&password);
    return admin_fail(admin, err, &diag);
}

static int
reset(struct admin *admin, const struct account_flags *flags, const char *word)
{
    struct diag diag = DIAG_INIT;
    struct login login;
    enum err err = word != NULL ? admin_find_login(admin, word, &login, &diag)
                                : find_first_admin(admin, &login, &diag);

    if (err == ERR_ABSENT && word == NULL)
        return make_first_admin(admin, flags);
    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    sodium_memzero(&login.password, sizeof(login.password));
    if (!login.is_admin) {
        diag_set(&diag,
                 "%s is no server admin; `potik account password %s` sets its password, `potik "
                 "account admin %s on` makes it one",
                 login.email, login.email, login.email);
        return admin_fail(admin, ERR_ABSENT, &diag);
    }
    return set_password(admin, flags, &login, "a new password, and all sessions ended, of");
}

/* --- the command ------------------------------------------------------------------------------*/

/* What is said behind `potik account`, and how many words more it takes. */
static const struct verb {
    const char *name;
    size_t words_min;
    size_t words_max;
    const char *usage; /* of its words */
    bool takes_password;
} verbs[] = {
    {"list", 0, 0, "", false},
    {"add", 1, 1, " EMAIL", true},
    {"remove", 1, 1, " EMAIL|ID", false},
    {"password", 1, 1, " EMAIL|ID", true},
    {"admin", 2, 2, " EMAIL|ID on|off", false},
    {"role", 3, 3, " EMAIL|ID PROJECT owner|analyst|ingest|none", false},
    {"reset", 0, 1, " [EMAIL|ID]", true},
    {"rotate-keys", 0, 0, "", false},
};

static const struct verb *
find_verb(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

static bool
is_verb(const struct verb *verb, const char *name)
{
    return strcmp(verb->name, name) == 0;
}

static enum err
check_words(const struct verb *verb, size_t words, const struct account_flags *flags,
            struct diag *diag)
{
    if (verb == NULL)
        diag_set(diag, "say list, add, remove, password, admin, role, reset or rotate-keys");
    else if (words < verb->words_min || words > verb->words_max)
        diag_set(diag, "say `potik account %s%s`", verb->name, verb->usage);
    else if ((flags->is_admin || flags->roles.count != 0) && !is_verb(verb, "add"))
        diag_set(diag, "--admin and --role go with `account add`");
    else if (flags->is_password_stdin && !verb->takes_password)
        diag_set(diag, "--password-stdin goes with `account add`, `password` and `reset`");
    else if (flags->is_leaked && !is_verb(verb, "rotate-keys"))
        diag_set(diag, "--leaked goes with `account rotate-keys`");
    else
        return ERR_OK;
    return ERR_INVALID;
}

/* argv[0] is the verb. */
static int
run_verb(struct admin *admin, const struct account_flags *flags, const struct verb *verb,
         size_t words, char **argv)
{
    struct diag diag = DIAG_INIT;
    struct login login;
    enum err err;

    if (is_verb(verb, "list"))
        return account_list_people(admin);
    if (is_verb(verb, "add"))
        return add_person(admin, flags, argv[1]);
    if (is_verb(verb, "reset"))
        return reset(admin, flags, words == 1 ? argv[1] : NULL);
    if (is_verb(verb, "rotate-keys"))
        return account_rotate_token_keys(admin, flags->is_leaked);
    err = admin_find_login(admin, argv[1], &login, &diag);
    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    sodium_memzero(&login.password, sizeof(login.password));
    if (is_verb(verb, "remove"))
        return remove_person(admin, &login);
    if (is_verb(verb, "password"))
        return set_password(admin, flags, &login, "a new password, and all sessions ended, of");
    if (is_verb(verb, "admin"))
        return set_admin(admin, &login, argv[2]);
    return set_role(admin, &login, argv[2], argv[3]);
}

static int
run_account(int argc, char **argv)
{
    struct admin admin = {.command = "account"};
    struct account_flags account_flags = {.is_admin = false};
    const struct flag flags[] = {
        ADMIN_FLAGS(admin),
        {.name = "admin", .is_set = &account_flags.is_admin},
        {.name = "role", .texts = &account_flags.roles},
        {.name = "password-stdin", .is_set = &account_flags.is_password_stdin},
        {.name = "leaked", .is_set = &account_flags.is_leaked},
    };
    struct diag diag = DIAG_INIT;
    const struct verb *verb = NULL;
    size_t words = 0;
    int status;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), &words, &diag);

    if (err == ERR_OK) {
        verb = words != 0 ? find_verb(argv[1]) : NULL;
        err = check_words(verb, words != 0 ? words - 1 : 0, &account_flags, &diag);
    }
    if (err == ERR_OK)
        err = admin_open(&admin, &diag);
    status = err == ERR_OK ? run_verb(&admin, &account_flags, verb, words - 1, argv + 1)
                           : admin_fail(&admin, err, &diag);
    admin_close(&admin);
    return status;
}

const struct command command_account = {
    .name = "account",
    .summary = "the people who log in, their passwords and roles",
    .help =
        "usage: potik account list [OPTION…]\n"
        "       potik account add EMAIL [--admin] [--role PROJECT=ROLE]… [--password-stdin] "
        "[OPTION…]\n"
        "       potik account remove EMAIL|ID [OPTION…]\n"
        "       potik account password EMAIL|ID [--password-stdin] [OPTION…]\n"
        "       potik account admin EMAIL|ID on|off [OPTION…]\n"
        "       potik account role EMAIL|ID PROJECT owner|analyst|ingest|none [OPTION…]\n"
        "       potik account reset [EMAIL|ID] [--password-stdin] [OPTION…]\n"
        "       potik account rotate-keys [--leaked] [OPTION…]\n"
        "\n"
        "A role is for one project, by its id or name: ingest writes events, analyst reads, owner\n"
        "also changes keys, members and settings, and erases. A server admin may do all that in\n"
        "every project, and looks after accounts and projects; one stays at least.\n"
        "\n"
        "A password is made and printed once, on stdout, unless --password-stdin is given. A new\n"
        "one ends all sessions of the account. `reset` is the way back into a server nobody can\n"
        "log in to: a new password for the admin named, else for the first one; if there is none,\n"
        "admin@localhost is made. `rotate-keys` signs tokens with a new key from now on; the old\n"
        "ones go on verifying as long as a token may live, so nobody is logged out. With "
        "--leaked\n"
        "access tokens made before are refused at once. Refresh tokens were not signed with the\n"
        "key and give new ones: to end the sessions of an account, change its password.\n"
        "\n"
        "  --admin          a server admin\n"
        "  --role P=ROLE    with `add`; repeatable\n"
        "  --password-stdin the password is asked for, without echo; or, where standard input is "
        "no\n"
        "                   terminal, it is its first line: 8 to 256 bytes\n"
        "  --leaked         with `rotate-keys`: old keys end at once\n" ADMIN_FLAGS_HELP "\n"
        "examples:\n"
        "\n"
        "  potik account add ann@example.com --role default=analyst\n"
        "  potik account reset\n",
    .run = run_account,
};
