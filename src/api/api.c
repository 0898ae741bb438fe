/*
 * api - the table of routes, and the way of a request through it. See api.h. The table itself is
 * made at build time from openapi/openapi.yaml (tools/openapi), which says for each operation who
 * may ask and what answers.
 *
 * The order of asking: the path decodes, 404, 405, 401, 403; then the resource's own head (415,
 * 413); then its body. What http asked before that is in http/.
 */
#include "api/api.h"

#include "api/browser.h"
#include "api/error.h"
#include "api/internal.h"
#include "api/quota_count.h"
#include "api/quota_gate.h"
#include "base/mem.h"
#include "limit/redis.h"

#include <assert.h>
#include <sys/epoll.h>

#define RESOURCE(name) .handler = &resource_route_handler, .resource = &name##_resource

static const struct route routes[] = {
#include "api_routes.h"
};

#define REPLY_BYTES_MAX (UINT64_C(64) * 1024 * 1024)
#define REPLY_BYTES_KEPT (1024 * 1024) /* a larger reply's memory is given back */
#define ALLOW_BYTES_MAX 64
/* A loop: what waits for its commits, and one batch for a store that answers later. A request has
 * at most 10,000 events and so goes whole. */
#define GATHER_EVENTS_MAX 100000
#define BATCH_EVENTS_MAX 10000
#define BATCH_BYTES_MAX (UINT64_C(8) * 1024 * 1024)

#define LIMIT_ENTRIES_MAX 65536 /* of keys, of projects, of addresses: 2 MiB each */

/* --- the way in -------------------------------------------------------------------------------*/

/* The methods of the path: to a listed origin that asks beforehand, or as an error. */
static void
reply_allowed(struct api *api, struct http_exchange *exchange, enum err err)
{
    CLEANUP(buf_fini) struct buf allow;
    struct diag diag = DIAG_INIT;

    buf_init(&allow, ALLOW_BYTES_MAX);
    router_allow(routes, COUNT_OF(routes), http_path(exchange), &allow);
    if (browser_answers(exchange, api->config.origins, buf_slice(&allow))) {
        http_reply(exchange, 204, NULL, SLICE(""));
        return;
    }
    http_reply_header(exchange, "Allow", buf_slice(&allow));
    diag_set(&diag, "the method is not allowed here; allowed: %.*s", SLICE_ARGS(buf_slice(&allow)));
    http_reply_error(exchange, err, diag.message, NULL);
}

/* Who has mistyped a metric's name reads which there are. */
static void
reply_not_found(struct http_exchange *exchange)
{
    const struct slice stats = SLICE("/v1/stats/");
    struct slice path = http_path(exchange);
    struct diag diag = DIAG_INIT;

    if (path.len >= stats.len && memcmp(path.ptr, stats.ptr, stats.len) == 0)
        stats_list(&diag);
    http_reply_error(exchange, ERR_NOT_FOUND, diag.message, NULL);
}

/* A path that cannot be served, or that was asked for beforehand: answered here. */
static bool
is_found(struct api *api, struct http_exchange *exchange, const struct route_match *match,
         enum err err)
{
    struct slice asked = http_header(exchange, "access-control-request-method");

    /* GET /v1/events is no ingest, though its path is. */
    if (err == ERR_METHOD_NOT_ALLOWED ||
        (match->is_preflight && asked.ptr != NULL && !slice_equal(asked, SLICE("POST")))) {
        reply_allowed(api, exchange, ERR_METHOD_NOT_ALLOWED);
        return false;
    }
    if (err == ERR_NOT_FOUND) {
        reply_not_found(exchange);
        return false;
    }
    if (err != ERR_OK) {
        http_reply_error(exchange, err, err == ERR_BAD_REQUEST ? "the path does not decode" : NULL,
                         NULL);
        return false;
    }
    if (!match->is_preflight)
        return true;
    browser_add_ingest_preflight(exchange);
    http_reply(exchange, 204, NULL, SLICE(""));
    return false;
}

static bool
is_let_in(struct api_request *request)
{
    struct http_exchange *exchange = request->exchange;
    struct api *api = request->loop->api;
    struct diag diag = DIAG_INIT;
    enum err err = ERR_OK;

    if (request->route->auth != ROUTE_OPEN)
        err = auth_check(request, &diag);
    if (err == ERR_OK && !request->route->is_ingest &&
        browser_is_forged(exchange, api->config.origins)) {
        diag_set(&diag, "another site may not do this; the setting origins lists those that may");
        err = ERR_FORBIDDEN;
    }
    if (err == ERR_OK)
        return limits_take_head(request);
    if (!limits_take_stranger(request))
        return false;
    if (err == ERR_UNAUTHORIZED)
        api_note_refused(api, exchange, diag.message);
    api_reply_diag(request, err, &diag);
    return false;
}

