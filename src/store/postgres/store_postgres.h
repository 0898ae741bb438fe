/*
 * store_postgres - inside of the PostgreSQL store: what its files share.
 *
 * Layer 3 (store/postgres), not for other rooms but account/postgres.c and cli's migrate, which use
 * url.c and connect.c.
 *
 * Threads. The reader (its connection, guard, node row, LISTEN) is the loader's: read_after,
 * wait_after and maintain_fast come from one thread. Each link is its loop's. What they share is
 * `notice` (how far something is known to be committed; wakes the reader), `health` (who is away)
 * and `identity` (which database the guard has passed), each under its own lock for a few
 * instructions, never two at once. An erasure is the keeper's, with a connection of its own.
 *
 * The database may be replaced by an older state of itself under our feet (restore, failover). A
 * link therefore inserts nothing on a new connection before postgres_check_passed has said that it
 * is the database the guard has passed: rows inserted under an old generation with low xids would
 * stand before the readers' cursors, and never be read.
 */
#ifndef POTIK_STORE_POSTGRES_STORE_POSTGRES_H
#define POTIK_STORE_POSTGRES_STORE_POSTGRES_H

#include "base/file.h"
#include "store/postgres/postgres.h"
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>

/* NOTIFY potik_events, '<node uuid> <position as text>': something is committed up to there. Sent
 * by links, some tens a second at most; a node passes over its own. */
#define POSTGRES_CHANNEL "potik_events"
#define POSTGRES_NODE_TEXT 37 /* a uuid as text, with its NUL */
#define POSTGRES_HASH_SECRET_BYTES 16
#define POSTGRES_SERVER_VERSION_MIN 130000
#define POSTGRES_BACKOFF_MS_MIN 100
#define POSTGRES_BACKOFF_MS_MAX 2000

/* --- url.c ------------------------------------------------------------------------------------ */

#define POSTGRES_URL_PARAMETERS_MAX 64
/* Parameters as PQconnectStartParams takes them (both arrays end with NULL), our settings
 * included. Read-only once made; any thread. */
struct postgres_url {
    const char *keywords[POSTGRES_URL_PARAMETERS_MAX];
    const char *values[POSTGRES_URL_PARAMETERS_MAX];
    char *shown; /* for logs and sentences: host, port, database, user; never a password */
    PQconninfoOption *options; /* what the arrays point into */
    char texts[4][24];         /* numbers of ours, as text */
};
/* ERR_INVALID: the sentence names what is wrong, without the password; ERR_NOMEM. */
MUST_USE enum err postgres_url_parse(const char *text, int64_t connect_timeout_ms,
                                     struct postgres_url **ret_url, struct diag *diag);
void postgres_url_free(struct postgres_url **url);
/* NULL: not set. "host" may hold several, with commas between. */
const char *postgres_url_value(const struct postgres_url *url, const char *keyword);

/* --- connect.c: for threads of our own (they block, with a deadline) -------------------------- */

/* Timeouts of the session, and what every session needs; one statement, one row. */
struct postgres_session {
    int64_t statement_timeout_ms;
    int64_t lock_timeout_ms;
};
/* PQsend… of the session's settings: 1 sent, 0 failed. Its result is one row (PGRES_TUPLES_OK). */
int postgres_session_send(PGconn *conn, const struct postgres_session *session);
/* Version, not in recovery, not read-only: asked of the session's result. ERR_NOT_READY. */
MUST_USE enum err
postgres_session_check(const PGconn *conn, const PGresult *result, struct diag *diag);
/* Connects, makes the session. ERR_NOT_READY: the sentence names cause and cure. ERR_NOMEM. */
MUST_USE enum err
postgres_connect(const struct postgres_url *url, int64_t timeout_ms,
                 const struct postgres_session *session, PGconn **ret_conn, struct diag *diag);
void postgres_disconnect(PGconn **conn); /* takes NULL; CLEANUP(postgres_disconnect) */
void postgres_clear(PGresult **result);  /* CLEANUP(postgres_clear) */
/*
 * One statement with binary results, answered within timeout_ms or the connection is of no more use
 * (PQstatus tells CONNECTION_BAD after ERR_NOT_READY, or close it). Errors as postgres_explain.
 * postgres_run: simple protocol, several statements; no result given.
 */
struct postgres_parameter {
    Oid type;
    const char *bytes; /* binary; NULL: SQL's NULL */
    int len;
};
MUST_USE enum err
postgres_query(PGconn *conn, const char *sql, const struct postgres_parameter *parameters,
               int parameter_count, int64_t timeout_ms, PGresult **ret_result, struct diag *diag);
