/*
 * db - the seam between the rows of this room and the database they stand in: SQLite beside the
 * ledger (db_sqlite.c), or the PostgreSQL database that holds the events (db_postgres.c).
 *
 * Layer 3 (account), not for other rooms. A `struct db` is one link, one thread at a time. What the
 * rows mean is written once, above this seam (account.c, login.c, session.c, audit.c, erasure.c);
 * drivers only run statements. Statements stand in sql/account; mostly one text serves both
 * dialects, since parameters ($1 …), RETURNING and ON CONFLICT are the same in both.
 *
 * Values: whole numbers, times (Unix microseconds; timestamptz in PostgreSQL), texts, bytes. A
 * truth is written as `$1 <> 0` and read as a number. Every change is made between db_begin and
 * db_end: changes wait for one another, so what a transaction has looked at holds until its end.
 */
#ifndef POTIK_ACCOUNT_DB_H
#define POTIK_ACCOUNT_DB_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DB_VALUES_MAX 20

enum db_type { DB_NUMBER, DB_TIME, DB_TEXT, DB_BYTES };
struct db_value {
    enum db_type type;
    bool is_null;
    int64_t number;     /* NUMBER; TIME: Unix microseconds */
    struct slice bytes; /* TEXT, BYTES: borrowed until the statement has run */
};
/* $1, $2 … in turn. */
struct db_values {
    struct db_value list[DB_VALUES_MAX];
    uint32_t count;
};
void db_add_number(struct db_values *values, int64_t number);
void db_add_time(struct db_values *values, int64_t unix_us); /* 0: NULL */
void db_add_text(struct db_values *values, const char *text);
void db_add_slice(struct db_values *values, struct slice text); /* ptr NULL: NULL */
void db_add_bytes(struct db_values *values, const void *bytes, size_t len);

struct db_statement {
    const char *sqlite;
    const char *postgres;
};
#define DB_BOTH(sql)                                                                               \
    {                                                                                              \
        (sql), (sql)                                                                               \
    } /* an initializer */

struct db;
struct db_rows;
struct db_driver {
    void (*close)(struct db *db);
    enum err (*begin)(struct db *db, bool is_write, struct diag *diag);
    enum err (*commit)(struct db *db, struct diag *diag);
    void (*rollback)(struct db *db);
    enum err (*ask)(struct db *db, const char *sql, const struct db_values *values,
                    struct db_rows **ret_rows, struct diag *diag);
    enum err (*has_changed)(struct db *db, bool *ret_has_changed, struct diag *diag);
    /* What the file still holds of what was deleted is overwritten. *ret_is_done false: a reader is
     * in the way now. */
    enum err (*scrub)(struct db *db, bool *ret_is_done, struct diag *diag);
    bool is_sqlite;
};
struct db {
    const struct db_driver *driver; /* each driver's struct begins with it */
    bool is_scrub_due;              /* the file may hold something secret that was deleted */
};

/* NULL: an empty result is given up. */
MUST_USE enum err
db_ask(struct db *db, const struct db_statement *statement, const struct db_values *values,
       struct db_rows **ret_rows, struct diag *diag);
/* A statement that gives no rows, or none that are looked at. */
MUST_USE enum err db_run(struct db *db, const struct db_statement *statement,
                         const struct db_values *values, struct diag *diag);
MUST_USE enum err db_begin(struct db *db, bool is_write, struct diag *diag);
/* Commits what went well, else takes it back and gives `err`. */
MUST_USE enum err db_end(struct db *db, enum err err, struct diag *diag);
/* After something secret was deleted, outside of a transaction: set is_scrub_due, then call this
 * until it is false again. Cheap where nothing is due. */
MUST_USE enum err db_scrub(struct db *db, struct diag *diag);

/* --- rows, all of them in memory --------------------------------------------------------------*/

uint32_t db_count(const struct db_rows *rows);
bool db_is_null(const struct db_rows *rows, uint32_t row, uint32_t column);
int64_t db_number(const struct db_rows *rows, uint32_t row, uint32_t column); /* NULL: 0 */
int64_t db_time(const struct db_rows *rows, uint32_t row, uint32_t column);   /* NULL: 0 */
/* Valid until the rows are freed; NULL: ptr NULL. */
struct slice db_bytes(const struct db_rows *rows, uint32_t row, uint32_t column);
/* The rows are ours, but may have been edited by hand: what does not fit is cut. NULL: "". */
void
db_text(const struct db_rows *rows, uint32_t row, uint32_t column, char *ret_text, size_t size);
void db_rows_free(struct db_rows **rows);
#define DB_ROWS CLEANUP(db_rows_free) struct db_rows *

/* --- what drivers make rows of ----------------------------------------------------------------*/

struct db_cell {
    bool is_null;
    int64_t number; /* also of times: Unix microseconds */
    struct slice bytes;
};
struct db_rows {
    struct db_cell *cells;
    uint32_t count;
    uint32_t columns;
    uint32_t cells_max;
    struct arena arena;                /* copies of what the database gave */
    void (*free_source)(void *source); /* or what the bytes stand in; NULL: the arena */
    void *source;
};

MUST_USE enum err
db_sqlite_open(const char *data_dir, bool may_create, struct db **ret_db, struct diag *diag);
struct db_postgres_config {
    const char *url;
    int64_t connect_timeout_ms;
    int64_t statement_timeout_ms;
};
MUST_USE enum err
db_postgres_open(const struct db_postgres_config *config, struct db **ret_db, struct diag *diag);

#endif
