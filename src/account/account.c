/*
 * account - the link, and projects: arguments, the clock, and the rows. See account.h; db.h is what
 * comes below. Keys: key.c.
 */
#include "account/account.h"

#include "account/inside.h"
#include "base/mem.h"
#include "codec/utf8.h"
#include "project_sql.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RETENTION_DAYS_MAX 36500

static const struct db_statement project_insert = DB_BOTH(sql_project_insert);
static const struct db_statement project_next = DB_BOTH(sql_project_next);
static const struct db_statement project_get = DB_BOTH(sql_project_get);
static const struct db_statement project_list = DB_BOTH(sql_project_list);
static const struct db_statement project_named = DB_BOTH(sql_project_named);
static const struct db_statement project_change = DB_BOTH(sql_project_change);

/* --- the link ---------------------------------------------------------------------------------*/

enum err
account_open(const struct account_config *config, struct account **ret_account, struct diag *diag)
{
    const struct db_postgres_config postgres = {
        .url = config->postgres_url,
        .connect_timeout_ms = config->connect_timeout_ms,
        .statement_timeout_ms = config->statement_timeout_ms,
    };
    struct account *account = MEM_NEW(struct account, 1);
    enum err err;

    if (account == NULL) {
        diag_set(diag, "accounts: out of memory");
        return ERR_NOMEM;
    }
    account->clock = config->clock;
    account->random = config->random;
    err = config->postgres_url != NULL
              ? db_postgres_open(&postgres, &account->db, diag)
              : db_sqlite_open(config->data_dir, config->may_create, &account->db, diag);
    if (err != ERR_OK) {
        mem_free(account);
        return err;
    }
    *ret_account = account;
    return ERR_OK;
}

void
account_close(struct account **account)
{
    if (*account == NULL)
        return;
    (*account)->db->driver->close((*account)->db);
    mem_free(*account);
    *account = NULL;
}

enum err
account_has_changed(struct account *account, bool *ret_has_changed, struct diag *diag)
{
    return account->db->driver->has_changed(account->db, ret_has_changed, diag);
}

bool
account_make_room(void **items, size_t count, size_t bytes)
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

/* --- projects ---------------------------------------------------------------------------------*/

static enum err
check_zone(const char *time_zone, struct diag *diag)
{
    size_t len = strlen(time_zone);

    if (len >= 1 && len <= ACCOUNT_ZONE_BYTES)
        return ERR_OK;
    diag_set_field(diag, "time_zone", "time_zone: must be 1 to %d bytes", ACCOUNT_ZONE_BYTES);
    return ERR_INVALID;
}

enum err
account_check_name(const char *name, struct diag *diag)
{
    size_t len = strlen(name);
    bool is_clean = utf8_is_valid(slice_of_text(name));

    for (size_t i = 0; i < len; i++)
        is_clean = is_clean && (unsigned char)name[i] >= 0x20 && name[i] != 0x7F;
    if (len >= 1 && len <= ACCOUNT_NAME_BYTES && is_clean)
        return ERR_OK;
    diag_set_field(diag, "name", "name: must be 1 to %d bytes of UTF-8 without control characters",
                   ACCOUNT_NAME_BYTES);
    return ERR_INVALID;
}

static enum err
check_project(const struct account_project *project, struct diag *diag)
{
    enum err err = account_check_name(project->name, diag);

    if (err == ERR_OK && project->name[strspn(project->name, "0123456789")] == '\0') {
        diag_set_field(diag, "name", "name: must not be a number: it would be taken for an id");
        err = ERR_INVALID;
    }
    if (err == ERR_OK)
        err = check_zone(project->time_zone, diag);
    if (err == ERR_OK && project->retention_days > RETENTION_DAYS_MAX) {
        diag_set_field(diag, "retention_days",
                       "retention_days: must be 1 to %d, or 0 to keep events for ever",
                       RETENTION_DAYS_MAX);
        err = ERR_INVALID;
    }
    if (err == ERR_OK && project->events_per_month > ACCOUNT_EVENTS_PER_MONTH_MAX) {
        diag_set_field(diag, "events_per_month",
                       "events_per_month: must be 1 to %llu, or null for no quota",
                       (unsigned long long)ACCOUNT_EVENTS_PER_MONTH_MAX);
        err = ERR_INVALID;
    }
    return err;
}