/* The same of a statement prepared before, under a name. */
MUST_USE enum err postgres_prepare(PGconn *conn, const char *name, const char *sql,
                                   int64_t timeout_ms, struct diag *diag);
MUST_USE enum err
postgres_query_prepared(PGconn *conn, const char *name, const struct postgres_parameter *parameters,
                        int parameter_count, int64_t timeout_ms, PGresult **ret_result,
                        struct diag *diag);
MUST_USE enum err
postgres_run(PGconn *conn, const char *sql, int64_t timeout_ms, struct diag *diag);
/* Why a connection could not be made or was lost: cause and cure, without secrets. Of a `conn`
 * whose PQstatus is CONNECTION_BAD. */
void
postgres_explain_connection(const PGconn *conn, const struct postgres_url *url, struct diag *diag);
/*
 * Why a statement failed: ERR_STORAGE_FULL (53100), ERR_OVERLOADED (its memory, its locks, time),
 * ERR_NOT_READY (all that a person must mend, or that passes with a restart). `diag`: a sentence.
 * Never the statement's values.
 */
MUST_USE enum err postgres_explain(const PGresult *result, struct diag *diag);
/* 40P01, 40001: to be done again at once. */
bool postgres_is_retryable(const PGresult *result);

/* --- numbers as they go over the wire --------------------------------------------------------- */

#define POSTGRES_OID_BOOL 16
#define POSTGRES_OID_BYTEA 17
#define POSTGRES_OID_INT8 20
#define POSTGRES_OID_INT4 23
#define POSTGRES_OID_TEXT 25
#define POSTGRES_OID_BYTEA_ARRAY 1001
#define POSTGRES_OID_TEXT_ARRAY 1009
#define POSTGRES_OID_TIMESTAMPTZ 1184
#define POSTGRES_OID_UUID 2950
#define POSTGRES_OID_XID8 5069
/* Unix microseconds of 2000-01-01, where PostgreSQL counts from. */
#define POSTGRES_EPOCH_US INT64_C(946684800000000)

static inline void
postgres_put_u64(char bytes[8], uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(bytes, &value, sizeof(value));
}
static inline void
postgres_put_u32(char bytes[4], uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(bytes, &value, sizeof(value));
}
static inline uint64_t
postgres_get_u64(const char *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof(value));
    return __builtin_bswap64(value);
}
static inline uint32_t
postgres_get_u32(const char *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof(value));
    return __builtin_bswap32(value);
}

/* --- migrate.c -------------------------------------------------------------------------------- */

/* Applies what is missing on a connection of postgres_connect. As postgres_migrate (postgres.h). */
MUST_USE enum err postgres_migrate_connection(PGconn *conn, bool is_dry_run,
                                              void (*tell)(void *state, uint32_t version,
                                                           const char *name, const char *sql),
                                              void *state, struct diag *diag);

/* --- guard.c ---------------------------------------------------------------------------------- */

/* What the guard knows the database by. */
struct postgres_identity {
    uint64_t system_identifier;
    uint32_t timeline;
    uint32_t generation;
    uint32_t unbroken_since; /* generation: nothing was lost since; not in the node's file */
    uint64_t counter;        /* of our node row: less than that is an older state */
};
/* The node's own copy of its row, in <data-dir>/postgres-node.json, and what was read since. */
struct postgres_node {
    char uuid[POSTGRES_NODE_TEXT];
    char store_id[POSTGRES_NODE_TEXT]; /* "": none yet */
    struct postgres_identity identity; /* as of the last touch of the row */
    struct store_position cursor;      /* as of the last touch */
    bool is_new;                       /* there was no file: what was derived before is unknown */
    bool is_clean;                     /* closed in order after the last touch */
    bool is_stale;                     /* read_after is to say ERR_STALE until it starts over */
    bool is_touched;                   /* in this process */
    int64_t touched_ns;
    /* rows given behind `cursor`, in this process: must be there after a reconnect */
    struct store_position read_to;
    uint64_t read_count;
    uint64_t read_xid_sum;
    uint64_t read_seq_sum;
    uint64_t erasures; /* as of the last touch; another number: read rows may have been erased */
};

/* --- the store -------------------------------------------------------------------------------- */

enum { POSTGRES_SENTENCE_MAX = DIAG_MESSAGE_MAX };

