/*
 * options - see options.h.
 */
#include "options.h"
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_MAX 4096
#define BATCH_MAX 10000

int
options_usage(void)
{
    (void)fprintf(
        stderr,
        "usage: load --connect 127.0.0.1:PORT --key wk_... [--path /v1/events] [--connections 64] "
        "[--batch 1]\n"
        "            (--seconds S | --events N) [--warm S] [--rate EVENTS_A_SECOND] [--duplicates "
        "0.01]\n"
        "            [--seed N] [--first N] [--users N] [--date YYYY-MM-DD] [--resend] [--acks "
        "FILE]\n"
        "  --resend   the events stand in the store already: every answer must say duplicate\n"
        "example: load --connect 127.0.0.1:8700 --key wk_abc --batch 1000 --connections 8 "
        "--seconds 10\n");
    return 2;
}

static bool
parse_address(const char *text, struct sockaddr_in *ret_address)
{
    char host[64];
    const char *colon = strrchr(text, ':');

    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    ret_address->sin_family = AF_INET;
    ret_address->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    return inet_pton(AF_INET, host, &ret_address->sin_addr) == 1;
}

bool
options_parse(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {
        {"connect", 1, NULL, 'c'},     {"key", 1, NULL, 'k'},   {"path", 1, NULL, 'p'},
        {"connections", 1, NULL, 'n'}, {"batch", 1, NULL, 'b'}, {"seconds", 1, NULL, 's'},
        {"events", 1, NULL, 'e'},      {"warm", 1, NULL, 'w'},  {"rate", 1, NULL, 'r'},
        {"duplicates", 1, NULL, 'd'},  {"seed", 1, NULL, 'S'},  {"first", 1, NULL, 'f'},
        {"users", 1, NULL, 'u'},       {"date", 1, NULL, 'D'},  {"resend", 0, NULL, 'R'},
        {"acks", 1, NULL, 'a'},        {NULL, 0, NULL, 0}};
    int found;

    *options = (struct options){.path = "/v1/events",
                                .connections = 64,
                                .batch = 1,
                                .sample = {.seed = 1, .users = 100000, .date = "2026-01-15"}};
    while ((found = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (found) {
        case 'c':
            if (!parse_address(optarg, &options->address))
                return false;
            break;
        case 'k':
            options->key = optarg;
            break;
        case 'p':
            options->path = optarg;
            break;
        case 'a':
            options->acks_path = optarg;
            break;
        case 'n':
            options->connections = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'b':
            options->batch = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 's':
            options->seconds = strtod(optarg, NULL);
            break;
        case 'e':
            options->events_max = strtoull(optarg, NULL, 10);
            break;
        case 'w':
            options->warm_seconds = strtod(optarg, NULL);
            break;
        case 'r':
            options->rate = strtod(optarg, NULL);
            break;
        case 'd':
            options->duplicates = strtod(optarg, NULL);
            break;
        case 'S':
            options->sample.seed = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            options->first = strtoull(optarg, NULL, 10);
            break;
        case 'u':
            options->sample.users = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'D':
            (void)snprintf(options->sample.date, sizeof(options->sample.date), "%s", optarg);
            break;
        case 'R':
            options->is_resend = true;
            break;
        default:
            return false;
        }
    }
    return options->address.sin_port != 0 && options->key != NULL && options->connections >= 1 &&
           options->connections <= CONNECTIONS_MAX && options->batch >= 1 &&
           options->batch <= BATCH_MAX && options->sample.users >= 1 &&
           strlen(options->sample.date) == 10 && (options->seconds > 0 || options->events_max > 0);
}
