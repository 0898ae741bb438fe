/*
 * connection - the inside of the server: loops, connections, exchanges, and what holds them
 * together.
 *
 * Layer 5 (http); only files of this folder include it. All of it belongs to one loop's thread,
 * save the atomics, the mailbox and the server's own fields.
 *
 * Life of a connection. Bytes are read into the loop's one big buffer and eaten at once: head bytes
 * go to the exchange being read, body bytes straight to the handler. So an idle connection holds no
 * buffer and no exchange. Exchanges stand in a queue in the order they came; replies leave in that
 * order. `reading` is the one whose head or body is still coming: always the last of the queue.
 * When pipeline_max exchanges stand in the queue, or HTTP_UNSENT_BYTES_MAX of replies that the
 * client has not taken, the rest of what was read is kept aside (`leftover`, at most one small
 * read) and reading pauses until replies have left.
 *
 * Ends. After `is_last` no further request is read: when the queue is empty the connection is shut
 * for writing and what the client still sends is dropped for a while (LINGERING), since closing
 * with unread bytes would reset the connection and could take the reply with it. DEAD ones are
 * freed at the end of the turn, because events of the same turn may still name them.
 */
#ifndef POTIK_HTTP_CONNECTION_H
#define POTIK_HTTP_CONNECTION_H

#include "base/mem.h"
#include "base/thread.h"
#include "http/deadline.h"
#include "http/http.h"
#include "http/mailbox.h"
#include "http/parser.h"
#include "http/request.h"
#include <stdatomic.h>
#include <sys/types.h>

#define HTTP_PIPELINE_LIMIT 64
#define HTTP_READ_SMALL_BYTES 16384   /* a read between bodies, and so the most kept as leftover */
#define HTTP_READ_BYTES (256 * 1024)  /* a read within a body; the loop's buffer */
#define HTTP_READ_RECORDS_BYTES 65536 /* what TLS_RECORDS_A_READ records count for in a turn */
#define HTTP_SKIP_BYTES_MAX 65536     /* of a body nobody wants, to keep the connection */
#define HTTP_SKIP_RETRYABLE_BYTES_MAX                                                              \
    (UINT64_C(1) << 20) /* … that will come again: reading it costs less than a new connection */
#define HTTP_LINGER_BYTES_MAX (UINT64_C(32) << 20)
#define HTTP_LINGER_MS 2000
#define HTTP_LINGER_STOPPING_MS 200
#define HTTP_UNSENT_BYTES_MAX (UINT64_C(256) << 10) /* beyond, no further request is read */
#define HTTP_RATE_FLOOR 1024                        /* bytes a second, bodies and replies */
#define HTTP_HEAD_BUFFER_BYTES 2048
#define HTTP_KEEP_BYTES_MAX 65536 /* a recycled buffer or arena above this is given back */
#define HTTP_FREE_EXCHANGES_MAX 256
#define HTTP_FREE_CONNECTIONS_MAX 1024
#define HTTP_PEER_BYTES 48
#define HTTP_MADE_ID_BYTES 32

enum source_kind { SOURCE_LISTENER, SOURCE_MAILBOX, SOURCE_CONNECTION, SOURCE_WATCH };
/* What epoll's pointer names; first member of what it is. */
struct source {
    enum source_kind kind;
};

enum exchange_phase {
    EXCHANGE_HEAD,
    EXCHANGE_BODY, /* to the handler */
    EXCHANGE_SKIP, /* replied before its body had come: dropped */
    EXCHANGE_READ, /* nothing more to come */
};

struct http_exchange {
    struct http_exchange *next; /* of its connection, in order; or the loop's free list */
    struct connection *connection;
    void *user;
    enum exchange_phase phase;
    bool is_with_handler; /* between `head` and the reply or `gone` */
    bool is_replied;
    bool is_closing; /* the connection ends after this reply */
    bool is_broken;  /* no memory for the reply: the connection is cut */
    bool has_retry_after;
    bool has_head;   /* a whole one, parsed */
    uint16_t status; /* of the reply; 0: none */
    enum err err;    /* of an error reply */
    int64_t began_ns;
    size_t sent; /* of `reply` and `still` */
    char *head_bytes;
    size_t head_len;
    size_t head_capacity;
    uint64_t body_bytes; /* read so far, chunking removed */
    uint64_t skipped_bytes;
    struct buf fields;  /* of http_reply_header */
    struct buf reply;   /* 100 Continue, then the reply */
    struct slice still; /* behind it, not copied: it outlives the server */
    struct arena arena;
    struct http_chunk chunk;
    struct http_request request;
    size_t made_id_len;
    char made_id[HTTP_MADE_ID_BYTES];
    struct http_head head; /* last: its fields need no clearing */
};

static inline size_t
exchange_unsent(const struct http_exchange *exchange)
{
    return exchange->reply.len + exchange->still.len - exchange->sent;
}

