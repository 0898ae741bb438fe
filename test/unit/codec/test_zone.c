/* Units of codec/zone and codec/zone_rule. The C library's own reader of time zones is the second
 * opinion. */
#include "../test.h"

#include "base/random.h"
#include "codec/calendar.h"
#include "codec/zone.h"
#include "codec/zone_rule.h"
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

/* --- the reader
 * ---------------------------------------------------------------------------------*/

struct file {
    uint8_t bytes[600];
    size_t len;
};

static void
add(struct file *file, uint64_t value, size_t bytes)
{
    while (bytes-- > 0)
        file->bytes[file->len++] = (uint8_t)(value >> (8 * bytes));
}

static void
add_header(struct file *file, char version, uint32_t leaps, uint32_t times, uint32_t types,
           uint32_t chars)
{
    add(file, 0x545A6966, 4);
    add(file, (uint64_t)version, 1);
    for (int i = 0; i < 15; i++)
        add(file, 0, 1); /* not used */
    add(file, 0, 4);
    add(file, 0, 4);
    add(file, leaps, 4);
    add(file, times, 4);
    add(file, types, 4);
    add(file, chars, 4);
}

/* Three changes between two types, and a footer: what the tests below break. */
static struct file
good_file(int32_t offset_s, const char *footer)
{
    struct file file = {.len = 0};

    add_header(&file, '2', 0, 1, 1, 4); /* version 1's block, to be skipped */
    for (int i = 0; i < 15; i++)
        add(&file, 0, 1);
    add_header(&file, '2', 0, 3, 2, 8);
    add(&file, 1000000, 8);
    add(&file, 2000000, 8);
    add(&file, 3000000, 8);
    add(&file, 0x010001, 3);
    add(&file, 0, 6);
    add(&file, (uint32_t)offset_s, 4);
    add(&file, 0x0104, 2);
    add(&file, 0x5554430058585800, 8);
    add(&file, '\n', 1);
    for (; *footer != '\0'; footer++)
        add(&file, (uint64_t)*footer, 1);
    add(&file, '\n', 1);
    return file;
}
#define SECOND_HEADER (44 + 15)
#define SECOND_DATA (SECOND_HEADER + 44)

static enum err
parse(const struct file *file, size_t len)
{
    CLEANUP(zone_free) struct zone *zone = NULL;
    struct diag diag = DIAG_INIT;
    enum err err;
    uint8_t *exact = mem_alloc(len + 1); /* so that a sanitizer sees a read beyond */

    memcpy(exact, file->bytes, len);
    err = zone_parse(slice_of((const char *)exact, len), "Test", &zone, &diag);
    mem_free(exact);
    if (err == ERR_CORRUPT)
        assert_string_not_equal(diag.message, "");
    return err;
}

static void
test_tzif__reads_changes_and_footer(void **state)
{
    struct file file = good_file(3600, "XXX-1");
    CLEANUP(zone_free) struct zone *zone = NULL;

    (void)state;
    assert_int_equal(zone_parse(slice_of((const char *)file.bytes, file.len), "Test", &zone, NULL),
                     ERR_OK);
    assert_int_equal(zone_span_at(zone, 999999).offset_s, 0);
    assert_int_equal(zone_span_at(zone, 1000000).offset_s, 3600);
    assert_int_equal(zone_span_at(zone, 2000000).offset_s, 0);
    assert_int_equal(zone_span_at(zone, 2999999).until_s, 3000000);
    assert_int_equal(zone_span_at(zone, 3000000).offset_s, 3600);
    assert_int_equal(zone_span_at(zone, 3000000).from_s, 3000000);
    assert_int_equal(zone_span_at(zone, 9000000).until_s, INT64_MAX);
}

static void
test_tzif__keeps_the_last_offset_without_a_rule(void **state)
{
    struct file file = good_file(-7200, "");
    CLEANUP(zone_free) struct zone *zone = NULL;

    (void)state;
    assert_int_equal(zone_parse(slice_of((const char *)file.bytes, file.len), "Test", &zone, NULL),
                     ERR_OK);
    assert_int_equal(zone_span_at(zone, 3000000000).offset_s, -7200);
}

