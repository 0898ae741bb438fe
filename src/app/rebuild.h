/*
 * rebuild - everything derived from the stored events, made anew: persons, Parquet files, and the
 * id runs of a ledger.
 *
 * Layer 7, the main thread, the server stopped. What stands before it is forgotten first; should it
 * be cut off, the next start goes on where it was.
 */
#ifndef POTIK_APP_REBUILD_H
#define POTIK_APP_REBUILD_H

#include "app/config.h"

/*
 * Locks the folder, forgets, loads and seals all of it. `progress` is told events loaded and events
 * stored. ERR_ABSENT, ERR_LOCKED, and what opening and loading give; *ret_events: how many were
 * loaded.
 */
MUST_USE enum err rebuild_run(const struct config *config,
                              void (*progress)(void *state, uint64_t loaded, uint64_t stored),
                              void *state, uint64_t *ret_events, struct diag *diag);

#endif
