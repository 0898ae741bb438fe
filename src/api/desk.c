/*
 * desk - lanes, and one job's life. See desk.h.
 */
#include "api/desk.h"

#include "api/internal.h"
#include "api/media.h"
#include "base/mem.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define JOB_ARENA_BLOCK 4096
#define JOB_ARENA_BYTES_MAX (UINT64_C(128) * 1024 * 1024)
#define JOB_BODY_BYTES_MAX (UINT64_C(16) * 1024 * 1024)

struct lane {
    struct desk *desk;
    struct pool *pool;
};

struct desk {
    struct desk_config config;
    struct lane lanes[DESK_LANES];
};

/* What a request gathers until its body is whole. */
struct desk_visit {
    struct desk_job *job; /* NULL: replied already */
    struct buf text;
    bool is_sent;
};

/* --- on a lane's thread -----------------------------------------------------------------------*/

static enum err
lane_start(void *arg, void **ret_worker_state, struct diag *diag)
{
    const struct lane *lane = arg;
    struct account *account = NULL;
    enum err err = account_open(&lane->desk->config.accounts, &account, diag);

    if (err == ERR_OK)
        *ret_worker_state = account;
    return err;
}

static void
lane_stop(void *worker_state)
{
    struct account *account = worker_state;

    account_close(&account);
}

/* What rows say, as a client is told it. */
static enum err
as_answer(enum err err)
{
    switch ((int)err) {
    case ERR_ABSENT:
        return ERR_NOT_FOUND;
    case ERR_EXISTS:
        return ERR_ALREADY_EXISTS;
    case ERR_INVALID:
        return ERR_INVALID_PARAMETER;
    case ERR_FULL:
        return ERR_CONFLICT;
    case ERR_LOCKED:
        return ERR_OVERLOADED;
    default:
        return err;
    }
}

static void
lane_run(struct pool_job *pool_job, void *worker_state)
{
    struct desk_job *job =
        (struct desk_job *)(void *)((char *)pool_job - offsetof(struct desk_job, pool_job));
    struct access_table *table = job->api->config.access;
    struct diag ignored = DIAG_INIT;

    job->account = worker_state;
    job->access = access_get(table);
    job->err = job->handler->run(job, &job->diag);
    if (job->err == ERR_OK && buf_failed(&job->body))
        job->err = ERR_NOMEM;
    job->err = as_answer(job->err);
    /* If it fails the watcher tries again, and has told the sink. */
    if (job->has_changed && access_refresh(table, &ignored) != ERR_OK)
        job->has_changed = false;
    access_release(&job->access);
    errand_finish(&job->errand);
}

/* --- on the loop ------------------------------------------------------------------------------*/

static struct desk_job *
job_of(struct errand *errand)
{
    return (struct desk_job *)(void *)errand; /* its first member */
}

static void
free_job(struct errand *errand)
{
    struct desk_job *job = job_of(errand);

    /* Passwords and tokens may stand in all of these. */
    if (job->body.ptr != NULL)
        sodium_memzero(job->body.ptr, job->body.capacity);
    if (job->body_text.len != 0)
        sodium_memzero((char *)(uintptr_t)job->body_text.ptr, job->body_text.len);
    buf_fini(&job->body);
    arena_fini(&job->arena);
    mem_free(job);
}

static void
reply_job(struct errand *errand)
{
    struct desk_job *job = job_of(errand);
    struct http_exchange *exchange = errand->exchange;
    char seconds[24];

    if (job->err == ERR_OK) {
        http_reply(exchange, job->status, job->status == 204 ? NULL : "application/json",
                   buf_slice(&job->body));
        return;
    }
    if (err_status(job->err) == 500)
        SINK(job->api->config.sink, LOG_LEVEL_ERROR, "desk.failed",
             LOG_SLICE("request_id", http_request_id(exchange)),
             LOG_TEXT("error", err_name(job->err)), LOG_TEXT("reason", job->diag.message));
    if (job->retry_after_s > 0) {
        (void)snprintf(seconds, sizeof(seconds), "%lld", (long long)job->retry_after_s);
        http_reply_header(exchange, "Retry-After", slice_of_text(seconds));
    }
    if (job->err == ERR_UNAUTHORIZED)
        http_reply_header(exchange, "WWW-Authenticate", SLICE("Bearer realm=\"potik\""));
    http_reply_error(exchange, job->err, err_status(job->err) == 500 ? NULL : job->diag.message,
                     job->diag.field);
}