static void
test_tzif__refuses_every_cut(void **state)
{
    struct file file = good_file(3600, "XXX-1");

    (void)state;
    for (size_t len = 0; len < file.len; len++)
        if (parse(&file, len) != ERR_CORRUPT)
            fail_msg("%zu bytes", len);
    assert_int_equal(parse(&file, file.len), ERR_OK);
}

static void
test_tzif__refuses_what_does_not_agree(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } changes[] = {
        {0, 'X'},                   /* magic */
        {4, '1'},                   /* version 1 alone */
        {35, 200},                  /* first block: more times than bytes */
        {SECOND_HEADER, 'X'},       /* second magic */
        {SECOND_HEADER + 23, 1},    /* isut is neither none nor one a type */
        {SECOND_HEADER + 27, 1},    /* isstd the same */
        {SECOND_HEADER + 31, 1},    /* leap seconds */
        {SECOND_HEADER + 35, 2},    /* a time less: all that follows is shifted */
        {SECOND_HEADER + 32, 0x7F}, /* 2^31 times */
        {SECOND_HEADER + 36, 0x7F}, /* 2^31 types */
        {SECOND_HEADER + 40, 0x7F}, /* 2^31 bytes of abbreviations */
        {SECOND_HEADER + 43, 9},    /* a byte more of them: the footer is shifted */
        {SECOND_DATA + 5, 0x7F},    /* times do not rise */
        {SECOND_DATA + 24, 2},      /* a type that does not exist */
        {SECOND_DATA + 27, 0x7F},   /* an offset of years */
        {SECOND_DATA + 33, 0x80},   /* and back */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(changes); i++) {
        struct file file = good_file(3600, "XXX-1");

        file.bytes[changes[i].at] = changes[i].value;
        if (parse(&file, file.len) != ERR_CORRUPT)
            fail_msg("byte %zu", changes[i].at);
    }
}

static void
test_tzif__bounds_offsets(void **state)
{
    static const struct {
        int32_t offset_s;
        enum err err;
    } cases[] = {{93598, ERR_OK},          {93599, ERR_OK},         {93600, ERR_CORRUPT},
                 {-93598, ERR_OK},         {-93599, ERR_OK},        {-93600, ERR_CORRUPT},
                 {INT32_MIN, ERR_CORRUPT}, {INT32_MAX, ERR_CORRUPT}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct file file = good_file(cases[i].offset_s, "");

        assert_int_equal(parse(&file, file.len), cases[i].err);
    }
}

static void
test_tzif__survives_any_byte(void **state)
{
    (void)state;
    for (size_t at = 0; at < good_file(3600, "XXX-1").len; at++)
        for (unsigned value = 0; value < 256; value += 5) {
            struct file file = good_file(3600, "XXX-1");

            file.bytes[at] = (uint8_t)value;
            (void)parse(&file, file.len);
        }
}

/* --- rules
 * --------------------------------------------------------------------------------------*/

