/*
 * key - `potik key new|list|revoke`: the keys of a data folder or of a PostgreSQL database, beside
 * running servers or without.
 *
 * Layer 8, the main thread. Works on <data-dir>/accounts.db or on the database itself; a running
 * server notices within a second. The text of a new key goes to stdout alone, so that a script can
 * take it.
 */
#include "account/account.h"
#include "app/config.h"
#include "app/folder.h"
#include "app/wire.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/table.h"
#include "codec/hash.h"
#include "codec/rfc3339.h"
#include <sodium.h>
#include <string.h>
#include <unistd.h>

struct key_flags {
    const char *kind;
    const char *name;
    const char *project;
    const char *data_dir;
    const char *config;
    const char *store;
};

/* `--name value`, if it was given, for config_load. */
static void
pass_on(char **argv, int *argc, const char *name, const char *value)
{
    if (value == NULL)
        return;
    argv[(*argc)++] = (char *)(uintptr_t)name;
    argv[(*argc)++] = (char *)(uintptr_t)value;
}

static enum err
open_account(const struct key_flags *flags, struct account **ret_account, struct diag *diag)
{
    char *argv[8] = {(char *)(uintptr_t) "key"};
    struct config config;
    int argc = 1;
    enum err err;

    pass_on(argv, &argc, "--data-dir", flags->data_dir);
    pass_on(argv, &argc, "--config", flags->config);
    pass_on(argv, &argc, "--store", flags->store);
    err = config_load(argc, argv, environ, CONFIG_FOLDER, &config, diag);
    config_hide_passwords(argc, argv);
    if (err != ERR_OK)
        return err;
    /* Keys of a database that is named need no folder: one that stands here by chance is not asked.
     */
    if (!config_is_postgres(&config) || flags->store == NULL || flags->data_dir != NULL)
        err = folder_check_store(config.data_dir, config_is_postgres(&config), diag);
    if (err == ERR_OK)
        err = wire_open_account(&config, false, ret_account, diag);
    /* What is wrong with the folder is no wrong usage; a URL is. */
    if (err == ERR_INVALID && !config_is_postgres(&config))
        err = ERR_IO;
    config_fini(&config);
    return err;
}

/* By its number or its name; NULL: `default`. */
static enum err
find_project(struct account *account, const char *word, uint32_t *ret_id, struct diag *diag)
{
    struct account_list list = {NULL, 0, NULL, 0};
    uint64_t id = ACCOUNT_PROJECT_DEFAULT;
    enum err err;

    if (word == NULL || flags_number("project", word, 1, UINT32_MAX, &id, NULL) == ERR_OK) {
        *ret_id = (uint32_t)id;
        return ERR_OK;
    }
    err = account_list(account, &list, diag);
    if (err != ERR_OK)
        return err;
    err = ERR_ABSENT;
    for (size_t i = 0; i < list.project_count; i++) {
        if (strcmp(list.projects[i].name, word) == 0) {
            *ret_id = list.projects[i].id;
            err = ERR_OK;
        }
    }
    account_list_free(&list);
    if (err != ERR_OK)
        diag_set(diag, "--project: there is no project \"%.64s\"", word);
    return err;
}

static int
make_key(struct account *account, const struct key_flags *flags, uint32_t project_id,
         enum account_key_kind kind)
{
    const struct account_actor actor = {.kind = ACCOUNT_ACTOR_CLI, .id = getuid()};
    char text[ACCOUNT_KEY_TEXT_BYTES + 1];
    struct diag diag = DIAG_INIT;
    struct account_key key;
    enum err err = account_key_new(account, &actor, project_id, kind,
                                   flags->name != NULL ? flags->name : "made by potik key", 0, text,
                                   &key, &diag);

    if (err == ERR_INVALID)
        return flags_usage("key", diag.message);
    if (err != ERR_OK)
        return flags_failed("key", diag.message);
    printf("%s\n", text);
    sodium_memzero(text, sizeof(text));
    fprintf(stderr,
            "a %s key, number %llu: it is not shown again; a running server knows it within 1 s\n",
            account_kind_name(kind), (unsigned long long)key.id);
    return COMMAND_DONE;
}

