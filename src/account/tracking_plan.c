/*
 * tracking_plan - see tracking_plan.h.
 */
#include "account/tracking_plan.h"

#include "account/inside.h"
#include "base/mem.h"
#include "tracking_plan_sql.h"

#include <inttypes.h>
#include <stdio.h>

static const struct db_statement plan_get = DB_BOTH(sql_plan_get);
static const struct db_statement plan_list = DB_BOTH(sql_plan_list);
static const struct db_statement plan_bytes = DB_BOTH(sql_plan_bytes);
static const struct db_statement plan_set = DB_BOTH(sql_plan_set);

enum err
tracking_plan_get(struct account *account, uint32_t project_id, struct arena *arena,
                  struct tracking_plan *ret_plan, struct diag *diag)
{
    struct tracking_plan plan = {.document = SLICE_NONE};
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, project_id);
    err = db_ask(account->db, &plan_get, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    if (db_count(rows) != 0) {
        plan.revision = (uint64_t)db_number(rows, 0, 0);
        plan.document = arena_copy(arena, db_bytes(rows, 0, 1));
        plan.changed_at_us = db_time(rows, 0, 2);
        if (plan.document.ptr == NULL)
            return ERR_NOMEM;
    }
    *ret_plan = plan;
    return ERR_OK;
}

static enum err
read_revision(struct account *account, uint32_t project_id, uint64_t *ret_revision,
              struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, project_id);
    err = db_ask(account->db, &plan_get, &values, &rows, diag);
    if (err == ERR_OK)
        *ret_revision = db_count(rows) != 0 ? (uint64_t)db_number(rows, 0, 0) : 0;
    return err;
}

static enum err
check_room(struct account *account, uint32_t project_id, struct slice document, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, project_id);
    err = db_ask(account->db, &plan_bytes, &values, &rows, diag);
    if (err != ERR_OK || db_number(rows, 0, 0) + (int64_t)document.len <= TRACKING_PLANS_BYTES_MAX)
        return err;
    diag_set(diag,
             "the tracking plans of all projects have %lld bytes already, together %lld are "
             "allowed; make one of them smaller",
             (long long)db_number(rows, 0, 0), (long long)TRACKING_PLANS_BYTES_MAX);
    return ERR_FULL;
}

static enum err
check_revision(uint64_t stands, uint64_t expected, struct diag *diag)
{
    if (expected == TRACKING_PLAN_ANY_REVISION || expected == stands)
        return ERR_OK;
    diag_set_field(diag, "If-Match",
                   "the plan has revision %" PRIu64
                   " now, not the one that If-Match names; read it "
                   "again and put your change into that",
                   stands);
    return ERR_PRECONDITION_FAILED;
}

static enum err
set(struct account *account, const struct account_actor *by, uint32_t project_id, uint64_t expected,
    struct slice document, const char *summary, struct tracking_plan *plan, struct diag *diag)
{
    struct account_project project;
    struct db_values values = {0};
    uint64_t stands = 0;
    enum err err = account_project_get(account, project_id, &project, diag);

    if (err == ERR_OK)
        err = read_revision(account, project_id, &stands, diag);
    if (err == ERR_OK)
        err = check_revision(stands, expected, diag);
    if (err == ERR_OK)
        err = check_room(account, project_id, document, diag);
    if (err != ERR_OK)
        return err;
    plan->revision = stands + 1;
    plan->document = document;
    plan->changed_at_us = clock_wall_us(account->clock);
    db_add_number(&values, project_id);
    db_add_number(&values, (int64_t)plan->revision);
    db_add_slice(&values, document);
    db_add_time(&values, plan->changed_at_us);
    err = db_run(account->db, &plan_set, &values, diag);
    if (err != ERR_OK)
        return err;
    return account_note(account, by, "plan.changed", project_id, diag, summary,
                        "tracking plan of project %" PRIu32 ", revision %" PRIu64, project_id,
                        plan->revision);
}

enum err
tracking_plan_set(struct account *account, const struct account_actor *by, uint32_t project_id,
                  uint64_t expected, struct slice document, const char *summary,
                  struct tracking_plan *ret_plan, struct diag *diag)
{
    struct tracking_plan plan = {0};
    enum err err = db_begin(account->db, true, diag);

    if (err != ERR_OK)
        return err;
    err = set(account, by, project_id, expected, document, summary, &plan, diag);
    err = db_end(account->db, err, diag);
    if (err == ERR_OK)
        *ret_plan = plan;
    return err;
}

enum err
tracking_plan_list(struct account *account, struct tracking_plan_revision **ret_list,
                   size_t *ret_count, struct diag *diag)
{
    struct tracking_plan_revision *list;
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    db_add_number(&values, ACCOUNT_PROJECTS_MAX);
    err = db_ask(account->db, &plan_list, &values, &rows, diag);
    if (err != ERR_OK)
        return err;
    list = MEM_NEW(struct tracking_plan_revision, db_count(rows) + 1);
    if (list == NULL)
        return ERR_NOMEM;
    for (uint32_t row = 0; row < db_count(rows); row++)
        list[row] = (struct tracking_plan_revision){(uint32_t)db_number(rows, row, 0),
                                                    (uint64_t)db_number(rows, row, 1)};
    *ret_list = list;
    *ret_count = db_count(rows);
    return ERR_OK;
}
