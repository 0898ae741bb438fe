/*
 * desk - reads and writes of accounts, off the loops: two lanes, each one thread with its own link
 * and its own bounded queue.
 *
 * Layer 6. What needs no hash of a password (refresh, logout, projects, keys) goes to DESK_LANE;
 * what hashes (login, a new password, a new account) to HASHER_LANE, at low priority: one hash at a
 * time, so that its memory is bounded, and nobody who refreshes waits behind those who log in. A
 * full queue is `overloaded`.
 *
 * A job is an errand (errand.h). `run` says by has_changed that it changed rows: the loops' table
 * is renewed before the reply leaves, so that the change is in force when it arrives.
 */
#ifndef POTIK_API_DESK_H
#define POTIK_API_DESK_H

#include "account/access.h"
#include "api/errand.h"
#include "base/clock.h"

#define DESK_JOBS_MAX 128                                  /* waiting, each lane */
#define DESK_REQUEST_BYTES_MAX (UINT64_C(4) * 1024 * 1024) /* the largest body of a job */

enum desk_lane { DESK_LANE, HASHER_LANE, DESK_LANES };

struct desk;
struct desk_job;

/* On the lane's thread, with its link. Writes errand.body, or errand.status = 204. An error's words
 * go to job->errand.diag; what it returns is the reply's (desk_public_err helps). */
typedef enum err desk_run_fn(struct desk_job *job, struct account *account);

struct desk_job {
    struct errand errand; /* first */
    /* set by who makes it: */
    desk_run_fn *run;
    void *state;                /* of `run`, in the errand's arena; may be NULL */
    void (*wipe)(void *state);  /* secrets in it, before its memory is freed; may be NULL */
    struct account_actor actor; /* who asks */
    struct access_login login;  /* the token's, where the route asks for one */
    uint32_t project_id;        /* 0: none */
    struct slice request_id;    /* in the arena */
    /* for `run`: */
    struct desk *desk;
    bool has_changed; /* rows of keys, projects, logins, roles or sessions */
    /* desk.c's own: */
    enum desk_lane lane;
};

struct desk_config {
    /* A link a lane: the desk's from desk_start on, error or not. NULL ones (tests): no lane. */
    struct account *links[DESK_LANES];
    struct access_table *access; /* borrowed, as the rest */
    const struct clock *clock;
    const struct log_sink *sink;
    void *context; /* of who makes jobs: desk_context */
    /* On the loop, before the reply of an error. May be NULL. */
    void (*refused)(void *context, struct http_exchange *exchange, enum err err,
                    const struct diag *diag);
};
MUST_USE enum err
desk_start(const struct desk_config *config, struct desk **ret_desk, struct diag *diag);
/* Jobs that wait are answered unrun. */
void desk_stop(struct desk **place);
void *desk_context(const struct desk *desk);
struct access_table *desk_access(const struct desk *desk);
const struct clock *desk_clock(const struct desk *desk);
const struct log_sink *desk_sink(const struct desk *desk);

/* NULL: out of memory. */
struct desk_job *desk_job_new(struct desk *desk, enum desk_lane lane, struct errand_inbox *inbox,
                              struct http_exchange *exchange);
void desk_job_free(struct desk_job **job); /* one that was not submitted */
/* The job is the desk's from here on. ERR_OVERLOADED: full; the job stays the caller's. */
MUST_USE enum err desk_job_submit(struct desk_job *job);

/* What the rows' errors are to a client: ABSENT 404, EXISTS 409, INVALID 400 invalid_parameter,
 * LOCKED 503 overloaded; others stay. */
enum err desk_public_err(enum err err);

#endif
