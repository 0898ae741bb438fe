/* Units of cli/delete_ids and cli/import_line: the ids of a file are those its import makes. */
#include "../test.h"

#include "cli/delete_ids.h"
#include "cli/import_line.h"
#include "event/limits.h"

#define TAKEN_MAX 64

/* Copies of the ids given, with a NUL each; the pieces' ends. */
struct taken {
    char ids[TAKEN_MAX][LIMIT_EVENT_ID_BYTES + 1];
    size_t count;
    size_t pieces;
    enum err err; /* to give back */
};

static enum err
take(void *state, const struct slice *ids, uint32_t count, struct diag *diag)
{
    struct taken *taken = (struct taken *)state;

    for (uint32_t i = 0; i < count; i++) {
        assert_true(taken->count < TAKEN_MAX);
        assert_true(i == 0 || slice_compare(ids[i - 1], ids[i]) < 0);
        memcpy(taken->ids[taken->count], ids[i].ptr, ids[i].len);
        taken->ids[taken->count++][ids[i].len] = '\0';
    }
    taken->pieces++;
    if (taken->err != ERR_OK)
        diag_set(diag, "no room");
    return taken->err;
}

static const char *
write_input(void **state, const char *name, const char *text)
{
    const char *path = test_path(state, name);

    assert_int_equal(file_replace_whole(path, slice_of_text(text), NULL), ERR_OK);
    return path;
}

static enum err
read_ids(const char *path, uint32_t max, struct taken *taken, struct delete_ids_counts *counts,
         struct diag *diag)
{
    struct import_file file = {.format_asked = IMPORT_BY_LOOK};

    *taken = (struct taken){.err = taken->err};
    return delete_ids_read(&file, path, max, take, taken, counts, diag);
}

static bool
has_id(const struct taken *taken, const char *id, size_t len)
{
    for (size_t i = 0; i < taken->count; i++) {
        if (strlen(taken->ids[i]) == len && memcmp(taken->ids[i], id, len) == 0)
            return true;
    }
    return false;
}

static void
test_delete_ids__of_csv_are_those_of_the_rows(void **state)
{
    const char *path = write_input(state, "a.csv",
                                   "event_id,event_type,user_id\n"
                                   "own,a,u\n"
                                   ",a,u\n"
                                   ",a,u\n"
                                   "own,a,v\n"
                                   "short,a\n");
    const struct slice names[] = {SLICE("event_id"), SLICE("event_type"), SLICE("user_id")};
    const struct slice cells[] = {SLICE(""), SLICE("a"), SLICE("u")};
    static const struct flag_texts none;
    struct taken taken = {.err = ERR_OK};
    struct delete_ids_counts counts = {0, 0};
    struct import_columns *columns = NULL;
    struct import_ids *ids = NULL;
    struct buf line;

    assert_int_equal(read_ids(path, 10, &taken, &counts, NULL), ERR_OK);
    assert_int_equal(counts.ids, 4);
    assert_int_equal(counts.without, 1);
    assert_int_equal(taken.count, 3);
    assert_true(has_id(&taken, "own", 3));
    /* What the import makes of the two rows without an id. */
    buf_init(&line, 4096);
    assert_int_equal(import_ids_new(&ids), ERR_OK);
    assert_int_equal(import_columns_new(names, 3, &none, &columns, NULL), ERR_OK);
    for (int i = 0; i < 2; i++) {
        buf_clear(&line);
        assert_int_equal(import_row_csv(columns, cells, 3, ids, &line, NULL), ERR_OK);
        assert_true(has_id(&taken, line.ptr + strlen("{\"event_id\":\""), IMPORT_ID_BYTES));
    }
    import_columns_free(&columns);
    import_ids_free(&ids);
    buf_fini(&line);
}

static void
test_delete_ids__of_lines_are_decoded(void **state)
{
    const char *path =
        write_input(state, "a.ndjson",
                    "{\"event_id\":\"a\\u0041\",\"n\":123456789012345678901234567890}\n"
                    "{\"event_type\":\"a\"}\n"
                    "{\"event_type\":\"a\",\"event_id\":null}\n"
                    "\n"
                    "{\"event_id\":5}\n"
                    "{\"event_id\":\"\"}\n"
                    "{\"event_id\":\"x\\u0000\"}\n"
                    "not json\n"
                    "{\"properties\":{\"event_id\":\"inner\"},\"event_id\":\"outer\"}");
    struct taken taken = {.err = ERR_OK};
    struct delete_ids_counts counts = {0, 0};

    assert_int_equal(read_ids(path, 10, &taken, &counts, NULL), ERR_OK);
    assert_int_equal(counts.ids, 4);
    assert_int_equal(counts.without, 4);
    assert_int_equal(taken.count, 4);
    assert_true(has_id(&taken, "aA", 2));
    assert_true(has_id(&taken, "outer", 5));
}

