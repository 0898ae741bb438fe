/*
 * plan - a project's tracking plan: which properties its events may have, and what is done with
 * those that differ.
 *
 * Layer 2, over texts alone. A plan is a JSON document,
 *
 *     {"unknown_events": "observe",
 *      "events": {"purchase": {"mode": "enforce", "description": "…",
 *                              "properties": {a JSON Schema of the properties object}}}}
 *
 * compiled once (compile.c, schema.c) into an immutable, counted structure that loops read without
 * a lock; checking an event (check.c) walks the bytes of its properties as they were sent, and
 * allocates nothing. account/access_snapshot holds the plans in force, account/tracking_plan the
 * rows they come from. The keywords, and what a schema does not say: docs/API.md, docs/adr/0017.
 *
 * What may change in a plan that stands are its counts of violations (plan_note).
 */
#ifndef POTIK_PLAN_PLAN_H
#define POTIK_PLAN_PLAN_H

#include "base/arena.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

#define PLAN_BYTES_MAX (1024 * 1024)
#define PLAN_TYPES_MAX 1000
#define PLAN_TYPE_BYTES_MAX 200        /* as of an event's type */
#define PLAN_DEPTH_MAX 16              /* schemas within each other; that of `properties` is 1 */
#define PLAN_PROPERTIES_MAX 1000       /* of one object, required ones that are not described too */
#define PLAN_REQUIRED_MAX 256          /* of one object */
#define PLAN_NAME_BYTES_MAX 256        /* of a property's name */
#define PLAN_ENUM_MAX 1000             /* values of one enum */
#define PLAN_PATTERN_BYTES_MAX 1000    /* of one pattern */
#define PLAN_PATTERNS_MAX 200          /* of one plan: each takes up to 256 KiB in use */
#define PLAN_LENGTH_MAX 1000000000     /* minLength … maxItems */
#define PLAN_SCRATCH_BYTES (64 * 1024) /* as many as properties may have */
#define PLAN_HINTS 256                 /* a power of two */

enum plan_mode { PLAN_OBSERVE, PLAN_WARN, PLAN_ENFORCE };
const char *plan_mode_name(enum plan_mode mode);
/* false: no such name. */
MUST_USE bool plan_mode_parse(struct slice text, enum plan_mode *ret_mode);

struct plan;
/*
 * ERR_INVALID_PLAN: told with the path in the document ("events.purchase.properties.type") and the
 * cure; ERR_NOMEM. The plan keeps nothing of `document`.
 */
MUST_USE enum err plan_compile(struct slice document, struct plan **ret_plan, struct diag *diag);
struct plan *plan_hold(struct plan *plan);
void plan_release(struct plan **plan); /* takes NULL */

enum plan_verdict {
    PLAN_FITS,      /* or nobody asks: observe */
    PLAN_WARNED,    /* differs, of a type in mode warn: is to be stored, and counted */
    PLAN_REFUSED,   /* differs, of a type in mode enforce */
    PLAN_UNDECIDED, /* out of memory */
};
struct plan_type; /* whose counts a violation belongs to; lives as long as the plan */

/* A thread's own, all zero at first. `next`: of a place in a schema the name that came next the
 * last time; it is a guess, of this plan or of another, and is asked before it is believed. */
struct plan_scratch {
    char text[PLAN_SCRATCH_BYTES];
    uint16_t next[PLAN_HINTS];
};
/*
 * `type` and `properties` are of an event that was judged good (properties: one JSON object as
 * sent, or absent). Of the first that differs:
 * WARNED and REFUSED set *ret_type and diag's field ("properties.amount") and message.
 */
MUST_USE enum plan_verdict
plan_check(const struct plan *plan, struct slice type, struct slice properties,
           struct plan_scratch *scratch, struct plan_type **ret_type, struct diag *diag);

/* --- violations of what was stored all the same: any thread ------------------------------------*/

struct plan_violations {
    uint64_t count;
    int64_t last_us; /* 0: none */
    struct diag last;
};
void plan_note(struct plan_type *type, const struct diag *violation, int64_t now_us);
/* Counts of types that both plans have, by name, go on; in `plan`, before others see it. */
void plan_carry_counts(struct plan *plan, const struct plan *before);
/* The types in the order of the document; behind the last the one of all types that the plan does
 * not have, without a name (ptr NULL). */
uint32_t plan_type_count(const struct plan *plan);
struct slice plan_type_name(const struct plan *plan, uint32_t i);
enum plan_mode plan_type_mode(const struct plan *plan, uint32_t i);
void plan_type_violations(const struct plan *plan, uint32_t i, struct plan_violations *ret);

#endif
