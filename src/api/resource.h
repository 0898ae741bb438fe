/*
 * resource - a resource made of account rows: its request is gathered on the loop, and answered
 * whole at the desk.
 *
 * Layer 6. A route whose handler is resource_route_handler names a struct resource_kind; `run` is
 * called on the lane's thread with the path's and the query's values and the body's text, and
 * writes the answer. What it is given lives as long as the job.
 */
#ifndef POTIK_API_RESOURCE_H
#define POTIK_API_RESOURCE_H

#include "api/body.h"
#include "api/desk.h"
#include "api/router.h"

#define RESOURCE_PARAMETERS_MAX 8

struct api;
struct resource;

/* ERR_OK: res->body and res->status are the answer. Rows' errors are told as desk_public_err says.
 */
typedef enum err resource_run_fn(struct resource *res, struct diag *diag);

struct resource_kind {
    enum desk_lane lane;
    resource_run_fn *run;
    /* Parameters of the query string that it has; NULL behind the last. */
    const char *parameters[RESOURCE_PARAMETERS_MAX + 1];
    size_t body_bytes_max;  /* at most DESK_REQUEST_BYTES_MAX; 0: BODY_BYTES_MAX */
    const char *long_field; /* what makes a body too large; NULL: nothing in particular */
};

struct resource {
    const struct resource_kind *kind;
    struct api *api;
    struct desk_job *job;
    /* what was asked: */
    struct account_actor *actor;
    struct access_login *login; /* login_id 0: a key asks */
    uint32_t project_id;        /* 0: of none, or of all */
    struct slice segments[ROUTE_SEGMENTS_MAX];
    struct slice parameters[RESOURCE_PARAMETERS_MAX]; /* values; ptr NULL: not given */
    struct slice body_text;
    struct slice if_match; /* the header field; ptr NULL: none */
    /* for `run`: */
    struct account *account; /* the lane's link */
    struct access_snapshot *access;
    struct arena *arena;
    /* the answer: */
    struct buf *body;
    int status;       /* 200 unless set */
    bool has_changed; /* loops are to know before the reply arrives */
};

extern const struct route_handler resource_route_handler;

/* The body's fields, for `run`; texts in res->arena. */
MUST_USE enum err
resource_read_body(struct resource *res, const struct body_field *fields, size_t count,
                   struct body_value *ret_values, struct diag *diag);
/* A number in the path, 1 … 10^18 − 1; else ERR_NOT_FOUND. */
MUST_USE enum err
resource_segment_number(const struct resource *res, uint32_t place, uint64_t *ret_number);

#endif
