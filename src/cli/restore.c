/*
 * restore - `potik restore FOLDER`: a data folder from a backup.
 *
 * Layer 8, the main thread. See app/backup.h.
 */
#include "app/backup.h"
#include "app/config.h"
#include "cli/backup_view.h"
#include "cli/command.h"

static int
restore(const struct config *config, const char *from)
{
    struct backup_facts facts = {0};
    struct backup_view_bar bar;
    struct diag diag = DIAG_INIT;
    enum err err;

    if (config_is_postgres(config)) {
        diag_set(&diag, "restore makes the data folder of an embedded store; restore a PostgreSQL "
                        "with its own tools (docs/POSTGRES.md)");
        return backup_view_fail(ERR_INVALID, &diag);
    }
    backup_view_bar_start(&bar, "restore");
    err = backup_restore(from, config->data_dir, backup_view_bar_show, &bar, &facts, &diag);
    backup_view_bar_end(&bar, err == ERR_OK, facts.bytes);
    if (err != ERR_OK)
        return backup_view_fail(err, &diag);
    backup_view_print(config->data_dir, &facts,
                      "restored and compared with the backup's checksums");
    printf("next: potik serve --data-dir %s\n"
           "the first start makes what is derived again; keys and logins are those of the backup\n",
           config->data_dir);
    return COMMAND_DONE;
}

static int
run_restore(int argc, char **argv)
{
    return backup_view_run(argc, argv, "of a backup", restore);
}

static void
write_settings(FILE *out)
{
    config_write_help(out, CONFIG_FOLDER);
}

const struct command command_restore = {
    .name = "restore",
    .summary = "make a data folder from a backup",
    .help =
        "usage: potik restore FOLDER --data-dir NEW\n"
        "\n"
        "Makes the data folder NEW, which must not be there or be empty, from the backup in "
        "FOLDER. Every file\n"
        "is compared with the checksum that the backup wrote. What came after the backup is not "
        "in it: send it\n"
        "again with the same ids, and nothing is counted twice. Jobs of erasing that were under "
        "way go on;\n"
        "those asked for later must be asked for again.\n"
        "\n"
        "Example:\n"
        "\n"
        "  potik restore /backups/potik-2026-01-31 --data-dir ./potik-data\n",
    .help_more = write_settings,
    .run = run_restore,
};
