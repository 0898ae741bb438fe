/*
 * rfc3339 - see rfc3339.h. The event decoder calls rfc3339_parse once an event, so it reads fixed
 * places instead of scanning.
 */
#include "codec/rfc3339.h"
#include "base/clock.h"
#include "codec/calendar.h"
#include <assert.h>

/* `count` digits at `text`, or −1. */
static int32_t
read_digits(const char *text, int count)
{
    int32_t value = 0;

    for (int i = 0; i < count; i++) {
        uint32_t digit = (uint32_t)(unsigned char)text[i] - '0';

        if (digit > 9)
            return -1;
        value = value * 10 + (int32_t)digit;
    }
    return value;
}

/* The ten characters of a date. */
static int
read_date(const char *text, int32_t *ret_days)
{
    int32_t year = read_digits(text, 4);
    int32_t month = read_digits(text + 5, 2);
    int32_t day = read_digits(text + 8, 2);

    if (text[4] != '-' || text[7] != '-' || year < 0 || month < 1 || month > 12 || day < 1 ||
        (uint32_t)day > calendar_month_days(year, (uint32_t)month))
        return 0;
    *ret_days = calendar_day_of_date(
        (struct calendar_date){.year = year, .month = (uint32_t)month, .day = (uint32_t)day});
    return 1;
}

/* Z or ±hh:mm, to the end of the text; seconds to take away. */
static int
read_offset(struct slice rest, int32_t *ret_offset_s)
{
    int32_t hours = 0;
    int32_t minutes = 0;

    if (rest.len == 1 && (rest.ptr[0] == 'Z' || rest.ptr[0] == 'z')) {
        *ret_offset_s = 0;
        return 1;
    }
    if (rest.len != 6 || (rest.ptr[0] != '+' && rest.ptr[0] != '-') || rest.ptr[3] != ':')
        return 0;
    hours = read_digits(rest.ptr + 1, 2);
    minutes = read_digits(rest.ptr + 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return 0;
    *ret_offset_s = (hours * 60 + minutes) * (rest.ptr[0] == '-' ? -60 : 60);
    return 1;
}

enum err
rfc3339_parse(struct slice text, int64_t *ret_us)
{
    const char *p = text.ptr;
    int32_t days = 0;
    int32_t hour = 0;
    int32_t minute = 0;
    int32_t second = 0;
    int32_t offset_s = 0;
    int64_t fraction_us = 0;
    size_t i = 19;

    if (text.len < 20 || !read_date(p, &days) || (p[10] != 'T' && p[10] != 't') || p[13] != ':' ||
        p[16] != ':')
        return ERR_INVALID_TIMESTAMP;
    hour = read_digits(p + 11, 2);
    minute = read_digits(p + 14, 2);
    second = read_digits(p + 17, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
        return ERR_INVALID_TIMESTAMP;
    if (p[i] == '.') {
        int64_t unit = 100000;
        size_t first = ++i;

        for (; i < text.len && p[i] >= '0' && p[i] <= '9'; i++) {
            fraction_us += unit * (p[i] - '0');
            unit /= 10; /* 0 past the sixth digit: cut */
        }
        if (i == first)
            return ERR_INVALID_TIMESTAMP;
    }
    if (!read_offset(slice_of(p + i, text.len - i), &offset_s))
        return ERR_INVALID_TIMESTAMP;
    *ret_us = ((int64_t)days * 86400 + hour * 3600 + minute * 60 + second - offset_s) * US_PER_S +
              fraction_us;
    return ERR_OK;
}

static char *
put_digits(char *at, uint32_t value, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + count;
}

void
rfc3339_format(int64_t us, char ret_text[RFC3339_TEXT_BYTES])
{
    int64_t days = us / US_PER_DAY;
    int64_t rest = us % US_PER_DAY;
    struct calendar_date date = {0};
    uint32_t seconds = 0;
    char *at = ret_text;

    assert(us >= RFC3339_US_MIN && us <= RFC3339_US_MAX);
    if (rest < 0) {
        rest += US_PER_DAY;
        days -= 1;
    }
    date = calendar_date_of_day((int32_t)days);
    seconds = (uint32_t)(rest / US_PER_S);
    at = put_digits(at, (uint32_t)date.year, 4);
    *at++ = '-';
    at = put_digits(at, date.month, 2);
    *at++ = '-';
    at = put_digits(at, date.day, 2);
    *at++ = 'T';
    at = put_digits(at, seconds / 3600, 2);
    *at++ = ':';
    at = put_digits(at, seconds / 60 % 60, 2);
    *at++ = ':';
    at = put_digits(at, seconds % 60, 2);
    *at++ = '.';
    at = put_digits(at, (uint32_t)(rest % US_PER_S), 6);
    *at = 'Z';
}
