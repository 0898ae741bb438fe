/* Units of codec/zone; its reader of files has test_tzif.c. The C library's own reader of time
 * zones is the second opinion. */
#include "../test.h"

#include "base/random.h"
#include "codec/calendar.h"
#include "codec/zone.h"
#include <pthread.h>
#include <time.h>

static struct zones *zones;

static int
open_zones(void **state)
{
    (void)state;
    return zones_open(NULL, &zones, NULL) == ERR_OK ? 0 : -1;
}

static int
free_zones(void **state)
{
    (void)state;
    zones_free(&zones);
    return 0;
}

static const struct zone *
zone_of(const char *name)
{
    const struct zone *zone = NULL;
    struct diag diag = DIAG_INIT;

    if (zones_has_only_utc(zones))
        skip(); /* no tzdata on this machine */
    if (zones_find(zones, slice_of_text(name), &zone, &diag) != ERR_OK)
        fail_msg("%s: %s", name, diag.message);
    return zone;
}

/* "2026-03-29 01:00" as if in UTC */
static int64_t
seconds_of(const char *text)
{
    int32_t day = 0;

    assert_int_equal(strlen(text), 16);
    assert_true(calendar_day_parse(slice_of(text, 10), &day));
    return (int64_t)day * 86400 + strtol(text + 11, NULL, 10) * 3600 +
           strtol(text + 14, NULL, 10) * 60;
}

static void
assert_day(const char *zone, const char *day_text, const char *start_utc, int hours)
{
    int32_t day = 0;
    int64_t start_us, end_us;

    assert_true(calendar_day_parse(slice_of_text(day_text), &day));
    start_us = zone_day_start_us(zone_of(zone), day);
    end_us = zone_day_start_us(zone_of(zone), day + 1);
    if (start_us != seconds_of(start_utc) * 1000000 || end_us - start_us != hours * 3600000000LL)
        fail_msg("%s %s starts at %lld and has %lld s", zone, day_text,
                 (long long)(start_us / 1000000), (long long)((end_us - start_us) / 1000000));
    if (hours == 0)
        return;
    assert_int_equal(zone_day_at_us(zone_of(zone), start_us), day);
    assert_int_equal(zone_day_at_us(zone_of(zone), end_us - 1), day);
    assert_true(zone_day_at_us(zone_of(zone), end_us) > day);
}

static void
test_zone__finds_the_first_instant_of_a_day(void **state)
{
    (void)state;
    assert_day("UTC", "2026-01-01", "2026-01-01 00:00", 24);
    assert_day("Europe/Kyiv", "2026-01-01", "2025-12-31 22:00", 24);
    assert_day("Europe/Kyiv", "2026-03-29", "2026-03-28 22:00", 23);
    assert_day("Europe/Kyiv", "2026-10-25", "2026-10-24 21:00", 25);
    assert_day("America/New_York", "2026-03-08", "2026-03-08 05:00", 23);
    assert_day("Asia/Kathmandu", "2026-01-01", "2025-12-31 18:15", 24);
    /* beyond the last change of the file: by the footer's rule */
    assert_day("Europe/Kyiv", "2090-03-26", "2090-03-25 22:00", 23);
    assert_day("America/New_York", "2200-11-02", "2200-11-02 04:00", 25);
    assert_day("Australia/Sydney", "2077-04-04", "2077-04-03 13:00", 25);
    /* long ago: local mean time, 2:02:04 ahead */
    assert_int_equal(zone_span_at(zone_of("Europe/Kyiv"), -2208988800).offset_s, 7324);
    assert_int_equal(zone_day_start_us(zone_of("Europe/Kyiv"), -25567),
                     (-25567 * INT64_C(86400) - 7324) * 1000000);
}

static void
test_zone__begins_a_day_without_midnight_at_the_jump(void **state)
{
    (void)state;
    assert_day("America/Sao_Paulo", "2018-11-04", "2018-11-04 03:00", 23);
    assert_day("Africa/Cairo", "2023-04-28", "2023-04-27 22:00", 23);
    assert_day("Asia/Beirut", "2022-03-27", "2022-03-26 22:00", 23);
    assert_day("America/Havana", "2026-03-08", "2026-03-08 05:00", 23);
}

static void
test_zone__begins_a_day_with_two_midnights_at_the_first(void **state)
{
    (void)state;
    assert_day("America/Havana", "2022-11-06", "2022-11-06 04:00", 25);
    /* at midnight back to 23:00: the day before has 25 hours */
    assert_day("America/Sao_Paulo", "2018-02-17", "2018-02-17 02:00", 25);
    assert_day("America/Sao_Paulo", "2018-02-18", "2018-02-18 03:00", 24);
    assert_day("Africa/Cairo", "2023-10-26", "2023-10-25 21:00", 25);
    /* at 00:01 back to 23:01 of the day before: the new day has begun, and stays */
    assert_day("America/St_Johns", "2010-11-07", "2010-11-07 02:30", 25);
}

