/*
 * calendar - dates as day numbers (calendar.h says why).
 *
 * Years are shifted to begin in March, so that the leap day is the last of a year and a month's
 * first day within the year is (153 m + 2) / 5. Everything repeats after an era of 400 years, which
 * has 146,097 days; day 719,468 after 0000-03-01 is 1970-01-01.
 */
#include "codec/calendar.h"

#include <assert.h>

#define ERA_DAYS 146097
#define EPOCH_DAYS 719468 /* 0000-03-01 … 1970-01-01 */

static bool
is_leap(int32_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

uint32_t
calendar_month_days(int32_t year, uint32_t month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    assert(month >= 1 && month <= 12);
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

static int32_t
floor_divide(int32_t a, int32_t b)
{
    return a / b - (a % b < 0);
}

int32_t
calendar_day_of_date(struct calendar_date date)
{
    int32_t year = date.month <= 2 ? date.year - 1 : date.year;
    int32_t era = floor_divide(year, 400);
    int32_t year_of_era = year - era * 400;
    int32_t month = ((int32_t)date.month + 9) % 12; /* March is 0 */
    int32_t day_of_year = (153 * month + 2) / 5 + (int32_t)date.day - 1;
    int32_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * ERA_DAYS + day_of_era - EPOCH_DAYS;
}

struct calendar_date
calendar_date_of_day(int32_t day)
{
    int32_t shifted = day + EPOCH_DAYS;
    int32_t era = floor_divide(shifted, ERA_DAYS);
    int32_t day_of_era = shifted - era * ERA_DAYS;
    int32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int32_t month = (5 * day_of_year + 2) / 153; /* March is 0 */
    struct calendar_date date;

    date.day = (uint32_t)(day_of_year - (153 * month + 2) / 5 + 1);
    date.month = (uint32_t)(month < 10 ? month + 3 : month - 9);
    date.year = era * 400 + year_of_era + (date.month <= 2);
    return date;
}

uint32_t
calendar_weekday(int32_t day)
{
    int32_t rest = (day + 4) % 7; /* 1970-01-01 was a Thursday */

    return (uint32_t)(rest < 0 ? rest + 7 : rest);
}

/* `len` digits as a number; −1 where one is none. */
static int32_t
digits(const char *ptr, size_t len)
{
    int32_t value = 0;

    for (size_t i = 0; i < len; i++) {
        if (ptr[i] < '0' || ptr[i] > '9')
            return -1;
        value = value * 10 + (ptr[i] - '0');
    }
    return value;
}

bool
calendar_day_parse(struct slice text, int32_t *ret_day)
{
    int32_t year, month, day;

    if (text.len != 10 || text.ptr[4] != '-' || text.ptr[7] != '-')
        return false;
    year = digits(text.ptr, 4);
    month = digits(text.ptr + 5, 2);
    day = digits(text.ptr + 8, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1 ||
        day > (int32_t)calendar_month_days(year, (uint32_t)month))
        return false;
    *ret_day = calendar_day_of_date((struct calendar_date){year, (uint32_t)month, (uint32_t)day});
    return true;
}

static void
write_digits(char *ptr, size_t len, uint32_t value)
{
    while (len-- > 0) {
        ptr[len] = (char)('0' + value % 10);
        value /= 10;
    }
}

void
calendar_day_format(int32_t day, char ret_text[CALENDAR_DAY_TEXT])
{
    struct calendar_date date = calendar_date_of_day(day);

    assert(day >= CALENDAR_DAY_MIN && day <= CALENDAR_DAY_MAX);
    write_digits(ret_text, 4, (uint32_t)date.year);
    ret_text[4] = '-';
    write_digits(ret_text + 5, 2, date.month);
    ret_text[7] = '-';
    write_digits(ret_text + 8, 2, date.day);
    ret_text[10] = '\0';
}

int32_t
calendar_bucket_of_day(enum calendar_unit unit, int32_t day)
{
    struct calendar_date date;

    switch (unit) {
    case CALENDAR_DAY:
        return day;
    case CALENDAR_WEEK:
        return floor_divide(day + 3, 7); /* 1969-12-29, day −3, was a Monday */
    case CALENDAR_WEEK_FROM_SUNDAY:
        return floor_divide(day + 4, 7);
    case CALENDAR_MONTH:
        break;
    }
    date = calendar_date_of_day(day);
    return (date.year - 1970) * 12 + (int32_t)date.month - 1;
}

int32_t
calendar_bucket_first_day(enum calendar_unit unit, int32_t bucket)
{
    int32_t years;

    switch (unit) {
    case CALENDAR_DAY:
        return bucket;
    case CALENDAR_WEEK:
        return bucket * 7 - 3;
    case CALENDAR_WEEK_FROM_SUNDAY:
        return bucket * 7 - 4;
    case CALENDAR_MONTH:
        break;
    }
    years = floor_divide(bucket, 12);
    return calendar_day_of_date(
        (struct calendar_date){1970 + years, (uint32_t)(bucket - years * 12) + 1, 1});
}
