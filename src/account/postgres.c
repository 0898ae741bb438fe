/*
 * postgres - projects and keys as rows of the database that holds the events. See backend.h,
 * account.h.
 *
 * Layer 3 (account); one thread at a time a link: the watcher of the key table, or a command. Each
 * is a connection of its own, made and asked by the blocking calls of store/postgres/connect.c: a
 * server that has gone silent costs the deadline of one statement, and then the connection. The
 * next call makes a new one.
 *
 * The tables are made by sql/postgres/0002_accounts.sql together with the store's; all SQL stands
 * in sql/account/postgres, with placeholders. Values travel in binary (postgres_row.h).
 *
 * Who writes tells the channel potik_accounts in the same transaction. A link listens there;
 * has_changed asks the server only where something was told, and every 5 s besides, for what was
 * changed by hand: a print of all rows is compared (print.sql). While the server is away,
 * has_changed tries again after 100 ms, then later and later up to 2 s.
 */
#include "account/backend.h"

#include "account/postgres_row.h"
#include "account_postgres_sql.h"
#include "base/mem.h"
#include "store/postgres/store_postgres.h"

#include <string.h>

#define LOOK_NS (5 * NS_PER_S)
#define RETRY_MIN_NS (NS_PER_S / 10)
#define RETRY_MAX_NS (2 * NS_PER_S)
#define PRINT_BYTES 128

struct account_postgres {
    struct account account; /* first */
    struct postgres_url *url;
    int64_t connect_timeout_ms;
    int64_t statement_timeout_ms;
    PGconn *connection;      /* NULL: made by the next call */
    bool is_listening;       /* on this connection */
    int64_t look_at_ns;      /* at the rows, told or not */
    char print[PRINT_BYTES]; /* of the rows, when last looked at */
    int64_t retry_at_ns;
    int64_t retry_pause_ns;
    struct diag why; /* the last attempt of has_changed failed */
};

static struct account_postgres *
of(struct account *account)
{
    return (struct account_postgres *)account;
}

#define RESULT CLEANUP(postgres_clear) PGresult *

/* --- statements -------------------------------------------------------------------------------*/

static enum err
connect_if_away(struct account_postgres *account, struct diag *diag)
{
    const struct postgres_session session = {
        .statement_timeout_ms = account->statement_timeout_ms,
        .lock_timeout_ms = account->statement_timeout_ms,
    };

    if (account->connection != NULL)
        return ERR_OK;
    account->is_listening = false;
    return postgres_connect(account->url, account->connect_timeout_ms, &session,
                            &account->connection, diag);
}

/* A connection that was lost, or still owes an answer, is given up: the next call makes another. */
static enum err
keep_or_drop(struct account_postgres *account, enum err err)
{
    if (err != ERR_OK && account->connection != NULL &&
        (PQstatus(account->connection) == CONNECTION_BAD ||
         PQtransactionStatus(account->connection) == PQTRANS_ACTIVE))
        postgres_disconnect(&account->connection);
    return err;
}

static enum err
ask(struct account_postgres *account, const char *sql, const struct account_parameters *parameters,
    PGresult **ret_result, struct diag *diag)
{
    static const struct account_parameters none;
    enum err err = connect_if_away(account, diag);

    if (err != ERR_OK)
        return err;
    parameters = parameters != NULL ? parameters : &none;
    err = postgres_query(account->connection, sql, parameters->list, parameters->count,
                         account->statement_timeout_ms, ret_result, diag);
    return keep_or_drop(account, err);
}

static enum err
run(struct account_postgres *account, const char *sql, struct diag *diag)
{
    enum err err = connect_if_away(account, diag);

    if (err == ERR_OK)
        err = postgres_run(account->connection, sql, account->statement_timeout_ms, diag);
    return keep_or_drop(account, err);
}

/* Commits what went well, else takes it back; a lost connection has taken it back already. */
static enum err
end(struct account_postgres *account, enum err err, struct diag *diag)
{
    if (err == ERR_OK)
        return run(account, "COMMIT", diag);
    if (account->connection != NULL && run(account, "ROLLBACK", NULL) != ERR_OK)
        postgres_disconnect(&account->connection);
    return err;
}

/* Whoever else adds keys waits. */
static enum err
begin_adding(struct account_postgres *account, struct diag *diag)
{
    enum err err = run(account, "BEGIN", diag);

    if (err != ERR_OK)
        return err;
    err = run(account, sql_postgres_key_lock, diag);
    return err == ERR_OK ? ERR_OK : end(account, err, NULL);
}

/* --- projects ---------------------------------------------------------------------------------*/

