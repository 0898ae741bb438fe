/*
 * element - one element of a body: read in one pass, then judged by the rules of the event. Inside
 * of decode.
 *
 * Layer 2, one thread at a time. Reading (element.c) finds the syntax and remembers the raw value
 * of each field; judging (judge.c) asks the rules in the order of the contract. Broken syntax makes
 * no entry here: the caller knows how the rest of the body has to be seen then.
 */
#ifndef POTIK_EVENT_ELEMENT_H
#define POTIK_EVENT_ELEMENT_H

#include "codec/json_reader.h"
#include "event/decode.h"
#include "event/limits.h"

/* In the order in which the rules are asked. */
enum field {
    FIELD_EVENT_ID,
    FIELD_EVENT_TYPE,
    FIELD_USER_ID,
    FIELD_ANONYMOUS_ID,
    FIELD_SESSION_ID,
    FIELD_OCCURRED_AT,
    FIELD_PROPERTIES,
    FIELD_COUNT,
};

enum value_kind {
    VALUE_ABSENT, /* not there, or null */
    VALUE_TEXT,
    VALUE_NUMBER,
    VALUE_OBJECT,
    VALUE_ARRAY,
    VALUE_BOOLEAN,
};

struct value {
    enum value_kind kind;
    union {
        struct json_text text;
        struct json_number number;
        struct slice raw; /* of an object */
    };
};

#define ID_POOL_BYTES 320 /* 32 ids a call to the kernel */

/* The thread's part: scratch memory that outlives a body. */
struct event_decoder {
    struct json_scratch scratch;
    struct json_notes notes;
    struct random_source pool_source;  /* gives from the pool */
    struct random_source *pool_origin; /* what the pool was filled from */
    uint32_t pool_left;
    uint8_t pool[ID_POOL_BYTES];
};

struct element {
    /* in */
    struct event_decoder *decoder;
    const struct event_context *context;
    struct arena *arena;
    uint32_t depth; /* of the element as a container of the body: 1 alone, 2 in an array, 3 in
                       "events" */
    /* out */
    struct json_reader
        reader; /* `at`: behind the element; where broken: the place, err and message */
    bool is_object;
    bool has_events_key; /* a key "events": perhaps not an event at all */
    bool is_id_repeated;
    struct value values[FIELD_COUNT];
};

/*
 * Reads one value from the start of `text`; what stands behind it is the caller's business. false:
 * broken (reader.err ERR_INVALID_JSON or ERR_TOO_DEEP) or ERR_NOMEM.
 */
MUST_USE bool element_read(struct element *element, struct slice text);

/* The verdict about an element that was read. ERR_NOMEM. */
MUST_USE enum err element_judge(struct element *element, struct event_entry *ret_entry);

/* Only the usable id, whatever else is wrong, even if `text` is cut off behind it; else ptr NULL.
 * ERR_NOMEM. */
MUST_USE enum err element_find_id(struct element *element, struct slice text, struct slice *ret_id);

/* An entry that says no. `field` and `format`'s arguments are copied into the arena. ERR_NOMEM. */
MUST_USE enum err
element_refuse(struct arena *arena, enum err err, struct slice field, struct event_entry *ret_entry,
               const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
