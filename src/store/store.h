/*
 * store - the contract of the transactional side: append exactly once, read on in commit order.
 *
 * Layer 3. One of: embedded/ (the ledger), postgres/ (later). Everything above sees only this file.
 *
 * Appending: each loop opens one link. A batch is submitted whole and is decided whole: either
 * `err` is ERR_OK and every item has a verdict, durable before `done` is called; or nothing of it
 * may be answered 2xx and nobody is told `duplicate`. The embedded store calls `done` within
 * store_link_submit; others later, from store_link_ready on the same thread.
 *
 * Reading: rows of all projects in commit order after a cursor. What has been given once is given
 * the same way again.
 */
#ifndef POTIK_STORE_STORE_H
#define POTIK_STORE_STORE_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/log.h"
#include "event/event.h"
#include "event/selection.h"

/* A place in the stream, ordered by (generation, major, minor). Embedded: generation is the low 64
 * bits of the ledger id (one ledger = one value), major 0, minor the seq. A store whose generations
 * follow one another has a major above 0 in every position; what it tells (`durable`, of a batch,
 * of a page caught up) has minor 0, a row's position a minor above 0. All zero: before the first
 * event.
 */
struct store_position {
    uint64_t generation;
    uint64_t major;
    uint64_t minor;
};
/* The opaque text of `position`, `watermark.position` and `min_position`: ≤ 63 bytes,
 * NUL-terminated, [0-9a-z.-]. */
#define STORE_POSITION_TEXT 64
void store_position_format(struct store_position position, char ret_text[STORE_POSITION_TEXT]);
/* ERR_INVALID_PARAMETER: not such a text. */
MUST_USE enum err store_position_parse(struct slice text, struct store_position *ret_position);
/* a <= b; false also where the generations cannot be compared (another ledger). */
bool store_position_at_or_before(struct store_position a, struct store_position b);

enum store_verdict {
    STORE_PENDING,
    STORE_ACCEPTED,  /* stored by this batch */
    STORE_DUPLICATE, /* its id was stored before, or by an earlier item of this batch */
    STORE_ABSENT,    /* probe only, and its id is not stored */
};
struct store_item {
    const struct event *event;  /* whole; of a probe only project_id and event_id are read */
    bool is_probe;              /* ask, do not store (an event refused for another reason) */
    enum store_verdict verdict; /* out */
};
struct store_batch {
    struct store_item *items;
    uint32_t count;
    void (*done)(struct store_batch *batch); /* on the link's thread, exactly once */
    void *user;
    /* out, before `done`: */
    enum err err; /* ERR_OK, ERR_STORAGE_FULL, ERR_OVERLOADED (young table full), ERR_NOT_READY,
                     ERR_FATAL */
    struct store_position position; /* everything told in this batch is stored at or before it */
    uint32_t accepted_count;
};

struct store;
struct store_link;

/* store-wide numbers for /metrics and doctor */
struct store_stats {
    uint64_t bytes;  /* on disk */
    uint64_t events; /* stored, erased ones left out */
    uint64_t index_memory_bytes;
    uint64_t index_ids;       /* ids known: sealed and young */
    uint64_t index_young_ids; /* of them, in the table (its memory is counted above) */
    uint32_t index_runs;
    struct store_position durable;
    int64_t oldest_unread_received_at_us; /* 0 */
};

struct store_row {
    struct event event; /* slices point into the page's arena */
    /* Rises by commit order: 1, 2, 3 …, gaps where events were erased. 0: this store has no such
     * number; whoever loads the rows counts them. */
    uint64_t seq;
    struct store_position position; /* of this row: rises by commit order, in every store */
};
struct store_page {
    struct store_row *rows;
    uint32_t count;
    struct store_position next; /* the cursor after this page; rises even where a page is empty */
    bool is_caught_up;          /* nothing durable that can be read stood after `next` when read */
    /* Where rows are known to be durable that cannot be read yet: received_at of the oldest. 0:
     * none known. */
    int64_t oldest_held_us;
};

