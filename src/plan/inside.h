/*
 * inside - a compiled plan, as the files of this room see it.
 *
 * Layer 2, not for other rooms. Everything but patterns and locks stands in the plan's arena.
 */
#ifndef POTIK_PLAN_INSIDE_H
#define POTIK_PLAN_INSIDE_H

#include "plan/decimal.h"
#include "plan/pattern.h"
#include "plan/plan.h"
#include "plan/sequence.h"
#include <pthread.h>
#include <stdatomic.h>

/* Kinds of a JSON value as bits of `type`. INTEGER is a NUMBER without a fraction. */
enum {
    KIND_NULL = 1,
    KIND_BOOLEAN = 2,
    KIND_INTEGER = 4,
    KIND_NUMBER = 8,
    KIND_STRING = 16,
    KIND_ARRAY = 32,
    KIND_OBJECT = 64,
};

#define NOT_REQUIRED UINT32_MAX

/* Names → whatever: open addressing, a power of two of slots, at most half full. */
struct name {
    struct slice text;
    uint64_t first; /* its first and last bytes: names_ends */
    uint64_t last;
    const char
        *quoted; /* a property's, as mostly sent: "name": with quotes and colon; NULL: never */
    const void *value; /* a schema, a type; NULL: a name alone */
    uint32_t required; /* its bit among what an object must have; NOT_REQUIRED */
};
struct names {
    struct name *list; /* in the order of the document */
    uint32_t count;
    uint32_t max;
    uint32_t *slots; /* 1 + place in the list; 0: free */
    uint32_t slot_mask;
};

struct bound {
    bool is_given;
    bool is_exclusive;
    bool is_small; /* an integer below 10^18: `small` is it */
    int64_t small;
    struct decimal decimal;
    struct slice shown; /* as the document has it */
};

struct choices { /* of enum and const */
    bool are_given;
    struct names texts;
    struct decimal *numbers; /* sorted */
    uint32_t number_count;
    bool has_null, has_true, has_false;
    struct slice shown; /* for messages: as the document has it, cut */
};

struct schema {
    uint32_t number; /* one of its own in the plan */
    uint32_t kinds;  /* 0: any */
    bool is_nothing; /* `false`: no value will do */
    struct choices choices;
    struct bound minimum, maximum;
    uint32_t length_min, length_max; /* code points */
    bool has_pattern;
    const struct sequence *sequence; /* of a plain one; else … */
    struct pattern *pattern;
    struct slice pattern_text;
    uint32_t items_min, items_max;
    const struct schema *items; /* NULL: any */
    /* of objects: */
    struct names names;
    uint32_t required_count;
    bool is_closed;                  /* properties without a name above are refused … */
    const struct schema *additional; /* … or must be so; NULL: any */
};

struct plan_type {
    struct slice name;
    enum plan_mode mode;
    const struct schema *schema; /* NULL: properties are not looked at */
    /* violations, of events that were stored: */
    _Atomic uint64_t count;
    pthread_mutex_t lock; /* of the last one */
    int64_t last_us;
    struct diag last;
};

struct plan {
    _Atomic uint32_t holders;
    struct arena arena;
    struct plan_type **types; /* in the order of the document */
    uint32_t type_count;
    struct names type_names;
    struct plan_type unknown; /* all others */
    struct pattern **patterns;
    uint32_t pattern_count;
    uint32_t schema_count;
};

/* --- names.c ----------------------------------------------------------------------------------*/

/* Room for `max` names. false: out of memory. */
MUST_USE bool names_init(struct names *names, struct arena *arena, uint32_t max);
/* The first and the last eight bytes, of shorter texts what there is, so that two texts of one
 * length up to 16 are equal if these are. */
static inline void
names_ends(struct slice text, uint64_t *ret_first, uint64_t *ret_last)
{
    uint32_t four;

    if (text.len >= 8) {
        memcpy(ret_first, text.ptr, 8);
        memcpy(ret_last, text.ptr + text.len - 8, 8);
        return;
    }
    *ret_first = *ret_last = 0;
    if (text.len >= 4) {
        memcpy(&four, text.ptr, 4);
        *ret_first = four;
        memcpy(&four, text.ptr + text.len - 4, 4);
        *ret_last = four;
    } else if (text.len != 0) {
        *ret_first = (unsigned char)text.ptr[0];
        *ret_last = (uint64_t)(unsigned char)text.ptr[text.len / 2] << 8 |
                    (unsigned char)text.ptr[text.len - 1];
    }
}

