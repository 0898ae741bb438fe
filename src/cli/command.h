/*
 * command - what every command of the `potik` program is: a row of one table.
 *
 * Layer 8, the main thread. A command lives in a file of its own (serve.c, doctor.c …), which
 * defines `const struct command command_<name>`; it is declared here and listed in commands.c.
 * The dispatcher answers --help and -h for all of them, so that `run` never sees these.
 */
#ifndef POTIK_CLI_COMMAND_H
#define POTIK_CLI_COMMAND_H

#include <stdio.h>

/* Exit statuses of the program. */
enum command_exit {
    COMMAND_DONE = 0,
    COMMAND_FAILED = 1,
    COMMAND_USAGE = 2,
};

struct command {
    const char *name;    /* "serve": the first word after the program's name */
    const char *summary; /* one line of `potik --help`, no full stop */
    const char *help;    /* whole text of `potik NAME --help`: usage, what it does, an example */
    void (*help_more)(FILE *out);      /* appended to `help`; NULL: nothing */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; gives an exit status */
};

extern const struct command command_serve;
extern const struct command command_import;
extern const struct command command_stats;
extern const struct command command_tail;
extern const struct command command_rejected;
extern const struct command command_login;
extern const struct command command_plan;
extern const struct command command_demo;
extern const struct command command_key;
extern const struct command command_account;
extern const struct command command_project;
extern const struct command command_audit;
extern const struct command command_delete;
extern const struct command command_erasures;
extern const struct command command_migrate;
extern const struct command command_backup;
extern const struct command command_restore;
extern const struct command command_doctor;
extern const struct command command_health;
extern const struct command command_rebuild;
extern const struct command command_version;

/* The table, in the order of `potik --help`; ends with NULL. */
extern const struct command *const commands[];

/* The program: finds the command, answers --help, runs it. Gives the exit status. */
int commands_main(int argc, char **argv);

#endif
