/*
 * test_resolver - names to addresses off the loop, and lists of them.
 */
#include "../test.h"
#include "base/resolver.h"
#include <poll.h>

static int
setup(void **state)
{
    struct resolver *resolver = NULL;

    assert_int_equal(resolver_start(&resolver, NULL), ERR_OK);
    *state = resolver;
    return 0;
}

static int
teardown(void **state)
{
    struct resolver *resolver = *state;

    resolver_stop(&resolver);
    return 0;
}

static void
wait_answer(const struct resolver_request *request)
{
    struct pollfd fd = {.fd = resolver_request_fd(request), .events = POLLIN};

    if (!resolver_request_is_answered(request))
        assert_int_equal(poll(&fd, 1, 30000), 1);
    assert_true(resolver_request_is_answered(request));
}

static void
test_resolver__what_needs_no_name_server_is_answered_at_once(void **state)
{
    static const struct {
        const char *hosts;
        const char *hostaddrs;
        const char *ports;
        uint32_t count;
        struct resolver_address last;
    } cases[] = {
        {NULL, NULL, NULL, 1, {"", "", ""}},
        {"/run/postgresql", NULL, "5433", 1, {"/run/postgresql", "", "5433"}},
        {"127.0.0.1,::1", NULL, "1,2", 2, {"::1", "", "2"}},
        {"127.0.0.1,::1", NULL, "7", 2, {"::1", "", "7"}},
        {"db.example,db.example", "10.0.0.1,10.0.0.2", NULL, 2, {"db.example", "10.0.0.2", ""}},
        {"db.example", "10.0.0.1,10.0.0.2", "5432,5433", 2, {"db.example", "10.0.0.2", "5433"}},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct resolver_address *addresses = NULL;
        struct resolver_request *request = NULL;

        assert_int_equal(resolver_ask(*state, cases[i].hosts, cases[i].hostaddrs, cases[i].ports,
                                      &request, NULL),
                         ERR_OK);
        assert_int_equal(resolver_request_fd(request), -1);
        assert_true(resolver_request_is_answered(request));
        assert_int_equal(resolver_request_addresses(request, &addresses, NULL), cases[i].count);
        assert_string_equal(addresses[cases[i].count - 1].host, cases[i].last.host);
        assert_string_equal(addresses[cases[i].count - 1].hostaddr, cases[i].last.hostaddr);
        assert_string_equal(addresses[cases[i].count - 1].port, cases[i].last.port);
        resolver_request_free(&request);
    }
}

static void
test_resolver__a_name_is_looked_up_by_the_thread(void **state)
{
    const struct resolver_address *addresses = NULL;
    struct resolver_request *request = NULL;
    uint32_t count = 0;

    assert_int_equal(resolver_ask(*state, "localhost,/tmp", NULL, "5432", &request, NULL), ERR_OK);
    wait_answer(request);
    count = resolver_request_addresses(request, &addresses, NULL);
    assert_true(count >= 2);
    assert_string_equal(addresses[0].host, "localhost");
    assert_true(strcmp(addresses[0].hostaddr, "127.0.0.1") == 0 ||
                strcmp(addresses[0].hostaddr, "::1") == 0);
    assert_string_equal(addresses[count - 1].host, "/tmp");
    resolver_request_free(&request);
}

static void
test_resolver__a_name_without_address_is_named(void **state)
{
    const struct resolver_address *addresses = NULL;
    struct resolver_request *request = NULL;
    struct diag diag = DIAG_INIT;

    assert_int_equal(resolver_ask(*state, "no-such-host.invalid", NULL, NULL, &request, NULL),
                     ERR_OK);
    wait_answer(request);
    assert_int_equal(resolver_request_addresses(request, &addresses, &diag), 0);
    assert_non_null(strstr(diag.message, "no-such-host.invalid"));
    resolver_request_free(&request);
}

static void
test_resolver__requests_may_be_dropped_before_their_answer(void **state)
{
    for (int i = 0; i < 32; i++) {
        struct resolver_request *request = NULL;

        assert_int_equal(resolver_ask(*state, "localhost", NULL, NULL, &request, NULL), ERR_OK);
        resolver_request_free(&request);
        assert_null(request);
    }
}

static void
test_resolver__lists_that_do_not_go_together_are_refused(void **state)
{
    static const char *const hosts[] = {"a,b,c", "/1,/2,/3,/4,/5,/6,/7,/8,/9,/10,/11,/12,/13,/14,"
                                                 "/15,/16,/17"};
    struct resolver_request *request = NULL;
    char *longest = NULL;

    assert_int_equal(resolver_ask(*state, hosts[0], NULL, "1,2", &request, NULL), ERR_INVALID);
    assert_int_equal(resolver_ask(*state, hosts[1], NULL, NULL, &request, NULL), ERR_INVALID);
    assert_true(asprintf(&longest, "/%0254d", 0) == 255);
    assert_int_equal(resolver_ask(*state, longest, NULL, NULL, &request, NULL), ERR_OK);
    resolver_request_free(&request);
    free(longest);
    assert_true(asprintf(&longest, "/%0255d", 0) == 256);
    assert_int_equal(resolver_ask(*state, longest, NULL, NULL, &request, NULL), ERR_INVALID);
    free(longest);
}

int
main(void)
{
#define RESOLVER_TEST(name) cmocka_unit_test_setup_teardown(test_resolver__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        RESOLVER_TEST(what_needs_no_name_server_is_answered_at_once),
        RESOLVER_TEST(a_name_is_looked_up_by_the_thread),
        RESOLVER_TEST(a_name_without_address_is_named),
        RESOLVER_TEST(requests_may_be_dropped_before_their_answer),
        RESOLVER_TEST(lists_that_do_not_go_together_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