static inline uint32_t
names_hash(size_t len, uint64_t first, uint64_t last)
{
    uint64_t hash = (first ^ (last << 29 | last >> 35) ^ len) * UINT64_C(0x9E3779B97F4A7C15);

    return (uint32_t)(hash >> 48); /* the bits that all others have gone into; slots are fewer */
}

/* NULL: not there. */
static inline struct name *
names_find(const struct names *names, struct slice text)
{
    uint64_t first, last;

    if (names->count == 0)
        return NULL;
    names_ends(text, &first, &last);
    for (uint32_t slot = names_hash(text.len, first, last) & names->slot_mask;
         names->slots[slot] != 0; slot = (slot + 1) & names->slot_mask) {
        struct name *name = &names->list[names->slots[slot] - 1];

        if (name->first == first && name->last == last && name->text.len == text.len &&
            (text.len <= 16 || memcmp(name->text.ptr, text.ptr, text.len) == 0))
            return name;
    }
    return NULL;
}
/* One that is not there; `text` must live as long. NULL: there is no room. */
MUST_USE struct name *names_add(struct names *names, struct slice text);
/* Sets `quoted`, where the name stands in JSON as it is. false: out of memory. */
MUST_USE bool names_quote(struct name *name, struct arena *arena);
#define NAMES_QUOTES 3 /* bytes of `quoted` beside the name's */

/* Whether `at`, with `end` behind it, begins with name->quoted. */
static inline bool
names_is_at(const struct name *name, const char *at, const char *end)
{
    const size_t len = name->text.len + NAMES_QUOTES; /* 4 at least */
    uint64_t ours[2], theirs[2];
    uint32_t few[4];

    if (name->quoted == NULL || (size_t)(end - at) < len)
        return false;
    if (len < 8) {
        memcpy(&few[0], name->quoted, 4);
        memcpy(&few[1], name->quoted + len - 4, 4);
        memcpy(&few[2], at, 4);
        memcpy(&few[3], at + len - 4, 4);
        return few[0] == few[2] && few[1] == few[3];
    }
    if (len > 16)
        return memcmp(name->quoted, at, len) == 0;
    memcpy(&ours[0], name->quoted, 8);
    memcpy(&ours[1], name->quoted + len - 8, 8);
    memcpy(&theirs[0], at, 8);
    memcpy(&theirs[1], at + len - 8, 8);
    return ours[0] == theirs[0] && ours[1] == theirs[1];
}

/* --- compiling --------------------------------------------------------------------------------*/

/* Where the reader stands in the document, for errors. */
struct reading {
    struct plan *plan;
    const char *end; /* of the document */
    struct diag *diag;
    uint32_t depth; /* of schemas */
    size_t path_len;
    char path[DIAG_FIELD_MAX];
};
/* The path goes one step down; what it was is given back to reading_up. */
size_t reading_down(struct reading *reading, struct slice part);
void reading_up(struct reading *reading, size_t path_len);
/* ERR_INVALID_PLAN: "<path>: <words>", field the path. */
enum err reading_refuse(struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The text at `at`, decoded, in the plan's arena; *ret_behind the place behind it. ERR_NOMEM. */
MUST_USE enum err reading_text(struct reading *reading, const char *at, struct slice *ret_text,
                               const char **ret_behind);

/* Each member of the object at `at`, whose path stands in `reading` meanwhile: `read` gets its key,
 * decoded, and the place of its value. The first error ends it. */
MUST_USE enum err reading_members(struct reading *reading, const char *at,
                                  enum err (*read)(struct reading *reading, struct slice key,
                                                   const char *at, void *state),
                                  void *state);

/* schema.c: the schema at `at`; root: of `properties` itself. */
MUST_USE enum err schema_compile(struct reading *reading, const char *at, bool is_root,
                                 const struct schema **ret_schema);

/* check.c: does it fit? false: told in diag, or *ret_is_nomem. */
MUST_USE bool schema_check(const struct schema *schema, struct slice type, struct slice properties,
                           struct plan_scratch *scratch, bool *ret_is_nomem, struct diag *diag);

/* "a text", "a number": of the value at `at`. */
const char *kind_shown(const char *at);

#endif
