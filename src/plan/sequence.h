/*
 * sequence - the plainest of regular expressions, matched without an engine: ^ then characters and
 * classes, each with a count, then $.
 *
 * Layer 2, pure. Most patterns of plans are of this kind ("^[A-Z]{3}$", "^sku-[0-9]+$"), and RE2's
 * way in and out costs more than such a match. Only those are taken where no choice is ever to be
 * made: an item that may be repeated more or less often has no character in common with what may
 * follow it, so that as many as there are is the only way. What is not surely such an expression is
 * left to RE2 (pattern.h), which has judged every expression first; a test and fuzz_pattern hold
 * both together.
 *
 * Taken: printable ASCII characters that mean themselves, \ before punctuation, \d, \w, [...] of
 * those and of ranges (not [^...]), and ? * + {n} {n,} {n,m} behind one.
 */
#ifndef POTIK_PLAN_SEQUENCE_H
#define POTIK_PLAN_SEQUENCE_H

#include "base/arena.h"
#include "base/slice.h"
#include <stdint.h>

#define SEQUENCE_ITEMS_MAX 32

struct sequence_item {
    uint64_t set[2]; /* of ASCII */
    uint32_t min;
    uint32_t max;         /* UINT32_MAX: no bound */
    struct slice literal; /* instead, where len is not 0: exactly these */
};
struct sequence {
    uint32_t count;
    struct sequence_item items[SEQUENCE_ITEMS_MAX];
};

/* *ret_sequence NULL: it is none of these. false: out of memory. `expression` is one that RE2 has
 * taken. */
bool sequence_compile(struct slice expression, struct arena *arena,
                      const struct sequence **ret_sequence);
bool sequence_matches(const struct sequence *sequence, struct slice text);

#endif
