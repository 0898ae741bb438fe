/*
 * event - the model: one user event, and a decoded batch of them with each one's verdict.
 *
 * Layer 2. Plain data; slices point into the arena (or the body) the batch was decoded with.
 */
#ifndef POTIK_EVENT_EVENT_H
#define POTIK_EVENT_EVENT_H

#include "base/err.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

/* What is stored. Absent fields have ptr NULL. Text is valid UTF-8 without U+0000. */
struct event {
    struct slice event_id; /* never absent in a stored event */
    struct slice event_type;
    struct slice user_id; /* absent only where anonymous_id is there */
    struct slice anonymous_id;
    struct slice session_id;
    struct slice properties; /* one JSON object as sent, or absent */
    int64_t occurred_at_us;  /* Unix microseconds, UTC */
    int64_t received_at_us;  /* the server's clock */
    uint32_t project_id;     /* from the key, never from the client's body */
};

/* The person key: the text user_id, else anonymous_id. */
static inline struct slice
event_person_key(const struct event *event)
{
    return event->user_id.ptr != NULL ? event->user_id : event->anonymous_id;
}

/* One element of a request, decoded: either a whole event, or the reason why not. */
struct event_entry {
    struct event event;   /* whole if err is ERR_OK; else only event_id may be set (see has_id) */
    enum err err;         /* ERR_OK, or a per-event error */
    bool has_id;          /* event.event_id is a usable id, chosen by the client */
    bool is_id_assigned;  /* event.event_id was made by the server */
    struct slice field;   /* of the error: "occurred_at", "properties.a.b"; ptr NULL: none */
    struct slice message; /* of the error: "occurred_at: not RFC 3339"; ptr NULL: err_sentence() */
};

/* An element as it was sent, white space around left out. Beside the entries and not in them, so
 * that they cost nothing where nobody asks for them. */
struct event_original {
    struct slice bytes; /* ptr NULL: there was no memory for them */
    bool is_cut;        /* more was sent */
};

/* The elements in the order of the body; index = place in the client's array. */
struct event_batch {
    struct event_entry *entries;
    uint32_t count;
    struct event_original *originals; /* one an entry, where event_context.originals_max asks for
                                         them; else NULL */
};

#endif
