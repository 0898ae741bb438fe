/*
 * selection - which stored events of a project an erasure is about: one person's, those of a
 * stretch of time, those of a list of ids, or all.
 *
 * Layer 2, pure. Store and warehouse ask the same question of each row, so that both lose the same
 * events. A selection never covers what comes after it was made: `seq_max` (where the store numbers
 * its events) and `received_max_us` bound it; both hold at once.
 */
#ifndef POTIK_EVENT_SELECTION_H
#define POTIK_EVENT_SELECTION_H

#include "event/event.h"

#define SELECTION_IDS_MAX 1000000U

enum selection_kind {
    SELECTION_PERSON,   /* user_id or anonymous_id is `person` */
    SELECTION_RECEIVED, /* from_us <= received_at < to_us */
    SELECTION_OCCURRED, /* from_us <= occurred_at < to_us */
    SELECTION_IDS,      /* event_id is one of `ids` */
    SELECTION_ALL,      /* the whole project */
};

struct selection {
    uint32_t project_id;
    enum selection_kind kind;
    struct slice person;
    int64_t from_us; /* Unix microseconds, UTC */
    int64_t to_us;
    const struct slice *ids; /* rising bytewise, each once: selection_sort_ids */
    uint32_t id_count;       /* 1 … SELECTION_IDS_MAX */
    uint64_t seq_max;        /* UINT64_MAX: the store has no such numbers */
    int64_t received_max_us; /* INT64_MAX: no such bound */
};

/* Whether the event (of seq `seq`; 0 where there is no such number) is selected. Any thread. */
MUST_USE bool
selection_matches(const struct selection *selection, const struct event *event, uint64_t seq);
/* Brings ids into the order asked for and drops repetitions; returns how many are left. */
uint32_t selection_sort_ids(struct slice *ids, uint32_t count);

#endif
