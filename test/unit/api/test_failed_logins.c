/*
 * failed_logins: lines of the audit log at n−1, n, n+1 of a minute, and the count of the rest.
 */
#include "../test.h"

#include "account/audit.h"
#include "api/failed_logins.h"

#define NOW_US INT64_C(1770000000000000)
#define MINUTE_US INT64_C(60000000)

struct seen {
    uint32_t lines;
    char newest_detail[AUDIT_DETAIL_BYTES + 1];
    char newest_target[AUDIT_TARGET_BYTES + 1];
};

static void
see(void *state, const struct audit_line *line)
{
    struct seen *seen = state;

    if (strcmp(line->action, "login.failed") != 0)
        return;
    if (seen->lines++ == 0) {
        memcpy(seen->newest_detail, line->detail, sizeof(line->detail));
        memcpy(seen->newest_target, line->target, sizeof(line->target));
    }
}

static struct seen
look(struct account *account)
{
    const struct audit_question question = {.to_us = INT64_MAX, .limit = AUDIT_LIMIT_MAX};
    struct seen seen = {0};

    assert_int_equal(audit_list(account, &question, see, &seen, NULL), ERR_OK);
    return seen;
}

static void
test_failed_logins__lines_of_a_minute(void **state)
{
    const struct account_actor by = {.from = "192.0.2.1"};

    for (uint32_t count = FAILED_LINES_MAX - 1; count <= FAILED_LINES_MAX + 1; count++) {
        const struct account_config config = {.data_dir = (const char *)*state,
                                              .may_create = true,
                                              .clock = clock_system(),
                                              .random = random_system()};
        struct failed_logins failed = {0};
        struct account *account = NULL;
        uint32_t before;
        struct seen seen;

        assert_int_equal(account_open(&config, &account, NULL), ERR_OK);
        before = look(account).lines;
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(failed_logins_note(&failed, account, &by, "ann@example.com",
                                                "wrong password", NOW_US, NULL),
                             ERR_OK);
        seen = look(account);
        assert_int_equal(seen.lines - before,
                         count < FAILED_LINES_MAX ? count : (uint32_t)FAILED_LINES_MAX);
        assert_string_equal(seen.newest_target, "account ann@example.com");
        assert_string_equal(seen.newest_detail, "wrong password");
        atomic_store(&failed.throttled, count == FAILED_LINES_MAX ? 5 : 0);
        assert_int_equal(failed_logins_note(&failed, account, &by, "bob@example.com",
                                            "no such account", NOW_US + MINUTE_US, NULL),
                         ERR_OK);
        /* the line of this one, and one of counts where there is something to count */
        assert_int_equal(look(account).lines - seen.lines, count < FAILED_LINES_MAX ? 1 : 2);
        assert_int_equal(failed.left_out, 0);
        assert_int_equal(atomic_load(&failed.throttled), 0);
        account_close(&account);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {test_in_dir(test_failed_logins__lines_of_a_minute)};

    return cmocka_run_group_tests_name("failed_logins", tests, NULL, NULL);
}
