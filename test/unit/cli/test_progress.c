/* Units of cli/progress, on a clock that stands still. */
#include "../test.h"

#include "cli/progress.h"

static char *text;
static size_t text_len;

static void
test_progress__terminal_draws_a_bar_ten_times_a_second(void **state)
{
    struct clock_fake fake;
    struct progress progress;
    FILE *out = open_memstream(&text, &text_len);

    (void)state;
    clock_fake_init(&fake, 0);
    progress_start(&progress, &fake.clock, out, true, "import", "event", 1000);
    clock_fake_move(&fake, 99000);
    progress_update(&progress, 100, 50);
    assert_int_equal(ftell(out), 0);
    clock_fake_move(&fake, 1901000);
    progress_update(&progress, 250, 1500);
    (void)fflush(out);
    assert_string_equal(text, "\rimport  [######..................]  25 %  1,500 events  750/s  "
                              "6 s left\x1B[K");
    clock_fake_move(&fake, 198 * US_PER_S);
    progress_end(&progress, 1000, 6000);
    (void)fclose(out);
    assert_non_null(strstr(text, "\rimport  [########################] 100 %  6,000 events  30/s  "
                                 "in 3 min 20 s\x1B[K\n"));
    free(text);
}

static void
test_progress__plain_lines_come_every_five_seconds(void **state)
{
    struct clock_fake fake;
    struct progress progress;
    FILE *out = open_memstream(&text, &text_len);

    (void)state;
    clock_fake_init(&fake, 0);
    progress_start(&progress, &fake.clock, out, false, "import", "event", 0);
    clock_fake_move(&fake, 4999999);
    progress_update(&progress, 1, 5);
    assert_int_equal(ftell(out), 0);
    clock_fake_move(&fake, 1);
    progress_update(&progress, 1, 5);
    progress_update(&progress, 1, 6);
    progress_end(&progress, 2, 1);
    (void)fclose(out);
    assert_string_equal(text, "import  5 events  1/s  \nimport  1 event  0/s  in 5 s\n");
    free(text);
}

static void
test_progress__tells_all_at_the_end_alone(void **state)
{
    struct clock_fake fake;
    struct progress progress;
    FILE *out = open_memstream(&text, &text_len);

    (void)state;
    clock_fake_init(&fake, 0);
    progress_start(&progress, &fake.clock, out, false, "import", "event", 10);
    clock_fake_move(&fake, 5 * US_PER_S);
    progress_update(&progress, 10, 5);
    progress_end(&progress, 10, 10);
    (void)fclose(out);
    assert_string_equal(text, "import   99 %  5 events  1/s  \n"
                              "import  100 %  10 events  2/s  in 5 s\n");
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_progress__terminal_draws_a_bar_ten_times_a_second),
        cmocka_unit_test(test_progress__plain_lines_come_every_five_seconds),
        cmocka_unit_test(test_progress__tells_all_at_the_end_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
