/*
 * project_view - how `potik project` shows projects: as a table, one by one, as JSON.
 *
 * Layer 8. What a project has used of its quota is not here: that only a running server has counted
 * (GET /v1/projects/ID).
 */
#ifndef POTIK_CLI_PROJECT_VIEW_H
#define POTIK_CLI_PROJECT_VIEW_H

#include "cli/admin.h"
#include "cli/command.h"

/* Its members, without braces. */
void project_view_add_json(struct buf *buf, const struct account_project *project);
/* Keys in force: not revoked, not expired. */
uint64_t project_view_count_keys(const struct account_list *list, uint32_t project_id);

/* These print, and give the command's status: all projects; one by id or name; {"project":…}. */
int project_view_list(struct admin *admin);
int project_view_show(struct admin *admin, const char *word);
int project_view_print_json(const struct admin *admin, const struct account_project *project);

#endif
