/*
 * resource - see resource.h.
 */
#include "api/resource.h"

#include "api/internal.h"
#include "base/mem.h"

#include <sodium.h>
#include <string.h>

static size_t
body_max(const struct resource_kind *kind)
{
    return kind->body_bytes_max != 0 ? kind->body_bytes_max : BODY_BYTES_MAX;
}

static void
tell_too_large(const struct resource_kind *kind, struct diag *diag)
{
    if (kind->long_field != NULL)
        diag_set_field(diag, kind->long_field,
                       "%s: the body may have %zu bytes here; send several requests",
                       kind->long_field, body_max(kind));
    else
        diag_set(diag, "the body may have %zu bytes here", body_max(kind));
}

static bool
has_body(const struct api_request *request)
{
    return request->route->method == HTTP_POST || request->route->method == HTTP_PUT ||
           request->route->method == HTTP_PATCH;
}

/* --- at the desk ------------------------------------------------------------------------------*/

static enum err
run(struct desk_job *job, struct account *account)
{
    struct resource *res = job->state;
    enum err err;

    res->job = job;
    res->account = account;
    res->access = access_get(desk_access(job->desk));
    res->arena = &job->errand.arena;
    res->body = &job->errand.body;
    res->actor = &job->actor;
    res->login = &job->login;
    res->status = 200;
    err = res->kind->run(res, &job->errand.diag);
    if (err == ERR_OK && res->body->len != 0)
        buf_add_char(res->body, '\n'); /* a terminal's prompt stands on a line of its own */
    access_release(&res->access);
    job->has_changed = err == ERR_OK && res->has_changed;
    job->errand.status = res->status;
    if (err == ERR_FULL)
        return ERR_CONFLICT;
    return desk_public_err(err);
}

static void
wipe(void *state)
{
    struct resource *res = state;

    /* In the job's arena: ours to write to. */
    if (res->body_text.len != 0)
        sodium_memzero((char *)(uintptr_t)res->body_text.ptr, res->body_text.len);
}

/* --- on the loop ------------------------------------------------------------------------------*/

static void
resource_head(struct api_request *request)
{
    struct http_exchange *exchange = request->exchange;
    const struct resource_kind *kind = request->route->resource;
    const char *message = NULL;
    struct diag diag = DIAG_INIT;
    enum err err;

    if (!has_body(request))
        return;
    request->body.bytes_max = body_max(kind);
    /* The length is ours to judge: routes differ in it. */
    err = http_header_count(exchange, "content-encoding") > 1
              ? ERR_UNSUPPORTED_ENCODING
              : body_check_head(http_header(exchange, "content-type"),
                                http_header(exchange, "content-encoding"), -1, &message);
    if (err == ERR_OK && http_content_length(exchange) > (int64_t)body_max(kind)) {
        tell_too_large(kind, &diag);
        message = diag.message;
        err = ERR_BODY_TOO_LARGE;
    }
    if (err != ERR_OK)
        http_reply_error(exchange, err, message, diag.field[0] != '\0' ? diag.field : NULL);
}

static void
resource_body(struct api_request *request, const char *bytes, size_t len)
{
    if (has_body(request))
        body_add(&request->body, http_arena(request->exchange), bytes, len);
}

static enum err
take_parameter(struct resource *res, struct arena *arena, const struct url_pair *pair,
               struct diag *diag)
{
    const char *const *names = res->kind->parameters;

    for (size_t i = 0; names[i] != NULL; i++) {
        if (!slice_equal(pair->name, slice_of_text(names[i])))
            continue;
        if (res->parameters[i].ptr != NULL) {
            diag_set_field(diag, names[i], "%s: stands twice", names[i]);
            return ERR_INVALID_PARAMETER;
        }
        res->parameters[i] = pair->value.len == 0 ? SLICE("") : arena_copy(arena, pair->value);
        return res->parameters[i].ptr != NULL ? ERR_OK : ERR_NOMEM;
    }
    diag_set(diag, "there is no parameter \"%.*s\" here",
             (int)(pair->name.len < 60 ? pair->name.len : 60), pair->name.ptr);
    return ERR_INVALID_PARAMETER;
}

/* What was asked, copied into the job's arena. */
static enum err
take_request(struct api_request *request, struct resource *res, struct arena *arena,
             const struct url_pair *pairs, size_t pair_count, struct diag *diag)
{
    enum err err = request->body.err;

    res->kind = request->route->resource;
    res->api = request->loop->api;
    res->project_id = request->project_id;
    if (err == ERR_BODY_TOO_LARGE)
        tell_too_large(res->kind, diag);
    for (size_t i = 0; i < pair_count && err == ERR_OK; i++)
        err = take_parameter(res, arena, &pairs[i], diag);
    for (size_t i = 0; i < ROUTE_SEGMENTS_MAX && err == ERR_OK; i++) {
        if (request->segments[i].ptr == NULL)
            continue;
        res->segments[i] = arena_copy(arena, request->segments[i]);
        err = res->segments[i].ptr != NULL ? ERR_OK : ERR_NOMEM;
    }
    if (err == ERR_OK && http_header(request->exchange, "if-match").ptr != NULL) {
        res->if_match = arena_copy(arena, http_header(request->exchange, "if-match"));
        err = res->if_match.ptr != NULL ? ERR_OK : ERR_NOMEM;
    }
    if (err == ERR_OK && request->body.len != 0) {
        res->body_text = arena_copy(arena, slice_of(request->body.ptr, request->body.len));
        err = res->body_text.ptr != NULL ? ERR_OK : ERR_NOMEM;
    }
    body_wipe(&request->body);
    return err;
}

static void
resource_end(struct api_request *request)
{
    struct url_pair *pairs;
    size_t count;
    struct desk_job *job;
    struct diag diag = DIAG_INIT;
    enum err err;

    if (!api_query_pairs(request, &pairs, &count))
        return;
    job = api_desk_new(request, request->route->resource->lane, run, sizeof(struct resource));
    if (job == NULL)
        return;
    job->wipe = wipe;
    err = take_request(request, job->state, &job->errand.arena, pairs, count, &diag);
    if (err != ERR_OK) {
        desk_job_free(&job);
        api_reply_diag(request, err, &diag);
        return;
    }
    (void)!api_desk_submit(request, job); /* false: a reply has been given */
}

const struct route_handler resource_route_handler = {
    .head = resource_head, .body = resource_body, .end = resource_end, .gone = api_job_gone};

/* --- for resources ----------------------------------------------------------------------------*/

enum err
resource_read_body(struct resource *res, const struct body_field *fields, size_t count,
                   struct body_value *ret_values, struct diag *diag)
{
    return body_read(res->body_text, fields, count, res->arena, ret_values, diag);
}

enum err
resource_segment_number(const struct resource *res, uint32_t place, uint64_t *ret_number)
{
    struct slice text = res->segments[place];
    uint64_t number = 0;

    if (text.len == 0 || text.len > 18 || text.ptr[0] == '0')
        return ERR_NOT_FOUND;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return ERR_NOT_FOUND;
        number = number * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret_number = number;
    return ERR_OK;
}
