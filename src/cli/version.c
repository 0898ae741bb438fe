/*
 * version - `potik version`: which program this is.
 *
 * Layer 8. One line on stdout: "potik 0.1.0".
 */
#include "cli/command.h"
#include "cli/flags.h"

static int
run_version(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return flags_usage("version", "takes no arguments");
    printf("potik %s\n", POTIK_VERSION);
    return COMMAND_DONE;
}

const struct command command_version = {
    .name = "version",
    .summary = "tell the version",
    .help = "usage: potik version\n"
            "\n"
            "Prints the version of this program.\n"
            "\n"
            "example:\n"
            "\n"
            "  potik version\n",
    .run = run_version,
};
