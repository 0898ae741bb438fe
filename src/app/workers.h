/*
 * workers - the two threads behind the loops: loader (stream into warehouse, young ids into runs)
 * and keeper (merging, compaction, scrub, erasures).
 *
 * Layer 7. An error is logged once when it begins and once when it is over; the thread waits a
 * second and tries again, and the lag tells.
 */
#ifndef POTIK_APP_WORKERS_H
#define POTIK_APP_WORKERS_H

#include "base/diag.h"
#include "base/err.h"
#include "store/store.h"
#include "warehouse/warehouse.h"

struct eraser;
struct rejects;
struct workers;
/* `rejects` may be NULL. The eraser (eraser.h) belongs to the workers from here on, error or not:
 * *eraser is NULL. */
MUST_USE enum err
workers_start(struct store *store, struct warehouse *warehouse, struct rejects *rejects,
              struct eraser **eraser, struct workers **ret_workers, struct diag *diag);
/* Ends them after the step under way, and joins. Takes NULL. */
void workers_stop(struct workers **place);

#endif