static void
test_zone__gives_a_skipped_day_no_length(void **state)
{
    (void)state;
    assert_day("Pacific/Apia", "2011-12-29", "2011-12-29 10:00", 24);
    assert_day("Pacific/Apia", "2011-12-30", "2011-12-30 10:00", 0);
    assert_day("Pacific/Apia", "2011-12-31", "2011-12-30 10:00", 24);
    assert_day("Pacific/Kwajalein", "1993-08-21", "1993-08-21 12:00", 0);
}

static void
test_zone__agrees_with_the_c_library(void **state)
{
    static const char *const names[] = {
        "Europe/Kyiv",      "America/New_York",    "America/Sao_Paulo", "Asia/Kathmandu",
        "Pacific/Apia",     "Australia/Lord_Howe", "Africa/Casablanca", "Europe/Dublin",
        "Antarctica/Troll", "America/Nuuk",        "Asia/Tehran",       "UTC"};
    struct random_source random;

    (void)state;
    random_seeded_init(&random, 5);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const struct zone *zone = zone_of(names[i]);

        setenv("TZ", names[i], 1);
        tzset();
        for (int k = 0; k < 20000; k++) {
            time_t unix_s = (time_t)random_below(&random, 7000000000) - 1500000000;
            struct zone_span span = zone_span_at(zone, unix_s);
            int32_t day = zone_day_at_us(zone, unix_s * INT64_C(1000000));
            struct tm tm;

            localtime_r(&unix_s, &tm);
            if (span.offset_s != tm.tm_gmtoff || span.from_s > unix_s || span.until_s <= unix_s)
                fail_msg("%s at %lld: %d, not %ld", names[i], (long long)unix_s, span.offset_s,
                         tm.tm_gmtoff);
            if (calendar_day_of_date((struct calendar_date){
                    tm.tm_year + 1900, (uint32_t)tm.tm_mon + 1, (uint32_t)tm.tm_mday}) != day)
                fail_msg("%s at %lld: day %d", names[i], (long long)unix_s, day);
        }
    }
    unsetenv("TZ");
    tzset();
}

static void
test_zone__spans_meet(void **state)
{
    const struct zone *zone = zone_of("Europe/Kyiv");
    int64_t unix_s = -5000000000;

    (void)state;
    for (int i = 0; i < 400; i++) { /* from local mean time far into the rule */
        struct zone_span span = zone_span_at(zone, unix_s);

        assert_true(span.from_s <= unix_s && unix_s < span.until_s);
        assert_int_equal(zone_span_at(zone, span.until_s).from_s, span.until_s);
        assert_int_not_equal(zone_span_at(zone, span.until_s).offset_s, span.offset_s);
        unix_s = span.until_s;
    }
    assert_true(unix_s > seconds_of("2100-01-01 00:00"));
}

/* --- the table
 * ----------------------------------------------------------------------------------*/

static void
test_zones__never_make_a_path_of_a_name(void **state)
{
    static const char *const names[] = {"",
                                        "Europe",
                                        "europe/kyiv",
                                        "Europe/Kyiv ",
                                        "Europe/Kyiv/",
                                        "/Europe/Kyiv",
                                        "../zoneinfo/Europe/Kyiv",
                                        "Europe/../Europe/Kyiv",
                                        "/etc/passwd",
                                        "posix/Europe/Kyiv",
                                        "right/Europe/Kyiv",
                                        "localtime",
                                        "posixrules",
                                        "tzdata.zi",
                                        "zone.tab",
                                        "Mars/Olympus",
                                        "+03:00",
                                        "EET-2EEST,M3.5.0/3,M10.5.0/4"};
    const struct zone *zone = NULL;
    struct diag diag = DIAG_INIT;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (zones_find(zones, slice_of_text(names[i]), &zone, &diag) != ERR_INVALID_PARAMETER)
            fail_msg("%s", names[i]);
    assert_int_equal(zones_find(zones, slice_of("Europe/Kyiv\0x", 13), &zone, &diag),
                     ERR_INVALID_PARAMETER);
    assert_int_equal(zones_find(zones, slice_of("UTC\0", 4), &zone, &diag), ERR_INVALID_PARAMETER);
    assert_null(zone);
    assert_non_null(strstr(diag.message, "UTC"));
}

static void
test_zones__give_the_same_zone_again(void **state)
{
    (void)state;
    assert_ptr_equal(zone_of("Europe/Kyiv"), zone_of("Europe/Kyiv"));
    assert_string_equal(zone_name(zone_of("Europe/Kyiv")), "Europe/Kyiv");
    assert_ptr_equal(zone_of("UTC"), zone_utc());
    assert_true(zones_count(zones) > 400);
}

