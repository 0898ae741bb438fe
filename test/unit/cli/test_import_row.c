/* Units of cli/import_row and import_ids: which cell becomes what, and which id a row gets. */
#include "../test.h"

#include "cli/import_row.h"

#define CELLS_MAX 16

/* "a|b|c": cells of a row, for reading. */
static uint32_t
split(const char *text, struct slice cells[CELLS_MAX])
{
    uint32_t count = 0;

    for (;;) {
        size_t len = strcspn(text, "|");

        assert_true(count < CELLS_MAX);
        cells[count++] = slice_of(text, len);
        if (text[len] == '\0')
            return count;
        text += len + 1;
    }
}

static enum err
columns_of(const char *header, const char *text_column, struct import_columns **ret_columns,
           struct diag *diag)
{
    struct slice cells[CELLS_MAX];
    struct flag_texts texts = {.count = 0};

    if (text_column != NULL)
        texts.texts[texts.count++] = text_column;
    return import_columns_new(cells, split(header, cells), &texts, ret_columns, diag);
}

/* One row under a header, in a file of its own. The result is good until the next call. */
static enum err
map_row(const char *header, const char *row, const char *text_column, const char **ret_line,
        struct diag *diag)
{
    static char line[8192];
    struct slice cells[CELLS_MAX];
    struct import_columns *columns = NULL;
    struct import_ids *ids = NULL;
    struct buf buf;
    uint32_t count;
    enum err err;

    assert_int_equal(columns_of(header, text_column, &columns, diag), ERR_OK);
    assert_int_equal(import_ids_new(&ids), ERR_OK);
    buf_init(&buf, sizeof(line) - 1);
    count = split(row, cells);
    err = import_row_csv(columns, cells, count, ids, &buf, diag);
    memcpy(line, buf_slice(&buf).ptr, buf.len);
    line[buf.len] = '\0';
    *ret_line = line;
    buf_fini(&buf);
    import_ids_free(&ids);
    import_columns_free(&columns);
    return err;
}

static const char *
mapped(const char *header, const char *row)
{
    const char *line = NULL;

    assert_int_equal(map_row(header, row, NULL, &line, NULL), ERR_OK);
    return line;
}

static void
test_import_row__fields_are_text_as_they_stand(void **state)
{
    (void)state;
    assert_string_equal(
        mapped("event_id|event_type|user_id|anonymous_id|session_id|occurred_at",
               "17|true|123|1.5|null|2026-01-31T12:00:00Z"),
        "{\"event_id\":\"17\",\"event_type\":\"true\",\"user_id\":\"123\",\"anonymous_id\":\"1.5\","
        "\"session_id\":\"null\",\"occurred_at\":\"2026-01-31T12:00:00Z\"}\n");
}

static void
test_import_row__digits_alone_are_milliseconds(void **state)
{
    static const char *const rows[][2] = {
        {"1769860800000", "1769860800000"},
        {"007", "7"},
        {"0", "0"},
        {"-5", "\"-5\""},
        {"1e3", "\"1e3\""},
        {"1.0", "\"1.0\""},
        {"2026-01-31", "\"2026-01-31\""},
        {" 1", "\" 1\""},
    };
    char row[64], expected[128];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)snprintf(row, sizeof(row), "e|t|u|%s", rows[i][0]);
        (void)snprintf(expected, sizeof(expected),
                       "{\"event_id\":\"e\",\"event_type\":\"t\",\"user_id\":\"u\","
                       "\"occurred_at\":%s}\n",
                       rows[i][1]);
        assert_string_equal(mapped("event_id|event_type|user_id|occurred_at", row), expected);
    }
}