/* One of the kind asked for; without a kind, one of each: what somebody needs who has lost both. */
static int
make_keys(struct account *account, const struct key_flags *flags)
{
    bool is_write = flags->kind == NULL || strcmp(flags->kind, "write") == 0;
    bool is_read = flags->kind == NULL || strcmp(flags->kind, "read") == 0;
    uint32_t project_id = ACCOUNT_PROJECT_DEFAULT;
    struct diag diag = DIAG_INIT;
    int status = COMMAND_DONE;

    if (!is_write && !is_read)
        return flags_usage("key", "--kind: must be write or read");
    if (find_project(account, flags->project, &project_id, &diag) != ERR_OK)
        return flags_failed("key", diag.message);
    if (is_write)
        status = make_key(account, flags, project_id, ACCOUNT_KEY_WRITE);
    if (is_read && status == COMMAND_DONE)
        status = make_key(account, flags, project_id, ACCOUNT_KEY_READ);
    return status;
}

/* "2026-01-31 12:00:00" */
static void
time_cell(struct table *table, uint32_t column, int64_t us)
{
    char text[RFC3339_TEXT_BYTES];

    if (us < RFC3339_US_MIN || us > RFC3339_US_MAX)
        return;
    rfc3339_format(us, text);
    text[10] = ' ';
    table_cell(table, column, slice_of(text, 19));
}

static bool
draw_list(const struct account_list *list, struct arena *arena, struct buf *buf)
{
    static const char *const titles[] = {"id",  "project",       "kind",         "name",
                                         "key", "created (UTC)", "revoked (UTC)"};
    struct table *table = table_new(arena, COUNT_OF(titles));

    if (table == NULL)
        return false;
    for (uint32_t i = 0; i < COUNT_OF(titles); i++)
        table_column(table, i, slice_of_text(titles[i]), i == 0);
    for (size_t i = 0; i < list->key_count; i++) {
        const struct account_key *key = &list->keys[i];

        table_row(table);
        table_cell_printf(table, 0, "%llu", (unsigned long long)key->id);
        for (size_t p = 0; p < list->project_count; p++) {
            if (list->projects[p].id == key->project_id)
                table_cell(table, 1, slice_of_text(list->projects[p].name));
        }
        table_cell(table, 2, slice_of_text(account_kind_name(key->kind)));
        table_cell(table, 3, slice_of_text(key->name));
        table_cell_printf(table, 4, "%s…%s", key->kind == ACCOUNT_KEY_WRITE ? "wk_" : "rk_",
                          key->last4);
        time_cell(table, 5, key->created_at_us);
        if (key->revoked_at_us != 0)
            time_cell(table, 6, key->revoked_at_us);
    }
    return table_draw(table, buf);
}

static int
list_keys(struct account *account)
{
    struct account_list list = {NULL, 0, NULL, 0};
    struct diag diag = DIAG_INIT;
    struct arena arena;
    struct buf buf;
    bool is_drawn;

    if (account_list(account, &list, &diag) != ERR_OK)
        return flags_failed("key", diag.message);
    arena_init(&arena, 64u * 1024, 1u << 30);
    buf_init(&buf, 1u << 30);
    is_drawn = draw_list(&list, &arena, &buf);
    if (is_drawn)
        printf("%.*s", SLICE_ARGS(buf_slice(&buf)));
    buf_fini(&buf);
    arena_fini(&arena);
    account_list_free(&list);
    return is_drawn ? COMMAND_DONE : flags_failed("key", "out of memory");
}

/* When the key of this number, or (0) of this text, was revoked; 0: it was not, or there is none.
 */
static enum err
find_revoked(struct account *account, uint64_t key_id, const char *text, int64_t *ret_at_us,
             struct diag *diag)
{
    struct account_list list = {NULL, 0, NULL, 0};
    uint8_t hash[ACCOUNT_HASH_BYTES];
    enum err err = account_list(account, &list, diag);

    if (err != ERR_OK)
        return err;
    *ret_at_us = 0;
    hash_sha256(slice_of_text(text), hash);
    for (size_t i = 0; i < list.key_count; i++) {
        const struct account_key *key = &list.keys[i];

        if (key_id != 0 ? key->id == key_id : sodium_memcmp(key->hash, hash, sizeof(hash)) == 0)
            *ret_at_us = key->revoked_at_us;
    }
    account_list_free(&list);
    return ERR_OK;
}

