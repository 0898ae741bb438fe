/*
 * mailbox - calls that other threads want made on the loop's thread: bounded, and closed for good.
 *
 * Layer 5 (http). Any thread posts, the loop takes. A ring under one lock, and the loop's eventfd
 * to wake it. Unlike base's channel it allocates nothing and can be closed: after that every post
 * is refused, so that nothing is left behind in it (what was taken in is always run).
 */
#ifndef POTIK_HTTP_MAILBOX_H
#define POTIK_HTTP_MAILBOX_H

#include "base/err.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define MAILBOX_MESSAGES_MAX 4096

struct message {
    void (*run)(void *loop_state, void *arg);
    void *arg;
};

struct mailbox {
    pthread_mutex_t lock;
    struct message *ring;
    uint32_t first;
    uint32_t count;
    bool is_closed;
    int wake_fd; /* readable while messages wait, or the loop has been woken */
};

MUST_USE enum err mailbox_init(struct mailbox *mailbox);
void mailbox_fini(struct mailbox *mailbox);
MUST_USE bool mailbox_post(struct mailbox *mailbox, struct message message);
void mailbox_wake(const struct mailbox *mailbox);
/* Makes wake_fd quiet. Then take until false. */
void mailbox_quiet(const struct mailbox *mailbox);
MUST_USE bool mailbox_take(struct mailbox *mailbox, struct message *ret_message);
void mailbox_close(struct mailbox *mailbox);

#endif
