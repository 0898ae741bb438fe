/*
 * exchange - one request with its reply: where they come from, and what the handler asks of them.
 *
 * Layer 5 (http), on the loop's thread. Exchanges are recycled with their buffers and the first
 * block of their arena, so that a request in steady state allocates nothing.
 */
#include "http/connection.h"

#include <assert.h>
#include <sys/ioctl.h>

#define ARENA_BLOCK_BYTES 4096
#define ARENA_BYTES_MAX (UINT64_C(64) << 20)
#define REPLY_BYTES_MAX ((size_t)1 << 40) /* the handler's own limits come first */

static struct http_exchange *
exchange_new(struct http_loop *loop)
{
    struct http_exchange *exchange = MEM_NEW(struct http_exchange, 1);
    uint64_t arena_max = loop->config->arena_bytes_max;

    if (exchange == NULL)
        return NULL;
    exchange->head_bytes = (char *)mem_alloc(HTTP_HEAD_BUFFER_BYTES);
    if (exchange->head_bytes == NULL) {
        mem_free(exchange);
        return NULL;
    }
    exchange->head_capacity = HTTP_HEAD_BUFFER_BYTES;
    buf_init(&exchange->fields, REPLY_BYTES_MAX);
    buf_init(&exchange->reply, REPLY_BYTES_MAX);
    arena_init(&exchange->arena, ARENA_BLOCK_BYTES, arena_max != 0 ? arena_max : ARENA_BYTES_MAX);
    return exchange;
}

void
exchange_free(struct http_exchange *exchange)
{
    arena_fini(&exchange->arena);
    buf_fini(&exchange->fields);
    buf_fini(&exchange->reply);
    mem_free(exchange->head_bytes);
    mem_free(exchange);
}

static void
make_id(struct http_loop *loop, struct http_exchange *exchange)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t number = loop->id_next++;
    size_t len = loop->id_prefix_len;

    memcpy(exchange->made_id, loop->id_prefix, sizeof(loop->id_prefix));
    for (int shift = number >> 32 != 0 ? 60 : 28; shift >= 0; shift -= 4)
        exchange->made_id[len++] = digits[number >> shift & 15];
    exchange->made_id_len = len;
}

struct http_exchange *
exchange_take(struct http_loop *loop)
{
    struct http_exchange *exchange = loop->free_exchanges;

    if (exchange != NULL) {
        loop->free_exchanges = exchange->next;
        loop->free_exchange_count--;
    } else {
        exchange = exchange_new(loop);
        if (exchange == NULL)
            return NULL;
    }
    exchange->next = NULL;
    exchange->user = NULL;
    exchange->phase = EXCHANGE_HEAD;
    exchange->is_with_handler = false;
    exchange->is_replied = false;
    exchange->is_closing = false;
    exchange->is_broken = false;
    exchange->has_retry_after = false;
    exchange->has_head = false;
    exchange->status = 0;
    exchange->err = ERR_OK;
    exchange->sent = 0;
    exchange->still = SLICE_NONE;
    exchange->head_len = 0;
    exchange->body_bytes = 0;
    exchange->skipped_bytes = 0;
    exchange->request = (struct http_request){.content_length = -1};
    http_head_init(&exchange->head);
    make_id(loop, exchange);
    return exchange;
}

static void
clear_buf(struct buf *buf)
{
    if (buf->capacity > HTTP_KEEP_BYTES_MAX) {
        buf_fini(buf);
        buf_init(buf, REPLY_BYTES_MAX);
    } else {
        buf_clear(buf);
    }
}

void
exchange_recycle(struct http_loop *loop, struct http_exchange *exchange)
{
    if (loop->free_exchange_count == HTTP_FREE_EXCHANGES_MAX) {
        exchange_free(exchange);
        return;
    }
    clear_buf(&exchange->fields);
    clear_buf(&exchange->reply);
    if (exchange->arena.bytes_used > HTTP_KEEP_BYTES_MAX) {
        size_t bytes_max = exchange->arena.bytes_max;

        arena_fini(&exchange->arena);
        arena_init(&exchange->arena, ARENA_BLOCK_BYTES, bytes_max);
    } else {
        arena_clear(&exchange->arena);
    }
    exchange->next = loop->free_exchanges;
    loop->free_exchanges = exchange;
    loop->free_exchange_count++;
}

void
exchange_gone(struct http_exchange *exchange)
{
    struct http_loop *loop = exchange->connection->loop;

    if (!exchange->is_with_handler)
        return;
    exchange->is_with_handler = false;
    loop->config->handler->gone(loop->app_state, exchange);
}

