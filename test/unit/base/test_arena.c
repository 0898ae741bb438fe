/* Units of base/arena. */
#include "../test.h"

#include "base/arena.h"

static void
test_arena__gives_up_to_its_limit_and_no_more(void **state)
{
    struct arena arena;

    (void)state;
    for (size_t bytes = 4095; bytes <= 4097; bytes++) {
        arena_init(&arena, 64, 4096);
        assert_int_equal(arena_alloc(&arena, bytes) != NULL, bytes <= 4096);
        assert_true(arena.bytes_used <= 4096);
        arena_fini(&arena);
    }
}

static void
test_arena__pieces_are_aligned_apart_and_below_the_limit(void **state)
{
    struct arena arena;
    char *before = NULL;
    size_t count = 0;

    (void)state;
    arena_init(&arena, 100, 10000);
    for (;; count++) {
        char *piece = (char *)arena_alloc(&arena, 24);

        if (piece == NULL)
            break;
        assert_int_equal((uintptr_t)piece % 16, 0);
        memset(piece, (int)(count & 0x7F), 24);
        if (before != NULL)
            assert_int_equal(before[23], (count - 1) & 0x7F);
        before = piece;
    }
    assert_in_range(count, 250, 10000 / 24);
    assert_true(arena.bytes_used <= 10000);
    arena_fini(&arena);
    assert_int_equal(arena.bytes_used, 0);
}

static void
test_arena__clear_keeps_the_first_block(void **state)
{
    struct arena arena;
    void *first;

    (void)state;
    arena_init(&arena, 128, 1 << 20);
    arena_clear(&arena);
    first = arena_alloc(&arena, 100);
    assert_non_null(arena_alloc(&arena, 5000));
    arena_clear(&arena);
    assert_int_equal(arena.bytes_used, 128);
    assert_ptr_equal(arena_alloc(&arena, 100), first);
    arena_fini(&arena);
}

static void
test_arena__zalloc_zeroes_and_sees_overflow(void **state)
{
    struct arena arena;
    char *dirty, *clean;

    (void)state;
    arena_init(&arena, 128, SIZE_MAX);
    dirty = (char *)arena_alloc(&arena, 64);
    memset(dirty, 0xFF, 64);
    arena_clear(&arena);
    clean = (char *)arena_zalloc(&arena, 8, 8);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(clean[i], 0);
    assert_null(arena_zalloc(&arena, SIZE_MAX / 2, 3));
    assert_null(arena_alloc(&arena, SIZE_MAX - 8));
    assert_non_null(arena_alloc(&arena, 0));
    arena_fini(&arena);
}

static void
test_arena__copies_and_prints_with_a_nul_behind(void **state)
{
    struct arena arena;
    struct slice copy;

    (void)state;
    arena_init(&arena, 32, 64);
    copy = arena_copy(&arena, SLICE("hello"));
    assert_slice_equal(copy, "hello");
    assert_int_equal(copy.ptr[5], 0);
    copy = arena_printf(&arena, "%d-%s", 7, "x");
    assert_slice_equal(copy, "7-x");
    assert_null(arena_copy(&arena, SLICE_NONE).ptr);
    assert_null(arena_printf(&arena, "%100d", 1).ptr);
    arena_fini(&arena);
}

static void
test_arena__survives_failed_allocation(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 32, 1024);
    mem_fail_from(1, false);
    assert_null(arena_alloc(&arena, 8));
    assert_non_null(arena_alloc(&arena, 8));
    mem_fail_from(1, true);
    assert_null(arena_alloc(&arena, 100));
    mem_fail_from(0, false);
    assert_non_null(arena_alloc(&arena, 100));
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena__gives_up_to_its_limit_and_no_more),
        cmocka_unit_test(test_arena__pieces_are_aligned_apart_and_below_the_limit),
        cmocka_unit_test(test_arena__clear_keeps_the_first_block),
        cmocka_unit_test(test_arena__zalloc_zeroes_and_sees_overflow),
        cmocka_unit_test(test_arena__copies_and_prints_with_a_nul_behind),
        cmocka_unit_test(test_arena__survives_failed_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