static void
test_import_row__other_cells_get_the_type_they_look_like(void **state)
{
    static const char *const rows[][2] = {
        {"11.77", "11.77"},
        {"-0.5e3", "-0.5e3"},
        {"0", "0"},
        {"007", "\"007\""},
        {"+1", "\"+1\""},
        {".5", "\".5\""},
        {"1.", "\"1.\""},
        {"1e", "\"1e\""},
        {" 1", "\" 1\""},
        {"1 ", "\"1 \""},
        {"0x10", "\"0x10\""},
        {"-", "\"-\""},
        {"NaN", "\"NaN\""},
        {"1e999", "\"1e999\""},
        {"12345678901234", "12345678901234"},           /* 14 digits */
        {"123456789012345", "123456789012345"},         /* 15 */
        {"1234567890123456", "\"1234567890123456\""},   /* 16 */
        {"1.2345678901234", "1.2345678901234"},         /* 14 */
        {"-1.23456789012345", "-1.23456789012345"},     /* 15 */
        {"1.234567890123456", "\"1.234567890123456\""}, /* 16 */
        {"true", "true"},
        {"false", "false"},
        {"True", "\"True\""},
        {"null", "\"null\""},
        {"[1]", "\"[1]\""},
        {"a\"b\\c\nd", "\"a\\\"b\\\\c\\u000ad\""},
        {"\xD0\xBF\xFF",
         "\"\xD0\xBF\xFF\""}, /* not UTF-8: sent as it is, for the server to refuse */
    };
    char row[64], expected[160];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)snprintf(row, sizeof(row), "e|t|u|%s", rows[i][0]);
        (void)snprintf(expected, sizeof(expected),
                       "{\"event_id\":\"e\",\"event_type\":\"t\",\"user_id\":\"u\","
                       "\"properties\":{\"x\":%s}}\n",
                       rows[i][1]);
        assert_string_equal(mapped("event_id|event_type|user_id|x", row), expected);
    }
}

static void
test_import_row__text_columns_stay_text(void **state)
{
    const char *line = NULL;

    (void)state;
    assert_int_equal(
        map_row("event_id|event_type|user_id|zip|n", "e|t|u|10115|5", "zip", &line, NULL), ERR_OK);
    assert_string_equal(line, "{\"event_id\":\"e\",\"event_type\":\"t\",\"user_id\":\"u\","
                              "\"properties\":{\"zip\":\"10115\",\"n\":5}}\n");
}

static void
test_import_row__empty_cells_are_absent(void **state)
{
    (void)state;
    assert_string_equal(mapped("event_id|event_type|user_id|session_id|x|y", "e|t|u|||"),
                        "{\"event_id\":\"e\",\"event_type\":\"t\",\"user_id\":\"u\"}\n");
    assert_string_equal(mapped("event_id|event_type|user_id|x|y", "e|t|u||2"),
                        "{\"event_id\":\"e\",\"event_type\":\"t\",\"user_id\":\"u\","
                        "\"properties\":{\"y\":2}}\n");
}

static void
test_import_row__properties_column_is_merged(void **state)
{
    static const char header[] = "event_id|event_type|user_id|a|properties|b";
    static const char *const rows[][2] = {
        {"e|t|u|1|{\"x\":[1,{}]}|2", "{\"a\":1,\"x\":[1,{}],\"b\":2}"},
        {"e|t|u|| {\"x\" : \"}\"} |2", "{\"x\" : \"}\",\"b\":2}"},
        {"e|t|u|1|{ }|2", "{\"a\":1,\"b\":2}"},
        {"e|t|u||{}|", "{}"},
        {"e|t|u||{\n\"x\":\r\n1}|", "{ \"x\":  1}"},
        {"e|t|u||{}|2", "{\"b\":2}"},
    };
    char expected[256];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)snprintf(expected, sizeof(expected),
                       "{\"event_id\":\"e\",\"event_type\":\"t\",\"user_id\":\"u\","
                       "\"properties\":%s}\n",
                       rows[i][1]);
        assert_string_equal(mapped(header, rows[i][0]), expected);
    }
}