static void
project_of_row(const PGresult *result, int row, struct account_project *ret_project)
{
    *ret_project = (struct account_project){0};
    ret_project->id = (uint32_t)account_number_of(result, row, 0);
    account_copy_text(result, row, 1, ret_project->name, sizeof(ret_project->name));
    account_copy_text(result, row, 2, ret_project->time_zone, sizeof(ret_project->time_zone));
    ret_project->created_at_us = account_time_of(result, row, 3);
}

static enum err
absent_project(uint32_t project_id, struct diag *diag)
{
    diag_set(diag, "there is no project %u", project_id);
    return ERR_ABSENT;
}

static enum err
project_get(struct account *account, uint32_t project_id, struct account_project *ret_project,
            struct diag *diag)
{
    struct account_parameters parameters = {0};
    RESULT result = NULL;
    enum err err;

    account_add_i64(&parameters, project_id);
    err = ask(of(account), sql_postgres_project_get, &parameters, &result, diag);
    if (err != ERR_OK)
        return err;
    if (PQntuples(result) == 0)
        return absent_project(project_id, diag);
    project_of_row(result, 0, ret_project);
    return ERR_OK;
}

static enum err
project_ensure(struct account *account, const struct account_project *project,
               struct account_project *ret_project, bool *ret_is_new, struct diag *diag)
{
    struct account_parameters parameters = {0};
    RESULT result = NULL;
    enum err err;

    account_add_i64(&parameters, project->id);
    account_add_text(&parameters, project->name);
    account_add_text(&parameters, project->time_zone);
    account_add_time(&parameters, project->created_at_us);
    /* A project is never removed, so the two need no transaction around them. */
    err = ask(of(account), sql_postgres_project_insert, &parameters, &result, diag);
    if (err == ERR_OK)
        err = project_get(account, project->id, ret_project, diag);
    if (err == ERR_OK)
        *ret_is_new = PQntuples(result) == 1;
    return err;
}

static enum err
project_set_zone(struct account *account, uint32_t project_id, const char *time_zone,
                 struct diag *diag)
{
    struct account_parameters parameters = {0};
    RESULT result = NULL;
    enum err err;

    account_add_i64(&parameters, project_id);
    account_add_text(&parameters, time_zone);
    err = ask(of(account), sql_postgres_project_set_zone, &parameters, &result, diag);
    if (err == ERR_OK && PQntuples(result) == 0)
        return absent_project(project_id, diag);
    return err;
}

/* --- keys -------------------------------------------------------------------------------------*/

/* false: the row is none of ours (edited by hand). */
static bool
key_of_row(const PGresult *result, int row, struct account_key *ret_key)
{
    char kind[8];

    *ret_key = (struct account_key){0};
    if (PQgetlength(result, row, 5) != ACCOUNT_HASH_BYTES)
        return false;
    account_copy_text(result, row, 2, kind, sizeof(kind));
    ret_key->id = (uint64_t)account_number_of(result, row, 0);
    ret_key->project_id = (uint32_t)account_number_of(result, row, 1);
    ret_key->kind = kind[0] == 'w' ? ACCOUNT_KEY_WRITE : ACCOUNT_KEY_READ;
    account_copy_text(result, row, 3, ret_key->name, sizeof(ret_key->name));
    account_copy_text(result, row, 4, ret_key->last4, sizeof(ret_key->last4));
    memcpy(ret_key->hash, PQgetvalue(result, row, 5), ACCOUNT_HASH_BYTES);
    ret_key->created_at_us = account_time_of(result, row, 6);
    ret_key->revoked_at_us = account_time_of(result, row, 7);
    return true;
}

static enum err
insert_key(struct account *account, struct account_key *key, struct diag *diag)
{
    struct account_parameters parameters = {0};
    RESULT result = NULL;
    struct account_project project;
    enum err err = project_get(account, key->project_id, &project, diag);

    if (err != ERR_OK)
        return err;
    account_add_i64(&parameters, key->project_id);
    account_add_text(&parameters, account_kind_name(key->kind));
    account_add_text(&parameters, key->name);
    account_add_bytes(&parameters, key->hash, sizeof(key->hash));
    account_add_text(&parameters, key->last4);
    account_add_time(&parameters, key->created_at_us);
    account_add_i64(&parameters, ACCOUNT_KEYS_MAX);
    err = ask(of(account), sql_postgres_key_insert, &parameters, &result, diag);
    if (err != ERR_OK)
        return err;
    if (PQntuples(result) == 0) {
        diag_set(diag, "there are %d keys already, as many as may be", ACCOUNT_KEYS_MAX);
        return ERR_FULL;
    }
    key->id = (uint64_t)account_number_of(result, 0, 0);
    return ERR_OK;
}

