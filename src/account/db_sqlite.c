/*
 * db_sqlite - rows in <data_dir>/accounts.db. See db.h.
 *
 * WAL with synchronous=FULL: a commit is durable when it returns. The layout's number is the file's
 * user_version; it rises by numbered files (sql/account/schema-N.sql), each in one transaction,
 * looked at again under the write lock, so that two programs that start together do it once.
 *
 * Whether another link has changed anything that loops must know is told in two steps: the file's
 * data_version (free) says that anybody has committed, and then the row of `revision`, raised by
 * triggers on the tables that loops know of, says whether it concerns them.
 */
#include "account/db.h"

#include "account/account.h"

#include "account_sql.h"
#include "base/file.h"
#include "base/mem.h"
#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define BUSY_TIMEOUT_MS 5000
#define SCRUB_TIMEOUT_MS 100 /* it is tried again */
#define SCHEMA_VERSION COUNT_OF(schemas)
#define ROWS_BYTES_MAX (UINT64_C(512) * 1024 * 1024)
#define ROWS_BLOCK 4096

/* The file that leads to layout i + 1. */
static const char *const schemas[] = {sql_schema_1, sql_schema_2, sql_schema_3, sql_schema_4,
                                      sql_schema_5};

struct db_sqlite {
    struct db db; /* first */
    sqlite3 *file;
    sqlite3_stmt *data_version; /* kept, for has_changed */
    int64_t data_version_seen;
    int64_t revision_seen;
    bool is_revision_due; /* data_version has changed and `revision` was not read since */
    char path[FILE_PATH_MAX];
};

static struct db_sqlite *
of(struct db *db)
{
    return (struct db_sqlite *)db;
}

static void
finalize(sqlite3_stmt **statement)
{
    (void)sqlite3_finalize(*statement);
    *statement = NULL;
}
#define STATEMENT CLEANUP(finalize) sqlite3_stmt *

static enum err
file_error(const char *path, sqlite3 *file, struct diag *diag)
{
    int code = file != NULL ? sqlite3_errcode(file) : SQLITE_NOMEM;

    diag_set(diag, "%s: %s", path, file != NULL ? sqlite3_errmsg(file) : "out of memory");
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
failed(struct db_sqlite *link, struct diag *diag)
{
    return file_error(link->path, link->file, diag);
}

static enum err
run_script(struct db_sqlite *link, const char *sql, struct diag *diag)
{
    if (sqlite3_exec(link->file, sql, NULL, NULL, NULL) == SQLITE_OK)
        return ERR_OK;
    return failed(link, diag);
}

static enum err
prepare(struct db_sqlite *link, const char *sql, sqlite3_stmt **ret_statement, struct diag *diag)
{
    if (sqlite3_prepare_v2(link->file, sql, -1, ret_statement, NULL) == SQLITE_OK)
        return ERR_OK;
    return failed(link, diag);
}

/* --- a statement ------------------------------------------------------------------------------*/

/* $1, $2 … are names to SQLite; a statement need not use all. */
static void
bind_all(sqlite3_stmt *statement, const struct db_values *values)
{
    for (uint32_t i = 0; i < values->count; i++) {
        const struct db_value *value = &values->list[i];
        char name[16];
        int place;

        (void)snprintf(name, sizeof(name), "$%u", i + 1);
        place = sqlite3_bind_parameter_index(statement, name);
        if (place == 0)
            continue;
        if (value->is_null)
            (void)sqlite3_bind_null(statement, place);
        else if (value->type == DB_TEXT)
            (void)sqlite3_bind_text64(statement, place, value->bytes.ptr, value->bytes.len,
                                      SQLITE_STATIC, SQLITE_UTF8);
        else if (value->type == DB_BYTES)
            (void)sqlite3_bind_blob64(statement, place, value->bytes.ptr, value->bytes.len,
                                      SQLITE_STATIC);
        else
            (void)sqlite3_bind_int64(statement, place, value->number);
    }
}

static bool
make_room(struct db_rows *rows)
{
    uint32_t wanted = (rows->count + 1) * rows->columns;
    uint32_t max = rows->cells_max < 64 ? 64 : rows->cells_max * 2;
    struct db_cell *cells;

    if (wanted <= rows->cells_max)
        return true;
    while (max < wanted)
        max *= 2;
    cells = mem_realloc(rows->cells, max * sizeof(*cells));
    if (cells == NULL)
        return false;
    rows->cells = cells;
    rows->cells_max = max;
    return true;
}

static bool
take_cell(sqlite3_stmt *statement, int column, struct db_rows *rows, struct db_cell *ret_cell)
{
    struct db_cell cell = {0};
    const void *bytes;
    size_t len;

    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_NULL:
        cell.is_null = true;
        cell.bytes = SLICE_NONE;
        break;
    case SQLITE_INTEGER:
        cell.number = sqlite3_column_int64(statement, column);
        break;
    default:
        bytes = sqlite3_column_blob(statement, column);
        len = (size_t)sqlite3_column_bytes(statement, column);
        cell.bytes = len == 0 ? SLICE("") : arena_copy(&rows->arena, slice_of(bytes, len));
        if (cell.bytes.ptr == NULL)
            return false;
    }
    *ret_cell = cell;
    return true;
}

