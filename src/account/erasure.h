/*
 * erasure - events that are to go: jobs as rows, so that they survive the process.
 *
 * Layer 3; calls of account.h's link: not on loops. Somebody asks (a person is to be forgotten, a
 * range of time or an import undone, a project deleted, a retention is due) and gets an id; the
 * keeper's runner (app/eraser) takes the oldest that is not done, fixes its bounds
 * (store_erase_bound: what is stored when the job begins is covered, no more) and keeps them in the
 * row, erases in the store, then in the warehouse, and sets the state. With PostgreSQL each node
 * has its own warehouse: a job is done when the store and every node that was seen lately have done
 * their part. A node that was not, and comes back, cannot do its part any more: it learns of which
 * projects it must let go of all it has (erasure_missed), and loads them anew from the store.
 *
 * While a job is under way its row must name the person or the ids. When it is done they are wiped
 * (SQLite: secure_delete and a truncated WAL; PostgreSQL: set to NULL and vacuumed, after which the
 * bytes stand in the page's free room until others are written there), and a keyed hash of the
 * person stays.
 */
#ifndef POTIK_ACCOUNT_ERASURE_H
#define POTIK_ACCOUNT_ERASURE_H

#include "account/account.h"
#include "event/selection.h"

#define ERASURE_OPEN_MAX 1000 /* of one project, not done, at once */
#define ERASURE_PERSON_BYTES 200
#define ERASURE_HASH_TEXT 32 /* keyed hash of a person: hexadecimal */
#define ERASURE_ERROR_BYTES 255
#define ERASURE_POSITION_BYTES 63

enum erasure_state {
    ERASURE_WAITING,
    ERASURE_IN_STORE,
    ERASURE_IN_WAREHOUSE,
    ERASURE_DONE,
};
enum erasure_reason {
    ERASURE_PERSON,    /* DELETE /v1/users/{user_id} */
    ERASURE_UNDO,      /* potik delete: a range of time, an import's ids */
    ERASURE_RETENTION, /* retention_days */
    ERASURE_PROJECT,   /* the project was deleted */
};
struct erasure {
    uint64_t id;
    enum erasure_reason reason;
    enum erasure_state state;
    /* ids and their bytes are read only by erasure_next; then they belong to it. The bounds are
     * those of the row once it has begun (position not ""). */
    struct selection selection;
    char person[ERASURE_PERSON_BYTES + 1]; /* selection.person points here; wiped when done */
    char person_hash[ERASURE_HASH_TEXT + 1];
    char position[ERASURE_POSITION_BYTES + 1]; /* store_position_format of store_erase_bound */
    bool frees_ids;
    bool is_dry_run; /* counts, erases nothing */
    uint64_t events; /* erased in the store so far; of several nodes at once, the most of one */
    uint64_t done;   /* of `total` pieces of the present state */
    uint64_t total;
    char error[ERASURE_ERROR_BYTES + 1]; /* of the last try, in words for people; "": none */
    int64_t requested_at_us;
    int64_t finished_at_us; /* 0: not yet */
};

/* "waiting", "in_store", "in_warehouse", "done"; "person", "undo", "retention", "project";
 * "person", "received", "occurred", "ids", "all". */
const char *erasure_state_name(enum erasure_state state);
const char *erasure_reason_name(enum erasure_reason reason);
const char *erasure_kind_name(enum selection_kind kind);

/* Reason, selection without its bounds, frees_ids and is_dry_run are read. Audit:
 * erasure.requested. ret: the id. ERR_FULL: ERASURE_OPEN_MAX; ERR_ABSENT: no such project;
 * ERR_INVALID: user_id (1 … ERASURE_PERSON_BYTES), ids (1 … SELECTION_IDS_MAX). */
MUST_USE enum err erasure_add(struct account *account, const struct account_actor *by,
                              const struct erasure *erasure, uint64_t *ret_id, struct diag *diag);
/* ERR_ABSENT. Without ids. */
MUST_USE enum err
erasure_get(struct account *account, uint64_t id, struct erasure *ret_erasure, struct diag *diag);
/* Newest first; project_id 0: all. Without ids. */
MUST_USE enum err erasure_list(struct account *account, uint32_t project_id, uint32_t limit,
                               void (*each)(void *state, const struct erasure *erasure),
                               void *state, struct diag *diag);
/* The oldest job that this node (its uuid, "" for the embedded store) has not finished; with ids.
 * ERR_ABSENT: none; then one that waits for nodes that are not seen any more is ended, and what a
 * finished one named is wiped from the file, if a reader was in the way before, or a kill: ask
 * again and again. Free with erasure_free. */
MUST_USE enum err erasure_next(struct account *account, const char *node,
                               struct erasure **ret_erasure, struct diag *diag);
void erasure_free(struct erasure **erasure);
/* State, bounds, position, counts and error as they stand in `erasure`. DONE: wiped, and the line
 * erasure.done. Several nodes may work on one job at once; the bounds of the one that began hold
 * for all, since what goes from the store must go from every warehouse. ERR_CANCELLED: others are
 * stored, nothing has changed; free it and ask erasure_next again. */
MUST_USE enum err erasure_progress(struct account *account, const char *node,
                                   const struct erasure *erasure, struct diag *diag);
/* PostgreSQL: a project of which this node's warehouse may hold what was erased while the node was
 * away, and the newest job of those that ended without it. */
struct erasure_missed {
    uint32_t project_id;
    uint64_t erasure_id;
};
/* All of them (none with SQLite); mem_free what comes back. */
MUST_USE enum err
erasure_missed_list(struct account *account, const char *node, struct erasure_missed **ret_list,
                    uint32_t *ret_count, struct diag *diag);
/* The node has nothing any more of what it had of the project. */
MUST_USE enum err erasure_missed_done(struct account *account, const char *node,
                                      const struct erasure_missed *missed, struct diag *diag);
/* ERR_CONFLICT: the first project, in which a server makes its keys, stays. */
MUST_USE enum err erasure_check_project(uint32_t project_id, struct diag *diag);
/*
 * Deletes a project: it is there no longer for anybody, its keys are revoked, its memberships gone,
 * its name free, and a job (ERASURE_PROJECT, SELECTION_ALL, frees_ids) is made, in one transaction.
 * ERR_ABSENT; ERR_CONFLICT: as of erasure_check_project.
 */
MUST_USE enum err
erasure_delete_project(struct account *account, const struct account_actor *by, uint32_t project_id,
                       uint64_t *ret_erasure_id, struct diag *diag);

#endif
