/* Units of base/log: both forms, and that no client's byte can break a line. */
#include "../test.h"

#include "base/log.h"
#include <sys/mman.h>
#include <unistd.h>

#define TIME_LEN 27 /* 2026-01-31T12:00:00.123456Z */

static char got[32768];
static int memory_fd = -1;

static void
start(enum log_level lowest, enum log_format format)
{
    memory_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(memory_fd >= 0);
    log_configure(lowest, format, memory_fd);
}

static const char *
finish(void)
{
    ssize_t len = pread(memory_fd, got, sizeof(got) - 1, 0);

    assert_true(len >= 0);
    got[len] = '\0';
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_AUTO, STDERR_FILENO);
    file_close(&memory_fd);
    return got;
}

static void
test_log__text_form(void **state)
{
    (void)state;
    start(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    LOG_INFO("ledger.recovered", LOG_U64("seq", 5), LOG_I64("delta_us", -3), LOG_F64("rate", 0.5),
             LOG_TEXT("file", "a/b"), LOG_TEXT("words", "two words"), LOG_TEXT("none", NULL));
    finish();
    assert_true(got[10] == 'T' && got[TIME_LEN - 1] == 'Z');
    assert_string_equal(got + TIME_LEN, " INFO  ledger.recovered seq=5 delta_us=-3 rate=0.5 "
                                        "file=a/b words=\"two words\" none=\"\"\n");
}

static void
test_log__json_form(void **state)
{
    (void)state;
    start(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    LOG_ERROR("x.y", LOG_U64("seq", UINT64_MAX), LOG_F64("rate", 1.0 / 0.0), LOG_TEXT("none", NULL),
              LOG_SLICE("text", slice_of("ab", 1)));
    finish();
    assert_memory_equal(got, "{\"time\":\"2", 10);
    assert_string_equal(got + 9 + TIME_LEN,
                        "\",\"level\":\"error\",\"event\":\"x.y\",\"seq\":18446744073709551615,"
                        "\"rate\":null,\"none\":null,\"text\":\"a\"}\n");
}

static void
test_log__escapes_control_bytes_and_bad_utf8(void **state)
{
    static const char bytes[] = "a\"\\\n\x1B\x7F\xFFz\xC2\x9B\xE2\x82\xAC\0e";
    static const char *const forms[] = {" v=", ",\"v\":"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        start(LOG_LEVEL_INFO, i == 0 ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON);
        LOG_INFO("x", LOG_SLICE("v", slice_of(bytes, sizeof(bytes) - 1)));
        finish();
        assert_non_null(strstr(got, forms[i]));
        assert_memory_equal(strstr(got, forms[i]) + strlen(forms[i]),
                            "\"a\\\"\\\\\\u000a\\u001b\\u007f\xEF\xBF\xBDz\\u009b\xE2\x82\xAC"
                            "\\u0000e\"",
                            45);
        assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1);
    }
}

static void
test_log__level_filters(void **state)
{
    (void)state;
    start(LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
    LOG_DEBUG("a");
    LOG_INFO("b");
    LOG_WARN("c");
    finish();
    assert_string_equal(got + TIME_LEN, " WARN  c\n");
}

static void
test_log__long_values_and_lines_are_cut_and_say_so(void **state)
{
    static char text[10000];
    size_t len;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    start(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    LOG_INFO("x", LOG_TEXT("a", text), LOG_TEXT("b", text), LOG_TEXT("c", text),
             LOG_TEXT("d", text), LOG_U64("after", 1));
    finish();
    len = strlen(got);
    assert_in_range(len, 6000, 8192);
    assert_string_equal(got + len - 18, "x\xE2\x80\xA6\",\"cut\":true}\n");
    assert_null(strstr(got, "\"d\""));
}

static int evaluated;

static uint64_t
evaluate(void)
{
    return (uint64_t)++evaluated;
}

static void
sink_write(void *sink_state, enum log_level level, const char *event,
           const struct log_field *fields, size_t count)
{
    (void)snprintf((char *)sink_state, 100, "%d %s %zu %llu", (int)level, event, count,
                   count != 0 ? (unsigned long long)fields[0].value.u64 : 0);
}

static void
test_log__sink_gets_fields_evaluated_once(void **state)
{
    char seen[100];
    const struct log_sink sink = {.write = sink_write, .state = seen};

    (void)state;
    SINK(&sink, LOG_LEVEL_WARN, "none");
    assert_string_equal(seen, "2 none 0 0");
    SINK(&sink, LOG_LEVEL_ERROR, "one", LOG_U64("n", evaluate()), LOG_TEXT("x", "y"));
    assert_string_equal(seen, "3 one 2 1");
    start(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    LOG_INFO("x", LOG_U64("n", evaluate()));
    SINK(log_sink_default(), LOG_LEVEL_INFO, "y", LOG_U64("n", evaluate()));
    finish();
    assert_int_equal(evaluated, 3);
    assert_non_null(strstr(got, "INFO  x n=2\n"));
    assert_non_null(strstr(got, "INFO  y n=3\n"));
}

static void
test_log__works_without_memory(void **state)
{
    (void)state;
    start(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    mem_fail_from(1, true);
    LOG_ERROR("out of memory", LOG_U64("bytes", 1));
    mem_fail_from(0, false);
    finish();
    assert_string_equal(got + TIME_LEN, " ERROR out of memory bytes=1\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log__text_form),
        cmocka_unit_test(test_log__json_form),
        cmocka_unit_test(test_log__escapes_control_bytes_and_bad_utf8),
        cmocka_unit_test(test_log__level_filters),
        cmocka_unit_test(test_log__long_values_and_lines_are_cut_and_say_so),
        cmocka_unit_test(test_log__sink_gets_fields_evaluated_once),
        cmocka_unit_test(test_log__works_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
