/*
 * migrate - the schema, brought up to date: numbered files of sql/postgres, each applied once.
 *
 * Layer 3 (store/postgres); called at the store's open and by `potik migrate`. Each file is one
 * transaction, which also notes it in potik_migrations; an advisory lock of the schema, held to the
 * end of the transaction, lets one program at a time through, so that nodes may start together. A
 * schema of a newer program is refused, and so is one with tables of our names but without the
 * list: somebody else made them.
 */
#include "postgres_sql.h"
#include "store/postgres/store_postgres.h"
#include <inttypes.h>

#define MIGRATE_TIMEOUT_MS (INT64_C(3600) * 1000) /* a file may have to rewrite a large table */
#define LOOK_TIMEOUT_MS 15000

struct migration {
    uint32_t version;
    const char *name;
    const char *sql;
};

/* By version, without gaps. A file that was released is never changed: what comes is a new file. */
static const struct migration migrations[] = {
    {1, "events", sql_0001_events},
    {2, "accounts", sql_0002_accounts},
    {3, "people", sql_0003_people},
    {4, "audit_and_erasures", sql_0004_audit_and_erasures},
    {5, "erasing", sql_0005_erasing},
    {6, "missed_erasures", sql_0006_missed_erasures},
    {7, "tracking_plans", sql_0007_tracking_plans},
    {8, "quotas", sql_0008_quotas},
};
#define VERSION_NEWEST ((uint32_t)COUNT_OF(migrations))

enum { LOOK_IS_LISTED, LOOK_FOREIGN_TABLE, LOOK_SCHEMA, LOOK_ROLE, LOOK_MAY_CREATE };

/* The version the schema has; 0: it is empty. Refuses what is not ours. */
static enum err
look(PGconn *conn, uint32_t *ret_version, bool *ret_is_listed, bool *ret_may_create,
     char ret_grant[DIAG_MESSAGE_MAX], struct diag *diag)
{
    CLEANUP(postgres_clear) PGresult *seen = NULL;
    CLEANUP(postgres_clear) PGresult *newest = NULL;
    enum err err = postgres_query(conn, sql_migrate_look, NULL, 0, LOOK_TIMEOUT_MS, &seen, diag);
    uint32_t version = 0;

    if (err != ERR_OK)
        return err;
    *ret_is_listed = PQgetvalue(seen, 0, LOOK_IS_LISTED)[0] != 0;
    *ret_may_create = PQgetvalue(seen, 0, LOOK_MAY_CREATE)[0] != 0;
    snprintf(ret_grant, DIAG_MESSAGE_MAX,
             "the role %.60s may create nothing in the schema %.60s: GRANT USAGE, CREATE ON SCHEMA "
             "%.60s TO %.60s",
             PQgetvalue(seen, 0, LOOK_ROLE), PQgetvalue(seen, 0, LOOK_SCHEMA),
             PQgetvalue(seen, 0, LOOK_SCHEMA), PQgetvalue(seen, 0, LOOK_ROLE));
    if (!*ret_is_listed && !PQgetisnull(seen, 0, LOOK_FOREIGN_TABLE)) {
        diag_set(diag,
                 "the schema %.60s has a table \"%.60s\" that Potik did not make (there is no "
                 "potik_migrations): give Potik a schema of its own, by search_path or another "
                 "database",
                 PQgetvalue(seen, 0, LOOK_SCHEMA), PQgetvalue(seen, 0, LOOK_FOREIGN_TABLE));
        return ERR_NOT_READY;
    }
    if (*ret_is_listed) {
        err = postgres_query(conn, sql_migrate_version, NULL, 0, LOOK_TIMEOUT_MS, &newest, diag);
        if (err != ERR_OK)
            return err;
        version = postgres_get_u32(PQgetvalue(newest, 0, 0));
    }
    if (version > VERSION_NEWEST) {
        diag_set(diag,
                 "the schema %.60s has version %" PRIu32 ", this program knows %" PRIu32
                 ": a newer Potik made it; run that one",
                 PQgetvalue(seen, 0, LOOK_SCHEMA), version, VERSION_NEWEST);
        return ERR_TOO_NEW;
    }
    *ret_version = version;
    return ERR_OK;
}

