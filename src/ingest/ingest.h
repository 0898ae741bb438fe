/*
 * ingest - the turn's batch: gathers what a loop's requests bring, commits it as one, gives verdicts back.
 *
 * Layer 4, one `struct ingest` a loop, on its thread.
 */
#ifndef POTIK_INGEST_INGEST_H
#define POTIK_INGEST_INGEST_H

#include "base/diag.h"
#include "event/event.h"
#include "store/store.h"

struct ingest_config {
    struct store_link *link;   /* borrowed */
    uint64_t gather_bytes_max; /* events held for the next commit; beyond: `overloaded` */
    uint32_t gather_events_max;
};

enum ingest_verdict { INGEST_REJECTED, INGEST_ACCEPTED, INGEST_DUPLICATE };

/* One request's batch. Memory is the caller's (the exchange's arena); lives until `done`. */
struct ingest_request {
    struct event_batch batch;
    /* Exactly once, on the loop's thread: in ingest_flush or later. After it the request is the caller's alone. */
    void (*done)(struct ingest_request *request);
    void *user;
    bool is_abandoned; /* the client is gone: stored all the same, `done` still called */
    /* out, before `done`: */
    enum err err;      /* ERR_OK: verdicts hold. Else 503 for all: nobody is told `duplicate`. */
    struct store_position position;
    enum ingest_verdict *verdicts; /* batch.count of them, from the caller */
    uint32_t accepted;
    uint32_t duplicates;
    uint32_t rejected;
    struct ingest_request *next; /* ingest's own */
};

struct ingest;
MUST_USE enum err ingest_new(const struct ingest_config *config, struct ingest **ret_ingest,
                             struct diag *diag);
void ingest_free(struct ingest **ingest); /* requests not committed are answered ERR_NOT_READY */
/* ERR_OVERLOADED: too much is gathered already; the request stays the caller's, `done` is not called. */
MUST_USE enum err ingest_add(struct ingest *ingest, struct ingest_request *request);
/* At the end of a turn: one batch to the store, if none is under way. */
void ingest_flush(struct ingest *ingest);

#endif