static void
test_delete_ids__come_in_pieces_of_at_most_the_maximum(void **state)
{
    const char *path = write_input(state, "b.csv",
                                   "event_id,event_type,user_id\n"
                                   "5,a,u\n4,a,u\n3,a,u\n3,a,u\n1,a,u\n");
    static const size_t pieces[] = {0, 5, 3, 2, 2, 1, 1};
    struct delete_ids_counts counts = {0, 0};
    struct taken taken = {.err = ERR_OK};

    for (uint32_t max = 1; max < COUNT_OF(pieces); max++) {
        assert_int_equal(read_ids(path, max, &taken, &counts, NULL), ERR_OK);
        assert_int_equal(taken.pieces, pieces[max]);
        assert_int_equal(counts.ids, 5);
    }
    assert_int_equal(taken.count, 4);
}

static void
test_delete_ids__can_be_counted_alone(void **state)
{
    struct import_file file = {.format_asked = IMPORT_BY_LOOK};
    const char *path = write_input(state, "c.csv", "event_type,user_id\na,u\na,u\n");
    struct delete_ids_counts counts = {0, 0};

    assert_int_equal(delete_ids_read(&file, path, 1, NULL, NULL, &counts, NULL), ERR_OK);
    assert_int_equal(counts.ids, 2);
    /* The same reader serves for the second reading. */
    assert_int_equal(delete_ids_read(&file, path, 1, NULL, NULL, &counts, NULL), ERR_OK);
    assert_int_equal(counts.ids, 2);
}

static void
test_delete_ids__faults_name_the_file_once(void **state)
{
    const char *path = write_input(state, "d.csv", "event_type,user_id\na,\"u\n");
    struct delete_ids_counts counts = {7, 7};
    struct taken taken = {.err = ERR_OK};
    struct diag diag = DIAG_INIT;

    assert_int_equal(read_ids(path, 10, &taken, &counts, &diag), ERR_INVALID);
    assert_non_null(strstr(diag.message, "d.csv: row 2 (line 2)"));
    assert_int_equal(read_ids(test_path(state, "none.csv"), 10, &taken, &counts, &diag),
                     ERR_ABSENT);
    assert_non_null(strstr(diag.message, "none.csv"));
    assert_null(strstr(strstr(diag.message, "none.csv") + 1, "none.csv"));
    path = write_input(state, "e.csv", "event_type,user_id\na,u\n");
    taken.err = ERR_OVERLOADED;
    assert_int_equal(read_ids(path, 10, &taken, &counts, &diag), ERR_OVERLOADED);
    assert_string_equal(diag.message, "no room");
    assert_int_equal(counts.ids, 7);
}

static void
test_import_line__reads_an_id_of_1_to_128_bytes(void **state)
{
    char text[256];
    struct arena arena;
    struct slice id;

    (void)state;
    arena_init(&arena, 1024, 1 << 20);
    for (int len = LIMIT_EVENT_ID_BYTES - 1; len <= LIMIT_EVENT_ID_BYTES + 1; len++) {
        (void)snprintf(text, sizeof(text), "{\"event_id\":\"%0*d\"}", len, 0);
        assert_int_equal(import_line_read_id(slice_of_text(text), &arena, &id), ERR_OK);
        assert_int_equal(id.len, len <= LIMIT_EVENT_ID_BYTES ? len : 0);
    }
    assert_int_equal(import_line_read_id(SLICE("{\"event_id\":\"\xFF\"}"), &arena, &id), ERR_OK);
    assert_null(id.ptr);
    assert_int_equal(import_line_read_id(SLICE("{}"), &arena, &id), ERR_OK);
    assert_null(id.ptr);
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(test_delete_ids__of_csv_are_those_of_the_rows),
        test_in_dir(test_delete_ids__of_lines_are_decoded),
        test_in_dir(test_delete_ids__come_in_pieces_of_at_most_the_maximum),
        test_in_dir(test_delete_ids__can_be_counted_alone),
        test_in_dir(test_delete_ids__faults_name_the_file_once),
        cmocka_unit_test(test_import_line__reads_an_id_of_1_to_128_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