/* A cell must not be able to close the object and speak for the event. */
static void
test_import_row__properties_that_are_no_object_are_refused(void **state)
{
    static const struct {
        const char *cell;
        enum err err;
    } rows[] = {
        {"[1]", ERR_INVALID_TYPE},
        {"5", ERR_INVALID_TYPE},
        {"x", ERR_INVALID_TYPE},
        {" ", ERR_INVALID_TYPE},
        {"{},\"user_id\":\"x\"", ERR_INVALID_JSON},
        {"{}}", ERR_INVALID_JSON},
        {"{\"a\":1", ERR_INVALID_JSON},
        {"{\"a\":1,}", ERR_INVALID_JSON},
        {"{\"a\":01}", ERR_INVALID_JSON},
    };
    struct diag diag = DIAG_INIT;
    const char *line = NULL;
    char row[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        (void)snprintf(row, sizeof(row), "e|t|u|%s", rows[i].cell);
        assert_int_equal(map_row("event_id|event_type|user_id|properties", row, NULL, &line, &diag),
                         rows[i].err);
        assert_string_equal(line, "");
        assert_string_equal(diag.field, "properties");
    }
}

static void
test_import_row__other_number_of_cells_is_refused(void **state)
{
    struct diag diag = DIAG_INIT;
    const char *line = NULL;

    (void)state;
    assert_int_equal(map_row("event_type|user_id", "t", NULL, &line, &diag), ERR_INVALID_TYPE);
    assert_string_equal(diag.message, "the row has 1 cells, the header 2");
    assert_int_equal(map_row("event_type|user_id", "t|u|x", NULL, &line, &diag), ERR_INVALID_TYPE);
}

static void
test_import_row__headers_are_checked(void **state)
{
    static const char *const bad[][2] = {
        {"event_type|user_id|", "without a name"},
        {"event_type|user_id|x|y|x", "column x twice"},
        {"user_id|x", "no column event_type"},
        {"event_type|x", "neither a column user_id nor anonymous_id"},
    };
    struct import_columns *columns = NULL;
    struct diag diag = DIAG_INIT;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(columns_of(bad[i][0], NULL, &columns, &diag), ERR_INVALID);
        assert_non_null(strstr(diag.message, bad[i][1]));
        assert_null(columns);
    }
    assert_int_equal(columns_of("event_type|user_id", "zip", &columns, &diag), ERR_INVALID);
    assert_non_null(strstr(diag.message, "--text zip"));
    assert_int_equal(columns_of("event_type|anonymous_id", NULL, &columns, &diag), ERR_OK);
    import_columns_free(&columns);
}

/* The id within a line, NUL-terminated; good for the next few calls. */
static const char *
id_of(const char *line)
{
    static char ids[16][IMPORT_ID_BYTES + 1];
    static unsigned next;
    char *id = ids[next++ % 16];

    assert_memory_equal(line, "{\"event_id\":\"imp-", 17);
    memcpy(id, line + 13, IMPORT_ID_BYTES);
    id[IMPORT_ID_BYTES] = '\0';
    assert_int_equal(strspn(id + 4, "0123456789abcdef"), 32);
    assert_int_equal(line[13 + IMPORT_ID_BYTES], '"');
    return id;
}

static void
test_import_row__id_is_of_the_content_alone(void **state)
{
    const char *id = id_of(mapped("event_type|user_id|x", "t|u|1"));

    (void)state;
    assert_string_equal(id_of(mapped("event_type|user_id|x", "t|u|1")), id);
    /* the order of columns, an empty column and an empty id change nothing */
    assert_string_equal(id_of(mapped("x|user_id|event_type", "1|u|t")), id);
    assert_string_equal(id_of(mapped("event_type|user_id|x|y", "t|u|1|")), id);
    assert_string_equal(id_of(mapped("event_id|event_type|user_id|x", "|t|u|1")), id);
    /* content does, and where one cell ends and the next begins */
    assert_string_not_equal(id_of(mapped("event_type|user_id|x", "t|u|2")), id);
    assert_string_not_equal(id_of(mapped("event_type|user_id|y", "t|u|1")), id);
    assert_string_not_equal(id_of(mapped("event_type|user_id|x", "t|u1|")),
                            id_of(mapped("event_type|user_id|x", "t|u|1")));
    /* Worked out by another implementation (Python's hashlib). A change of it would make old files
     * be stored again. */
    assert_string_equal(id, "imp-9606d71f00ab16a75f594f40dfe47e5b");
}

