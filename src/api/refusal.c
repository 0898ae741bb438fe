/*
 * refusal - counting and telling. See refusal.h.
 */
#include "api/refusal.h"

#include "base/clock.h"

void
refusal_init(struct refusals *refusals)
{
    *refusals = (struct refusals){.second = INT64_MIN};
    pthread_mutex_init(&refusals->lock, NULL);
}

static void
tell_left_out(const struct log_sink *sink, uint64_t left_out)
{
    if (left_out != 0)
        SINK(sink, LOG_LEVEL_WARN, "auth.refused_more", LOG_U64("count", left_out));
}

void
refusal_fini(struct refusals *refusals, const struct log_sink *sink)
{
    tell_left_out(sink, refusals->left_out);
    pthread_mutex_destroy(&refusals->lock);
}

void
refusal_tell(struct refusals *refusals, const struct log_sink *sink, int64_t now_ns,
             struct slice request_id, struct slice peer, const char *reason)
{
    int64_t second = now_ns / NS_PER_S;
    uint64_t left_out = 0;
    bool is_told;

    pthread_mutex_lock(&refusals->lock);
    if (second != refusals->second) {
        refusals->second = second;
        refusals->lines = 0;
        left_out = refusals->left_out;
        refusals->left_out = 0;
    }
    is_told = refusals->lines < REFUSAL_LINES_MAX;
    if (is_told)
        refusals->lines++;
    else
        refusals->left_out++;
    pthread_mutex_unlock(&refusals->lock);
    tell_left_out(sink, left_out);
    if (is_told)
        SINK(sink, LOG_LEVEL_WARN, "auth.refused", LOG_SLICE("request_id", request_id),
             LOG_SLICE("peer", peer), LOG_TEXT("reason", reason != NULL ? reason : ""));
}
