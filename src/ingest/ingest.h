/*
 * ingest - the turn's batch: gathers what a loop's requests bring, commits it as one, gives
 * verdicts back.
 *
 * Layer 4, one `struct ingest` a loop, on its thread; called by api/events.
 *
 * Every whole event becomes an item to store. An event refused for another reason, but with a
 * usable id of the client's, becomes a probe: if that id is stored already the verdict is
 * `duplicate`, else `rejected`. Items stand in the order in which requests came, so that of equal
 * ids the first wins, within a request and across them.
 *
 * A loop has one link to the store or several; one batch is under way on each, and what comes
 * meanwhile is gathered for the next. A batch takes whole requests, in order, as many as its bounds
 * allow. What is held: `gather_bytes_max` and `gather_events_max` for what waits, and a batch a
 * link; beyond, or where the wait would be too long (wait.h), `overloaded`. Batches of different
 * links end in any order: of equal ids on two links the store decides which was first.
 */
#ifndef POTIK_INGEST_INGEST_H
#define POTIK_INGEST_INGEST_H

#include "base/clock.h"
#include "base/diag.h"
#include "event/event.h"
#include "store/store.h"

struct ingest_config {
    struct store_link *links[STORE_LINKS_PER_LOOP_MAX]; /* borrowed */
    uint32_t link_count;                                /* 1 … STORE_LINKS_PER_LOOP_MAX */
    uint64_t gather_bytes_max; /* events held for the next commits; beyond: `overloaded` */
    uint32_t gather_events_max;
    uint64_t batch_bytes_max;  /* of one batch for the store; 0: all that is gathered. A request */
    uint32_t batch_events_max; /* alone goes whole, whatever its size */
    const struct clock *clock; /* by which waiting is bounded (wait.h). NULL: the store answers at
                                  once, nothing waits; borrowed */
};

enum ingest_verdict { INGEST_REJECTED, INGEST_ACCEPTED, INGEST_DUPLICATE };

/* One request's batch. Memory is the caller's (the exchange's arena); lives until `done`. */
struct ingest_request {
    struct event_batch batch;
    /* Exactly once, on the loop's thread: in ingest_flush or later. After it the request is the
     * caller's alone. */
    void (*done)(struct ingest_request *request);
    void *user;
    bool is_abandoned; /* the client is gone: stored all the same, `done` still called */
    /* out, before `done`: */
    enum err err; /* ERR_OK: verdicts hold. Else 503 for all: nobody is told `duplicate`. */
    struct store_position
        position; /* all zero: the store was not asked (nothing to store or to probe) */
    enum ingest_verdict *verdicts; /* batch.count of them, from the caller */
    uint32_t accepted;
    uint32_t duplicates;
    uint32_t rejected;
    struct ingest_request *next; /* these two are ingest's own */
    uint64_t bytes;
};

struct ingest;
/* ERR_NOMEM. */
MUST_USE enum err
ingest_new(const struct ingest_config *config, struct ingest **ret_ingest, struct diag *diag);
/* Requests not committed are answered ERR_NOT_READY. Batches under way must be over: close the
 * links first. */
void ingest_free(struct ingest **place);
/*
 * ERR_OVERLOADED: too much is gathered already, or it would wait too long; the request stays the
 * caller's, `done` is not called. A request alone is taken whatever its size: its limits were asked
 * by who decoded it.
 */
MUST_USE enum err ingest_add(struct ingest *ingest, struct ingest_request *request);
/* Would ingest_add refuse it now? Asked before a body is read; −1: its length is not known. */
bool ingest_is_full(const struct ingest *ingest, int64_t body_bytes);
/*
 * At the end of a turn, and after store_link_ready: what is gathered goes to the links that are
 * free. Requests that `done` brings in are committed too before it returns (as long as the store
 * answers at once). Never from within `done`.
 */
void ingest_flush(struct ingest *ingest);
/* Nothing gathered, nothing under way. */
bool ingest_is_idle(const struct ingest *ingest);

#endif
