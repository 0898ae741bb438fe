/*
 * input - bytes from a client become requests: heads, bodies, and what is refused on the way.
 *
 * Layer 5 (http), on the loop's thread; called with each piece that was read. Everything here may
 * call the handler, and the handler may reply from within; so after each call the exchange is
 * looked at anew. Nothing here sends or closes: replies are flushed at the end of the turn.
 */
#include "http/connection.h"

#include <assert.h>

struct http_exchange *
exchange_begin(struct connection *connection)
{
    struct http_loop *loop = connection->loop;
    struct http_exchange *exchange = exchange_take(loop);

    if (exchange == NULL)
        return NULL;
    exchange->connection = connection;
    if (connection->last != NULL)
        connection->last->next = exchange;
    else
        connection->first = exchange;
    connection->last = exchange;
    connection->exchange_count++;
    connection->reading = exchange;
    exchange->began_ns = loop->now_ns;
    connection->read_until_ns = loop_after_ms(loop, loop->config->head_timeout_ms);
    connection->request_until_ns = loop_after_ms(loop, loop->config->request_timeout_ms);
    return exchange;
}

/* Nothing more of this request is wanted or to come. */
static void
exchange_is_read(struct http_exchange *exchange)
{
    struct connection *connection = exchange->connection;

    exchange->phase = EXCHANGE_READ;
    connection->reading = NULL;
    if (exchange->request.is_closed_by_client || exchange->is_closing)
        connection->is_last = true;
    /* Its reply may have been sent already; the queue then still holds it. */
    if (exchange->is_replied)
        loop_flush_later(connection->loop, connection);
}

void
exchange_refuse(struct http_exchange *exchange, enum err err, const char *reason)
{
    struct connection *connection = exchange->connection;

    connection->is_last = true;
    connection->is_unread = true;
    if (!exchange->is_replied) {
        exchange_gone(exchange);
        exchange->is_closing = true;
        http_reply_error(exchange, err, reason, NULL);
    }
    exchange_is_read(exchange);
}

bool
exchange_drop_empty(struct http_exchange *exchange)
{
    if (exchange->phase != EXCHANGE_HEAD || http_head_is_begun(&exchange->head))
        return false;
    exchange->is_replied = true; /* with no bytes */
    exchange_is_read(exchange);
    return true;
}

void
exchange_notice_reply(struct http_exchange *exchange)
{
    assert(exchange->phase == EXCHANGE_BODY && exchange->is_replied);
    if (exchange->is_closing) {
        exchange->connection->is_unread = true;
        exchange_is_read(exchange);
    } else {
        exchange->phase = EXCHANGE_SKIP;
    }
}

static void
body_ended(struct http_exchange *exchange)
{
    struct http_loop *loop = exchange->connection->loop;

    exchange_is_read(exchange);
    if (!exchange->is_replied)
        loop->config->handler->end(loop->app_state, exchange);
}

