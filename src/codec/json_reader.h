/*
 * json_reader - reads JSON text in one pass, strictly (RFC 8259), piece by piece as the caller
 * asks.
 *
 * Layer 1, one thread at a time. The hot path of ingest: the event decoder walks an event with it.
 * It keeps no tree: texts and numbers are slices of the input as sent, so that `properties` can be
 * stored byte for byte and numbers keep every digit. Besides the grammar it notes what JSON allows
 * but an event may not hold: bytes that are not UTF-8 and lone surrogates, repeated keys, U+0000,
 * numbers out of range, depth. Such a note does not stop the reading, since broken syntax further
 * on outranks it. Why not simdjson here: docs/adr/0002-json.md; it is the oracle of fuzz_json.
 */
#ifndef POTIK_CODEC_JSON_READER_H
#define POTIK_CODEC_JSON_READER_H

#include "base/arena.h"
#include "base/err.h"
#include <stdint.h>

#define JSON_DEPTH_MAX 64 /* of containers open at once; the outermost value is 1 */
#define JSON_PATH_MAX 240

/* Between the quotes, as sent. */
struct json_text {
    const char *ptr;
    size_t len;
    bool is_escaped;  /* has a backslash: json_text_decode makes the real text */
    bool has_nul;     /* \u0000 */
    bool is_bad_utf8; /* bytes that are not UTF-8, or a lone surrogate */
};

struct json_number {
    const char *ptr;
    size_t len;
    bool is_integer;  /* neither point nor exponent */
    bool is_in_range; /* json_number_is_in_range */
};

/* The first fault of a kind within a value: what, and where ("properties.a[2].b"). */
struct json_note {
    enum err err; /* ERR_OK: none */
    uint32_t path_len;
    char path[JSON_PATH_MAX]; /* valid UTF-8, cut at the end */
};

struct json_notes {
    struct json_note encoding; /* ERR_INVALID_UTF8 */
    struct json_note key;      /* ERR_DUPLICATE_KEY */
    struct json_note content;  /* ERR_NUL_CHARACTER, ERR_INVALID_NUMBER, ERR_TOO_DEEP */
};

/* Keys of the objects open at the moment, for finding repeats. Kept from text to text. */
struct json_key {
    const char *ptr;
    uint32_t len;
    uint64_t tag; /* equal keys have equal tags */
};
struct json_scratch {
    struct json_key *keys;
    uint32_t key_count;
    uint32_t key_capacity;
};
void json_scratch_fini(struct json_scratch *scratch);
/* Gives memory back that an unusual text has taken. */
void json_scratch_trim(struct json_scratch *scratch);

struct json_reader {
    const char *at;
    const char *end;
    struct json_scratch *scratch;
    struct arena *arena; /* keys with escapes are decoded into it */
    enum err
        err; /* after a false: ERR_INVALID_JSON, ERR_TOO_DEEP or ERR_NOMEM; `at` is the place */
    const char *message; /* after a false: "a ':' was expected" */
};

void json_reader_init(struct json_reader *reader, struct slice text, struct json_scratch *scratch,
                      struct arena *arena);

static inline void
json_reader_space(struct json_reader *reader)
{
    const char *at = reader->at;

    while (at < reader->end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    reader->at = at;
}

/* All of these: `at` stands on the first character (the quote, the digit or minus, …); after true
 * it stands behind the last one; after false see err and message, and the reader is spent. */
MUST_USE bool json_reader_text(struct json_reader *reader, struct json_text *ret_text);
MUST_USE bool json_reader_number(struct json_reader *reader, struct json_number *ret_number);
/* true, false, null. */
MUST_USE bool json_reader_literal(struct json_reader *reader);

struct json_rules {
    struct slice root; /* first part of paths: "properties" */
    uint32_t depth;    /* of this value if it is a container: 1 = outermost; beyond JSON_DEPTH_MAX:
                          ERR_TOO_DEEP */
    uint32_t content_depth_max; /* containers of this value deeper than that are noted; 0: no
                                   content notes at all */
};
/* Any value, whole, with everything in it; faults that are no syntax go to `notes`. */
MUST_USE bool json_reader_value(struct json_reader *reader, const struct json_rules *rules,
                                struct json_notes *notes);

/* Remember a fault of `part` of `root` (part.ptr NULL: of root itself), unless there is one
 * already. */
void json_note_set(struct json_note *note, enum err err, struct slice root, struct slice part);

/* The text with its escapes resolved; points at the input if it has none. ERR_NOMEM. Not for a
 * bad_utf8 text. */
MUST_USE enum err
json_text_decode(const struct json_text *text, struct arena *arena, struct slice *ret_text);
/* The same into `room` of text->len bytes: an escape is never shorter than what it stands for. */
struct slice json_text_decode_into(const struct json_text *text, char *room);

/*
 * Can the number (valid JSON) be kept exactly, here and in every store and export? Integers −2^63 …
 * 2^64 − 1; others of magnitude ≤ 1e308; at most 400 digits, exponent ≥ −400.
 */
bool json_number_is_in_range(struct slice number);

/* Fail with a message: for callers that read objects themselves. Always false. */
bool json_reader_fail(struct json_reader *reader, const char *message);
/* A key is read into the scratch's list of the object that began at `first_key`. false: ERR_NOMEM.
 */
MUST_USE bool
json_reader_key(struct json_reader *reader, struct json_text *ret_text, struct slice *ret_key);

#endif
