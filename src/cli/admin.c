/*
 * admin - see admin.h.
 */
#include "cli/admin.h"

#include "app/config.h"
#include "app/folder.h"
#include "app/wire.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/words.h"
#include "codec/json_write.h"
#include "codec/rfc3339.h"
#include <stdio.h>
#include <unistd.h>

#define TABLE_BYTES_MAX (1u << 30)
#define ANSWER_BYTES 256

/* --- the database -----------------------------------------------------------------------------*/

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
open_config(struct admin *admin, const struct config *config, struct diag *diag)
{
    enum err err = ERR_OK;

    if (strlen(config->data_dir) >= sizeof(admin->folder)) {
        diag_set(diag, "the path of the data folder is too long");
        return ERR_IO;
    }
    memcpy(admin->folder, config->data_dir, strlen(config->data_dir) + 1);
    admin->is_postgres = config_is_postgres(config);
    admin->cost = wire_password_cost(config);
    /* What stands in a database that is named needs no folder: one that is here by chance is not
     * asked. */
    if (!admin->is_postgres || admin->store == NULL || admin->data_dir != NULL)
        err = folder_check_store(config->data_dir, admin->is_postgres, diag);
    if (err == ERR_OK)
        err = wire_open_account(config, false, &admin->account, diag);
    /* What is wrong with the folder is no wrong usage; a URL is. */
    return err == ERR_INVALID && !admin->is_postgres ? ERR_IO : err;
}

enum err
admin_load_config(const struct admin *admin, struct config *ret_config, struct diag *diag)
{
    char *argv[8] = {(char *)(uintptr_t)admin->command};
    int argc = 1;
    enum err err;

    pass_on(argv, &argc, "--data-dir", admin->data_dir);
    pass_on(argv, &argc, "--config", admin->config);
    pass_on(argv, &argc, "--store", admin->store);
    err = config_load(argc, argv, environ, CONFIG_FOLDER, ret_config, diag);
    config_hide_passwords(argc, argv);
    return err;
}

enum err
admin_open(struct admin *admin, struct diag *diag)
{
    struct config config;
    enum err err = admin_load_config(admin, &config, diag);

    if (err != ERR_OK)
        return err;
    admin->actor = (struct account_actor){.kind = ACCOUNT_ACTOR_CLI, .id = getuid()};
    err = open_config(admin, &config, diag);
    config_fini(&config);
    return err;
}

void
admin_close(struct admin *admin)
{
    account_close(&admin->account);
}

int
admin_fail(const struct admin *admin, enum err err, const struct diag *diag)
{
    const char *words = diag->message[0] != '\0' ? diag->message : err_sentence(err);

    return err == ERR_INVALID ? flags_usage(admin->command, words)
                              : flags_failed(admin->command, words);
}

bool
admin_may_have_server(const struct admin *admin)
{
    CLOSE_FD int fd = -1;
    char path[FILE_PATH_MAX];

    if (admin->is_postgres)
        return true;
    /* The lock is let go at once: a server that starts in this very moment is told to try again. */
    return file_path(path, admin->folder, "LOCK") &&
           file_open(path, FILE_READ, &fd, NULL) == ERR_OK && file_lock(fd, path, NULL) != ERR_OK;
}

enum err
admin_find_project(struct admin *admin, const char *word, struct account_project *ret_project,
                   struct diag *diag)
{
    struct account_list list = {NULL, 0, NULL, 0};
    const struct account_project *project;
    enum err err;

    if (word == NULL)
        return account_project_get(admin->account, ACCOUNT_PROJECT_DEFAULT, ret_project, diag);
    err = account_list(admin->account, &list, diag);
    if (err != ERR_OK)
        return err;
    project = words_find_project(&list, slice_of_text(word));
    if (project != NULL)
        *ret_project = *project;
    account_list_free(&list);
    if (project != NULL)
        return ERR_OK;
    diag_set_field(diag, "project",
                   "project: there is no project \"%.64s\", by id or by name; `potik project list` "
                   "shows them",
                   word);
    return ERR_ABSENT;
}

enum err
admin_find_project_id(struct admin *admin, const char *word, uint32_t *ret_project_id,
                      struct diag *diag)
{
    struct account_project project;
    uint64_t id = 0;
    enum err err = ERR_OK;

    if (word != NULL && !words_is_id(slice_of_text(word), UINT32_MAX, &id)) {
        err = admin_find_project(admin, word, &project, diag);
        id = err == ERR_OK ? project.id : 0;
    }
    *ret_project_id = (uint32_t)id;
    return err;
}

enum err
admin_find_login(struct admin *admin, const char *word, struct login *ret_login, struct diag *diag)
{
    char email[LOGIN_EMAIL_BYTES + 1];
    struct diag why = DIAG_INIT;
    uint64_t id;
    enum err err;

    if (words_is_id(slice_of_text(word), INT64_MAX, &id)) {
        err = login_get(admin->account, id, ret_login, &why);
    } else {
        err = login_email_check(slice_of_text(word), email, diag);
        if (err != ERR_OK)
            return err;
        err = login_find(admin->account, email, ret_login, &why);
    }
    if (err == ERR_ABSENT)
        diag_set_field(diag, "account",
                       "account: there is none with the id or the email \"%.254s\"; `potik account "
                       "list` shows them",
                       word);
    else if (err != ERR_OK && diag != NULL)
        *diag = why;
    return err;
}

