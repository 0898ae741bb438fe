/*
 * walk - steps over JSON that is known to be valid: in a plan that was read once, in properties
 * that the decoder has judged.
 *
 * Layer 2, header only. Since brackets and quotes are known to close, no step asks for the end but
 * that over a text's bytes. `at` stands on the first character of what is stepped over.
 */
#ifndef POTIK_PLAN_WALK_H
#define POTIK_PLAN_WALK_H

#include "base/slice.h"
#include "codec/json_plain.h"
#include <stdbool.h>

static inline const char *
walk_space(const char *at)
{
    while ((unsigned char)*at <= ' ') /* in valid JSON nothing else is below it between tokens */
        at++;
    return at;
}

/* Between the quotes, as sent; gives the place behind the closing one. */
static inline const char *
walk_text(const char *at, const char *end, struct slice *ret_raw, bool *ret_is_escaped)
{
    const char *begin = at + 1;

    *ret_is_escaped = false;
    for (at = json_plain_end(begin, end); *at != '"'; at = json_plain_end(at, end)) {
        *ret_is_escaped |= *at == '\\';
        at += *at == '\\' ? 2 : 1;
        while ((unsigned char)*at >= 0x80)
            at++;
    }
    *ret_raw = slice_of(begin, (size_t)(at - begin));
    return at + 1;
}

static inline bool
walk_is_number_part(char c)
{
    return (c >= '0' && c <= '9') || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-';
}

/* A number at the outermost level may be the last thing of all: `end` is asked. */
static inline const char *
walk_number(const char *at, const char *end)
{
    while (at < end && walk_is_number_part(*at))
        at++;
    return at;
}

static inline const char *
walk_literal(const char *at)
{
    return at + (*at == 'f' ? 5 : 4);
}

/* Over any value, whole. */
static inline const char *
walk_value(const char *at, const char *end)
{
    struct slice text;
    bool is_escaped;
    unsigned depth = 0;

    do {
        switch (*at) {
        case '"':
            at = walk_text(at, end, &text, &is_escaped);
            break;
        case '{':
        case '[':
            depth++;
            at++;
            break;
        case '}':
        case ']':
            depth--;
            at++;
            break;
        case 't':
        case 'f':
        case 'n':
            at = walk_literal(at);
            break;
        case ' ':
        case '\n':
        case '\r':
        case '\t':
        case ',':
        case ':':
            at++;
            break;
        default:
            at = walk_number(at, end);
        }
    } while (depth != 0);
    return at;
}

/*
 * Members of an object or elements of an array: `at` on the bracket.
 *
 *     for (at = walk_first(at); *at is no closing bracket; at = walk_next(at behind the value)) …
 */
static inline const char *
walk_first(const char *at)
{
    return walk_space(at + 1);
}
static inline const char *
walk_next(const char *at)
{
    at = walk_space(at);
    return *at == ',' ? walk_space(at + 1) : at;
}
/* From behind a key to its value. */
static inline const char *
walk_colon(const char *at)
{
    return walk_space(walk_space(at) + 1);
}

#endif
