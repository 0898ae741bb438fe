/*
 * serve - `potik serve`: the server. Settings by config.h, everything else by lifecycle.h.
 *
 * Layer 8, the main thread.
 */
#include "app/config.h"
#include "app/lifecycle.h"
#include "cli/command.h"

#include <unistd.h>

static int
run_serve(int argc, char **argv)
{
    struct diag diag = DIAG_INIT;
    struct config config;
    enum err err = config_load(argc, argv, environ, CONFIG_ALL, &config, &diag);
    int status;

    config_hide_passwords(argc, argv);
    if (err != ERR_OK) {
        fprintf(stderr, "potik: %s\n", diag.message[0] != '\0' ? diag.message : err_sentence(err));
        return err == ERR_INVALID ? COMMAND_USAGE : COMMAND_FAILED;
    }
    status = lifecycle_serve(&config);
    config_fini(&config);
    return status;
}

static void
write_settings(FILE *out)
{
    config_write_help(out, CONFIG_ALL);
}

const struct command command_serve = {
    .name = "serve",
    .summary = "run the server on a data folder",
    .help = "usage: potik serve [--SETTING VALUE…]\n"
            "\n"
            "Runs the server until SIGTERM or ^C. On stdout stands one line, `listening on "
            "ADDRESS`; logs\n"
            "go to stderr. The first start on an empty folder makes project `default` with a write "
            "key and a\n"
            "read key, and shows them once.\n"
            "\n"
            "Events are stored in the data folder, or, with --store postgres://…, in a PostgreSQL "
            "database that\n"
            "several nodes may share; each node then keeps a data folder of its own for what is "
            "derived.\n"
            "\n"
            "Examples:\n"
            "\n"
            "  potik serve --data-dir ./potik-data --listen 127.0.0.1:8700\n"
            "  potik serve --store postgres://potik@db.example/potik\n",
    .help_more = write_settings,
    .run = run_serve,
};
