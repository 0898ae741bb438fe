/*
 * decimal - see decimal.h.
 */
#include "plan/decimal.h"

#define EXPONENT_CAP 100000000 /* far beyond what the digits of a number can bring back */

static bool
is_digit(char c)
{
    return (unsigned char)(c - '0') <= 9;
}

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

void
decimal_parse(struct slice number, struct decimal *ret_decimal)
{
    const char *at = number.ptr, *end = number.ptr + number.len;
    const char *first = NULL, *last = NULL;
    bool is_negative = *at == '-', is_behind_point = false;
    int32_t place = -1; /* of the last digit seen before the point */
    int32_t lead = 0, trail = 0, exponent = 0, behind = 0;

    for (at += is_negative ? 1 : 0; at < end && (is_digit(*at) || *at == '.'); at++) {
        if (*at == '.') {
            is_behind_point = true;
            continue;
        }
        behind += is_behind_point ? 1 : 0;
        place += is_behind_point ? 0 : 1;
        if (*at == '0')
            continue;
        /* Before the point places are counted from the left: turned round below. */
        if (first == NULL) {
            first = at;
            lead = is_behind_point ? -behind : place;
        }
        last = at;
        trail = is_behind_point ? -behind : place;
    }
    if (at < end)
        exponent = read_exponent(at + 1, end);
    *ret_decimal = (struct decimal){.is_integer = true, .digits = slice_of(number.ptr, 0)};
    if (first == NULL)
        return;
    lead = lead >= 0 ? place - lead : lead;
    trail = trail >= 0 ? place - trail : trail;
    ret_decimal->is_negative = is_negative;
    ret_decimal->lead = lead + exponent;
    ret_decimal->is_integer = trail + exponent >= 0;
    ret_decimal->digits = slice_of(first, (size_t)(last - first) + 1);
}

/* Digit by digit from the first; the shorter one goes on with zeros, and ends with no zero. */
static int
compare_digits(struct slice a, struct slice b)
{
    size_t i = 0, j = 0;

    for (;;) {
        if (i < a.len && a.ptr[i] == '.')
            i++;
        if (j < b.len && b.ptr[j] == '.')
            j++;
        if (i == a.len || j == b.len)
            return (i < a.len) - (j < b.len);
        if (a.ptr[i] != b.ptr[j])
            return a.ptr[i] < b.ptr[j] ? -1 : 1;
        i++;
        j++;
    }
}

int
decimal_compare(const struct decimal *a, const struct decimal *b)
{
    int sign_a = a->digits.len == 0 ? 0 : a->is_negative ? -1 : 1;
    int sign_b = b->digits.len == 0 ? 0 : b->is_negative ? -1 : 1;
    int order;

    if (sign_a != sign_b)
        return sign_a < sign_b ? -1 : 1;
    if (sign_a == 0)
        return 0;
    order =
        a->lead != b->lead ? (a->lead < b->lead ? -1 : 1) : compare_digits(a->digits, b->digits);
    return sign_a * order;
}