static void
handle_head(void *loop_state, struct http_exchange *exchange)
{
    struct api_loop *loop = loop_state;
    struct api_request *request = ARENA_NEW(http_arena(exchange), struct api_request, 1);
    struct route_match match = {0};
    enum err err;

    if (request == NULL) {
        http_reply_error(exchange, ERR_NOMEM, NULL, NULL);
        return;
    }
    request->loop = loop;
    request->exchange = exchange;
    request->arrived_at_us = clock_wall_us(loop->api->config.clock);
    http_set_user(exchange, request);
    err = router_find(routes, COUNT_OF(routes), http_method(exchange), http_path(exchange),
                      http_arena(exchange), &match);
    browser_add_fields(exchange, loop->api->config.origins,
                       match.route != NULL ? match.route->is_ingest : match.is_preflight);
    if (!is_found(loop->api, exchange, &match, err))
        return;
    assert(match.route != NULL);
    request->route = match.route;
    memcpy(request->segments, match.segments, sizeof(request->segments));
    request->query = http_query(exchange);
    if (is_let_in(request) && request->route->handler->head != NULL)
        request->route->handler->head(request);
}

static void
handle_body(void *loop_state, struct http_exchange *exchange, const char *bytes, size_t len)
{
    struct api_request *request = http_user(exchange);

    (void)loop_state;
    request->body_bytes += len;
    if (request->route->handler->body != NULL)
        request->route->handler->body(request, bytes, len);
}

static void
handle_end(void *loop_state, struct http_exchange *exchange)
{
    struct api_request *request = http_user(exchange);

    (void)loop_state;
    if (!request->route->is_ingest)
        limits_count_body(request);
    request->route->handler->end(request);
}

static void
handle_gone(void *loop_state, struct http_exchange *exchange)
{
    struct api_request *request = http_user(exchange);

    (void)loop_state;
    if (request == NULL || request->route == NULL)
        return;
    limits_count_body(request);
    if (request->route->handler->gone != NULL)
        request->route->handler->gone(request);
}

static void
handle_done(void *loop_state, const struct http_exchange *exchange)
{
    api_note_done(loop_state, exchange);
}

static void
handle_turn_sent(void *loop_state)
{
    struct api_loop *loop = loop_state;

    access_lines_write(&loop->access_lines);
}

static void
handle_turn_end(void *loop_state)
{
    struct api_loop *loop = loop_state;

    errand_drain(loop->inbox);
    ingest_flush(loop->ingest);
    if (loop->uploads.crowd.turn_bytes != 0)
        crowd_turn_ended(&loop->uploads.crowd, http_loop_now_ns(loop->http),
                         clock_steady_ns(loop->api->config.clock));
    if (loop->reply.capacity > REPLY_BYTES_KEPT) {
        buf_fini(&loop->reply);
        buf_init(&loop->reply, REPLY_BYTES_MAX);
    }
}

/* --- a loop's start and stop ------------------------------------------------------------------*/

static void
loop_free(struct api_loop **place)
{
    struct api_loop *loop = *place;

    if (loop == NULL)
        return;
    for (uint32_t i = 0; i < loop->link_count; i++)
        store_link_close(&loop->links[i]); /* batches under way are answered */
    ingest_free(&loop->ingest);
    limit_redis_close(&loop->redis);
    errand_inbox_close(&loop->inbox);
    event_decoder_free(&loop->decoder);
    access_release(&loop->access);
    auth_forget(loop);
    access_lines_fini(&loop->access_lines);
    mem_free(loop->plan_scratch);
    buf_fini(&loop->reply);
    mem_free(loop);
    *place = NULL;
}

/* A batch was decided, perhaps: what was gathered meanwhile goes out at once, not only when the
 * turn ends. */
static void
link_ready(void *loop_state, void *arg, uint32_t events)
{
    struct api_loop *loop = loop_state;

    store_link_ready(arg, events);
    ingest_flush(loop->ingest);
}

