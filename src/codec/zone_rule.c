/*
 * zone_rule - POSIX TZ texts (zone_rule.h says what they are).
 *
 *     rule   = name offset [ name [offset] "," date "," date ]
 *     name   = 3 or more letters, or "<" 3 or more of [A-Za-z0-9+-] ">"
 *     offset = [+-] hours [ ":" minutes [ ":" seconds ]]      west is positive; at most 24 h
 *     date   = ( "M" m "." w "." d | "J" n | n ) [ "/" time ] time as offset, at most 167 h; else 2
 * h
 *
 * A rule with summer time and no dates is refused: a zone file must say when.
 */
#include "codec/zone_rule.h"

#include "codec/calendar.h"
#include <assert.h>

struct cursor {
    const char *ptr;
    const char *end;
};

static bool
take(struct cursor *cursor, char c)
{
    if (cursor->ptr == cursor->end || *cursor->ptr != c)
        return false;
    cursor->ptr++;
    return true;
}

static bool
is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
take_name(struct cursor *cursor)
{
    bool is_quoted = take(cursor, '<');
    size_t len = 0;

    while (
        cursor->ptr < cursor->end &&
        (is_letter(*cursor->ptr) ||
         (is_quoted && (is_digit(*cursor->ptr) || *cursor->ptr == '+' || *cursor->ptr == '-')))) {
        cursor->ptr++;
        len++;
    }
    return len >= 3 && (!is_quoted || take(cursor, '>'));
}

/* 1 to 3 digits, min … max. */
static bool
take_number(struct cursor *cursor, uint32_t min, uint32_t max, uint32_t *ret_number)
{
    uint32_t number = 0;
    uint32_t len = 0;

    while (cursor->ptr < cursor->end && is_digit(*cursor->ptr) && len < 3) {
        number = number * 10 + (uint32_t)(*cursor->ptr++ - '0');
        len++;
    }
    if (len == 0 || number < min || number > max)
        return false;
    *ret_number = number;
    return true;
}

static bool
take_time(struct cursor *cursor, uint32_t hours_max, int32_t *ret_s)
{
    bool is_negative = take(cursor, '-');
    uint32_t hours = 0, minutes = 0, seconds = 0;
    int32_t total;

    if (!is_negative)
        (void)take(cursor, '+');
    if (!take_number(cursor, 0, hours_max, &hours))
        return false;
    if (take(cursor, ':')) {
        if (!take_number(cursor, 0, 59, &minutes))
            return false;
        if (take(cursor, ':') && !take_number(cursor, 0, 59, &seconds))
            return false;
    }
    total = (int32_t)(hours * 3600 + minutes * 60 + seconds);
    *ret_s = is_negative ? -total : total;
    return true;
}

static bool
take_date(struct cursor *cursor, struct zone_rule_date *ret_date)
{
    struct zone_rule_date date = {.time_s = 2 * 3600};

    if (take(cursor, 'M')) {
        date.kind = ZONE_RULE_MONTH_WEEK;
        if (!take_number(cursor, 1, 12, &date.month) || !take(cursor, '.') ||
            !take_number(cursor, 1, 5, &date.week) || !take(cursor, '.') ||
            !take_number(cursor, 0, 6, &date.day))
            return false;
    } else if (take(cursor, 'J')) {
        date.kind = ZONE_RULE_JULIAN;
        if (!take_number(cursor, 1, 365, &date.day))
            return false;
    } else {
        date.kind = ZONE_RULE_DAY;
        if (!take_number(cursor, 0, 365, &date.day))
            return false;
    }
    if (take(cursor, '/') && !take_time(cursor, 167, &date.time_s))
        return false;
    *ret_date = date;
    return true;
}

