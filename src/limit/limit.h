/*
 * limit - how much may come from one key, of one project, from one address: token buckets.
 *
 * Layer 3, any thread; called by api. Three things are counted (events, requests, bytes), each for
 * three who (key, project, address): nine limits, any of them absent. A request is let in where all
 * of its limits have room, and only then is anything counted (GCRA, bucket.h).
 *
 * What is known of a request comes in parts, so that a refused one costs little: its head before
 * the body is read, the events when they have been decoded. One event is counted with the head
 * already, so that who has no events left is refused before sending them. Which part pays for what:
 * api/limits.c.
 *
 * A bucket that is full again says nothing and may be forgotten. Each who has a table of a fixed
 * size; where more than that are busy at once, the least indebted of a few is forgotten early, so
 * it may send more than it should, never less.
 */
#ifndef POTIK_LIMIT_LIMIT_H
#define POTIK_LIMIT_LIMIT_H

#include "base/diag.h"
#include "base/err.h"
#include "base/random.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum limit_who { LIMIT_KEY, LIMIT_PROJECT, LIMIT_ADDRESS, LIMIT_WHO_COUNT };
enum limit_what { LIMIT_EVENTS, LIMIT_REQUESTS, LIMIT_BYTES, LIMIT_WHAT_COUNT };

#define LIMIT_PER_SECOND_MAX UINT64_C(1000000000000)
#define LIMIT_BURST_MS_MAX UINT64_C(3600000)

/* What holds while limits are kept together with other processes (share.h) and these cannot be
 * asked. */
enum limit_fallback {
    LIMIT_LOCAL,  /* each process lets in the whole rate by itself */
    LIMIT_OPEN,   /* everything is let in */
    LIMIT_CLOSED, /* nothing is */
};

struct limit_config {
    uint64_t per_second[LIMIT_WHO_COUNT][LIMIT_WHAT_COUNT]; /* 0: no limit; ≤ _PER_SECOND_MAX */
    uint64_t burst_ms;    /* what may come at once: of so long. 1 … LIMIT_BURST_MS_MAX */
    uint32_t entries_max; /* remembered of each who; rounded up to a power of two, 8 at least */
    struct random_source *random; /* the secret of the tables' hash */
    bool is_shared;               /* kept together with other processes */
    enum limit_fallback fallback;
};

/* Whose request it is; 0: nobody's, not limited. */
struct limit_ids {
    uint64_t ids[LIMIT_WHO_COUNT];
};

/* The limit that has refused, or the one with the smallest share left. */
struct limit_answer {
    bool is_limited; /* false: no limit was asked; nothing below holds */
    bool is_unknown; /* refused since the others cannot be asked; nothing else here holds */
    enum limit_who who;
    enum limit_what what;
    int64_t debt_ns; /* until its whole quota is there again */
    int64_t wait_ns; /* refused: until this would be let in, if nothing else comes; > 0 */
};

/* Of such an answer, for who is to be told. */
struct limit_state {
    uint64_t quota;     /* what may come at once when nothing has come for a while */
    uint64_t window_ms; /* in which so much comes back */
    uint64_t left;      /* of the quota, now */
};

struct limit;
/* ERR_NOMEM. No limit at all in `config`: *ret_limit is NULL, which all below take. */
MUST_USE enum err
limit_new(const struct limit_config *config, struct limit **ret_limit, struct diag *diag);
void limit_free(struct limit **place);
/* Whether this who has any limit: an id is worth making. */
bool limit_has(const struct limit *limit, enum limit_who who);
/*
 * Counts `costs` (indexed by limit_what) where every limit has room for them; a cost of 0 is not
 * asked. `paid[what]` of a cost was counted before, for the same request, and is not counted again:
 * room for the whole cost is asked for as if it had not been; where it was all, for none. NULL:
 * nothing was. false: refused, nothing was counted.
 */
MUST_USE bool
limit_take(struct limit *limit, const struct limit_ids *ids, const uint64_t costs[LIMIT_WHAT_COUNT],
           const uint64_t paid[LIMIT_WHAT_COUNT], int64_t now_ns, struct limit_answer *ret_answer);
/* Counts `costs` in any case, for what has come already. */
void limit_count(struct limit *limit, const struct limit_ids *ids,
                 const uint64_t costs[LIMIT_WHAT_COUNT], int64_t now_ns);
/* Counts `costs` of the same request no more. */
void limit_give(struct limit *limit, const struct limit_ids *ids,
                const uint64_t costs[LIMIT_WHAT_COUNT]);
enum limit_fallback limit_fallback(const struct limit *limit);
struct limit_state limit_state(const struct limit *limit, const struct limit_answer *answer);
/* "key", "events": for metrics, fields and words. */
const char *limit_who_name(enum limit_who who);
const char *limit_what_name(enum limit_what what);

#endif
