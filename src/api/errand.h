/*
 * errand - work for a request that is done off its loop, and its way back home.
 *
 * Layer 6. Made on a loop's thread, done on another's (query.h, desk.h), replied on its loop. It
 * owns its memory: the client may go away meanwhile; then it is freed unseen. A finished errand is
 * pushed on its loop's inbox, and the loop is woken by a message. Should the loop's channel be
 * full, the loop is awake anyway, and drains the inbox at the end of that turn: a reply is never
 * lost.
 *
 * Locks: one mutex an inbox, held for a few instructions by a worker or the loop.
 */
#ifndef POTIK_API_ERRAND_H
#define POTIK_API_ERRAND_H

#include "base/diag.h"
#include "http/http.h"

struct errand_inbox;

/* The first member of what is sent. */
struct errand {
    struct http_exchange *exchange; /* NULL: the client is gone. The loop's thread only */
    struct errand_inbox *inbox;
    struct errand *next;
    void (*reply)(struct errand *errand); /* on the loop; `exchange` is there */
    void (*free)(struct errand *errand);  /* its memory; any thread */
};

/* One a loop: where finished errands land. */
MUST_USE enum err
errand_inbox_new(struct http_loop *loop, struct errand_inbox **ret_inbox, struct diag *diag);
/* The loop ends: errands still under way are freed when they finish, unseen. */
void errand_inbox_close(struct errand_inbox **place);
/* Replies to what has finished. In turn_end. */
void errand_inbox_drain(struct errand_inbox *inbox);

/* On the loop. `reply` and `free` are set by the caller. */
void
errand_begin(struct errand *errand, struct errand_inbox *inbox, struct http_exchange *exchange);
/* The worker is done with it: it belongs to the loop from here on. */
void errand_finish(struct errand *errand);
/* One that was not sent, or was replied. */
void errand_free(struct errand *errand);

#endif
