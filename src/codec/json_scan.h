/*
 * json_scan - JSON text as it arrives: where does an element end, and is the syntax right?
 *
 * Layer 1, one thread at a time, any split of the input. json_cut only tells strings from the rest
 * and counts brackets, so it finds an element's end even where the element is broken. json_check is
 * the grammar of RFC 8259 as a machine that keeps one bit a level: for elements too large to be
 * held. It judges syntax and depth, not the encoding of texts; so does json_reader's syntax, and a
 * fuzzer holds both together.
 */
#ifndef POTIK_CODEC_JSON_SCAN_H
#define POTIK_CODEC_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_cut {
    uint64_t depth; /* brackets open within the element */
    bool is_text;   /* between quotes */
    bool is_escape; /* behind a backslash between quotes */
};

enum json_cut_end {
    JSON_CUT_MORE,  /* the input is used up */
    JSON_CUT_COMMA, /* the place is a comma outside all brackets */
    JSON_CUT_CLOSE, /* … a ']' that closes something outside */
    JSON_CUT_BRACE, /* … a '}' that closes something outside */
    JSON_CUT_WHOLE, /* the bracket before the place closed the last one open (only if asked for) */
};

void json_cut_init(struct json_cut *cut);
/* Goes on from *at; *at is then the place. */
enum json_cut_end
json_cut_feed(struct json_cut *cut, const char **at, const char *end, bool is_whole_asked);

struct json_check {
    uint64_t arrays; /* bit d: the container at depth d + 1 is an array */
    uint32_t depth;
    uint32_t depth_max; /* ≤ 64 */
    uint8_t state;
    uint8_t left;        /* of a literal's letters or of hex digits */
    bool is_key;         /* the text under way is a key */
    const char *literal; /* the rest of true, false, null */
};

/* depth_max: containers that may be open at once, 0 … 64. */
void json_check_init(struct json_check *check, uint32_t depth_max);
/* false: not JSON, or too deep; final. */
bool json_check_feed(struct json_check *check, const char *bytes, size_t len);
/* Was it exactly one value, white space around it allowed? */
bool json_check_end(const struct json_check *check);

#endif
