/*
 * sender - sends batches of events to POST /v1/events, several at once, until each is answered.
 *
 * Layer 8, the main thread. A batch that met a broken connection, 408, 429 or 5xx is sent again as
 * it is, so with the same ids: the server stores what it had stored already only once. Before a
 * retry it waits: as long as Retry-After says (at most RETRY_AFTER_MAX_S), else 0.25 s · 2^n up to
 * 10 s; after TRIES_MAX tries the sender gives up. Any other status than 200, and 400 that tells of
 * single events, is final.
 *
 *     while ((batch = sender_take(sender)) != NULL && fill(batch))
 *         sender_submit(sender, batch);
 *     err = sender_finish(sender, diag);
 */
#ifndef POTIK_CLI_SENDER_H
#define POTIK_CLI_SENDER_H

#include "base/clock.h"
#include "cli/client.h"

#define SENDER_BATCH_EVENTS 1000
#define SENDER_BATCH_BYTES (4u * 1024 * 1024)      /* then it is full enough */
#define SENDER_BATCH_BYTES_MAX (12u * 1024 * 1024) /* the server takes 16 MiB */
#define SENDER_IN_FLIGHT_MAX 32

/* Events as NDJSON lines; event i of the batch was row `rows[i]` of the input (for refusals). */
struct sender_batch {
    struct buf body;
    uint32_t events;
    uint64_t rows[SENDER_BATCH_EVENTS];
    struct buf originals;                        /* the rows as they were read, if wanted */
    uint32_t original_ends[SENDER_BATCH_EVENTS]; /* ends within `originals` */
};

struct sender_totals {
    uint64_t accepted;
    uint64_t duplicates;
    uint64_t rejected;
    uint64_t retries;
};

struct sender_refusal {
    const struct sender_batch *batch;
    uint32_t index;
    struct slice code;
    struct slice message;
};

struct sender_config {
    struct client *client;
    const struct clock *clock;
    uint32_t in_flight; /* 1 … SENDER_IN_FLIGHT_MAX */
    uint32_t tries_max; /* 0: the default */
    /* One refused event; during sender_take and sender_finish. May be NULL. */
    void (*refused)(void *state, const struct sender_refusal *refusal);
    /* No reply came, for the first time since the last one that did; it is tried again. May be
     * NULL.
     */
    void (*silent)(void *state, const char *reason);
    void (*turn)(
        void *state); /* about ten times a second while waiting, for a progress bar; or NULL */
    void *state;
};

struct sender;
MUST_USE enum err
sender_new(const struct sender_config *config, struct sender **ret_sender, struct diag *diag);
void sender_free(struct sender **sender);
/* An empty batch, once one is free. NULL: the sender has failed or was interrupted; sender_finish
 * tells. */
struct sender_batch *sender_take(struct sender *sender);
/* The batch goes out; with no events in it, it is only given back. */
void sender_submit(struct sender *sender, struct sender_batch *batch);
/* Waits for all. ERR_IO (given up), ERR_CANCELLED (^C), or what a final status said; told in
 * `diag`. */
MUST_USE enum err sender_finish(struct sender *sender, struct diag *diag);
const struct sender_totals *sender_totals(const struct sender *sender);
/* Of the last reply; "" if none. Everything told before stands at or before the last reply to be
 * taken. */
const char *sender_position(const struct sender *sender);

#endif