static enum err
open_links(struct api_loop *loop, struct diag *diag)
{
    struct store *store = loop->api->config.store;
    const uint32_t count = store_links_per_loop(store);

    assert(count >= 1 && count <= STORE_LINKS_PER_LOOP_MAX);
    while (loop->link_count < count) {
        enum err err = store_link_open(store, &loop->links[loop->link_count], diag);

        if (err != ERR_OK)
            return err;
        loop->link_count++;
    }
    return ERR_OK;
}

static enum err
watch_links(struct api_loop *loop)
{
    enum err err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < loop->link_count; i++) {
        struct store_link *link = loop->links[i];

        if (store_link_fd(link) >= 0)
            err = http_loop_watch(loop->http, store_link_fd(link), store_link_events(link),
                                  link_ready, link);
    }
    return err;
}

static void
redis_ready(void *loop_state, void *arg, uint32_t events)
{
    (void)loop_state;
    (void)events;
    limit_redis_ready(arg);
}

/* One link serves the process: it is the first loop's. */
static enum err
open_redis(struct api_loop *loop, struct diag *diag)
{
    const struct api_config *config = &loop->api->config;
    const struct limit_redis_config redis = {
        .url = config->redis,
        .prefix = config->redis_prefix,
        .timeout_ms = config->redis_timeout_ms,
        .limit = loop->api->limit,
        .clock = config->clock,
        .sink = config->sink,
    };
    enum err err;

    if (config->redis == NULL || loop->api->limit == NULL || http_loop_number(loop->http) != 0)
        return ERR_OK;
    err = limit_redis_open(&redis, &loop->redis, diag);
    if (err != ERR_OK)
        return err;
    return http_loop_watch(loop->http, limit_redis_fd(loop->redis), EPOLLIN, redis_ready,
                           loop->redis);
}

static enum err
start_ingest(struct api_loop *loop, struct diag *diag)
{
    struct ingest_config config = {
        .link_count = loop->link_count,
        .gather_bytes_max = loop->api->config.gather_bytes_max,
        .gather_events_max = GATHER_EVENTS_MAX,
    };

    memcpy(config.links, loop->links, sizeof(config.links));
    /* A store that answers at once commits a turn whole. From others answers come the sooner, and
     * links share the work the better, the smaller their batches are. */
    if (store_link_fd(loop->links[0]) >= 0) {
        config.batch_bytes_max = BATCH_BYTES_MAX;
        config.batch_events_max = BATCH_EVENTS_MAX;
        config.clock = loop->api->config.clock;
    }
    return ingest_new(&config, &loop->ingest, diag);
}

static enum err
handle_loop_start(void *app, struct http_loop *http, void **ret_loop_state, struct diag *diag)
{
    CLEANUP(loop_free) struct api_loop *loop = MEM_NEW(struct api_loop, 1);
    struct api *api = app;
    enum err err;

    if (loop == NULL)
        return ERR_NOMEM;
    loop->plan_scratch = MEM_NEW(struct plan_scratch, 1);
    if (loop->plan_scratch == NULL)
        return ERR_NOMEM;
    loop->api = api;
    loop->http = http;
    loop->uploads.bytes_max = api->config.upload_bytes_max;
    buf_init(&loop->reply, REPLY_BYTES_MAX);
    access_lines_init(&loop->access_lines, api->config.access_log);
    access_renew(api->config.access, &loop->access);
    err = open_links(loop, diag);
    if (err == ERR_OK)
        err = start_ingest(loop, diag);
    if (err == ERR_OK)
        err = event_decoder_new(&loop->decoder, diag);
    if (err == ERR_OK)
        err = errand_inbox_new(http, &loop->inbox, diag);
    if (err == ERR_OK)
        err = watch_links(loop);
    if (err == ERR_OK)
        err = open_redis(loop, diag);
    if (err != ERR_OK)
        return err;
    *ret_loop_state = MOVE(loop);
    return ERR_OK;
}

static void
handle_loop_stop(void *loop_state)
{
    struct api_loop *loop = loop_state;

    loop_free(&loop);
}

const struct http_handler *
api_handler(void)
{
    static const struct http_handler handler = {
        .loop_start = handle_loop_start,
        .loop_stop = handle_loop_stop,
        .head = handle_head,
        .body = handle_body,
        .end = handle_end,
        .gone = handle_gone,
        .turn_end = handle_turn_end,
        .done = handle_done,
        .turn_sent = handle_turn_sent,
        .error_body = error_add_body,
    };

    return &handler;
}

/* --- the api ----------------------------------------------------------------------------------*/

static void
note_desk_refused(void *context, struct http_exchange *exchange, enum err err,
                  const struct diag *diag)
{
    if (err == ERR_UNAUTHORIZED)
        api_note_refused(context, exchange, diag->message);
}