static void
test_rule__reads_what_posix_writes(void **state)
{
    static const struct {
        const char *text;
        const char *utc;
        int32_t offset_s;
    } cases[] = {
        {"UTC0", "2026-07-01 00:00", 0},
        {"<+0545>-5:45", "2026-07-01 00:00", 20700},
        {"XXX+1:02:03", "2026-07-01 00:00", -3723},
        {"EET-2EEST,M3.5.0/3,M10.5.0/4", "2026-03-29 00:59", 7200},
        {"EET-2EEST,M3.5.0/3,M10.5.0/4", "2026-03-29 01:00", 10800},
        {"EET-2EEST,M3.5.0/3,M10.5.0/4", "2026-10-25 00:59", 10800},
        {"EET-2EEST,M3.5.0/3,M10.5.0/4", "2026-10-25 01:00", 7200},
        /* summer time of another size; negative times of day; the south; Ireland's turned round */
        {"<+00>0<+02>-2,M3.5.0/1,M10.5.0/3", "2026-07-01 00:00", 7200},
        {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29 00:59", -7200},
        {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29 01:00", -3600},
        {"AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-01-01 00:00", 39600},
        {"AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-07-01 00:00", 36000},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", "2026-01-01 00:00", 0},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", "2026-07-01 00:00", 3600},
        /* days of the year: J60 is March 1 always, 59 is February 29 in a leap year */
        {"XXX0YYY,J60/0,J61/0", "2024-03-01 12:00", 3600},
        {"XXX0YYY,J60/0,J61/0", "2025-03-01 12:00", 3600},
        {"XXX0YYY,59/0,60/0", "2024-02-29 12:00", 3600},
        {"XXX0YYY,59/0,60/0", "2025-03-01 12:00", 3600},
        {"XXX0YYY,59/0,60/0", "2024-03-01 12:00", 0},
        /* hours beyond a day: Gaza, and all year */
        {"EET-2EEST,M3.4.4/50,M10.4.4/50", "2026-03-28 00:00", 10800},
        {"EET-2EEST,M3.4.4/50,M10.4.4/50", "2026-03-27 23:59", 7200},
        {"EST5EDT,0/0,J365/25", "2026-01-01 04:59", -14400},
        {"EST5EDT,0/0,J365/25", "2026-01-01 05:00", -14400},
        {"EST5EDT,0/0,J365/25", "2026-06-01 05:00", -14400},
        /* a year's changes all in the next */
        {"XXX0YYY,J364/167,J365/160", "2026-01-01 00:00", 0},
        {"XXX0YYY,J364/167,J365/160", "2026-01-06 00:00", 3600},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct zone_rule rule;
        int64_t unix_s = seconds_of(cases[i].utc);
        struct zone_span span;

        if (!zone_rule_parse(slice_of_text(cases[i].text), &rule))
            fail_msg("%s", cases[i].text);
        span = zone_rule_span_at(&rule, unix_s);
        if (span.offset_s != cases[i].offset_s || span.from_s > unix_s || span.until_s <= unix_s)
            fail_msg("%s at %s: %d", cases[i].text, cases[i].utc, span.offset_s);
    }
}

static void
test_rule__bounds_every_number(void **state)
{
    static const char *const good[] = {"ABC0",
                                       "ABC24",
                                       "ABC-24:59:59",
                                       "ABCDEFGHIJ0",
                                       "<abc>0",
                                       "XXX0YYY,J1,J365",
                                       "XXX0YYY,0,365",
                                       "XXX0YYY,M1.1.0,M12.5.6",
                                       "XXX0YYY,J1/167,J2/-167",
                                       "XXX0YYY,J1/167:59:59,J2/0"};
    static const char *const bad[] = {"",
                                      "AB0",
                                      "ABC",
                                      "ABC25",
                                      "ABC0:60",
                                      "ABC0:0:60",
                                      "<abc0",
                                      "<ab>0",
                                      "ABC0x",
                                      "ABC0XXX",
                                      "ABC0XXX,J1",
                                      "XXX0YYY,J0,J5",
                                      "XXX0YYY,J1,J366",
                                      "XXX0YYY,0,366",
                                      "XXX0YYY,M0.1.0,J5",
                                      "XXX0YYY,M13.1.0,J5",
                                      "XXX0YYY,M1.0.0,J5",
                                      "XXX0YYY,M1.6.0,J5",
                                      "XXX0YYY,M1.1.7,J5",
                                      "XXX0YYY,J1/168,J5",
                                      "XXX0YYY,J1/-168,J5",
                                      "XXX0YYY,J1,J5,",
                                      "XXX0YYY,J1;J5",
                                      "XXX0YYY,,",
                                      "ABC+-1",
                                      "ABC0001",
                                      ":Europe/Kyiv",
                                      "XXX0YYY,M1.1,J5"};
    struct zone_rule rule;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        if (!zone_rule_parse(slice_of_text(good[i]), &rule))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (zone_rule_parse(slice_of_text(bad[i]), &rule))
            fail_msg("%s", bad[i]);
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
        cmocka_unit_test(test_tzif__reads_changes_and_footer),
        cmocka_unit_test(test_tzif__keeps_the_last_offset_without_a_rule),
        cmocka_unit_test(test_tzif__refuses_every_cut),
        cmocka_unit_test(test_tzif__refuses_what_does_not_agree),
        cmocka_unit_test(test_tzif__bounds_offsets),
        cmocka_unit_test(test_tzif__survives_any_byte),
        cmocka_unit_test(test_rule__reads_what_posix_writes),
        cmocka_unit_test(test_rule__bounds_every_number),
    };

    return cmocka_run_group_tests_name("zone", tests, open_zones, free_zones);
}
