/*
 * rebuild - `potik rebuild`: forget what is derived from the ledger; the next start makes it anew.
 *
 * Layer 8, the main thread. The server must be stopped (the folder's LOCK is taken).
 */
#include "app/config.h"
#include "app/folder.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/command.h"
#include "warehouse/warehouse.h"

#include <unistd.h>

static int
fail(enum err err, const struct diag *diag)
{
    fprintf(stderr, "potik: %s\n", diag->message[0] != '\0' ? diag->message : err_sentence(err));
    return err == ERR_INVALID ? COMMAND_USAGE : COMMAND_FAILED;
}

static int
rebuild(const char *data_dir)
{
    struct diag diag = DIAG_INIT;
    CLOSE_FD int lock_fd = -1;
    enum err err;

    if (!file_exists(data_dir)) {
        diag_set(&diag, "there is no data folder %s", data_dir);
        return fail(ERR_ABSENT, &diag);
    }
    err = folder_lock(data_dir, false, &lock_fd, &diag);
    if (err == ERR_OK)
        err = warehouse_discard(data_dir, &diag);
    if (err != ERR_OK)
        return fail(err, &diag);
    printf("%s: what was derived is gone; the next start loads it again from the ledger\n",
           data_dir);
    return COMMAND_DONE;
}

static int
run_rebuild(int argc, char **argv)
{
    struct diag diag = DIAG_INIT;
    struct config config;
    enum err err = config_load(argc, argv, environ, CONFIG_FOLDER, &config, &diag);
    int status;

    if (err != ERR_OK)
        return fail(err, &diag);
    status = rebuild(config.data_dir);
    config_fini(&config);
    return status;
}

static void
write_settings(FILE *out)
{
    config_write_help(out, CONFIG_FOLDER);
}

const struct command command_rebuild = {
    .name = "rebuild",
    .summary = "make what is derived from the ledger anew",
    .help = "usage: potik rebuild [--data-dir FOLDER]\n"
            "\n"
            "Forgets everything derived from the ledger (Parquet files, persons). The server must "
            "be stopped;\n"
            "its next start loads all events again. No event is touched.\n"
            "\n"
            "Example:\n"
            "\n"
            "  potik rebuild --data-dir ./potik-data\n",
    .help_more = write_settings,
    .run = run_rebuild,
};
