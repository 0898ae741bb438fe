/*
 * audit - lines of the log: written by each change in its transaction, or by themselves; read from
 * the newest on. See audit.h.
 */
#include "account/audit.h"

#include "account/inside.h"
#include "audit_sql.h"
#include "base/mem.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct db_statement audit_insert = DB_BOTH(sql_audit_add);
static const struct db_statement audit_select = DB_BOTH(sql_audit_list);

static const char *const actor_names[] = {
    [ACCOUNT_ACTOR_NOBODY] = "nobody", [ACCOUNT_ACTOR_LOGIN] = "account",
    [ACCOUNT_ACTOR_KEY] = "key",       [ACCOUNT_ACTOR_CLI] = "cli",
    [ACCOUNT_ACTOR_SERVER] = "server",
};

const char *
audit_actor_name(enum account_actor_kind kind)
{
    return actor_names[kind];
}

static enum err
insert(struct account *account, const struct audit_line *line, struct diag *diag)
{
    struct db_values values = {0};

    db_add_time(&values, line->at_us != 0 ? line->at_us : clock_wall_us(account->clock));
    db_add_text(&values, actor_names[line->actor.kind]);
    db_add_number(&values, (int64_t)line->actor.id);
    db_add_text(&values, line->actor.from);
    db_add_text(&values, line->action);
    db_add_number(&values, line->project_id);
    db_add_text(&values, line->target);
    db_add_text(&values, line->detail);
    return db_run(account->db, &audit_insert, &values, diag);
}

enum err
account_note(struct account *account, const struct account_actor *by, const char *action,
             uint32_t project_id, struct diag *diag, const char *detail, const char *target_format,
             ...)
{
    struct audit_line line = {.actor = *by, .project_id = project_id};
    va_list arguments;

    assert(strlen(action) <= AUDIT_ACTION_BYTES);
    memcpy(line.action, action, strlen(action) + 1);
    (void)snprintf(line.detail, sizeof(line.detail), "%s", detail != NULL ? detail : "");
    va_start(arguments, target_format);
    (void)vsnprintf(line.target, sizeof(line.target), target_format, arguments);
    va_end(arguments);
    return insert(account, &line, diag);
}

enum err
audit_add(struct account *account, const struct audit_line *line, struct diag *diag)
{
    enum err err = db_begin(account->db, true, diag);

    if (err != ERR_OK)
        return err;
    err = insert(account, line, diag);
    return db_end(account->db, err, diag);
}

static enum account_actor_kind
actor_of(struct slice name)
{
    for (uint32_t i = 0; i < COUNT_OF(actor_names); i++) {
        if (slice_equal(name, slice_of_text(actor_names[i])))
            return (enum account_actor_kind)i;
    }
    return ACCOUNT_ACTOR_NOBODY;
}

static void
line_of_row(const struct db_rows *rows, uint32_t row, struct audit_line *ret_line)
{
    *ret_line = (struct audit_line){0};
    ret_line->id = (uint64_t)db_number(rows, row, 0);
    ret_line->at_us = db_time(rows, row, 1);
    ret_line->actor.kind = actor_of(db_bytes(rows, row, 2));
    ret_line->actor.id = (uint64_t)db_number(rows, row, 3);
    db_text(rows, row, 4, ret_line->actor.from, sizeof(ret_line->actor.from));
    db_text(rows, row, 5, ret_line->action, sizeof(ret_line->action));
    ret_line->project_id = (uint32_t)db_number(rows, row, 6);
    db_text(rows, row, 7, ret_line->target, sizeof(ret_line->target));
    db_text(rows, row, 8, ret_line->detail, sizeof(ret_line->detail));
}

enum err
audit_list(struct account *account, const struct audit_question *question,
           void (*each)(void *state, const struct audit_line *line), void *state, struct diag *diag)
{
    struct db_values values = {0};
    DB_ROWS rows = NULL;
    enum err err;

    assert(question->limit >= 1 && question->limit <= AUDIT_LIMIT_MAX);
    /* A time of 0 would be NULL: nothing was written that early. */
    db_add_time(&values, question->from_us > 0 ? question->from_us : 1);
    db_add_time(&values, question->to_us > 0 ? question->to_us : 1);
    db_add_number(&values, question->project_id);
    db_add_number(&values, (int64_t)question->before_id);
    db_add_number(&values, question->limit);
    err = db_ask(account->db, &audit_select, &values, &rows, diag);
    for (uint32_t row = 0; err == ERR_OK && row < db_count(rows); row++) {
        struct audit_line line;

        line_of_row(rows, row, &line);
        each(state, &line);
    }
    return err;
}
