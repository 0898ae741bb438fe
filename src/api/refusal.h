/*
 * refusal - one line in the log for each 401, bounded: who guesses keys must not fill the disk.
 *
 * Layer 6, any thread. At most REFUSAL_LINES_MAX a second; the first line of a later second is
 * preceded by one that counts what was left out. Never a key or a token.
 */
#ifndef POTIK_API_REFUSAL_H
#define POTIK_API_REFUSAL_H

#include "base/log.h"

#include <pthread.h>

#define REFUSAL_LINES_MAX 20

struct refusals {
    pthread_mutex_t lock;
    int64_t second;
    uint32_t lines; /* in this second */
    uint64_t left_out;
};

void refusal_init(struct refusals *refusals);
void refusal_fini(struct refusals *refusals, const struct log_sink *sink); /* tells the rest */
void refusal_tell(struct refusals *refusals, const struct log_sink *sink, int64_t now_ns,
                  struct slice request_id, struct slice peer, const char *reason);

#endif