/*
 * Erasing events: on the keeper's thread, one at a time, in steps of about a second, while ingest
 * and reading go on. Rows that a reader holds already stay valid. Erased ids are refused as
 * `duplicate` for ever, by a keyed hash, unless they are freed. An erasure that was not finished
 * (a crash, a stop) is begun again from the start, with the same selection: what is gone already
 * costs only the search. Nothing but the selected events is lost, whenever the process ends.
 */
struct store_erasure {
    struct selection selection; /* with the bounds of store_erase_bound; borrowed until closed */
    bool frees_ids;             /* the ids may be stored again */
    bool is_dry_run;            /* counts only */
};
struct store_erasure_progress {
    uint64_t events; /* erased by this run so far, or counted */
    uint64_t done;   /* of `total`: pieces looked through (segments, pages) */
    uint64_t total;
};
#define STORE_PERSON_HASH_TEXT 32
struct store_erase; /* one under way; each store's struct begins with its vtable */

struct store_vtable {
    /* What a client is told of ERR_NOT_READY: it names neither a host nor a user. NULL: the
     * table's sentence. */
    const char *not_ready_sentence;
    void (*close)(struct store *store);
    uint32_t links_per_loop; /* batches a loop may have under way at once */
    enum err (*link_open)(struct store *store, struct store_link **ret_link, struct diag *diag);
    void (*link_close)(struct store_link *link);
    int (*link_fd)(struct store_link *link);
    uint32_t (*link_events)(struct store_link *link);
    void (*link_ready)(struct store_link *link, uint32_t events);
    bool (*link_is_ready)(struct store_link *link); /* NULL: always */
    void (*link_submit)(struct store_link *link, struct store_batch *batch);
    enum err (*read_after)(struct store *store, struct store_position after, uint32_t rows_max,
                           size_t bytes_max, struct arena *arena, struct store_page *ret_page,
                           struct diag *diag);
    bool (*wait_after)(struct store *store, struct store_position after, int64_t timeout_ms);
    void (*wake)(struct store *store);
    struct store_position (*durable)(struct store *store);
    uint64_t (*unbroken_since)(struct store *store); /* NULL: the present generation */
    enum err (*maintain_fast)(struct store *store, bool *ret_did_work, struct diag *diag);
    enum err (*maintain_slow)(struct store *store, bool *ret_did_work, struct diag *diag);
    enum err (*is_ready)(struct store *store, struct diag *diag);
    bool (*warning)(struct store *store, struct diag *ret_words); /* NULL: never any */
    void (*stats)(struct store *store, struct store_stats *ret_stats);
    const char *(*node_name)(struct store *store); /* NULL: "" */
    void (*hash_person)(struct store *store, uint32_t project_id, struct slice person,
                        char ret_hash[STORE_PERSON_HASH_TEXT + 1]);
    enum err (*erase_bound)(struct store *store, struct selection *selection,
                            struct store_position *ret_position, struct diag *diag);
    enum err (*erase_open)(struct store *store, const struct store_erasure *erasure,
                           struct store_erase **ret_erase, struct diag *diag);
    enum err (*erase_step)(struct store_erase *erase, bool *ret_is_done,
                           struct store_erasure_progress *ret_progress, struct diag *diag);
    void (*erase_close)(struct store_erase *erase);
};
/* Each store's struct begins with these. */
struct store {
    const struct store_vtable *vtable;
};
struct store_link {
    const struct store_vtable *vtable;
};
struct store_erase {
    const struct store_vtable *vtable;
};

/* How many links a loop should open: as many batches may be under way at once. */
#define STORE_LINKS_PER_LOOP_MAX 4
uint32_t store_links_per_loop(const struct store *store);
void store_close(struct store **store); /* links must be closed; flushes the footer */
MUST_USE enum err
store_link_open(struct store *store, struct store_link **ret_link, struct diag *diag);
void store_link_close(struct store_link **link); /* a batch under way is answered ERR_NOT_READY */
int store_link_fd(struct store_link *link); /* −1: completes within submit; nothing to watch */
uint32_t store_link_events(struct store_link *link); /* EPOLL… wanted now */
void store_link_ready(struct store_link *link, uint32_t events);
/* Whether a batch submitted now would reach the store's server; false: it would be answered
 * ERR_NOT_READY at once, so another link is the better choice. */
