/*
 * small - what routes with a small JSON body share, and how they hand their work to a desk.
 *
 * Layer 6, on the loops. Bodies here may hold passwords: they are wiped as soon as they are read.
 */
#include "api/internal.h"

#include <sodium.h>

void
api_body_head(struct api_request *request)
{
    const struct http_exchange *exchange = request->exchange;
    const char *message = NULL;
    enum err err = http_header_count(exchange, "content-encoding") > 1
                       ? ERR_UNSUPPORTED_ENCODING
                       : body_check_head(http_header(exchange, "content-type"),
                                         http_header(exchange, "content-encoding"),
                                         http_content_length(exchange), &message);

    if (err != ERR_OK)
        http_reply_error(request->exchange, err, message, NULL);
}

void
api_body_add(struct api_request *request, const char *bytes, size_t len)
{
    body_add(&request->body, http_arena(request->exchange), bytes, len);
}

bool
api_body_read(struct api_request *request, const struct body_field *fields, size_t count,
              struct body_value *ret_values)
{
    struct body *body = &request->body;
    struct diag diag = DIAG_INIT;
    enum err err = body->err;

    if (request->query.ptr != NULL && request->query.len != 0) {
        diag_set(&diag, "no parameters are taken here");
        err = ERR_INVALID_PARAMETER;
    } else if (err == ERR_BODY_TOO_LARGE) {
        diag_set(&diag, "the body is over 64 KiB");
    } else if (err == ERR_OK) {
        err = body_read(slice_of(body->ptr, body->len), fields, count,
                        http_arena(request->exchange), ret_values, &diag);
    }
    if (err == ERR_OK)
        return true;
    body_wipe(body);
    api_reply_diag(request, err, &diag);
    return false;
}

void
api_body_forget(struct api_request *request, struct body_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        /* In the body or the exchange's arena: ours to write to. */
        if (values[i].text.ptr != NULL)
            sodium_memzero((char *)(uintptr_t)values[i].text.ptr, values[i].text.len);
        values[i].text = SLICE_NONE;
    }
    body_wipe(&request->body);
}

struct desk_job *
api_desk_new(struct api_request *request, enum desk_lane lane, desk_run_fn *run, size_t state_bytes)
{
    struct desk_job *job =
        desk_job_new(request->loop->api->desk, lane, request->loop->inbox, request->exchange);

    if (job != NULL) {
        job->run = run;
        job->actor = request->actor;
        if (job->actor.from[0] == '\0')
            api_format_peer(request, job->actor.from);
        job->login = request->login;
        job->project_id = request->project_id;
        job->request_id = arena_copy(&job->errand.arena, http_request_id(request->exchange));
        if (state_bytes != 0)
            job->state = arena_zalloc(&job->errand.arena, 1, state_bytes);
        if (job->request_id.ptr == NULL || (state_bytes != 0 && job->state == NULL))
            desk_job_free(&job);
    }
    if (job == NULL)
        http_reply_error(request->exchange, ERR_NOMEM, NULL, NULL);
    return job;
}

bool
api_desk_submit(struct api_request *request, struct desk_job *job)
{
    enum err err = desk_job_submit(job);

    if (err == ERR_OK) {
        request->errand = &job->errand;
        return true;
    }
    desk_job_free(&job);
    http_reply_error(request->exchange, err, "too many ask this at once; retry", NULL);
    return false;
}

/* --- tries of passwords -----------------------------------------------------------------------*/

bool
api_desk_submit_guess(struct api_request *request, struct desk_job *job, struct slice email)
{
    struct api *api = request->loop->api;
    struct diag diag = DIAG_INIT;
    char text[16];
    uint32_t wait_s;
    enum err err;

    if (api->throttle != NULL &&
        !throttle_enter(api->throttle, email, slice_of_text(job->actor.from),
                        clock_steady_ns(api->config.clock), &wait_s)) {
        atomic_fetch_add(&api->failed_logins.throttled, 1);
        (void)snprintf(text, sizeof(text), "%u", wait_s);
        http_reply_header(request->exchange, "Retry-After", slice_of_text(text));
        diag_set(&diag,
                 "too many passwords were wrong, of this account or from your address; no password "
                 "is looked at for %u s",
                 wait_s);
        http_reply_error(request->exchange, ERR_RATE_LIMITED, diag.message, NULL);
        desk_job_free(&job);
        return false;
    }
    err = desk_job_submit(job);
    if (err == ERR_OK) {
        request->errand = &job->errand;
        return true;
    }
    api_guess_tried(job, email, THROTTLE_UNDECIDED);
    desk_job_free(&job);
    http_reply_error(request->exchange, err, "too many log in at once; retry", NULL);
    return false;
}

void
api_guess_tried(const struct desk_job *job, struct slice email, enum throttle_outcome outcome)
{
    const struct api *api = desk_context(job->desk);

    if (api->throttle != NULL)
        throttle_leave(api->throttle, email, slice_of_text(job->actor.from),
                       clock_steady_ns(api->config.clock), outcome);
}