void
exchange_done(const struct http_exchange *exchange)
{
    struct http_loop *loop = exchange->connection->loop;

    if (loop->config->tells_done && (exchange->has_head || exchange->status != 0))
        loop->config->handler->done(loop->app_state, exchange);
}

struct http_outcome
http_outcome(const struct http_exchange *exchange)
{
    return (struct http_outcome){
        .status = exchange->status,
        .err = exchange->err,
        .has_head = exchange->has_head,
        .bytes_in = exchange->head_len + exchange->body_bytes,
        .bytes_out = exchange->sent,
        .began_ns = exchange->began_ns,
    };
}

/* --- what the handler asks --------------------------------------------------------------------*/

enum http_method
http_method(const struct http_exchange *exchange)
{
    return exchange->request.method;
}

struct slice
http_method_text(const struct http_exchange *exchange)
{
    return slice_of(exchange->head_bytes + exchange->head.method_at, exchange->head.method_len);
}

struct slice
http_path(const struct http_exchange *exchange)
{
    const struct http_request *request = &exchange->request;

    if (request->path_len == 0)
        return SLICE("/");
    return slice_of(exchange->head_bytes + request->path_at, request->path_len);
}

struct slice
http_query(const struct http_exchange *exchange)
{
    const struct http_request *request = &exchange->request;

    if (!request->has_query)
        return SLICE_NONE;
    return slice_of(exchange->head_bytes + request->query_at, request->query_len);
}

static bool
field_is(const struct http_exchange *exchange, unsigned i, const char *name, size_t name_len)
{
    const struct http_field *field = &exchange->head.fields[i];

    return field->name_len == name_len &&
           http_text_is(exchange->head_bytes + field->name_at, name_len, name, name_len);
}

struct slice
http_header(const struct http_exchange *exchange, const char *name)
{
    size_t name_len = strlen(name);

    if ((exchange->request.name_lengths >> (name_len & 63) & 1) == 0)
        return SLICE_NONE;
    for (unsigned i = 0; i < exchange->head.field_count; i++) {
        if (field_is(exchange, i, name, name_len)) {
            const struct http_field *field = &exchange->head.fields[i];

            return slice_of(exchange->head_bytes + field->value_at, field->value_len);
        }
    }
    return SLICE_NONE;
}

struct slice
http_header_at(const struct http_exchange *exchange, const char *name, uint32_t i)
{
    size_t name_len = strlen(name);

    for (unsigned at = 0; at < exchange->head.field_count; at++) {
        if (field_is(exchange, at, name, name_len) && i-- == 0) {
            const struct http_field *field = &exchange->head.fields[at];

            return slice_of(exchange->head_bytes + field->value_at, field->value_len);
        }
    }
    return SLICE_NONE;
}

struct slice
http_authorization(const struct http_exchange *exchange, uint32_t *ret_count)
{
    const struct http_request *request = &exchange->request;

    *ret_count = request->authorization_count;
    return request->authorization_count == 0
               ? SLICE_NONE
               : slice_of(exchange->head_bytes + request->authorization_at,
                          request->authorization_len);
}

uint32_t
http_header_count(const struct http_exchange *exchange, const char *name)
{
    size_t name_len = strlen(name);
    uint32_t count = 0;

    for (unsigned i = 0; i < exchange->head.field_count; i++)
        count += field_is(exchange, i, name, name_len);
    return count;
}

struct slice
http_request_id(const struct http_exchange *exchange)
{
    const struct http_request *request = &exchange->request;

    if (request->id_len != 0)
        return slice_of(exchange->head_bytes + request->id_at, request->id_len);
    return slice_of(exchange->made_id, exchange->made_id_len);
}

int64_t
http_content_length(const struct http_exchange *exchange)
{
    return exchange->request.content_length;
}

uint64_t
http_waiting_bytes(const struct http_exchange *exchange)
{
    int bytes = 0;

    return ioctl(exchange->connection->fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (uint64_t)bytes
                                                                               : 0;
}

struct arena *
http_arena(struct http_exchange *exchange)
{
    return &exchange->arena;
}

void
http_set_user(struct http_exchange *exchange, void *user)
{
    exchange->user = user;
}

void *
http_user(const struct http_exchange *exchange)
{
    return exchange->user;
}

uint64_t
http_peer_network(const struct http_exchange *exchange)
{
    return exchange->connection->peer_network;
}

struct slice
http_peer(const struct http_exchange *exchange)
{
    const struct connection *connection = exchange->connection;

    return slice_of(connection->peer, connection->peer_len);
}

struct http_loop *
http_exchange_loop(struct http_exchange *exchange)
{
    return exchange->connection->loop;
}

bool
http_is_replied(const struct http_exchange *exchange)
{
    return exchange->is_replied;
}
