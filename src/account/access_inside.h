/*
 * access_inside - what access.c (the table and its watcher) and access_snapshot.c share.
 *
 * Layer 3 (account), not for other rooms. Rows come from a source: the link of account.h, or one of
 * the tests' own.
 */
#ifndef POTIK_ACCOUNT_ACCESS_INSIDE_H
#define POTIK_ACCOUNT_ACCESS_INSIDE_H

#include "account/access.h"
#include "plan/plan.h"

#define ACCESS_REVOKED_MAX 100000 /* sessions revoked within the life of a token */

/* By project. */
struct access_plan {
    uint32_t project_id;
    uint64_t revision;
    struct plan *plan; /* held */
};
struct access_plans {
    struct access_plan *list;
    size_t count;
};

/* As of one moment; each list by id, memberships by (login, project). */
struct access_rows {
    struct account_list keys; /* and projects */
    struct login_list logins;
    struct session_id *revoked; /* in any order */
    size_t revoked_count;
    struct access_plans plans;
};
void access_rows_free(struct access_rows *rows);

struct access_source {
    /* revoked_since_us: sessions revoked at or after it. */
    enum err (*read)(void *state, int64_t revoked_since_us, struct access_rows *ret_rows,
                     struct diag *diag);
    enum err (*has_changed)(void *state, bool *ret_has_changed, struct diag *diag);
    enum err (*keys_used)(void *state, const struct account_key_use *uses, size_t count,
                          struct diag *diag);
    enum err (*sweep)(void *state, struct diag *diag);
    void (*close)(void *state);
    void *state;
};
/* access_start over any source, which belongs to the table from here on, error or not. */
MUST_USE enum err
access_start_over(const struct access_source *source, const struct access_config *config,
                  struct access_table **ret_table, struct diag *diag);

/* Made from the rows, which it takes what it keeps of. `before` (NULL: none): uses of its keys are
 * carried over. `ring` is copied; NULL: none. ERR_NOMEM. */
MUST_USE enum err
access_snapshot_new(struct access_rows *rows, const struct key_ring *ring, uint64_t generation,
                    const struct access_snapshot *before, struct access_snapshot **ret_snapshot);
struct access_snapshot *access_hold(struct access_snapshot *snapshot);
/* Uses noted and not yet taken, at most `max`; afterwards they count as taken. */
size_t access_take_uses(const struct access_snapshot *snapshot, struct account_key_use *ret_uses,
                        size_t max);
/* A use that was taken could not be written down: it counts as not taken. */
void access_give_back_uses(const struct access_snapshot *snapshot,
                           const struct account_key_use *uses, size_t count);

#endif
