/*
 * pattern - a regular expression of a plan: does a text hold a match anywhere?
 *
 * Layer 2, over RE2 (pattern.cc, the second C++ file of the house): time linear in the text,
 * whatever the expression, and bounded memory. Why RE2: docs/adr/0017-tracking-plan.md. Any thread;
 * a match takes RE2's read lock of its table of states.
 */
#ifndef POTIK_PLAN_PATTERN_H
#define POTIK_PLAN_PATTERN_H

#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pattern;
enum pattern_found { PATTERN_ABSENT, PATTERN_FOUND, PATTERN_NOMEM };

/* ERR_INVALID: what is wrong with it, in diag's message; ERR_NOMEM. */
MUST_USE enum err
pattern_new(struct slice expression, struct pattern **ret_pattern, struct diag *diag);
void pattern_free(struct pattern **pattern); /* takes NULL */
/* `text` is valid UTF-8. */
MUST_USE enum pattern_found pattern_find(const struct pattern *pattern, struct slice text);

#ifdef __cplusplus
}
#endif

#endif
