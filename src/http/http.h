/*
 * http - a strict HTTP/1.1 server (RFC 9110, RFC 9112): moves bytes, knows no resource.
 *
 * Layer 5. One thread a loop: epoll over its own SO_REUSEPORT listener (a unix socket or port 0 is
 * bound once and shared), its connections, an eventfd for work handed back by other threads, and
 * fds watched for a store. A turn is: one epoll_wait; every ready connection read, parsed and
 * handed to the handler; turn_end (the batch of the turn is committed there); replies flushed
 * together.
 *
 * Everything in `struct http_handler` is called on the loop's thread. An exchange is one request
 * with its reply; it lives from `head` until its reply is sent or `gone` was called, whichever
 * comes first. Pipelined requests of a connection are handed over as they arrive (at most
 * pipeline_max under way); replies leave in order.
 */
#ifndef POTIK_HTTP_HTTP_H
#define POTIK_HTTP_HTTP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/log.h"

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER, /* a token we do not know: 501 unless the handler says otherwise */
};

struct http_loop;
struct http_exchange;

struct http_handler {
    /* Once a loop, before it serves; its state is the first argument of the rest. */
    enum err (*loop_start)(void *app, struct http_loop *loop, void **ret_loop_state,
                           struct diag *diag);
    void (*loop_stop)(void *loop_state);
    /* The head is whole and valid. May reply at once (the body is then skipped, or the connection
     * closed after the reply). Without a reply here, `body` and `end` follow, unless Content-Length
     * is over the limit: then `gone`, and the server's own 413 (fields set here by
     * http_reply_header go with it). */
    void (*head)(void *loop_state, struct http_exchange *exchange);
    /* Bytes of the body, chunking removed, any split; never more than the length allowed. May
     * reply. */
    void (*body)(void *loop_state, struct http_exchange *exchange, const char *bytes, size_t len);
    /* The whole body has been read (at once after `head` where there is none). Reply now or later.
     */
    void (*end)(void *loop_state, struct http_exchange *exchange);
    /* No reply can be given any more (the client went away, a deadline passed, its body was not
     * valid or too long): forget the exchange; its arena and texts are valid until this returns.
     * Called at most once, after `head`, and never after http_reply. */
    void (*gone)(void *loop_state, struct http_exchange *exchange);
    /* Everything that was ready has been handed over: commit the batch, reply. Once every turn. */
    void (*turn_end)(void *loop_state);
    /* Only with tells_done. An exchange whose head was whole, or that got a reply, is over: the
     * reply has left, whole or cut, or (status 0) the client went away before one. Its last call
     * but `gone`. */
    void (*done)(void *loop_state, const struct http_exchange *exchange);
    /* Only with tells_done. After a turn's replies. */
    void (*turn_sent)(void *loop_state);
    /* The server's own error replies get their body here: append JSON for err to `body`. */
    void (*error_body)(struct buf *body, enum err err, const char *message, const char *field,
                       struct slice request_id);
};

struct http_config {
    const char *listen;   /* "127.0.0.1:8700", "[::1]:0", "unix:/path" */
    const char *tls_cert; /* PEM files, both or neither; NULL: plain HTTP. Not with unix: */
    const char *tls_key;
    uint32_t loops;           /* 1 … 256 */
    uint32_t connections_max; /* all loops together */
    uint32_t pipeline_max;    /* requests under way a connection: 1 … 64 */
    uint64_t body_bytes_max;  /* 413 beyond, as sent */
    uint32_t head_bytes_max;  /* 431 beyond; at most 65,000 */
    uint32_t url_bytes_max;   /* 414 beyond */
    uint64_t arena_bytes_max; /* of one exchange; 0: 64 MiB */
    int64_t head_timeout_ms;  /* first byte to whole head */
    int64_t
        body_progress_timeout_ms; /* between two pieces that bring at least 1 KiB/s on average */
    int64_t request_timeout_ms;   /* first byte to whole body */
    int64_t idle_timeout_ms;      /* keep-alive without a request */
    int64_t write_timeout_ms;     /* a client that does not take its reply at 1 KiB/s at least */
    uint64_t
        turn_bytes_max; /* read a turn over all connections, so that an import lets others in */
    const struct clock *clock;
    const struct log_sink *sink;
    const struct http_handler *handler;
    bool tells_done; /* call `done` and `turn_sent` */
    void *app;
};

struct http_server;
/* Bound and listening when it returns; loops serve. ERR_EXISTS: port taken (sentence in diag).
 * ERR_INVALID: listen. */
MUST_USE enum err http_server_start(const struct http_config *config,
                                    struct http_server **ret_server, struct diag *diag);
/* With TLS "https://…", else "http://127.0.0.1:8700", "http://[::1]:8700" or "unix:/path": valid
 * while the server lives. */
const char *http_server_address(const struct http_server *server);
/* Stop accepting, let requests under way end for at most drain_ms, close the rest, join the loops.
 * After it http_loop_post gives false; what it took before has been run. Threads that post must end
 * between this and http_server_stop. Does nothing the second time. */
void http_server_drain(struct http_server *server, int64_t drain_ms);
/* Whether `listen` has one of the forms above and its host is known; nothing is opened.
 * ERR_INVALID.
 */
MUST_USE enum err http_check_listen(const char *listen, struct diag *diag);
/* Whether the two PEM files will do. ERR_INVALID: one sentence with file and reason, whose field is
 * the setting ("tls-cert", "tls-key"). ERR_NOMEM. */
MUST_USE enum err http_check_tls(const char *cert_path, const char *key_path, struct diag *diag);
/* Of a server with TLS, on one thread: both files anew, for connections from now on. On an error,
 * as above, what was in force stays. */