static const char *
week_name(enum account_week_start week_start)
{
    return week_start == ACCOUNT_WEEK_SUNDAY ? "sunday" : "monday";
}

static void
project_of_row(const struct db_rows *rows, uint32_t row, struct account_project *ret_project)
{
    *ret_project = (struct account_project){0};
    ret_project->id = (uint32_t)db_number(rows, row, 0);
    db_text(rows, row, 1, ret_project->name, sizeof(ret_project->name));
    db_text(rows, row, 2, ret_project->time_zone, sizeof(ret_project->time_zone));
    ret_project->week_start = slice_equal(db_bytes(rows, row, 3), SLICE("sunday"))
                                  ? ACCOUNT_WEEK_SUNDAY
                                  : ACCOUNT_WEEK_MONDAY;
    ret_project->retention_days = (uint32_t)db_number(rows, row, 4);
    ret_project->created_at_us = db_time(rows, row, 5);
    ret_project->events_per_month = (uint64_t)db_number(rows, row, 6);
}

static enum err
absent_project(uint32_t project_id, struct diag *diag)
{
    diag_set(diag, "there is no project %u", project_id);
    return ERR_ABSENT;
}

enum err
account_project_get(struct account *account, uint32_t project_id,
                    struct account_project *ret_project, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, project_id);
    err = db_ask(account->db, &project_get, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    if (db_count(rows) == 0)
        return absent_project(project_id, diag);
    project_of_row(rows, 0, ret_project);
    return ERR_OK;
}

/* *ret_is_new false: there is one of that id or name. */
static enum err
insert_project(struct account *account, const struct account_project *project, bool *ret_is_new,
               struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, project->id);
    db_add_text(&values, project->name);
    db_add_text(&values, project->time_zone);
    db_add_text(&values, week_name(project->week_start));
    db_add_number(&values, project->retention_days);
    db_add_time(&values, project->created_at_us);
    db_add_number(&values, (int64_t)project->events_per_month);
    err = db_ask(account->db, &project_insert, &values, &rows, diag);
    if (err == ERR_OK)
        *ret_is_new = db_count(rows) == 1;
    return err;
}

enum err
account_project_ensure_default(struct account *account, const char *time_zone,
                               struct account_project *ret_project, bool *ret_is_new,
                               struct diag *diag)
{
    struct account_project project = {.id = ACCOUNT_PROJECT_DEFAULT,
                                      .name = "default",
                                      .created_at_us = clock_wall_us(account->clock)};
    static const struct account_actor server = {.kind = ACCOUNT_ACTOR_SERVER};
    struct account_project found = project;
    bool is_new = false;
    enum err err = check_zone(time_zone, diag);

    if (err != ERR_OK)
        return err;
    memcpy(project.time_zone, time_zone, strlen(time_zone) + 1);
    err = db_begin(account->db, true, diag);
    if (err != ERR_OK)
        return err;
    err = insert_project(account, &project, &is_new, diag);
    if (err == ERR_OK && is_new)
        err = account_note(account, &server, "project.created", project.id, diag, NULL,
                           "project %u %s", project.id, project.name);
    if (err == ERR_OK)
        err = account_project_get(account, project.id, &found, diag);
    /* Deleted by somebody: then there is none to make keys for, and that is as it should be. */
    if (err == ERR_ABSENT && !is_new)
        err = ERR_OK;
    err = db_end(account->db, err, diag);
    if (err == ERR_OK) {
        *ret_project = found;
        *ret_is_new = is_new;
    }
    return err;
}

static enum err
check_name_is_free(struct account *account, const struct account_project *project,
                   struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_text(&values, project->name);
    err = db_ask(account->db, &project_named, &values, &rows, diag);
    if (err != ERR_OK || db_count(rows) == 0 || (uint32_t)db_number(rows, 0, 0) == project->id)
        return err;
    diag_set_field(diag, "name", "name: project %lld has it already; choose another",
                   (long long)db_number(rows, 0, 0));
    return ERR_EXISTS;
}