static enum err
take_row(sqlite3_stmt *statement, struct db_rows *rows)
{
    if (!make_room(rows))
        return ERR_NOMEM;
    for (uint32_t i = 0; i < rows->columns; i++) {
        if (!take_cell(statement, (int)i, rows, &rows->cells[rows->count * rows->columns + i]))
            return ERR_NOMEM;
    }
    rows->count++;
    return ERR_OK;
}

static enum err
ask(struct db *db, const char *sql, const struct db_values *values, struct db_rows **ret_rows,
    struct diag *diag)
{
    struct db_sqlite *link = of(db);
    STATEMENT statement = NULL;
    DB_ROWS rows = MEM_NEW(struct db_rows, 1);
    enum err err;
    int code;

    if (rows == NULL)
        return ERR_NOMEM;
    arena_init(&rows->arena, ROWS_BLOCK, ROWS_BYTES_MAX);
    err = prepare(link, sql, &statement, diag);
    if (err != ERR_OK)
        return err;
    bind_all(statement, values);
    rows->columns = (uint32_t)sqlite3_column_count(statement);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        if (take_row(statement, rows) != ERR_OK) {
            diag_set(diag, "%s: out of memory", link->path);
            return ERR_NOMEM;
        }
    }
    if (code != SQLITE_DONE)
        return failed(link, diag);
    *ret_rows = MOVE(rows);
    return ERR_OK;
}

static enum err
begin(struct db *db, bool is_write, struct diag *diag)
{
    return run_script(of(db), is_write ? "BEGIN IMMEDIATE" : "BEGIN", diag);
}

static enum err
commit(struct db *db, struct diag *diag)
{
    return run_script(of(db), "COMMIT", diag);
}

static void
rollback(struct db *db)
{
    enum err err = ERR_OK;

    /* Some failures have taken the transaction back already. */
    if (sqlite3_get_autocommit(of(db)->file) == 0)
        err = run_script(of(db), "ROLLBACK", NULL);
    (void)err;
}

/* secure_delete has overwritten the pages; older ones may stand in the log until it is emptied. A
 * reader that is under way keeps it, which the statement tells in its row, as no error. */
static enum err
scrub(struct db *db, bool *ret_is_done, struct diag *diag)
{
    const struct db_statement checkpoint = DB_BOTH("PRAGMA wal_checkpoint(TRUNCATE)");
    DB_ROWS rows = NULL;
    enum err err;

    (void)sqlite3_busy_timeout(of(db)->file, SCRUB_TIMEOUT_MS);
    err = db_ask(db, &checkpoint, NULL, &rows, diag);
    (void)sqlite3_busy_timeout(of(db)->file, BUSY_TIMEOUT_MS);
    if (err == ERR_OK)
        *ret_is_done = db_count(rows) == 1 && db_number(rows, 0, 0) == 0;
    return err;
}

/* --- what others change -----------------------------------------------------------------------*/

static enum err
read_revision(struct db_sqlite *link, int64_t *ret_revision, struct diag *diag)
{
    DB_ROWS rows = NULL;
    const struct db_statement statement = DB_BOTH(sql_revision);
    enum err err = db_ask(&link->db, &statement, NULL, &rows, diag);

    if (err == ERR_OK)
        *ret_revision = db_count(rows) == 1 ? db_number(rows, 0, 0) : -1;
    return err;
}

static enum err
has_changed(struct db *db, bool *ret_has_changed, struct diag *diag)
{
    struct db_sqlite *link = of(db);
    int64_t revision = link->revision_seen;
    enum err err = ERR_OK;
    int code = sqlite3_step(link->data_version);

    if (code == SQLITE_ROW) {
        int64_t version = sqlite3_column_int64(link->data_version, 0);

        link->is_revision_due = link->is_revision_due || version != link->data_version_seen;
        link->data_version_seen = version;
    } else if (code != SQLITE_DONE) {
        err = failed(link, diag);
    }
    (void)sqlite3_reset(link->data_version);
    if (err == ERR_OK && link->is_revision_due) {
        err = read_revision(link, &revision, diag);
        link->is_revision_due = err != ERR_OK;
    }
    if (err == ERR_OK) {
        *ret_has_changed = revision != link->revision_seen;
        link->revision_seen = revision;
    }
    return err;
}

