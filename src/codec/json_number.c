/*
 * json_number - numbers of json_reader.h: the grammar of RFC 8259, 6, and the range that can be
 * kept.
 *
 * Range is decided on the decimal digits, without rounding: a number is d.ddd × 10^E with d ≠ 0;
 * E > 308 is too large, E = 308 only if it is exactly 1, and zero is zero with any exponent.
 */
#include "codec/json_reader.h"
#include <string.h>

#define DIGITS_MAX 400
#define EXPONENT_MIN (-400)
#define MAGNITUDE_EXPONENT 308
#define EXPONENT_CAP 100000000 /* far beyond what 400 digits can bring back */

static inline bool
is_digit(char c)
{
    return (unsigned char)(c - '0') <= 9;
}

static inline const char *
digits_end(const char *at, const char *end)
{
    while (at < end && is_digit(*at))
        at++;
    return at;
}

/* Only digits, no leading zero; `number` without its sign. */
static bool
is_integer_in_range(struct slice digits, bool is_negative)
{
    struct slice bound = is_negative ? SLICE("9223372036854775808") : SLICE("18446744073709551615");

    return digits.len < bound.len || (digits.len == bound.len && slice_compare(digits, bound) <= 0);
}

/* At the text of an exponent behind its e; saturates. */
static int32_t
read_exponent(const char *at, const char *end)
{
    bool is_negative = *at == '-';
    int32_t value = 0;

    for (at += *at == '-' || *at == '+' ? 1 : 0; at < end; at++)
        if (value < EXPONENT_CAP)
            value = value * 10 + (*at - '0');
    return is_negative ? -value : value;
}

/* Digits without sign and exponent, a point among them perhaps; the magnitude of mantissa ×
 * 10^exponent ≤ 1e308? */
static bool
is_magnitude_in_range(struct slice mantissa, int32_t exponent)
{
    const char *point = memchr(mantissa.ptr, '.', mantissa.len);
    int32_t place = (int32_t)(point != NULL ? (size_t)(point - mantissa.ptr) : mantissa.len) - 1;
    int32_t lead = 0;
    bool is_found = false;

    for (size_t i = 0; i < mantissa.len; i++) {
        char c = mantissa.ptr[i];

        if (c == '.')
            continue;
        if (!is_found && c != '0') {
            is_found = true;
            lead = place + exponent;
            if (lead != MAGNITUDE_EXPONENT)
                return lead < MAGNITUDE_EXPONENT;
            if (c != '1')
                return false;
        } else if (is_found && c != '0') {
            return false;
        }
        place--;
    }
    return true;
}

bool
json_number_is_in_range(struct slice number)
{
    bool is_negative = number.len != 0 && number.ptr[0] == '-';
    const char *begin = number.ptr + (is_negative ? 1 : 0);
    const char *end = number.ptr + number.len;
    const char *at = digits_end(begin, end);
    size_t digits = (size_t)(at - begin);
    struct slice mantissa = slice_of(begin, digits);
    int32_t exponent = 0;

    if (at == end)
        return digits <= DIGITS_MAX && is_integer_in_range(mantissa, is_negative);
    if (*at == '.') {
        at = digits_end(at + 1, end);
        mantissa.len = (size_t)(at - begin);
        digits = mantissa.len - 1;
    }
    if (digits > DIGITS_MAX)
        return false;
    if (at < end)
        exponent = read_exponent(at + 1, end);
    return exponent >= EXPONENT_MIN && is_magnitude_in_range(mantissa, exponent);
}

bool
json_reader_number(struct json_reader *reader, struct json_number *ret_number)
{
    const char *begin = reader->at;
    const char *end = reader->end;
    const char *at = begin + (*begin == '-' ? 1 : 0);
    const char *digits = at;
    bool has_exponent = false;

    ret_number->ptr = begin;
    ret_number->is_integer = true;
    at = digits_end(at, end);
    if (at == digits || (*digits == '0' && at - digits > 1)) {
        reader->at = digits;
        return json_reader_fail(reader, at == digits ? "a digit was expected behind '-'"
                                                     : "a number with a leading zero");
    }
    if (at < end && *at == '.') {
        digits = ++at;
        at = digits_end(at, end);
        ret_number->is_integer = false;
        if (at == digits) {
            reader->at = at;
            return json_reader_fail(reader, "a digit was expected behind the point");
        }
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-') ? 1 : 0;
        digits = at;
        at = digits_end(at, end);
        ret_number->is_integer = false;
        has_exponent = true;
        if (at == digits) {
            reader->at = at;
            return json_reader_fail(reader, "a digit was expected in the exponent");
        }
    }
    ret_number->len = (size_t)(at - begin);
    ret_number->is_in_range = (!has_exponent && ret_number->len <= 18) ||
                              json_number_is_in_range(slice_of(begin, ret_number->len));
    reader->at = at;
    return true;
}
