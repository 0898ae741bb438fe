/*
 * decode_inside - what the files of decode share: the body under way, and the calls between them.
 *
 * Layer 2. decode.c has the calls of decode.h; envelope.c the machine that finds elements; settle.c
 * makes entries of them.
 */
#ifndef POTIK_EVENT_DECODE_INSIDE_H
#define POTIK_EVENT_DECODE_INSIDE_H

#include "codec/json_scan.h"
#include "codec/ndjson.h"
#include "event/element.h"

#define WRAPPER_KEY_MAX 64

enum decode_state {
    DECODE_START,
    DECODE_BRACE,
    DECODE_KEY,
    DECODE_COLON,
    DECODE_FIRST_VALUE,
    DECODE_SINGLE,
    DECODE_SCALAR,
    DECODE_LIST,    /* an element begins here, or the list ends */
    DECODE_ELEMENT, /* within one whose end json_cut looks for */
    DECODE_WRAPPER_AFTER,
    DECODE_WRAPPER_COMMA,
    DECODE_WRAPPER_KEY,
    DECODE_TAIL,
    DECODE_LINES,
};

struct event_decode {
    struct event_decoder *decoder;
    struct event_context context;
    struct arena *arena;
    bool is_whole; /* slices may point into what is fed */
    enum decode_state state;
    struct element element;
    struct event_entry *entries;
    struct event_original *originals; /* as many, where they are asked for */
    struct event_original original;   /* of the entry that is being made */
    uint32_t count;
    uint32_t capacity;
    bool is_comma_seen; /* of the list: an element must follow */
    bool is_wrapped;
    bool has_broken; /* an element whose cut may be wrong */
    bool has_other;  /* an element that is no object */
    struct json_cut cut;
    struct piece piece; /* the element under way, where it began in an earlier piece of the body */
    struct json_check check;
    bool is_checking;
    struct ndjson lines;
    uint32_t key_len;
    bool is_key_escape;
    char key[WRAPPER_KEY_MAX];
    enum err err;     /* final */
    struct diag diag; /* its words; unset before */
};

/* --- settle.c: all give ERR_OK or decode->err, final, with its words in decode->diag
 * ------------*/

enum err
decode_refuse(struct event_decode *decode, enum err err, const char *field, const char *message);
enum err decode_refuse_nomem(struct event_decode *decode);

/* An element that was read by decode->element; `text` is it. is_lasting: it outlives the batch. */
MUST_USE enum err settle_read(struct event_decode *decode, struct slice text, bool is_lasting);
/* Nothing stands where an element should. */
MUST_USE enum err settle_empty(struct event_decode *decode);
/* A line, trimmed; of one over the limit its first LIMIT_EVENT_BYTES. */
MUST_USE enum err settle_line(struct event_decode *decode, const struct ndjson_line *line);
/* Bytes of an element that goes on in the next piece of the body. */
MUST_USE enum err settle_gather(struct event_decode *decode, const char *bytes, size_t len);
/* The element ends at `end`; of it, [begin, end) lies in this piece of the body, the rest is
 * gathered. */
MUST_USE enum err settle_end(struct event_decode *decode, const char *begin, const char *end);

/* --- envelope.c -------------------------------------------------------------------------------*/

MUST_USE enum err envelope_feed(struct event_decode *decode, const char *bytes, size_t len);
/* The body is over: was it whole? */
MUST_USE enum err envelope_end(struct event_decode *decode);

#endif