static struct desk_job *
job_new(struct api_request *request)
{
    struct desk_job *job = MEM_NEW(struct desk_job, 1);

    if (job == NULL)
        return NULL;
    arena_init(&job->arena, JOB_ARENA_BLOCK, JOB_ARENA_BYTES_MAX);
    buf_init(&job->body, JOB_BODY_BYTES_MAX);
    job->handler = request->route->desk;
    job->api = request->loop->api;
    job->desk = job->api->desk;
    job->actor = request->actor;
    job->has_login = request->has_login;
    job->login = request->login;
    job->project_id = request->project_id;
    job->status = 200;
    job->errand.reply = reply_job;
    job->errand.free = free_job;
    errand_begin(&job->errand, request->loop->inbox, request->exchange);
    for (size_t i = 0; i < ROUTE_SEGMENTS_MAX; i++) {
        if (request->segments[i].ptr == NULL)
            continue;
        job->segments[i] = arena_copy(&job->arena, request->segments[i]);
        if (job->segments[i].ptr == NULL) {
            errand_free(&job->errand);
            return NULL;
        }
    }
    return job;
}

static void
drop(struct desk_visit *visit)
{
    if (visit->job != NULL)
        errand_free(&visit->job->errand);
    visit->job = NULL;
    if (visit->text.ptr != NULL)
        sodium_memzero(visit->text.ptr, visit->text.capacity);
    buf_fini(&visit->text);
}

static bool
take_parameter(struct desk_job *job, const struct url_pair *pair, struct diag *diag)
{
    const char *const *names = job->handler->parameters;

    for (size_t i = 0; names[i] != NULL; i++) {
        if (!slice_equal(pair->name, slice_of_text(names[i])))
            continue;
        if (job->parameters[i].ptr != NULL) {
            diag_set_field(diag, names[i], "%s: stands twice", names[i]);
            return false;
        }
        job->parameters[i] =
            pair->value.len == 0 ? SLICE("") : arena_copy(&job->arena, pair->value);
        return job->parameters[i].ptr != NULL;
    }
    diag_set(diag, "there is no parameter \"%.*s\" here",
             (int)(pair->name.len < 60 ? pair->name.len : 60), pair->name.ptr);
    return false;
}