static enum err
number_project(struct account *account, uint32_t *ret_id, struct diag *diag)
{
    DB_ROWS rows = NULL;
    enum err err = db_ask(account->db, &project_next, NULL, &rows, diag);

    if (err != ERR_OK)
        return err;
    if (db_number(rows, 0, 1) >= ACCOUNT_PROJECTS_MAX) {
        diag_set(diag, "there are %d projects already, deleted ones included: as many as may be",
                 ACCOUNT_PROJECTS_MAX);
        return ERR_FULL;
    }
    *ret_id = (uint32_t)db_number(rows, 0, 0);
    return ERR_OK;
}

static enum err
add_project(struct account *account, const struct account_actor *by,
            struct account_project *project, struct diag *diag)
{
    bool is_new = false;
    enum err err = check_name_is_free(account, project, diag);

    if (err == ERR_OK)
        err = number_project(account, &project->id, diag);
    if (err == ERR_OK)
        err = insert_project(account, project, &is_new, diag);
    if (err != ERR_OK)
        return err;
    assert(is_new); /* id and name were free, and nobody else writes meanwhile */
    return account_note(account, by, "project.created", project->id, diag, NULL, "project %u %s",
                        project->id, project->name);
}

enum err
account_project_add(struct account *account, const struct account_actor *by,
                    const struct account_project *project, struct account_project *ret_project,
                    struct diag *diag)
{
    struct account_project made = *project;
    enum err err = check_project(project, diag);

    if (err == ERR_OK)
        err = db_begin(account->db, true, diag);
    if (err != ERR_OK)
        return err;
    made.id = 0;
    made.created_at_us = clock_wall_us(account->clock);
    err = add_project(account, by, &made, diag);
    err = db_end(account->db, err, diag);
    if (err == ERR_OK)
        *ret_project = made;
    return err;
}

/* For the audit log: the settings as they are now. */
static void
describe(const struct account_project *project, char *ret_detail, size_t bytes)
{
    char quota[24] = "none";

    if (project->events_per_month != 0)
        (void)snprintf(quota, sizeof(quota), "%" PRIu64, project->events_per_month);
    (void)snprintf(
        ret_detail, bytes, "time_zone %s, week_start %s, retention_days %u, events_per_month %s",
        project->time_zone, week_name(project->week_start), project->retention_days, quota);
}

static enum err
change_project(struct account *account, const struct account_actor *by,
               const struct account_project *wanted, bool sets_quota, struct diag *diag)
{
    struct account_project project = *wanted;
    struct account_project before;
    struct db_values values = {0};
    char detail[200];
    enum err err = account_project_get(account, project.id, &before, diag);

    if (err == ERR_OK)
        err = check_name_is_free(account, &project, diag);
    if (err != ERR_OK)
        return err;
    if (!sets_quota)
        project.events_per_month = before.events_per_month;
    db_add_number(&values, project.id);
    db_add_text(&values, project.name);
    db_add_text(&values, project.time_zone);
    db_add_text(&values, week_name(project.week_start));
    db_add_number(&values, project.retention_days);
    db_add_number(&values, (int64_t)project.events_per_month);
    err = db_run(account->db, &project_change, &values, diag);
    if (err != ERR_OK)
        return err;
    describe(&project, detail, sizeof(detail));
    return account_note(account, by, "project.changed", project.id, diag, detail, "project %u %s",
                        project.id, project.name);
}

enum err
account_project_change(struct account *account, const struct account_actor *by,
                       const struct account_project *project, bool sets_quota, struct diag *diag)
{
    enum err err = check_project(project, diag);

    if (err == ERR_OK)
        err = db_begin(account->db, true, diag);
    if (err != ERR_OK)
        return err;
    err = change_project(account, by, project, sets_quota, diag);
    return db_end(account->db, err, diag);
}

enum err
account_read_projects(struct account *account, struct account_list *list, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, ACCOUNT_PROJECTS_MAX);
    err = db_ask(account->db, &project_list, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    list->projects = MEM_NEW(struct account_project, db_count(rows) + 1);
    if (list->projects == NULL)
        return ERR_NOMEM;
    for (uint32_t row = 0; row < db_count(rows); row++)
        project_of_row(rows, row, &list->projects[list->project_count++]);
    return ERR_OK;
}
