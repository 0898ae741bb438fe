/*
 * reply - what all resources of this room ask of a request and reply with: bodies, the query
 * string, jobs, the client's address.
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

struct slice
api_peer(const struct api *api, const struct http_exchange *exchange)
{
    struct slice peer = http_peer(exchange);
    struct slice forwarded =
        api->config.trusts_proxy ? http_header(exchange, "x-forwarded-for") : SLICE_NONE;

    /* Repeated, the fields are one list: http_header gives the first, so it is not taken. */
    if (forwarded.ptr == NULL || http_header_count(exchange, "x-forwarded-for") != 1)
        return peer;
    for (size_t i = forwarded.len; i > 0; i--) {
        if (forwarded.ptr[i - 1] == ',') {
            forwarded = slice_of(forwarded.ptr + i, forwarded.len - i);
            break;
        }
    }
    forwarded = slice_trim(forwarded);
    return forwarded.len == 0 || forwarded.len > ACCOUNT_FROM_BYTES ? peer : forwarded;
}

void
api_format_peer(const struct api_request *request, char ret_from[ACCOUNT_FROM_BYTES + 1])
{
    struct slice peer = api_peer(request->loop->api, request->exchange);
    size_t len = peer.len < ACCOUNT_FROM_BYTES ? peer.len : ACCOUNT_FROM_BYTES;

    /* X-Forwarded-For is anybody's text: only what stands in addresses goes into rows. */
    for (size_t i = 0; i < len; i++)
        ret_from[i] = peer.ptr[i] > ' ' && peer.ptr[i] < 0x7f ? peer.ptr[i] : '?';
    ret_from[len] = '\0';
}

void
api_note_refused(struct api *api, struct http_exchange *exchange, const char *reason)
{
    http_reply_header(exchange, "WWW-Authenticate", SLICE("Bearer realm=\"potik\""));
    refusal_tell(&api->refusals, api->config.sink, clock_steady_ns(api->config.clock),
                 http_request_id(exchange), api_peer(api, exchange), reason);
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
