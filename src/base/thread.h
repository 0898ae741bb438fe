/*
 * thread - threads with a name and a priority, and the two ways to hand work over.
 *
 * Layer 0. A channel is bounded, many senders, one receiver, which sleeps on its eventfd (epoll or
 * poll). What is sent belongs to the receiver. A pool is N threads over one bounded queue.
 */
#ifndef POTIK_BASE_THREAD_H
#define POTIK_BASE_THREAD_H

#include "base/diag.h"
#include "base/err.h"
#include <pthread.h>
#include <stdint.h>

enum thread_priority {
    THREAD_NORMAL,
    THREAD_PROMPT, /* loops: normal, and on a core at once when there is something to do */
    THREAD_LOW,    /* nice 10: queries, loader */
    THREAD_IDLE,   /* SCHED_IDLE: keeper */
};
struct thread;
/* name: ≤ 15 bytes. Signals are blocked in it. ERR_NOMEM, ERR_IO (no more threads). */
MUST_USE enum err
thread_start(const char *name, enum thread_priority priority, void (*run)(void *arg), void *arg,
             struct thread **ret_thread, struct diag *diag);
void thread_join(struct thread **thread); /* waits, frees, NULLs; takes NULL */
/* Of the calling thread. Lowering always works; raising may be refused by the system: false. */
bool thread_set_priority(enum thread_priority priority);

struct channel;
MUST_USE enum err
channel_new(uint32_t messages_max, struct channel **ret_channel, struct diag *diag);
void
channel_free(struct channel **channel); /* empty it first: it does not know how to free messages */
int channel_fd(const struct channel *channel); /* readable while messages wait */
/* false: full; the message stays the sender's. Any thread. */
MUST_USE bool channel_send(struct channel *channel, void *message);
/* NULL: empty (the eventfd is then cleared). The receiver's thread only. */
void *channel_receive(struct channel *channel);

struct pool;
struct pool_job {
    void (*run)(struct pool_job *job, void *worker_state);
};
struct pool_config {
    const char *name;  /* cut after 11 bytes; threads are name-0, name-1 … */
    uint32_t threads;  /* 1 … 256 */
    uint32_t jobs_max; /* waiting, besides those running */
    enum thread_priority priority;
    /* Made on each worker's own thread; may be NULL. On error the pool does not start. */
    enum err (*worker_start)(void *arg, void **ret_worker_state, struct diag *diag);
    void (*worker_stop)(void *worker_state);
    void *arg;
};
MUST_USE enum err
pool_start(const struct pool_config *config, struct pool **ret_pool, struct diag *diag);
/* Takes the jobs that wait, runs them to their end, joins. */
void pool_stop(struct pool **pool);
MUST_USE bool pool_submit(struct pool *pool, struct pool_job *job); /* false: full */

#endif
