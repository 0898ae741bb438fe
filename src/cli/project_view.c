/*
 * project_view - see project_view.h.
 */
#include "cli/project_view.h"

#include "cli/table.h"
#include "cli/words.h"

#include <stdio.h>

/* --- list -------------------------------------------------------------------------------------*/

void
project_view_add_json(struct buf *buf, const struct account_project *project)
{
    admin_json_number(buf, "id", project->id);
    admin_json_text(buf, "name", project->name);
    admin_json_text(buf, "time_zone", project->time_zone);
    admin_json_text(buf, "week_start", words_week_start_name(project->week_start));
    admin_json_key(buf, "retention_days");
    if (project->retention_days != 0)
        buf_add_u64(buf, project->retention_days);
    else
        buf_add_text(buf, "null");
    admin_json_key(buf, "events_per_month");
    if (project->events_per_month != 0)
        buf_add_u64(buf, project->events_per_month);
    else
        buf_add_text(buf, "null");
    admin_json_time(buf, "created_at", project->created_at_us);
}

static int
print_projects_json(const struct admin *admin, const struct account_list *list)
{
    struct buf buf;

    buf_init(&buf, 1u << 30);
    buf_add_text(&buf, "{\"projects\":[");
    for (size_t i = 0; i < list->project_count; i++) {
        admin_json_item(&buf);
        buf_add_char(&buf, '{');
        project_view_add_json(&buf, &list->projects[i]);
        buf_add_char(&buf, '}');
    }
    buf_add_text(&buf, "]}");
    return admin_print_json(admin, &buf);
}

uint64_t
project_view_count_keys(const struct account_list *list, uint32_t project_id)
{
    const int64_t now_us = clock_wall_us(clock_system());
    uint64_t count = 0;

    for (size_t i = 0; i < list->key_count; i++) {
        const struct account_key *key = &list->keys[i];

        count += key->project_id == project_id && key->revoked_at_us == 0 &&
                 (key->expires_at_us == 0 || key->expires_at_us > now_us);
    }
    return count;
}

static int
print_projects_table(const struct admin *admin, const struct account_list *list)
{
    static const char *const titles[] = {">id",       "name",         "time zone",
                                         "week from", ">kept days",   ">events a month",
                                         ">keys",     "created (UTC)"};
    struct admin_table table;

    admin_table_init(&table, titles, COUNT_OF(titles));
    for (size_t i = 0; i < list->project_count; i++) {
        const struct account_project *project = &list->projects[i];

        admin_table_row(&table);
        admin_table_number(&table, 0, project->id);
        admin_table_text(&table, 1, project->name);
        admin_table_text(&table, 2, project->time_zone);
        admin_table_text(&table, 3, words_week_start_name(project->week_start));
        if (project->retention_days != 0)
            admin_table_number(&table, 4, project->retention_days);
        else
            admin_table_text(&table, 4, "all");
        if (project->events_per_month != 0)
            admin_table_number(&table, 5, project->events_per_month);
        else
            admin_table_text(&table, 5, "-");
        admin_table_number(&table, 6, project_view_count_keys(list, project->id));
        admin_table_time(&table, 7, project->created_at_us);
    }
    return admin_print_table(admin, &table);
}

int
project_view_list(struct admin *admin)
{
    struct account_list list = {NULL, 0, NULL, 0};
    struct diag diag = DIAG_INIT;
    enum err err = account_list(admin->account, &list, &diag);
    int status;

    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    status =
        admin->is_json ? print_projects_json(admin, &list) : print_projects_table(admin, &list);
    account_list_free(&list);
    return status;
}

/* --- one --------------------------------------------------------------------------------------*/

int
project_view_print_json(const struct admin *admin, const struct account_project *project)
{
    struct buf buf;

    buf_init(&buf, 64 * 1024);
    buf_add_text(&buf, "{\"project\":{");
    project_view_add_json(&buf, project);
    buf_add_text(&buf, "}}");
    return admin_print_json(admin, &buf);
}

static void
print_number(const char *title, uint64_t number, const char *none)
{
    char text[TABLE_NUMBER_TEXT];

    printf("%-16s%s\n", title, number != 0 ? table_number(number, text) : none);
}

int
project_view_show(struct admin *admin, const char *word)
{
    struct account_project project;
    struct diag diag = DIAG_INIT;
    enum err err = admin_find_project(admin, word, &project, &diag);

    if (err != ERR_OK)
        return admin_fail(admin, err, &diag);
    if (admin->is_json)
        return project_view_print_json(admin, &project);
    print_number("id", project.id, "");
    printf("%-16s%s\n%-16s%s\n%-16s%s\n", "name", project.name, "time zone", project.time_zone,
           "week from", words_week_start_name(project.week_start));
    print_number("kept days", project.retention_days, "all");
    print_number("events a month", project.events_per_month, "none of its own");
    return COMMAND_DONE;
}