static void *
find_from_thread(void *arg)
{
    (void)arg;
    return (void *)(uintptr_t)zone_of("Asia/Tokyo");
}

static void
test_zones__may_be_asked_from_many_threads(void **state)
{
    pthread_t threads[8];
    void *first = NULL;

    (void)state;
    (void)zone_of("UTC"); /* skips here, on this thread, if it must */
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, find_from_thread, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        void *zone = NULL;

        pthread_join(threads[i], &zone);
        first = i == 0 ? zone : first;
        assert_ptr_equal(zone, first);
    }
}

static void
test_zones__know_utc_alone_without_tzdata(void **state)
{
    CLEANUP(zones_free) struct zones *none = NULL;
    const struct zone *zone = NULL;
    struct diag diag = DIAG_INIT;

    (void)state;
    assert_int_equal(zones_open("/nonexistent", &none, &diag), ERR_OK);
    assert_true(zones_has_only_utc(none));
    assert_int_equal(zones_count(none), 1);
    assert_non_null(strstr(diag.message, "tzdata"));
    assert_int_equal(zones_find(none, SLICE("UTC"), &zone, &diag), ERR_OK);
    assert_int_equal(zone_day_start_us(zone, 1), 86400000000);
    diag_clear(&diag);
    assert_int_equal(zones_find(none, SLICE("Europe/Kyiv"), &zone, &diag), ERR_INVALID_PARAMETER);
    assert_non_null(strstr(diag.message, "tzdata"));
}

static void
test_zones__say_which_file_is_broken(void **state)
{
    CLEANUP(zones_free) struct zones *some = NULL;
    const struct zone *zone = NULL;
    struct diag diag = DIAG_INIT;

    assert_int_equal(file_make_dir(test_path(state, "Europe"), &diag), ERR_OK);
    assert_int_equal(file_replace_whole(test_path(state, "Europe/Kyiv"), SLICE("TZif2"), &diag),
                     ERR_OK);
    assert_int_equal(zones_open((const char *)*state, &some, &diag), ERR_OK);
    assert_int_equal(zones_count(some), 1);
    assert_int_equal(zones_find(some, SLICE("Europe/Kyiv"), &zone, &diag), ERR_CORRUPT);
    assert_non_null(strstr(diag.message, "Europe/Kyiv"));
    assert_int_equal(file_unlink(test_path(state, "Europe/Kyiv"), &diag), ERR_OK);
    assert_int_equal(zones_find(some, SLICE("Europe/Kyiv"), &zone, &diag), ERR_IO);
}

static void
test_zones__read_every_zone_there_is(void **state)
{
    struct buf text;
    const char *line;
    uint32_t count = 0;

    (void)state;
    (void)zone_of("UTC");
    buf_init(&text, 1 << 20);
    if (file_read_whole(ZONE_DIR_DEFAULT "/tzdata.zi", 1 << 20, &text, NULL) != ERR_OK) {
        buf_fini(&text);
        skip();
    }
    buf_add_char(&text, '\0');
    /* "Z name …": a zone of its own; "L target name": another name for one */
    for (line = text.ptr; line != NULL; line = strchr(line, '\n')) {
        char kind, first[80], second[80];

        line += *line == '\n';
        if (sscanf(line, "%c %79s %79s", &kind, first, second) == 3 &&
            (kind == 'Z' || kind == 'L')) {
            const struct zone *zone = zone_of(kind == 'Z' ? first : second);

            (void)zone_span_at(zone, 1767225600);
            count++;
        }
    }
    buf_fini(&text);
    assert_true(count > 400);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zone__finds_the_first_instant_of_a_day),
        cmocka_unit_test(test_zone__begins_a_day_without_midnight_at_the_jump),
        cmocka_unit_test(test_zone__begins_a_day_with_two_midnights_at_the_first),
        cmocka_unit_test(test_zone__gives_a_skipped_day_no_length),
        cmocka_unit_test(test_zone__agrees_with_the_c_library),
        cmocka_unit_test(test_zone__spans_meet),
        cmocka_unit_test(test_zones__never_make_a_path_of_a_name),
        cmocka_unit_test(test_zones__give_the_same_zone_again),
        cmocka_unit_test(test_zones__may_be_asked_from_many_threads),
        cmocka_unit_test(test_zones__know_utc_alone_without_tzdata),
        test_in_dir(test_zones__say_which_file_is_broken),
        cmocka_unit_test(test_zones__read_every_zone_there_is),
    };

    return cmocka_run_group_tests_name("zone", tests, open_zones, free_zones);
}
