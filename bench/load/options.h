/*
 * options - the load generator's command line.
 */
#ifndef POTIK_BENCH_LOAD_OPTIONS_H
#define POTIK_BENCH_LOAD_OPTIONS_H

#include "sample.h"
#include <netinet/in.h>
#include <stdbool.h>

struct options {
    struct sockaddr_in address;
    const char *key;
    const char *path;
    const char *acks_path;
    struct sample_config sample;
    uint64_t first;
    uint64_t events_max; /* 0: until the seconds are over */
    double seconds;
    double warm_seconds;
    double rate;       /* events/s; 0: closed */
    double duplicates; /* share 0 … 1 of ids that are stored already */
    uint32_t connections;
    uint32_t batch;
    bool is_resend; /* every event is expected to be a duplicate */
};

/* Fills in the defaults, then what the words say; false: a word is wrong or a required one is
 * absent. */
bool options_parse(int argc, char **argv, struct options *options);
int options_usage(void); /* prints it; 2, the exit status of wrong usage */

#endif
