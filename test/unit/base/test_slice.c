/* Units of base/slice. */
#include "../test.h"

#include "base/slice.h"

static void
test_slice__compares_in_byte_order(void **state)
{
    (void)state;
    assert_true(slice_compare(SLICE("a"), SLICE("b")) < 0);
    assert_true(slice_compare(SLICE("ab"), SLICE("a")) > 0);
    assert_true(slice_compare(SLICE("\xC3"), SLICE("z")) > 0);
    assert_int_equal(slice_compare(SLICE(""), SLICE_NONE), 0);
    assert_true(slice_equal(SLICE("abc"), SLICE("abc")));
    assert_false(slice_equal(SLICE("abc"), SLICE("ab")));
}

static void
test_slice__nocase_is_ascii_only(void **state)
{
    (void)state;
    assert_true(slice_equal_nocase(SLICE("Content-TYPE"), SLICE("content-type")));
    assert_false(slice_equal_nocase(SLICE("a"), SLICE("ab")));
    assert_false(slice_equal_nocase(SLICE("["), SLICE("{")));
    assert_false(slice_equal_nocase(SLICE("\xC3\x84"), SLICE("\xC3\xA4")));
}

static void
test_slice__secrets_are_compared_whole(void **state)
{
    char a[40];
    char b[40];

    (void)state;
    memset(a, 'a', sizeof(a));
    memset(b, 'a', sizeof(b));
    for (size_t len = 0; len <= sizeof(a); len++) {
        assert_true(slice_equal_secret(slice_of(a, len), slice_of(b, len)));
        assert_false(len > 0 && slice_equal_secret(slice_of(a, len), slice_of(b, len - 1)));
        for (size_t i = 0; i < len; i++) {
            b[i] ^= (char)0x80;
            assert_false(slice_equal_secret(slice_of(a, len), slice_of(b, len)));
            b[i] ^= (char)0x80;
        }
    }
}

static void
test_slice__trims_spaces_and_tabs(void **state)
{
    (void)state;
    assert_slice_equal(slice_trim(SLICE(" \t a b\t ")), "a b");
    assert_slice_equal(slice_trim(SLICE(" \t")), "");
    assert_slice_equal(slice_trim(SLICE("\ra\n")), "\ra\n");
}

/* Every two-byte and the telling longer sequences, against the table of RFC 3629. */
static void
test_slice__utf8_width_follows_rfc_3629(void **state)
{
    static const struct {
        const char *bytes;
        size_t width;
    } rows[] = {
        {"a", 1},
        {"\x7F", 1},
        {"\x80", 0},
        {"\xC1\xBF", 0},
        {"\xC2\x80", 2},
        {"\xDF\xBF", 2},
        {"\xC2", 0},
        {"\xE0\x9F\xBF", 0},
        {"\xE0\xA0\x80", 3},
        {"\xED\x9F\xBF", 3},
        {"\xED\xA0\x80", 0},
        {"\xEF\xBF\xBF", 3},
        {"\xEF\xBF", 0},
        {"\xF0\x8F\xBF\xBF", 0},
        {"\xF0\x90\x80\x80", 4},
        {"\xF4\x8F\xBF\xBF", 4},
        {"\xF4\x90\x80\x80", 0},
        {"\xF5\x80\x80\x80", 0},
        {"\xF0\x90\x80\x41", 0},
        {"\xE2\x41\x80", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(slice_utf8_width(slice_of_text(rows[i].bytes)), rows[i].width);
    assert_int_equal(slice_utf8_width(SLICE_NONE), 0);
    assert_int_equal(slice_utf8_width(slice_of("\0", 1)), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice__compares_in_byte_order),
        cmocka_unit_test(test_slice__nocase_is_ascii_only),
        cmocka_unit_test(test_slice__secrets_are_compared_whole),
        cmocka_unit_test(test_slice__trims_spaces_and_tabs),
        cmocka_unit_test(test_slice__utf8_width_follows_rfc_3629),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
