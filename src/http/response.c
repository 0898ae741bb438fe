/*
 * response - a reply's head and body as bytes, in the exchange's own buffer.
 *
 * Layer 5 (http), on the loop's thread. RFC 9110 §6.6.1 (Date), §8.6 (Content-Length), RFC 9112 §9.
 * Nothing is sent here: the loop flushes at the end of its turn.
 */
#include "http/connection.h"

#include "base/put.h"
#include <assert.h>

#define HEAD_BYTES_MAX                                                                             \
    512 /* of what is added here, besides content type, id and the handler's fields */

struct status_row {
    int status;
    const char *reason;
};

static const char *
reason_of(int status)
{
    static const struct status_row rows[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].status == status)
            return rows[i].reason;
    }
    return "Status";
}

static char *
put_status(char *to, int status)
{
    const char *reason;

    if (status == 200)
        return PUT(to, "HTTP/1.1 200 OK\r\n");
    reason = reason_of(status);
    to = PUT(to, "HTTP/1.1 ");
    to = put_u64(to, (uint64_t)status);
    *to++ = ' ';
    to = put(to, reason, strlen(reason));
    return PUT(to, "\r\n");
}

/* Will what is still unread of this request be read, so that the next one can follow? */
static bool
can_skip_rest(const struct http_exchange *exchange)
{
    const struct http_request *request = &exchange->request;

    if (exchange->phase == EXCHANGE_READ)
        return true;
    if (exchange->phase == EXCHANGE_HEAD && !request->is_chunked && request->content_length <= 0)
        return exchange->is_with_handler; /* no body; else the head itself was refused */
    /* A client that waits for 100 Continue may now send the body, or not: nobody can tell. */
    if (request->expects_continue && exchange->body_bytes == 0)
        return false;
    if (request->is_chunked)
        return true; /* up to a bound, seen while skipping */
    return (uint64_t)request->content_length - exchange->body_bytes <= exchange_skip_max(exchange);
}

static void
decide_end(struct http_exchange *exchange)
{
    struct connection *connection = exchange->connection;

    if (exchange->request.is_closed_by_client)
        exchange->is_closing = true;
    if (!can_skip_rest(exchange)) {
        exchange->is_closing = true;
        connection->is_unread = true;
    }
    if (connection->loop->is_stopping && exchange == connection->last) {
        exchange->is_closing = true;
        connection->is_unread = true; /* the client may have sent its next request already */
    }
    if (connection->is_last && exchange == connection->last)
        exchange->is_closing = true;
    if (exchange->is_closing)
        connection->is_last = true;
}

static char *
put_head(char *to, const struct http_exchange *exchange, int status, struct slice type, size_t len)
{
    struct slice id = http_request_id(exchange);
    struct slice fields = buf_slice(&exchange->fields);

    to = put_status(to, status);
    to = PUT(to, "Date: ");
    to = put(to, exchange->connection->loop->date, 29);
    if (status != 204 && status != 304) {
        to = PUT(to, "\r\nContent-Length: ");
        to = put_u64(to, len);
    }
    if (type.ptr != NULL) {
        to = PUT(to, "\r\nContent-Type: ");
        to = put(to, type.ptr, type.len);
    }
    to = PUT(to, "\r\nX-Request-Id: ");
    to = put(to, id.ptr, id.len);
    to = PUT(to, "\r\n");
    to = put(to, fields.ptr, fields.len);
    if (exchange->connection->tls != NULL && secure_wants_hsts(exchange))
        to = PUT(to, "Strict-Transport-Security: max-age=31536000\r\n");
    if (exchange->is_closing)
        to = PUT(to, "Connection: close\r\n");
    else if (exchange->head.minor == 0)
        to = PUT(to, "Connection: keep-alive\r\n");
    return PUT(to, "\r\n");
}

static bool
is_head(const struct http_exchange *exchange)
{
    const struct http_head *head = &exchange->head;

    return head->method_len == 4 && exchange->head_len >= head->method_at + 4u &&
           memcmp(exchange->head_bytes + head->method_at, "HEAD", 4) == 0;
}

/* `body` is copied, or of `is_still` only told of. */
static void
reply_with(struct http_exchange *exchange, int status, const char *content_type, struct slice body,
           bool is_still)
{
    struct buf *reply = &exchange->reply;
    struct slice type = slice_of_text(content_type);
    struct slice id = http_request_id(exchange);
    bool has_body = body.len > 0 && status != 204 && status != 304 && !is_head(exchange);
    size_t before = reply->len;
    char *to;

    assert(!exchange->is_replied);
    assert(status >= 200 && status <= 999);
    decide_end(exchange);
    exchange->is_replied = true;
    exchange->status = (uint16_t)status;
    exchange->is_with_handler = false;
    if (buf_failed(&exchange->fields) ||
        !buf_reserve(reply, HEAD_BYTES_MAX + type.len + id.len + exchange->fields.len +
                                (has_body && !is_still ? body.len : 0))) {
        exchange->is_broken = true;
    } else {
        to = put_head(reply->ptr + reply->len, exchange, status, type, body.len);
        if (has_body && is_still)
            exchange->still = body;
        else if (has_body)
            to = put(to, body.ptr, body.len);
        reply->len = (size_t)(to - reply->ptr);
        exchange->connection->unsent_bytes += reply->len - before + exchange->still.len;
    }
    loop_flush_later(exchange->connection->loop, exchange->connection);
    if (exchange->phase == EXCHANGE_BODY)
        exchange_notice_reply(exchange);
}

void
http_reply(struct http_exchange *exchange, int status, const char *content_type, struct slice body)
{
    reply_with(exchange, status, content_type, body, false);
}

void
http_reply_still(struct http_exchange *exchange, int status, const char *content_type,
                 struct slice body)
{
    reply_with(exchange, status, content_type, body, true);
}

void
http_note_error(struct http_exchange *exchange, enum err err)
{
    exchange->err = err;
}

void
http_reply_header(struct http_exchange *exchange, const char *name, struct slice value)
{
    struct buf *fields = &exchange->fields;
    size_t name_len = strlen(name);

    assert(!exchange->is_replied);
    assert(name_len > 0);
    for (size_t i = 0; i < name_len; i++)
        assert(http_is(name[i], HTTP_CLASS_TOKEN));
    for (size_t i = 0; i < value.len; i++)
        assert(http_is(value.ptr[i], HTTP_CLASS_VALUE));
    if (slice_equal_nocase(slice_of(name, name_len), SLICE("retry-after")))
        exchange->has_retry_after = true;
    buf_add(fields, name, name_len);
    buf_add(fields, ": ", 2);
    buf_add_slice(fields, value);
    buf_add(fields, "\r\n", 2);
}

void
http_reply_error(struct http_exchange *exchange, enum err err, const char *message,
                 const char *field)
{
    struct http_loop *loop = exchange->connection->loop;
    struct buf *body = &loop->error_body;

    exchange->err = err;
    buf_clear(body);
    loop->config->handler->error_body(body, err, message, field, http_request_id(exchange));
    if (buf_failed(body))
        exchange->is_broken = true;
    if (err_is_retryable(err) && !exchange->has_retry_after)
        http_reply_header(exchange, "Retry-After", SLICE("1"));
    http_reply(exchange, err_status(err), "application/json", buf_slice(body));
}
