/*
 * desk - what a request asks of the account rows: done off the loops, on one of two threads.
 *
 * Layer 6. Each lane is one thread with a link of its own and a queue of DESK_JOBS_MAX; more is
 * 503.
 *
 *   DESK_CLERK    reads and writes of rows: milliseconds
 *   DESK_HASHER   what hashes a password: tens of milliseconds and the hash's memory, one at a
 *                 time, so that a hundred logins at once take the memory of one and leave the loops
 *                 their cores (it runs at low priority)
 *
 * A handler that works at the desk is a struct desk_handler: its `run` is called on the lane's
 * thread with the whole body and answers into the job. A job owns its memory.
 */
#ifndef POTIK_API_DESK_H
#define POTIK_API_DESK_H

#include "account/access.h"
#include "account/account.h"
#include "account/password.h"
#include "api/body.h"
#include "api/errand.h"
#include "api/router.h"
#include "base/thread.h"
#include "codec/url.h"

#define DESK_JOBS_MAX 128
#define DESK_BODY_BYTES_MAX (64 * 1024)

enum desk_lane { DESK_CLERK, DESK_HASHER, DESK_LANES };

struct api;
struct api_request;
struct desk;
struct desk_job;

/* On the lane's thread. ERR_OK: job->status and job->body are the answer. */
typedef enum err desk_run_fn(struct desk_job *job, struct diag *diag);

struct desk_handler {
    enum desk_lane lane;
    desk_run_fn *run;
    /* Parameters of the query string that the route has; NULL at the end, at most 8. */
    const char *parameters[9];
    size_t body_bytes_max; /* 0: DESK_BODY_BYTES_MAX */
    /* On the loop, before the job is sent: false: a reply has been given. NULL: nothing. */
    bool (*before)(struct api_request *request, struct desk_job *job);
};

struct desk_job {
    struct errand errand; /* first */
    struct pool_job pool_job;
    const struct desk_handler *handler;
    struct desk *desk;
    struct arena arena; /* of the job */
    /* who asks, of what: */
    struct account_actor actor;
    bool has_login;
    struct access_login login;
    uint32_t project_id; /* 0: of none */
    struct slice segments[ROUTE_SEGMENTS_MAX];
    struct slice parameters[8]; /* values, in the handler's order; ptr NULL: not given */
    struct slice body_text;
    void *state; /* of the handler, in the arena */
    /* for `run`: */
    struct account *account; /* the lane's link */
    struct api *api;
    struct access_snapshot *access; /* held while it runs */
    /* the answer: */
    int status; /* 200 unless set */
    struct buf body;
    bool has_changed; /* loops are to know before the reply arrives */
    int64_t retry_after_s;
    enum err err;
    struct diag diag;
};

struct desk_config {
    struct api *api;
    struct account_config accounts; /* of the links */
};
MUST_USE enum err
desk_start(const struct desk_config *config, struct desk **ret_desk, struct diag *diag);
void desk_stop(struct desk **desk);

/* The parts of a struct route_handler whose resource is a desk_handler (route->desk). */
extern const struct route_handler desk_route_handler;

/* The body's fields, for `run`. */
MUST_USE enum err
desk_read_body(struct desk_job *job, const struct body_field *fields, uint32_t field_count,
               struct body_value *ret_values, struct diag *diag);
/* A number in a path, 1 … INT64_MAX; else ERR_NOT_FOUND. */
MUST_USE enum err
desk_segment_number(const struct desk_job *job, uint32_t place, uint64_t *ret_number);

#endif