static void
test_import_row__equal_rows_of_a_file_differ_by_ordinal(void **state)
{
    struct import_ids *first = NULL, *second = NULL;
    char ids[3][IMPORT_ID_BYTES], again[IMPORT_ID_BYTES];

    (void)state;
    assert_int_equal(import_ids_new(&first), ERR_OK);
    assert_int_equal(import_ids_new(&second), ERR_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(import_ids_next(first, SLICE("row"), ids[i]), ERR_OK);
    assert_memory_not_equal(ids[0], ids[1], IMPORT_ID_BYTES);
    assert_memory_not_equal(ids[1], ids[2], IMPORT_ID_BYTES);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(import_ids_next(second, SLICE("other"), again), ERR_OK);
        assert_int_equal(import_ids_next(second, SLICE("row"), again), ERR_OK);
        assert_memory_equal(ids[i], again, IMPORT_ID_BYTES);
    }
    import_ids_free(&first);
    import_ids_free(&second);
}

static void
test_import_row__ids_stay_right_while_the_table_grows(void **state)
{
    enum { ROWS = 5000 };
    struct import_ids *ids = NULL, *fresh = NULL;
    char id[IMPORT_ID_BYTES], expected[IMPORT_ID_BYTES];
    char row[16];

    (void)state;
    assert_int_equal(import_ids_new(&ids), ERR_OK);
    for (int i = 0; i < ROWS; i++) {
        (void)snprintf(row, sizeof(row), "%d", i);
        assert_int_equal(import_ids_next(ids, slice_of_text(row), id), ERR_OK);
    }
    for (int i = 0; i < ROWS; i += 97) { /* each is now at ordinal 1 */
        (void)snprintf(row, sizeof(row), "%d", i);
        assert_int_equal(import_ids_next(ids, slice_of_text(row), id), ERR_OK);
        assert_int_equal(import_ids_new(&fresh), ERR_OK);
        assert_int_equal(import_ids_next(fresh, slice_of_text(row), expected), ERR_OK);
        assert_int_equal(import_ids_next(fresh, slice_of_text(row), expected), ERR_OK);
        assert_memory_equal(id, expected, IMPORT_ID_BYTES);
        import_ids_free(&fresh);
    }
    import_ids_free(&ids);
}

static const char *
ndjson(const char *text)
{
    static char line[4096];
    struct import_ids *ids = NULL;
    struct buf buf;

    assert_int_equal(import_ids_new(&ids), ERR_OK);
    buf_init(&buf, sizeof(line) - 1);
    assert_int_equal(import_row_ndjson(slice_of_text(text), ids, &buf), ERR_OK);
    memcpy(line, buf.ptr, buf.len);
    line[buf.len] = '\0';
    buf_fini(&buf);
    import_ids_free(&ids);
    return line;
}

static void
test_import_row__lines_with_an_id_or_broken_go_as_they_are(void **state)
{
    static const char *const lines[] = {
        "{\"event_id\":\"x\",\"a\":1}",
        "{ \"a\" : {\"event_id\":1}, \"event_id\" : 5 }",
        "{\"event\\u005fid\":\"x\"}",
        "{\"a\":1",
        "[1]",
        "x",
        "{\"a\":1}{\"b\":2}",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "{,}",
        "{\"\xFF\":1",
    };
    char expected[128];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        (void)snprintf(expected, sizeof(expected), "%s\n", lines[i]);
        assert_string_equal(ndjson(lines[i]), expected);
    }
}

static void
test_import_row__lines_without_an_id_get_one(void **state)
{
    const char *line = ndjson("{\"a\":1}");

    (void)state;
    (void)id_of(line);
    assert_string_equal(line + 13 + IMPORT_ID_BYTES, "\",\"a\":1}\n");
    line = ndjson("{ }");
    (void)id_of(line);
    assert_string_equal(line + 13 + IMPORT_ID_BYTES, "\" }\n");
    line = ndjson("{\"a\":1, \"event_id\" : null ,\"b\":2}");
    assert_memory_equal(line, "{\"a\":1, \"event_id\" : \"imp-", 26);
    assert_string_equal(line + 22 + IMPORT_ID_BYTES, "\" ,\"b\":2}\n");
    /* An event within: its id is not the event's. */
    (void)id_of(ndjson("{\"properties\":{\"event_id\":\"x\"}}"));
}