MUST_USE enum err http_server_reload_tls(struct http_server *server, struct diag *diag);
struct http_tls_facts {
    int64_t valid_from_s; /* of the certificate, unix time */
    int64_t valid_until_s;
    bool is_key_private; /* nobody but its owner may read the key's file */
};
struct http_tls_facts http_server_tls_facts(struct http_server *server);
#define HTTP_TLS_NAME_BYTES 256
/* A name that the certificate is made out for, where it is not for the host of the server's
 * address: who connects there asks for this one. false: it is, or there is none. */
bool http_server_tls_name(struct http_server *server, char ret_name[HTTP_TLS_NAME_BYTES]);
/* Drains if that has not been done, and frees. Takes NULL. */
void http_server_stop(struct http_server **server, int64_t drain_ms);

struct http_server_stats {
    uint64_t connections; /* now */
    uint64_t requests;    /* heads read, since the start */
    uint64_t refused;     /* connections over connections_max */
    uint64_t timeouts;    /* connections ended by a deadline, idle ones left out */
};
void http_server_stats(struct http_server *server, struct http_server_stats *ret_stats);

/* --- the request (valid during the exchange) --------------------------------------------------*/
enum http_method http_method(const struct http_exchange *exchange);
struct slice http_method_text(const struct http_exchange *exchange);
/* Raw, escapes checked, without '?'; starts with '/', save "*" of OPTIONS. */
struct slice http_path(const struct http_exchange *exchange);
struct slice
http_query(const struct http_exchange *exchange); /* raw, without '?'; ptr NULL: none */
/* Value trimmed; ptr NULL: absent. `name` in lower case. Repeated: the first; http_header_count
 * tells. */
struct slice http_header(const struct http_exchange *exchange, const char *name);
uint32_t http_header_count(const struct http_exchange *exchange, const char *name);
/* Value `i` of a field that stands http_header_count times, in their order. */
struct slice http_header_at(const struct http_exchange *exchange, const char *name, uint32_t i);
/* As those above, of `authorization`, without a search. */
struct slice http_authorization(const struct http_exchange *exchange, uint32_t *ret_count);
struct slice http_request_id(const struct http_exchange *exchange); /* echoed or made */
/* Content-Length, or −1 (none, or chunked). */
int64_t http_content_length(const struct http_exchange *exchange);
/* Bytes that have come on its connection and have not been read; a system call. */
uint64_t http_waiting_bytes(const struct http_exchange *exchange);
struct arena *http_arena(struct http_exchange *exchange); /* freed with the exchange */
void http_set_user(struct http_exchange *exchange, void *user);
void *http_user(const struct http_exchange *exchange);
/* Client address as text ("127.0.0.1", "unix"). */
struct slice http_peer(const struct http_exchange *exchange);
uint64_t http_peer_network(const struct http_exchange *exchange); /* codec/address.h */
struct http_loop *http_exchange_loop(struct http_exchange *exchange);

/* --- the reply --------------------------------------------------------------------------------*/
/* Before http_reply. Name and value must be valid; NUL, CR, LF are a broken invariant. Copied. Not
 * for Content-Length, Content-Type, Date, X-Request-Id, Connection. */
void http_reply_header(struct http_exchange *exchange, const char *name, struct slice value);
/* Once an exchange, on its loop's thread. `body` is copied (HEAD: its length alone is told; 204 and
 * 304: left out). Content-Length, Date, X-Request-Id and Connection are added here. content_type
 * NULL: none. status 1xx is a broken invariant. Sent at the end of the turn; the exchange must not
 * be touched after the callback in which this was called has returned. */
void
http_reply(struct http_exchange *exchange, int status, const char *content_type, struct slice body);
/* The same of a body that outlives the server: it is not copied. */
void http_reply_still(struct http_exchange *exchange, int status, const char *content_type,
                      struct slice body);
/* The error body by handler.error_body; status by err; Retry-After where it is retryable. NULL
 * texts allowed. */
void http_reply_error(struct http_exchange *exchange, enum err err, const char *message,
                      const char *field);
bool http_is_replied(const struct http_exchange *exchange);
/* An error that a reply given by http_reply tells, for http_outcome. */
void http_note_error(struct http_exchange *exchange, enum err err);

/* How it went; whole within `done`. */
struct http_outcome {
    int status;         /* 0: no reply was given */
    enum err err;       /* of an error reply, else ERR_OK */
    bool has_head;      /* it was read; else method, path and header fields are not to be asked */
    uint64_t bytes_in;  /* head, and body without chunking */
    uint64_t bytes_out; /* of the reply, that have left */
    int64_t began_ns;   /* the turn of its first byte, steady clock */
};
struct http_outcome http_outcome(const struct http_exchange *exchange);

/* --- the loop ---------------------------------------------------------------------------------*/
/* From any thread: run(arg) on the loop's thread, in its next turn. false: the channel is full
 * (4,096 wait) or the server drained; nothing happens. */
MUST_USE bool
http_loop_post(struct http_loop *loop, void (*run)(void *loop_state, void *arg), void *arg);
/* On the loop's thread: call ready(arg, events) in each turn in which fd has them
 * (level-triggered). events = 0 removes. */
MUST_USE enum err
http_loop_watch(struct http_loop *loop, int fd, uint32_t events,
                void (*ready)(void *loop_state, void *arg, uint32_t events), void *arg);
uint32_t http_loop_number(const struct http_loop *loop); /* 0 … loops − 1 */
/* The steady clock's time when this turn began: good for what may be some milliseconds late. */
int64_t http_loop_now_ns(const struct http_loop *loop);

#endif
