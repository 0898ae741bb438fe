/*
 * events - POST /v1/events: bytes in, decoded, gathered for the turn's commit, answered event by
 * event.
 *
 * Layer 6, on the loops. What a request needs lives in its exchange's arena. When the client goes
 * away after its events were gathered, they are stored all the same: the arena is taken over then,
 * and freed when the commit is over.
 */
#include "api/internal.h"
#include "api/listing.h"
#include "api/media.h"
#include "api/plan_gate.h"
#include "api/quota_gate.h"
#include "api/upload.h"
#include "api/verdicts.h"
#include "base/counter.h"

#include <string.h>

#define OVERLOADED_DEFINE(where)                                                                   \
    COUNTER_LABEL_DEFINE(overloaded_##where, "potik_overloaded_total",                             \
                         "requests with events refused since more comes than is stored", "where",  \
                         #where)
OVERLOADED_DEFINE(gather);
OVERLOADED_DEFINE(reading);
OVERLOADED_DEFINE(memory);

struct events_post {
    struct ingest_request ingest;
    struct api_request *request;
    struct upload upload;
    struct plan_gate gate;
    struct quota_gate quota;
    bool wants_results;
    uint64_t *retried; /* ids of `retry_of`, in the arena: one an event */
    uint32_t retried_count;
    struct slice request_id; /* once the client is gone */
    bool is_gathered;        /* ingest holds it until `done` */
    struct arena kept;       /* the exchange's, taken over when the client went away */
};

/* --- the head ---------------------------------------------------------------------------------*/

/* "17,18": the ids of kept refused events that are sent again (rejected.c). */
static enum err
parse_retried(struct slice text, struct arena *arena, struct events_post *post, struct diag *diag)
{
    uint32_t count = 1;

    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == ',';
    post->retried = ARENA_NEW(arena, uint64_t, count);
    if (post->retried == NULL)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const char *comma = memchr(text.ptr, ',', text.len);
        struct slice id = slice_of(text.ptr, comma != NULL ? (size_t)(comma - text.ptr) : text.len);

        if (!rejected_parse_id(id, &post->retried[i])) {
            diag_set_field(diag, "retry_of",
                           "retry_of: the ids of kept events, a comma between, one an event");
            return ERR_INVALID_PARAMETER;
        }
        if (comma != NULL)
            text = slice_of(comma + 1, text.len - id.len - 1);
    }
    post->retried_count = count;
    return ERR_OK;
}

/* `detail=all`, `retry_of=`; anything else is refused by name. A reply has been given if false. */
static bool
parse_query(struct api_request *request, struct events_post *post)
{
    struct diag diag = DIAG_INIT;
    struct url_pair *pairs;
    size_t count;

    if (!api_query_pairs(request, &pairs, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(pairs[i].name, SLICE("detail")) &&
            slice_equal(pairs[i].value, SLICE("all"))) {
            post->wants_results = true;
            continue;
        }
        if (slice_equal(pairs[i].name, SLICE("retry_of")) && post->retried == NULL) {
            enum err err =
                parse_retried(pairs[i].value, http_arena(request->exchange), post, &diag);

            if (err == ERR_OK)
                continue;
            api_reply_diag(request, err, &diag);
            return false;
        }
        if (slice_equal(pairs[i].name, SLICE("detail")))
            diag_set_field(&diag, "detail", "detail: may be \"all\"");
        else
            (void)listing_refuse(pairs[i].name, slice_equal(pairs[i].name, SLICE("retry_of")),
                                 &diag);
        api_reply_diag(request, ERR_INVALID_PARAMETER, &diag);
        return false;
    }
    return true;
}

/* Early: nothing of the body has been read. A reply has been given if false. */
static bool
may_begin(const struct api_request *request, enum media_encoding encoding)
{
    struct api_loop *loop = request->loop;
    const int64_t length = http_content_length(request->exchange);

    if (ingest_is_full(loop->ingest, length)) {
        counter_add(&overloaded_gather, 1);
    } else if (!upload_may_begin(&loop->uploads, encoding, length, http_loop_now_ns(loop->http))) {
        counter_add(&overloaded_reading, 1);
    } else {
        return true;
    }
    http_reply_error(request->exchange, ERR_OVERLOADED, NULL, NULL);
    return false;
}