static void
test_import_row__refused_rows_can_be_read_again(void **state)
{
    const struct slice cells[] = {SLICE("a"),    SLICE("b;c"), SLICE("d\"e"),
                                  SLICE("f\ng"), SLICE(""),    SLICE("h,i")};
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    import_row_add_csv(&buf, cells, COUNT_OF(cells), ';');
    assert_slice_equal(buf_slice(&buf), "a;\"b;c\";\"d\"\"e\";\"f\ng\";;h,i\n");
    buf_fini(&buf);
}

static void
test_import_row__out_of_memory_is_told(void **state)
{
    static const char *const header = "event_type|user_id|x|properties";
    struct slice cells[CELLS_MAX];
    struct import_columns *columns = NULL;
    uint32_t count = split(header, cells);
    const struct flag_texts none = {.count = 0};
    enum err err;

    (void)state;
    for (uint64_t k = 1;; k++) {
        mem_fail_from(k, false);
        err = import_columns_new(cells, count, &none, &columns, NULL);
        mem_fail_from(0, false);
        if (err == ERR_OK)
            break;
        assert_int_equal(err, ERR_NOMEM);
        assert_null(columns);
    }
    import_columns_free(&columns);
}

static void
test_import_row__a_header_that_almost_fits_is_told_how(void **state)
{
    static const char *const rows[][2] = {
        {"event_time|visitor", "the header has no column event_type"},
        {"event_type;user_id;amount",
         "the header has no column event_type; if another byte divides "
         "its names, give --delimiter ';'"},
        {"event_type\tuser_id", "the header has no column event_type; if another byte divides its "
                                "names, give --delimiter '\\t'"},
        {"event_type,user_id", "the header has no column event_type; if another byte divides its "
                               "names, give --delimiter ','"},
        {"Event_Type|user_id",
         "the header has no column event_type, only \"Event_Type\": it must be "
         "spelled event_type, in small letters without blanks"},
        {"event_type| user_id",
         "the header has neither a column user_id nor anonymous_id, only "
         "\" user_id\": it must be spelled user_id, in small letters without "
         "blanks"},
        {"event_type|ANONYMOUS_ID|;", "the header has neither a column user_id nor anonymous_id, "
                                      "only \"ANONYMOUS_ID\": it must be spelled anonymous_id, in "
                                      "small letters without blanks"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct import_columns *columns = NULL;
        struct diag diag = DIAG_INIT;

        assert_int_equal(columns_of(rows[i][0], NULL, &columns, &diag), ERR_INVALID);
        assert_string_equal(diag.message, rows[i][1]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_import_row__fields_are_text_as_they_stand),
        cmocka_unit_test(test_import_row__digits_alone_are_milliseconds),
        cmocka_unit_test(test_import_row__other_cells_get_the_type_they_look_like),
        cmocka_unit_test(test_import_row__text_columns_stay_text),
        cmocka_unit_test(test_import_row__empty_cells_are_absent),
        cmocka_unit_test(test_import_row__properties_column_is_merged),
        cmocka_unit_test(test_import_row__properties_that_are_no_object_are_refused),
        cmocka_unit_test(test_import_row__other_number_of_cells_is_refused),
        cmocka_unit_test(test_import_row__headers_are_checked),
        cmocka_unit_test(test_import_row__id_is_of_the_content_alone),
        cmocka_unit_test(test_import_row__equal_rows_of_a_file_differ_by_ordinal),
        cmocka_unit_test(test_import_row__ids_stay_right_while_the_table_grows),
        cmocka_unit_test(test_import_row__lines_with_an_id_or_broken_go_as_they_are),
        cmocka_unit_test(test_import_row__lines_without_an_id_get_one),
        cmocka_unit_test(test_import_row__refused_rows_can_be_read_again),
        cmocka_unit_test(test_import_row__out_of_memory_is_told),
        cmocka_unit_test(test_import_row__a_header_that_almost_fits_is_told_how),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