static int
revoke_key(struct account *account, const char *word)
{
    const struct account_actor actor = {.kind = ACCOUNT_ACTOR_CLI, .id = getuid()};
    struct diag diag = DIAG_INIT;
    char time[RFC3339_TEXT_BYTES];
    uint64_t key_id = 0;
    int64_t before_us = 0;
    const bool is_number = flags_number("id", word, 1, INT64_MAX, &key_id, NULL) == ERR_OK;
    enum err err = find_revoked(account, is_number ? key_id : 0, word, &before_us, &diag);

    if (err == ERR_OK)
        err = is_number ? account_key_revoke(account, &actor, 0, key_id, &diag)
                        : account_key_revoke_text(account, &actor, slice_of_text(word), &diag);
    if (err != ERR_OK)
        return flags_failed("key", diag.message);
    if (before_us >= RFC3339_US_MIN && before_us <= RFC3339_US_MAX && before_us != 0) {
        rfc3339_format(before_us, time);
        fprintf(stderr, "was revoked already, at %.*s\n", (int)RFC3339_TEXT_BYTES, time);
    } else {
        fprintf(stderr, "revoked; a running server refuses it within 1 s\n");
    }
    return COMMAND_DONE;
}

static int
run_key(int argc, char **argv)
{
    struct key_flags key_flags = {NULL, NULL, NULL, NULL, NULL, NULL};
    const struct flag flags[] = {
        {.name = "kind", .text = &key_flags.kind},
        {.name = "name", .text = &key_flags.name},
        {.name = "project", .text = &key_flags.project},
        {.name = "data-dir", .text = &key_flags.data_dir},
        {.name = "config", .text = &key_flags.config},
        {.name = "store", .text = &key_flags.store},
    };
    CLEANUP(account_close) struct account *account = NULL;
    struct diag diag = DIAG_INIT;
    size_t words = 0;
    bool is_new, is_list, is_revoke;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), &words, &diag);

    if (err != ERR_OK)
        return flags_usage("key", diag.message);
    is_new = words == 1 && strcmp(argv[1], "new") == 0;
    is_list = words == 1 && strcmp(argv[1], "list") == 0;
    is_revoke = words == 2 && strcmp(argv[1], "revoke") == 0;
    if (!is_new && !is_list && !is_revoke)
        return flags_usage("key", "say new, list, or revoke with the key's number or text");
    if (!is_new && (key_flags.kind != NULL || key_flags.name != NULL || key_flags.project != NULL))
        return flags_usage("key", "--kind, --name and --project go with `key new`");
    err = open_account(&key_flags, &account, &diag);
    if (err == ERR_INVALID)
        return flags_usage("key", diag.message);
    if (err != ERR_OK)
        return flags_failed("key", diag.message);
    if (is_list)
        return list_keys(account);
    return is_new ? make_keys(account, &key_flags) : revoke_key(account, argv[2]);
}

const struct command command_key = {
    .name = "key",
    .summary = "make, list and revoke keys",
    .help =
        "usage: potik key new [--kind write|read] [--name NAME] [--project PROJECT] [OPTION…]\n"
        "       potik key list [OPTION…]\n"
        "       potik key revoke ID|KEY [OPTION…]\n"
        "\n"
        "A write key (wk_…) may send events, a read key (rk_…) may ask. The text of a new key is\n"
        "printed once and is stored nowhere; the list shows its last four characters. Works "
        "beside\n"
        "running servers, which notice within a second.\n"
        "\n"
        "  --kind K        write or read; without it, one of each is made\n"
        "  --name NAME     what the key is for, up to 64 bytes\n"
        "  --project P     a project's number or name; default: default\n"
        "  --data-dir DIR  else POTIK_DATA_DIR, else potik.conf, else ./potik-data\n"
        "  --store URL     keys of a PostgreSQL database: postgres://…; else POTIK_STORE, else\n"
        "                  potik.conf, else those of the data folder\n"
        "\n"
        "examples:\n"
        "\n"
        "  potik key new --kind read --name dashboard\n"
        "  potik key list --store postgres://potik@db.example/potik\n",
    .run = run_key,
};