static enum err
note_applied(PGconn *conn, const struct migration *migration, struct diag *diag)
{
    char version[4];
    const struct postgres_parameter parameters[] = {
        {POSTGRES_OID_INT4, version, sizeof(version)},
        {POSTGRES_OID_TEXT, migration->name, (int)strlen(migration->name)},
        {POSTGRES_OID_TEXT, POTIK_VERSION, sizeof(POTIK_VERSION) - 1},
    };

    postgres_put_u32(version, migration->version);
    return postgres_query(conn, sql_migrate_applied, parameters, COUNT_OF(parameters),
                          LOOK_TIMEOUT_MS, NULL, diag);
}

/* In a transaction that holds the lock: the next file, or nothing left. */
static enum err
apply_next(PGconn *conn, const struct migration **ret_applied, struct diag *diag)
{
    const struct migration *migration = NULL;
    char grant[DIAG_MESSAGE_MAX];
    uint32_t version = 0;
    bool is_listed = false;
    bool may_create = false;
    enum err err = look(conn, &version, &is_listed, &may_create, grant, diag);

    *ret_applied = NULL;
    if (err != ERR_OK || version == VERSION_NEWEST)
        return err;
    if (!may_create) {
        diag_set(diag, "%s", grant);
        return ERR_NOT_READY;
    }
    migration = &migrations[version];
    if (!is_listed)
        err = postgres_run(conn, sql_migrate_list, LOOK_TIMEOUT_MS, diag);
    if (err == ERR_OK)
        err = postgres_run(conn, migration->sql, MIGRATE_TIMEOUT_MS, diag);
    if (err == ERR_OK)
        err = note_applied(conn, migration, diag);
    if (err == ERR_OK)
        *ret_applied = migration;
    return err;
}

static enum err
dry_run(PGconn *conn,
        void (*tell)(void *state, uint32_t version, const char *name, const char *sql), void *state,
        struct diag *diag)
{
    char grant[DIAG_MESSAGE_MAX];
    uint32_t version = 0;
    bool is_listed = false;
    bool may_create = false;
    enum err err = look(conn, &version, &is_listed, &may_create, grant, diag);

    for (; err == ERR_OK && version < VERSION_NEWEST; version++) {
        if (tell != NULL)
            tell(state, migrations[version].version, migrations[version].name,
                 migrations[version].sql);
    }
    return err;
}

enum err
postgres_migrate_connection(PGconn *conn, bool is_dry_run,
                            void (*tell)(void *state, uint32_t version, const char *name,
                                         const char *sql),
                            void *state, struct diag *diag)
{
    const struct migration *applied = NULL;
    char grant[DIAG_MESSAGE_MAX];
    uint32_t version = 0;
    bool is_listed = false;
    bool may_create = false;
    enum err err = ERR_OK;

    if (is_dry_run)
        return dry_run(conn, tell, state, diag);
    /* Mostly there is nothing to do: then no lock is asked for. */
    err = look(conn, &version, &is_listed, &may_create, grant, diag);
    if (err != ERR_OK || version == VERSION_NEWEST)
        return err;
    do {
        err = postgres_run(conn, sql_migrate_begin, MIGRATE_TIMEOUT_MS, diag);
        if (err == ERR_OK)
            err = apply_next(conn, &applied, diag);
        if (err == ERR_OK)
            err = postgres_run(conn, "COMMIT", LOOK_TIMEOUT_MS, diag);
        if (err != ERR_OK) {
            /* whatever failed is undone; a lost connection does the same */
            (void)!postgres_run(conn, "ROLLBACK", LOOK_TIMEOUT_MS, NULL);
            return err == ERR_OVERLOADED ? ERR_NOT_READY : err;
        }
        if (applied != NULL && tell != NULL)
            tell(state, applied->version, applied->name, applied->sql);
    } while (applied != NULL);
    return ERR_OK;
}

enum err
postgres_migrate(const char *url_text, int64_t connect_timeout_ms, bool is_dry_run,
                 void (*tell)(void *state, uint32_t version, const char *name, const char *sql),
                 void *state, struct diag *diag)
{
    const struct postgres_session session = {.statement_timeout_ms = 0, .lock_timeout_ms = 30000};
    CLEANUP(postgres_url_free) struct postgres_url *url = NULL;
    CLEANUP(postgres_disconnect) PGconn *conn = NULL;
    enum err err = postgres_url_parse(url_text, connect_timeout_ms, &url, diag);

    if (err == ERR_OK)
        err = postgres_connect(url, connect_timeout_ms, &session, &conn, diag);
    if (err == ERR_OK)
        err = postgres_migrate_connection(conn, is_dry_run, tell, state, diag);
    return err;
}