static void
post_head(struct api_request *request)
{
    struct http_exchange *exchange = request->exchange;
    struct api_loop *loop = request->loop;
    struct events_post *post = ARENA_NEW(http_arena(exchange), struct events_post, 1);
    struct event_context context = {
        .project_id = request->project_id,
        .received_at_us = request->arrived_at_us,
        .originals_max = loop->api->config.rejects != NULL ? RECORD_ORIGINAL_MAX : 0,
        .random = random_system(), /* write keys are public in browsers: nobody may guess an id */
    };
    enum media_encoding encoding;
    enum err err;

    err = post == NULL ? ERR_NOMEM
                       : media_parse_type(http_header(exchange, "content-type"), &context.format);
    if (err == ERR_OK)
        err = http_header_count(exchange, "content-encoding") > 1
                  ? ERR_UNSUPPORTED_ENCODING
                  : media_parse_encoding(http_header(exchange, "content-encoding"), &encoding);
    if (err != ERR_OK) {
        http_reply_error(exchange, err, NULL, NULL);
        return;
    }
    if (!parse_query(request, post) || !may_begin(request, encoding))
        return;
    post->request = request;
    upload_init(&post->upload, loop->decoder, &context, encoding, http_content_length(exchange),
                &loop->uploads, http_arena(exchange));
    if (post->upload.is_member)
        crowd_await(&loop->uploads.crowd, &post->upload.member, http_waiting_bytes(exchange));
    request->state = post;
}

static void
post_body(struct api_request *request, const char *bytes, size_t len)
{
    struct events_post *post = request->state;

    upload_add(&post->upload, bytes, len);
}

/* --- the verdicts -----------------------------------------------------------------------------*/

/* The text of the position, made once for all requests of a commit. */
static struct slice
position_text(struct api_loop *loop, struct store_position position)
{
    if (position.generation == 0 && position.major == 0 && position.minor == 0)
        position = store_durable(loop->api->config.store);
    if (loop->position_text[0] == '\0' || position.minor != loop->position.minor ||
        position.major != loop->position.major ||
        position.generation != loop->position.generation) {
        loop->position = position;
        store_position_format(position, loop->position_text);
    }
    return slice_of_text(loop->position_text);
}

static uint64_t
retried_id(const struct events_post *post, uint32_t index)
{
    return index < post->retried_count ? post->retried[index] : 0;
}

static void
keep(const struct events_post *post, uint32_t index)
{
    const struct api_request *request = post->request;
    const struct event_entry *entry = &post->ingest.batch.entries[index];
    const struct event_original *original = &post->ingest.batch.originals[index];
    const struct reject reject = {
        .received_at_us = request->arrived_at_us,
        .project_id = request->project_id,
        .index = index,
        .sender_id = request->actor.id,
        .sender_kind = (uint8_t)request->actor.kind,
        .is_cut = original->is_cut,
        .code = slice_of_text(err_code(entry->err)),
        .field = entry->field,
        .message =
            entry->message.ptr != NULL ? entry->message : slice_of_text(err_sentence(entry->err)),
        .event_id = entry->event.event_id,
        .request_id =
            post->ingest.is_abandoned ? post->request_id : http_request_id(request->exchange),
        .original = original->bytes,
    };

    rejects_add(request->loop->api->config.rejects, &reject);
}

/* Copies of what was refused go into a queue; of what was sent again and is stored now, a note. */
static void
keep_refused(const struct events_post *post)
{
    const struct ingest_request *ingest = &post->ingest;
    struct rejects *rejects = post->request->loop->api->config.rejects;

    if (rejects == NULL || (ingest->rejected == 0 && post->retried_count == 0))
        return;
    for (uint32_t i = 0; i < ingest->batch.count; i++) {
        const uint64_t retried = retried_id(post, i);

        if (ingest->verdicts[i] != INGEST_REJECTED)
            rejects_done(rejects, post->request->project_id, retried);
        else if (retried == 0) /* else it is kept already */
            keep(post, i);
    }
}

/* The cause that a sender may know: anybody with a key reads it. NULL: the table's sentence. */
static const char *
failure_words(const struct api *api, enum err err)
{
    const char *reason = atomic_load(&api->unready_reason);

    if (err != ERR_NOT_READY)
        return NULL;
    return reason != NULL ? reason : store_not_ready_sentence(api->config.store);
}

