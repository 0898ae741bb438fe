/* Units of codec/zone's reader of TZif files and of codec/zone_rule, by files and rules made here.
 */
#include "../test.h"

#include "codec/calendar.h"
#include "codec/zone.h"
#include "codec/zone_rule.h"

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
        cmocka_unit_test(test_tzif__reads_changes_and_footer),
        cmocka_unit_test(test_tzif__keeps_the_last_offset_without_a_rule),
        cmocka_unit_test(test_tzif__refuses_every_cut),
        cmocka_unit_test(test_tzif__refuses_what_does_not_agree),
        cmocka_unit_test(test_tzif__bounds_offsets),
        cmocka_unit_test(test_tzif__survives_any_byte),
        cmocka_unit_test(test_rule__reads_what_posix_writes),
        cmocka_unit_test(test_rule__bounds_every_number),
    };

    return cmocka_run_group_tests_name("tzif", tests, NULL, NULL);
}