struct postgres_notice {
    pthread_mutex_t lock;
    struct store_position committed; /* the greatest told: stored at or before it */
    int wake_fd;                     /* eventfd the reader's poll watches */
    atomic_bool is_waiting;          /* the reader sleeps: write wake_fd */
    atomic_uint wake_count;          /* store_wake */
};

struct postgres_health {
    pthread_mutex_t lock;
    uint32_t links;      /* open */
    uint32_t links_away; /* of them, without a connection that may insert */
    bool is_reader_away;
    bool is_quiet;                        /* while the store is opened: who opens it is told */
    bool is_told;                         /* "away" was logged, "back" was not */
    char sentence[POSTGRES_SENTENCE_MAX]; /* why; of the last that went */
    char warning[POSTGRES_SENTENCE_MAX];  /* "": none */
    /* of the last batch decided, of any link */
    enum err batch_err;
    enum err batch_err_told; /* in the log */
    int64_t batch_failed_ns;
    int64_t batch_told_ns; /* 0: never */
    char batch_sentence[POSTGRES_SENTENCE_MAX];
};

struct postgres_reader {
    PGconn *conn;     /* NULL: away */
    int64_t retry_ns; /* steady, as all here: no connect before */
    int64_t backoff_ms;
    struct store_position next; /* as of the last page */
    struct store_position seen; /* what was known to be committed at the last page */
    int64_t poll_ns;            /* the next page at the latest; 0: at once */
    int64_t poll_ms;            /* doubles while something known cannot be read yet */
    size_t row_bytes;           /* of the rows of the last page, on the average */
    int64_t page_began_ns;      /* the last page was asked for */
    int64_t yield_ns;           /* no page before: links are busy */
    /* the transaction that holds back what can be read; 0: none does */
    uint64_t held_xid;
    int64_t held_since_ns;
    int64_t held_looked_ns;
    bool is_held_told;
    int64_t sized_ns;
};

struct postgres {
    struct store base;
    struct postgres_config config;
    char *data_dir;
    struct postgres_url *url;
    struct postgres_session session;
    struct resolver *resolver; /* of the links */
    uint8_t hash_secret[POSTGRES_HASH_SECRET_BYTES];
    pthread_mutex_t identity_lock;
    struct postgres_identity identity; /* the database the guard has passed */
    struct postgres_node node;
    struct postgres_notice notice;
    struct postgres_health health;
    struct postgres_reader reader;
    atomic_bool is_batch_failing; /* health.batch_err is set */
    atomic_bool is_check_wanted;  /* a link met another database: the reader connects anew */
    atomic_int links_idle;        /* with a connection, and no batch under way */
    atomic_int links_busy;        /* with a batch under way */
    atomic_uint silence_count; /* batches that got no answer in time: older connections are dead */
    _Atomic uint64_t bytes;
    _Atomic uint64_t events;
};

/* postgres.c - for links, from their loops' threads */

/* A connection was made (session made, check passed) or given up: potik_store_connections. */
void postgres_connections_add(int delta);
void postgres_reconnects_add(void);
/* A link is open from `opened` to `closed`; it begins away, and tells each change once: the first
 * to go logs a line, the last to be back another. */
void postgres_note_link_opened(struct postgres *store);
void postgres_note_link_closed(struct postgres *store, bool was_away);
void postgres_note_away(struct postgres *store, const char *sentence);
void postgres_note_back(struct postgres *store);
/* A batch was decided by the server: ERR_OK, or why it refused it. Logs when that changes, at most
 * every 10 s. */
void postgres_note_batch(struct postgres *store, enum err err, const char *sentence);
/* Committed and answered: everything told is stored at or before `position`. Wakes the reader. */
void postgres_note_committed(struct postgres *store, struct store_position position);
/* On a new connection, after the session's statement and before the first insert: sends the
 * question (1 sent, 0 failed); its result is one row. false: it is not the database the guard has
 * passed, or the question failed (`diag` tells): close, come again after the backoff; the reader
 * has been told to look. */
int postgres_check_send(struct postgres *store, PGconn *conn);
MUST_USE bool
postgres_check_passed(struct postgres *store, const PGresult *result, struct diag *diag);
/* The next wait after a failed connect: `backoff_ms` doubled up to the most, less up to half by
 * chance. Begins at 0. */
int64_t postgres_backoff(int64_t *backoff_ms);
uint32_t postgres_generation(struct postgres *store);

/* postgres.c - for the room's other files, any thread */

