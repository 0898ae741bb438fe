/*
 * put - bytes into room that has been reserved, one after the other: `to = PUT(to, "text")`.
 *
 * Layer 0, pure. For what is written at every request, where a check at each piece would cost more
 * than the piece: whoever calls reserves the most that it can be before.
 */
#ifndef POTIK_BASE_PUT_H
#define POTIK_BASE_PUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline char *
put(char *to, const char *from, size_t len)
{
    memcpy(to, from, len);
    return to + len;
}

#define PUT(to, literal) put((to), (literal), sizeof(literal) - 1)

#define PUT_U64_BYTES_MAX 20
static inline char *
put_u64(char *to, uint64_t value)
{
    char digits[PUT_U64_BYTES_MAX];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    return put(to, digits + at, sizeof(digits) - at);
}

#endif