static enum err
start_limits(struct api *api, struct diag *diag)
{
    struct limit_config config = {
        .burst_ms = api->config.limit_burst_ms,
        .entries_max = LIMIT_ENTRIES_MAX,
        .random = random_system(),
        .is_shared = api->config.redis != NULL,
        .fallback = api->config.limit_fallback,
    };

    if (api->config.limits == NULL)
        return ERR_OK; /* `limits` is read here alone: it need not live longer */
    memcpy(config.per_second, api->config.limits, sizeof(config.per_second));
    return limit_new(&config, &api->limit, diag);
}

/* What is used is counted as soon as the loader runs, not only when the first event comes. */
static enum err
start_quotas(struct api *api, struct diag *diag)
{
    const struct quota_counter_config counter = {
        .quota = api->config.quota,
        .store = api->config.store,
        .warehouse = api->config.warehouse,
        .pool = api->queries,
        .clock = api->config.clock,
        .sink = api->config.sink,
        .timeout_ms = api->config.query_timeout_ms,
    };
    struct access_snapshot *snapshot;
    enum err err;

    if (api->config.quota == NULL)
        return ERR_OK;
    err = quota_counter_new(&counter, &api->quota_counter, diag);
    if (err != ERR_OK)
        return err;
    snapshot = access_get(api->config.access);
    quota_gate_look(api, snapshot);
    access_release(&snapshot);
    return ERR_OK;
}

enum err
api_new(const struct api_config *config, struct api **ret_api, struct diag *diag)
{
    CLEANUP(api_free) struct api *api = MEM_NEW(struct api, 1);
    struct query_pool_config queries = {
        .warehouse = config->warehouse,
        .clock = config->clock,
        .sink = config->sink,
        .threads = config->query_threads,
        .jobs_max = config->query_jobs_max,
        .timeout_ms = config->query_timeout_ms,
    };
    struct desk_config desk = {
        .access = config->access,
        .clock = config->clock,
        .sink = config->sink,
        .context = api,
        .refused = note_desk_refused,
    };
    enum err err = ERR_NOMEM;

    memcpy(desk.links, config->desk_links, sizeof(desk.links));
    if (api != NULL) {
        api->config = *config;
        refusal_init(&api->refusals);
        err = ERR_OK;
    }
    if (err == ERR_OK && config->is_throttled)
        err = throttle_new(THROTTLE_ENTRIES_MAX, random_system(), &api->throttle);
    if (err == ERR_OK)
        err = start_limits(api, diag);
    if (err == ERR_OK)
        err = query_pool_start(&queries, &api->queries, diag);
    if (err == ERR_OK)
        err = start_quotas(api, diag);
    if (err != ERR_OK) {
        for (int i = 0; i < DESK_LANES; i++)
            account_close(&desk.links[i]);
        return err;
    }
    err = desk_start(&desk, &api->desk, diag);
    if (err != ERR_OK)
        return err;
    *ret_api = MOVE(api);
    return ERR_OK;
}

void
api_free(struct api **api)
{
    if (*api == NULL)
        return;
    quota_counter_stop((*api)->quota_counter);
    desk_stop(&(*api)->desk); /* it may kick the counter */
    query_pool_stop(&(*api)->queries);
    quota_counter_free(&(*api)->quota_counter);
    throttle_free(&(*api)->throttle);
    limit_free(&(*api)->limit);
    refusal_fini(&(*api)->refusals, (*api)->config.sink);
    manual_fini(&(*api)->manual);
    mem_free(*api);
    *api = NULL;
}

void
api_set_unready(struct api *api, const char *reason)
{
    atomic_store(&api->unready_reason, reason);
}

/* --- the table of routes, for tests -----------------------------------------------------------*/

size_t
api_route_count(void)
{
    return COUNT_OF(routes);
}

struct api_route_facts
api_route_facts(size_t i)
{
    static const char *const who[] = {
        [ROUTE_OPEN] = "open",   [ROUTE_WRITE] = "write", [ROUTE_READ] = "read",
        [ROUTE_LOGIN] = "login", [ROUTE_OWNER] = "owner", [ROUTE_ADMIN] = "admin"};

    return (struct api_route_facts){
        .method = router_method_name(routes[i].method),
        .pattern = routes[i].pattern,
        .who = who[routes[i].auth],
        .parameters = routes[i].resource != NULL ? routes[i].resource->parameters : NULL,
    };
}