bool store_link_is_ready(struct store_link *link);
/* One batch under way a link; the next only after `done` has returned. */
void store_link_submit(struct store_link *link, struct store_batch *batch);

/* Rows after `after`, at most rows_max and about bytes_max (at least one row). Any one thread at a
 * time per arena. ERR_IO, ERR_CORRUPT (file and offset in diag), ERR_NOMEM, ERR_NOT_READY (its
 * server is away: again later), ERR_STALE: the store went back to an older state, or is another one
 * (a restored backup, a failover), so that all that was read from it is to be forgotten and read
 * again from the first position. It is told at every read, after a restart too, until one begins at
 * the first position, all zero. Who reads everything over without having forgotten anything begins
 * at store_first_position instead. */
MUST_USE enum err store_read_after(struct store *store, struct store_position after,
                                   uint32_t rows_max, size_t bytes_max, struct arena *arena,
                                   struct store_page *ret_page, struct diag *diag);
/* Before every event; not all zero where generations follow one another. */
struct store_position store_first_position(struct store *store);
/* Sleeps until something durable stands after `after` (true), or timeout or store_wake (false). */
bool store_wait_after(struct store *store, struct store_position after, int64_t timeout_ms);
void store_wake(struct store *store);
struct store_position store_durable(struct store *store);
/* The earliest generation of which every position that was told still holds. */
uint64_t store_unbroken_since(struct store *store);
/* Called by the loader between pages: cheap, must not fall behind (sealing young ids). */
MUST_USE enum err store_maintain_fast(struct store *store, bool *ret_did_work, struct diag *diag);
/* Called by the keeper in a loop until no work is left: merging runs, scrubbing; a step lasts ≤ 1 s
 * or so. */
MUST_USE enum err store_maintain_slow(struct store *store, bool *ret_did_work, struct diag *diag);
/* ERR_OK, or why ingest would be refused now (ERR_STORAGE_FULL, ERR_NOT_READY, ERR_FATAL). */
MUST_USE enum err store_is_ready(struct store *store, struct diag *diag);
/* Whether someone should look after it though it works: a sentence for /readyz, without secrets. */
bool store_warning(struct store *store, struct diag *ret_words);
/* What a client whose batch was answered ERR_NOT_READY may read: a static sentence without names
 * of the inside, unlike that of store_is_ready. */
const char *store_not_ready_sentence(const struct store *store);
void store_stats(struct store *store, struct store_stats *ret_stats);

/* The name of this node, where several share the store: its uuid; else "". Lives as long as the
 * store. */
const char *store_node_name(struct store *store);
/* What may be kept of a person who was erased: a hash under the store's secret, in hexadecimal. */
void store_hash_person(struct store *store, uint32_t project_id, struct slice person,
                       char ret_hash[STORE_PERSON_HASH_TEXT + 1]);
/* Any thread. Sets seq_max and received_max_us of the selection so that it covers what is durable
 * now, and no more than that. *ret_position: all of it stands at or before it (the warehouse must
 * have loaded so far before its own erasure). ERR_NOT_READY, ERR_IO. */
MUST_USE enum err store_erase_bound(struct store *store, struct selection *selection,
                                    struct store_position *ret_position, struct diag *diag);
/* The keeper. Errors of the three: ERR_IO, ERR_CORRUPT (file and offset in diag), ERR_NOMEM,
 * ERR_STORAGE_FULL, ERR_NOT_READY (its server is away), ERR_FATAL. After an error of a step it may
 * be called again; what was erased before stays erased. */
MUST_USE enum err store_erase_open(struct store *store, const struct store_erasure *erasure,
                                   struct store_erase **ret_erase, struct diag *diag);
MUST_USE enum err store_erase_step(struct store_erase *erase, bool *ret_is_done,
                                   struct store_erasure_progress *ret_progress, struct diag *diag);
void store_erase_close(struct store_erase **erase); /* takes NULL; at any time */

/* For stores: a commit of so many new events, for /metrics. Any thread. */
void store_count_commit(uint32_t events, double seconds);

#endif