/* --- opening ----------------------------------------------------------------------------------*/

static void
close_link(struct db *db)
{
    struct db_sqlite *link = of(db);

    finalize(&link->data_version);
    (void)sqlite3_close(link->file);
    mem_free(link);
}

static const struct db_driver driver = {
    .close = close_link,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .ask = ask,
    .has_changed = has_changed,
    .scrub = scrub,
    .is_sqlite = true,
};

static enum err
schema_version(struct db_sqlite *link, size_t *ret_version, struct diag *diag)
{
    DB_ROWS rows = NULL;
    const struct db_statement statement = DB_BOTH("PRAGMA user_version");
    int64_t version;
    enum err err = db_ask(&link->db, &statement, NULL, &rows, diag);

    if (err != ERR_OK)
        return err;
    version = db_count(rows) == 1 ? db_number(rows, 0, 0) : 0;
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
bring_up_to_date(struct db_sqlite *link, struct diag *diag)
{
    size_t version = 0;
    enum err err = schema_version(link, &version, diag);

    if (err == ERR_OK)
        err = run_script(link, sql_open, diag);
    if (err != ERR_OK || version == SCHEMA_VERSION)
        return err;
    err = begin(&link->db, true, diag);
    if (err != ERR_OK)
        return err;
    err = schema_version(link, &version, diag);
    for (; err == ERR_OK && version < SCHEMA_VERSION; version++)
        err = run_script(link, schemas[version], diag);
    return db_end(&link->db, err, diag);
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

static enum err
open_file(struct db_sqlite *link, struct diag *diag)
{
    enum err err;

    if (sqlite3_open_v2(link->path, &link->file,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                            SQLITE_OPEN_PRIVATECACHE,
                        NULL) != SQLITE_OK)
        return failed(link, diag);
    (void)sqlite3_busy_timeout(link->file, BUSY_TIMEOUT_MS);
    err = bring_up_to_date(link, diag);
    if (err == ERR_OK)
        err = prepare(link, "PRAGMA data_version", &link->data_version, diag);
    return err;
}

enum err
db_sqlite_open(const char *data_dir, bool may_create, struct db **ret_db, struct diag *diag)
{
    struct db_sqlite *link = MEM_NEW(struct db_sqlite, 1);
    bool is_changed;
    enum err err;

    if (link == NULL) {
        diag_set(diag, "accounts.db: out of memory");
        return ERR_NOMEM;
    }
    link->db.driver = &driver;
    link->db.is_scrub_due = true; /* the last program may have been killed just before */
    if (!file_path(link->path, data_dir, "accounts.db")) {
        diag_set(diag, "%s: the path is too long", data_dir);
        close_link(&link->db);
        return ERR_INVALID;
    }
    err = make_file(data_dir, link->path, may_create, diag);
    if (err == ERR_OK)
        err = open_file(link, diag);
    link->is_revision_due = true;
    if (err == ERR_OK)
        err = has_changed(&link->db, &is_changed, diag); /* the first values to compare with */
    if (err != ERR_OK) {
        close_link(&link->db);
        return err;
    }
    *ret_db = &link->db;
    return ERR_OK;
}

/* --- a copy -----------------------------------------------------------------------------------*/

static void
close_file(sqlite3 **file)
{
    (void)sqlite3_close(*file);
    *file = NULL;
}
#define SQLITE_FILE CLEANUP(close_file) sqlite3 *

/* The new file with the rights that all of ours have. */
static enum err
make_private(const char *path, struct diag *diag)
{
    CLOSE_FD int fd = -1;

    return file_open(path, FILE_CREATE_NEW, &fd, diag);
}

/* SQLite's own backup, in one step: the copy is that of one moment, with what stands in the
 * write-ahead log. */
enum err
account_backup(const char *data_dir, const char *to, struct diag *diag)
{
    SQLITE_FILE from = NULL;
    SQLITE_FILE copy = NULL;
    sqlite3_backup *backup;
    char path[FILE_PATH_MAX];
    enum err err;

    if (!file_path(path, data_dir, "accounts.db"))
        return ERR_INVALID;
    if (sqlite3_open_v2(path, &from, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        return file_error(path, from, diag);
    (void)sqlite3_busy_timeout(from, BUSY_TIMEOUT_MS);
    err = make_private(to, diag);
    if (err != ERR_OK)
        return err;
    if (sqlite3_open_v2(to, &copy, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        return file_error(to, copy, diag);
    backup = sqlite3_backup_init(copy, "main", from, "main");
    if (backup != NULL) {
        (void)sqlite3_backup_step(backup, -1);
        (void)sqlite3_backup_finish(backup);
    }
    if (sqlite3_errcode(copy) != SQLITE_OK)
        return file_error(to, copy, diag);
    return ERR_OK;
}
