/* Units of base/buf. */
#include "../test.h"

#include "base/buf.h"

static void
test_buf__takes_its_maximum_and_no_byte_more(void **state)
{
    static const char bytes[1001] = {0};
    struct buf buf;

    (void)state;
    for (size_t len = 999; len <= 1001; len++) {
        buf_init(&buf, 1000);
        buf_add(&buf, bytes, len);
        assert_int_equal(buf_failed(&buf), len > 1000);
        assert_int_equal(buf.len, len > 1000 ? 0 : len);
        assert_true(buf.capacity <= 1000);
        buf_fini(&buf);
    }
}

static void
test_buf__remembers_a_failure_until_cleared(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 4);
    buf_add_text(&buf, "abc");
    buf_add_text(&buf, "de");
    assert_true(buf_failed(&buf));
    buf_add_char(&buf, 'd');
    assert_slice_equal(buf_slice(&buf), "abc");
    assert_true(buf_failed(&buf));
    buf_clear(&buf);
    assert_false(buf_failed(&buf));
    buf_add_text(&buf, "wxyz");
    assert_slice_equal(buf_slice(&buf), "wxyz");
    buf_fini(&buf);
}

static void
test_buf__writes_numbers(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    buf_add_u64(&buf, 0);
    buf_add_char(&buf, ' ');
    buf_add_u64(&buf, UINT64_MAX);
    buf_add_char(&buf, ' ');
    buf_add_i64(&buf, INT64_MIN);
    buf_add_char(&buf, ' ');
    buf_add_i64(&buf, INT64_MAX);
    assert_slice_equal(buf_slice(&buf),
                       "0 18446744073709551615 -9223372036854775808 9223372036854775807");
    buf_fini(&buf);
}

static void
test_buf__prints_to_the_last_byte(void **state)
{
    struct buf buf;

    (void)state;
    for (size_t max = 9; max <= 12; max++) {
        buf_init(&buf, max);
        buf_printf(&buf, "%s%d", "abcdefgh", 42); /* 10 bytes */
        assert_int_equal(buf_failed(&buf), max < 10);
        if (max >= 10)
            assert_slice_equal(buf_slice(&buf), "abcdefgh42");
        buf_fini(&buf);
    }
}

static void
test_buf__removes_from_the_front(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 100);
    buf_remove_front(&buf, 0);
    buf_add_text(&buf, "abcdef");
    buf_remove_front(&buf, 2);
    assert_slice_equal(buf_slice(&buf), "cdef");
    buf_remove_front(&buf, 4);
    assert_slice_equal(buf_slice(&buf), "");
    buf_fini(&buf);
}

static void
test_buf__out_of_memory_is_a_failure(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 10000);
    buf_add_text(&buf, "abc");
    mem_fail_from(1, true);
    assert_false(buf_reserve(&buf, 5000));
    mem_fail_from(0, false);
    assert_true(buf_failed(&buf));
    assert_slice_equal(buf_slice(&buf), "abc");
    buf_fini(&buf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf__takes_its_maximum_and_no_byte_more),
        cmocka_unit_test(test_buf__remembers_a_failure_until_cleared),
        cmocka_unit_test(test_buf__writes_numbers),
        cmocka_unit_test(test_buf__prints_to_the_last_byte),
        cmocka_unit_test(test_buf__removes_from_the_front),
        cmocka_unit_test(test_buf__out_of_memory_is_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
