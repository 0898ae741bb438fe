/*
 * Connecting and asking: sentences for what goes wrong, and deadlines.
 */
#include "postgres_fixture.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECRET "hunter2"

static const struct postgres_session session = {.statement_timeout_ms = 5000,
                                                .lock_timeout_ms = 1000};

static void
assert_refused(const char *text, int64_t timeout_ms, const char *words)
{
    CLEANUP(postgres_url_free) struct postgres_url *url = NULL;
    struct diag diag = DIAG_INIT;
    PGconn *conn = NULL;

    assert_int_equal(postgres_url_parse(text, timeout_ms, &url, &diag), ERR_OK);
    assert_int_equal(postgres_connect(url, timeout_ms, &session, &conn, &diag), ERR_NOT_READY);
    assert_null(conn);
    if (strstr(diag.message, words) == NULL || strstr(diag.message, SECRET) != NULL)
        fail_msg("%s: %s", text, diag.message);
}

/* A port of 127.0.0.1 that is bound; with `is_listening` the kernel takes connections, and nobody
 * ever answers. */
static int
bind_port(bool is_listening, uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    if (is_listening)
        assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void
test_connect__says_why_nobody_answers(void **state)
{
    uint16_t port = 0;
    char text[256];
    int fd = bind_port(false, &port);

    (void)state;
    snprintf(text, sizeof(text), "postgres://u:" SECRET "@127.0.0.1:%d/d", port);
    assert_refused(text, 3000, "nobody listens there");
    close(fd);
    fd = bind_port(true, &port);
    snprintf(text, sizeof(text), "postgres://u:" SECRET "@127.0.0.1:%d/d", port);
    assert_refused(text, 100, "no answer within 100 ms");
    close(fd);
    assert_refused("postgres://u:" SECRET "@/d?host=/nonexistent", 3000, "folder of its socket");
    assert_refused("postgres://u:" SECRET "@no-such-host.invalid/d", 3000, "there is no such host");
}

/* The test's URL with another user or database: every URL library would do, this needs none. */
static void
change_url(const char *keyword, const char *value, char ret_text[1024])
{
    const char *base = getenv("POTIK_TEST_POSTGRES_URL");

    snprintf(ret_text, 1024, "%s%c%s=%s", base, strchr(base, '?') != NULL ? '&' : '?', keyword,
             value);
}

static void
test_connect__says_what_the_server_refuses(void **state)
{
    char text[1024];

    (void)state;
    change_url("dbname", "no_such_database", text);
    assert_refused(text, 5000, "create it: createdb");
    change_url("options", "-cdefault_transaction_read_only%3Don", text);
    assert_refused(text, 5000, "read-only");
    change_url("options", "-csearch_path%3Dno_such_schema", text);
    assert_refused(text, 5000, "search_path");
    change_url("sslmode", "require", text);
    if (strstr(text, "host=/") == NULL)
        assert_refused(text, 5000, "TLS failed");
}

static void
test_connect__makes_the_session(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(postgres_url_free) struct postgres_url *url = NULL;
    CLEANUP(postgres_disconnect) PGconn *conn = NULL;

    assert_int_equal(postgres_url_parse(fixture->url, 5000, &url, NULL), ERR_OK);
    assert_int_equal(postgres_connect(url, 5000, &session, &conn, NULL), ERR_OK);
    assert_string_equal(fixture_ask(conn, "SHOW synchronous_commit"), "on");
    assert_string_equal(fixture_ask(conn, "SHOW statement_timeout"), "5s");
    assert_string_equal(fixture_ask(conn, "SHOW lock_timeout"), "1s");
    assert_string_equal(fixture_ask(conn, "SHOW idle_in_transaction_session_timeout"), "1min");
    assert_string_equal(fixture_ask(conn, "SHOW timezone"), "UTC");
    assert_string_equal(fixture_ask(conn, "SHOW application_name"), "potik");
    assert_string_equal(fixture_ask(conn, "SELECT current_schema()"), fixture->schema);
}

static void
test_connect__keeps_a_stronger_synchronous_commit(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(postgres_url_free) struct postgres_url *url = NULL;
    CLEANUP(postgres_disconnect) PGconn *conn = NULL;
    char text[1100];

    snprintf(text, sizeof(text), "%s%%20-csynchronous_commit%%3Dremote_apply", fixture->url);
    assert_int_equal(postgres_url_parse(text, 5000, &url, NULL), ERR_OK);
    assert_int_equal(postgres_connect(url, 5000, &session, &conn, NULL), ERR_OK);
    assert_string_equal(fixture_ask(conn, "SHOW synchronous_commit"), "remote_apply");
    postgres_disconnect(&conn);
    postgres_url_free(&url);
    snprintf(text, sizeof(text), "%s%%20-csynchronous_commit%%3Doff", fixture->url);
    assert_int_equal(postgres_url_parse(text, 5000, &url, NULL), ERR_OK);
    assert_int_equal(postgres_connect(url, 5000, &session, &conn, NULL), ERR_OK);
    assert_string_equal(fixture_ask(conn, "SHOW synchronous_commit"), "on");
}

static void
test_query__has_a_deadline_and_says_what_failed(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(postgres_url_free) struct postgres_url *url = NULL;
    CLEANUP(postgres_disconnect) PGconn *conn = NULL;
    CLEANUP(postgres_clear) PGresult *result = NULL;
    struct diag diag = DIAG_INIT;

    assert_int_equal(postgres_url_parse(fixture->url, 5000, &url, NULL), ERR_OK);
    assert_int_equal(postgres_connect(url, 5000, &session, &conn, NULL), ERR_OK);
    assert_int_equal(postgres_query(conn, "SELECT * FROM gone", NULL, 0, 5000, &result, &diag),
                     ERR_NOT_READY);
    assert_non_null(strstr(diag.message, "potik migrate"));
    assert_null(result);
    assert_int_equal(postgres_query(conn, "SELECT 7::int8", NULL, 0, 5000, &result, &diag), ERR_OK);
    assert_int_equal(postgres_get_u64(PQgetvalue(result, 0, 0)), 7);
    postgres_clear(&result);
    assert_int_equal(postgres_run(conn, "SET statement_timeout = 20", 5000, &diag), ERR_OK);
    assert_int_equal(postgres_run(conn, "SELECT pg_sleep(5)", 5000, &diag), ERR_OVERLOADED);
    assert_non_null(strstr(diag.message, "--store-timeout"));
    assert_int_equal(postgres_run(conn, "SET statement_timeout = 0", 5000, &diag), ERR_OK);
    assert_int_equal(postgres_run(conn, "SELECT pg_sleep(5)", 50, &diag), ERR_NOT_READY);
    assert_non_null(strstr(diag.message, "no answer within 50 ms"));
}

static void
test_backoff__doubles_up_to_its_most(void **state)
{
    int64_t backoff_ms = 0;
    const int64_t most[] = {100, 200, 400, 800, 1600, 2000, 2000};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(most); i++) {
        const int64_t wait_ms = postgres_backoff(&backoff_ms);

        assert_true(wait_ms > most[i] / 2 && wait_ms <= most[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect__says_why_nobody_answers),
        cmocka_unit_test(test_connect__says_what_the_server_refuses),
        test_with_postgres(test_connect__makes_the_session),
        test_with_postgres(test_connect__keeps_a_stronger_synchronous_commit),
        test_with_postgres(test_query__has_a_deadline_and_says_what_failed),
        cmocka_unit_test(test_backoff__doubles_up_to_its_most),
    };

    fixture_need_server();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
