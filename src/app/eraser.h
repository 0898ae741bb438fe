/*
 * eraser - takes erasure jobs through store and warehouse, and makes those of retentions.
 *
 * Layer 7, on the keeper's thread, a step at a time between merges. Jobs are rows
 * (account/erasure.h), so a stop or a crash loses none: the next start goes on with the one that
 * was under way, from its beginning, with the same bounds. States:
 *
 *     waiting ──(bounds fixed, kept in the row)──▶ in store ──▶ in warehouse ──▶ done
 *
 * Refused events that are kept (rejects.h) go between the two: they are of this node, as the
 * warehouse is. The store comes first: what the warehouse is rebuilt from, for whatever reason, is
 * then without the events already. A dry run ends after the store's count. A job that fails keeps
 * its state, has the reason in its row, and is tried again after ERASER_RETRY_MS; others wait,
 * since their order is that of asking.
 *
 * Before it takes a job it looks whether any ended without this node, which was away: of their
 * projects it has the warehouse let go of everything, and load it anew.
 */
#ifndef POTIK_APP_ERASER_H
#define POTIK_APP_ERASER_H

#include "account/account.h"
#include "rejects/rejects.h"
#include "store/store.h"
#include "warehouse/warehouse.h"

#define ERASER_RETRY_MS 10000
#define ERASER_POLL_MS 1000
/* How long after a project was deleted its events are looked for: every loop of every node has
 * heard of it by then. */
#define ERASER_PROJECT_GRACE_MS 10000

struct eraser;
struct eraser_config {
    struct store *store;
    struct warehouse *warehouse;
    struct rejects *rejects; /* NULL: none are kept */
    const struct clock *clock;
    const struct log_sink *sink;
};
/* `account` belongs to the eraser from here on, error or not, and *account is NULL. ERR_NOMEM. */
MUST_USE enum err eraser_new(struct account **account, const struct eraser_config *config,
                             struct eraser **ret_eraser, struct diag *diag);
void eraser_free(struct eraser **eraser);
/* Before anything is read: of projects with erasures that this node has missed no view opens from
 * here on. An error was told to the sink; steps look again. */
void eraser_look(struct eraser *eraser);
/* A step. Does not block but for the databases' calls. Errors are in the job's row and were told to
 * the sink. */
void eraser_step(struct eraser *eraser, bool *ret_did_work);
/* A job, or what was missed, is under way: the next step should not wait for long. */
bool eraser_is_busy(const struct eraser *eraser);

#endif
