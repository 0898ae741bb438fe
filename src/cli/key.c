/*
 * key - `potik key new|list|revoke`: the keys of a data folder or of a PostgreSQL database, beside
 * running servers or without.
 *
 * Layer 8, the main thread. Works on <data-dir>/accounts.db or on the database itself; a running
 * server notices within a second. The text of a new key goes to stdout alone, so that a script can
 * take it.
 */
#include "account/account.h"
#include "base/mem.h"
#include "cli/admin.h"
#include "cli/command.h"
#include "cli/words.h"
#include "codec/hash.h"
#include "codec/rfc3339.h"
#include <sodium.h>
#include <stdio.h>

struct key_flags {
    const char *kind;
    const char *name;
    const char *project;
    const char *expires;
    bool is_all;
};

/* --- new --------------------------------------------------------------------------------------*/

static bool
is_expired(const struct account_key *key, int64_t now_us)
{
    return key->expires_at_us != 0 && now_us >= key->expires_at_us;
}

/* `text`: shown where it was just made; NULL: it is not known. */
static void
add_key_json(struct buf *buf, const struct account_key *key, const char *text, int64_t now_us)
{
    admin_json_item(buf);
    buf_add_char(buf, '{');
    admin_json_number(buf, "id", key->id);
    admin_json_number(buf, "project", key->project_id);
    admin_json_text(buf, "kind", account_kind_name(key->kind));
    admin_json_text(buf, "name", key->name);
    if (text != NULL)
        admin_json_text(buf, "text", text);
    admin_json_text(buf, "last4", key->last4);
    admin_json_text(buf, "state",
                    key->revoked_at_us != 0   ? "revoked"
                    : is_expired(key, now_us) ? "expired"
                                              : "active");
    admin_json_time(buf, "created_at", key->created_at_us);
    admin_json_time(buf, "expires_at", key->expires_at_us);
    admin_json_time(buf, "last_used_at", key->last_used_at_us);
    admin_json_time(buf, "revoked_at", key->revoked_at_us);
    buf_add_char(buf, '}');
}

/* `buf`: the document under way, with --json. */
static enum err
make_key(struct admin *admin, const struct key_flags *flags, const struct account_key *wanted,
         struct buf *buf, struct diag *diag)
{
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];
    struct account_key key;
    enum err err = account_key_new(admin->account, &admin->actor, wanted->project_id, wanted->kind,
                                   flags->name != NULL ? flags->name : "made by potik key",
                                   wanted->expires_at_us, text, &key, diag);

    if (err != ERR_OK)
        return err;
    if (admin->is_json)
        add_key_json(buf, &key, text, key.created_at_us);
    else
        printf("%s\n", text);
    sodium_memzero(text, sizeof(text));
    fprintf(stderr,
            "a %s key, number %llu: it is not shown again; a running server knows it within 1 s\n",
            account_kind_name(key.kind), (unsigned long long)key.id);
    return ERR_OK;
}

/* One of the kind asked for; without a kind, one of each: what somebody needs who has lost both. */
static int
make_keys(struct admin *admin, const struct key_flags *flags)
{
    const bool is_write = flags->kind == NULL || strcmp(flags->kind, "write") == 0;
    const bool is_read = flags->kind == NULL || strcmp(flags->kind, "read") == 0;
    struct account_key wanted = {.kind = ACCOUNT_KEY_WRITE};
    struct account_project project;
    struct diag diag = DIAG_INIT;
    int status = COMMAND_DONE;
    bool is_made = false;
    struct buf buf;
    enum err err = ERR_OK;

    if (!is_write && !is_read)
        return flags_usage("key", "--kind: must be write or read");
    if (flags->expires != NULL)
        err = words_expiry(flags->expires, clock_wall_us(clock_system()), &wanted.expires_at_us,
                           &diag);
    if (err == ERR_OK)
        err = admin_find_project(admin, flags->project, &project, &diag);
    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    wanted.project_id = project.id;
    buf_init(&buf, 64 * 1024);
    buf_add_text(&buf, "{\"keys\":[");
    if (is_write)
        err = make_key(admin, flags, &wanted, &buf, &diag);
    is_made = is_write && err == ERR_OK;
    wanted.kind = ACCOUNT_KEY_READ;
    if (is_read && err == ERR_OK) {
        err = make_key(admin, flags, &wanted, &buf, &diag);
        is_made = is_made || err == ERR_OK;
    }
    buf_add_text(&buf, "]}");
    /* One that was made is shown, even if the other was not. */
    if (admin->is_json && is_made)
        status = admin_print_json(admin, &buf);
    buf_fini(&buf);
    return err == ERR_OK ? status : admin_fail(admin, err, &diag);
}

/* --- list -------------------------------------------------------------------------------------*/

