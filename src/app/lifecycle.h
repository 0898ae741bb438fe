/*
 * lifecycle - the life of a server: start, serve until a signal, drain, stop.
 *
 * Layer 7, the main thread. Called by cli/serve.
 */
#ifndef POTIK_APP_LIFECYCLE_H
#define POTIK_APP_LIFECYCLE_H

#include "app/config.h"

/*
 * Serves until SIGTERM, SIGINT or SIGHUP. Gives the exit status: 0 stopped; 1 it could not start,
 * or had to stop; 2 a setting is at fault. What went wrong is told on stderr in one sentence.
 */
int lifecycle_serve(const struct config *config);

#endif
