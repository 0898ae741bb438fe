/*
 * link_inside - what the files of a link share. Inside of link.c and link_batch.c.
 *
 * Layer 3 (store/postgres). All on the link's loop.
 */
#ifndef POTIK_STORE_POSTGRES_LINK_INSIDE_H
#define POTIK_STORE_POSTGRES_LINK_INSIDE_H

#include "base/resolver.h"
#include "store/postgres/link_rows.h"
#include "store/postgres/store_postgres.h"

#define LINK_STATEMENT_APPEND "potik_append"
#define LINK_STATEMENT_PROBE "potik_append_probe"
#define LINK_STATEMENT_POSITION "potik_append_position"

enum link_state {
    LINK_AWAY,       /* waits for the end of its backoff */
    LINK_RESOLVING,  /* host names are being looked up */
    LINK_CONNECTING, /* PQconnectPoll */
    LINK_SETTING_UP, /* session, check of the database, statements: one round trip */
    LINK_IDLE,
    LINK_BUSY, /* a batch is under way */
};

/* What of a batch is sent next. */
enum link_stage {
    LINK_STAGE_ASK,
    LINK_STAGE_STORE,
    LINK_STAGE_POSITION,
    LINK_STAGE_SYNC,
    LINK_STAGE_SENT,
};

struct postgres_link {
    struct store_link base;
    struct postgres *store;
    enum link_state state;
    bool is_away_told;
    bool was_connected;
    int epoll_fd; /* holds those below */
    int timer_fd;
    int socket_fd; /* −1: none is watched */
    uint32_t socket_events;
    int64_t
        deadline_ns; /* of the state: end of the backoff, of connecting, of the batch; 0: none */
    int64_t backoff_ms;

    struct resolver_request *request;
    uint32_t address_next; /* of the addresses known, which is tried next */
    uint32_t addresses_left;
    PGconn *conn;
    uint64_t connection_number; /* another one: `conn` was closed meanwhile */
    unsigned silence_count;     /* the store's, when the server answered last */
    uint32_t setup_results;
    uint32_t row_type;
    char last_words[POSTGRES_SENTENCE_MAX]; /* of a FATAL that came unasked */
    bool is_replication_unsure; /* the server stopped waiting for its synchronous replica */

    /* the batch under way */
    struct store_batch *batch;
    struct link_rows rows;
    enum link_stage stage;
    uint32_t pieces_asked;
    uint32_t pieces_stored;
    uint32_t results; /* of this attempt's statements */
    uint32_t attempts;
    bool is_position_known;
    struct store_position position;
    enum err err; /* of this attempt */
    bool is_retryable;
    bool is_connection_useless; /* read-only now, or stopping: another one is needed */
    struct diag diag;
    int64_t began_ns;

    /* NOTIFY */
    bool is_notify_under_way;
    int64_t notify_after_ns; /* not before */
    bool is_notify_wanted;
    struct store_position notify_position;
};

/* --- link.c ----------------------------------------------------------------------------------- */

/* The connection is of no more use: closes it, answers the batch under way ERR_NOT_READY, comes
 * again after the backoff. */
void link_lose(struct postgres_link *link, const char *sentence);
/* The same; libpq knows why. */
void link_lose_connection(struct postgres_link *link);
void link_watch_socket(struct postgres_link *link, uint32_t events);
/* The timer follows the earliest of deadline and notify. */
void link_arm(struct postgres_link *link);
/* The state, and how many of the store's links are in it: the reader yields to links that are busy.
 */
void link_enter(struct postgres_link *link, enum link_state state);
int64_t link_now_ns(const struct postgres_link *link);

/* --- link_batch.c ----------------------------------------------------------------------------- */

/* Sends what the socket takes. The link may be lost when this returns. */
void link_pump(struct postgres_link *link);
/* A result of the statements of a batch or a notify. The link may be lost, and the batch answered,
 * when this returns. */
void link_take_result(struct postgres_link *link, const PGresult *result);
void link_begin_batch(struct postgres_link *link, struct store_batch *batch);
/* Answers the batch under way. The state is already one in which the next may be submitted. */
void link_answer(struct postgres_link *link, enum err err);
/* Tells other nodes, if it is time. */
void link_notify(struct postgres_link *link);

#endif
