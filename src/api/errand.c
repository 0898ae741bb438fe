/*
 * errand - the inbox that brings work home. See errand.h.
 */
#include "api/errand.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>

struct errand_inbox {
    pthread_mutex_t lock;
    struct http_loop *loop; /* NULL: closed */
    struct errand *finished;
    uint32_t holders; /* errands under way, and the loop itself */
    _Atomic bool has_finished;
};

enum err
errand_inbox_new(struct http_loop *loop, struct errand_inbox **ret_inbox, struct diag *diag)
{
    struct errand_inbox *inbox = MEM_NEW(struct errand_inbox, 1);

    if (inbox == NULL) {
        diag_set(diag, "no memory for an inbox");
        return ERR_NOMEM;
    }
    pthread_mutex_init(&inbox->lock, NULL);
    inbox->loop = loop;
    inbox->holders = 1;
    *ret_inbox = inbox;
    return ERR_OK;
}

static void
inbox_release(struct errand_inbox *inbox)
{
    bool is_last;

    pthread_mutex_lock(&inbox->lock);
    is_last = --inbox->holders == 0;
    pthread_mutex_unlock(&inbox->lock);
    if (is_last) {
        pthread_mutex_destroy(&inbox->lock);
        mem_free(inbox);
    }
}

void
errand_begin(struct errand *errand, struct errand_inbox *inbox, struct http_exchange *exchange)
{
    errand->inbox = inbox;
    errand->exchange = exchange;
    pthread_mutex_lock(&inbox->lock);
    inbox->holders++;
    pthread_mutex_unlock(&inbox->lock);
}

void
errand_free(struct errand *errand)
{
    struct errand_inbox *inbox = errand->inbox;

    errand->free(errand);
    inbox_release(inbox);
}

static struct errand *
inbox_take(struct errand_inbox *inbox)
{
    struct errand *errands;

    pthread_mutex_lock(&inbox->lock);
    errands = MOVE(inbox->finished);
    atomic_store(&inbox->has_finished, false);
    pthread_mutex_unlock(&inbox->lock);
    return errands;
}

void
errand_inbox_close(struct errand_inbox **place)
{
    struct errand_inbox *inbox = *place;
    struct errand *errand;

    if (inbox == NULL)
        return;
    pthread_mutex_lock(&inbox->lock);
    inbox->loop = NULL;
    pthread_mutex_unlock(&inbox->lock);
    errand = inbox_take(inbox);
    while (errand != NULL) {
        struct errand *next = errand->next;

        errand_free(errand);
        errand = next;
    }
    inbox_release(inbox);
    *place = NULL;
}

static void
wake_up(void *loop_state, void *arg)
{
    (void)loop_state; /* the end of this turn drains the inbox */
    (void)arg;
}

void
errand_finish(struct errand *errand)
{
    struct errand_inbox *inbox = errand->inbox;
    bool is_open;

    pthread_mutex_lock(&inbox->lock);
    is_open = inbox->loop != NULL;
    if (is_open) {
        errand->next = inbox->finished;
        inbox->finished = errand;
        atomic_store(&inbox->has_finished, true);
        (void)!http_loop_post(inbox->loop, wake_up,
                              NULL); /* full: it is awake, and drains all the same */
    }
    pthread_mutex_unlock(&inbox->lock);
    if (!is_open)
        errand_free(errand);
}

void
errand_inbox_drain(struct errand_inbox *inbox)
{
    struct errand *errand;

    if (!atomic_load_explicit(&inbox->has_finished, memory_order_acquire))
        return;
    errand = inbox_take(inbox);
    while (errand != NULL) {
        struct errand *next = errand->next;

        if (errand->exchange != NULL)
            errand->reply(errand);
        errand_free(errand);
        errand = next;
    }
}
