/* Units of cli/words. */
#include "../test.h"

#include "cli/words.h"
#include "event/limits.h"

#define DAY US_PER_DAY
#define HOUR (US_PER_DAY / 24)
#define NOW (20000 * DAY)

static void
test_words__times_are_rfc3339_or_the_first_instant_of_a_date(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        {"1970-01-01", 0},
        {"1970-01-02", DAY},
        {"1970-01-01T00:00:00.000001Z", 1},
        {"1970-01-01T02:00:00+01:00", HOUR},
        {"9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999)},
    };
    static const char *const bad[] = {"",
                                      "1969-12-31",
                                      "1969-12-31T23:59:59Z",
                                      "2026-02-29",
                                      "2026-1-1",
                                      "2026-01-01 00:00:00Z",
                                      "yesterday",
                                      "1767225600000",
                                      "2026-01-01T00:00:00",
                                      "10000-01-01",
                                      "0001-01-01"};
    struct diag diag = DIAG_INIT;
    int64_t us = -1;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_int_equal(words_time("from", good[i].text, &us, NULL), ERR_OK);
        assert_int_equal(us, good[i].us);
    }
    us = -1;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(words_time("received-from", bad[i], &us, &diag), ERR_INVALID);
    assert_int_equal(us, -1);
    assert_string_equal(diag.field, "received-from");
    assert_non_null(strstr(diag.message, "--received-from: must be a time"));
}

static void
test_words__range_wants_from_before_to(void **state)
{
    struct diag diag = DIAG_INIT;
    int64_t from = -1, to = -1;

    (void)state;
    assert_int_equal(words_range("a", "2026-01-02", "b", "2026-01-01", &from, &to, &diag),
                     ERR_INVALID);
    assert_int_equal(words_range("a", "2026-01-02", "b", "2026-01-02", &from, &to, &diag),
                     ERR_INVALID);
    assert_non_null(strstr(diag.message, "--b: must be after --a"));
    assert_int_equal(from, -1);
    assert_int_equal(
        words_range("a", "2026-01-02", "b", "2026-01-02T00:00:00.000001Z", &from, &to, NULL),
        ERR_OK);
    assert_int_equal(to - from, 1);
    assert_int_equal(words_range("a", "x", "b", "2026-01-02", &from, &to, &diag), ERR_INVALID);
    assert_int_equal(words_range("a", "2026-01-02", "b", "x", &from, &to, &diag), ERR_INVALID);
    assert_string_equal(diag.field, "b");
}

static void
test_words__expiry_is_a_span_or_a_time_to_come(void **state)
{
    static const char *const bad[] = {"",
                                      "0d",
                                      "0h",
                                      "36501d",
                                      "876001h",
                                      "-1d",
                                      "1",
                                      "d",
                                      "1 d",
                                      "1w",
                                      "01d",
                                      "1.5d",
                                      "2024-10-04",
                                      "2024-10-03T23:59:59Z",
                                      "99999999999999999999d",
                                      "2026-13-01"};
    struct diag diag = DIAG_INIT;
    int64_t us = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(words_expiry(bad[i], NOW, &us, &diag), ERR_INVALID);
    assert_int_equal(us, 0);
    assert_string_equal(diag.field, "expires");
    assert_int_equal(words_expiry("1h", NOW, &us, NULL), ERR_OK);
    assert_int_equal(us, NOW + HOUR);
    assert_int_equal(words_expiry("1d", NOW, &us, NULL), ERR_OK);
    assert_int_equal(us, NOW + DAY);
    assert_int_equal(words_expiry("36499d", NOW, &us, NULL), ERR_OK);
    assert_int_equal(words_expiry("36500d", NOW, &us, NULL), ERR_OK);
    assert_int_equal(us, NOW + 36500 * DAY);
    assert_int_equal(words_expiry("876000h", NOW, &us, NULL), ERR_OK);
    assert_int_equal(us, NOW + 36500 * DAY);
    /* NOW is the first instant of 2024-10-04 */
    assert_int_equal(words_expiry("2024-10-05", NOW, &us, NULL), ERR_OK);
    assert_int_equal(us, NOW + DAY);
    assert_int_equal(words_expiry("2024-10-04T00:00:00.000001Z", NOW, &us, NULL), ERR_OK);
    assert_int_equal(us, NOW + 1);
    assert_int_equal(words_expiry("2024-10-04", NOW, &us, &diag), ERR_INVALID);
    assert_non_null(strstr(diag.message, "is past already"));
}

