/*
 * doctor - `potik doctor`: reads everything stored, and tells what is wrong and what cures it.
 *
 * Layer 8, the main thread. Alone it reads, also beside a running server. --repair needs the server
 * stopped: it holds the folder's LOCK, sets damaged parts aside and never deletes.
 */
#include "app/config.h"
#include "app/folder.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/command.h"
#include "store/embedded/embedded.h"
#include "warehouse/warehouse.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

struct findings {
    unsigned errors;
    unsigned notes;
};

static void
found_in_store(void *state, const struct embedded_finding *finding)
{
    struct findings *findings = state;

    printf("%s %s at byte %" PRIu64 ": %s\n", finding->is_error ? "ERROR" : "note ", finding->file,
           finding->offset, finding->what);
    findings->errors += finding->is_error;
    findings->notes += !finding->is_error;
}

static void
found_in_warehouse(void *state, bool is_error, const char *file, const char *what)
{
    struct findings *findings = state;

    printf("%s %s: %s\n", is_error ? "ERROR" : "note ", file, what);
    findings->errors += is_error;
    findings->notes += !is_error;
}

static int
fail(enum err err, const struct diag *diag)
{
    fprintf(stderr, "potik: %s\n", diag->message[0] != '\0' ? diag->message : err_sentence(err));
    return err == ERR_INVALID ? COMMAND_USAGE : COMMAND_FAILED;
}

/* Takes --repair out of the words, so that config_load sees only settings. */
static bool
take_repair(int *argc, char **argv)
{
    bool is_repair = false;
    int kept = 1;

    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--repair") == 0)
            is_repair = true;
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    return is_repair;
}

static void
found_before(void *state, const struct embedded_finding *finding)
{
    (void)state;
    (void)finding;
}

/*
 * A repair may leave events out that the warehouse has counted, and gives their ids free. So what
 * is derived goes first, for good: a repair that is cut short leaves a warehouse to be loaded anew,
 * never one that counts an event twice.
 */
static enum err
discard_derived_if_damaged(const char *data_dir, struct diag *diag)
{
    struct diag damage = DIAG_INIT;
    enum err err = embedded_doctor(data_dir, false, false, found_before, NULL, &damage);

    if (err == ERR_CORRUPT)
        return warehouse_discard(data_dir, diag);
    if (err != ERR_OK && diag != NULL)
        *diag = damage;
    return err;
}

static int
examine(const char *data_dir, bool is_repair)
{
    struct findings findings = {0};
    struct diag diag = DIAG_INIT;
    CLOSE_FD int lock_fd = -1;
    bool is_running = false;
    enum err store_err;
    enum err warehouse_err;
    enum err err;

    if (!file_exists(data_dir)) {
        diag_set(&diag, "there is no data folder %s", data_dir);
        return fail(ERR_ABSENT, &diag);
    }
    err = folder_lock(data_dir, false, &lock_fd, &diag);
    if (err == ERR_LOCKED && !is_repair)
        is_running = true;
    else if (err != ERR_OK)
        return fail(err, &diag);
    diag_clear(&diag);
    if (is_repair) {
        err = discard_derived_if_damaged(data_dir, &diag);
        if (err != ERR_OK)
            return fail(err, &diag);
    }
    store_err = embedded_doctor(data_dir, is_running, is_repair, found_in_store, &findings, &diag);
    if (store_err != ERR_OK && store_err != ERR_CORRUPT)
        return fail(store_err, &diag);
    warehouse_err = warehouse_doctor(data_dir, found_in_warehouse, &findings, &diag);
    if (warehouse_err != ERR_OK && warehouse_err != ERR_CORRUPT)
        return fail(warehouse_err, &diag);
    printf("%s: %u error%s, %u note%s%s\n", data_dir, findings.errors,
           findings.errors == 1 ? "" : "s", findings.notes, findings.notes == 1 ? "" : "s",
           is_running ? " (a server is running on it)" : "");
    return store_err == ERR_OK && warehouse_err == ERR_OK ? COMMAND_DONE : COMMAND_FAILED;
}

static int
run_doctor(int argc, char **argv)
{
    bool is_repair = take_repair(&argc, argv);
    struct diag diag = DIAG_INIT;
    struct config config;
    enum err err = config_load(argc, argv, environ, CONFIG_FOLDER, &config, &diag);
    int status;

    if (err != ERR_OK)
        return fail(err, &diag);
    status = examine(config.data_dir, is_repair);
    config_fini(&config);
    return status;
}

static void
write_settings(FILE *out)
{
    config_write_help(out, CONFIG_FOLDER);
}

const struct command command_doctor = {
    .name = "doctor",
    .summary = "read everything stored and tell what is wrong",
    .help = "usage: potik doctor [--repair] [--data-dir FOLDER]\n"
            "\n"
            "Reads every file of a data folder and checks it, also beside a running server. Exit "
            "0: sound; 1:\n"
            "damaged, each place named with its cure. --repair (server stopped) sets damaged parts "
            "aside, never\n"
            "deletes, and makes what is derived anew.\n"
            "\n"
            "Example:\n"
            "\n"
            "  potik doctor --data-dir ./potik-data\n",
    .help_more = write_settings,
    .run = run_doctor,
};
