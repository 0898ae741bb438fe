/*
 * admin - what the commands that change accounts, projects, keys and erasures share: finding the
 * database, who makes the change, projects and people by what one calls them, JSON and tables.
 *
 * Layer 8, the main thread. The commands work on <data-dir>/accounts.db or on the PostgreSQL
 * database itself, beside running servers, which notice within a second, or without one. stdout has
 * what was asked for, alone (with --json: one document), so that a script can take it; words for
 * people go to stderr.
 */
#ifndef POTIK_CLI_ADMIN_H
#define POTIK_CLI_ADMIN_H

#include "account/account.h"
#include "account/login.h"
#include "app/config.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "cli/flags.h"
#include "cli/table.h"

struct admin {
    const char *command; /* "key": for words on stderr */
    /* flags */
    const char *data_dir;
    const char *config;
    const char *store;
    bool is_json;
    /* once open */
    struct account *account;
    struct account_actor actor;
    char folder[FILE_PATH_MAX]; /* the data folder in force */
    bool is_postgres;
    struct password_cost cost; /* of a hash, as configured */
};

/* Which folder; a command that only needs that has these and admin_load_config. */
#define ADMIN_FOLDER_FLAGS(admin)                                                                  \
    {.name = "data-dir", .text = &(admin).data_dir}, {.name = "config", .text = &(admin).config},  \
    {                                                                                              \
        .name = "store", .text = &(admin).store                                                    \
    }
/* The rows such a command puts into its table of flags, and their lines of help. */
#define ADMIN_FLAGS(admin)                                                                         \
    ADMIN_FOLDER_FLAGS(admin),                                                                     \
    {                                                                                              \
        .name = "json", .is_set = &(admin).is_json                                                 \
    }
#define ADMIN_FLAGS_HELP                                                                             \
    "  --json           one JSON document on stdout\n"                                               \
    "  --data-dir DIR   else POTIK_DATA_DIR, else potik.conf, else ./potik-data\n"                   \
    "  --store URL      a PostgreSQL database: postgres://…; else POTIK_STORE, else potik.conf,\n" \
    "                   else what stands in the data folder\n"

/* The settings in force, by the flags and all else. Freed by config_fini. ERR_INVALID. */
MUST_USE enum err
admin_load_config(const struct admin *admin, struct config *ret_config, struct diag *diag);
/* ERR_INVALID: a flag; ERR_ABSENT: nothing was made there yet; and the errors of account.h. */
MUST_USE enum err admin_open(struct admin *admin, struct diag *diag);
void admin_close(struct admin *admin);
/* The exit status for an error, which is told on stderr: usage for ERR_INVALID, else failed. */
int admin_fail(const struct admin *admin, enum err err, const struct diag *diag);
/* false: no server holds the data folder. With PostgreSQL servers may run anywhere: true. */
bool admin_may_have_server(const struct admin *admin);

/* By id or name; NULL: project `default`. ERR_ABSENT with the cure. */
MUST_USE enum err admin_find_project(struct admin *admin, const char *word,
                                     struct account_project *ret_project, struct diag *diag);
/* The same for who only looks at what was: an id needs no project that is still there. NULL: 0,
 * all.
 */
MUST_USE enum err admin_find_project_id(struct admin *admin, const char *word,
                                        uint32_t *ret_project_id, struct diag *diag);
/* By id or email. ERR_ABSENT, ERR_INVALID. Wipe ret_login->password after use. */
MUST_USE enum err
admin_find_login(struct admin *admin, const char *word, struct login *ret_login, struct diag *diag);

/* --- JSON: a member, with the comma before it where one is due --------------------------------*/
void admin_json_key(struct buf *buf, const char *key);
void admin_json_text(struct buf *buf, const char *key, const char *text); /* NULL: null */
void admin_json_number(struct buf *buf, const char *key, uint64_t number);
void admin_json_bool(struct buf *buf, const char *key, bool value);
void admin_json_time(struct buf *buf, const char *key, int64_t us); /* 0: null */
/* A comma if something stands before in this array. */
void admin_json_item(struct buf *buf);
/* Prints the document with a line end, wipes and frees it. */
int admin_print_json(const struct admin *admin, struct buf *buf);

/* --- tables -----------------------------------------------------------------------------------*/
struct admin_table {
    struct arena arena;
    struct table *table; /* NULL: out of memory; all calls take it */
};
/* Titles that begin with '>' are of numbers. */
void admin_table_init(struct admin_table *table, const char *const *titles, uint32_t count);
void admin_table_row(struct admin_table *table);
void admin_table_text(struct admin_table *table, uint32_t column, const char *text);
void admin_table_number(struct admin_table *table, uint32_t column, uint64_t number);
void admin_table_time(struct admin_table *table, uint32_t column, int64_t us); /* 0: empty */
/* Prints it and frees it. */
int admin_print_table(const struct admin *admin, struct admin_table *table);
/* The end of a list that was gathered in one of the two, or of the error on the way: frees both. */
int admin_print_listing(const struct admin *admin, enum err err, struct buf *json,
                        struct admin_table *table, const struct diag *diag);

/* "2026-01-31 12:00:00": what people read, UTC. */
#define ADMIN_TIME_TEXT 20
const char *admin_time(int64_t us, char ret_text[ADMIN_TIME_TEXT]);

/* Asks on the terminal whether to go on; `answer` is what has to be typed ("yes", a name). false:
 * something else was. Only where admin_can_ask. */
bool admin_can_ask(void);
bool admin_ask(const char *question, const char *answer);

#endif
