/* Units of cli/table: what is drawn, to the character. */
#include "../test.h"

#include "cli/table.h"

static void
test_table__aligns_and_leaves_no_spaces_behind(void **state)
{
    struct arena arena;
    struct table *table;
    struct buf buf;

    (void)state;
    arena_init(&arena, 1024, 1 << 20);
    buf_init(&buf, 1 << 20);
    table = table_new(&arena, 3);
    table_column(table, 0, SLICE("name"), false);
    table_column(table, 1, SLICE("users"), true);
    table_column(table, 2, SLICE(""), false);
    table_row(table);
    table_cell(table, 0,
               SLICE("\xD0\x9A\xD0\xB8\xD1\x97\xD0\xB2")); /* Київ: 4 characters, 8 bytes */
    table_cell(table, 1, SLICE("7"));
    table_cell(table, 2, SLICE("##"));
    table_row(table);
    table_cell(table, 0, SLICE("a longer one"));
    table_rule(table);
    table_row(table);
    table_cell_printf(table, 1, "%d", 12345678);
    assert_true(table_draw(table, &buf));
    assert_slice_equal(buf_slice(&buf), "name             users\n"
                                        "------------  --------  --\n"
                                        "\xD0\x9A\xD0\xB8\xD1\x97\xD0\xB2                 7  ##\n"
                                        "a longer one\n"
                                        "------------  --------  --\n"
                                        "              12345678\n");
    buf_fini(&buf);
    arena_fini(&arena);
}

static void
test_table__stored_text_cannot_speak_to_the_terminal(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    table_clean(&buf, slice_of("\x1B[31m\n\0\x7F\xC2\x9B\xFF\xC3\xA9", 13));
    assert_slice_equal(buf_slice(&buf),
                       "\\u001b[31m\\u000a\\u0000\\u007f\\u009b\xEF\xBF\xBD\xC3\xA9");
    buf_fini(&buf);
}

static void
test_table__numbers_get_thousands(void **state)
{
    static const struct {
        uint64_t value;
        const char *text;
    } rows[] = {
        {0, "0"},
        {999, "999"},
        {1000, "1,000"},
        {1234567, "1,234,567"},
        {UINT64_MAX, "18,446,744,073,709,551,615"},
    };
    char text[TABLE_NUMBER_TEXT];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_string_equal(table_number(rows[i].value, text), rows[i].text);
}

static void
test_table__out_of_memory_draws_nothing(void **state)
{
    struct arena arena;
    struct table *table;
    struct buf buf;

    (void)state;
    arena_init(&arena, 64, 400);
    buf_init(&buf, 1000);
    table = table_new(&arena, 2);
    assert_non_null(table);
    for (int i = 0; i < 20; i++) {
        table_row(table);
        table_cell(table, 0, SLICE("text"));
    }
    assert_false(table_draw(table, &buf));
    assert_int_equal(buf.len, 0);
    buf_fini(&buf);
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table__aligns_and_leaves_no_spaces_behind),
        cmocka_unit_test(test_table__stored_text_cannot_speak_to_the_terminal),
        cmocka_unit_test(test_table__numbers_get_thousands),
        cmocka_unit_test(test_table__out_of_memory_draws_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
