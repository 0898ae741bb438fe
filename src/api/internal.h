/*
 * internal - what the files of this room share: the api, one loop's part of it, one request.
 *
 * Layer 6.
 */
#ifndef POTIK_API_INTERNAL_H
#define POTIK_API_INTERNAL_H

#include "api/api.h"
#include "api/desk.h"
#include "api/query.h"
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
    struct throttle *throttle; /* NULL: logins are not throttled */
    struct {                   /* the hasher's: failed logins in the audit log, this minute */
        int64_t minute;
        uint32_t written;
        uint64_t left_out;
    } failures;
    _Atomic(const char *) unready_reason; /* NULL: none */
};

/* One loop's own; no lock is shared between loops besides the store's. */
struct api_loop {
    struct api *api;
    struct http_loop *http;
    struct store_link *links[STORE_LINKS_PER_LOOP_MAX];
    uint32_t link_count;
    struct ingest *ingest;
    struct event_decoder *decoder;
    struct errand_inbox *inbox;
    struct access_snapshot *access; /* renewed at each look-up */
    struct {                        /* the last key found in it: mostly the next one, too */
        char text[ACCOUNT_KEY_TEXT_BYTES];
        bool is_known;
        struct access_key found;
    } last_key;
    struct { /* the last token, likewise */
        char text[TOKEN_MADE_BYTES_MAX + 1];
        size_t len; /* 0: none */
        struct access_login login;
    } last_token;
    int64_t refusals_second; /* refusals told in this second of the steady clock, */
    uint32_t refusals_told;  /* so many, */
    uint32_t refusals_left;  /* and so many not */
    struct buf reply;        /* emptied for each reply */
    struct upload_budget uploads;
    struct store_position position; /* the last one told, and its text */
    char position_text[STORE_POSITION_TEXT];
};

/* In the exchange's arena. */
struct api_request {
    struct api_loop *loop;
    struct http_exchange *exchange;
    const struct route *route;
    struct slice segments[ROUTE_SEGMENTS_MAX]; /* decoded */
    struct slice query;                        /* raw, without project= */
    uint32_t project_id;                       /* whose data; 0: the route is of no project */
    struct account_actor actor;
    bool has_login;
    struct access_login login; /* if has_login */
    void *state;               /* the resource's */
};

/* --- auth.c -----------------------------------------------------------------------------------*/

/*
 * Who asks, against what the route wants: fills project_id, actor, login, query. ERR_UNAUTHORIZED,
 * ERR_WRONG_KEY_KIND, ERR_FORBIDDEN, ERR_NOT_FOUND (no such project, or not for them: told alike),
 * ERR_INVALID_PARAMETER (project=), ERR_NOT_READY: rows could not be read for too long. Words in
 * `diag`.
 */
MUST_USE enum err auth_check(struct api_request *request, struct diag *diag);
/* Of an open route: who it comes from is all that is known. */
void auth_note_peer(struct api_request *request);
/* Wipes the key and the token kept for the next look-up. */
void auth_forget(struct api_loop *loop);
/* "Bearer TEXT", the scheme in any case. false: another scheme, or nothing behind it. */
MUST_USE bool auth_parse_bearer(struct slice value, struct slice *ret_text);

/* --- small helpers ----------------------------------------------------------------------------*/

/* The error of `diag` (its message and field), or its sentence. */
void api_reply_diag(struct api_request *request, enum err err, const struct diag *diag);
void api_reply_json(struct api_request *request, int status, const struct buf *body);

/* {"id":…,"email":…,"is_admin":…,"projects":[…]}: who has logged in, as the snapshot knows. */
void api_write_account(const struct access_snapshot *access, uint64_t login_id, struct buf *body);

/* The query string, decoded into the exchange's arena. A reply has been given if false. */
MUST_USE bool
api_query_pairs(struct api_request *request, struct url_pair **ret_pairs, size_t *ret_count);

/* A job for this request; NULL: a reply has been given. */
struct query_job *api_job_new(struct api_request *request);
/* true: the job is the pool's. false: a reply has been given, the job is the caller's. */
MUST_USE bool api_job_submit(struct api_request *request, struct query_job *job);
/* `gone` of what waits for a job. */
void api_job_gone(struct api_request *request);

/* --- the resources ----------------------------------------------------------------------------*/

extern const struct route_handler events_post_handler; /* events.c */
extern const struct route_handler events_list_handler; /* listing.c */
extern const struct route_handler user_events_handler; /* users.c */
extern const struct route_handler stats_handler;       /* stats.c */
extern const struct route_handler healthz_handler;     /* health.c */
extern const struct route_handler readyz_handler;
extern const struct route_handler metrics_handler;
extern const struct route_handler root_handler; /* root.c */
extern const struct desk_handler login_desk;    /* login.c */
extern const struct desk_handler refresh_desk;
extern const struct desk_handler logout_desk;
extern const struct desk_handler me_desk;
extern const struct desk_handler password_desk;
extern const struct desk_handler projects_list_desk;
extern const struct desk_handler project_create_desk;
extern const struct desk_handler project_get_desk;
extern const struct desk_handler project_change_desk;
extern const struct desk_handler project_delete_desk;
extern const struct desk_handler keys_list_desk;
extern const struct desk_handler key_create_desk;
extern const struct desk_handler key_revoke_desk;
extern const struct desk_handler members_list_desk;
extern const struct desk_handler member_add_desk;
extern const struct desk_handler member_set_desk;
extern const struct desk_handler member_remove_desk;
extern const struct desk_handler accounts_list_desk;
extern const struct desk_handler account_create_desk;
extern const struct desk_handler account_get_desk;
extern const struct desk_handler account_change_desk;
extern const struct desk_handler account_remove_desk;
extern const struct desk_handler audit_desk;
extern const struct desk_handler person_forget_desk;
extern const struct desk_handler deletion_desk;
extern const struct desk_handler erasures_list_desk;
extern const struct desk_handler erasure_get_desk;
bool stats_exists(const struct slice *segments);
/* "there is no such metric; there are: dau, …" */
void stats_list(struct diag *ret_words);

#endif