bool
zone_rule_parse(struct slice text, struct zone_rule *ret_rule)
{
    struct cursor cursor = {text.ptr, text.ptr + text.len};
    struct zone_rule rule = {0};
    int32_t west_s;

    if (!take_name(&cursor) || !take_time(&cursor, 24, &west_s))
        return false;
    rule.standard_offset_s = -west_s;
    if (cursor.ptr != cursor.end) {
        rule.has_summer = true;
        if (!take_name(&cursor))
            return false;
        rule.summer_offset_s = rule.standard_offset_s + 3600;
        if (cursor.ptr < cursor.end && *cursor.ptr != ',') {
            if (!take_time(&cursor, 24, &west_s))
                return false;
            rule.summer_offset_s = -west_s;
        }
        if (!take(&cursor, ',') || !take_date(&cursor, &rule.start) || !take(&cursor, ',') ||
            !take_date(&cursor, &rule.end) || cursor.ptr != cursor.end)
            return false;
    }
    *ret_rule = rule;
    return true;
}

/* The day of a rule's date in one year. */
static int32_t
date_in_year(const struct zone_rule_date *date, int32_t year)
{
    int32_t new_year = calendar_day_of_date((struct calendar_date){year, 1, 1});
    int32_t first, day;

    switch (date->kind) {
    case ZONE_RULE_DAY:
        return new_year + (int32_t)date->day;
    case ZONE_RULE_JULIAN:
        return new_year + (int32_t)date->day - 1 +
               (date->day >= 60 && calendar_month_days(year, 2) == 29);
    case ZONE_RULE_MONTH_WEEK:
        break;
    }
    first = calendar_day_of_date((struct calendar_date){year, date->month, 1});
    day = first + (int32_t)((date->day + 7 - calendar_weekday(first)) % 7) +
          ((int32_t)date->week - 1) * 7;
    return day >= first + (int32_t)calendar_month_days(year, date->month) ? day - 7 : day;
}

struct change {
    int64_t at_s;
    int32_t offset_s; /* from then on */
};

#define CHANGES_MAX 10

/*
 * The changes of five years around one, in the order of time. A change may lie 8 days outside the
 * year it belongs to, so two years on each side always bound it. Where the end of one summer time
 * and the start of the next fall together (summer time all year), the start is later.
 */
static uint32_t
changes_around(const struct zone_rule *rule, int32_t year, struct change ret_changes[CHANGES_MAX])
{
    uint32_t count = 0;

    for (int32_t y = year - 2; y <= year + 2; y++) {
        struct change start = {(int64_t)date_in_year(&rule->start, y) * 86400 + rule->start.time_s -
                                   rule->standard_offset_s,
                               rule->summer_offset_s};
        struct change end = {(int64_t)date_in_year(&rule->end, y) * 86400 + rule->end.time_s -
                                 rule->summer_offset_s,
                             rule->standard_offset_s};

        ret_changes[count++] = start.at_s <= end.at_s ? start : end;
        ret_changes[count++] = start.at_s <= end.at_s ? end : start;
    }
    for (uint32_t i = 1; i < count; i++) { /* times beyond a day may put years out of order */
        struct change change = ret_changes[i];
        uint32_t k = i;

        for (; k > 0 && ret_changes[k - 1].at_s > change.at_s; k--)
            ret_changes[k] = ret_changes[k - 1];
        ret_changes[k] = change;
    }
    return count;
}

struct zone_span
zone_rule_span_at(const struct zone_rule *rule, int64_t unix_s)
{
    struct zone_span span = {INT64_MIN, INT64_MAX, rule->standard_offset_s};
    struct change changes[CHANGES_MAX];
    uint32_t count, next = 0;
    int64_t day;

    if (!rule->has_summer)
        return span;
    day = unix_s / 86400 - (unix_s % 86400 < 0);
    assert(day > -4100000 && day < 4100000);
    count = changes_around(rule, calendar_date_of_day((int32_t)day).year, changes);
    while (next < count && changes[next].at_s <= unix_s)
        next++;
    assert(next > 0 && next < count);
    span.from_s = changes[next - 1].at_s;
    span.until_s = changes[next].at_s;
    span.offset_s = changes[next - 1].offset_s;
    return span;
}
