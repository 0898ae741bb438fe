/*
 * slice - the parts of slice.h that are no one-liners.
 */
#include "base/slice.h"

#include <stdint.h>

static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool
slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

static uint64_t
word_at(const char *ptr)
{
    uint64_t word;

    memcpy(&word, ptr, sizeof(word));
    return word;
}

/* The asm keeps a compiler from stopping at the first difference. */
bool
slice_equal_secret(struct slice a, struct slice b)
{
    uint64_t difference = 0;

    if (a.len != b.len)
        return false;
    if (a.len < sizeof(uint64_t)) {
        for (size_t i = 0; i < a.len; i++) {
            difference |= (uint64_t)(unsigned char)(a.ptr[i] ^ b.ptr[i]);
            __asm__("" : "+r"(difference));
        }
        return difference == 0;
    }
    for (size_t i = 0; i + sizeof(uint64_t) <= a.len; i += sizeof(uint64_t)) {
        difference |= word_at(a.ptr + i) ^ word_at(b.ptr + i);
        __asm__("" : "+r"(difference));
    }
    a.ptr += a.len - sizeof(uint64_t); /* the last word may overlap */
    b.ptr += b.len - sizeof(uint64_t);
    return (difference | (word_at(a.ptr) ^ word_at(b.ptr))) == 0;
}

struct slice
slice_trim(struct slice s)
{
    while (s.len != 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = slice_of(s.ptr + 1, s.len - 1);
    while (s.len != 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/*
 * Well-formed sequences, RFC 3629 section 4: the second byte's range depends on the first, which
 * shuts out overlong forms, surrogates and what lies beyond U+10FFFF.
 */
size_t
slice_utf8_width(struct slice s)
{
    uint8_t first, low = 0x80, high = 0xBF;
    size_t width;

    if (s.len == 0)
        return 0;
    first = (uint8_t)s.ptr[0];
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;
    width = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (s.len < width)
        return 0;
    if (first == 0xE0)
        low = 0xA0;
    else if (first == 0xED)
        high = 0x9F;
    else if (first == 0xF0)
        low = 0x90;
    else if (first == 0xF4)
        high = 0x8F;
    if ((uint8_t)s.ptr[1] < low || (uint8_t)s.ptr[1] > high)
        return 0;
    for (size_t i = 2; i < width; i++) {
        if (((uint8_t)s.ptr[i] & 0xC0) != 0x80)
            return 0;
    }
    return width;
}