static bool
take_parameters(struct api_request *request, struct desk_job *job)
{
    struct diag diag = DIAG_INIT;
    struct url_pair *pairs;
    size_t count;

    if (!api_query_pairs(request, &pairs, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (take_parameter(job, &pairs[i], &diag))
            continue;
        api_reply_diag(request, ERR_INVALID_PARAMETER, &diag);
        return false;
    }
    return true;
}

static bool
has_body(const struct api_request *request)
{
    return request->route->method == HTTP_POST || request->route->method == HTTP_PUT ||
           request->route->method == HTTP_PATCH;
}

static size_t
bytes_max(const struct desk_handler *handler)
{
    return handler->body_bytes_max != 0 ? handler->body_bytes_max : DESK_BODY_BYTES_MAX;
}

static void
reply_too_large(struct api_request *request)
{
    struct diag diag = DIAG_INIT;

    diag_set(&diag, "the body may have %zu bytes here", bytes_max(request->route->desk));
    api_reply_diag(request, ERR_BODY_TOO_LARGE, &diag);
}

/* Only JSON, not compressed. true: goes on. */
static bool
check_head(struct api_request *request)
{
    struct http_exchange *exchange = request->exchange;
    enum event_format format;
    enum media_encoding encoding;
    enum err err;

    if (!has_body(request))
        return true;
    err = media_parse_type(http_header(exchange, "content-type"), &format);
    if (err == ERR_OK && format != EVENT_FORMAT_JSON)
        err = ERR_UNSUPPORTED_MEDIA_TYPE;
    if (err == ERR_OK)
        err = media_parse_encoding(http_header(exchange, "content-encoding"), &encoding);
    if (err == ERR_OK && encoding != MEDIA_IDENTITY)
        err = ERR_UNSUPPORTED_ENCODING;
    if (err != ERR_OK) {
        http_reply_error(exchange, err,
                         err == ERR_UNSUPPORTED_MEDIA_TYPE ? "send Content-Type: application/json"
                                                           : "send the body as it is",
                         NULL);
        return false;
    }
    if (http_content_length(exchange) <= (int64_t)bytes_max(request->route->desk))
        return true;
    reply_too_large(request);
    return false;
}

static void
desk_head(struct api_request *request)
{
    struct desk_visit *visit;

    if (!check_head(request))
        return;
    visit = ARENA_NEW(http_arena(request->exchange), struct desk_visit, 1);
    if (visit != NULL)
        visit->job = job_new(request);
    if (visit == NULL || visit->job == NULL) {
        http_reply_error(request->exchange, ERR_NOMEM, NULL, NULL);
        return;
    }
    buf_init(&visit->text, bytes_max(request->route->desk) + 1);
    if (!take_parameters(request, visit->job)) {
        drop(visit);
        return;
    }
    request->state = visit;
}

static void
desk_body(struct api_request *request, const char *bytes, size_t len)
{
    struct desk_visit *visit = request->state;

    if (!has_body(request))
        return;
    if (visit->text.len + len > bytes_max(request->route->desk)) {
        request->state = NULL;
        drop(visit);
        reply_too_large(request);
        return;
    }
    buf_add(&visit->text, bytes, len);
}

static void
desk_end(struct api_request *request)
{
    struct desk_visit *visit = request->state;
    struct desk_job *job = visit->job;
    const struct desk_handler *handler = job->handler;

    if (buf_failed(&visit->text)) {
        request->state = NULL;
        drop(visit);
        http_reply_error(request->exchange, ERR_NOMEM, NULL, NULL);
        return;
    }
    job->body_text =
        visit->text.len == 0 ? SLICE("") : arena_copy(&job->arena, buf_slice(&visit->text));
    if (handler->before != NULL && !handler->before(request, job)) {
        request->state = NULL;
        drop(visit);
        return;
    }
    job->pool_job.run = lane_run;
    if (job->body_text.ptr == NULL ||
        !pool_submit(job->desk->lanes[handler->lane].pool, &job->pool_job)) {
        request->state = NULL;
        drop(visit);
        http_reply_error(request->exchange, ERR_OVERLOADED,
                         "too many of these are being answered; retry", NULL);
        return;
    }
    visit->is_sent = true;
    if (visit->text.ptr != NULL)
        sodium_memzero(visit->text.ptr, visit->text.capacity);
    buf_fini(&visit->text);
}

static void
desk_gone(struct api_request *request)
{
    struct desk_visit *visit = request->state;

    if (visit == NULL)
        return;
    if (visit->is_sent)
        visit->job->errand.exchange = NULL;
    else
        drop(visit);
}

const struct route_handler desk_route_handler = {
    .head = desk_head, .body = desk_body, .end = desk_end, .gone = desk_gone};

/* --- for handlers -----------------------------------------------------------------------------*/

enum err
desk_read_body(struct desk_job *job, const struct body_field *fields, uint32_t field_count,
               struct body_value *ret_values, struct diag *diag)
{
    return body_read(job->body_text, fields, field_count, &job->arena, ret_values, diag);
}

enum err
desk_segment_number(const struct desk_job *job, uint32_t place, uint64_t *ret_number)
{
    struct slice text = job->segments[place];
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

/* --- start and stop ---------------------------------------------------------------------------*/

enum err
desk_start(const struct desk_config *config, struct desk **ret_desk, struct diag *diag)
{
    static const struct {
        const char *name;
        enum thread_priority priority;
    } kinds[DESK_LANES] = {
        [DESK_CLERK] = {"clerk", THREAD_NORMAL}, [DESK_HASHER] = {"hasher", THREAD_LOW}};
    CLEANUP(desk_stop) struct desk *desk = MEM_NEW(struct desk, 1);

    if (desk == NULL)
        return ERR_NOMEM;
    desk->config = *config;
    for (size_t i = 0; i < DESK_LANES; i++) {
        const struct pool_config pool = {
            .name = kinds[i].name,
            .threads = 1,
            .jobs_max = DESK_JOBS_MAX,
            .priority = kinds[i].priority,
            .worker_start = lane_start,
            .worker_stop = lane_stop,
            .arg = &desk->lanes[i],
        };
        enum err err;

        desk->lanes[i].desk = desk;
        err = pool_start(&pool, &desk->lanes[i].pool, diag);
        if (err != ERR_OK)
            return err;
    }
    *ret_desk = MOVE(desk);
    return ERR_OK;
}

void
desk_stop(struct desk **desk)
{
    if (*desk == NULL)
        return;
    for (size_t i = 0; i < DESK_LANES; i++) {
        if ((*desk)->lanes[i].pool != NULL)
            pool_stop(&(*desk)->lanes[i].pool);
    }
    mem_free(*desk);
    *desk = NULL;
}
