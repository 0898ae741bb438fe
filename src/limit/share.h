/*
 * share - limits that several processes keep together: what each has counted is handed on, and what
 * is owed in all comes back.
 *
 * Layer 3, called by redis.c. Requests are let in or refused at once, by what this process knows.
 * What it has counted meanwhile is collected every few milliseconds and told to the others' common
 * place; the answer is what is owed there now, and replaces what was known, but for what has been
 * counted since. So two processes may let in the same room twice within one such interval; it is
 * owed by both, so that the rate holds: more comes in by one interval's worth at the most, once.
 */
#ifndef POTIK_LIMIT_SHARE_H
#define POTIK_LIMIT_SHARE_H

#include "limit/limit.h"

/* What is told of one id, and what comes back. */
struct share_part {
    enum limit_who who;
    uint64_t id;
    uint64_t place; /* of its entry */
    bool is_all;    /* told_ns: not what is new, but all that is known to be owed */
    int64_t told_ns[LIMIT_WHAT_COUNT]; /* may be below 0: given back */
};

/* `wake` is called on any thread, with locks held: when there is something to collect for the first
 * time since limit_collect gave less than it was asked for. */
void limit_share_with(struct limit *limit, void (*wake)(void *state), void *state);
/* The next at most `parts_max` ids of which something has been counted. */
size_t
limit_collect(struct limit *limit, struct share_part *parts, size_t parts_max, int64_t now_ns);
/* So much is owed, all in all, as of then. */
void limit_settle(struct limit *limit, const struct share_part *part,
                  const int64_t owed_ns[LIMIT_WHAT_COUNT], int64_t then_ns);
/* The common place cannot be reached, or can again: what was told before it went away may be known
 * there or not. Away at first. */
void limit_set_away(struct limit *limit, bool is_away);

#endif
