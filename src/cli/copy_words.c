/*
 * copy_words - the words around backup and restore. See copy_words.h.
 */
#include "cli/copy_words.h"

#include "cli/command.h"
#include "codec/rfc3339.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

int
copy_fail(enum err err, const struct diag *diag)
{
    fprintf(stderr, "potik: %s\n", diag->message[0] != '\0' ? diag->message : err_sentence(err));
    return err == ERR_INVALID ? COMMAND_USAGE : COMMAND_FAILED;
}

/* The word before, or behind, the flags: `backup X --data-dir Y`, `backup --data-dir=Y X`. */
static const char *
take_word(int *argc, char **argv)
{
    const char *word = NULL;
    int kept = 1;

    for (int i = 1; i < *argc; i++) {
        const bool is_flag = argv[i][0] == '-' && argv[i][1] != '\0';
        const bool takes_next = is_flag && strchr(argv[i], '=') == NULL && i + 1 < *argc;

        if (!is_flag && word == NULL) {
            word = argv[i];
            continue;
        }
        argv[kept++] = argv[i];
        if (takes_next)
            argv[kept++] = argv[++i];
    }
    *argc = kept;
    return word;
}

int
copy_run(int argc, char **argv, const char *name, const char *what,
         int (*run)(const struct config *config, const char *folder))
{
    const char *folder = take_word(&argc, argv);
    struct diag diag = DIAG_INIT;
    struct config config;
    enum err err;
    int status;

    if (folder == NULL) {
        fprintf(stderr, "potik %s: name the folder %s; potik %s --help\n", name, what, name);
        return COMMAND_USAGE;
    }
    err = config_load(argc, argv, environ, CONFIG_FOLDER, &config, &diag);
    config_hide_passwords(argc, argv);
    if (err != ERR_OK)
        return copy_fail(err, &diag);
    status = run(&config, folder);
    config_fini(&config);
    return status;
}

void
copy_bar_start(struct copy_bar *bar, const char *label)
{
    progress_start(&bar->progress, clock_system(), stderr, isatty(STDERR_FILENO) == 1, label,
                   "byte", 0);
}

void
copy_bar_show(void *state, uint64_t done, uint64_t total)
{
    struct copy_bar *bar = state;

    bar->progress.total = total;
    progress_update(&bar->progress, done, done);
}

void
copy_bar_end(struct copy_bar *bar, bool is_whole, uint64_t bytes)
{
    if (is_whole)
        progress_end(&bar->progress, bytes, bytes);
    else if (bar->progress.is_shown && bar->progress.is_terminal)
        (void)fputc('\n', stderr); /* ends the bar's line */
}

void
copy_print(const char *folder, const struct backup_facts *facts, const char *what)
{
    char when[RFC3339_TEXT_BYTES + 1] = {0};

    rfc3339_format(facts->made_at_us, when);
    printf("%s: %" PRIu64 " files, %" PRIu64 " bytes, %s; as of %s\n", folder, facts->files,
           facts->bytes, what, when);
}
