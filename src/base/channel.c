/*
 * channel - a ring under a lock, with an eventfd the receiver sleeps on. See thread.h.
 *
 * The eventfd is written by the send that finds it silent, and read by the receive that finds the
 * ring empty; both under the lock, so it is readable whenever a message waits, and a burst costs
 * one write.
 */
#include "base/thread.h"

#include "base/file.h"
#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct channel {
    pthread_mutex_t lock;
    int fd;
    bool is_signalled;
    uint32_t capacity;
    uint32_t start;
    uint32_t count;
    void *messages[];
};

enum err
channel_new(uint32_t messages_max, struct channel **ret_channel, struct diag *diag)
{
    struct channel *channel;

    assert(messages_max != 0);
    channel = (struct channel *)mem_zalloc(1, sizeof(struct channel) +
                                                  (size_t)messages_max * sizeof(void *));
    if (channel == NULL) {
        diag_set(diag, "channel of %u messages: out of memory", messages_max);
        return ERR_NOMEM;
    }
    channel->capacity = messages_max;
    channel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (channel->fd < 0) {
        diag_set(diag, "eventfd");
        diag_add_errno(diag, errno);
        mem_free(channel);
        return ERR_IO;
    }
    (void)pthread_mutex_init(&channel->lock, NULL);
    *ret_channel = channel;
    return ERR_OK;
}

void
channel_free(struct channel **channel)
{
    if (*channel == NULL)
        return;
    assert((*channel)->count == 0);
    file_close(&(*channel)->fd);
    (void)pthread_mutex_destroy(&(*channel)->lock);
    mem_free(*channel);
    *channel = NULL;
}

int
channel_fd(const struct channel *channel)
{
    return channel->fd;
}

bool
channel_send(struct channel *channel, void *message)
{
    bool is_sent = false;

    assert(message != NULL);
    pthread_mutex_lock(&channel->lock);
    if (channel->count < channel->capacity) {
        uint64_t end = ((uint64_t)channel->start + channel->count) % channel->capacity;

        channel->messages[end] = message;
        channel->count++;
        is_sent = true;
        if (!channel->is_signalled) {
            const uint64_t one = 1;
            ssize_t put = write(channel->fd, &one, sizeof(one));

            assert(put == sizeof(one)); /* silent before, so it cannot be full */
            channel->is_signalled = true;
        }
    }
    pthread_mutex_unlock(&channel->lock);
    return is_sent;
}

void *
channel_receive(struct channel *channel)
{
    void *message = NULL;

    pthread_mutex_lock(&channel->lock);
    if (channel->count != 0) {
        message = channel->messages[channel->start];
        channel->start = channel->start + 1 == channel->capacity ? 0 : channel->start + 1;
        channel->count--;
    } else if (channel->is_signalled) {
        uint64_t count;
        ssize_t got = read(channel->fd, &count, sizeof(count));

        assert(got == sizeof(count));
        channel->is_signalled = false;
    }
    pthread_mutex_unlock(&channel->lock);
    return message;
}
