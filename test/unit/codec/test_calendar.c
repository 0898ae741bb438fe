/* Units of codec/calendar. */
#include "../test.h"

#include "codec/calendar.h"

/* The next day, by the rules one learns at school. */
static struct calendar_date
next_date(struct calendar_date date)
{
    static const uint32_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (date.year % 4 == 0 && date.year % 100 != 0) || date.year % 400 == 0;
    uint32_t last = date.month == 2 && is_leap ? 29 : days[date.month - 1];

    if (date.day < last)
        return (struct calendar_date){date.year, date.month, date.day + 1};
    if (date.month < 12)
        return (struct calendar_date){date.year, date.month + 1, 1};
    return (struct calendar_date){date.year + 1, 1, 1};
}

static void
test_calendar__counts_every_day_of_ten_thousand_years(void **state)
{
    struct calendar_date date = {1, 1, 1};
    uint32_t weekday = 1; /* 0001-01-01 was a Monday */
    int32_t week = -102737, month = -1969 * 12;

    (void)state;
    for (int32_t day = CALENDAR_DAY_MIN; day <= CALENDAR_DAY_MAX; day++) {
        struct calendar_date got = calendar_date_of_day(day);

        if (got.year != date.year || got.month != date.month || got.day != date.day)
            fail_msg("day %d", day);
        if (calendar_day_of_date(date) != day || calendar_weekday(day) != weekday)
            fail_msg("day %d", day);
        if (day != CALENDAR_DAY_MIN) {
            week += weekday == 1;
            month += date.day == 1;
        }
        if (calendar_bucket_of_day(CALENDAR_WEEK, day) != week ||
            calendar_bucket_of_day(CALENDAR_MONTH, day) != month ||
            calendar_bucket_of_day(CALENDAR_DAY, day) != day)
            fail_msg("bucket of day %d", day);
        if ((weekday == 1 && calendar_bucket_first_day(CALENDAR_WEEK, week) != day) ||
            (date.day == 1 && calendar_bucket_first_day(CALENDAR_MONTH, month) != day) ||
            calendar_bucket_first_day(CALENDAR_DAY, day) != day)
            fail_msg("first day of the bucket of day %d", day);
        date = next_date(date);
        weekday = (weekday + 1) % 7;
    }
    assert_int_equal(date.year, 10000);
}

static void
test_calendar__numbers_buckets_from_1970(void **state)
{
    (void)state;
    assert_int_equal(calendar_bucket_of_day(CALENDAR_WEEK, -4), -1); /* Sunday 1969-12-28 */
    assert_int_equal(calendar_bucket_of_day(CALENDAR_WEEK, -3), 0);
    assert_int_equal(calendar_bucket_of_day(CALENDAR_WEEK, 3), 0); /* Sunday 1970-01-04 */
    assert_int_equal(calendar_bucket_of_day(CALENDAR_WEEK, 4), 1);
    assert_int_equal(calendar_bucket_of_day(CALENDAR_WEEK_FROM_SUNDAY, -5), -1);
    assert_int_equal(calendar_bucket_of_day(CALENDAR_WEEK_FROM_SUNDAY, -4), 0);
    assert_int_equal(calendar_bucket_of_day(CALENDAR_WEEK_FROM_SUNDAY, 2), 0);
    assert_int_equal(calendar_bucket_of_day(CALENDAR_WEEK_FROM_SUNDAY, 3), 1);
    assert_int_equal(calendar_bucket_first_day(CALENDAR_WEEK_FROM_SUNDAY, 1), 3);
    assert_int_equal(calendar_bucket_of_day(CALENDAR_MONTH, -1), -1);
    assert_int_equal(calendar_bucket_of_day(CALENDAR_MONTH, 0), 0);
}

static void
test_calendar__reads_dates_that_exist(void **state)
{
    static const struct {
        const char *text;
        int32_t day;
    } good[] = {{"1970-01-01", 0},
                {"1969-12-31", -1},
                {"2026-01-31", 20484},
                {"2024-02-29", 19782},
                {"2000-02-29", 11016},
                {"0001-01-01", CALENDAR_DAY_MIN},
                {"9999-12-31", CALENDAR_DAY_MAX}};
    static const char *const bad[] = {"",
                                      "2026-02-30",
                                      "2026-02-29",
                                      "1900-02-29",
                                      "2026-04-31",
                                      "2026-13-01",
                                      "2026-00-10",
                                      "2026-01-00",
                                      "2026-01-32",
                                      "0000-01-01",
                                      "2026-1-01",
                                      "2026-01-1",
                                      "2026-01-011",
                                      "02026-01-01",
                                      "2026/01/01",
                                      "20260101",
                                      "2026-01-01 ",
                                      " 2026-01-01",
                                      "2026-01-0x",
                                      "-026-01-01",
                                      "2026-01-01T00:00:00Z",
                                      "+026-01-01",
                                      "2026-0:-01",
                                      "today",
                                      "10000-01-01"};
    int32_t day = 7;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        char text[CALENDAR_DAY_TEXT];

        assert_true(calendar_day_parse(slice_of_text(good[i].text), &day));
        assert_int_equal(day, good[i].day);
        calendar_day_format(day, text);
        assert_string_equal(text, good[i].text);
    }
    day = 7;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (calendar_day_parse(slice_of_text(bad[i]), &day))
            fail_msg("%s", bad[i]);
    assert_int_equal(day, 7);
    assert_false(calendar_day_parse(slice_of("2026-01-\0"
                                             "1",
                                             10),
                                    &day));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calendar__counts_every_day_of_ten_thousand_years),
        cmocka_unit_test(test_calendar__numbers_buckets_from_1970),
        cmocka_unit_test(test_calendar__reads_dates_that_exist),
    };

    return cmocka_run_group_tests_name("calendar", tests, NULL, NULL);
}
