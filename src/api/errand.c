/*
 * errand - one errand's life, and the inbox that brings it home. See errand.h.
 *
 * A finished errand is pushed on its loop's inbox, and the loop is woken by a message. Should the
 * loop's channel be full, the loop is awake anyway, and drains the inbox at the end of that turn: a
 * reply is never lost.
 *
 * Locks: one mutex an inbox, held for a few instructions by a pool's thread or the loop.
 */
#include "api/errand.h"

#include "base/mem.h"

#include <assert.h>

#define ARENA_BLOCK 4096

struct errand_inbox {
    pthread_mutex_t lock;
    struct http_loop *loop; /* NULL: closed */
    struct errand *finished;
    uint32_t holders; /* errands under way, and the loop itself */
    _Atomic bool has_finished;
};

/* --- the inbox --------------------------------------------------------------------------------*/

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

        errand_destroy(errand);
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
        errand_destroy(errand);
}

/* --- one errand -------------------------------------------------------------------------------*/

void
errand_init(struct errand *errand, const struct errand_kind *kind, struct errand_inbox *inbox,
            struct http_exchange *exchange, uint64_t body_bytes_max, uint64_t arena_bytes_max)
{
    arena_init(&errand->arena, ARENA_BLOCK, arena_bytes_max);
    buf_init(&errand->body, body_bytes_max);
    errand->kind = kind;
    errand->exchange = exchange;
    errand->status = 200;
    errand->content_type = "application/json";
    errand->inbox = inbox;
    pthread_mutex_lock(&inbox->lock);
    inbox->holders++;
    pthread_mutex_unlock(&inbox->lock);
}

void
errand_destroy(struct errand *errand)
{
    struct errand_inbox *inbox = errand->inbox;

    if (errand->kind->wipe != NULL)
        errand->kind->wipe(errand);
    buf_fini(&errand->body);
    arena_fini(&errand->arena);
    mem_free(errand);
    inbox_release(inbox);
}

void
errand_abandon(struct errand *errand)
{
    errand->exchange = NULL;
    if (errand->kind->abandoned != NULL)
        errand->kind->abandoned(errand);
}

void
errand_add_header(struct errand *errand, const char *name, struct slice value)
{
    assert(errand->header_count < ERRAND_HEADERS_MAX);
    errand->headers[errand->header_count++] = (struct errand_header){name, value};
}

static void
reply(struct errand *errand)
{
    struct http_exchange *exchange = errand->exchange;
    enum err err = errand->err == ERR_CANCELLED ? ERR_NOT_READY : errand->err;

    if (exchange == NULL)
        return;
    if (err == ERR_OK && buf_failed(&errand->body))
        err = ERR_NOMEM;
    if (err != ERR_OK && errand->kind->failed != NULL)
        errand->kind->failed(errand, err);
    for (uint32_t i = 0; i < errand->header_count; i++)
        http_reply_header(exchange, errand->headers[i].name, errand->headers[i].value);
    if (err != ERR_OK)
        http_reply_error(exchange, err, errand->diag.message, errand->diag.field);
    else
        http_reply(exchange, errand->status, errand->status == 204 ? NULL : errand->content_type,
                   buf_slice(&errand->body));
}

void
errand_drain(struct errand_inbox *inbox)
{
    struct errand *errand;

    if (!atomic_load_explicit(&inbox->has_finished, memory_order_acquire))
        return;
    errand = inbox_take(inbox);
    while (errand != NULL) {
        struct errand *next = errand->next;

        reply(errand);
        errand_destroy(errand);
        errand = next;
    }
}
