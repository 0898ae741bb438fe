/*
 * erasure_view - erasure jobs as people and programs read them, and waiting for them to end.
 *
 * Layer 8, the main thread. For `potik delete` and `potik erasures`. The jobs are rows
 * (account/erasure.h); a running server does the work.
 */
#ifndef POTIK_CLI_ERASURE_VIEW_H
#define POTIK_CLI_ERASURE_VIEW_H

#include "account/erasure.h"
#include "cli/admin.h"

/* An item of an array, or a value: one object. */
void erasure_view_add_json(struct buf *buf, const struct erasure *erasure);
/* {"erasure":…}, as it is now: gives the exit status. */
int erasure_view_print_json(struct admin *admin, uint64_t id);
/* What it takes, in words: `user "ann"`, "received from … up to before …". */
#define ERASURE_VIEW_WORDS 400
void erasure_view_describe(const struct erasure *erasure, char ret_words[ERASURE_VIEW_WORDS]);

struct erasure_jobs {
    uint64_t *ids;
    size_t count;
    size_t capacity;
};
MUST_USE enum err erasure_jobs_add(struct erasure_jobs *jobs, uint64_t id);
void erasure_jobs_free(struct erasure_jobs *jobs);

enum erasure_end {
    ERASURE_END_DONE,
    ERASURE_END_WAITING,     /* no server has begun with one of them for ERASURE_VIEW_WAIT_MS */
    ERASURE_END_INTERRUPTED, /* ^C: the jobs go on */
};
#define ERASURE_VIEW_WAIT_MS 30000
/* Shows how far they are, on stderr, until all are done. *ret_events: of those done. Errors: of
 * account.h. */
MUST_USE enum err
erasure_jobs_wait(struct admin *admin, const char *verb, const struct erasure_jobs *jobs,
                  enum erasure_end *ret_end, uint64_t *ret_events, struct diag *diag);
/* {"erasures":[…]}: as they are now. */
int erasure_jobs_print_json(struct admin *admin, const struct erasure_jobs *jobs);

#endif
