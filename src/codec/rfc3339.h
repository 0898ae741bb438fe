/*
 * rfc3339 - times as text: read strictly, written in one way.
 *
 * Layer 1, any thread, pure. Read: YYYY-MM-DDThh:mm:ss[.digits](Z|±hh:mm), `T` and `Z` in either
 * case; a space for `T`, second 60, hour 24 and days that do not exist are refused; digits past the
 * sixth are cut (not rounded). Source: RFC 3339, 5.6. Dates alone: calendar.h.
 */
#ifndef POTIK_CODEC_RFC3339_H
#define POTIK_CODEC_RFC3339_H

#include "base/err.h"
#include "base/slice.h"
#include <stdint.h>

#define RFC3339_TEXT_BYTES 27                      /* 2026-01-31T12:00:00.000000Z, without a NUL */
#define RFC3339_US_MIN INT64_C(-62167219200000000) /* 0000-01-01T00:00:00Z */
#define RFC3339_US_MAX INT64_C(253402300799999999) /* 9999-12-31T23:59:59.999999Z */

/* Unix microseconds, UTC; before 1970 negative. ERR_INVALID_TIMESTAMP: not as above. */
MUST_USE enum err rfc3339_parse(struct slice text, int64_t *ret_us);

/* Always UTC with six digits. RFC3339_US_MIN ≤ us ≤ RFC3339_US_MAX. No NUL is written. */
void rfc3339_format(int64_t us, char ret_text[RFC3339_TEXT_BYTES]);

#endif
