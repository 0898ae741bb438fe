/*
 * backup - `potik backup FOLDER`: a copy of everything that must not be lost, beside a running
 * server.
 *
 * Layer 8, the main thread. See app/backup.h.
 */
#include "app/backup.h"
#include "app/config.h"
#include "cli/backup_view.h"
#include "cli/command.h"

#include <unistd.h>

static int
back_up(const struct config *config, const char *to)
{
    struct backup_facts facts = {0};
    struct backup_view_bar bar;
    struct diag diag = DIAG_INIT;
    enum err err;

    if (config_is_postgres(config)) {
        diag_set(&diag, "backup copies an embedded store; back a PostgreSQL up with its own tools "
                        "(pg_dump, pg_basebackup; docs/POSTGRES.md), and token-keys beside it");
        return backup_view_fail(ERR_INVALID, &diag);
    }
    backup_view_bar_start(&bar, "backup");
    err = backup_run(config->data_dir, to, backup_view_bar_show, &bar, &facts, &diag);
    backup_view_bar_end(&bar, err == ERR_OK, facts.bytes);
    if (err != ERR_OK)
        return backup_view_fail(err, &diag);
    backup_view_print(to, &facts, "copied and read back");
    return COMMAND_DONE;
}

static int
run_backup(int argc, char **argv)
{
    return backup_view_run(argc, argv, "to be made", back_up);
}

static void
write_settings(FILE *out)
{
    config_write_help(out, CONFIG_FOLDER);
}

const struct command command_backup = {
    .name = "backup",
    .summary = "copy the store to a folder, beside a running server",
    .help =
        "usage: potik backup FOLDER [--data-dir FOLDER]\n"
        "\n"
        "Copies everything that must not be lost (events, projects, keys, people) to FOLDER, "
        "which must not be\n"
        "there or be empty, and reads the copy back. The server may run: all that it had "
        "answered before the\n"
        "backup began is in it. The copy is as secret as the data folder. It takes as much room "
        "as ledger/\n"
        "and accounts.db; what is derived is left out. Made as FOLDER.partial, and renamed when "
        "it is whole.\n"
        "\n"
        "Example:\n"
        "\n"
        "  potik backup /backups/potik-$(date +%F) --data-dir ./potik-data\n",
    .help_more = write_settings,
    .run = run_backup,
};