/* Which keys are shown: of one project (0: all), and with those that are in force no longer. */
struct choice {
    uint32_t project_id;
    bool is_all;
    int64_t now_us;
};

static bool
is_chosen(const struct choice *choice, const struct account_key *key)
{
    if (choice->project_id != 0 && key->project_id != choice->project_id)
        return false;
    return choice->is_all || (key->revoked_at_us == 0 &&
                              (key->expires_at_us == 0 || key->expires_at_us > choice->now_us));
}

static int
print_keys_json(const struct admin *admin, const struct account_list *list,
                const struct choice *choice)
{
    struct buf buf;

    buf_init(&buf, 1u << 30);
    buf_add_text(&buf, "{\"keys\":[");
    for (size_t i = 0; i < list->key_count; i++) {
        if (is_chosen(choice, &list->keys[i]))
            add_key_json(&buf, &list->keys[i], NULL, choice->now_us);
    }
    buf_add_text(&buf, "]}");
    return admin_print_json(admin, &buf);
}

static void
add_key_row(struct admin_table *table, const struct account_list *list,
            const struct account_key *key)
{
    char text[16];

    admin_table_row(table);
    (void)snprintf(text, sizeof(text), "%s…%s", key->kind == ACCOUNT_KEY_WRITE ? "wk_" : "rk_",
                   key->last4);
    admin_table_number(table, 0, key->id);
    for (size_t p = 0; p < list->project_count; p++) {
        if (list->projects[p].id == key->project_id)
            admin_table_text(table, 1, list->projects[p].name);
    }
    admin_table_text(table, 2, account_kind_name(key->kind));
    admin_table_text(table, 3, key->name);
    admin_table_text(table, 4, text);
    admin_table_time(table, 5, key->created_at_us);
    admin_table_time(table, 6, key->last_used_at_us);
    admin_table_time(table, 7, key->expires_at_us);
    admin_table_time(table, 8, key->revoked_at_us);
}

static int
print_keys_table(const struct admin *admin, const struct account_list *list,
                 const struct choice *choice)
{
    static const char *const titles[] = {
        ">id",           "project",         "kind",          "name",         "key",
        "created (UTC)", "last used (UTC)", "expires (UTC)", "revoked (UTC)"};
    struct admin_table table;

    /* The last column is empty where only keys in force are shown. */
    admin_table_init(&table, titles, COUNT_OF(titles));
    for (size_t i = 0; i < list->key_count; i++) {
        if (is_chosen(choice, &list->keys[i]))
            add_key_row(&table, list, &list->keys[i]);
    }
    return admin_print_table(admin, &table);
}

static int
list_keys(struct admin *admin, const struct key_flags *flags)
{
    struct choice choice = {.is_all = flags->is_all, .now_us = clock_wall_us(clock_system())};
    struct account_list list = {NULL, 0, NULL, 0};
    struct account_project project;
    struct diag diag = DIAG_INIT;
    enum err err = ERR_OK;
    int status;

    if (flags->project != NULL) {
        err = admin_find_project(admin, flags->project, &project, &diag);
        choice.project_id = err == ERR_OK ? project.id : 0;
    }
    if (err == ERR_OK)
        err = account_list(admin->account, &list, &diag);
    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    status = admin->is_json ? print_keys_json(admin, &list, &choice)
                            : print_keys_table(admin, &list, &choice);
    account_list_free(&list);
    return status;
}

/* --- revoke -----------------------------------------------------------------------------------*/

/* The key of this number, or (0) of this text, as it is; none: *ret_key is left as it was. */
static enum err
find_key(struct admin *admin, uint64_t key_id, const char *text, struct account_key *ret_key,
         struct diag *diag)
{
    struct account_list list = {NULL, 0, NULL, 0};
    uint8_t hash[ACCOUNT_HASH_BYTES];
    enum err err = account_list(admin->account, &list, diag);

    if (err != ERR_OK)
        return err;
    hash_sha256(slice_of_text(text), hash);
    for (size_t i = 0; i < list.key_count; i++) {
        const struct account_key *key = &list.keys[i];

        if (key_id != 0 ? key->id == key_id : sodium_memcmp(key->hash, hash, sizeof(hash)) == 0)
            *ret_key = *key;
    }
    account_list_free(&list);
    return ERR_OK;
}

/* As it is now. */
static int
print_revoked_json(struct admin *admin, uint64_t key_id)
{
    const int64_t now_us = clock_wall_us(clock_system());
    struct account_key key = {.id = 0};
    struct diag diag = DIAG_INIT;
    struct buf buf;
    enum err err = find_key(admin, key_id, "", &key, &diag);

    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    buf_init(&buf, 64 * 1024);
    buf_add_text(&buf, "{\"key\":");
    add_key_json(&buf, &key, NULL, now_us);
    buf_add_char(&buf, '}');
    return admin_print_json(admin, &buf);
}

