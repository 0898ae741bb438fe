/*
 * api - the resources behind HTTP: events, users, stats, health. One file a resource, one table of
 * routes.
 *
 * Layer 6. app/wire makes one `struct api`, gives api_handler() and it to the HTTP server, and
 * frees it after the server has stopped. Handlers run on the loops; what asks the warehouse runs on
 * the query pool (query.h).
 *
 * What is not in a metric's parameters (those: metric/metric.h):
 *   GET /v1/events?limit=            newest first; `next` = the cursor from which `after` goes on
 *   GET /v1/events?after=C&limit=    stored after the cursor C (or after a `position`), oldest
 * first; `next` = the cursor behind the last row (C moved on even where there were no rows) GET
 * /v1/users/{id}/events?limit=&before=   newest first; `next` = `before` of the page behind, null
 * at the end
 */
#ifndef POTIK_API_API_H
#define POTIK_API_API_H

#include "account/access.h"
#include "account/password.h"
#include "api/access_log.h"
#include "api/desk.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/log.h"
#include "codec/address.h"
#include "codec/zone.h"
#include "http/http.h"
#include "limit/limit.h"
#include "limit/quota.h"
#include "rejects/rejects.h"
#include "store/store.h"
#include "warehouse/warehouse.h"

struct api_config {
    struct store *store; /* all borrowed */
    struct warehouse *warehouse;
    struct access_table *access;
    struct rejects *rejects; /* NULL: refused events are not kept */
    struct zones *zones;
    const struct clock *clock;
    const struct log_sink *sink;
    uint64_t gather_bytes_max; /* a loop: events held for the next commit */
    uint64_t upload_bytes_max; /* a loop: bodies under way; beyond: `overloaded` */
    uint32_t query_threads;    /* answers at the same time */
    uint32_t query_jobs_max;   /* waiting for a thread; beyond: `overloaded` */
    int64_t query_timeout_ms;
    uint32_t scan_parts; /* threads one scan may use */
    /* logging in: */
    struct account *desk_links[DESK_LANES]; /* the api's from api_new on, error or not */
    struct password_cost password_cost;
    int64_t token_life_s;
    int64_t refresh_life_us;
    const char *origins; /* browser.h; NULL: none */
    bool is_throttled;
    const uint64_t (*limits)[LIMIT_WHAT_COUNT]; /* a second, of each limit_who; 0: none */
    uint64_t limit_burst_ms;
    const char *redis; /* NULL: limits of this process alone; checked before (limit/redis.h) */
    const char *redis_prefix;
    int64_t redis_timeout_ms;
    enum limit_fallback limit_fallback;
    struct access_log *access_log; /* NULL: none */
    struct address_set proxies;    /* whose X-Forwarded-For is believed; empty: nobody's */
    struct quota *quota; /* NULL: none (tests). Shares in it are settled after the api is gone */
    uint64_t quota_events_month; /* of projects without a quota of their own; 0: none */
};

struct api;
/* Starts the query threads. ERR_NOMEM, ERR_IO (no threads). */
MUST_USE enum err api_new(const struct api_config *config, struct api **ret_api, struct diag *diag);
/* After http_server_stop. Ends the query threads. */
void api_free(struct api **api);
/* The table of routes, for tests that go over all of them. `who`: open, write, read, login, owner,
 * admin. */
struct api_route_facts {
    const char *method;
    const char *pattern;
    const char *who;
    const char *const *parameters; /* of the query string, NULL behind the last; NULL: not told */
};
size_t api_route_count(void);
struct api_route_facts api_route_facts(size_t i);
/* `app` of the HTTP server is the api. */
const struct http_handler *api_handler(void);
/* From now on /readyz says 503 with this reason (static text): stopping, failed. Any thread. */
void api_set_unready(struct api *api, const char *reason);

#endif
