/*
 * internal - what the files of this room share: the api, one loop's part of it, one request.
 *
 * Layer 6.
 */
#ifndef POTIK_API_INTERNAL_H
#define POTIK_API_INTERNAL_H

#include "api/api.h"
#include "api/body.h"
#include "api/desk.h"
#include "api/failed_logins.h"
#include "api/manual.h"
#include "api/query.h"
#include "api/refusal.h"
#include "api/resource.h"
#include "api/router.h"
#include "api/throttle.h"
#include "api/upload.h"
#include "base/random.h"
#include "base/thread.h"
#include "codec/url.h"
#include "event/decode.h"
#include "ingest/ingest.h"

#include <stdatomic.h>

#define QUERY_PAIRS_MAX 64 /* name=value of one query string */

struct api {
    struct api_config config;
    struct query_pool *queries;
    struct desk *desk;
    struct throttle *throttle; /* NULL: off */
    struct limit *limit;       /* NULL: none */
    struct quota_counter *quota_counter;
    struct refusals refusals;
    struct manual manual;
    struct failed_logins failed_logins;   /* the hasher's thread */
    _Atomic(const char *) unready_reason; /* NULL: none */
};

/* One loop's own; no lock is shared between loops besides the store's. */
struct api_loop {
    struct api *api;
    struct http_loop *http;
    struct store_link *links[STORE_LINKS_PER_LOOP_MAX];
    uint32_t link_count;
    struct ingest *ingest;
    struct limit_redis *redis; /* of the first loop; NULL: none */
    struct event_decoder *decoder;
    struct errand_inbox *inbox;
    struct access_snapshot *access; /* renewed at each look-up */
    struct {                        /* the last key found in it: mostly the next one, too */
        char text[ACCOUNT_KEY_TEXT_BYTES];
        bool is_known;
        struct access_key found;
    } last_key;
    struct { /* the last token found good in it */
        char text[TOKEN_MADE_BYTES_MAX];
        size_t len; /* 0: none */
        struct access_login found;
    } last_token;
    enum { QUOTAS_UNKNOWN, QUOTAS_NONE, QUOTAS_SOME } quotas; /* of projects in it */
    struct buf reply;                                         /* emptied for each reply */
    struct upload_budget uploads;
    struct access_lines access_lines;
    struct plan_scratch *plan_scratch;
    struct store_position position; /* the last one told, and its text */
    char position_text[STORE_POSITION_TEXT];
};

/* In the exchange's arena. */
struct api_request {
    struct api_loop *loop;
    struct http_exchange *exchange;
    int64_t arrived_at_us; /* its head; wall time */
    const struct route *route;
    struct slice segments[ROUTE_SEGMENTS_MAX]; /* decoded */
    struct slice query;                        /* raw; `project=` is taken out */
    uint32_t project_id;                       /* where the route is of one; else 0 */
    struct access_login login;                 /* of a token; login_id 0: a key, or nobody */
    struct account_actor actor;                /* who asks; of ingest without the address */
    void *state;                               /* the resource's */
    struct limit_answer limit;                 /* the nearest; limits.c */
    uint64_t counted_bytes;                    /* of the body, for limits */
    uint64_t body_bytes;                       /* that have come, as sent */
    struct body body;                          /* of routes that read a small one */
    struct errand *errand;                     /* off the loop, for this request; NULL: none */
};

/* --- auth.c -----------------------------------------------------------------------------------*/

/*
 * Who asks, for the route's question: sets project_id, login and actor, and takes `project=` out of
 * the query. ERR_UNAUTHORIZED, ERR_WRONG_KEY_KIND, ERR_FORBIDDEN, ERR_NOT_FOUND and
 * ERR_INVALID_PARAMETER (the project); ERR_NOT_READY: rows could not be read for too long.
 */
MUST_USE enum err auth_check(struct api_request *request, struct diag *diag);
/* The loop has another snapshot, or ends: wipes the key and the token kept for the next look-up,
 * and what was known of quotas. */
void auth_forget(struct api_loop *loop);
/* "Bearer TEXT", the scheme in any case. false: another scheme, or nothing behind it. */
MUST_USE bool auth_parse_bearer(struct slice value, struct slice *ret_text);

/* --- limits.c ---------------------------------------------------------------------------------*/

/* Counts the request's head; for ingest an event, too. false: refused, a reply has been given. */
MUST_USE bool limits_take_head(struct api_request *request);
/* Nobody was let in: counts against the address alone. false: refused, as above. */
MUST_USE bool limits_take_stranger(struct api_request *request);
/* The body of ingest has come: counts its events, and its bytes if the head did not. */
MUST_USE bool limits_take_events(struct api_request *request, uint32_t events);
/* Nothing of a request was stored, and not for its own fault: its events, counted by the two above,
 * are owed no more. */
void limits_give_events(const struct api_request *request, uint32_t events);
/* However it ends: bytes of the body that have come and are not counted are counted now. Twice is
 * once. */
void limits_count_body(struct api_request *request);

/* --- small helpers ----------------------------------------------------------------------------*/

/* The error of `diag` (its message and field), or its sentence. */
void api_reply_diag(struct api_request *request, enum err err, const struct diag *diag);
void api_reply_json(struct api_request *request, int status, const struct buf *body);

