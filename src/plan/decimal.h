/*
 * decimal - JSON numbers as decimals of any length: compared exactly, never rounded.
 *
 * Layer 2, any thread, pure. A number is 0, or ± d.ddd × 10^lead with its first digit not 0; zeros
 * before and behind count for nothing, so 1, 1.0, 10e-1 are one number, and −0 is 0. Slices point
 * into the text it was read from.
 */
#ifndef POTIK_PLAN_DECIMAL_H
#define POTIK_PLAN_DECIMAL_H

#include "base/slice.h"
#include <stdint.h>

struct decimal {
    bool is_negative;
    bool is_integer;     /* no digit but 0 behind the point */
    int32_t lead;        /* place of the first digit: 0 = ones */
    struct slice digits; /* from the first to the last that is not 0, a point among them perhaps;
                            len 0: the number is 0 */
};

/* `number` is valid JSON in range of json_number_is_in_range. */
void decimal_parse(struct slice number, struct decimal *ret_decimal);
/* <0, 0, >0 as a is less than, equal to, greater than b. */
int decimal_compare(const struct decimal *a, const struct decimal *b);

#endif