/* Of the body behind a reply, so that the next request can follow. */
static inline uint64_t
exchange_skip_max(const struct http_exchange *exchange)
{
    return err_is_retryable(exchange->err) ? HTTP_SKIP_RETRYABLE_BYTES_MAX : HTTP_SKIP_BYTES_MAX;
}

enum connection_state { CONNECTION_OPEN, CONNECTION_LINGERING, CONNECTION_DEAD };

struct connection {
    struct source source;
    int fd;
    uint32_t events; /* registered with epoll */
    enum connection_state state;
    bool is_input_ended; /* the client has sent its last byte */
    bool is_last;        /* read no further request */
    bool is_unread;      /* input was or will be left unread: linger when closing */
    bool is_refused;     /* over connections_max: it gets 503 */
    bool is_write_blocked;
    bool is_in_flush;
    bool is_in_more;
    bool is_in_resume;
    bool is_handshaking; /* these: of a connection with a link, secure.c */
    bool is_unseen;      /* no byte of the client's has been looked at */
    bool reads_when_writable;
    bool writes_when_readable;
    struct tls_link *tls; /* NULL: plain */
    struct http_loop *loop;
    struct connection *next; /* all of the loop */
    struct connection *previous;
    struct connection *next_flush;
    struct connection *next_more;
    struct connection *next_resume;
    struct connection *next_dead; /* or free */
    struct http_exchange *first;
    struct http_exchange *last;
    struct http_exchange *reading;
    uint32_t exchange_count;
    uint32_t leftover_len;
    uint64_t unsent_bytes; /* of replies in the queue */
    char *leftover;
    struct deadline deadline; /* the earliest of those below */
    int64_t idle_from_ns;
    int64_t read_until_ns;    /* head, or the window in which the body must make progress */
    int64_t request_until_ns; /* whole request */
    int64_t write_until_ns;
    int64_t linger_until_ns;
    uint64_t read_bytes;  /* in its window */
    uint64_t write_bytes; /* in its window */
    uint64_t lingered_bytes;
    uint64_t peer_network;
    uint8_t peer_len;
    char peer[HTTP_PEER_BYTES];
};

struct watch {
    struct source source;
    int fd; /* −1: removed, freed at the end of the turn */
    void (*ready)(void *loop_state, void *arg, uint32_t events);
    void *arg;
    struct watch *next;
};

struct listener {
    struct source source;
    int fd; /* −1: closed */
    bool is_shared;
    bool is_paused;
    int64_t resume_ns;
};

struct http_loop {
    struct http_server *server;
    const struct http_config *config;
    void *app_state;
    uint32_t number;
    int epoll_fd;
    struct thread *thread;
    struct listener listener;
    struct source mailbox_source;
    struct mailbox mailbox;
    struct deadline_wheel wheel;
    char *scratch; /* HTTP_READ_BYTES */
    struct buf error_body;
    int64_t now_ns;
    int64_t date_s;
    char date[32]; /* "Sun, 06 Nov 1994 08:49:37 GMT" */
    uint64_t turn_bytes;
    uint32_t turn_handshakes;
    uint64_t id_next;
    char id_prefix[16];
    size_t id_prefix_len;
    bool is_stopping;
    int64_t stop_until_ns;
    struct watch *watches;
    bool has_removed_watches;
    struct connection *connections;
    struct connection *flush_first, *flush_last;
    struct connection *more_first, *more_last;
    struct connection *resume_first, *resume_last;
    struct connection *dead;
    struct connection *free_connections;
    uint32_t free_connection_count;
    struct http_exchange *free_exchanges;
    uint32_t free_exchange_count;
    _Atomic uint32_t connection_count;
    _Atomic uint64_t requests;
    _Atomic uint64_t refused;
    _Atomic uint64_t timeouts;
};

struct http_server {
    struct http_config config;
    struct tls *tls; /* NULL: plain */
    struct http_loop *loops;
    char *address;
    char *unix_path; /* NULL: TCP */
    int shared_fd;   /* of a unix socket or port 0; −1: one a loop */
    uint32_t started_loops;
    bool is_drained;
    _Atomic int64_t drain_ms;
    _Atomic bool is_stopping;
    _Atomic uint32_t shared_users; /* loops that still accept from shared_fd */
    _Atomic uint32_t connection_count;
    pthread_mutex_t start_lock;
    pthread_cond_t start_moved;
    uint32_t ready_loops;
    enum err start_err;
    struct diag start_diag;
};

static inline int64_t
loop_after_ms(const struct http_loop *loop, int64_t ms)
{
    return loop->now_ns + ms * 1000000;
}