/*
 * The client's address: the peer's; where that is a trusted proxy, the rightmost of X-Forwarded-For
 * that is none (codec/address.h). Where the field is missing, or has no address there, the peer's.
 * The text is the peer's own or stands in `room`.
 */
struct slice api_peer(const struct api *api, const struct http_exchange *exchange,
                      char room[ADDRESS_TEXT_BYTES]);
/* Its network, as http_peer_network. */
uint64_t api_peer_network(const struct api *api, const struct http_exchange *exchange);
void api_format_peer(const struct api_request *request, char ret_from[ACCOUNT_FROM_BYTES + 1]);
/* A 401's header field and its line in the log. */
void api_note_refused(struct api *api, struct http_exchange *exchange, const char *reason);

/* The exchange is over: its line, where there is an access log. */
void api_note_done(struct api_loop *loop, const struct http_exchange *exchange);

/* The query string, decoded into the exchange's arena. A reply has been given if false. */
MUST_USE bool
api_query_pairs(struct api_request *request, struct url_pair **ret_pairs, size_t *ret_count);

/* A job for this request; NULL: a reply has been given. */
struct query_job *api_job_new(struct api_request *request);
/* true: the job is the pool's. false: a reply has been given, the job is the caller's. */
MUST_USE bool api_job_submit(struct api_request *request, struct query_job *job);
/* `gone` of what waits for an errand. */
void api_job_gone(struct api_request *request);

/* --- routes that a desk answers, with a small body or none: small.c ---------------------------*/

/* As `head` and `body` of a route_handler, with api_job_gone as `gone`. */
void api_body_head(struct api_request *request);
void api_body_add(struct api_request *request, const char *bytes, size_t len);
/* The gathered body by its fields; texts live in the exchange's arena until the request ends. A
 * reply has been given if false. */
MUST_USE bool api_body_read(struct api_request *request, const struct body_field *fields,
                            size_t count, struct body_value *ret_values);
/* Wipes the body and these values' texts. */
void api_body_forget(struct api_request *request, struct body_value *values, size_t count);
/* A job that knows who asks, with `state_bytes` of zeroed state in its arena (0: none). NULL: a
 * reply has been given. */
struct desk_job *api_desk_new(struct api_request *request, enum desk_lane lane, desk_run_fn *run,
                              size_t state_bytes);
/* true: the job is the desk's. false: a reply has been given, the job is freed. */
MUST_USE bool api_desk_submit(struct api_request *request, struct desk_job *job);
/* The same for a job that tries a password of this account (lower case, in the job's arena), unless
 * the throttle refuses. Its `run` calls api_guess_tried, once. */
MUST_USE bool
api_desk_submit_guess(struct api_request *request, struct desk_job *job, struct slice email);
void api_guess_tried(const struct desk_job *job, struct slice email, enum throttle_outcome outcome);

/* --- the resources ----------------------------------------------------------------------------*/

extern const struct route_handler events_post_handler; /* events.c */
extern const struct route_handler events_list_handler; /* listing.c */
extern const struct route_handler user_events_handler; /* users.c */
extern const struct route_handler stats_handler;       /* stats.c */
extern const struct route_handler healthz_handler;     /* health.c */
extern const struct route_handler readyz_handler;
extern const struct route_handler metrics_handler;
extern const struct route_handler root_handler;    /* root.c */
extern const struct route_handler openapi_handler; /* manual.c */
extern const struct route_handler docs_handler;
extern const struct route_handler docs_file_handler;
extern const struct route_handler login_handler; /* login.c */
extern const struct route_handler refresh_handler;
extern const struct route_handler logout_handler;
extern const struct route_handler me_handler;
extern const struct route_handler own_password_handler; /* own_password.c */
/* projects.c, keys.c, members.c, accounts.c, audit_log.c, erasures.c */
extern const struct resource_kind projects_list_resource;
extern const struct resource_kind project_create_resource;
extern const struct resource_kind project_get_resource;
extern const struct resource_kind project_change_resource;
extern const struct resource_kind project_delete_resource;
extern const struct resource_kind keys_list_resource;
extern const struct resource_kind key_create_resource;
extern const struct resource_kind key_revoke_resource;
extern const struct resource_kind members_list_resource;
extern const struct resource_kind member_add_resource;
extern const struct resource_kind member_set_resource;
extern const struct resource_kind member_remove_resource;
extern const struct resource_kind accounts_list_resource;
extern const struct resource_kind account_create_resource;
extern const struct resource_kind account_get_resource;
extern const struct resource_kind account_change_resource;
extern const struct resource_kind account_remove_resource;
extern const struct resource_kind audit_resource;
extern const struct resource_kind person_forget_resource;
extern const struct resource_kind deletion_resource;
extern const struct resource_kind erasures_list_resource;
extern const struct resource_kind erasure_get_resource;
extern const struct resource_kind rejected_list_resource; /* rejected.c */
extern const struct resource_kind rejected_get_resource;
/* An id of a kept refused event, as it stands in a query. */
bool rejected_parse_id(struct slice text, uint64_t *ret_id);
extern const struct resource_kind tracking_plan_get_resource; /* tracking_plan.c */
extern const struct resource_kind tracking_plan_set_resource;
bool stats_exists(const struct slice *segments);
bool docs_file_exists(const struct slice *segments);
/* "there is no such metric; there are: dau, …" */
void stats_list(struct diag *ret_words);

#endif
