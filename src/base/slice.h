/*
 * slice - a run of bytes somebody else owns. ptr NULL means absent; an empty text has ptr set.
 *
 * Layer 0. Not NUL-terminated. Print with "%.*s", SLICE_ARGS(s).
 */
#ifndef POTIK_BASE_SLICE_H
#define POTIK_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *ptr;
    size_t len;
};

#define SLICE(literal) ((struct slice){("" literal), sizeof(literal) - 1})
#define SLICE_NONE ((struct slice){NULL, 0})
#define SLICE_ARGS(s) (int)(s).len, ((s).ptr != NULL ? (s).ptr : "")

static inline struct slice
slice_of(const char *ptr, size_t len)
{
    return (struct slice){ptr, len};
}

static inline struct slice
slice_of_text(const char *text)
{
    return (struct slice){text, text != NULL ? strlen(text) : 0};
}

static inline bool
slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Byte order, as memcmp; the shorter of two with a common start comes first. */
static inline int
slice_compare(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len != 0 ? memcmp(a.ptr, b.ptr, len) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

bool slice_equal_nocase(struct slice a, struct slice b); /* ASCII only */
/* For secrets: the time depends on the lengths alone. */
bool slice_equal_secret(struct slice a, struct slice b);
struct slice slice_trim(struct slice s); /* spaces and tabs at both ends */
/* Bytes of the well-formed UTF-8 character s begins with: 1 … 4; 0: none there (or s is empty). */
size_t slice_utf8_width(struct slice s);

#endif
