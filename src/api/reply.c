/*
 * reply - what all resources of this room ask of a request and reply with: bodies, the query
 * string, jobs, the client's address; and the line of the access log that tells of it.
 *
 * Layer 6, on the loops.
 */
#include "api/internal.h"

void
api_reply_diag(struct api_request *request, enum err err, const struct diag *diag)
{
    http_reply_error(request->exchange, err, diag->message, diag->field);
}

void
api_reply_json(struct api_request *request, int status, const struct buf *body)
{
    if (buf_failed(body))
        http_reply_error(request->exchange, ERR_NOMEM, NULL, NULL);
    else
        http_reply(request->exchange, status, "application/json", buf_slice(body));
}

static bool
is_trusted(const struct address_set *proxies, struct slice peer)
{
    struct address address;

    return address_parse(peer, &address) ? address_set_has(proxies, &address)
                                         : proxies->has_unix && slice_equal(peer, SLICE("unix"));
}

/* Repeated fields are one list (RFC 9110 §5.3): a proxy may add its line behind the client's.
 * false: the peer is the client. */
static bool
find_forwarded(const struct address_set *proxies, const struct http_exchange *exchange,
               struct address *ret_address)
{
    static const char name[] = "x-forwarded-for";
    bool is_found = false;

    if (http_header(exchange, name).ptr == NULL || !is_trusted(proxies, http_peer(exchange)))
        return false;
    for (uint32_t i = http_header_count(exchange, name); i-- > 0;) {
        struct address address;

        switch (address_walk(proxies, http_header_at(exchange, name, i), &address)) {
        case ADDRESS_CLIENT:
            *ret_address = address;
            return true;
        case ADDRESS_PROXY: /* the client is one of ours, if nothing stands before it */
            *ret_address = address;
            is_found = true;
            break;
        case ADDRESS_NONE:
            break;
        case ADDRESS_BROKEN:
            return false;
        }
    }
    return is_found;
}

static bool
is_forwarded(const struct api *api, const struct http_exchange *exchange,
             struct address *ret_address)
{
    const struct address_set *proxies = &api->config.proxies;

    return (proxies->count != 0 || proxies->has_unix) &&
           find_forwarded(proxies, exchange, ret_address);
}

struct slice
api_peer(const struct api *api, const struct http_exchange *exchange, char room[ADDRESS_TEXT_BYTES])
{
    struct address address;

    if (!is_forwarded(api, exchange, &address))
        return http_peer(exchange);
    address_format(&address, room);
    return slice_of_text(room);
}

uint64_t
api_peer_network(const struct api *api, const struct http_exchange *exchange)
{
    struct address address;

    return is_forwarded(api, exchange, &address) ? address_network_of(&address)
                                                 : http_peer_network(exchange);
}

void
api_format_peer(const struct api_request *request, char ret_from[ACCOUNT_FROM_BYTES + 1])
{
    char room[ADDRESS_TEXT_BYTES];
    struct slice peer = api_peer(request->loop->api, request->exchange, room);
    size_t len = peer.len < ACCOUNT_FROM_BYTES ? peer.len : ACCOUNT_FROM_BYTES;

    memcpy(ret_from, peer.ptr, len);
    ret_from[len] = '\0';
}

void
api_note_refused(struct api *api, struct http_exchange *exchange, const char *reason)
{
    char room[ADDRESS_TEXT_BYTES];

    http_reply_header(exchange, "WWW-Authenticate", SLICE("Bearer realm=\"potik\""));
    refusal_tell(&api->refusals, api->config.sink, clock_steady_ns(api->config.clock),
                 http_request_id(exchange), api_peer(api, exchange, room), reason);
}

bool
api_query_pairs(struct api_request *request, struct url_pair **ret_pairs, size_t *ret_count)
{
    struct slice query = request->query;
    struct diag diag = DIAG_INIT;
    enum err err;

    *ret_pairs = NULL;
    *ret_count = 0;
    if (query.ptr == NULL || query.len == 0)
        return true;
    *ret_pairs = ARENA_NEW(http_arena(request->exchange), struct url_pair, QUERY_PAIRS_MAX);
    err = *ret_pairs == NULL ? ERR_NOMEM
                             : url_parse_query(query, http_arena(request->exchange), *ret_pairs,
                                               QUERY_PAIRS_MAX, ret_count, &diag);
    if (err != ERR_OK)
        api_reply_diag(request, err, &diag);
    return err == ERR_OK;
}

struct query_job *
api_job_new(struct api_request *request)
{
    struct query_job *job =
        query_job_new(request->loop->api->queries, request->loop->inbox, request->exchange);

    if (job == NULL)
        http_reply_error(request->exchange, ERR_NOMEM, NULL, NULL);
    else
        job->project_id = request->project_id;
    return job;
}

bool
api_job_submit(struct api_request *request, struct query_job *job)
{
    enum err err = query_job_submit(job);

    if (err != ERR_OK) {
        http_reply_error(request->exchange, err, "too many questions are being answered; retry",
                         NULL);
        return false;
    }
    request->errand = &job->errand;
    return true;
}

void
api_job_gone(struct api_request *request)
{
    if (request->errand != NULL)
        errand_abandon(request->errand);
}

/* --- the access log ---------------------------------------------------------------------------*/

/* Who was let in, by what. */
static const char *
credential_of(const struct api_request *request)
{
    if (request == NULL || request->actor.id == 0)
        return "none";
    if (request->login.login_id != 0)
        return "token";
    return request->route->auth == ROUTE_WRITE ? "write" : "read";
}

void
api_note_done(struct api_loop *loop, const struct http_exchange *exchange)
{
    const struct api *api = loop->api;
    const struct api_request *request = http_user(exchange);
    char room[ADDRESS_TEXT_BYTES];
    struct access_line line = {
        .now_us = clock_wall_us(api->config.clock),
        .request_id = http_request_id(exchange),
        .outcome = http_outcome(exchange),
        .peer = http_peer(exchange),
        .credential = credential_of(request),
    };

    line.duration_us = (clock_steady_ns(api->config.clock) - line.outcome.began_ns) / 1000;
    if (line.outcome.has_head) {
        line.method =
            http_method(exchange) == HTTP_OTHER ? SLICE("OTHER") : http_method_text(exchange);
        line.peer = api_peer(api, exchange, room);
    }
    if (request != NULL && request->route != NULL)
        line.route = request->route->pattern;
    access_lines_add(&loop->access_lines, &line);
}