/* Counters have one writer, the loop: no locked instruction is needed. */
static inline void
loop_count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* --- connection.c: one client ------------------------------------------------------------------*/
/* Takes `fd` over in every case. */
void connection_open(struct http_loop *loop, int fd, const void *address, bool is_refused);
void connection_free(struct connection *connection);
void connection_ready(struct connection *connection, uint32_t events);
/* One read within the turn's budget. */
void connection_read(struct connection *connection);
/* The same for one of the queue `more`, which may be paused or dead by now. */
void connection_read_more(struct connection *connection);
void connection_resume(struct connection *connection);
void connection_expire(struct connection *connection);
/* At once: `gone` for whatever has no reply. The struct itself goes at the end of the turn. */
void connection_close(struct connection *connection);
/* Stopping: idle ones end now, the others after their requests under way. */
void connection_stop(struct connection *connection);

/* Sets the deadline to the earliest that holds now. */
void connection_schedule(struct connection *connection);
void connection_want(struct connection *connection, uint32_t events);
/* EPOLLOUT as what waits for it says. */
void connection_update_out(struct connection *connection);
/* Over connections_max: 503 and the end. */
void connection_refuse(struct connection *connection);
/* All replies have left and no further request will be read. */
void connection_end(struct connection *connection);

/* --- secure.c: TLS, of connections with a link
 * --------------------------------------------------*/
#define RECEIVED_END 0
#define RECEIVED_NOTHING (-1) /* for now */
#define RECEIVED_FAILURE (-2) /* the connection is to be closed */
struct iovec;
/* A link for a new connection; false: no memory. */
MUST_USE bool secure_open(struct connection *connection);
/* One read's worth into the loop's scratch: bytes, or RECEIVED_…; may refuse and so reply. */
ssize_t secure_receive(struct connection *connection, size_t want, bool *ret_has_more);
/* Bytes taken of `parts`, `total` together, or RECEIVED_FAILURE. */
ssize_t
secure_send(struct connection *connection, const struct iovec *parts, size_t count, size_t total);
/* What epoll's events mean to who reads and writes through the link. */
uint32_t secure_events(struct connection *connection, uint32_t events);
/* Its idle deadline has passed. */
void secure_expired(const struct connection *connection);
/* All replies have left. */
void secure_end(struct connection *connection);
/* Frees the link, saying goodbye where that can be understood. */
void secure_close(struct connection *connection);
bool secure_wants_hsts(const struct http_exchange *exchange);

/* --- output.c: replies leave
 * --------------------------------------------------------------------*/
void connection_flush(struct connection *connection);

/* --- input.c: bytes become requests
 * -------------------------------------------------------------*/
void connection_input(struct connection *connection, const char *bytes, size_t len);
/* The client has sent its last byte. */
void connection_input_ended(struct connection *connection);
/* The server's own error reply, after which the connection ends. */
void exchange_refuse(struct http_exchange *exchange, enum err err, const char *reason);
/* No further request is to be read for now. */
static inline bool
connection_is_full(const struct connection *connection)
{
    return connection->exchange_count >= connection->loop->config->pipeline_max ||
           connection->unsent_bytes > HTTP_UNSENT_BYTES_MAX;
}
struct http_exchange *exchange_begin(struct connection *connection);
/* A reply was given while the body was coming: skip the rest of it, or stop reading. */
void exchange_notice_reply(struct http_exchange *exchange);
/* An empty line alone is no request: true if that is all there is, and it has been let go. */
MUST_USE bool exchange_drop_empty(struct http_exchange *exchange);

/* --- exchange.c
 * ---------------------------------------------------------------------------------*/
struct http_exchange *exchange_take(struct http_loop *loop);
void exchange_recycle(struct http_loop *loop, struct http_exchange *exchange);
void exchange_free(struct http_exchange *exchange);
/* It is over: told where the configuration says so, before it is recycled. */
void exchange_done(const struct http_exchange *exchange);
/* Tells the handler that no reply can be given, if it holds the exchange. */
void exchange_gone(struct http_exchange *exchange);

/* --- loop.c
 * -------------------------------------------------------------------------------------*/
MUST_USE enum err
loop_init(struct http_loop *loop, struct http_server *server, uint32_t number, struct diag *diag);
void loop_fini(struct http_loop *loop);
void loop_run(void *arg); /* the thread; arg is the loop */
void loop_flush_later(struct http_loop *loop, struct connection *connection);
void loop_more_later(struct http_loop *loop, struct connection *connection);
void loop_resume_later(struct http_loop *loop, struct connection *connection);

/* --- accept.c: new connections
 * ------------------------------------------------------------------*/
void listener_accept(struct http_loop *loop);
void listener_resume(struct http_loop *loop);
void listener_close(struct http_loop *loop);

/* --- listen.c: the address
 * ----------------------------------------------------------------------*/
/* Sets server->address, unix_path, shared_fd and each loop's listener. */
MUST_USE enum err server_listen(struct http_server *server, struct diag *diag);

#endif
