/*
 * backup_view - what backup and restore share: their one word, the bar, what they print.
 *
 * Layer 8, the main thread.
 */
#ifndef POTIK_CLI_BACKUP_VIEW_H
#define POTIK_CLI_BACKUP_VIEW_H

#include "app/backup.h"
#include "app/config.h"
#include "cli/progress.h"

/* Reads flags and the one word, loads the settings, and calls `run`. `what`: "to be made". */
int backup_view_run(int argc, char **argv, const char *what,
                    int (*run)(const struct config *config, const char *folder));
int backup_view_fail(enum err err,
                     const struct diag *diag); /* one sentence on stderr; the exit status */

struct backup_view_bar {
    struct progress progress;
};
void backup_view_bar_start(struct backup_view_bar *bar, const char *label);
void
backup_view_bar_show(void *state, uint64_t done, uint64_t total); /* a backup_show over a bar */
void backup_view_bar_end(struct backup_view_bar *bar, bool is_whole, uint64_t bytes);
void backup_view_print(const char *folder, const struct backup_facts *facts, const char *what);

#endif
