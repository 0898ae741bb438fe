/*
 * mailbox - see mailbox.h.
 */
#include "http/mailbox.h"

#include "base/mem.h"
#include <sys/eventfd.h>
#include <unistd.h>

enum err
mailbox_init(struct mailbox *mailbox)
{
    *mailbox = (struct mailbox){.wake_fd = -1};
    mailbox->ring = MEM_NEW(struct message, MAILBOX_MESSAGES_MAX);
    if (mailbox->ring == NULL)
        return ERR_NOMEM;
    mailbox->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mailbox->wake_fd < 0) {
        mem_free(mailbox->ring);
        mailbox->ring = NULL;
        return ERR_IO;
    }
    pthread_mutex_init(&mailbox->lock, NULL);
    return ERR_OK;
}

void
mailbox_fini(struct mailbox *mailbox)
{
    if (mailbox->ring == NULL)
        return;
    pthread_mutex_destroy(&mailbox->lock);
    close(mailbox->wake_fd);
    mem_free(mailbox->ring);
    mailbox->ring = NULL;
}

void
mailbox_wake(const struct mailbox *mailbox)
{
    uint64_t one = 1;

    /* Fails only when the counter is full, and then the loop is awake anyway. */
    ssize_t written = write(mailbox->wake_fd, &one, sizeof(one));
    (void)written;
}

void
mailbox_quiet(const struct mailbox *mailbox)
{
    uint64_t count;
    ssize_t got = read(mailbox->wake_fd, &count, sizeof(count));

    (void)got;
}

bool
mailbox_post(struct mailbox *mailbox, struct message message)
{
    bool is_taken = false;
    bool was_empty = false;

    pthread_mutex_lock(&mailbox->lock);
    if (!mailbox->is_closed && mailbox->count < MAILBOX_MESSAGES_MAX) {
        was_empty = mailbox->count == 0;
        mailbox->ring[(mailbox->first + mailbox->count) % MAILBOX_MESSAGES_MAX] = message;
        mailbox->count++;
        is_taken = true;
        /* Under the lock: the fd is open as long as the box is not closed. */
        if (was_empty)
            mailbox_wake(mailbox);
    }
    pthread_mutex_unlock(&mailbox->lock);
    return is_taken;
}

bool
mailbox_take(struct mailbox *mailbox, struct message *ret_message)
{
    bool is_taken = false;

    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->count > 0) {
        *ret_message = mailbox->ring[mailbox->first];
        mailbox->first = (mailbox->first + 1) % MAILBOX_MESSAGES_MAX;
        mailbox->count--;
        is_taken = true;
    }
    pthread_mutex_unlock(&mailbox->lock);
    return is_taken;
}

void
mailbox_close(struct mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->is_closed = true;
    pthread_mutex_unlock(&mailbox->lock);
}
