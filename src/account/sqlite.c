/*
 * sqlite - projects and keys as rows of <data_dir>/accounts.db. See backend.h, account.h.
 *
 * Layer 3 (account); one thread at a time a link. WAL with synchronous=FULL: a commit is durable
 * when it returns. The layout's number is the file's user_version; it rises by numbered files
 * (sql/account/schema-N.sql), each in one transaction, looked at again under the write lock, so
 * that two programs that start together do it once. All SQL stands in sql/account, with
 * placeholders.
 */
#include "account/backend.h"

#include "account_sql.h"
#include "base/file.h"
#include "base/mem.h"
#include <assert.h>
#include <sqlite3.h>

#define BUSY_TIMEOUT_MS 5000
#define SCHEMA_VERSION COUNT_OF(schemas)

/* The file that leads to layout i + 1. */
static const char *const schemas[] = {sql_schema_1};

struct account_sqlite {
    struct account account; /* first */
    sqlite3 *db;
    sqlite3_stmt *data_version; /* kept, for has_changed */
    int64_t data_version_seen;
    char path[FILE_PATH_MAX];
};

static struct account_sqlite *
of(struct account *account)
{
    return (struct account_sqlite *)account;
}

static void
finalize(sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement);
    *statement = NULL;
}
#define STATEMENT CLEANUP(finalize) sqlite3_stmt *

static enum err
failed(struct account_sqlite *link, struct diag *diag)
{
    int code = link->db != NULL ? sqlite3_errcode(link->db) : SQLITE_NOMEM;

    diag_set(diag, "%s: %s", link->path,
             link->db != NULL ? sqlite3_errmsg(link->db) : "out of memory");
    switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_LOCKED;
    case SQLITE_FULL:
        return ERR_STORAGE_FULL;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return ERR_CORRUPT;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_CONSTRAINT:
        return ERR_EXISTS;
    default:
        return ERR_IO;
    }
}

