/*
 * progress - how far long work is: a bar with rate and time left on a terminal, a plain line every
 * few seconds otherwise. On stderr.
 *
 * Layer 8, the main thread. `done` and `total` are in any one unit (bytes of a file); `count` is
 * what the rate counts (events).
 */
#ifndef POTIK_CLI_PROGRESS_H
#define POTIK_CLI_PROGRESS_H

#include "base/clock.h"
#include <stdbool.h>
#include <stdio.h>

struct progress {
    const struct clock *clock;
    FILE *out;
    const char *label; /* "import events.csv" */
    const char *noun;  /* "event"; more than one get an s */
    uint64_t total;    /* 0: unknown */
    int64_t started_ns;
    int64_t shown_ns;
    bool is_terminal;
    bool is_shown;
};

void progress_start(struct progress *progress, const struct clock *clock, FILE *out,
                    bool is_terminal, const char *label, const char *noun, uint64_t total);
/* Cheap: draws at most ten times a second (a terminal) or every five seconds; never 100 %. */
void progress_update(struct progress *progress, uint64_t done, uint64_t count);
/* The last state, and the bar's line is ended. */
void progress_end(struct progress *progress, uint64_t done, uint64_t count);

#endif