struct store_position postgres_committed(struct postgres *store);
/* `seen` was told before a snapshot was taken whose xmax is limit.major: nothing true lies above.
 * What a session that is not ours told by NOTIFY falls back to that. */
void postgres_limit_committed(struct postgres *store, struct store_position seen,
                              struct store_position limit);
/* What was known counts no more: it is another database, or an older state. */
void postgres_forget_committed(struct postgres *store);
void postgres_wake_reader(struct postgres *store);
void postgres_note_reader(struct postgres *store, bool is_reader_away, const char *sentence);
void postgres_set_warning(struct postgres *store, const char *warning); /* "": none */

/* watch.c - the reader's thread */

/* After each look at the bound. Gives received_at of the oldest event held back, 0: none known. */
int64_t postgres_watch(struct postgres *store, uint64_t oldest_xid, uint64_t next_xid);
void postgres_measure(struct postgres *store); /* now and then: bytes and events */

/* link.c */
MUST_USE enum err
postgres_link_open(struct store *base, struct store_link **ret_link, struct diag *diag);
void postgres_link_close(struct store_link *base);
int postgres_link_fd(struct store_link *base);
uint32_t postgres_link_events(struct store_link *base);
void postgres_link_ready(struct store_link *base, uint32_t events);
bool postgres_link_is_ready(struct store_link *base);
void postgres_link_submit(struct store_link *base, struct store_batch *batch);

/* erase.c - store_erase_bound: any thread; the others: the keeper's */

MUST_USE enum err postgres_erase_bound(struct store *base, struct selection *selection,
                                       struct store_position *ret_position, struct diag *diag);
MUST_USE enum err postgres_erase_open(struct store *base, const struct store_erasure *erasure,
                                      struct store_erase **ret_erase, struct diag *diag);
MUST_USE enum err
postgres_erase_step(struct store_erase *base, bool *ret_is_done,
                    struct store_erasure_progress *ret_progress, struct diag *diag);
void postgres_erase_close(struct store_erase *base);

/* guard.c - the reader's thread */

/* On a connection just made: is it the database we knew, in a state no older? Raises the generation
 * where needed, marks the node stale where what was read may be gone, touches the node's row, and
 * lets links in. ERR_NOT_READY, ERR_IO (the node's file), ERR_NOMEM: close the connection. */
MUST_USE enum err postgres_guard(struct postgres *store, PGconn *conn, struct diag *diag);
/* The node's row and file brought up to `cursor`. */
MUST_USE enum err
postgres_node_touch(struct postgres *store, PGconn *conn, struct store_position cursor,
                    bool is_clean, struct diag *diag);
/* A page given out: counted until the next touch. */
void postgres_node_count(struct postgres_node *node, const struct store_page *page);

/* node.c - the reader's thread */

/* The node's file; a new node where there is none, or a damaged one. ERR_IO, ERR_NOMEM. */
MUST_USE enum err postgres_node_load(struct postgres *store, struct diag *diag);
MUST_USE enum err postgres_node_save(struct postgres *store, struct diag *diag);
/* The file's text, and back: false: it is none of ours, or damaged. Pure. */
void postgres_node_write(const struct postgres_node *node, struct buf *buf);
MUST_USE bool postgres_node_parse(struct slice text, struct postgres_node *ret_node);

/* reader.c - the reader's thread */

MUST_USE enum err postgres_reader_connect(struct postgres *store, struct diag *diag);
void postgres_reader_close(struct postgres *store);
/* Connected, and to the database the links see. ERR_NOT_READY: away, and it may be tried only later
 * again. */
MUST_USE enum err postgres_reader_be_connected(struct postgres *store, struct diag *diag);
void postgres_reader_give_up(struct postgres *store, const struct diag *diag);
MUST_USE enum err postgres_read_after(struct store *base, struct store_position after,
                                      uint32_t rows_max, size_t bytes_max, struct arena *arena,
                                      struct store_page *ret_page, struct diag *diag);
MUST_USE enum err postgres_maintain_fast(struct store *base, bool *ret_did_work, struct diag *diag);

/* wait.c - the reader's thread; postgres_wake: any */

/* After a page. `seen`: what was known to be committed before its bound was asked for. */
void postgres_plan_look(struct postgres *store, struct store_position seen,
                        const struct store_page *page);
bool postgres_wait_after(struct store *base, struct store_position after, int64_t timeout_ms);
void postgres_wake(struct store *base);

#endif
