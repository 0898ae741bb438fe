/*
 * main - the `potik` program: hands over to the table of commands (cli/commands.c).
 */
#include "cli/command.h"

int
main(int argc, char **argv)
{
    return commands_main(argc, argv);
}