static int
revoke_key(struct admin *admin, const char *word)
{
    struct diag diag = DIAG_INIT;
    struct account_key before = {.id = 0};
    char time[RFC3339_TEXT_BYTES];
    uint64_t key_id = 0;
    const bool is_number = flags_number("id", word, 1, INT64_MAX, &key_id, NULL) == ERR_OK;
    enum err err = find_key(admin, is_number ? key_id : 0, word, &before, &diag);

    if (err == ERR_OK)
        err = is_number ? account_key_revoke(admin->account, &admin->actor, 0, key_id, &diag)
                        : account_key_revoke_text(admin->account, &admin->actor,
                                                  slice_of_text(word), &diag);
    if (err != ERR_OK)
        return flags_failed("key", diag.message[0] != '\0' ? diag.message : err_sentence(err));
    if (before.revoked_at_us > 0 && before.revoked_at_us <= RFC3339_US_MAX) {
        rfc3339_format(before.revoked_at_us, time);
        fprintf(stderr, "was revoked already, at %.*s\n", (int)RFC3339_TEXT_BYTES, time);
    } else {
        fprintf(stderr, "revoked; a running server refuses it within 1 s\n");
    }
    return admin->is_json ? print_revoked_json(admin, before.id) : COMMAND_DONE;
}

/* --- the command ------------------------------------------------------------------------------*/

static enum err
check_flags(const struct key_flags *flags, bool is_new, bool is_list, struct diag *diag)
{
    if (!is_new && (flags->kind != NULL || flags->name != NULL || flags->expires != NULL))
        diag_set(diag, "--kind, --name and --expires go with `key new`");
    else if (flags->project != NULL && !is_new && !is_list)
        diag_set(diag, "--project goes with `key new` and `key list`");
    else if (flags->is_all && !is_list)
        diag_set(diag, "--all goes with `key list`");
    else
        return ERR_OK;
    return ERR_INVALID;
}

static int
run_key(int argc, char **argv)
{
    struct admin admin = {.command = "key"};
    struct key_flags key_flags = {.kind = NULL};
    const struct flag flags[] = {
        ADMIN_FLAGS(admin),
        {.name = "kind", .text = &key_flags.kind},
        {.name = "name", .text = &key_flags.name},
        {.name = "project", .text = &key_flags.project},
        {.name = "expires", .text = &key_flags.expires},
        {.name = "all", .is_set = &key_flags.is_all},
    };
    struct diag diag = DIAG_INIT;
    size_t words = 0;
    bool is_new, is_list, is_revoke;
    int status;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), &words, &diag);

    if (err != ERR_OK)
        return flags_usage("key", diag.message);
    is_new = words == 1 && strcmp(argv[1], "new") == 0;
    is_list = words == 1 && strcmp(argv[1], "list") == 0;
    is_revoke = words == 2 && strcmp(argv[1], "revoke") == 0;
    if (!is_new && !is_list && !is_revoke)
        return flags_usage("key", "say new, list, or revoke with the key's number or text");
    err = check_flags(&key_flags, is_new, is_list, &diag);
    if (err == ERR_OK)
        err = admin_open(&admin, &diag);
    if (err != ERR_OK)
        status = admin_fail(&admin, err, &diag);
    else if (is_list)
        status = list_keys(&admin, &key_flags);
    else
        status = is_new ? make_keys(&admin, &key_flags) : revoke_key(&admin, argv[2]);
    admin_close(&admin);
    return status;
}

const struct command command_key = {
    .name = "key",
    .summary = "make, list and revoke keys",
    .help =
        "usage: potik key new [--kind write|read] [--name NAME] [--project PROJECT] [--expires "
        "WHEN]\n"
        "       potik key list [--project PROJECT] [--all] [OPTION…]\n"
        "       potik key revoke ID|KEY [OPTION…]\n"
        "\n"
        "A write key (wk_…) may send events, a read key (rk_…) may ask. The text of a new key is\n"
        "printed once and is stored nowhere; the list shows its last four characters. Works "
        "beside\n"
        "running servers, which notice within a second.\n"
        "\n"
        "  --kind K         write or read; without it, one of each is made\n"
        "  --name NAME      what the key is for, up to 64 bytes\n"
        "  --project P      a project's number or name; default: default; of the list: all\n"
        "  --expires WHEN   a span (90d, 36h), a date (its first instant, UTC) or a time in RFC "
        "3339:\n"
        "                   the key is good before it; else for ever\n"
        "  --all            those revoked or expired, too\n" ADMIN_FLAGS_HELP "\n"
        "examples:\n"
        "\n"
        "  potik key new --kind read --name dashboard --expires 90d\n"
        "  potik key list --store postgres://potik@db.example/potik\n",
    .run = run_key,
};