static void
post_done(struct ingest_request *ingest)
{
    struct events_post *post = ingest->user;
    struct api_loop *loop = post->request->loop;
    struct http_exchange *exchange = post->request->exchange;
    int status;

    post->is_gathered = false;
    if (ingest->err == ERR_OK)
        keep_refused(post);
    quota_gate_settle(&post->quota, ingest);
    if (ingest->err != ERR_OK) /* of a link that was closed, the api is gone already */
        plan_gate_fini(&post->gate);
    else if (post->gate.warnings != NULL)
        plan_gate_count(&post->gate, ingest, clock_wall_us(loop->api->config.clock));
    if (ingest->is_abandoned) {
        struct arena kept = post->kept; /* `post` lies in it */

        arena_fini(&kept);
        return;
    }
    if (ingest->err != ERR_OK) {
        limits_give_events(post->request, ingest->batch.count);
        http_reply_error(exchange, ingest->err, failure_words(loop->api, ingest->err), NULL);
        return;
    }
    buf_clear(&loop->reply);
    status = verdicts_write(&loop->reply, ingest, position_text(loop, ingest->position),
                            post->wants_results, http_request_id(exchange));
    if (status == err_status(ERR_QUOTA_EXCEEDED)) {
        http_note_error(exchange, ERR_QUOTA_EXCEEDED);
        quota_gate_add_fields(&post->quota, post->request);
    } else if (status != 200) {
        http_note_error(exchange, ERR_ALL_REJECTED);
    }
    api_reply_json(post->request, status, &loop->reply);
}

/* Of a refused event only its id is set: the probe for it asks within the key's project. */
static void
own_refused(const struct event_batch *batch, uint32_t project_id)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->entries[i].err != ERR_OK)
            batch->entries[i].event.project_id = project_id;
    }
}

static void
post_end(struct api_request *request)
{
    struct events_post *post = request->state;
    struct ingest_request *ingest = &post->ingest;
    enum err err = upload_end(&post->upload, &ingest->batch);
    const struct diag *diag = post->upload.diag;

    upload_fini(&post->upload);
    if (err != ERR_OK) {
        limits_count_body(request);
        if (err == ERR_OVERLOADED)
            counter_add(&overloaded_memory, 1);
        http_reply_error(request->exchange, err, diag != NULL ? diag->message : NULL,
                         diag != NULL ? diag->field : NULL);
        return;
    }
    if (post->retried_count != 0 && post->retried_count != ingest->batch.count) {
        struct diag words = DIAG_INIT;

        limits_count_body(request);
        diag_set_field(&words, "retry_of", "retry_of: %u ids, but %u events; name one an event",
                       post->retried_count, ingest->batch.count);
        api_reply_diag(request, ERR_INVALID_PARAMETER, &words);
        return;
    }
    if (!limits_take_events(request, ingest->batch.count))
        return;
    err = plan_gate_check(&post->gate, request, &ingest->batch);
    if (err == ERR_OK)
        err = quota_gate_check(&post->quota, request, &ingest->batch);
    own_refused(&ingest->batch, request->project_id);
    ingest->verdicts =
        arena_alloc(http_arena(request->exchange), ingest->batch.count * sizeof(*ingest->verdicts));
    ingest->done = post_done;
    ingest->user = post;
    if (err == ERR_OK)
        err = ingest->verdicts == NULL ? ERR_NOMEM : ingest_add(request->loop->ingest, ingest);
    if (err != ERR_OK) {
        plan_gate_fini(&post->gate);
        quota_gate_fini(&post->quota);
        limits_give_events(request, ingest->batch.count);
        if (err == ERR_OVERLOADED)
            counter_add(&overloaded_gather, 1);
        http_reply_error(request->exchange, err, NULL, NULL);
        return;
    }
    post->is_gathered = true;
}

static void
post_gone(struct api_request *request)
{
    struct events_post *post = request->state;

    if (post == NULL)
        return;
    upload_fini(&post->upload);
    if (!post->is_gathered)
        return;
    post->request_id =
        arena_copy(http_arena(request->exchange), http_request_id(request->exchange));
    /* The commit still reads from the arena: the exchange gets an empty one. */
    post->kept = *http_arena(request->exchange);
    arena_init(http_arena(request->exchange), post->kept.block_bytes, post->kept.bytes_max);
    post->ingest.is_abandoned = true;
}

const struct route_handler events_post_handler = {
    .head = post_head, .body = post_body, .end = post_end, .gone = post_gone};
