/* Units of base/mem. */
#include "../test.h"
#include <sys/mman.h>
#include <unistd.h>

static bool
try_one(void)
{
    void *ptr = mem_alloc(8);
    bool is_given = ptr != NULL;

    mem_free(ptr);
    return is_given;
}

static void
test_mem__fails_the_nth_once(void **state)
{
    (void)state;
    mem_fail_from(3, false);
    assert_true(try_one());
    assert_true(try_one());
    assert_false(try_one());
    assert_true(try_one());
    mem_fail_from(0, false);
}

static void
test_mem__fails_from_the_nth_on(void **state)
{
    (void)state;
    mem_fail_from(2, true);
    assert_true(try_one());
    assert_false(try_one());
    assert_false(try_one());
    mem_fail_from(0, true);
    assert_true(try_one());
}

static void
test_mem__every_kind_can_fail(void **state)
{
    char *text = mem_strdup("abc");

    (void)state;
    assert_string_equal(text, "abc");
    mem_fail_from(1, true);
    assert_null(mem_zalloc(1, 1));
    assert_null(mem_realloc(text, 100));
    assert_null(mem_strdup("x"));
    mem_fail_from(0, false);
    assert_string_equal(text, "abc"); /* realloc left it */
    mem_free(text);
    mem_free(NULL);
}

static void
test_mem__zalloc_zeroes_and_sees_overflow(void **state)
{
    volatile size_t huge = SIZE_MAX / 2;
    uint64_t *numbers = MEM_NEW(uint64_t, 1000);

    (void)state;
    assert_non_null(numbers);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(numbers[i], 0);
    mem_free(numbers);
    assert_null(mem_zalloc(huge, 3));
    numbers = MEM_NEW(uint64_t, 0);
    assert_non_null(numbers);
    mem_free(numbers);
}

static void
test_mem__populate_makes_resident_and_changes_nothing(void **state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t bytes = 64 * page;
    unsigned char is_resident[64] = {0};
    char *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before = 0;
    size_t after = 0;

    (void)state;
    assert_ptr_not_equal(area, MAP_FAILED);
    area[5 * page + 7] = 'x';
    assert_int_equal(mincore(area, bytes, is_resident), 0);
    for (size_t i = 0; i < COUNT_OF(is_resident); i++)
        before += is_resident[i] & 1U;
    mem_populate(area + 1, bytes - 1); /* the first page only in part: it is left out */
    assert_int_equal(mincore(area, bytes, is_resident), 0);
    for (size_t i = 0; i < COUNT_OF(is_resident); i++)
        after += is_resident[i] & 1U;
    assert_true(before < 63);
    assert_true(after >= 63);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(area[i], i == 5 * page + 7 ? 'x' : 0);
    mem_populate(area, 0);
    assert_int_equal(munmap(area, bytes), 0);
}

static void
test_mem__move_and_cleanup_hand_over(void **state)
{
    char *kept;
    uint64_t before = mem_allocation_count();

    (void)state;
    {
        CLEANUP(mem_free_ptr) char *given = mem_strdup("x");
        CLEANUP(mem_free_ptr) char *freed = mem_strdup("y");

        assert_non_null(freed);
        kept = MOVE(given);
        assert_null(given);
    }
    assert_string_equal(kept, "x");
    mem_free(kept);
    assert_int_equal(mem_allocation_count() - before, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mem__fails_the_nth_once),
        cmocka_unit_test(test_mem__fails_from_the_nth_on),
        cmocka_unit_test(test_mem__every_kind_can_fail),
        cmocka_unit_test(test_mem__zalloc_zeroes_and_sees_overflow),
        cmocka_unit_test(test_mem__populate_makes_resident_and_changes_nothing),
        cmocka_unit_test(test_mem__move_and_cleanup_hand_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
