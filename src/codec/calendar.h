/*
 * calendar - dates of the proleptic Gregorian calendar as day numbers, and the buckets made of
 * them.
 *
 * Layer 1, pure, any thread. A day number counts days since 1970-01-01 (which is 0). A bucket is a
 * day, a week (from Monday, or from Sunday) or a calendar month; buckets are numbered without gaps,
 * so that the difference of two numbers is the distance in buckets. Day 0, the weeks of 1969-12-29
 * and 1969-12-28 and January 1970 have number 0. Where a local day begins in time is the zone's
 * business (zone.h). Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
 */
#ifndef POTIK_CODEC_CALENDAR_H
#define POTIK_CODEC_CALENDAR_H

#include "base/slice.h"
#include <stdbool.h>
#include <stdint.h>

enum calendar_unit { CALENDAR_DAY, CALENDAR_WEEK, CALENDAR_MONTH, CALENDAR_WEEK_FROM_SUNDAY };

struct calendar_date {
    int32_t year;
    uint32_t month; /* 1 … 12 */
    uint32_t day;   /* 1 … 31 */
};

/* What calendar_day_parse can give: 0001-01-01 … 9999-12-31. */
#define CALENDAR_DAY_MIN (-719162)
#define CALENDAR_DAY_MAX 2932896

uint32_t calendar_month_days(int32_t year, uint32_t month);
/* The date must exist; years −1,000,000 … 1,000,000. */
int32_t calendar_day_of_date(struct calendar_date date);
struct calendar_date calendar_date_of_day(int32_t day);
/* 0 = Sunday … 6 = Saturday. */
uint32_t calendar_weekday(int32_t day);

/* Exactly "YYYY-MM-DD", a date that exists, year 0001 … 9999; else false. */
bool calendar_day_parse(struct slice text, int32_t *ret_day);
#define CALENDAR_DAY_TEXT 11
/* Day within CALENDAR_DAY_MIN … CALENDAR_DAY_MAX; NUL-terminated. */
void calendar_day_format(int32_t day, char ret_text[CALENDAR_DAY_TEXT]);

/* The number of the bucket that holds `day`, and the first day of a bucket. */
int32_t calendar_bucket_of_day(enum calendar_unit unit, int32_t day);
int32_t calendar_bucket_first_day(enum calendar_unit unit, int32_t bucket);

#endif
