/*
 * commands - the table of commands, and the dispatcher in front of it.
 *
 * Layer 8, the main thread. Called by main.c. `potik`, `potik --help` and `potik help [NAME]` list
 * or explain; an unknown command is exit 2 and one sentence on stderr.
 */
#include "cli/command.h"

#include <stdbool.h>
#include <string.h>

const struct command *const commands[] = {
    &command_serve,    &command_import,
    &command_stats,    &command_tail,
    &command_rejected, &command_plan,
    &command_demo,     &command_login,
    &command_account,  &command_project,
    &command_key,      &command_audit,
    &command_delete,   &command_erasures,
    &command_migrate,  &command_backup,
    &command_restore,  &command_doctor,
    &command_health,   &command_rebuild,
    &command_version,  NULL,
};

static const struct command *
command_find(const char *name)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

static void
write_overview(FILE *out)
{
    (void)fputs("potik - takes a stream of user events, stores each exactly once, answers product "
                "questions\n"
                "\n"
                "usage: potik COMMAND [OPTION…]\n"
                "\n",
                out);
    for (size_t i = 0; commands[i] != NULL; i++)
        fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    (void)fputs("\n"
                "potik COMMAND --help explains one of them. To begin:\n"
                "\n"
                "  potik serve --data-dir ./potik-data\n",
                out);
}

static void
write_command_help(const struct command *command, FILE *out)
{
    (void)fputs(command->help, out);
    if (command->help_more != NULL)
        command->help_more(out);
}

static bool
is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static bool
asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (is_help(argv[i]))
            return true;
    }
    return false;
}

static int
unknown_command(const char *name)
{
    fprintf(stderr, "potik: there is no command \"%s\"; potik --help lists them\n", name);
    return COMMAND_USAGE;
}

int
commands_main(int argc, char **argv)
{
    const struct command *command;

    if (argc < 2) {
        write_overview(stderr);
        return COMMAND_USAGE;
    }
    if (is_help(argv[1]) || (strcmp(argv[1], "help") == 0 && argc == 2)) {
        write_overview(stdout);
        return COMMAND_DONE;
    }
    if (strcmp(argv[1], "help") == 0) {
        command = command_find(argv[2]);
        if (command == NULL)
            return unknown_command(argv[2]);
        write_command_help(command, stdout);
        return COMMAND_DONE;
    }
    command = command_find(strcmp(argv[1], "--version") == 0 ? "version" : argv[1]);
    if (command == NULL)
        return unknown_command(argv[1]);
    if (asks_for_help(argc - 1, argv + 1)) {
        write_command_help(command, stdout);
        return COMMAND_DONE;
    }
    return command->run(argc - 1, argv + 1);
}