/* The head is whole: rules, the handler's `head`, then what its body needs. */
static void
head_ended(struct http_exchange *exchange, bool has_more_input)
{
    struct connection *connection = exchange->connection;
    struct http_loop *loop = connection->loop;
    const struct http_config *config = loop->config;
    struct http_request *request = &exchange->request;
    const char *reason = NULL;
    enum err err = http_request_read(&exchange->head, exchange->head_bytes, request, &reason);

    loop_count(&loop->requests);
    exchange->has_head = true;
    if (err != ERR_OK) {
        exchange_refuse(exchange, err, reason);
        return;
    }
    exchange->is_with_handler = true;
    config->handler->head(loop->app_state, exchange);
    if (!request->is_chunked && request->content_length <= 0) {
        body_ended(exchange);
        return;
    }
    exchange->phase = EXCHANGE_BODY;
    if (exchange->is_replied) {
        exchange_notice_reply(exchange);
    } else if (request->content_length > 0 &&
               (uint64_t)request->content_length > config->body_bytes_max) {
        exchange_refuse(exchange, ERR_BODY_TOO_LARGE, NULL);
        return;
    } else if (request->expects_continue && !has_more_input) {
        buf_add(&exchange->reply, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        exchange->is_broken = buf_failed(&exchange->reply);
        connection->unsent_bytes += exchange->reply.len;
        loop_flush_later(loop, connection);
    }
    http_chunk_init(&exchange->chunk);
    connection->read_until_ns = loop_after_ms(loop, config->body_progress_timeout_ms);
    connection->read_bytes = 0;
}

static bool
keep_head_bytes(struct http_exchange *exchange, const char *bytes, size_t len)
{
    size_t needed = exchange->head_len + len;

    if (needed > exchange->head_capacity) {
        size_t capacity = exchange->head_capacity;
        char *grown;

        while (capacity < needed)
            capacity *= 2;
        grown = (char *)mem_realloc(exchange->head_bytes, capacity);
        if (grown == NULL)
            return false;
        exchange->head_bytes = grown;
        exchange->head_capacity = capacity;
    }
    memcpy(exchange->head_bytes + exchange->head_len, bytes, len);
    exchange->head_len = needed;
    return true;
}

/* Returns how many bytes were eaten. */
static size_t
input_head(struct http_exchange *exchange, const char *bytes, size_t len)
{
    const struct http_config *config = exchange->connection->loop->config;
    const struct http_head_limits limits = {config->head_bytes_max, config->url_bytes_max};
    struct http_head *head = &exchange->head;
    size_t old_len = exchange->head_len;
    size_t keep = len;
    enum http_parse parse;

    /* A whole head in one piece, the usual case, is parsed where it lies; then only it is copied.
     */
    if (old_len == 0) {
        parse = http_head_parse(head, &limits, bytes, len);
        keep = parse == HTTP_PARSE_DONE ? head->bytes : head->at;
        if (!keep_head_bytes(exchange, bytes, keep))
            goto no_memory;
    } else {
        if (keep > limits.head_bytes_max + 2 - old_len)
            keep = limits.head_bytes_max + 2 - old_len;
        if (!keep_head_bytes(exchange, bytes, keep))
            goto no_memory;
        parse = http_head_parse(head, &limits, exchange->head_bytes, exchange->head_len);
        if (parse == HTTP_PARSE_DONE)
            exchange->head_len = head->bytes;
        keep = exchange->head_len - old_len;
    }
    if (parse == HTTP_PARSE_DONE)
        head_ended(exchange, keep < len);
    else if (parse == HTTP_PARSE_BAD)
        exchange_refuse(exchange, head->err, head->reason);
    return parse == HTTP_PARSE_BAD ? len : keep;
no_memory:
    exchange_refuse(exchange, ERR_OVERLOADED, NULL);
    return len;
}

/* A piece of the body with chunking removed; false: the rest is not to be read. */
static bool
body_piece(struct http_exchange *exchange, const char *bytes, size_t len)
{
    struct http_loop *loop = exchange->connection->loop;

    exchange->body_bytes += len;
    if (exchange->phase == EXCHANGE_SKIP)
        return true;
    loop->config->handler->body(loop->app_state, exchange, bytes, len);
    return exchange->phase != EXCHANGE_READ;
}

static size_t
input_plain(struct http_exchange *exchange, const char *bytes, size_t len)
{
    uint64_t left = (uint64_t)exchange->request.content_length - exchange->body_bytes;
    size_t take = len < left ? len : (size_t)left;

    if (body_piece(exchange, bytes, take) && take == left)
        body_ended(exchange);
    return take;
}

/* With `len` bytes more and the rest of the chunk, whose size may be anything up to 2^64 − 1? */
static bool
is_too_long(const struct http_exchange *exchange, size_t len)
{
    uint64_t bytes_max = exchange->connection->loop->config->body_bytes_max;
    uint64_t left = http_chunk_left(&exchange->chunk);

    return left > bytes_max || exchange->body_bytes + len > bytes_max - left;
}

static size_t
input_chunked(struct http_exchange *exchange, const char *bytes, size_t len)
{
    size_t at = 0;

    while (at < len) {
        size_t used;
        struct slice data;
        enum http_parse parse =
            http_chunk_parse(&exchange->chunk, bytes + at, len - at, &used, &data);

        at += used;
        if (exchange->phase == EXCHANGE_SKIP) {
            exchange->skipped_bytes += used;
            if (exchange->skipped_bytes > exchange_skip_max(exchange))
                parse = HTTP_PARSE_BAD;
        }
        /* A chunk's size tells at once that the body will be too long. */
        if (exchange->phase == EXCHANGE_BODY && is_too_long(exchange, data.len)) {
            exchange_refuse(exchange, ERR_BODY_TOO_LARGE, NULL);
            return at;
        }
        if (data.len > 0 && !body_piece(exchange, data.ptr, data.len))
            return at;
        if (parse == HTTP_PARSE_BAD) {
            exchange_refuse(exchange, exchange->chunk.err, exchange->chunk.reason);
            return at;
        }
        if (parse == HTTP_PARSE_DONE) {
            body_ended(exchange);
            return at;
        }
    }
    return at;
}

/* Keeps the rest for when replies have left; it came in one small read. */
static void
keep_leftover(struct connection *connection, const char *bytes, size_t len)
{
    char *kept;

    assert(len <= HTTP_READ_SMALL_BYTES); /* see read_size */
    if (connection->leftover != NULL) {   /* `bytes` is its end */
        memmove(connection->leftover, bytes, len);
    } else {
        kept = (char *)mem_alloc(len);
        if (kept == NULL) {
            connection->is_last = true;
            connection->is_unread = true;
            return;
        }
        memcpy(kept, bytes, len);
        connection->leftover = kept;
    }
    connection->leftover_len = (uint32_t)len;
}

void
connection_input(struct connection *connection, const char *bytes, size_t len)
{
    while (len > 0) {
        struct http_exchange *exchange = connection->reading;
        size_t used;

        if (exchange == NULL) {
            if (connection->is_last) {
                connection->is_unread = true;
                return;
            }
            if (connection_is_full(connection)) {
                keep_leftover(connection, bytes, len);
                return;
            }
            exchange = exchange_begin(connection);
            if (exchange == NULL) {
                connection->is_last = true;
                connection->is_unread = true;
                return;
            }
        }
        if (exchange->phase == EXCHANGE_HEAD)
            used = input_head(exchange, bytes, len);
        else if (exchange->request.is_chunked)
            used = input_chunked(exchange, bytes, len);
        else
            used = input_plain(exchange, bytes, len);
        bytes += used;
        len -= used;
    }
}

void
connection_input_ended(struct connection *connection)
{
    struct http_exchange *exchange = connection->reading;

    connection->is_input_ended = true;
    connection->is_last = true;
    if (exchange != NULL && !exchange_drop_empty(exchange))
        exchange_refuse(exchange, ERR_BAD_REQUEST, "the request ended before it was whole");
}