static enum err
run_script(struct account_sqlite *link, const char *sql, struct diag *diag)
{
    if (sqlite3_exec(link->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return ERR_OK;
    return failed(link, diag);
}

static enum err
prepare(struct account_sqlite *link, const char *sql, sqlite3_stmt **ret_statement,
        struct diag *diag)
{
    if (sqlite3_prepare_v2(link->db, sql, -1, ret_statement, NULL) == SQLITE_OK)
        return ERR_OK;
    return failed(link, diag);
}

/* Placeholders are known at build time: one that is not there is a broken invariant. */
static int
place_of(sqlite3_stmt *statement, const char *placeholder)
{
    int place = sqlite3_bind_parameter_index(statement, placeholder);

    assert(place > 0);
    return place;
}

static void
bind_i64(sqlite3_stmt *statement, const char *placeholder, int64_t value)
{
    (void)sqlite3_bind_int64(statement, place_of(statement, placeholder), value);
}

static void
bind_text(sqlite3_stmt *statement, const char *placeholder, const char *text)
{
    (void)sqlite3_bind_text(statement, place_of(statement, placeholder), text, -1, SQLITE_STATIC);
}

static void
bind_hash(sqlite3_stmt *statement, const char *placeholder, const uint8_t hash[ACCOUNT_HASH_BYTES])
{
    (void)sqlite3_bind_blob(statement, place_of(statement, placeholder), hash, ACCOUNT_HASH_BYTES,
                            SQLITE_STATIC);
}

/* A row: *ret_has_row. A statement that writes commits by its last step. */
static enum err
step(struct account_sqlite *link, sqlite3_stmt *statement, bool *ret_has_row, struct diag *diag)
{
    int code = sqlite3_step(statement);

    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return failed(link, diag);
    *ret_has_row = code == SQLITE_ROW;
    return ERR_OK;
}

/* Columns come from our own rows, but the file may have been edited: what does not fit is cut. */
static void
copy_text(sqlite3_stmt *statement, int column, char *ret_text, size_t size)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    size_t len = text != NULL ? (size_t)sqlite3_column_bytes(statement, column) : 0;

    if (len >= size)
        len = size - 1;
    if (len != 0)
        memcpy(ret_text, text, len);
    ret_text[len] = '\0';
}

static void
project_of_row(sqlite3_stmt *row, struct account_project *ret_project)
{
    *ret_project = (struct account_project){0};
    ret_project->id = (uint32_t)sqlite3_column_int64(row, 0);
    copy_text(row, 1, ret_project->name, sizeof(ret_project->name));
    copy_text(row, 2, ret_project->time_zone, sizeof(ret_project->time_zone));
    ret_project->created_at_us = sqlite3_column_int64(row, 3);
}

static bool
key_of_row(sqlite3_stmt *row, struct account_key *ret_key)
{
    const unsigned char *kind = sqlite3_column_text(row, 2);
    const void *hash = sqlite3_column_blob(row, 5);

    *ret_key = (struct account_key){0};
    if (kind == NULL || hash == NULL || sqlite3_column_bytes(row, 5) != ACCOUNT_HASH_BYTES)
        return false;
    ret_key->id = (uint64_t)sqlite3_column_int64(row, 0);
    ret_key->project_id = (uint32_t)sqlite3_column_int64(row, 1);
    ret_key->kind = kind[0] == 'w' ? ACCOUNT_KEY_WRITE : ACCOUNT_KEY_READ;
    copy_text(row, 3, ret_key->name, sizeof(ret_key->name));
    copy_text(row, 4, ret_key->last4, sizeof(ret_key->last4));
    memcpy(ret_key->hash, hash, ACCOUNT_HASH_BYTES);
    ret_key->created_at_us = sqlite3_column_int64(row, 6);
    ret_key->revoked_at_us = sqlite3_column_int64(row, 7);
    return true;
}

static enum err
sqlite_project_get(struct account *account, uint32_t project_id,
                   struct account_project *ret_project, struct diag *diag)
{
    struct account_sqlite *link = of(account);
    STATEMENT statement = NULL;
    bool has_row = false;
    enum err err = prepare(link, sql_project_get, &statement, diag);

    if (err != ERR_OK)
        return err;
    bind_i64(statement, ":id", project_id);
    err = step(link, statement, &has_row, diag);
    if (err != ERR_OK)
        return err;
    if (!has_row) {
        diag_set(diag, "there is no project %u", project_id);
        return ERR_ABSENT;
    }
    project_of_row(statement, ret_project);
    return ERR_OK;
}

static enum err
insert_project(struct account_sqlite *link, const struct account_project *project, bool *ret_is_new,
               struct diag *diag)
{
    STATEMENT statement = NULL;
    bool has_row;
    enum err err = prepare(link, sql_project_insert, &statement, diag);

    if (err != ERR_OK)
        return err;
    bind_i64(statement, ":id", project->id);
    bind_text(statement, ":name", project->name);
    bind_text(statement, ":time_zone", project->time_zone);
    bind_i64(statement, ":created_at_us", project->created_at_us);
    err = step(link, statement, &has_row, diag);
    if (err == ERR_OK)
        *ret_is_new = sqlite3_changes(link->db) == 1;
    return err;
}

static enum err
sqlite_project_ensure(struct account *account, const struct account_project *project,
                      struct account_project *ret_project, bool *ret_is_new, struct diag *diag)
{
    bool is_new = false;
    /* A project is never removed, so the two need no transaction around them. */
    enum err err = insert_project(of(account), project, &is_new, diag);

    if (err == ERR_OK)
        err = sqlite_project_get(account, project->id, ret_project, diag);
    if (err == ERR_OK)
        *ret_is_new = is_new;
    return err;
}

static enum err
sqlite_project_set_zone(struct account *account, uint32_t project_id, const char *time_zone,
                        struct diag *diag)
{
    struct account_sqlite *link = of(account);
    STATEMENT statement = NULL;
    bool has_row;
    enum err err = prepare(link, sql_project_set_zone, &statement, diag);

    if (err != ERR_OK)
        return err;
    bind_i64(statement, ":id", project_id);
    bind_text(statement, ":time_zone", time_zone);
    err = step(link, statement, &has_row, diag);
    if (err == ERR_OK && sqlite3_changes(link->db) == 0) {
        diag_set(diag, "there is no project %u", project_id);
        err = ERR_ABSENT;
    }
    return err;
}

static enum err
sqlite_key_insert(struct account *account, struct account_key *key, struct diag *diag)
{
    struct account_sqlite *link = of(account);
    STATEMENT statement = NULL;
    struct account_project project;
    bool has_row;
    enum err err = sqlite_project_get(account, key->project_id, &project, diag);

    if (err != ERR_OK)
        return err;
    err = prepare(link, sql_key_insert, &statement, diag);
    if (err != ERR_OK)
        return err;
    bind_i64(statement, ":project_id", key->project_id);
    bind_text(statement, ":kind", account_kind_name(key->kind));
    bind_text(statement, ":name", key->name);
    bind_hash(statement, ":hash", key->hash);
    bind_text(statement, ":last4", key->last4);
    bind_i64(statement, ":created_at_us", key->created_at_us);
    bind_i64(statement, ":keys_max", ACCOUNT_KEYS_MAX);
    err = step(link, statement, &has_row, diag);
    if (err != ERR_OK)
        return err;
    if (sqlite3_changes(link->db) == 0) {
        diag_set(diag, "there are %d keys already, as many as may be", ACCOUNT_KEYS_MAX);
        return ERR_FULL;
    }
    key->id = (uint64_t)sqlite3_last_insert_rowid(link->db);
    return ERR_OK;
}

static enum err
sqlite_key_revoke(struct account *account, uint64_t key_id, const uint8_t hash[ACCOUNT_HASH_BYTES],
                  int64_t revoked_at_us, struct diag *diag)
{
    struct account_sqlite *link = of(account);
    STATEMENT statement = NULL;
    bool has_row;
    enum err err = prepare(link, sql_key_revoke, &statement, diag);

    if (err != ERR_OK)
        return err;
    bind_i64(statement, ":id", (int64_t)key_id);
    bind_hash(statement, ":hash", hash);
    bind_i64(statement, ":revoked_at_us", revoked_at_us);
    err = step(link, statement, &has_row, diag);
    if (err == ERR_OK && sqlite3_changes(link->db) == 0) {
        if (key_id != 0)
            diag_set(diag, "there is no key %llu", (unsigned long long)key_id);
        else
            diag_set(diag, "this key is not known here");
        err = ERR_ABSENT;
    }
    return err;
}

/* Room for one more of `count`; doubles at powers of two. false: out of memory. */
static bool
make_room(void **items, size_t count, size_t bytes)
{
    void *grown;

    if (count != 0 && (count < 16 || (count & (count - 1)) != 0))
        return true;
    grown = mem_realloc(*items, (count < 16 ? 16 : count * 2) * bytes);
    if (grown == NULL)
        return false;
    *items = grown;
    return true;
}

static enum err
read_projects(struct account_sqlite *link, struct account_list *list, struct diag *diag)
{
    STATEMENT statement = NULL;
    bool has_row = true;
    enum err err = prepare(link, sql_project_list, &statement, diag);

    if (err != ERR_OK)
        return err;
    bind_i64(statement, ":rows_max", ACCOUNT_PROJECTS_MAX);
    while ((err = step(link, statement, &has_row, diag)) == ERR_OK && has_row) {
        void *items = list->projects;

        if (!make_room(&items, list->project_count, sizeof(*list->projects)))
            return ERR_NOMEM;
        list->projects = (struct account_project *)items;
        project_of_row(statement, &list->projects[list->project_count++]);
    }
    return err;
}

static enum err
read_keys(struct account_sqlite *link, struct account_list *list, struct diag *diag)
{
    STATEMENT statement = NULL;
    bool has_row = true;
    enum err err = prepare(link, sql_key_list, &statement, diag);

    if (err != ERR_OK)
        return err;
    bind_i64(statement, ":rows_max", ACCOUNT_KEYS_MAX);
    while ((err = step(link, statement, &has_row, diag)) == ERR_OK && has_row) {
        void *items = list->keys;

        if (!make_room(&items, list->key_count, sizeof(*list->keys)))
            return ERR_NOMEM;
        list->keys = (struct account_key *)items;
        if (!key_of_row(statement, &list->keys[list->key_count++])) {
            diag_set(diag, "%s: key %lld is damaged", link->path,
                     (long long)sqlite3_column_int64(statement, 0));
            return ERR_CORRUPT;
        }
    }
    return err;
}

static enum err
add_first(struct account *account, struct account_key *keys, size_t count, bool *ret_is_first,
          struct diag *diag)
{
    CLEANUP(account_list_free) struct account_list list = {NULL, 0, NULL, 0};
    enum err err = read_keys(of(account), &list, diag);

    if (err != ERR_OK)
        return err;
    *ret_is_first = account_mark_known(&list, keys, count);
    for (size_t k = 0; k < count && *ret_is_first && err == ERR_OK; k++) {
        if (keys[k].id == 0)
            err = sqlite_key_insert(account, &keys[k], diag);
    }
    return err;
}

static enum err
sqlite_key_insert_first(struct account *account, struct account_key *keys, size_t count,
                        bool *ret_is_first, struct diag *diag)
{
    struct account_sqlite *link = of(account);
    bool is_first = false;
    enum err err = run_script(link, "BEGIN IMMEDIATE", diag);

    if (err != ERR_OK)
        return err;
    err = add_first(account, keys, count, &is_first, diag);
    if (err == ERR_OK)
        err = run_script(link, "COMMIT", diag);
    if (err != ERR_OK) {
        (void)run_script(link, "ROLLBACK", NULL);
        return err;
    }
    *ret_is_first = is_first;
    return ERR_OK;
}

static enum err
sqlite_list(struct account *account, struct account_list *ret_list, struct diag *diag)
{
    struct account_sqlite *link = of(account);
    CLEANUP(account_list_free) struct account_list list = {NULL, 0, NULL, 0};
    enum err err = run_script(link, "BEGIN", diag);

    if (err != ERR_OK)
        return err;
    err = read_projects(link, &list, diag);
    if (err == ERR_OK)
        err = read_keys(link, &list, diag);
    if (err == ERR_NOMEM)
        diag_set(diag, "%s: out of memory", link->path);
    (void)run_script(link, "ROLLBACK", NULL); /* only read: nothing can be lost */
    if (err == ERR_OK) {
        *ret_list = list;
        list = (struct account_list){NULL, 0, NULL, 0};
    }
    return err;
}

static enum err
sqlite_has_changed(struct account *account, bool *ret_has_changed, struct diag *diag)
{
    struct account_sqlite *link = of(account);
    bool has_row = false;
    enum err err = step(link, link->data_version, &has_row, diag);

    if (err == ERR_OK && has_row) {
        int64_t version = sqlite3_column_int64(link->data_version, 0);

        *ret_has_changed = version != link->data_version_seen;
        link->data_version_seen = version;
    }
    (void)sqlite3_reset(link->data_version);
    return err;
}

static void
sqlite_close(struct account *account)
{
    struct account_sqlite *link = of(account);

    finalize(&link->data_version);
    (void)sqlite3_close(link->db);
    mem_free(link);
}

static const struct account_backend backend = {
    .close = sqlite_close,
    .project_ensure = sqlite_project_ensure,
    .project_get = sqlite_project_get,
    .project_set_zone = sqlite_project_set_zone,
    .key_insert = sqlite_key_insert,
    .key_insert_first = sqlite_key_insert_first,
    .list = sqlite_list,
    .key_revoke = sqlite_key_revoke,
    .has_changed = sqlite_has_changed,
};

static enum err
schema_version(struct account_sqlite *link, size_t *ret_version, struct diag *diag)
{
    STATEMENT statement = NULL;
    bool has_row = false;
    int64_t version;
    enum err err = prepare(link, "PRAGMA user_version", &statement, diag);

    if (err == ERR_OK)
        err = step(link, statement, &has_row, diag);
    if (err != ERR_OK)
        return err;
    version = has_row ? sqlite3_column_int64(statement, 0) : 0;
    if (version < 0 || version > (int64_t)SCHEMA_VERSION) {
        diag_set(
            diag,
            "%s: its layout is %lld, this program knows %zu: it was written by a newer version",
            link->path, (long long)version, SCHEMA_VERSION);
        return ERR_TOO_NEW;
    }
    *ret_version = (size_t)version;
    return ERR_OK;
}

/* Nothing is written to a file of a newer program, not even its journal mode. */
static enum err
bring_up_to_date(struct account_sqlite *link, struct diag *diag)
{
    size_t version = 0;
    enum err err = schema_version(link, &version, diag);

    if (err == ERR_OK)
        err = run_script(link, sql_open, diag);
    if (err != ERR_OK || version == SCHEMA_VERSION)
        return err;
    err = run_script(link, "BEGIN IMMEDIATE", diag);
    if (err != ERR_OK)
        return err;
    err = schema_version(link, &version, diag);
    for (; err == ERR_OK && version < SCHEMA_VERSION; version++)
        err = run_script(link, schemas[version], diag);
    if (err == ERR_OK)
        err = run_script(link, "COMMIT", diag);
    if (err != ERR_OK)
        (void)run_script(link, "ROLLBACK", NULL);
    return err;
}

/* The file itself, private to its owner before SQLite puts anything in; its -wal and -shm follow
 * it. */
static enum err
make_file(const char *data_dir, const char *path, bool may_create, struct diag *diag)
{
    CLOSE_FD int fd = -1;
    enum err err;

    if (file_exists(path))
        return ERR_OK;
    if (!may_create) {
        diag_set(diag, "%s: there is no such file: start `potik serve` on this data folder once",
                 path);
        return ERR_ABSENT;
    }
    err = file_open(path, FILE_CREATE, &fd, diag);
    if (err == ERR_OK)
        err = file_sync_dir(data_dir, diag);
    return err;
}

enum err
account_sqlite_open(const char *data_dir, bool may_create, struct account **ret_account,
                    struct diag *diag)
{
    struct account_sqlite *link = MEM_NEW(struct account_sqlite, 1);
    struct account *account;
    bool has_changed;
    enum err err;

    if (link == NULL) {
        diag_set(diag, "accounts.db: out of memory");
        return ERR_NOMEM;
    }
    account = &link->account;
    account->backend = &backend;
    if (!file_path(link->path, data_dir, "accounts.db")) {
        diag_set(diag, "%s: the path is too long", data_dir);
        account_close(&account);
        return ERR_INVALID;
    }
    err = make_file(data_dir, link->path, may_create, diag);
    if (err == ERR_OK && sqlite3_open_v2(link->path, &link->db,
                                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                                             SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_PRIVATECACHE,
                                         NULL) != SQLITE_OK)
        err = failed(link, diag);
    if (err == ERR_OK) {
        (void)sqlite3_busy_timeout(link->db, BUSY_TIMEOUT_MS);
        err = bring_up_to_date(link, diag);
    }
    if (err == ERR_OK)
        err = prepare(link, "PRAGMA data_version", &link->data_version, diag);
    if (err == ERR_OK)
        err = sqlite_has_changed(account, &has_changed, diag); /* the first value to compare with */
    if (err != ERR_OK) {
        account_close(&account);
        return err;
    }
    *ret_account = account;
    return ERR_OK;
}
