/*
 * backup_view - what backup and restore show. See backup_view.h.
 */
#include "cli/backup_view.h"

#include "base/mem.h"
#include "cli/admin.h"
#include "cli/command.h"
#include "codec/rfc3339.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

int
backup_view_fail(enum err err, const struct diag *diag)
{
    fprintf(stderr, "potik: %s\n", diag->message[0] != '\0' ? diag->message : err_sentence(err));
    return err == ERR_INVALID ? COMMAND_USAGE : COMMAND_FAILED;
}

int
backup_view_run(int argc, char **argv, const char *what,
                int (*run)(const struct config *config, const char *folder))
{
    struct admin admin = {.command = argv[0]};
    const struct flag flags[] = {ADMIN_FOLDER_FLAGS(admin)};
    struct diag diag = DIAG_INIT;
    struct config config;
    size_t count = 0;
    enum err err = flags_parse(argc, argv, flags, COUNT_OF(flags), &count, &diag);
    int status;

    if (err == ERR_OK && count != 1) {
        diag_set(&diag, "name the folder %s, and nothing else; potik %s --help", what, argv[0]);
        err = ERR_INVALID;
    }
    if (err == ERR_OK)
        err = admin_load_config(&admin, &config, &diag);
    if (err != ERR_OK)
        return admin_fail(&admin, err, &diag);
    status = run(&config, argv[1]);
    config_fini(&config);
    return status;
}

void
backup_view_bar_start(struct backup_view_bar *bar, const char *label)
{
    progress_start(&bar->progress, clock_system(), stderr, isatty(STDERR_FILENO) == 1, label,
                   "byte", 0);
}

void
backup_view_bar_show(void *state, uint64_t done, uint64_t total)
{
    struct backup_view_bar *bar = state;

    bar->progress.total = total;
    progress_update(&bar->progress, done, done);
}

void
backup_view_bar_end(struct backup_view_bar *bar, bool is_whole, uint64_t bytes)
{
    bar->progress.total = bytes; /* room reserved behind the last segment was in the estimate */
    if (is_whole)
        progress_end(&bar->progress, bytes, bytes);
    else if (bar->progress.is_shown && bar->progress.is_terminal)
        (void)fputc('\n', stderr); /* ends the bar's line */
}

void
backup_view_print(const char *folder, const struct backup_facts *facts, const char *what)
{
    char when[RFC3339_TEXT_BYTES + 1] = {0};

    rfc3339_format(facts->made_at_us, when);
    printf("%s: %" PRIu64 " files, %" PRIu64 " bytes, %s; as of %s\n", folder, facts->files,
           facts->bytes, what, when);
}
