/*
 * manual: who takes gzip, which tags are listed, and the files as they are inflated.
 */
#include "../test.h"

#include "api/manual.h"
#include "base/mem.h"

static void
test_manual__takes_gzip(void **state)
{
    static const struct {
        const char *text;
        bool takes;
    } rows[] = {
        {NULL, false},
        {"", false},
        {"gzip", true},
        {"GZIP", true},
        {"br, gzip", true},
        {"gzip, deflate, br, zstd", true},
        {" gzip\t;q=0.1", true},
        {"gzip;q=1.000", true},
        {"gzip;q=0", false},
        {"gzip; Q=0.000", false},
        {"gzip;q=0.001", true},
        {"gzip;q=0, *", false},
        {"*", true},
        {"*;q=0", false},
        {"*;q=0, gzip", true},
        {"identity", false},
        {"x-gzip", false},
        {"gzipped", false},
        {"gzi", false},
        {",,,", false},
        {";q=1", false},
        {"gzip;", true},
        {"gzip;q", true},
        {"gzip;q=", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (manual_takes_gzip(slice_of_text(rows[i].text)) != rows[i].takes)
            fail_msg("%s", rows[i].text);
    }
}

static void
test_manual__lists_tag(void **state)
{
    static const struct {
        const char *text;
        bool lists;
    } rows[] = {
        {NULL, false},
        {"", false},
        {"\"a-gz\"", true},
        {"W/\"a-gz\"", true},
        {"*", true},
        {"\"a\"", false},
        {"\"b\",\"a-gz\"", true},
        {"\"a-gz\" , x", true},
        {"a-gz", false},
        {"W/a-gz", false},
        {"w/\"a-gz\"", false},
        {"W/", false},
        {"\"a-gz", false},
        {"\"a-gzz\"", false},
        {",", false},
        {"W/W/\"a-gz\"", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (manual_lists_tag(slice_of_text(rows[i].text), "\"a-gz\"") != rows[i].lists)
            fail_msg("%s", rows[i].text);
    }
}

static void
test_manual__files_inflate_once(void **state)
{
    struct manual manual = {0};
    struct slice first, again;

    (void)state;
    assert_in_range(asset_count, 1, ASSETS_MAX);
    for (size_t i = 0; i < asset_count; i++) {
        assert_int_equal(manual_plain(&manual, i, &first), ERR_OK);
        assert_int_equal(first.len, assets[i].plain_bytes);
        assert_int_equal(manual_plain(&manual, i, &again), ERR_OK);
        assert_ptr_equal(first.ptr, again.ptr);
        assert_string_not_equal(assets[i].plain_tag, assets[i].gzip_tag);
    }
    manual_fini(&manual);
    assert_null(atomic_load(&manual.plain[0]));
}

/* Each allocation fails once: an error, nothing kept, and the next one has it. */
static void
test_manual__out_of_memory(void **state)
{
    struct manual manual = {0};
    struct slice text;
    enum err err = ERR_NOMEM;

    (void)state;
    for (uint64_t nth = 1; err != ERR_OK; nth++) {
        assert_true(nth < 100);
        mem_fail_from(nth, false);
        err = manual_plain(&manual, 0, &text);
        mem_fail_from(0, false);
        if (err != ERR_OK) {
            assert_int_equal(err, ERR_NOMEM);
            assert_null(atomic_load(&manual.plain[0]));
        }
    }
    assert_int_equal(text.ptr[0], '{');
    manual_fini(&manual);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manual__takes_gzip),
        cmocka_unit_test(test_manual__lists_tag),
        cmocka_unit_test(test_manual__files_inflate_once),
        cmocka_unit_test(test_manual__out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
