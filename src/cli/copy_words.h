/*
 * copy_words - what backup and restore share: their one word, the bar, what they print.
 *
 * Layer 8, the main thread.
 */
#ifndef POTIK_CLI_COPY_WORDS_H
#define POTIK_CLI_COPY_WORDS_H

#include "app/backup.h"
#include "app/config.h"
#include "cli/progress.h"

/* Takes the one word that is no setting out of argv, loads the settings, and calls `run`. */
int copy_run(int argc, char **argv, const char *name, const char *what,
             int (*run)(const struct config *config, const char *folder));
int copy_fail(enum err err, const struct diag *diag); /* one sentence on stderr; the exit status */

struct copy_bar {
    struct progress progress;
};
void copy_bar_start(struct copy_bar *bar, const char *label);
void copy_bar_show(void *state, uint64_t done, uint64_t total); /* a backup_show over a bar */
void copy_bar_end(struct copy_bar *bar, bool is_whole, uint64_t bytes);
void copy_print(const char *folder, const struct backup_facts *facts, const char *what);

#endif