/* --- JSON -------------------------------------------------------------------------------------*/

void
admin_json_item(struct buf *buf)
{
    if (buf->len != 0 && strchr("{[:", buf->ptr[buf->len - 1]) == NULL)
        buf_add_char(buf, ',');
}

void
admin_json_key(struct buf *buf, const char *key)
{
    admin_json_item(buf);
    json_write_key(buf, key);
}

void
admin_json_text(struct buf *buf, const char *key, const char *text)
{
    admin_json_key(buf, key);
    json_write_text(buf, slice_of_text(text));
}

void
admin_json_number(struct buf *buf, const char *key, uint64_t number)
{
    admin_json_key(buf, key);
    buf_add_u64(buf, number);
}

void
admin_json_bool(struct buf *buf, const char *key, bool value)
{
    admin_json_key(buf, key);
    json_write_bool(buf, value);
}

void
admin_json_time(struct buf *buf, const char *key, int64_t us)
{
    char text[RFC3339_TEXT_BYTES];
    struct slice time = SLICE_NONE;

    if (us != 0 && us >= RFC3339_US_MIN && us <= RFC3339_US_MAX) {
        rfc3339_format(us, text);
        time = slice_of(text, sizeof(text));
    }
    admin_json_key(buf, key);
    json_write_text(buf, time);
}

int
admin_print_json(const struct admin *admin, struct buf *buf)
{
    const bool is_failed = buf_failed(buf);

    if (!is_failed)
        printf("%.*s\n", SLICE_ARGS(buf_slice(buf)));
    buf_wipe(buf);
    return is_failed ? flags_failed(admin->command, err_sentence(ERR_NOMEM)) : COMMAND_DONE;
}

/* --- tables -----------------------------------------------------------------------------------*/

void
admin_table_init(struct admin_table *table, const char *const *titles, uint32_t count)
{
    arena_init(&table->arena, 64u * 1024, TABLE_BYTES_MAX);
    table->table = table_new(&table->arena, count);
    for (uint32_t i = 0; i < count && table->table != NULL; i++) {
        const bool is_right = titles[i][0] == '>';

        table_column(table->table, i, slice_of_text(titles[i] + is_right), is_right);
    }
}

void
admin_table_row(struct admin_table *table)
{
    if (table->table != NULL)
        table_row(table->table);
}

void
admin_table_text(struct admin_table *table, uint32_t column, const char *text)
{
    if (table->table != NULL)
        table_cell(table->table, column, slice_of_text(text));
}

void
admin_table_number(struct admin_table *table, uint32_t column, uint64_t number)
{
    char text[TABLE_NUMBER_TEXT];

    admin_table_text(table, column, table_number(number, text));
}

const char *
admin_time(int64_t us, char ret_text[ADMIN_TIME_TEXT])
{
    char text[RFC3339_TEXT_BYTES];

    ret_text[0] = '\0';
    if (us < RFC3339_US_MIN || us > RFC3339_US_MAX)
        return ret_text;
    rfc3339_format(us, text);
    memcpy(ret_text, text, ADMIN_TIME_TEXT - 1);
    ret_text[10] = ' ';
    ret_text[ADMIN_TIME_TEXT - 1] = '\0';
    return ret_text;
}

void
admin_table_time(struct admin_table *table, uint32_t column, int64_t us)
{
    char text[ADMIN_TIME_TEXT];

    if (us != 0)
        admin_table_text(table, column, admin_time(us, text));
}

int
admin_print_table(const struct admin *admin, struct admin_table *table)
{
    struct buf buf;
    bool is_drawn;

    buf_init(&buf, TABLE_BYTES_MAX);
    is_drawn = table->table != NULL && table_draw(table->table, &buf);
    if (is_drawn)
        printf("%.*s", SLICE_ARGS(buf_slice(&buf)));
    buf_fini(&buf);
    arena_fini(&table->arena);
    table->table = NULL;
    return is_drawn ? COMMAND_DONE : flags_failed(admin->command, err_sentence(ERR_NOMEM));
}

int
admin_print_listing(const struct admin *admin, enum err err, struct buf *json,
                    struct admin_table *table, const struct diag *diag)
{
    if (err == ERR_OK && admin->is_json) {
        arena_fini(&table->arena);
        return admin_print_json(admin, json);
    }
    buf_fini(json);
    if (err == ERR_OK)
        return admin_print_table(admin, table);
    arena_fini(&table->arena);
    return admin_fail(admin, err, diag);
}

/* --- asking -----------------------------------------------------------------------------------*/

bool
admin_can_ask(void)
{
    return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

bool
admin_ask(const char *question, const char *answer)
{
    char line[ANSWER_BYTES];
    size_t len;

    fprintf(stderr, "%s ", question);
    (void)fflush(stderr);
    if (fgets(line, sizeof(line), stdin) == NULL)
        return false;
    len = strlen(line);
    if (len != 0 && line[len - 1] == '\n')
        line[len - 1] = '\0';
    return strcmp(line, answer) == 0;
}
