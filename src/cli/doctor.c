/*
 * doctor - `potik doctor`: reads everything stored, and tells what is wrong and what cures it.
 *
 * Layer 8, the main thread. Alone it reads, also beside a running server. --repair needs the server
 * stopped: it holds the folder's LOCK, sets damaged parts of what is stored aside, never deletes
 * them, and discards what is derived where it is damaged or may count what was lost.
 *
 * An ERROR is damage, or stored events lost by this repair, and makes the exit 1; what heals by
 * itself at the next start is a note.
 *
 * Of a PostgreSQL store the events are PostgreSQL's to check (its checksums, amcheck). What applies
 * is asked: whether the database can be reached and written to, whether its tables are up to date,
 * whether there are keys; and the warehouse in the data folder is read as ever.
 */
#include "app/config.h"
#include "app/folder.h"
#include "app/wire.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/command.h"
#include "store/embedded/embedded.h"
#include "store/postgres/postgres.h"
#include "warehouse/warehouse.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

struct findings {
    unsigned errors;
    unsigned notes;
    uint64_t lost; /* events that this repair has given up */
};

static void
found_in_store(void *state, const struct embedded_finding *finding)
{
    struct findings *findings = state;

    printf("%s %s at byte %" PRIu64 ": %s\n", finding->is_error ? "ERROR" : "note ", finding->file,
           finding->offset, finding->what);
    findings->errors += finding->is_error;
    findings->notes += !finding->is_error;
    findings->lost += finding->lost;
}

static void
found_in_warehouse(void *state, bool is_error, const char *file, const char *what)
{
    struct findings *findings = state;

    printf("%s %s: %s\n", is_error ? "ERROR" : "note ", file, what);
    findings->errors += is_error;
    findings->notes += !is_error;
}