static enum err
key_insert(struct account *account, struct account_key *key, struct diag *diag)
{
    enum err err = begin_adding(of(account), diag);

    if (err != ERR_OK)
        return err;
    err = insert_key(account, key, diag);
    return end(of(account), err, diag);
}

static enum err
read_projects(struct account_postgres *account, struct account_list *list, struct diag *diag)
{
    struct account_parameters parameters = {0};
    RESULT result = NULL;
    enum err err;

    account_add_i64(&parameters, ACCOUNT_PROJECTS_MAX);
    err = ask(account, sql_postgres_project_list, &parameters, &result, diag);
    if (err != ERR_OK)
        return err;
    list->projects = MEM_NEW(struct account_project, (size_t)PQntuples(result) + 1);
    if (list->projects == NULL)
        return ERR_NOMEM;
    for (int row = 0; row < PQntuples(result); row++)
        project_of_row(result, row, &list->projects[list->project_count++]);
    return ERR_OK;
}

static enum err
read_keys(struct account_postgres *account, struct account_list *list, struct diag *diag)
{
    struct account_parameters parameters = {0};
    RESULT result = NULL;
    enum err err;

    account_add_i64(&parameters, ACCOUNT_KEYS_MAX);
    err = ask(account, sql_postgres_key_list, &parameters, &result, diag);
    if (err != ERR_OK)
        return err;
    list->keys = MEM_NEW(struct account_key, (size_t)PQntuples(result) + 1);
    if (list->keys == NULL)
        return ERR_NOMEM;
    for (int row = 0; row < PQntuples(result); row++) {
        if (!key_of_row(result, row, &list->keys[list->key_count++])) {
            diag_set(diag, "PostgreSQL, table keys: key %lld is damaged",
                     (long long)account_number_of(result, row, 0));
            return ERR_CORRUPT;
        }
    }
    return ERR_OK;
}

static enum err
read_rows(struct account_postgres *account, struct account_list *list, struct diag *diag)
{
    enum err err = read_projects(account, list, diag);

    if (err == ERR_OK)
        err = read_keys(account, list, diag);
    if (err == ERR_NOMEM)
        diag_set(diag, "projects and keys: out of memory");
    return err;
}

