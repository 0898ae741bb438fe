/*
 * migrate - `potik migrate`: brings the tables of a PostgreSQL database up to date, or prints how.
 *
 * Layer 8, the main thread. `potik serve` does the same at its start; this is for those who let
 * another role do it, at a time of their own, or who want to read the SQL first. Nothing of the
 * data folder is looked at.
 */
#include "app/config.h"
#include "cli/command.h"
#include "store/postgres/postgres.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

struct migration {
    bool is_dry_run;
    unsigned count;
};

static int
fail(enum err err, const struct diag *diag)
{
    fprintf(stderr, "potik: %s\n", diag->message[0] != '\0' ? diag->message : err_sentence(err));
    return err == ERR_INVALID ? COMMAND_USAGE : COMMAND_FAILED;
}

/* Takes --dry-run out of the words, so that config_load sees only settings. */
static bool
take_dry_run(int *argc, char **argv)
{
    bool is_dry_run = false;
    int kept = 1;

    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--dry-run") == 0)
            is_dry_run = true;
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    return is_dry_run;
}

static void
tell(void *state, uint32_t version, const char *name, const char *sql)
{
    struct migration *migration = state;

    migration->count++;
    if (migration->is_dry_run)
        printf("%s-- %04u %s\n\n%s", migration->count > 1 ? "\n" : "", version, name, sql);
    else
        printf("applied %04u %s\n", version, name);
}

static int
migrate(const struct config *config, bool is_dry_run)
{
    struct migration migration = {.is_dry_run = is_dry_run};
    struct diag diag = DIAG_INIT;
    enum err err;

    if (!config_is_postgres(config)) {
        diag_set(&diag, "migrate: is for a PostgreSQL store: give --store postgres://… or "
                        "POTIK_STORE (the embedded store brings itself up to date)");
        return fail(ERR_INVALID, &diag);
    }
    err = postgres_migrate(config->store, (int64_t)config->store_connect_timeout_ms, is_dry_run,
                           tell, &migration, &diag);
    (void)fflush(stdout);
    if (err != ERR_OK)
        return fail(err, &diag);
    if (migration.count == 0)
        fprintf(stderr, "nothing to do: the tables are up to date\n");
    else if (is_dry_run)
        fprintf(stderr, "nothing was changed; without --dry-run the above would be run\n");
    return COMMAND_DONE;
}

static int
run_migrate(int argc, char **argv)
{
    bool is_dry_run = take_dry_run(&argc, argv);
    struct diag diag = DIAG_INIT;
    struct config config;
    enum err err = config_load(argc, argv, environ, CONFIG_FOLDER, &config, &diag);
    int status;

    config_hide_passwords(argc, argv);
    if (err != ERR_OK)
        return fail(err, &diag);
    status = migrate(&config, is_dry_run);
    config_fini(&config);
    return status;
}

static void
write_settings(FILE *out)
{
    config_write_help(out, CONFIG_FOLDER);
}

const struct command command_migrate = {
    .name = "migrate",
    .summary = "bring the tables of a PostgreSQL database up to date",
    .help = "usage: potik migrate --store postgres://USER@HOST:PORT/DATABASE [--dry-run]\n"
            "\n"
            "Makes the tables Potik needs, or brings them up to date: numbered files, each in a "
            "transaction, one\n"
            "program at a time. `potik serve` does so at its start; this is for doing it before, "
            "by another role.\n"
            "--dry-run prints the SQL that is missing, and changes nothing. Exit 0: done, or "
            "nothing to do; 1: the\n"
            "server is away or refuses, or its tables are of a newer version; 2: wrong usage.\n"
            "\n"
            "Example:\n"
            "\n"
            "  potik migrate --store postgres://potik@db.example/potik --dry-run\n",
    .help_more = write_settings,
    .run = run_migrate,
};