/* Repaired by what comes next: a note. */
static void
found_and_discarded(void *state, bool is_error, const char *file, const char *what)
{
    (void)is_error;
    found_in_warehouse(state, false, file, what);
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

/* --- a ledger ---------------------------------------------------------------------------------*/

/* ERR_CORRUPT: something was found. */
static enum err
examine_ledger(const char *data_dir, bool is_running, bool is_repair, struct findings *findings,
               struct diag *diag)
{
    enum err err = is_repair ? discard_derived_if_damaged(data_dir, diag) : ERR_OK;

    if (err != ERR_OK)
        return err;
    return embedded_doctor(data_dir, is_running, is_repair, found_in_store, findings, diag);
}

/* The warehouse of a ledger: damage to what is derived is repaired by leaving it to the next start.
 */
static enum err
repair_warehouse(const char *data_dir, struct findings *findings, struct diag *diag)
{
    enum err err = warehouse_doctor(data_dir, found_and_discarded, findings, diag);

    if (err != ERR_CORRUPT)
        return err;
    err = warehouse_discard(data_dir, diag);
    if (err == ERR_OK)
        found_in_warehouse(findings, false, "warehouse",
                           "damaged; emptied, the next start loads everything from the stored "
                           "events");
    return err;
}

/* --- PostgreSQL -------------------------------------------------------------------------------*/

static void
count_missing(void *state, uint32_t version, const char *name, const char *sql)
{
    struct findings *findings = state;

    (void)sql;
    printf("ERROR PostgreSQL: migration %04u %s is not applied: run potik migrate, or start potik "
           "serve\n",
           version, name);
    findings->errors++;
}

static enum err
examine_keys(const struct config *config, struct findings *findings, struct diag *diag)
{
    CLEANUP(account_close) struct account *account = NULL;
    struct account_list list = {NULL, 0, NULL, 0};
    size_t in_force = 0;
    enum err err = wire_open_account(config, false, &account, diag);

    if (err == ERR_OK)
        err = account_list(account, &list, diag);
    if (err != ERR_OK)
        return err;
    for (size_t i = 0; i < list.key_count; i++)
        in_force += list.keys[i].revoked_at_us == 0;
    printf("note  PostgreSQL: reached, its tables are up to date, %zu keys are in force\n",
           in_force);
    findings->notes++;
    account_list_free(&list);
    return ERR_OK;
}

static enum err
examine_postgres(const struct config *config, struct findings *findings, struct diag *diag)
{
    enum err err = postgres_migrate(config->store, (int64_t)config->store_connect_timeout_ms, true,
                                    count_missing, findings, diag);

    if (err == ERR_OK && findings->errors != 0)
        return ERR_CORRUPT;
    if (err == ERR_OK)
        err = examine_keys(config, findings, diag);
    if (err != ERR_INVALID && err != ERR_OK) {
        printf("ERROR PostgreSQL: %s\n", diag->message);
        findings->errors++;
        return ERR_CORRUPT;
    }
    return err;
}

/* --- both -------------------------------------------------------------------------------------*/

static int
examine(const struct config *config, bool is_repair)
{
    const char *data_dir = config->data_dir;
    bool is_postgres = config_is_postgres(config);
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
    if (is_postgres && is_repair) {
        diag_set(&diag,
                 "--repair: is for a ledger; what is derived from PostgreSQL is made anew by "
                 "potik rebuild");
        return fail(ERR_INVALID, &diag);
    }
    err = folder_check_store(data_dir, is_postgres, &diag);
    if (err == ERR_OK)
        err = folder_lock(data_dir, false, &lock_fd, &diag);
    if (err == ERR_LOCKED && !is_repair)
        is_running = true;
    else if (err != ERR_OK)
        return fail(err, &diag);
    diag_clear(&diag);
    store_err = is_postgres ? examine_postgres(config, &findings, &diag)
                            : examine_ledger(data_dir, is_running, is_repair, &findings, &diag);
    if (store_err != ERR_OK && store_err != ERR_CORRUPT)
        return fail(store_err, &diag);
    warehouse_err = is_repair ? repair_warehouse(data_dir, &findings, &diag)
                              : warehouse_doctor(data_dir, found_in_warehouse, &findings, &diag);
    if (warehouse_err != ERR_OK && warehouse_err != ERR_CORRUPT)
        return fail(warehouse_err, &diag);
    printf("%s: %u error%s, %u note%s%s\n", data_dir, findings.errors,
           findings.errors == 1 ? "" : "s", findings.notes, findings.notes == 1 ? "" : "s",
           is_running ? " (a server is running on it)" : "");
    if (findings.lost != 0)
        printf("%s: %" PRIu64 " stored events could not be read and are LOST; whoever has them can "
               "send them again\n",
               data_dir, findings.lost);
    return findings.lost == 0 && store_err == ERR_OK && warehouse_err == ERR_OK ? COMMAND_DONE
                                                                                : COMMAND_FAILED;
}

static int
run_doctor(int argc, char **argv)
{
    bool is_repair = take_repair(&argc, argv);
    struct diag diag = DIAG_INIT;
    struct config config;
    enum err err = config_load(argc, argv, environ, CONFIG_FOLDER, &config, &diag);
    int status;

    config_hide_passwords(argc, argv);
    if (err != ERR_OK)
        return fail(err, &diag);
    status = examine(&config, is_repair);
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
    .help = "usage: potik doctor [--repair] [--data-dir FOLDER] [--store postgres://…]\n"
            "\n"
            "Reads every file of a data folder and checks it, also beside a running server. Exit "
            "0: sound; 1:\n"
            "damaged, each place named with its cure. What heals by itself at the next start is a "
            "note.\n"
            "\n"
            "--repair (server stopped) sets damaged parts of what is stored aside, never deletes "
            "them, and lets the\n"
            "next start make what is derived anew. Exit 0: nothing was lost; 1: stored events "
            "could not be read\n"
            "and are lost (an ERROR tells how many, and where the damaged file is kept), or "
            "something could not\n"
            "be repaired. After a repair doctor alone finds a sound folder.\n"
            "\n"
            "With --store postgres://… the database is asked instead of a ledger: can it be "
            "reached and written\n"
            "to, are its tables up to date, are there keys.\n"
            "\n"
            "Example:\n"
            "\n"
            "  potik doctor --data-dir ./potik-data\n",
    .help_more = write_settings,
    .run = run_doctor,
};