static enum err
list_all(struct account *self, struct account_list *ret_list, struct diag *diag)
{
    struct account_postgres *account = of(self);
    CLEANUP(account_list_free) struct account_list list = {NULL, 0, NULL, 0};
    enum err err = run(account, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", diag);

    if (err != ERR_OK)
        return err;
    err = read_rows(account, &list, diag);
    err = end(account, err, diag);
    if (err == ERR_OK) {
        *ret_list = list;
        list = (struct account_list){NULL, 0, NULL, 0};
    }
    return err;
}

/* See backend.h. */
static enum err
add_first(struct account *account, struct account_key *keys, size_t count, bool *ret_is_first,
          struct diag *diag)
{
    CLEANUP(account_list_free) struct account_list list = {NULL, 0, NULL, 0};
    enum err err = read_rows(of(account), &list, diag);

    if (err != ERR_OK)
        return err;
    *ret_is_first = account_mark_known(&list, keys, count);
    for (size_t i = 0; i < count && *ret_is_first && err == ERR_OK; i++) {
        if (keys[i].id == 0)
            err = insert_key(account, &keys[i], diag);
    }
    return err;
}

static enum err
key_insert_first(struct account *account, struct account_key *keys, size_t count,
                 bool *ret_is_first, struct diag *diag)
{
    bool is_first = false;
    enum err err = begin_adding(of(account), diag);

    if (err != ERR_OK)
        return err;
    err = add_first(account, keys, count, &is_first, diag);
    err = end(of(account), err, diag);
    if (err == ERR_OK)
        *ret_is_first = is_first;
    return err;
}

static enum err
key_revoke(struct account *account, uint64_t key_id, const uint8_t hash[ACCOUNT_HASH_BYTES],
           int64_t revoked_at_us, struct diag *diag)
{
    struct account_parameters parameters = {0};
    RESULT result = NULL;
    enum err err;

    account_add_i64(&parameters, (int64_t)key_id);
    account_add_bytes(&parameters, hash, ACCOUNT_HASH_BYTES);
    account_add_time(&parameters, revoked_at_us);
    err = ask(of(account), sql_postgres_key_revoke, &parameters, &result, diag);
    if (err != ERR_OK || PQntuples(result) != 0)
        return err;
    if (key_id != 0)
        diag_set(diag, "there is no key %llu", (unsigned long long)key_id);
    else
        diag_set(diag, "this key is not known here");
    return ERR_ABSENT;
}

/* --- what others change -----------------------------------------------------------------------*/

/* What has arrived by itself: whether another link has told something. */
static bool
was_told(struct account_postgres *account)
{
    PGnotify *notice;
    bool is_told = false;

    /* A connection that was lost is noticed by the next statement. */
    if (account->connection == NULL || PQconsumeInput(account->connection) == 0)
        return true;
    while ((notice = PQnotifies(account->connection)) != NULL) {
        is_told = is_told || notice->be_pid != PQbackendPID(account->connection);
        PQfreemem(notice);
    }
    return is_told;
}

static enum err
look(struct account_postgres *account, bool *ret_has_changed, struct diag *diag)
{
    RESULT result = NULL;
    char print[PRINT_BYTES];
    enum err err = ask(account, sql_postgres_print, NULL, &result, diag);

    if (err != ERR_OK)
        return err;
    account_copy_text(result, 0, 0, print, sizeof(print));
    *ret_has_changed = strcmp(print, account->print) != 0;
    memcpy(account->print, print, sizeof(print));
    account->look_at_ns = clock_steady_ns(clock_system()) + LOOK_NS;
    return ERR_OK;
}

/* On a new connection listening comes first, then a look: what is told from then on is heard. */
static enum err
listen_and_look(struct account_postgres *account, bool *ret_has_changed, struct diag *diag)
{
    bool is_due = was_told(account) || clock_steady_ns(clock_system()) >= account->look_at_ns;
    enum err err = connect_if_away(account, diag);

    *ret_has_changed = false;
    if (err == ERR_OK && !account->is_listening) {
        err = run(account, "LISTEN potik_accounts", diag);
        account->is_listening = err == ERR_OK;
    }
    return err == ERR_OK && is_due ? look(account, ret_has_changed, diag) : err;
}

static enum err
has_changed(struct account *self, bool *ret_has_changed, struct diag *diag)
{
    struct account_postgres *account = of(self);
    struct diag why = DIAG_INIT;
    enum err err;

    if (account->connection == NULL && clock_steady_ns(clock_system()) < account->retry_at_ns) {
        if (diag != NULL)
            *diag = account->why;
        return ERR_NOT_READY;
    }
    err = listen_and_look(account, ret_has_changed, &why);
    if (err == ERR_OK) {
        account->retry_pause_ns = RETRY_MIN_NS;
        return ERR_OK;
    }
    account->why = why;
    account->retry_at_ns = clock_steady_ns(clock_system()) + account->retry_pause_ns;
    account->retry_pause_ns *= 2;
    if (account->retry_pause_ns > RETRY_MAX_NS)
        account->retry_pause_ns = RETRY_MAX_NS;
    if (diag != NULL)
        *diag = why;
    return err;
}

/* --- opening ----------------------------------------------------------------------------------*/

static void
close_link(struct account *self)
{
    struct account_postgres *account = of(self);

    postgres_disconnect(&account->connection);
    postgres_url_free(&account->url);
    mem_free(account);
}

static const struct account_backend backend = {
    .close = close_link,
    .project_ensure = project_ensure,
    .project_get = project_get,
    .project_set_zone = project_set_zone,
    .key_insert = key_insert,
    .key_insert_first = key_insert_first,
    .list = list_all,
    .key_revoke = key_revoke,
    .has_changed = has_changed,
};

static enum err
check_tables(struct account_postgres *account, struct diag *diag)
{
    RESULT result = NULL;
    enum err err = ask(account, sql_postgres_tables, NULL, &result, diag);

    if (err != ERR_OK)
        return err;
    if (PQntuples(result) == 1 && PQgetlength(result, 0, 0) == 1 && PQgetvalue(result, 0, 0)[0])
        return ERR_OK;
    diag_set(diag,
             "%s: the tables of projects and keys are not there: run `potik migrate`, or "
             "start `potik serve` on this database once",
             account->url->shown);
    return ERR_ABSENT;
}

enum err
account_postgres_open(const struct account_config *config, struct account **ret_account,
                      struct diag *diag)
{
    struct account_postgres *account = MEM_NEW(struct account_postgres, 1);
    struct account *opened;
    bool is_changed;
    enum err err;

    if (account == NULL)
        return ERR_NOMEM;
    opened = &account->account;
    opened->backend = &backend;
    account->connect_timeout_ms = config->connect_timeout_ms;
    account->statement_timeout_ms = config->statement_timeout_ms;
    account->retry_pause_ns = RETRY_MIN_NS;
    err = postgres_url_parse(config->postgres_url, config->connect_timeout_ms, &account->url, diag);
    if (err == ERR_OK)
        err = check_tables(account, diag);
    if (err == ERR_OK)
        err = listen_and_look(account, &is_changed, diag); /* the first print to compare with */
    if (err != ERR_OK) {
        account_close(&opened);
        return err;
    }
    *ret_account = opened;
    return ERR_OK;
}
