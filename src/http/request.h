/*
 * request - what a whole head means: method, target, body length, what becomes of the connection.
 *
 * Layer 5 (http), any thread, pure. The rules that make two readers of one stream agree where a
 * request ends stand here, so they are strict: RFC 9112 §3.2 (Host), §3.2.1–4 (target), §6
 * (length), §9.3 (persistence); RFC 9110 §10.1.1 (Expect).
 */
#ifndef POTIK_HTTP_REQUEST_H
#define POTIK_HTTP_REQUEST_H

#include "http/http.h"
#include "http/parser.h"

#define HTTP_REQUEST_ID_MAX 128

struct http_request {
    enum http_method method;
    uint16_t path_at;
    uint16_t path_len; /* 0: an address in absolute form without a path, which means "/" */
    uint16_t query_at;
    uint16_t query_len;
    bool has_query;
    bool is_chunked;
    bool is_kept_alive;
    bool is_closed_by_client; /* it said close, or is an HTTP/1.0 client that did not say keep-alive
                               */
    bool expects_continue;
    int64_t content_length; /* −1: none, or chunked; INT64_MAX: that or more */
    uint16_t id_at;         /* a valid X-Request-Id */
    uint16_t id_len;        /* 0: none */
    uint16_t authorization_at;
    uint16_t authorization_len;
    uint16_t authorization_count; /* the first of so many; 0: none */
    uint64_t name_lengths;        /* bit i: a field's name has i characters, or i + 64, … */
};

/* From a head that is done, and its bytes. On error `ret_request` has its method and id all the
 * same. */
MUST_USE enum err http_request_read(const struct http_head *head, const char *bytes,
                                    struct http_request *ret_request, const char **ret_reason);

/* Same letters, ASCII case aside; `lower` is in lower case. */
bool http_text_is(const char *ptr, size_t len, const char *lower, size_t lower_len);

#endif