static void
test_words__roles(void **state)
{
    static const char *const bad[] = {"",
                                      "default",
                                      "=owner",
                                      "default=",
                                      "default=none",
                                      "default=Owner",
                                      "default=owner ",
                                      "default:owner"};
    enum login_role role = LOGIN_ROLE_NONE;
    struct slice project = SLICE_NONE;
    struct diag diag = DIAG_INIT;

    (void)state;
    assert_int_equal(words_role(SLICE("owner"), &role, NULL), ERR_OK);
    assert_int_equal(role, LOGIN_ROLE_OWNER);
    assert_int_equal(words_role(SLICE("none"), &role, NULL), ERR_OK);
    assert_int_equal(role, LOGIN_ROLE_NONE);
    assert_int_equal(words_role(SLICE("boss"), &role, &diag), ERR_INVALID);
    assert_int_equal(words_role(SLICE(""), &role, &diag), ERR_INVALID);
    assert_string_equal(diag.field, "role");
    assert_int_equal(words_project_role("a=b=ingest", &project, &role, NULL), ERR_OK);
    assert_true(slice_equal(project, SLICE("a=b")));
    assert_int_equal(role, LOGIN_ROLE_INGEST);
    assert_int_equal(words_project_role("2=analyst", &project, &role, NULL), ERR_OK);
    assert_true(slice_equal(project, SLICE("2")));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(words_project_role(bad[i], &project, &role, &diag), ERR_INVALID);
    assert_true(slice_equal(project, SLICE("2")));
}

static void
test_words__on_off_and_week_start(void **state)
{
    enum account_week_start start = ACCOUNT_WEEK_MONDAY;
    struct diag diag = DIAG_INIT;
    bool is_on = false;

    (void)state;
    assert_int_equal(words_on_off("on", &is_on, NULL), ERR_OK);
    assert_true(is_on);
    assert_int_equal(words_on_off("off", &is_on, NULL), ERR_OK);
    assert_false(is_on);
    assert_int_equal(words_on_off("yes", &is_on, &diag), ERR_INVALID);
    assert_int_equal(words_week_start("sunday", &start, NULL), ERR_OK);
    assert_int_equal(start, ACCOUNT_WEEK_SUNDAY);
    assert_string_equal(words_week_start_name(start), "sunday");
    assert_int_equal(words_week_start("monday", &start, NULL), ERR_OK);
    assert_string_equal(words_week_start_name(start), "monday");
    assert_int_equal(words_week_start("Monday", &start, &diag), ERR_INVALID);
    assert_string_equal(diag.field, "week_start");
}

static void
test_words__ids_have_a_range(void **state)
{
    static const char *const bad[] = {
        "", "0", "01", "-1", "+1", "1 ", "a1", "4294967296", "18446744073709551616"};
    uint64_t id = 7;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(words_is_id(slice_of_text(bad[i]), UINT32_MAX, &id));
    assert_int_equal(id, 7);
    assert_true(words_is_id(SLICE("1"), UINT32_MAX, &id));
    assert_int_equal(id, 1);
    assert_true(words_is_id(SLICE("4294967294"), UINT32_MAX, &id));
    assert_true(words_is_id(SLICE("4294967295"), UINT32_MAX, &id));
    assert_int_equal(id, UINT32_MAX);
}

static void
test_words__project_by_id_or_else_by_name(void **state)
{
    struct account_project projects[] = {
        {.id = 1, .name = "default"}, {.id = 2, .name = "1"}, {.id = 7, .name = "9"}};
    const struct account_list list = {.projects = projects, .project_count = COUNT_OF(projects)};

    (void)state;
    assert_ptr_equal(words_find_project(&list, SLICE("default")), &projects[0]);
    assert_ptr_equal(words_find_project(&list, SLICE("1")), &projects[0]);
    assert_ptr_equal(words_find_project(&list, SLICE("2")), &projects[1]);
    assert_ptr_equal(words_find_project(&list, SLICE("9")), &projects[2]);
    assert_null(words_find_project(&list, SLICE("3")));
    assert_null(words_find_project(&list, SLICE("Default")));
    assert_null(words_find_project(&list, SLICE("")));
}

static void
test_words__person_has_1_to_200_bytes_of_utf8(void **state)
{
    struct diag diag = DIAG_INIT;
    char text[LIMIT_USER_ID_BYTES + 2];

    (void)state;
    assert_int_equal(words_person("", &diag), ERR_INVALID);
    assert_int_equal(words_person("u", NULL), ERR_OK);
    memset(text, 'u', sizeof(text));
    text[LIMIT_USER_ID_BYTES + 1] = '\0';
    assert_int_equal(words_person(text, &diag), ERR_INVALID);
    text[LIMIT_USER_ID_BYTES] = '\0';
    assert_int_equal(words_person(text, NULL), ERR_OK);
    text[LIMIT_USER_ID_BYTES - 1] = '\0';
    assert_int_equal(words_person(text, NULL), ERR_OK);
    assert_int_equal(words_person("a\xFF", &diag), ERR_INVALID);
    assert_string_equal(diag.field, "user");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words__times_are_rfc3339_or_the_first_instant_of_a_date),
        cmocka_unit_test(test_words__range_wants_from_before_to),
        cmocka_unit_test(test_words__expiry_is_a_span_or_a_time_to_come),
        cmocka_unit_test(test_words__roles),
        cmocka_unit_test(test_words__on_off_and_week_start),
        cmocka_unit_test(test_words__ids_have_a_range),
        cmocka_unit_test(test_words__project_by_id_or_else_by_name),
        cmocka_unit_test(test_words__person_has_1_to_200_bytes_of_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
