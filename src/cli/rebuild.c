/*
 * rebuild - `potik rebuild`: make what is derived from the stored events anew.
 *
 * Layer 8, the main thread. The server must be stopped (the folder's LOCK is taken).
 */
#include "app/rebuild.h"
#include "app/config.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/progress.h"

#include <inttypes.h>
#include <unistd.h>

static int
fail(enum err err, const struct diag *diag)
{
    fprintf(stderr, "potik: %s\n", diag->message[0] != '\0' ? diag->message : err_sentence(err));
    return err == ERR_INVALID ? COMMAND_USAGE : COMMAND_FAILED;
}

static void
show(void *state, uint64_t loaded, uint64_t stored)
{
    struct progress *progress = state;

    progress->total = stored;
    progress_update(progress, loaded, loaded);
}

static int
rebuild(const struct config *config)
{
    struct diag diag = DIAG_INIT;
    struct progress progress;
    uint64_t events = 0;
    enum err err;

    if (!file_exists(config->data_dir)) {
        diag_set(&diag, "there is no data folder %s", config->data_dir);
        return fail(ERR_ABSENT, &diag);
    }
    progress_start(&progress, clock_system(), stderr, isatty(STDERR_FILENO) == 1, "rebuild",
                   "event", 0);
    err = rebuild_run(config, show, &progress, &events, &diag);
    if (err != ERR_OK) {
        if (progress.is_shown && progress.is_terminal)
            (void)fputc('\n', stderr); /* ends the bar's line */
        return fail(err, &diag);
    }
    progress_end(&progress, events, events);
    printf("%s: %" PRIu64 " events loaded from %s\n", config->data_dir, events,
           config_is_postgres(config) ? "PostgreSQL" : "the ledger");
    return COMMAND_DONE;
}

static int
run_rebuild(int argc, char **argv)
{
    struct diag diag = DIAG_INIT;
    struct config config;
    enum err err = config_load(argc, argv, environ, CONFIG_FOLDER, &config, &diag);
    int status;

    config_hide_passwords(argc, argv);
    if (err != ERR_OK)
        return fail(err, &diag);
    status = rebuild(&config);
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
    .summary = "make what is derived from the stored events anew",
    .help =
        "usage: potik rebuild [--data-dir FOLDER] [--store postgres://…]\n"
        "\n"
        "Makes everything derived from the stored events anew: persons, Parquet files, and of a "
        "ledger the id\n"
        "runs. The server on this folder must be stopped (other nodes of the same database need "
        "not). No event\n"
        "is touched.\n"
        "\n"
        "Example:\n"
        "\n"
        "  potik rebuild --data-dir ./potik-data\n",
    .help_more = write_settings,
    .run = run_rebuild,
};
