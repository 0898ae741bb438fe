/*
 * errand - work for one request that is done off its loop, and the way back to it.
 *
 * Layer 6. An errand is made on a loop's thread, runs on a thread of some pool, and is replied on
 * its loop. It owns its memory: the client may go away while it runs (it is then abandoned,
 * finishes, and is freed unseen). Two kinds: questions to the warehouse (query.h), and reads and
 * writes of accounts (desk.h). Each embeds `struct errand` as its first member.
 *
 * Life: errand_init (loop) → a pool's run → errand_finish (pool) → the loop's errand_drain replies
 * and frees it. One that no pool took is freed by errand_destroy.
 */
#ifndef POTIK_API_ERRAND_H
#define POTIK_API_ERRAND_H

#include "base/thread.h"
#include "http/http.h"

#include <stdatomic.h>

#define ERRAND_HEADERS_MAX 4

struct errand;
struct errand_inbox;

/* What a kind does on the loop; each may be NULL. */
struct errand_kind {
    void (*abandoned)(struct errand *errand);            /* the client is gone */
    void (*failed)(struct errand *errand, enum err err); /* before the error's reply */
    void (*wipe)(struct errand *errand); /* before its memory is freed; any thread */
};

struct errand {
    /* the answer, written by the pool's thread: */
    struct arena arena;
    struct buf body;
    int status;               /* 200 unless set; 204 has no body */
    const char *content_type; /* static; JSON unless set */
    struct errand_header {
        const char *name;   /* static */
        struct slice value; /* in `arena`, or static */
    } headers[ERRAND_HEADERS_MAX];
    uint32_t header_count;
    enum err err; /* not ERR_OK: the error's reply is given, with diag's words and field */
    struct diag diag;
    /* errand.c's own: */
    struct pool_job pool_job;
    const struct errand_kind *kind;
    struct http_exchange *exchange; /* NULL: gone. The loop's thread only */
    struct errand_inbox *inbox;
    struct errand *next;
};

/* One a loop: where finished errands land. */
MUST_USE enum err
errand_inbox_new(struct http_loop *loop, struct errand_inbox **ret_inbox, struct diag *diag);
/* The loop ends: errands still under way are freed when they finish, unseen. */
void errand_inbox_close(struct errand_inbox **place);
/* Replies to what has finished. In turn_end. */
void errand_drain(struct errand_inbox *inbox);

/* `errand` begins a zeroed piece of memory of mem_alloc's, which errand_destroy frees. */
void errand_init(struct errand *errand, const struct errand_kind *kind, struct errand_inbox *inbox,
                 struct http_exchange *exchange, uint64_t body_bytes_max, uint64_t arena_bytes_max);
void errand_destroy(struct errand *errand);
/* On the pool's thread: err and the answer are set. The errand is the inbox's from here on. */
void errand_finish(struct errand *errand);
/* On the loop: the client is gone. */
void errand_abandon(struct errand *errand);
/* name static; value in errand->arena, or static. Over ERRAND_HEADERS_MAX is a broken invariant. */
void errand_add_header(struct errand *errand, const char *name, struct slice value);

#endif
